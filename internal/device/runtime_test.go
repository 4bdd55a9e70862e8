package device

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/tag"
)

// polls returns when each of the PLCs was polled.
func (b *bench) polls() map[string][]time.Time {
	all := map[string][]time.Time{}
	b.driver.mu.Lock()
	defer b.driver.mu.Unlock()
	for host, p := range b.driver.plcs {
		p.mu.Lock()
		all[host] = slices.Clone(p.polls)
		p.mu.Unlock()
	}
	return all
}

// ours counts the goroutines that this package's product code runs in: those of shards and of jobs.
func ours() int {
	n := 0
	buf := make([]byte, 1<<20)
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "device.(*shard).run(") || strings.Contains(g, "created by millrace/internal/device.(*shard).begin") {
			n++
		}
	}
	return n
}

// The schedule of healthy devices is the same, to the nanosecond, whatever the others do.
func TestIsolation(t *testing.T) {
	const devices, while = 1000, 20*time.Second + time.Millisecond // no due time of a second lies at the end
	run := func(t *testing.T, fault mode, latency time.Duration) (healthy map[string][]time.Time, missed uint64) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, Config{})
			b.book.forgetful = true
			var specs []Spec
			for n := uint32(1); n <= devices; n++ {
				specs = append(specs, b.spec(n, time.Second, 3))
				if n%100 == 0 {
					b.plc(n).mode, b.plc(n).latency = fault, latency
				}
			}
			b.apply(specs...)
			b.run()
			time.Sleep(while)
			healthy = b.polls()
			for n := uint32(100); n <= devices; n += 100 {
				delete(healthy, fmt.Sprintf("plc%d:502", n))
			}
			for _, s := range b.Devices() {
				if s.Number%100 != 0 {
					missed += s.Groups[0].Missed
				}
			}
			b.quit()
		})
		return healthy, missed
	}
	want, missed := run(t, fine, 0)
	if missed != 0 {
		t.Errorf("%d polls missed without a fault", missed)
	}
	for _, c := range []struct {
		name    string
		mode    mode
		latency time.Duration
	}{{"black hole", blackHole, 0}, {"tar pit", silent, 0}, {"no handshake", mute, 0}, {"refuses", refuses, 0}, {"slow", fine, 1900 * time.Millisecond}} {
		t.Run(c.name, func(t *testing.T) {
			got, missed := run(t, c.mode, c.latency)
			if missed != 0 {
				t.Errorf("%d polls of healthy devices missed", missed)
			}
			total := 0
			for host, times := range want {
				if !slices.EqualFunc(times, got[host], time.Time.Equal) {
					t.Fatalf("%s was polled at\n%v, without the fault at\n%v", host, got[host], times)
				}
				total += len(times)
			}
			if total < 990*18 {
				t.Errorf("only %d polls in 20s", total)
			}
		})
	}
}

// Polls of many devices are spread over the interval, and stay where they are.
func TestPhaseSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		var specs []Spec
		for n := uint32(1); n <= 1000; n++ {
			specs = append(specs, b.spec(n, time.Second, 1))
		}
		b.apply(specs...)
		b.run()
		time.Sleep(10 * time.Second)
		var buckets [100]int
		for host, times := range b.polls() {
			last := times[len(times)-1]
			if step := last.Sub(times[len(times)-2]); step != time.Second {
				t.Fatalf("%s: polled after %v", host, step)
			}
			buckets[last.Nanosecond()/10_000_000]++
		}
		for i, n := range buckets {
			if n < 8 || n > 12 {
				t.Errorf("%d devices are polled in hundredth %d, want about 10", n, i)
			}
		}
		b.quit()
	})
}

func TestStartNeverStorms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{DialRate: 100, DialBurst: 5})
		var specs []Spec
		for n := uint32(1); n <= 500; n++ {
			specs = append(specs, b.spec(n, time.Second, 1))
			b.plc(n).mode = refuses
		}
		b.apply(specs...)
		b.run()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		var dials []time.Time
		for _, p := range b.driver.plcs {
			dials = append(dials, p.dials...)
		}
		slices.SortFunc(dials, time.Time.Compare)
		for i := 105; i < len(dials); i++ {
			if d := dials[i].Sub(dials[i-105]); d < time.Second {
				t.Fatalf("106 dials within %v", d)
			}
		}
		if len(dials) < 2000 {
			t.Errorf("only %d dials in 30s: the bucket is not used up", len(dials))
		}
		b.quit()
	})
}

// A PLC that is not there at start is no reason for anything but its own state, and is read when it comes.
func TestAbsentAtStart(t *testing.T) {
	for _, m := range []mode{refuses, blackHole, silent, mute} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, Config{})
			s := b.spec(1, time.Second, 2)
			b.plc(1).mode = m
			b.apply(s)
			if q := b.last(100).Quality; q != tag.BadWaitingForInitialData {
				t.Errorf("at first %v", q)
			}
			b.run()
			time.Sleep(time.Minute)
			st := b.status("d0001")
			if st.State == Ready || st.Outages != 1 || st.Reason == "" {
				t.Errorf("%v, %q, %d outages", st.State, st.Reason, st.Outages)
			}
			if d := time.Since(st.DownSince); d < time.Minute-2*s.Profile.Ceiling || d > time.Minute {
				t.Errorf("down for %v after a minute", d)
			}
			if q := b.last(100).Quality; q != tag.BadNoCommunication {
				t.Errorf("down it has %v", q)
			}
			b.plc(1).set(fine)
			time.Sleep(s.Profile.Cap + 2*s.Profile.Ceiling)
			if st := b.status("d0001"); st.State != Ready || !st.DownSince.IsZero() || st.LongestRecovery < time.Minute-2*s.Profile.Ceiling {
				t.Errorf("back it is %v (%s), down since %v, recovery %v", st.State, st.Reason, st.DownSince, st.LongestRecovery)
			}
			if got := strings.Join(b.book.of(100), ", "); got != "bad (no communication) null, good 1" {
				t.Errorf("rows: %s", got)
			}
			b.quit()
		})
	}
}

// Every way to vanish and every way to be back: the tags keep their last usable value meanwhile, one row each, and the first read comes
// within the cap, one timeout of the dial that was on its way, one of the probe, and the turn in the dial bucket.
func TestVanishAndReturn(t *testing.T) {
	for _, m := range []mode{refuses, blackHole, silent, mute} {
		for _, away := range []time.Duration{3 * time.Second, 20 * time.Second, 10 * time.Minute} {
			t.Run(fmt.Sprintf("%d for %v", m, away), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, Config{})
					s := b.spec(1, time.Second, 2)
					b.apply(s)
					b.run()
					time.Sleep(10 * time.Second)
					b.plc(1).set(m)
					time.Sleep(away)
					if l := b.last(100); l.Quality != tag.UncertainLastUsable || l.Value.String() != "1" {
						t.Errorf("away it has %v %v", l.Quality, l.Value)
					}
					b.plc(1).set(fine)
					back := time.Now()
					bound := s.Profile.Cap + 2*s.Profile.Ceiling + time.Second/400
					time.Sleep(bound)
					st := b.status("d0001")
					if st.State != Ready || st.Outages != 1 {
						t.Fatalf("%v after it is back: %v (%s), %d outages", bound, st.State, st.Reason, st.Outages)
					}
					polls := b.polls()["plc1:502"]
					first := slices.IndexFunc(polls, func(at time.Time) bool { return !at.Before(back) })
					if first < 0 || polls[first].Sub(back) > bound {
						t.Errorf("polls %v, back at %v", polls, back)
					}
					if st.LastRecovery <= 0 || st.LastRecovery > away+bound {
						t.Errorf("recovery %v", st.LastRecovery)
					}
					if got := strings.Join(b.book.of(100), ", "); got != "good 1, uncertain (last usable value) 1, good 1" {
						t.Errorf("rows: %s", got)
					}
					b.quit()
				})
			})
		}
	}
}

// A connection that ends and can be had again is no outage, and costs no poll beyond the one that found out.
func TestHangUpIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.spec(1, time.Second, 1))
		b.run()
		for range 5 {
			time.Sleep(10 * time.Second)
			b.plc(1).set(hangsUp)
		}
		time.Sleep(10 * time.Second)
		st := b.status("d0001")
		if st.State != Ready || st.Outages != 0 || st.Groups[0].Missed > 0 {
			t.Errorf("%v, %d outages, %d missed", st.State, st.Outages, st.Groups[0].Missed)
		}
		if n := len(b.polls()["plc1:502"]); n != 61 {
			t.Errorf("%d polls in a minute and at start", n)
		}
		if got := b.book.of(100); len(got) != 1 {
			t.Errorf("rows: %v", got)
		}
		b.quit()
	})
}

// A day's outage leaves goroutines and sessions as they were, and dials no faster than the back-off allows.
func TestDayLongOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		var specs []Spec
		for n := uint32(1); n <= 9; n++ {
			specs = append(specs, b.spec(n, 5*time.Second, 2))
		}
		b.apply(specs...)
		b.run()
		time.Sleep(time.Minute)
		synctest.Wait()
		goroutines, sessions := ours(), b.Stats().Sessions
		for n := uint32(1); n <= 9; n++ {
			b.plc(n).set([]mode{refuses, blackHole, silent}[n%3])
		}
		time.Sleep(24 * time.Hour)
		for n := uint32(1); n <= 9; n++ {
			b.plc(n).set(fine)
		}
		time.Sleep(time.Minute + time.Millisecond)
		synctest.Wait()
		if n := ours(); n != goroutines || n != 1 {
			t.Errorf("%d goroutines before, %d after", goroutines, n)
		}
		if n := b.Stats().Sessions; n != sessions || sessions != 9 {
			t.Errorf("%d sessions before, %d after", sessions, n)
		}
		for _, st := range b.Devices() {
			if st.State != Ready || st.Outages != 1 || st.LastRecovery < 24*time.Hour-6*time.Second {
				t.Errorf("%s: %v, %d outages, recovery %v", st.Name, st.State, st.Outages, st.LastRecovery)
			}
			if n := b.plc(st.Number).dialled(); n > 24*3600/2 {
				t.Errorf("%s: %d dials in a day", st.Name, n)
			}
		}
		b.quit()
	})
}

// Nothing but the scheduler runs while all devices are idle.
func TestIdleCostsNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		var specs []Spec
		for n := uint32(1); n <= 100; n++ {
			specs = append(specs, b.spec(n, time.Minute, 1))
		}
		b.apply(specs...)
		b.run()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if n := ours(); n != 1 {
			t.Errorf("%d goroutines for 100 devices between their polls", n)
		}
		b.quit()
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		for n, l := range map[uint32]time.Duration{1: 0, 2: 900 * time.Millisecond} {
			b.spec(n, time.Second, 1)
			b.plc(n).latency = l
		}
		specs := []Spec{b.spec(1, time.Second, 1), b.spec(2, time.Second, 1), b.spec(3, time.Second, 1), b.spec(4, time.Second, 1)}
		specs[1].Profile.Floor, specs[1].Profile.Cap, specs[1].Profile.Ceiling = time.Minute, time.Minute, time.Minute
		b.plc(3).mode = blackHole
		b.plc(4).latency, b.plc(4).late = time.Hour, 1
		specs[3].Profile.Floor, specs[3].Profile.Ceiling, specs[3].Profile.Cap = time.Minute, time.Minute, time.Minute
		b.apply(specs...)
		b.run()
		time.Sleep(5*time.Second + 500*time.Millisecond)
		began := time.Now()
		b.quit()
		if took := time.Since(began); took != drainWithin {
			t.Errorf("draining took %v: a turn that hangs may go on for %v, and no longer", took, drainWithin)
		}
		for _, s := range b.Devices() {
			if s.State != Closed {
				t.Errorf("%s is %v", s.Name, s.State)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.spec(1, time.Second, 1), b.spec(2, time.Second, 1))
		b.plc(1).latency = 300 * time.Millisecond
		b.plc(2).mode = blackHole
		b.run()
		time.Sleep(100 * time.Millisecond) // the first read of 1 and the dial of 2 are on their way
		began := time.Now()
		b.quit()
		if took := time.Since(began); took != 200*time.Millisecond {
			t.Errorf("draining took %v, want what the read still needs; a dial is given up at once", took)
		}
		if n := len(b.book.of(100)); n != 1 {
			t.Errorf("%d values of the read that ran", n)
		}
		if err := b.Run(t.Context()); err == nil {
			t.Error("it ran twice")
		}
	})
}

// Devices beyond the limit of connections are down and say why, and take the place of one that goes.
func TestMaxSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{MaxSessions: 3})
		specs := []Spec{b.spec(1, time.Second, 1), b.spec(2, time.Second, 1), b.spec(3, time.Second, 1), b.spec(4, time.Second, 1)}
		b.apply(specs...)
		b.run()
		time.Sleep(10 * time.Second)
		if n := b.Stats().States[Ready]; n != 3 {
			t.Errorf("%d devices are ready", n)
		}
		if s := b.status("d0004"); !strings.Contains(s.Reason, "as many connections open as it may") || b.plc(4).dialled() != 0 {
			t.Errorf("%q, %d dials", s.Reason, b.plc(4).dialled())
		}
		b.apply(specs[1:]...)
		time.Sleep(10 * time.Second)
		if n := b.Stats().States[Ready]; n != 3 {
			t.Errorf("after one was removed, %d devices are ready", n)
		}
		b.quit()
	})
}

// A device that accepts connections and breaks them is tried as seldom as one that refuses.
func TestAcceptsAndBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.spec(1, time.Second, 1))
		b.run()
		time.Sleep(5 * time.Second)
		b.plc(1).change(func(p *plc) { p.broken = 1 << 30 })
		time.Sleep(5 * time.Minute)
		if n := b.plc(1).dialled(); n > 300/2 || n < 300/10 {
			t.Errorf("%d dials in 5 minutes", n)
		}
		if s := b.status("d0001"); s.Outages != 1 {
			t.Errorf("%d outages", s.Outages)
		}
		b.plc(1).change(func(p *plc) { p.broken = 0 })
		time.Sleep(10 * time.Second)
		if s := b.status("d0001"); s.State != Ready {
			t.Errorf("back it is %v", s.State)
		}
		b.quit()
		began, ended := 0, 0
		for _, e := range b.book.events {
			if e.Began {
				began++
			}
			if e.Ended {
				ended++
			}
		}
		if began != 1 || ended != 1 {
			t.Errorf("of one outage %d begins and %d ends were told", began, ended)
		}
	})
}

// After an outage that is over the back-off begins anew.
func TestBackoffBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.spec(1, time.Second, 1))
		b.run()
		for range 5 {
			time.Sleep(time.Minute)
			b.plc(1).set(refuses)
			before := b.plc(1).dialled()
			time.Sleep(3 * time.Second)
			if n := b.plc(1).dialled() - before; n < 3 {
				t.Errorf("%d dials in the first 3s of an outage", n)
			}
			time.Sleep(10 * time.Minute)
			b.plc(1).set(fine)
		}
		b.quit()
	})
}
