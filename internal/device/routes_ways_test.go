package device

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/tag"
)

// Who comes back to the first address without a value of what is asked, another PLC or one without its program, is not gone back to while the device has values elsewhere.
func TestNoWayBackToAnotherDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.routed(2)
		s.Routing.Standby = true
		b.apply(s)
		b.run()
		time.Sleep(10 * time.Second)
		b.plc(1).set(blackHole)
		time.Sleep(20 * time.Second)
		b.plc(1).change(func(p *plc) {
			p.value = func(tag.ID) (tag.Kind, uint64, tag.Quality) { return tag.Null, 0, tag.BadNodeIDUnknown }
		})
		b.plc(1).set(fine)
		time.Sleep(10 * time.Minute)
		st := b.status("d0001")
		if st.Route != 1 || st.State != Ready || b.last(100).Quality != tag.Good || len(b.bad()) != 0 {
			t.Errorf("it is %v on %d, %v: %+v", st.State, st.Route, b.last(100).Quality, st.Routes)
		}
		if r := st.Routes[0]; r.State != RouteTrying || !strings.Contains(r.Cause, "another device") || st.Standby {
			t.Errorf("%+v", r)
		}
		b.plc(1).change(func(p *plc) { p.value = nil })
		time.Sleep(time.Minute)
		if st := b.status("d0001"); st.Route != 0 || b.last(100).Quality != tag.Good {
			t.Errorf("its program is back: it is on %d, %+v", st.Route, st.Routes)
		}
		b.quit()
	})
}

// Two addresses may be two units behind one gateway: a neighbour there has no outage, and the silent unit is left and gone back to as any other address is.
func TestRouteToAnotherUnitOfAGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, time.Second, 3)
		s.Routes = []Route{{Addr: Addr{Scheme: "fake", Host: s.Addr.Host, Path: "2"}}}
		n := b.spec(2, time.Second, 3)
		n.Addr = Addr{Scheme: "fake", Host: s.Addr.Host, Path: "3"}
		b.apply(s, n)
		b.run()
		time.Sleep(10 * time.Second)
		b.plc(1).change(func(p *plc) { p.dead = "1" })
		time.Sleep(10 * time.Second)
		if st := b.status("d0001"); st.State != Ready || st.Route != 1 || len(b.bad()) != 0 {
			t.Errorf("it is %v on %d (%s), %d bad", st.State, st.Route, st.Reason, len(b.bad()))
		}
		time.Sleep(5 * time.Minute)
		if st := b.status("d0002"); st.State != Ready || st.Outages != 0 {
			t.Errorf("its neighbour: %v, %d outages, %d missed", st.State, st.Outages, st.Groups[0].Missed)
		}
		b.plc(1).change(func(p *plc) { p.dead = "" })
		time.Sleep(2 * time.Minute)
		if st := b.status("d0001"); st.State != Ready || st.Route != 0 || len(b.bad()) != 0 {
			t.Errorf("back: it is %v on %d (%s), %+v, %d bad", st.State, st.Route, st.Reason, st.Routes, len(b.bad()))
		}
		if d := b.plc(1).dialled(); d > 2 { // one more at most, where nobody else was read while it was silent
			t.Errorf("%d dials", d)
		}
		b.quit()
	})
}

// Every way in which one address and then the other one may vanish ends in an outage, and whenever they come back the device is read in time, and at its first address in the end.
func TestEveryWayToVanishAndToReturnOverRoutes(t *testing.T) {
	ways := []mode{silent, blackHole, refuses, mute, noRoom}
	for _, one := range ways {
		for _, other := range ways {
			for _, back := range []time.Duration{0, 300 * time.Millisecond, 20 * time.Second} {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, Config{})
					b.apply(b.routed(2))
					b.run()
					time.Sleep(5 * time.Second)
					vanish := func(n uint32, m mode) {
						b.plc(n).change(func(p *plc) { p.mode, p.broken = m, p.sessions })
					}
					vanish(1, one)
					time.Sleep(700 * time.Millisecond)
					vanish(2, other)
					time.Sleep(30 * time.Second)
					if st := b.status("d0001"); !st.DownSince.IsZero() == (b.last(100).Quality == tag.Good) {
						t.Errorf("%v and %v: down since %v, and its value is %v", one, other, st.DownSince, b.last(100).Quality)
					}
					b.plc(2).set(fine)
					time.Sleep(back)
					b.plc(1).set(fine)
					time.Sleep(15 * time.Second) // cap, timeouts
					if st := b.status("d0001"); st.State != Ready || b.last(100).Quality != tag.Good {
						t.Errorf("%v and %v, back after %v: it is %v on %d, %s", one, other, back, st.State, st.Route, st.Reason)
					}
					time.Sleep(3 * time.Minute)
					if st := b.status("d0001"); st.Route != 0 || st.HalfOpen != 0 {
						t.Errorf("%v and %v, back after %v: it is on %d, %d half open, %+v", one, other, back, st.Route, st.HalfOpen, st.Routes)
					}
					b.quit()
				})
			}
		}
	}
}
