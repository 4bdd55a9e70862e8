package device

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/resilience"
	"millrace/internal/tag"
)

// What was marked is read as soon as it can be, not when its interval of a day is over.
func TestSlowGroupsAreReadAfterAMark(t *testing.T) {
	for name, c := range map[string]struct{ away, back func(b *bench) }{
		"an outage": {func(b *bench) { b.plc(1).set(refuses) }, func(b *bench) { b.plc(1).set(fine) }},
		"the device out of service": {
			func(b *bench) { _ = b.SetOutOfService("d0001", true, "") },
			func(b *bench) { _ = b.SetOutOfService("d0001", false, "") }},
		"the tag out of service": {
			func(b *bench) { _ = b.SetOutOfService("d0001/slow", true, "") },
			func(b *bench) { _ = b.SetOutOfService("d0001/slow", false, "") }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, Config{})
				s := b.spec(1, time.Second, 1)
				s.Groups = append(s.Groups, Group{Name: "slow", Interval: 24 * time.Hour, Tags: []TagSpec{{ID: 150, Name: "d0001/slow", Address: "150"}}})
				b.apply(s)
				b.run()
				time.Sleep(5 * time.Second)
				c.away(b)
				time.Sleep(10 * time.Second)
				if q := b.last(150).Quality; q.IsGood() {
					t.Errorf("away it is %v", q)
				}
				c.back(b)
				time.Sleep(15 * time.Second)
				if q := b.last(150).Quality; !q.IsGood() {
					t.Errorf("15 s after it is back it is %v", q)
				}
				b.quit()
			})
		})
	}
}

// However slowly timeouts follow one another, as those of dead units behind one gateway do, a device that never answers is down in the end.
func TestSlowTimeoutsAddUp(t *testing.T) {
	for _, p := range []resilience.Profile{resilience.LAN(), resilience.Remote()} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, Config{})
			specs := b.units(20)
			for i := range specs {
				specs[i].Profile = p
			}
			b.apply(specs...)
			b.run()
			time.Sleep(5 * time.Second)
			b.plc(1).change(func(p *plc) { p.mode = silent })
			time.Sleep(p.Window + 20*2*p.Ceiling)
			for _, s := range b.Devices() {
				if s.Outages == 0 {
					t.Errorf("%s: %s is %v after %v of silence (%s), its value %v", p.Name, s.Name, s.State, p.Window+40*p.Ceiling, s.Reason, b.last(tag.ID(s.Number*100)).Quality)
				}
			}
			b.quit()
		})
	}
}

// A successor takes over a value only of a tag that is still the same, and its predecessor has no more say.
func TestSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, time.Second, 4)
		b.apply(s)
		b.run()
		time.Sleep(5 * time.Second)
		b.plc(1).set(refuses)
		time.Sleep(10 * time.Second)
		n := b.spec(1, time.Second, 4)
		n.Groups[0].Tags[1].Address = "999"
		n.Groups[0].Tags[2].Shared = &Terms{Scale: 10}
		n.Groups[0].Tags[3].Shared = &Terms{Unit: "bar"}
		b.apply(n)
		time.Sleep(10 * time.Second)
		for i, want := range []string{"uncertain (last usable value) 1", "bad (no communication) null", "bad (no communication) null", "uncertain (last usable value) 1"} {
			l := b.last(tag.ID(100 + i))
			if got := l.Quality.String() + " " + l.Value.String(); got != want {
				t.Errorf("tag %d: %s, want %s", i, got, want)
			}
		}
		b.plc(1).set(fine)
		time.Sleep(10 * time.Second)
		if got := strings.Join(b.book.of(101), ", "); got != "good 1, uncertain (last usable value) 1, bad (no communication) null, good 1" {
			t.Errorf("rows: %s", got)
		}
		b.quit()
	})
}

// What a turn of the predecessor brings after the successor has taken over is not what consumers are left with.
func TestPredecessorIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.plc(1).change(func(p *plc) { p.latency = 100 * time.Millisecond })
		b.apply(b.spec(1, time.Second, 2))
		b.run()
		time.Sleep(5 * time.Second)
		begun := make(chan struct{}, 1)
		b.plc(1).change(func(p *plc) {
			p.partial = 1
			p.onRead = func(Observer) {
				select {
				case begun <- struct{}{}:
				default:
				}
			}
		})
		<-begun
		b.plc(1).change(func(p *plc) { p.partial = 0 })
		s := b.spec(1, time.Second, 2)
		s.Groups[0].Tags[1].Shared = &Terms{Unit: "bar"}
		b.apply(s) // while a turn runs that will bring the first tag only
		time.Sleep(10 * time.Second)
		rows := b.book.of(101)
		if l := b.last(101); !l.Quality.IsGood() || !strings.HasPrefix(rows[len(rows)-1], "good") {
			t.Errorf("the value is %v, and consumers were told %v", l.Quality, rows)
		}
		b.quit()
	})
}

// An endpoint is dialled as patiently as the most patient of its devices asks for, also after a reload.
func TestEndpointFollowsProfiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, time.Second, 1)
		b.plc(1).set(blackHole)
		b.apply(s)
		b.run()
		time.Sleep(30 * time.Second)
		s.Profile = resilience.Remote()
		b.apply(s)
		time.Sleep(time.Minute)
		before := b.plc(1).dialled()
		time.Sleep(10 * time.Minute)
		if n := b.plc(1).dialled() - before; n > 40 {
			t.Errorf("%d dials in 10 minutes: a remote device is given 15 s to answer a dial, and half a minute between two", n)
		}
		b.quit()
	})
}

// A device that joins an endpoint that is down says why it is down.
func TestJoinsADeadEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		units := b.units(2)
		b.plc(1).set(refuses)
		b.apply(units[0])
		b.run()
		time.Sleep(time.Minute)
		for range 20 {
			b.apply(units[0])
			time.Sleep(100 * time.Millisecond)
			b.apply(units...)
			synctest.Wait()
			if st := b.status("d0002"); strings.Contains(st.Reason, "no failure is known") {
				t.Fatalf("%v: %s", st.State, st.Reason)
			}
		}
		b.quit()
	})
}

// What a read left out is not left out until the interval of a day is over.
func TestPartOfASlowGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.plc(1).change(func(p *plc) { p.partial = 1 })
		b.apply(b.spec(1, 24*time.Hour, 3))
		b.run()
		time.Sleep(5 * time.Second)
		if q := b.last(102).Quality; !q.IsBad() || b.status("d0001").State != Degraded {
			t.Errorf("%v, %v", q, b.status("d0001").State)
		}
		b.plc(1).change(func(p *plc) { p.partial = 0 })
		time.Sleep(10 * time.Second)
		if st := b.status("d0001"); !b.last(102).Quality.IsGood() || st.State != Ready || st.Reads != 1 {
			t.Errorf("%v, %v, %d reads", b.last(102).Quality, st.State, st.Reads)
		}
		time.Sleep(47 * time.Hour)
		if n := b.status("d0001").Reads; n < 2 || n > 3 {
			t.Errorf("%d reads in two days", n)
		}
		b.quit()
	})
}

// A device whose clock is ahead, and that was read back, is marked as any other when it is away or in doubt.
func TestReadBackOfAClockThatIsAhead(t *testing.T) {
	writing(t, func(b *bench) {
		u := b.unit(b.name(1))
		rows := &tag.Batch{Received: time.Now().UnixNano()}
		for id := tag.ID(100); id < 103; id++ {
			rows.Append(id, time.Now().Add(time.Hour).UnixNano(), tag.Good, tag.Float32, float(7).Bits)
		}
		u.table.take(rows, nil, false)
		u.table.readBack([]tag.ID{100, 101, 102})
		if err := b.Doubt(b.t.Context(), b.name(1), []tag.ID{100}); err != nil {
			t.Error(err)
		}
		if q := b.last(100).Quality; q != tag.UncertainLastUsable {
			t.Errorf("doubted it is %v", q)
		}
		b.plc(1).set(refuses)
		time.Sleep(5 * time.Second)
		if q := b.last(101).Quality; q != tag.UncertainLastUsable {
			t.Errorf("of a device that is away it is %v", q)
		}
		_ = b.SetOutOfService(b.name(1), true, "repair")
		time.Sleep(time.Second)
		if q := b.last(102).Quality; q != tag.BadOutOfService {
			t.Errorf("out of service it is %v", q)
		}
	})
}
