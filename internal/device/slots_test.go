package device

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func (b *bench) wantSlots(when string, used, limit, halfOpen int) {
	b.t.Helper()
	s := b.Stats()
	if s.SlotsUsed != used || s.SlotsLimit != limit || s.HalfOpen != halfOpen {
		b.t.Errorf("%s: %d of %d slots used and %d half open, want %d of %d and %d", when, s.SlotsUsed, s.SlotsLimit, s.HalfOpen, used, limit, halfOpen)
	}
}

// A connection that ended while the device was silent is half open until the device is read again; its slot is ours to use, and counts are as they were in the end.
func TestSlotsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		one, two := b.spec(1, time.Second, 1), b.spec(2, time.Second, 1)
		two.Slots = 3
		two.Limits.Connections = 2
		b.apply(one, two)
		b.run()
		time.Sleep(5 * time.Second)
		b.wantSlots("at work", 3, 4, 0)
		if s := b.status("d0002"); s.Slots != 3 || s.SlotsUsed != 2 || s.HalfOpen != 0 {
			t.Errorf("%d of %d, %d half open", s.SlotsUsed, s.Slots, s.HalfOpen)
		}
		b.plc(2).set(silent)
		time.Sleep(5 * time.Second)
		if s := b.status("d0002"); s.HalfOpen < 2 {
			t.Errorf("it is %v, %d of %d, %d half open", s.State, s.SlotsUsed, s.Slots, s.HalfOpen)
		}
		if s := b.status("d0001"); s.HalfOpen != 0 || s.SlotsUsed != 1 {
			t.Errorf("its neighbour has %d half open, %d used", s.HalfOpen, s.SlotsUsed)
		}
		b.plc(2).set(refuses)
		time.Sleep(20 * time.Second)
		if s := b.status("d0002"); s.HalfOpen < 2 || s.SlotsUsed != 0 {
			t.Errorf("refusing: %d used, %d half open", s.SlotsUsed, s.HalfOpen)
		}
		b.plc(2).set(fine)
		time.Sleep(20 * time.Second)
		b.wantSlots("back", 3, 4, 0)
		b.apply(one)
		time.Sleep(time.Second)
		b.wantSlots("one removed", 1, 1, 0)
		b.quit()
		b.wantSlots("at the end", 0, 0, 0)
	})
}

// A guest from another address does not make those that are at home here more sparing: their connections stay.
func TestGuestsTakeSlotsAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		home, guest := b.spec(2, time.Second, 1), b.routed(2)
		home.Slots, home.Limits.Connections, home.RequestsPerSecond = 4, 4, 100
		guest.Routes[0].Addr.Path = "7"
		b.apply(home, guest)
		b.run()
		time.Sleep(5 * time.Second)
		b.plc(1).set(refuses)
		time.Sleep(30 * time.Second)
		if s := b.status("d0001"); s.Route != 1 || s.State != Ready || s.Slots != 4 || s.SlotsUsed != 4 {
			t.Errorf("the guest is %v on %d, %d of %d slots", s.State, s.Route, s.SlotsUsed, s.Slots)
		}
		if n := b.plc(2).dialled(); n != 1 {
			t.Errorf("the host was dialled %d times", n)
		}
		b.plc(1).set(fine)
		time.Sleep(3 * time.Minute)
		if s := b.status("d0001"); s.Route != 0 || b.plc(2).dialled() != 1 {
			t.Errorf("the guest is on %d, the host was dialled %d times", s.Route, b.plc(2).dialled())
		}
		b.quit()
	})
}

// A device has as many connections on the address that it goes to as on its own, and its standby there one. What it leaves has none.
func TestAStandbyGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.routed(2)
		s.Slots, s.Limits.Connections, s.Routing.Standby = 4, 3, true
		b.apply(s)
		b.run()
		time.Sleep(10 * time.Second)
		b.wantSlots("with its standby", 4, 8, 0)
		b.plc(1).set(refuses)
		time.Sleep(10 * time.Second)
		if s := b.status("d0001"); s.Route != 1 || s.SlotsUsed != 3 {
			t.Errorf("it is %v on %d with %d connections", s.State, s.Route, s.SlotsUsed)
		}
		two := b.plc(2)
		if got := two.grown; !slices.Equal(got, []int{3}) || !slices.Equal(two.allowed(), []int{1}) {
			t.Errorf("opened with %v, then %v", two.allowed(), got)
		}
		b.plc(1).set(fine)
		time.Sleep(3 * time.Minute)
		if s := b.status("d0001"); s.Route != 0 || s.SlotsUsed != 3 {
			t.Errorf("it is %v on %d with %d connections", s.State, s.Route, s.SlotsUsed)
		}
		b.quit()
		b.wantSlots("at the end", 0, 0, 0)
	})
}

// A pool that a reload has made larger grows without a new session, within what the gateway has.
func TestAPoolGrowsWithAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{MaxSessions: 3})
		one, other := b.spec(1, time.Second, 1), b.spec(2, time.Second, 1)
		one.Slots = 4
		b.apply(one, other)
		b.run()
		time.Sleep(5 * time.Second)
		one.Limits.Connections = 4
		b.apply(one, other)
		time.Sleep(5 * time.Second)
		if s, p := b.status("d0001"), b.plc(1); s.SlotsUsed != 2 || !slices.Equal(p.grown, []int{2}) || p.dialled() != 1 {
			t.Errorf("%d connections of 2 that there are, %v, dialled %d times", s.SlotsUsed, p.grown, p.dialled())
		}
		b.apply(one)
		time.Sleep(2 * growAgain)
		if s, p := b.status("d0001"), b.plc(1); s.SlotsUsed != 3 || !slices.Equal(p.grown, []int{2, 3}) || p.dialled() != 1 {
			t.Errorf("%d connections of 3 that there are, %v, dialled %d times", s.SlotsUsed, p.grown, p.dialled())
		}
		b.quit()
	})
}

// A device that turns us away while it may count a connection of ours that is dead is said to do so, and dialled seldom until it gives that up. One that was let know of the end is not.
func TestOurOwnConnectionIsInTheWay(t *testing.T) {
	for _, c := range []struct {
		how  mode // how it turns us away
		dead bool // it has not heard of the end
		why  string
		most int // dials in two minutes
	}{
		{noRoom, true, "of which it has not heard, may hold its place there still: it closed the connection", 50},
		{refuses, true, "of which it has not heard, may hold its place there still: it refuses the connection: nothing listens on that port", 120},
		{noRoom, false, "it closed the connection", 120},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, Config{})
			s := b.spec(1, time.Second, 1)
			s.Profile.MinCalls = 1000 // the breaker of its sessions stays closed
			b.apply(s)
			b.run()
			time.Sleep(5 * time.Second)
			if c.dead {
				b.plc(1).set(silent)
				for b.status(s.Name).State != Cooling {
					time.Sleep(time.Second)
				}
				b.plc(1).set(c.how)
			} else {
				b.plc(1).change(func(p *plc) { p.mode, p.broken = noRoom, p.sessions })
			}
			time.Sleep(10 * time.Second)
			before := b.plc(1).dialled()
			time.Sleep(2 * time.Minute)
			st := b.status(s.Name)
			if !strings.HasSuffix(st.Reason, c.why) || c.dead != strings.Contains(st.Reason, "a connection of ours that ended 2m") {
				t.Errorf("mode %d: %q, want %q", c.how, st.Reason, c.why)
			}
			if ago := time.Since(st.HalfOpenSince); (st.HalfOpen > 0) != c.dead || c.dead && (ago < 2*time.Minute || ago > 3*time.Minute) || !c.dead && !st.HalfOpenSince.IsZero() {
				t.Errorf("mode %d: %d half open, for %v", c.how, st.HalfOpen, ago)
			}
			if n := b.plc(1).dialled() - before; n > c.most || n < 10 {
				t.Errorf("mode %d: %d dials in two minutes", c.how, n)
			}
			b.plc(1).set(fine)
			time.Sleep(s.Profile.Cap + time.Second)
			if st := b.status(s.Name); st.State != Ready || st.HalfOpen != 0 || !st.HalfOpenSince.IsZero() {
				t.Errorf("mode %d: back, it is %v, %d half open since %v", c.how, st.State, st.HalfOpen, st.HalfOpenSince)
			}
			b.quit()
		})
	}
}
