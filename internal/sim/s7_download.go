package sim

import (
	"sync"
	"time"
)

// downloader resets the connections of devices whose program is downloaded, when it begins and when the old program comes back.
type downloader struct {
	f     *fleet
	mu    sync.Mutex
	timer *time.Timer
	over  bool
	run   sync.WaitGroup
}

// downloads begins with the faults' schedules; the function that it returns ends them and waits.
func (m *S7) downloads() (stop func()) {
	d := &downloader{f: &m.fleet}
	d.arm(time.Now())
	return d.stop
}

// arm sets the timer to the next download after at, if there is one.
func (d *downloader) arm(at time.Time) {
	elapsed := d.f.elapsed(at)
	next, some := time.Duration(0), false
	for i := range d.f.site.Faults {
		f := &d.f.site.Faults[i]
		if f.Kind != Download {
			continue
		}
		if t, ok := f.next(elapsed); ok && (!some || t < next) {
			next, some = t, true
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over || !some {
		return
	}
	d.run.Add(1)
	d.timer = time.AfterFunc(next-elapsed, func() {
		defer d.run.Done()
		d.strike(elapsed, next)
		d.arm(d.f.started.Add(next))
	})
}

// strike resets the connections of the devices whose download began or ended after one time and up to another.
func (d *downloader) strike(after, upTo time.Duration) {
	for i := range d.f.site.Faults {
		f := &d.f.site.Faults[i]
		if f.Kind != Download {
			continue
		}
		if t, ok := f.next(after); !ok || t > upTo {
			continue
		}
		for n := range d.f.devices {
			if f.of(n + 1) {
				d.f.devices[n].cut()
			}
		}
	}
}

func (d *downloader) stop() {
	d.mu.Lock()
	d.over = true
	if d.timer != nil && d.timer.Stop() {
		d.run.Done()
	}
	d.mu.Unlock()
	d.run.Wait()
}
