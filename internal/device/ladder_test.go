package device

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/resilience"
	"millrace/internal/tag"
)

// A device that answers small requests only is asked for less at once, step by step, without an outage; what it answers is good, and full requests come back when it bears them.
func TestLargeReadsFail(t *testing.T) {
	for _, p := range []resilience.Profile{resilience.LAN(), resilience.Site(), resilience.Remote()} {
		for _, groups := range []int{1, 2} {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, Config{})
				s := b.spec(1, time.Second, 8)
				s.Profile = p
				if groups == 2 {
					s.Groups = append(s.Groups, Group{Name: "small", Interval: time.Second, Tags: []TagSpec{{ID: 900, Name: "d0001/small"}}})
				}
				b.apply(s)
				b.run()
				time.Sleep(10 * time.Second)
				b.plc(1).change(func(p *plc) { p.most = 2 })
				time.Sleep(2 * time.Minute)
				st := b.status("d0001")
				for range 60 {
					if st.Degraded.Level != DegradeHalved {
						break
					}
					time.Sleep(time.Second) // it is trying larger ones
					st = b.status("d0001")
				}
				if st.State != Degraded || st.Outages != 0 || st.Degraded.Level != DegradeSingle || st.Groups[0].Requests != 8 || !strings.HasPrefix(st.Reason, "asked for single tags") {
					t.Errorf("%s, %d groups: %v (%s), %d outages, %+v, %d requests", p.Name, groups, st.State, st.Reason, st.Outages, st.Degraded, st.Groups[0].Requests)
				}
				for id := tag.ID(100); id < 108; id++ {
					if l := b.last(id); l.Quality != tag.Good || time.Since(time.Unix(0, l.TS)) > 10*time.Second {
						t.Errorf("%s, %d groups: tag %d is %v, %v old", p.Name, groups, id, l.Quality, time.Since(time.Unix(0, l.TS)))
					}
				}
				b.plc(1).change(func(p *plc) { p.most = 0 })
				time.Sleep(10 * time.Minute)
				if st = b.status("d0001"); st.State != Ready || st.Degraded != (DegradeStatus{}) || st.Groups[0].Requests != 1 || st.Outages != 0 {
					t.Errorf("%s, %d groups: back: %v, %+v, %d requests, %d outages", p.Name, groups, st.State, st.Degraded, st.Groups[0].Requests, st.Outages)
				}
				b.quit()
			})
		}
	}
}

// A device that bears no more than one small read at a time is asked for one tag in each turn; the others keep their last value, uncertain and with its own time, one row each.
func TestCachedValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.spec(1, time.Second, 4))
		b.run()
		time.Sleep(10 * time.Second)
		b.plc(1).change(func(p *plc) { p.mostRead = 1 })
		time.Sleep(2 * time.Minute)
		st := b.status("d0001")
		if st.State != Degraded || st.Outages != 0 || st.Degraded.Level != DegradeCached || st.Groups[0].Requests != 1 {
			t.Errorf("%v (%s), %d outages, %+v, %d requests", st.State, st.Reason, st.Outages, st.Degraded, st.Groups[0].Requests)
		}
		good := 0
		for id := tag.ID(100); id < 104; id++ {
			l := b.last(id)
			switch age := time.Since(time.Unix(0, l.TS)); {
			case l.Quality == tag.Good:
				good++
			case l.Quality != tag.UncertainLastUsable || l.Value.String() != "1" || age < time.Second-time.Millisecond || age > 20*time.Second:
				t.Errorf("tag %d is %v %v, %v old", id, l.Quality, l.Value, age)
			}
		}
		if good != 1 {
			t.Errorf("%d tags are good, want the one that was read last", good)
		}
		b.plc(1).change(func(p *plc) { p.mostRead = 0 })
		time.Sleep(20 * time.Minute)
		if st = b.status("d0001"); st.State != Ready || st.Degraded.Level != DegradeNone {
			t.Errorf("back: %v, %+v", st.State, st.Degraded)
		}
		b.quit()
	})
}

// A device whose profile says so is never asked for less. Its large group fails and waits for its due times, while the small one goes on.
func TestNoDegrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, 20*time.Second, 8)
		s.Profile.NoDegrade = true
		s.Groups = append(s.Groups, Group{Name: "small", Interval: time.Second, Tags: []TagSpec{{ID: 900, Name: "d0001/small"}}})
		b.apply(s)
		b.run()
		time.Sleep(30 * time.Second)
		b.plc(1).change(func(p *plc) { p.most = 2 })
		before := b.status("d0001").Timeouts
		time.Sleep(10 * time.Minute)
		st := b.status("d0001")
		if st.Outages != 0 || st.Degraded.Level != DegradeNone || b.last(900).Quality != tag.Good {
			t.Errorf("%v, %d outages, %+v, the small one is %v", st.State, st.Outages, st.Degraded, b.last(900).Quality)
		}
		if n := st.Timeouts - before; n < 25 || n > 50 {
			t.Errorf("%d timeouts of a group that was due 30 times", n)
		}
		b.quit()
	})
}

// By hand a device is asked for single tags until larger reads are to be tried again.
func TestDegradeByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.spec(1, time.Second, 4))
		b.run()
		time.Sleep(10 * time.Second)
		if err := b.Degrade("d0001", true, "the rule 'slow' says so"); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Minute)
		st := b.status("d0001")
		if st.State != Degraded || st.Degraded.Level != DegradeSingle || st.Degraded.Why != "the rule 'slow' says so" || st.Groups[0].Requests != 4 {
			t.Errorf("%v, %+v, %d requests", st.State, st.Degraded, st.Groups[0].Requests)
		}
		if err := b.Degrade("d0001", false, "it is over"); err != nil {
			t.Error(err)
		}
		time.Sleep(20 * time.Second)
		if st = b.status("d0001"); st.State != Ready || st.Degraded.Level != DegradeNone || st.Groups[0].Requests != 1 {
			t.Errorf("back: %v, %+v, %d requests", st.State, st.Degraded, st.Groups[0].Requests)
		}
		var unknown *UnknownError
		if err := b.Degrade("d0009", true, ""); !errors.As(err, &unknown) {
			t.Errorf("%v", err)
		}
		b.quit()
		acts := 0
		for _, e := range b.book.events {
			if e.Act == "degrade" {
				acts++
			}
		}
		if acts != 3 {
			t.Errorf("%d events of it: down, and up twice", acts)
		}
	})
}

// A device whose replies are slow by its profile goes down for it, and says so.
func TestSlowCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, time.Second, 1)
		s.Profile.SlowCall = 100 * time.Millisecond
		b.apply(s)
		b.run()
		time.Sleep(10 * time.Second)
		b.plc(1).change(func(p *plc) { p.latency = 150 * time.Millisecond })
		time.Sleep(11 * time.Second)
		if st := b.status("d0001"); st.Outages != 1 || st.Timeouts != 0 {
			t.Errorf("%v (%s), %d outages, %d timeouts", st.State, st.Reason, st.Outages, st.Timeouts)
		}
		b.quit()
		said := false
		for _, e := range b.book.events {
			said = said || e.Began && strings.Contains(e.Reason, "it answers too slowly: 150ms, and 100ms is slow")
		}
		if !said {
			t.Error("no event says why")
		}
	})
}

// Requests that are lost and round trips that vary are seen, and make timeouts follow the rule for them.
func TestJitterRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, 100*time.Millisecond, 1)
		b.apply(s)
		b.run()
		time.Sleep(20 * time.Second)
		if st := b.status("d0001"); st.JitterRule || st.Loss != 0 {
			t.Errorf("rule %v, loss %v", st.JitterRule, st.Loss)
		}
		n := 0
		b.plc(1).onRead = nil
		for range 200 {
			n++
			b.plc(1).change(func(p *plc) { p.latency = time.Duration(1+n%2*90) * time.Millisecond })
			time.Sleep(100 * time.Millisecond)
		}
		if st := b.status("d0001"); !st.JitterRule || st.State != Ready {
			t.Errorf("rule %v with a jitter of %v", st.JitterRule, st.Jitter)
		}
		b.plc(1).change(func(p *plc) { p.latency = time.Millisecond })
		time.Sleep(30 * time.Second)
		if st := b.status("d0001"); st.JitterRule {
			t.Error("the rule does not end")
		}
		b.quit()
	})
}

// A repetition that asked for one tag is no read of the group: the others are read at once behind it, and nothing says before that all of it came.
func TestOneTagIsNotAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, time.Minute, 3)
		s.Profile = resilience.Site() // the second try is the lesser way
		b.apply(s)
		b.run()
		time.Sleep(90 * time.Second)
		was := b.status("d0001").Groups[0].LastRead
		b.plc(1).set(silent)
		b.plc(1).onRead = func(Observer) {
			b.plc(1).set(fine)
			b.plc(1).onRead = nil
		}
		for range 70 {
			if b.status("d0001").Timeouts > 0 {
				break
			}
			time.Sleep(time.Second)
		}
		time.Sleep(5 * time.Second)
		st := b.status("d0001")
		if st.State != Ready || st.Groups[0].LastRead.Equal(was) {
			t.Errorf("it is %v, and was read last at %v", st.State, st.Groups[0].LastRead)
		}
		for id := tag.ID(100); id < 103; id++ {
			if l := b.last(id); time.Since(time.Unix(0, l.Received)) > 10*time.Second {
				t.Errorf("tag %d is %v, %v old", id, l.Quality, time.Since(time.Unix(0, l.Received)))
			}
		}
		b.quit()
	})
}

// A link that loses one request of ten, whatever its size, is no reason to ask for less at once.
func TestLossIsNoMatterOfSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.spec(1, 500*time.Millisecond, 10))
		src := rand.New(rand.NewPCG(3, 4))
		p := b.plc(1)
		p.quiet = true
		p.onRead = func(Observer) { // of the next one
			p.change(func(p *plc) {
				if p.mode = fine; src.Float64() < 0.1 {
					p.mode = silent
				}
			})
		}
		b.run()
		time.Sleep(time.Minute)
		less := 0
		for range 3600 {
			time.Sleep(time.Second)
			if b.status("d0001").Degraded.Level != DegradeNone {
				less++
			}
		}
		if n := b.Stats().Degrades; n > 4 || less > 300 {
			t.Errorf("asked for less at once %d times, %d s of an hour", n, less)
		}
		b.quit()
	})
}
