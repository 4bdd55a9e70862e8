package write

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/internal/write/audit"
)

// desired is a rule of desired values, as often as one wants.
func desired() Rule {
	r := Default()
	r.Mode, r.Expire, r.PerMinute = Desired, time.Hour, 0
	return r
}

// start submits o, and returns where its end comes.
func (g *rig) start(o Order) chan Outcome {
	done := make(chan Outcome, 1)
	go func() { done <- g.Submit(g.t.Context(), o) }()
	synctest.Wait()
	return done
}

// The end of the gateway does not wait for what is wished for: nothing of it has left.
func TestCloseEndsWishes(t *testing.T) {
	bubble(t, func(t *testing.T) { // that waits at its device
		g := newRig(t, desired())
		g.plant.hold = make(chan struct{})
		done, began := g.start(order(1)), time.Now()
		g.Close()
		out := <-done
		g.want(out, Refused, "the gateway is stopping", "sending", "done refused")
		if d := time.Since(began); out.Cause != Stopping || d > time.Second {
			t.Errorf("cause %d after %v", out.Cause, d)
		}
	})
	bubble(t, func(t *testing.T) { // that is tried again
		g := newRig(t, desired())
		g.plant.refuse = "it is down"
		done, began := g.start(order(1)), time.Now()
		g.Close()
		out := <-done
		g.want(out, Refused, "the gateway is stopping", "sending", "done refused")
		if d := time.Since(began); out.Cause != Stopping || d > time.Second {
			t.Errorf("cause %d after %v", out.Cause, d)
		}
	})
}

// A value that is wished for is not tried again when a reload has made another target of its tag.
func TestWishAcrossAReload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, desired())
		g.plant.refuse = "the device is being removed or changed"
		done := g.start(order(1))
		r := desired()
		g.Set([]*Target{g.target(&r)})
		began := time.Now()
		g.want(<-done, Refused, "removed or changed", "sending", "done refused")
		if d := time.Since(began); d > time.Second {
			t.Errorf("after %v", d)
		}
		g.plant.refuse = ""
		g.want(g.Submit(t.Context(), order(2)), Confirmed, "")
	})
}

// What is wished for of a device that is down keeps nobody else from writing; of one device there are so many at once.
func TestWishesDoNotCountAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, now := desired(), Default()
		g := newRig(t, r)
		g.cfg.AtOnce = 2
		var all []*Target
		for i, name := range []string{"dead/a", "dead/b", "dead/c", "other/a"} {
			device, _, _ := strings.Cut(name, "/")
			all = append(all, targetOf(device, name, tag.ID(10+i), &r))
		}
		g.Set(append(all, targetOf("press", "press/temp", 1, &now)))
		g.plant.hold = make(chan struct{})
		of := func(name string) Order { o := order(1); o.Tag = name; return o }
		waiting := []chan Outcome{g.start(of("dead/a")), g.start(of("dead/b"))}
		out := g.Submit(t.Context(), of("dead/c"))
		if g.want(out, Refused, "wished for of the device"); out.Cause != TooMany {
			t.Errorf("cause %d", out.Cause)
		}
		waiting = append(waiting, g.start(of("other/a")), g.start(order(1)))
		close(g.plant.hold)
		for _, done := range waiting {
			g.want(<-done, Confirmed, "")
		}
		if g.running != 0 || len(g.wishing) != 0 || len(g.wishes) != 0 {
			t.Errorf("%d run, %d wish, %v", g.running, len(g.wishing), g.wishes)
		}
	})
}

func targetOf(dev, name string, id tag.ID, r *Rule) *Target {
	return &Target{Device: dev, Spec: &device.TagSpec{ID: id, Name: name, Address: "x", Writable: true}, Kind: tag.Float32, Rule: r}
}

// held is an Auditor that takes nothing until it is let.
type held struct {
	Auditor
	let chan struct{}
}

func (h held) Append(r *audit.Record) error {
	<-h.let
	return h.Auditor.Append(r)
}

// A second order that comes while the first is being written down hears that it waits to be approved, as one that comes later.
func TestRepeatedWhileAsked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := Default()
		r.Approve, r.ApproveWithin = true, time.Hour
		g := newRig(t, r)
		h := held{g.cfg.Audit, make(chan struct{})}
		g.cfg.Audit = h
		o := order(1)
		o.Key = "k"
		first, second := g.start(o), g.start(o)
		close(h.let)
		synctest.Wait()
		for i, done := range []chan Outcome{first, second} {
			select {
			case out := <-done:
				if out.End != Pending || out.ID == 0 || out.Repeated != (i == 1) {
					t.Errorf("order %d: %+v", i, out)
				}
			default:
				t.Errorf("order %d waits", i)
			}
		}
		g.Close()
	})
}

// Whoever asks again for what waits takes nobody's place, is bounded by itself, and hears the end as the first one does; also when as many writes as may be are under way.
func TestRepetitionsTakeNoPlace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, now := Default(), Default()
		r.Mode, r.Expire = Desired, time.Hour
		g := newRig(t, r)
		g.cfg.AtOnce = 2
		g.Set([]*Target{g.target(&r), targetOf("other", "other/a", 10, &now), targetOf("other", "other/b", 11, &now)})
		g.plant.hold = make(chan struct{})
		o := order(1)
		o.Key = "k"
		first := g.start(o)
		synctest.Wait()
		again := []chan Outcome{g.start(o), g.start(o)}
		synctest.Wait()
		if out := g.Submit(t.Context(), o); out.End != Refused || out.Cause != TooMany {
			t.Errorf("one more: %+v", out)
		}
		a, b := order(1), order(1)
		a.Tag, b.Tag, b.Key = "other/a", "other/b", "done"
		others := []chan Outcome{g.start(a), g.start(b)}
		synctest.Wait()
		if out := g.Submit(t.Context(), a); out.End != Refused || out.Cause != TooMany {
			t.Errorf("a third one: %+v", out)
		}
		close(g.plant.hold)
		for i, done := range append(again, others...) {
			if out := <-done; out.End != Confirmed || out.Repeated != (i < len(again)) {
				t.Errorf("order %d: %+v", i, out)
			}
		}
		g.want(<-first, Confirmed, "")
		g.plant.hold = make(chan struct{})
		g.plant.put(10, tag.Value{Kind: tag.Float32}, tag.Good)
		others = []chan Outcome{g.start(a), g.start(a)}
		synctest.Wait()
		if out := g.Submit(t.Context(), b); out.End != Confirmed || !out.Repeated {
			t.Errorf("what has ended, asked for again while there is no room: %+v", out)
		}
		close(g.plant.hold)
		for _, done := range others {
			<-done
		}
		if g.running != 0 || g.repeats != 0 {
			t.Errorf("%d run, %d repeat", g.running, g.repeats)
		}
		g.Close()
	})
}

// The words of a caller are cut where a character ends, and bad bytes of them do not make the log one that cannot be verified.
func TestWordsOfACaller(t *testing.T) {
	for name, why := range map[string]string{
		"long": strings.Repeat("x", maxText-1) + "ü and more", "no UTF-8": "a\xffb", "long, no UTF-8": strings.Repeat("\x80", 2*maxText),
	} {
		bubble(t, func(t *testing.T) {
			g := newRig(t, Default())
			o := order(1)
			o.Why, o.Key, o.Caller.User = why, why, "s\xc3hift"
			if out := g.Submit(t.Context(), o); out.End != Confirmed {
				t.Errorf("%s: %+v", name, out)
			}
			if got := g.stages(); len(got) != 2 {
				t.Errorf("%s: %q", name, got)
			}
		})
	}
	if got := clip(strings.Repeat("x", maxText-1) + "ü"); got != strings.Repeat("x", maxText-1) {
		t.Errorf("cut: %q", got[maxText-2:])
	}
}

// The log says when the value before was not a good one.
func TestOldQuality(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, Default())
		for _, q := range []tag.Quality{tag.Good, tag.UncertainLastUsable} {
			g.plant.put(1, tag.Value{Kind: tag.Float32}, q)
			g.want(g.Submit(t.Context(), order(1)), Confirmed, "")
		}
		var got []string
		if _, err := audit.Verify(g.fs, auditDir, func(r audit.Record) {
			if r.Stage == audit.Done {
				got = append(got, r.OldQuality)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if len(got) != 2 || got[0] != "" || got[1] != tag.UncertainLastUsable.String() {
			t.Errorf("%q", got)
		}
	})
}

// A time that its nanoseconds do not hold is no value.
func TestTimesOutOfRange(t *testing.T) {
	for text, good := range map[string]bool{
		"1677-09-20T00:00:00Z": false, "1677-09-22T00:00:00Z": true, "2262-04-11T00:00:00Z": true, "2262-04-12T00:00:00Z": false, "9999-12-31T23:59:59Z": false,
	} {
		if v, err := Parse(text, tag.DateTime); (err == nil) != good {
			t.Errorf("%s: %v, %v", text, v, err)
		}
	}
}
