package device

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/tag"
)

func TestTimers(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	var h timers
	start := time.Unix(0, 0)
	all := make([]*timer, 300)
	for i := range all {
		all[i] = &timer{order: uint64(i)}
	}
	armed := map[*timer]time.Time{}
	least := func() (first *timer) {
		for x, at := range armed {
			if c := at.Compare(armed[first]); first == nil || c < 0 || c == 0 && x.order < first.order {
				first = x
			}
		}
		return first
	}
	for range 20000 {
		x, at := all[r.IntN(len(all))], start.Add(time.Duration(r.IntN(50)))
		switch r.IntN(4) {
		case 0, 1:
			h.arm(x, at)
			armed[x] = at
		case 2:
			h.disarm(x)
			delete(armed, x)
		case 3:
			want := least()
			if want != nil && armed[want].After(at) {
				want = nil
			}
			if got := h.pop(at); got != want {
				t.Fatalf("seed %d: popped %v, first is %v", seed, got, want)
			}
			delete(armed, want)
		}
		for i, d := range h.heap {
			if d.timer.pos != i+1 || d.timer.order != d.order {
				t.Fatalf("seed %d: timer at %d believes to be at %d", seed, i, d.timer.pos)
			}
		}
		if wait, any := h.next(start); any != (len(armed) > 0) || any && wait != armed[least()].Sub(start) {
			t.Fatalf("seed %d: the first is in %v, %v", seed, wait, any)
		}
	}
}

func TestDueTimes(t *testing.T) {
	u := &unit{spec: &Spec{Number: 5}}
	g := &group{unit: u, every: time.Second}
	u.groups = []*group{g}
	now := time.Unix(1000, 123)
	first := g.firstDue(now)
	if !first.After(now) || first.Sub(now) > time.Second {
		t.Fatalf("due %v after now", first.Sub(now))
	}
	if again := g.firstDue(now.Add(time.Hour)); again.Sub(first)%time.Second != 0 {
		t.Errorf("another start, another phase: %v", again.Sub(first))
	}
	if at := g.firstDue(first); at.Sub(first) != time.Second {
		t.Errorf("at a due time the next is %v later", at.Sub(first))
	}
	if early := g.firstDue(time.Unix(-1000, 5)); early.Sub(first)%time.Second != 0 {
		t.Errorf("before 1970 the phase moves by %v", early.Sub(first)%time.Second)
	}
	g.due = first
	for _, c := range []struct {
		after time.Duration
		n     uint64
	}{{-1, 0}, {0, 1}, {999 * time.Millisecond, 0}, {time.Second, 1}, {5*time.Second + 1, 4}} {
		if n := g.skip(first.Add(c.after)); n != c.n || !g.due.After(first.Add(c.after)) {
			t.Errorf("%v later %d skipped, due %v", c.after, n, g.due.Sub(first))
		}
	}
}

// turnBench is a unit with one group of n tags, ready for turns by hand.
func turnBench(t testing.TB, n int, change bool) (*endpoint, *group) {
	b := newBench(t, Config{})
	b.book.forgetful = true
	s := b.spec(1, time.Second, n)
	for i := range s.Groups[0].Tags {
		s.Groups[0].Tags[i].Shared = &Terms{Scale: 0.1, Deadband: Deadband{Abs: 0.5}}
	}
	var v uint64
	b.plc(1).value = func(tag.ID) (tag.Kind, uint64, tag.Quality) {
		if change {
			v += 100
		}
		return tag.Uint32, v & 0xFFFFFFFF, tag.Good
	}
	rt := b.Runtime
	u, err := rt.newUnit(&s)
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{rt: rt, profile: &s.Profile}
	e.job = job{unit: u}
	if err := e.dial(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.close)
	return e, u.groups[0]
}

func TestTurnAllocatesNothing(t *testing.T) {
	if raced {
		t.Skip("allocations cannot be counted under the race detector; the run without it counts them")
	}
	for _, change := range []bool{true, false} {
		e, g := turnBench(t, 500, change)
		ctx := context.Background()
		due := time.Now()
		p := e.session.(*fakeSession).plc
		turn := func() {
			p.polls = p.polls[:0]
			if _, err := e.turn(ctx, g, due); err != nil {
				t.Fatal(err)
			}
		}
		turn()
		if n := testing.AllocsPerRun(200, turn); n != 0 {
			t.Errorf("change %v: %v allocations a turn", change, n)
		}
	}
}

// From the due time to the next one nothing is allocated either: timers, queue, goroutine, mail and machine.
func TestScheduleAllocatesNothing(t *testing.T) {
	if raced {
		t.Skip("allocations cannot be counted under the race detector; the run without it counts them")
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.book.forgetful = true
		var specs []Spec
		for n := uint32(1); n <= 20; n++ {
			specs = append(specs, b.spec(n, 100*time.Millisecond, 10))
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

func BenchmarkTurn(b *testing.B) {
	for _, c := range []struct {
		name   string
		tags   int
		change bool
	}{{"1000 that pass", 1000, true}, {"1000 held back", 1000, false}, {"10 that pass", 10, true}} {
		b.Run(c.name, func(b *testing.B) {
			e, g := turnBench(b, c.tags, c.change)
			p := e.session.(*fakeSession).plc
			b.ReportAllocs()
			for b.Loop() {
				p.polls = p.polls[:0]
				if _, err := e.turn(b.Context(), g, time.Time{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.tags), "ns/value")
		})
	}
}

// A device whose probe has nothing to ask by the time of its turn is probed with what is left of it.
func TestProbeWithoutTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, 10*time.Second, 1)
		s.RequestsPerSecond = 0.2 // the probe waits
		s.Groups = append(s.Groups, Group{Name: "other", Interval: 10 * time.Second, Tags: []TagSpec{{ID: 200, Name: "d0001/a", Address: "x"}, {ID: 201, Name: "d0001/b", Address: "x"}}})
		b.apply(s)
		b.run()
		time.Sleep(30 * time.Second)
		b.plc(1).set(silent)
		for b.status("d0001").State != Suspect {
			time.Sleep(10 * time.Millisecond)
		}
		b.plc(1).set(fine)
		if err := b.SetOutOfService("d0001/t0", true, "repair"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if st := b.status("d0001"); st.State != Ready {
			t.Errorf("it is %v: %s", st.State, st.Reason)
		}
		if l := b.last(200); l.Quality != tag.Good || time.Since(time.Unix(0, l.Received)) > 20*time.Second {
			t.Errorf("the other group is %v, %v old", l.Quality, time.Since(time.Unix(0, l.Received)))
		}
		b.quit()
	})
}
