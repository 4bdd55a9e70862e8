package device

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// sleepFor has the scheduler do nothing for d, as in a process that is stopped.
func (b *bench) sleepFor(d time.Duration) {
	done := make(chan struct{})
	b.mail.call(func(*shard) { time.Sleep(d); close(done) })
	<-done
}

// A gateway that was stopped for a minute suspects nobody of the silence, opens no standby and leaves nobody.
func TestOversleptIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.remote())
		b.run()
		time.Sleep(2 * time.Minute)
		b.sleepFor(time.Minute)
		if s := b.status("d0001"); s.Phi > 0.5 || s.Suspicion != "" {
			t.Errorf("up again: phi %v, suspicion %q", s.Phi, s.Suspicion)
		}
		time.Sleep(5 * time.Minute)
		if s := b.status("d0001"); b.Stats().Suspicions != 0 || s.Standby || s.Route != 0 || s.State != Ready {
			t.Errorf("%d suspicions, it is %v on %d, standby %v", b.Stats().Suspicions, s.State, s.Route, s.Standby)
		}
		b.plc(1).set(silent)
		time.Sleep(10 * time.Second)
		if s := b.status("d0001"); s.Route != 1 {
			t.Errorf("silent itself: it is %v on %d, phi %v", s.State, s.Route, s.Phi)
		}
		b.quit()
	})
}

// A read that was on its way when the gateway was stopped is made again, and no device is suspected of having let it be. A gateway that stops in every read notices all the same who is gone.
func TestOversleptReadsAreMadeAgain(t *testing.T) {
	for _, c := range []struct {
		sleeps int  // reads during which it sleeps
		gone   bool // the device is, and an outage is noticed; else nothing is
	}{{1, false}, {1000, true}} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, Config{})
			b.apply(b.spec(1, time.Second, 1))
			b.run()
			time.Sleep(10 * time.Second)
			left := c.sleeps
			b.plc(1).change(func(p *plc) {
				p.mode = silent
				p.onRead = func(Observer) {
					if left--; left >= 0 {
						b.mail.call(func(*shard) { time.Sleep(5 * time.Second) })
						time.Sleep(5 * time.Second)
					}
					if !c.gone {
						p.change(func(p *plc) { p.mode = fine })
					}
				}
			})
			time.Sleep(15 * time.Second)
			for i := 0; c.gone && i < 100 && b.status("d0001").Outages == 0; i++ {
				time.Sleep(time.Second)
			}
			b.plc(1).change(func(p *plc) { p.mode, p.onRead = fine, nil })
			events := slices.DeleteFunc(slices.Clone(b.book.events), func(ev Event) bool { return ev.To != Suspect && ev.To != Cooling })
			if got := b.status("d0001"); (got.Outages != 0) != c.gone || !c.gone && len(events) > 0 {
				t.Errorf("%d stops, gone %v: %d outages, %v: %v", c.sleeps, c.gone, got.Outages, got.State, events)
			}
			b.quit()
		})
	}
}
