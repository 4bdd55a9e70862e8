package device

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// crowd is one PLC with groups of those intervals, a turn of which takes latency.
func crowd(t *testing.T, latency time.Duration, intervals ...time.Duration) (*bench, string) {
	return crowdWith(t, Config{}, latency, intervals...)
}

func crowdWith(t *testing.T, c Config, latency time.Duration, intervals ...time.Duration) (*bench, string) {
	b := newBench(t, c)
	b.book.forgetful = true
	s := b.spec(1, intervals[0], 1)
	for i, interval := range intervals[1:] {
		g := b.spec(uint32(2+i), interval, 1).Groups[0]
		g.Name = fmt.Sprintf("g%d", 2+i)
		s.Groups = append(s.Groups, g)
	}
	s.Groups[0].Name = "g1"
	b.plc(1).latency = latency
	b.apply(s)
	b.run()
	return b, s.Name
}

// did returns what was done of itself, without the time.
func (b *bench) did(act string) (all []string) {
	b.book.mu.Lock()
	defer b.book.mu.Unlock()
	for _, ev := range b.book.events {
		if ev.Act == act {
			all = append(all, ev.Reason)
		}
	}
	return all
}

func (b *bench) every(name string) (all []time.Duration) {
	for _, g := range b.status(name).Groups {
		all = append(all, g.Every)
	}
	return all
}

// Who takes the time of an endpoint is said while everything is still on time.
func TestCulpritIsNamedBeforeAnythingIsMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, name := crowd(t, 100*time.Millisecond, 330*time.Millisecond, 330*time.Millisecond, 500*time.Millisecond)
		time.Sleep(5 * time.Second)
		began := b.status(name)
		time.Sleep(time.Minute)
		s := b.status(name)
		if s.Load < 0.80 || s.Load > 0.81 {
			t.Errorf("load %v, turns of 100 ms twice each 330 and once each 500 ms are 0.806", s.Load)
		}
		for i, g := range s.Groups {
			if g.Missed != began.Groups[i].Missed || g.Every != g.Interval {
				t.Errorf("%s: %d missed, read each %v", g.Name, g.Missed, g.Every)
			}
		}
		const want = "the connection of d0001 is busy 81 % of the time: group g1 of d0001 takes 30 %, 100ms each 330ms"
		if got := b.did("load"); !slices.Equal(got, []string{want}) || s.LoadWhy != want {
			t.Errorf("said:\n%s\nand %q, want\n%s", strings.Join(got, "\n"), s.LoadWhy, want)
		}
		if n := b.Stats().Crowded; n != 1 {
			t.Errorf("%d endpoints are crowded", n)
		}
		b.plc(1).change(func(p *plc) { p.latency = 10 * time.Millisecond })
		time.Sleep(time.Minute)
		if s := b.status(name); s.LoadWhy != "" || b.Stats().Crowded != 0 || len(b.did("load")) != 2 {
			t.Errorf("with time again: %q, %v", s.LoadWhy, b.did("load"))
		}
		b.quit()
	})
}

// When who was named goes elsewhere, or is taken away, the next one is named while time is short, and nobody when it is not.
func TestTheNextCulpritIsNamed(t *testing.T) {
	for _, how := range []string{"it goes", "it is removed", "all go"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, Config{})
			b.book.forgetful = true
			var specs []Spec
			for n := uint32(1); n <= 5; n++ {
				s := b.spec(n, 550*time.Millisecond, 1)
				if s.Addr.Host, s.Addr.Path = "plc1:502", fmt.Sprint(n); n == 3 {
					s.Groups[0].Interval = 500 * time.Millisecond
				}
				s.Routes = []Route{{Addr: Addr{Scheme: "fake", Host: fmt.Sprintf("other%d:502", n), Path: "1"}}}
				specs = append(specs, s)
			}
			b.plc(1).latency = 100 * time.Millisecond
			b.apply(specs...)
			b.run()
			time.Sleep(10 * time.Second)
			if s := b.status("d0003"); !strings.Contains(s.LoadWhy, "group fast of d0003 takes 20 %") || b.Stats().Crowded != 1 {
				t.Fatalf("%q, %d endpoints are crowded", s.LoadWhy, b.Stats().Crowded)
			}
			leave := func(n int) {
				if err := b.UseRoute(b.name(uint32(n)), 1, "by hand"); err != nil {
					t.Fatal(err)
				}
			}
			crowded := 1
			switch how {
			case "it goes":
				leave(3)
			case "it is removed":
				b.apply(append(slices.Clone(specs[:2]), specs[3:]...)...)
			case "all go":
				crowded = 0
				for n := 1; n <= 5; n++ {
					leave(n)
				}
			}
			time.Sleep(10 * time.Second)
			var named []string
			for _, s := range b.Devices() {
				if s.LoadWhy != "" {
					named = append(named, s.Name+": "+s.LoadWhy)
				}
			}
			if len(named) != crowded || crowded == 1 && !strings.Contains(named[0], "is busy 73 % of the time: group fast of d0001 takes 18 %") {
				t.Errorf("%s: named are %q", how, named)
			}
			if n := b.Stats().Crowded; n != crowded {
				t.Errorf("%s: %d endpoints are crowded", how, n)
			}
			b.quit()
			if n := b.Stats().Crowded; n != 0 {
				t.Errorf("%s: in the end %d endpoints are crowded", how, n)
			}
		})
	}
}

// The longest interval is stretched first, equal ones in turn, as far as needed and no further than eightfold, and comes back last.
func TestOverloadStretchesTheSlowestGroupsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ms := func(all ...int) (d []time.Duration) {
			for _, n := range all {
				d = append(d, time.Duration(n)*time.Millisecond)
			}
			return d
		}
		b, name := crowd(t, 100*time.Millisecond, ms(320, 320, 500, 1000, 1000)...)
		time.Sleep(time.Minute)
		if got := b.every(name); !slices.Equal(got, ms(320, 320, 500, 4000, 2000)) {
			t.Errorf("read each %v", got)
		}
		s, st := b.status(name), b.Stats()
		if s.Stretch != 4 || !strings.Contains(s.StretchWhy, "overloaded: the turns of all groups take 102 %") || st.Stretched != 1 || st.Shed != 3 {
			t.Errorf("stretch %v, %q; %d stretched, %d shed", s.Stretch, s.StretchWhy, st.Stretched, st.Shed)
		}
		time.Sleep(time.Minute)
		for i, g := range b.status(name).Groups {
			if g.Missed != s.Groups[i].Missed {
				t.Errorf("%s missed %d more once there was time", g.Name, g.Missed-s.Groups[i].Missed)
			}
		}
		b.plc(1).change(func(p *plc) { p.latency = 2 * time.Millisecond })
		time.Sleep(5 * time.Minute)
		if s := b.status(name); s.Stretch != 1 || s.StretchWhy != "" || b.Stats().Stretched != 0 || !slices.Equal(b.every(name), ms(320, 320, 500, 1000, 1000)) {
			t.Errorf("with time again: stretch %v, %q, read each %v", s.Stretch, s.StretchWhy, b.every(name))
		}
		var order []string
		for _, a := range b.did("stretch") {
			order = append(order, strings.Join(strings.Fields(a)[1:6], " "))
		}
		if want := []string{
			"g4 is read each 2s", "g5 is read each 2s", "g4 is read each 4s",
			"g4 is read each 2s", "g4 is read each 1s", "g5 is read each 1s",
		}; !slices.Equal(order, want) {
			t.Errorf("in order:\n%s", strings.Join(b.did("stretch"), "\n"))
		}
		b.quit()
	})
}

// A turn is not broken off: that a fast group has to wait for a long turn is said, however little there is to do.
func TestBlockedGroupIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, name := crowd(t, 30*time.Millisecond, 50*time.Millisecond, 10*time.Second)
		time.Sleep(30 * time.Second)
		const want = "group g1 of d0001, which takes 30ms, cannot be read each 50ms: it has to wait for group g2 of d0001, which takes 30ms"
		if got := b.status(name).LoadWhy; got != want {
			t.Errorf("said %q", got)
		}
		b.quit()
	})
}

// No interval comes back for which there is no time.
func TestOverloadDoesNotFlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, name := crowd(t, 600*time.Millisecond, time.Second, time.Second)
		time.Sleep(time.Hour)
		if got := b.did("stretch"); len(got) != 1 || !slices.Equal(b.every(name), []time.Duration{2 * time.Second, time.Second}) {
			t.Errorf("read each %v after %v", b.every(name), got)
		}
		b.quit()
	})
}

func TestStretchByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, name := crowd(t, time.Millisecond, 100*time.Millisecond)
		time.Sleep(time.Second)
		for _, factor := range []float64{0, 0.5, 1001, -1} {
			if err := b.Stretch(name, factor, "x"); err == nil {
				t.Errorf("stretched %v times", factor)
			}
		}
		if err := b.Stretch("nobody", 2, "x"); !strings.Contains(fmt.Sprint(err), "nobody") {
			t.Errorf("an unknown name: %v", err)
		}
		for _, factor := range []float64{5, 5, 1} {
			if err := b.Stretch(name, factor, "the line is slow"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			time.Sleep(time.Second)
			before := b.status(name).Reads
			time.Sleep(10 * time.Second)
			s := b.status(name)
			if n := s.Reads - before; n != uint64(100/factor) || s.Stretch != factor || (s.StretchWhy == "") != (factor == 1) || s.Groups[0].Missed != 0 {
				t.Errorf("%v times: %d reads, %v, %q, %d missed", factor, n, s.Stretch, s.StretchWhy, s.Groups[0].Missed)
			}
		}
		if got := b.did("stretch"); !slices.Equal(got, []string{
			"its intervals are 5 times what is configured: the line is slow", "its intervals are as configured again: the line is slow",
		}) {
			t.Errorf("said %q", got)
		}
		b.quit()
	})
}

// What somebody asked for outlives a reload that changes the device.
func TestStretchIsInherited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, time.Second, 1)
		b.apply(s)
		b.run()
		time.Sleep(2 * time.Second)
		if err := b.Stretch(s.Name, 4, "healing"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.Reason = "changed"
		b.apply(s)
		time.Sleep(10 * time.Second)
		if st := b.status(s.Name); st.Stretch != 4 || st.StretchWhy != "healing" || st.Groups[0].Every != 4*time.Second || b.Stats().Stretched != 1 {
			t.Errorf("after a reload: %v, %q, each %v; %d stretched", st.Stretch, st.StretchWhy, st.Groups[0].Every, b.Stats().Stretched)
		}
		b.apply()
		time.Sleep(time.Second)
		if n := b.Stats().Stretched; n != 0 {
			t.Errorf("%d stretched of no devices", n)
		}
		b.quit()
	})
}

// Who was stretched for others comes back when these are gone, however much time it takes: it is in nobody's way.
func TestIntervalComesBackOfWhoIsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.book.forgetful = true
		b.plc(1).latency = 800 * time.Millisecond
		b.apply(b.units(2)...)
		b.run()
		time.Sleep(time.Minute)
		if every := b.every("d0001")[0]; every != 2*time.Second {
			t.Errorf("read each %v", every)
		}
		if err := b.SetOutOfService("d0002", true, "repair"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if every := b.every("d0001")[0]; every != time.Second {
			t.Errorf("alone it is read each %v", every)
		}
		b.quit()
	})
}

// What is said of the load of a connection does not go along to another one.
func TestLoadIsOfTheAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.book.forgetful = true
		b.plc(1).latency = 900 * time.Millisecond
		b.apply(b.routed(2))
		b.run()
		time.Sleep(20 * time.Second)
		if s := b.status(b.name(1)); s.LoadWhy == "" {
			t.Errorf("busy for %v of the time, and nothing is said", s.Load)
		}
		if err := b.UseRoute(b.name(1), 1, "try it"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if s := b.status(b.name(1)); s.LoadWhy != "" || s.Load > 0.5 {
			t.Errorf("at an address that answers at once: %v, %s", s.Load, s.LoadWhy)
		}
		b.quit()
	})
}

// Waiting for a device that is silent is not work: neither its own intervals are stretched for it nor, once it is back, those of others on its connection. When all of them are silent nothing is said of
// the load of a connection on which nothing is read.
func TestSilenceIsNoLoad(t *testing.T) {
	for _, who := range []string{"alone", "one of three", "all three"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, Config{})
			b.book.forgetful = true
			b.plc(1).latency = 5 * time.Millisecond
			specs := b.units(3)
			silence := func(on bool) {
				b.plc(1).change(func(p *plc) {
					if p.dead, p.mode = "", fine; on && who == "all three" {
						p.mode = silent
					} else if on {
						p.dead = specs[0].Addr.Path
					}
				})
			}
			if who == "alone" {
				specs = specs[:1]
			}
			for i := range specs {
				g := b.spec(uint32(10+i), 10*time.Second, 2).Groups[0]
				g.Name = "slow"
				specs[i].Groups = append(specs[i].Groups, g)
			}
			b.apply(specs...)
			b.run()
			time.Sleep(20 * time.Second)
			silence(true)
			for range 120 {
				time.Sleep(time.Second)
				if s := b.status(specs[0].Name); s.Load > 0.5 {
					t.Fatalf("%s: %v, its connection is busy %v of the time", who, s.State, s.Load)
				}
			}
			silence(false)
			time.Sleep(2 * time.Minute)
			if s := b.status(specs[0].Name); s.State != Ready || s.Load > 0.05 {
				t.Errorf("%s: back again it is %v, and the connection is busy %v of the time", who, s.State, s.Load)
			}
			if said := append(b.did("load"), b.did("stretch")...); len(said) > 0 {
				t.Errorf("%s: said of load:\n%s", who, strings.Join(said, "\n"))
			}
			b.quit()
		})
	}
}

// Now and then a reply is lost: the seconds that it takes to be sure of that are no load. Where it is so all the time they are.
func TestLostRepliesAreLoadWhenTheyAreMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, name := crowd(t, 5*time.Millisecond, time.Second, 10*time.Second)
		lose := func(d time.Duration) {
			b.plc(1).set(silent)
			time.Sleep(d)
			b.plc(1).set(fine)
		}
		time.Sleep(20 * time.Second)
		for range 2 {
			lose(2500 * time.Millisecond)
			time.Sleep(2 * time.Second)
		}
		if s := b.status(name); s.State != Ready || s.Load > 0.2 {
			t.Errorf("after two replies were lost: %v, busy %v of the time", s.State, s.Load)
		}
		for range 200 {
			lose(250 * time.Millisecond) // one read of four falls due in it
			time.Sleep(1050 * time.Millisecond)
		}
		if s := b.status(name); s.Load < 0.03 || s.Load > 0.5 {
			t.Errorf("losing replies all the time it is busy %v of the time", s.Load)
		}
		b.quit()
	})
}
