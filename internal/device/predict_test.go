package device

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"millrace/internal/resilience"
)

// remote is a routed device behind a radio link, whose breaker needs five timeouts of seconds.
func (b *bench) remote() Spec {
	s := b.routed(2)
	s.Profile = resilience.Remote()
	b.plc(1).latency, b.plc(2).latency = 20*time.Millisecond, 20*time.Millisecond
	return s
}

// Round trips that grow have a standby opened before the device is gone, and then the change costs no handshake.
func TestSuspicionOpensAStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.remote())
		b.run()
		time.Sleep(2 * time.Minute)
		if s := b.status("d0001"); s.Suspicion != "" || s.Standby || s.Phi > 0.5 {
			t.Errorf("all is well, and it is suspected: %q, phi %v", s.Suspicion, s.Phi)
		}
		for range 10 {
			b.plc(1).change(func(p *plc) { p.latency += 30 * time.Millisecond })
			time.Sleep(time.Second)
		}
		s := b.status("d0001")
		if !s.Standby || s.Route != 0 || s.State != Ready || !strings.HasPrefix(s.Suspicion, "its round trips ") || b.Stats().Suspicions != 1 {
			t.Fatalf("it is %v on %d, standby %v, suspicion %q", s.State, s.Route, s.Standby, s.Suspicion)
		}
		if acts := b.acts(); len(acts) != 1 || !strings.HasPrefix(acts[0], "standby: opens a standby on fake://plc2:502/1 (way 2): its round trips grow by ") {
			t.Errorf("it did %q", acts)
		}
		b.plc(1).set(silent)
		time.Sleep(15 * time.Second)
		if s := b.status("d0001"); s.Route != 1 || s.State != Ready || b.plc(2).dialled() != 1 {
			t.Errorf("it is %v on %d, the standby was dialled %d times", s.State, s.Route, b.plc(2).dialled())
		}
		if bad := b.bad(); len(bad) != 0 {
			t.Errorf("rows that are not good: %v", bad)
		}
		b.quit()
	})
}

// A device that is silent goes where a standby answers long before its breaker would open, unless its own system still answers for it.
func TestSilenceIsWitnessed(t *testing.T) {
	fresh := TCPInfo{RTT: time.Millisecond, Timeout: 200 * time.Millisecond, LastAck: 10 * time.Millisecond}
	lost := TCPInfo{RTT: time.Millisecond, Timeout: 200 * time.Millisecond, Unacked: 1, Backoff: 2, LastAck: 3 * time.Second}
	for _, c := range []struct {
		name string
		tcp  *TCPInfo
		goes bool
		why  string
	}{
		{"no second source", nil, true, ""},
		{"segments are not acknowledged", &lost, true, ", and what is sent to it is not acknowledged"},
		{"its system answers", &fresh, false, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, Config{})
			b.plc(1).tcp = c.tcp
			b.apply(b.remote())
			b.run()
			time.Sleep(2 * time.Minute)
			b.plc(1).set(silent)
			time.Sleep(8 * time.Second)
			s := b.status("d0001")
			if !s.Standby && s.Route == 0 || (s.Route == 1) != c.goes || s.RouteChanges > 1 {
				t.Errorf("%s: it is %v on %d, standby %v, suspicion %q", c.name, s.State, s.Route, s.Standby, s.Suspicion)
			}
			if !c.goes && (s.Suspicion == "" || s.Phi < 8) {
				t.Errorf("%s: phi %v, suspicion %q", c.name, s.Phi, s.Suspicion)
			}
			acts := b.acts()
			if c.goes && (len(acts) != 2 || !strings.HasPrefix(acts[1], "route: takes fake://plc2:502/1 (way 2): it has been silent for ") || !strings.HasSuffix(acts[1], "answers each 1s as a rule"+c.why)) {
				t.Errorf("%s: it did %q", c.name, acts)
			}
			time.Sleep(2 * time.Minute)
			if s := b.status("d0001"); s.Route != 1 || s.State != Ready {
				t.Errorf("%s: in the end it is %v on %d", c.name, s.State, s.Route)
			}
			if bad := b.bad(); len(bad) != 0 {
				t.Errorf("%s: rows that are not good: %v", c.name, bad)
			}
			b.quit()
		})
	}
}

// Neighbours that are silent too bear a device's silence out.
func TestNeighboursWitness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s, o := b.remote(), b.spec(3, time.Second, 1)
		o.Profile = resilience.Remote()
		s.Addr.Host, o.Addr.Host = "10.0.0.1:502", "10.0.0.3:502"
		b.apply(s, o)
		b.run()
		time.Sleep(2 * time.Minute)
		b.driver.plc("10.0.0.1:502").set(silent)
		b.driver.plc("10.0.0.3:502").set(silent)
		time.Sleep(8 * time.Second)
		if acts := b.acts(); len(acts) != 2 || !strings.HasSuffix(acts[1], "; so have neighbours in its subnet, 1 of them") {
			t.Errorf("it did %q", acts)
		}
		b.quit()
	})
}

// A suspicion makes no value bad and moves no poll: a device that is suspected all the time is polled as one that is not.
func TestSuspicionTakesNothing(t *testing.T) {
	polls := func(off bool) (at []time.Time, suspicions uint64) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, Config{})
			s := b.remote()
			s.Prediction = resilience.Prediction{Off: off, Deviation: time.Millisecond, Decay: time.Millisecond}
			b.apply(s)
			b.run()
			for n := range 300 {
				b.plc(1).change(func(p *plc) { p.latency = time.Duration(20+n/100*100*(n%2)) * time.Millisecond })
				time.Sleep(time.Second)
			}
			if s := b.status("d0001"); s.Groups[0].Missed != 0 || s.RouteChanges != 0 {
				t.Errorf("%d polls missed, %d changes", s.Groups[0].Missed, s.RouteChanges)
			}
			if bad := b.bad(); len(bad) != 0 {
				t.Errorf("rows that are not good: %v", bad)
			}
			at, suspicions = b.polls()["plc1:502"], b.Stats().Suspicions
			b.quit()
		})
		return at, suspicions
	}
	with, n := polls(false)
	without, none := polls(true)
	if n == 0 || none != 0 {
		t.Errorf("suspected %d times, and %d times without prediction", n, none)
	}
	if !slices.EqualFunc(with, without, time.Time.Equal) {
		t.Error("the polls of a suspected device are others")
	}
}

// Devices that are watched for their silence cost nothing from due time to due time.
func TestPredictionAllocatesNothing(t *testing.T) {
	if raced {
		t.Skip("allocations cannot be counted under the race detector; the run without it counts them")
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.book.forgetful = true
		var specs []Spec
		for n := uint32(1); n <= 20; n++ {
			s := b.spec(n, 100*time.Millisecond, 10)
			s.Routes = []Route{{Addr: Addr{Scheme: "fake", Host: "backup:502", Path: s.Addr.Path + s.Name}}}
			specs = append(specs, s)
			b.plc(n).quiet = true
		}
		b.apply(specs...)
		b.run()
		time.Sleep(time.Minute)
		before := b.Stats().Groups[0].Lag.Count
		per := testing.AllocsPerRun(50, func() { time.Sleep(time.Second) })
		turns := float64(b.Stats().Groups[0].Lag.Count-before) / 51
		if turns < 199 {
			t.Errorf("%v turns a second", turns)
		}
		if per > turns/50 { // a goroutine's stack or a pooled batch that the collector took, now and then
			t.Errorf("%v allocations in %v turns", per, turns)
		}
		b.quit()
	})
}

// watched returns a shard that does not run, and in it a routed device that is well as far as it knows, and had its last sign of life so long ago.
func (b *bench) watched(ago time.Duration, now time.Time) (*shard, *unit) {
	b.apply(b.remote())
	b.clock.start = now.Add(-2 * time.Hour)
	u := b.unit("d0001")
	u.machine.state = Ready
	for n := range 60 {
		u.predictor.Beat(b.age(now) - ago + time.Duration(n-59)*time.Second)
	}
	return newShard(b.Runtime, b.t.Context()), u
}

// set returns t as it reads when the wall clock was set by so much: the monotonic one stays, which is what time.Time has no way to say. Its first word is a flag, 33 bits of
// seconds and 30 of nanoseconds.
func set(t time.Time, by time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) += uint64(by/time.Second) << 30
	return t
}

// Silence is a matter of the monotonic clock: however the wall clock was set, no device has been silent for that, and the next look is behind now, and soon.
func TestSilenceAndAClockThatWasSet(t *testing.T) {
	for _, by := range []time.Duration{-24 * time.Hour, -time.Second, 0, time.Second, 24 * time.Hour} {
		now := time.Now()
		is := set(now, by)
		if d := is.Sub(now); d != 0 || is.Round(0).Sub(now.Round(0)) != by {
			t.Fatalf("set by %v: %v by the monotonic clock, %v by the other", by, d, is.Round(0).Sub(now.Round(0)))
		}
		b := newBench(t, Config{})
		s, u := b.watched(time.Second, now)
		watch{u}.fire(s, is)
		if wait, any := s.timers.next(is); !any || wait <= 0 || wait > lookAtMost || u.sign != resilience.NoSign {
			t.Errorf("set by %v: the next look is in %v, %v, the sign %v", by, wait, any, u.sign)
		}
		u.life.state = Ready
		if phi, why := u.foreseen(b.Runtime, b.age(is)); phi > 0.5 || why != "" {
			t.Errorf("set by %v: phi %v, %s", by, phi, why)
		}
	}
}

// A device of which nothing is asked any more is silent for good, and is not looked at.
func TestSilenceOfOneThatIsNotAsked(t *testing.T) {
	b := newBench(t, Config{})
	now := time.Now()
	s, u := b.watched(time.Hour, now)
	u.groups[0].requests = 0
	watch{u}.fire(s, now)
	if wait, any := s.timers.next(now); any || u.sign != resilience.NoSign {
		t.Errorf("the next look is in %v, the sign %v", wait, u.sign)
	}
}
