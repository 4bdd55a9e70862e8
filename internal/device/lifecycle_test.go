package device

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// leftovers is what a Runtime has when nothing changes.
type leftovers struct {
	goroutines, sessions, endpoints, units int
	heap                                   uint64 // after two collections
}

// goroutinesHere counts the goroutines of the caller's bubble: the runtime has others, which come and go.
func goroutinesHere() int {
	buf := make([]byte, 1<<20)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), "synctest bubble")
}

func (b *bench) leftovers() (l leftovers) {
	synctest.Wait()
	b.Runtime.mu.RLock()
	l.units = len(b.Runtime.units)
	b.Runtime.mu.RUnlock()
	l.goroutines, l.sessions, l.endpoints = goroutinesHere(), b.Stats().Sessions, int(b.counters.endpoints.Load())
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	l.heap = m.HeapAlloc
	return l
}

// forget lets go of what the test itself keeps, of all PLCs but the first.
func (b *bench) forget(but uint32) {
	b.book.mu.Lock()
	b.book.events = nil
	b.book.mu.Unlock()
	kept := map[string]*plc{}
	for i := uint32(1); i <= but; i++ {
		kept[fmt.Sprintf("plc%d:502", i)] = b.plc(i)
	}
	b.driver.mu.Lock()
	b.driver.plcs, b.driver.limits = kept, nil
	b.driver.mu.Unlock()
}

// Ten thousand devices come, change and go by reloads, in the middle of their turns, and nothing of them is left: no goroutine, no session, no endpoint, no memory.
func TestTenThousandComeAndGo(t *testing.T) {
	devices, stay := uint32(10_000), uint32(50)
	if raced || testing.Short() {
		devices = 500
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{DialRate: -1})
		b.book.forgetful = true
		specs := func(n uint32, interval time.Duration) (all []Spec) {
			for i := uint32(1); i <= n; i++ {
				each := interval
				if i <= stay {
					each = time.Second // these do not change
				}
				all = append(all, b.spec(i, each, 3))
				p := b.plc(i)
				latency := 50 * time.Millisecond
				if i <= stay {
					latency = 0 // nothing of them runs when it is counted
				} else if i%3 == 0 {
					latency = 600 * time.Millisecond // many are in a turn at any moment
				}
				p.change(func(p *plc) { p.quiet, p.latency = true, latency })
			}
			return all
		}
		b.apply(specs(stay, time.Second)...)
		b.run()
		var first leftovers
		for cycle := range 4 {
			want := func(what string, c Change, added, changed, removed int) {
				if len(c.Added) != added || len(c.Changed) != changed || len(c.Removed) != removed {
					t.Errorf("cycle %d, %s: %d added, %d changed, %d removed", cycle, what, len(c.Added), len(c.Changed), len(c.Removed))
				}
			}
			more := int(devices - stay)
			want("add", b.apply(specs(devices, 2*time.Second)...), more, 0, 0)
			time.Sleep(3*time.Second + time.Millisecond)
			if n := b.Stats().States[Ready]; n != int(devices) {
				t.Errorf("cycle %d: %d of %d are ready", cycle, n, devices)
			}
			want("change", b.apply(specs(devices, 3*time.Second)...), 0, more, 0)
			time.Sleep(3 * time.Second)
			if n := b.Stats(); n.States[Ready] != int(devices) || n.Sessions != int(devices) {
				t.Errorf("cycle %d, changed: %d of %d are ready, %d sessions", cycle, n.States[Ready], devices, n.Sessions)
			}
			want("remove", b.apply(specs(stay, time.Second)...), 0, 0, more)
			time.Sleep(drainWithin + time.Second - time.Millisecond)
			b.forget(stay)
			l := b.leftovers()
			if cycle < 3 {
				first = l // pools and maps have grown to what they need
			}
			if l.goroutines != first.goroutines || l.sessions != int(stay) || l.endpoints != int(stay) || l.units != int(stay) {
				t.Errorf("cycle %d left %+v, the one before %+v", cycle, l, first)
			}
			if !raced && float64(l.heap) > 1.02*float64(first.heap) {
				t.Errorf("cycle %d: a heap of %d kB, after the one before %d kB", cycle, l.heap>>10, first.heap>>10)
			}
		}
		b.quit()
	})
}
