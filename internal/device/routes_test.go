package device

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/tag"
)

// routed returns the spec of device 1 with so many addresses, each a PLC of its own: 1, 2, ...
func (b *bench) routed(addresses int) Spec {
	s := b.spec(1, time.Second, 3)
	for n := 2; n <= addresses; n++ {
		s.Routes = append(s.Routes, Route{Addr: Addr{Scheme: "fake", Host: fmt.Sprintf("plc%d:502", n), Path: "1"}, Name: fmt.Sprintf("way %d", n)})
	}
	return s
}

// bad returns the rows so far that are not good.
func (b *bench) bad() []row {
	b.book.mu.Lock()
	defer b.book.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.book.rows), func(r row) bool { return r.quality == tag.Good })
}

// acts returns what the gateway did about routes by itself so far.
func (b *bench) acts() []string {
	b.book.mu.Lock()
	defer b.book.mu.Unlock()
	var out []string
	for _, ev := range b.book.events {
		if ev.Act == "route" || ev.Act == "standby" {
			out = append(out, ev.Act+": "+ev.Reason)
		}
	}
	return out
}

func (b *bench) wantActs(want ...string) {
	b.t.Helper()
	if got := b.acts(); !slices.Equal(got, want) {
		b.t.Errorf("the gateway did\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A device whose address goes silent is read over the other one, no value becomes bad, and it goes back when the first one has answered for long enough.
func TestRouteThere_AndBack(t *testing.T) {
	for _, how := range []mode{silent, blackHole, refuses} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, Config{})
			b.apply(b.routed(2))
			b.run()
			time.Sleep(10 * time.Second)
			b.plc(1).set(how)
			time.Sleep(10 * time.Second)
			s := b.status("d0001")
			if s.State != Ready || s.Route != 1 || s.Endpoint != "fake://plc2:502/1" || s.RouteChanges != 1 {
				t.Fatalf("mode %d: it is %v on %s: %+v", how, s.State, s.Endpoint, s.Routes)
			}
			if r := s.Routes[0]; r.State != RouteFailed && r.State != RouteTrying || s.Routes[1].State != RouteInUse || s.Routes[1].Name != "way 2" {
				t.Errorf("mode %d: routes are %+v", how, s.Routes)
			}
			time.Sleep(2 * time.Minute)
			if s := b.status("d0001"); s.Route != 1 || s.RouteChanges != 1 {
				t.Errorf("mode %d: it does not stay where it is answered: %+v", how, s.Routes)
			}
			b.plc(1).set(fine)
			time.Sleep(4 * time.Second)
			if s := b.status("d0001"); s.Route != 1 {
				t.Errorf("mode %d: one answer and it is back", how)
			}
			time.Sleep(time.Minute)
			s = b.status("d0001")
			if s.Route != 0 || s.State != Ready || s.Standby || s.Routes[1].State != RouteIdle {
				t.Errorf("mode %d: it does not go back: %+v", how, s.Routes)
			}
			if bad := b.bad(); len(bad) != 0 || s.Outages != 0 {
				t.Errorf("mode %d: %d outages, rows that are not good: %v", how, s.Outages, bad)
			}
			if n := b.plc(2).connections(); n != 0 {
				t.Errorf("mode %d: %d connections are left on the other address", how, n)
			}
			acts := b.acts()
			if len(acts) != 2 || !strings.HasPrefix(acts[0], "route: takes fake://plc2:502/1 (way 2): ") ||
				acts[1] != "route: takes fake://plc1:502/1: it answered there 5 times in a row" {
				t.Errorf("mode %d: it did %q", how, acts)
			}
			b.quit()
		})
	}
}

// When all addresses fail the device is down, once, and it is back with the first of them that answers.
func TestAllRoutesFail(t *testing.T) {
	for _, back := range []uint32{1, 2, 3} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, Config{})
			s := b.routed(3)
			b.apply(s)
			b.run()
			time.Sleep(10 * time.Second)
			for n, how := range []mode{silent, refuses, blackHole} {
				b.plc(uint32(n + 1)).set(how)
			}
			time.Sleep(time.Minute)
			st := b.status("d0001")
			if st.State.connected() && st.State != Suspect || st.Outages != 1 || st.DownSince.IsZero() {
				t.Errorf("it is %v after %d outages", st.State, st.Outages)
			}
			if q := b.last(100).Quality; !q.IsBad() && !q.IsUncertain() {
				t.Errorf("its values are %v", q)
			}
			dials := b.plc(2).dialled()
			if dials > 40 {
				t.Errorf("%d dials in a minute", dials)
			}
			b.plc(back).set(fine)
			time.Sleep(s.Profile.Cap + 3*s.Profile.Ceiling + 3*time.Second)
			st = b.status("d0001")
			if st.State != Ready || st.Route != int(back-1) || !st.DownSince.IsZero() || b.last(100).Quality != tag.Good {
				t.Errorf("back on %d: it is %v on %s, its value %v", back, st.State, st.Endpoint, b.last(100).Quality)
			}
			b.quit()
		})
	}
}

// A standby makes a change of address free: no dial, and the next due time is kept.
func TestStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.routed(2))
		b.run()
		time.Sleep(10 * time.Second)
		if err := b.OpenStandby("d0001", "the line to it is noisy"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if s := b.status("d0001"); !s.Standby || s.Route != 0 || s.Routes[1].State != RouteStandby || b.plc(2).connections() != 1 {
			t.Fatalf("no standby: %+v", s.Routes)
		}
		if err := b.UseRoute("d0001", 1, "we want to"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if n := b.plc(2).dialled(); n != 1 {
			t.Errorf("%d dials for a standby and a change to it", n)
		}
		if s := b.status("d0001"); s.Route != 1 || !s.RoutePinned || s.State != Ready || s.Groups[0].Missed != 0 {
			t.Errorf("it is %v on %d, %d missed", s.State, s.Route, s.Groups[0].Missed)
		}
		if n := b.plc(1).connections(); n != 0 {
			t.Errorf("%d connections on the address that was left", n)
		}
		if err := b.UseRoute("d0001", -1, "as you like"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if s := b.status("d0001"); s.Route != 0 || s.RoutePinned {
			t.Errorf("it is on %d", s.Route)
		}
		b.wantActs(
			"standby: opens a standby on fake://plc2:502/1 (way 2): the line to it is noisy",
			"route: takes fake://plc2:502/1 (way 2): we want to",
			"route: chooses its address by itself again: as you like",
			"route: takes fake://plc1:502/1: it answered there 12 times in a row",
		)
		st := b.Stats()
		if st.RouteChanges != 2 || st.Standbys != 1 {
			t.Errorf("counted %d changes and %d standbys", st.RouteChanges, st.Standbys)
		}
		b.quit()
	})
}

// A standby that nobody needed is let go; one that is always wanted is there at all times.
func TestStandbyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.routed(2)
		b.apply(s)
		b.run()
		time.Sleep(10 * time.Second)
		if err := b.OpenStandby("d0001", "just in case"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Second)
		if !b.status("d0001").Standby {
			t.Error("no standby")
		}
		time.Sleep(20 * time.Second)
		if b.status("d0001").Standby || b.plc(2).connections() != 0 {
			t.Error("the standby stays")
		}
		s.Routing.Standby = true
		b.apply(s)
		time.Sleep(10 * time.Second)
		if !b.status("d0001").Standby {
			t.Error("no standby although one is always wanted")
		}
		time.Sleep(5 * time.Minute)
		if !b.status("d0001").Standby || b.plc(2).dialled() != 2 {
			t.Errorf("the standby was dialled %d times", b.plc(2).dialled())
		}
		b.quit()
	})
}

// Of a redundant pair the one is read whose tag says that it is in charge, and while none says so nothing changes.
func TestRedundantPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.routed(2)
		s.Routing = Routing{Active: Active{Tag: "t0", Value: 1}, Probes: -1, Every: time.Second}
		charge := map[uint32]uint64{1: 1, 2: 0}
		for n := uint32(1); n <= 2; n++ {
			b.plc(n).value = func(id tag.ID) (tag.Kind, uint64, tag.Quality) {
				b.book.mu.Lock()
				defer b.book.mu.Unlock()
				if id == 100 {
					return tag.Bool, charge[n], tag.Good
				}
				return tag.Uint32, uint64(n), tag.Good
			}
		}
		put := func(one, two uint64) {
			b.book.mu.Lock()
			defer b.book.mu.Unlock()
			charge[1], charge[2] = one, two
		}
		b.apply(s)
		b.run()
		time.Sleep(time.Minute)
		if st := b.status("d0001"); st.Route != 0 || b.plc(2).dialled() != 0 {
			t.Errorf("on %d, the other one dialled %d times", st.Route, b.plc(2).dialled())
		}
		put(0, 0)
		time.Sleep(time.Minute)
		if st := b.status("d0001"); st.Route != 0 || st.RouteChanges != 0 || !st.Standby {
			t.Errorf("none is in charge, and it is on %d after %d changes", st.Route, st.RouteChanges)
		}
		put(0, 1)
		time.Sleep(5 * time.Second)
		if st := b.status("d0001"); st.Route != 1 || b.last(101).Value.Bits != 2 {
			t.Errorf("the other one is in charge, and it is on %d", st.Route)
		}
		put(1, 0)
		time.Sleep(10 * time.Second)
		if st := b.status("d0001"); st.Route != 0 || st.RouteChanges != 2 || b.last(101).Value.Bits != 1 {
			t.Errorf("the first one is in charge again, and it is on %d", st.Route)
		}
		b.wantActs("route: takes fake://plc2:502/1 (way 2): t0 says that the other one is in charge", "route: takes fake://plc1:502/1: t0 says that the other one is in charge")
		b.quit()
	})
}

// Devices that go from address to address, and the scouts that they send, share no wait with the others: those are polled as without them, to the nanosecond.
func TestIsolationFromRoutes(t *testing.T) {
	run := func(fault mode) (healthy map[string][]time.Time) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, Config{})
			b.book.forgetful = true
			var specs []Spec
			for n := uint32(1); n <= 200; n++ {
				s := b.spec(n, time.Second, 2)
				if n%20 == 0 {
					s.Routes = []Route{{Addr: Addr{Scheme: "fake", Host: fmt.Sprintf("plc%d:502", 1000+n), Path: "1"}}}
				}
				specs = append(specs, s)
			}
			b.apply(specs...)
			b.run()
			time.Sleep(10 * time.Second)
			for n := uint32(20); n <= 200; n += 20 {
				b.plc(n).set(fault)
			}
			time.Sleep(20 * time.Second)
			for n := uint32(20); n <= 200; n += 20 {
				if s := b.status(fmt.Sprintf("d%04d", n)); (s.Route == 1) != (fault != fine) {
					t.Errorf("mode %d: device %d is %v on %d", fault, n, s.State, s.Route)
				}
			}
			healthy = b.polls()
			for n := uint32(20); n <= 200; n += 20 {
				delete(healthy, fmt.Sprintf("plc%d:502", n))
				delete(healthy, fmt.Sprintf("plc%d:502", 1000+n))
			}
			b.quit()
		})
		return healthy
	}
	want := run(fine)
	for _, fault := range []mode{silent, blackHole, refuses} {
		got := run(fault)
		for host, times := range want {
			if !slices.EqualFunc(times, got[host], time.Time.Equal) {
				t.Fatalf("mode %d: %s was polled %d times, without the fault %d times, or at others", fault, host, len(got[host]), len(times))
			}
		}
	}
}

// A reload leaves a device on the address that it is on, as long as it has that address.
func TestReloadKeepsRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.routed(3)
		s.Routing.Probes = -1
		b.apply(s)
		b.run()
		time.Sleep(5 * time.Second)
		b.plc(1).set(refuses)
		b.plc(2).set(refuses)
		time.Sleep(10 * time.Second)
		if st := b.status("d0001"); st.Route != 2 {
			t.Fatalf("on %d", st.Route)
		}
		dials := b.plc(1).dialled()
		s.Routes = s.Routes[1:]
		b.apply(s)
		time.Sleep(10 * time.Second)
		if st := b.status("d0001"); st.Route != 1 || st.State != Ready || b.plc(3).dialled() != 1 || b.plc(1).dialled() != dials {
			t.Errorf("on %d, %v; dialled %d times there, %d times more at the first", st.Route, st.State, b.plc(3).dialled(), b.plc(1).dialled()-dials)
		}
		if bad := b.bad(); len(bad) != 0 {
			t.Errorf("rows that are not good: %v", bad)
		}
		s.Routes = nil
		b.plc(1).set(fine)
		b.apply(s)
		time.Sleep(10 * time.Second)
		if st := b.status("d0001"); st.Route != 0 || st.State != Ready || b.plc(3).connections() != 0 {
			t.Errorf("on %d, %v", st.Route, st.State)
		}
		b.quit()
	})
}

func TestRouteErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.routed(2), b.spec(7, time.Second, 1))
		var unknown *UnknownError
		var wrong *RouteError
		if err := b.UseRoute("nobody", 0, ""); !errors.As(err, &unknown) {
			t.Errorf("%v", err)
		}
		if err := b.UseRoute("d0001", 2, ""); !errors.As(err, &wrong) || wrong.Retryable() || wrong.Error() != "device: route 2 of d0001: it has 2" {
			t.Errorf("%v", err)
		}
		if err := b.OpenStandby("d0007", ""); !errors.As(err, &wrong) {
			t.Errorf("%v", err)
		}
		if err := b.UseRoute("d0007", 0, ""); err != nil {
			t.Errorf("%v", err)
		}
		for _, wreck := range []func(s *Spec){
			func(s *Spec) { s.Routes[0].Addr = s.Addr },
			func(s *Spec) { s.Routes = make([]Route, maxRoutes) },
			func(s *Spec) { s.Routing.Stay = -1 },
			func(s *Spec) { s.Routing.Every = 1 },
			func(s *Spec) { s.Routing.Active.Tag = "t9" },
		} {
			s := b.routed(2)
			wreck(&s)
			if _, err := b.Apply([]Spec{s}); err == nil {
				t.Errorf("%+v is let pass", s.Routing)
			}
		}
		b.run()
		time.Sleep(time.Second)
		b.quit()
	})
}

// Whatever the addresses do and whoever changes them, there is one session an address at most, one row after the other, and the device is read when an address answers.
func TestRoutesUnderFaults(t *testing.T) {
	for range 20 {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			b := newBench(t, Config{Seed: seed})
			var specs []Spec
			for n := uint32(1); n <= 4; n++ { // all share the addresses
				s := b.routed(3)
				other := b.spec(n, time.Duration(200+300*r.IntN(4))*time.Millisecond, 2)
				s.Name, s.Number, s.Groups = other.Name, n, other.Groups
				s.Addr.Path = fmt.Sprint(n)
				for i := range s.Routes {
					s.Routes[i].Addr.Path = fmt.Sprint(n)
				}
				s.Routing.Standby = n == 2
				specs = append(specs, s)
			}
			for n := uint32(1); n <= 3; n++ {
				b.plc(n).latency = time.Duration(r.IntN(30)) * time.Millisecond
			}
			b.apply(specs...)
			b.run()
			for range 60 {
				time.Sleep(time.Duration(r.IntN(5000)) * time.Millisecond)
				name := specs[r.IntN(len(specs))].Name
				switch r.IntN(6) {
				case 0:
					_ = b.UseRoute(name, r.IntN(4)-1, "chance")
				case 1:
					_ = b.OpenStandby(name, "chance")
				case 2:
					_ = b.SetOutOfService(name, r.IntN(2) == 0, "")
				case 3:
					i := r.IntN(len(specs))
					specs[i].RequestsPerSecond = float64(50 + r.IntN(50))
					b.apply(specs...)
				default:
					b.plc(uint32(1 + r.IntN(3))).set(mode(r.IntN(5)))
				}
			}
			for n := uint32(1); n <= 3; n++ {
				b.plc(n).set(fine)
			}
			for _, s := range specs {
				_ = b.SetOutOfService(s.Name, false, "")
				_ = b.UseRoute(s.Name, -1, "")
			}
			time.Sleep(3 * time.Minute)
			for _, s := range specs {
				if st := b.status(s.Name); st.State != Ready || st.Route != 0 || time.Since(st.Groups[0].LastRead) > time.Duration(5*st.Stretch)*time.Second {
					t.Errorf("seed %d: %s is %v (%s) on %d, read last %v ago", seed, s.Name, st.State, st.Reason, st.Route, time.Since(st.Groups[0].LastRead))
				}
			}
			b.apply()
			time.Sleep(time.Minute)
			if n := b.counters.endpoints.Load(); n != 0 {
				t.Errorf("seed %d: %d endpoints are left", seed, n)
			}
			b.quit()
		})
		if t.Failed() {
			return
		}
	}
}

// A device that went back is read over as many connections as before.
func TestPoolAfterTheWayBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.routed(2)
		s.Slots, s.Limits.Connections = 4, 4
		b.apply(s)
		b.run()
		time.Sleep(10 * time.Second)
		b.plc(1).set(refuses)
		time.Sleep(10 * time.Second)
		b.plc(1).set(fine)
		time.Sleep(2 * time.Minute)
		if st := b.status("d0001"); st.Route != 0 || st.RouteChanges != 2 || st.SlotsUsed != 4 {
			t.Errorf("it is on %d after %d changes, over %d connections", st.Route, st.RouteChanges, st.SlotsUsed)
		}
		b.quit()
	})
}

// How a long outage began is remembered, however often the device was looked for at its other addresses.
func TestHopsOfAnOutageAreNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.routed(3))
		b.run()
		time.Sleep(10 * time.Second)
		for n := range uint32(3) {
			b.plc(n + 1).set(refuses)
		}
		time.Sleep(30 * time.Minute)
		ev, _ := b.Evidence("d0001")
		first := ev.Happenings[len(ev.Happenings)-1]
		if age := time.Since(first.At); len(ev.Happenings) == mostHappenings || age < 29*time.Minute {
			t.Errorf("%d are remembered, the first is of %v ago: %+v", len(ev.Happenings), age, first)
		}
		b.quit()
	})
}
