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

// A dial during which the gateway was stopped says nothing of the device: it is made again at once, and no back-off, no breaker and no rate of dials knows of it. A gateway that stops in every
// dial notices all the same who is gone.
func TestOversleptDialsAreMadeAgain(t *testing.T) {
	for _, c := range []struct {
		sleeps int
		fails  bool
	}{{1, false}, {3, true}} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, Config{DialRate: 100})
			b.plc(1).mode = blackHole
			b.apply(b.spec(1, time.Second, 1), b.spec(2, time.Second, 1))
			b.run()
			for i := range c.sleeps {
				for b.plc(1).dialled() == i {
					time.Sleep(10 * time.Millisecond)
				}
				if i+1 == c.sleeps && !c.fails {
					b.plc(1).set(fine)
				}
				b.sleepFor(time.Minute)
				synctest.Wait()
			}
			time.Sleep(100 * time.Millisecond)
			s, n := b.Stats(), b.status("d0001")
			if !c.fails && (n.State != Ready || n.Outages != 0 || s.DialTimeouts != 0 || b.plc(1).dialled() != 2) {
				t.Errorf("it is %v after %d dials, %d outages, %d timeouts: %s", n.State, b.plc(1).dialled(), n.Outages, s.DialTimeouts, n.Reason)
			}
			if c.fails && (n.Outages != 1 || s.DialTimeouts == 0) {
				t.Errorf("it is %v, %d outages, %d timeouts", n.State, n.Outages, s.DialTimeouts)
			}
			b.plc(1).set(fine)
			time.Sleep(20 * time.Second)
			b.quit()
		})
	}
}

// A dial that the gateway gives up itself is no failure of that address: it is dialled again as soon as it is wanted.
func TestForgoneDialsAreNoFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.plc(1).mode = refuses
		b.plc(2).mode = blackHole
		b.apply(b.routed(2))
		b.run()
		time.Sleep(100 * time.Millisecond)
		if s := b.status("d0001"); s.Route != 1 || s.State != Opening {
			t.Fatalf("it is %v on %d", s.State, s.Route)
		}
		if err := b.UseRoute("d0001", 0, "by hand"); err != nil { // in the middle of the dial
			t.Error(err)
		}
		synctest.Wait()
		b.plc(2).set(fine)
		if err := b.UseRoute("d0001", 1, "by hand"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Millisecond)
		if s := b.status("d0001"); s.Route != 1 || s.State != Ready {
			t.Errorf("it is %v on %d: %s", s.State, s.Route, s.Reason)
		}
		b.quit()
	})
}
