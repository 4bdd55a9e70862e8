package write

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/device"
	"millrace/internal/journal/faultfs"
	"millrace/internal/tag"
	"millrace/internal/write/audit"
)

func TestConfirmed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, Default())
		g.plant.put(1, tag.Value{Kind: tag.Float32}, tag.Good)
		out := g.Submit(t.Context(), order(20.1))
		g.want(out, Confirmed, "", "sending", "done confirmed")
		if out.Old.String() != "0" || out.Read.String() != "20.1" || out.ID == 0 || len(g.plant.sent) != 1 || g.plant.sent[0].Kind != tag.Float32 {
			t.Errorf("%+v, sent %v", out, g.plant.sent)
		}
		var rec []audit.Record
		if _, err := audit.Verify(g.fs, auditDir, func(r audit.Record) { rec = append(rec, r) }); err != nil {
			t.Fatal(err)
		}
		d := rec[2]
		if d.Who != "shift" || d.Via != "api" || d.From != "10.0.0.1" || d.Tag != "press/temp" || d.Device != "press" || string(d.Old) != "0" || string(d.New) != "20.1" ||
			string(d.Read) != "20.1" || d.Why != "recipe 7" || d.Write != out.ID {
			t.Errorf("%+v", d)
		}
		if s := g.Stats(); s.Ends[Confirmed] != 1 || s.Counts[0] != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// What is refused has left nothing, and says why.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		rule   func(r *Rule)
		order  func(o *Order)
		plant  func(p *plant)
		want   string
		cause  Cause
		stages []string
	}{
		"no tag":       {order: func(o *Order) { o.Tag = "press/other" }, want: "no such tag", cause: NoTag},
		"role":         {rule: func(r *Rule) { r.Role = RoleAdmin }, want: "the role admin", cause: NoRole},
		"type":         {order: func(o *Order) { o.Value = tag.Value{Kind: tag.String, Aux: []byte("x")} }, want: "the tag has numbers", cause: BadValue},
		"list":         {order: func(o *Order) { o.Value = tag.Value{Kind: tag.Int16 | tag.Array} }, want: "one value", cause: BadValue},
		"no value":     {order: func(o *Order) { o.Value = tag.Value{} }, want: "no value", cause: BadValue},
		"below min":    {rule: func(r *Rule) { r.Min, r.HasMin = 30, true }, want: "at least 30", cause: OutOfRange},
		"above max":    {rule: func(r *Rule) { r.Max, r.HasMax = 5, true }, want: "at most 5", cause: OutOfRange},
		"not a number": {rule: func(r *Rule) { r.Max, r.HasMax = 5, true }, order: func(o *Order) { o.Value = tag.Float64Value(math.NaN()) }, want: "NaN is not", cause: OutOfRange},
		"float32":      {order: func(o *Order) { o.Value = tag.Float64Value(1e300) }, want: "float32", cause: OutOfRange},
		"down":         {plant: func(p *plant) { p.refuse = "it is down: no route" }, want: "no route", cause: NotReachable, stages: []string{"sending", "done refused"}},
		"interlock": {rule: func(r *Rule) { r.Interlock = `!tag("./door") && value < 50` }, plant: func(p *plant) { p.put(2, boolean(true), tag.Good) },
			want: "press/door is true", cause: Locked},
		"interlock not good": {rule: func(r *Rule) { r.Interlock = `!tag("press/door")` }, plant: func(p *plant) { p.put(2, boolean(false), tag.UncertainLastUsable) },
			want: "press/door is uncertain", cause: Locked},
		"interlock never read": {rule: func(r *Rule) { r.Interlock = `tag("press/level") > 5` }, want: "press/level is bad (waiting", cause: Locked},
		"interlock too old": {rule: func(r *Rule) { r.Interlock = `tag("press/level") > 5`; r.MaxAge = time.Second }, plant: func(p *plant) {
			p.put(3, tag.Value{Kind: tag.Int16, Bits: 9}, tag.Good)
			p.onRead = func() error { return errors.New("no answer") }
			time.Sleep(1500 * time.Millisecond)
		}, want: "press/level was read 1.5s ago", cause: Locked},
		"interlock over no number": {rule: func(r *Rule) { r.Interlock = `!(tag("press/any") > 80.0)` }, plant: func(p *plant) { p.put(4, tag.Float64Value(math.NaN()), tag.Good) },
			want: "press/any is no number", cause: Locked},
		"interlock, no number to write": {rule: func(r *Rule) { r.Interlock = `!(value > 80.0)` }, order: func(o *Order) { o.Value = tag.Float64Value(math.NaN()) },
			want: "the value is no number", cause: Locked},
		"interlock over the value": {rule: func(r *Rule) { r.Interlock = `value < 10` }, want: "the value is 20.5", cause: Locked},
		"interlock of another kind": {rule: func(r *Rule) { r.Interlock = `tag("press/any") > 1` }, plant: func(p *plant) {
			p.put(4, tag.Value{Kind: tag.String, Aux: []byte("x")}, tag.Good)
		}, want: "interlock", cause: Locked},
		"expired on its last step": {order: func(o *Order) { o.Expire = 50 * time.Millisecond }, plant: func(p *plant) { p.late = 60 * time.Millisecond }, want: "expired before it could leave", cause: TooLate,
			stages: []string{"sending", "done refused"}},
		"expired": {order: func(o *Order) { o.Expire = 50 * time.Millisecond }, plant: func(p *plant) { p.hold = make(chan struct{}) }, want: "waited too long", cause: TooLate,
			stages: []string{"sending", "done refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r, o := Default(), order(20.5)
				if c.rule != nil {
					c.rule(&r)
				}
				if c.order != nil {
					c.order(&o)
				}
				g := newRig(t, r)
				if c.plant != nil {
					c.plant(g.plant)
				}
				out := g.Submit(t.Context(), o)
				stages := c.stages
				if stages == nil {
					stages = []string{"refused refused"}
				}
				g.want(out, Refused, c.want, stages...)
				if out.Cause != c.cause || len(g.plant.sent) > 0 {
					t.Errorf("cause %d, %d sent", out.Cause, len(g.plant.sent))
				}
			})
		})
	}
}

// A value that the interlock looks at and that is too old is read anew, and what it is by then counts.
func TestInterlockReadsWhatIsOld(t *testing.T) {
	for name, open := range map[string]bool{"as it was": false, "another": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := Default()
				r.Interlock = `!tag("./door")`
				g := newRig(t, r)
				g.plant.put(2, boolean(false), tag.Good)
				g.plant.onRead = func() error { g.plant.put(2, boolean(open), tag.Good); return nil }
				time.Sleep(time.Hour)
				if out := g.Submit(t.Context(), order(1)); open {
					g.want(out, Refused, "press/door is true", "refused refused")
				} else {
					g.want(out, Confirmed, "", "sending", "done confirmed")
				}
			})
		})
	}
}

// What a reload says counts for what has not left yet: the tag is gone or read-only, or it has another rule.
func TestReloadBeforeItLeaves(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(g *rig, r Rule) []*Target
		want string
	}{
		"the same":     {func(g *rig, r Rule) []*Target { return []*Target{g.target(&r)} }, ""},
		"another rule": {func(g *rig, r Rule) []*Target { r.Max, r.HasMax = 5, true; return []*Target{g.target(&r)} }, "changed the tag's rule"},
		"read-only":    {func(*rig, Rule) []*Target { return nil }, "made it read-only"},
	} {
		for _, mode := range []string{Once, Desired} {
			t.Run(name+", "+mode, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := Default()
					r.Mode = mode
					g := newRig(t, r)
					g.plant.hold = make(chan struct{})
					done := make(chan Outcome)
					go func() { done <- g.Submit(t.Context(), order(7)) }()
					synctest.Wait()
					g.Set(c.set(g, r))
					close(g.plant.hold)
					if out := <-done; c.want == "" {
						g.want(out, Confirmed, "")
					} else if g.want(out, Refused, c.want, "sending", "done refused"); len(g.plant.sent) > 0 {
						t.Error("it left")
					}
				})
			})
		}
	}
}

// A wish waits for its poll for longer than what the interlock looked at is believed.
func TestWishReadsWhatIsOld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := Default()
		r.Mode, r.Expire, r.Interlock = Desired, time.Minute, `!tag("./door")`
		g := newRig(t, r)
		g.plant.put(2, boolean(false), tag.Good)
		g.plant.hold = make(chan struct{})
		time.AfterFunc(30*time.Second, func() { close(g.plant.hold) })
		g.want(g.Submit(t.Context(), order(1)), Confirmed, "", "sending", "done confirmed")
	})
}

// The interlock is asked again when the value is about to leave.
func TestInterlockIsAskedLast(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := Default()
		r.Interlock = `!tag("./door")`
		g := newRig(t, r)
		g.plant.put(2, boolean(false), tag.Good)
		g.plant.hold = make(chan struct{})
		done := make(chan Outcome)
		go func() { done <- g.Submit(t.Context(), order(1)) }()
		synctest.Wait()
		g.plant.put(2, boolean(true), tag.Good)
		close(g.plant.hold)
		g.want(<-done, Refused, "press/door is true", "sending", "done refused")
		if len(g.plant.sent) != 0 {
			t.Error("it left")
		}
	})
}

// noSuchValue is what a driver says of a value that its address does not take.
type noSuchValue struct{}

func (noSuchValue) Error() string    { return "there is no such value" }
func (noSuchValue) Unwritable() bool { return true }

func TestEndsOfTheDevice(t *testing.T) {
	lost := errors.New("reset by peer")
	for name, c := range map[string]struct {
		rule   func(r *Rule)
		write  func(p *plant, v tag.Value) (device.Result, error)
		read   func() error
		end    End
		want   string
		reads  int
		kept   bool
		stages []string
	}{
		"refused by the device": {write: func(*plant, tag.Value) (device.Result, error) {
			return device.Result{Err: errors.New("exception 3")}, nil
		}, end: Failed, want: "exception 3"},
		"not to be encoded": {write: func(*plant, tag.Value) (device.Result, error) {
			return device.Result{Err: fmt.Errorf("press: %w", noSuchValue{})}, nil
		}, end: Refused, want: "no such value"},
		"lost on the way": {write: func(*plant, tag.Value) (device.Result, error) {
			return device.Result{Err: lost, MayHaveHappened: true}, lost
		}, end: Unknown, want: "reset", reads: 1},
		"not sent": {write: func(*plant, tag.Value) (device.Result, error) { return device.Result{Err: lost}, lost }, end: Failed, want: "reset"},
		"another value": {write: func(p *plant, _ tag.Value) (device.Result, error) {
			p.put(1, tag.Value{Kind: tag.Float32, Bits: uint64(math.Float32bits(3))}, tag.Good)
			return device.Result{}, nil
		}, end: Differs, want: "and has 3", reads: 9},
		"within the tolerance": {rule: func(r *Rule) { r.Tolerance = 18 }, write: func(p *plant, _ tag.Value) (device.Result, error) {
			p.put(1, tag.Value{Kind: tag.Float32, Bits: uint64(math.Float32bits(3))}, tag.Good)
			return device.Result{}, nil
		}, end: Confirmed, reads: 1},
		"cannot be read back": {read: func() error { return lost }, end: Unknown, want: "cannot be read back", reads: 9},
		"read back bad": {write: func(p *plant, _ tag.Value) (device.Result, error) {
			p.put(1, tag.Value{}, tag.BadDeviceFailure)
			return device.Result{}, nil
		}, end: Unknown, want: "what is read back is bad", reads: 9},
		"ack is enough": {rule: func(r *Rule) { r.Verify = Ack }, read: func() error { return lost }, end: Confirmed, reads: 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := Default()
				if c.rule != nil {
					c.rule(&r)
				}
				g := newRig(t, r)
				if c.write != nil {
					g.plant.onWrite = func(v tag.Value) (device.Result, error) { return c.write(g.plant, v) }
				}
				g.plant.onRead = c.read
				out := g.Submit(t.Context(), order(20.5))
				g.want(out, c.end, c.want, "sending", "done "+string(c.end))
				if len(g.plant.sent) != 1 || g.plant.readings != c.reads {
					t.Errorf("%d sent, %d read back", len(g.plant.sent), g.plant.readings)
				}
				if last := g.plant.Last([]tag.ID{1}, nil)[0]; c.read != nil && last.Quality.IsGood() {
					t.Errorf("what cannot be read back is shown as %v, good", last.Value)
				}
			})
		})
	}
}

// A device that takes a moment to show the value is given that moment.
func TestReadBackWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := Default()
		r.Delay = 100 * time.Millisecond
		g := newRig(t, r)
		g.plant.onWrite = func(v tag.Value) (device.Result, error) {
			time.AfterFunc(300*time.Millisecond, func() { g.plant.put(1, v, tag.Good) })
			return device.Result{}, nil
		}
		began := time.Now()
		out := g.Submit(t.Context(), order(4))
		g.want(out, Confirmed, "")
		if d := time.Since(began); d < 300*time.Millisecond || d > 700*time.Millisecond {
			t.Errorf("after %v", d)
		}
	})
}

// One key is one write, whoever asks again and whenever; over restarts too.
func TestIdempotency(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, Default())
		o := order(5)
		o.Key = "k1"
		g.plant.hold = make(chan struct{})
		done := make(chan Outcome, 3)
		for range 3 {
			go func() { done <- g.Submit(t.Context(), o) }()
		}
		synctest.Wait()
		close(g.plant.hold)
		repeated := 0
		for range 3 {
			out := <-done
			g.want(out, Confirmed, "")
			if out.Repeated {
				repeated++
			}
		}
		if repeated != 2 || len(g.plant.sent) != 1 {
			t.Errorf("%d repeated, %d sent", repeated, len(g.plant.sent))
		}
		other := o
		other.Value = tag.Float64Value(6)
		g.want(g.Submit(t.Context(), other), Refused, "used for another write")
		mine := other
		mine.Caller.User = "somebody"
		g.want(g.Submit(t.Context(), mine), Confirmed, "") // keys are each user's own
		g.Close()
		if err := g.log.Close(); err != nil {
			t.Fatal(err)
		}
		h := newRigOn(t, g.fs, g.plant, Default())
		out := h.Submit(t.Context(), o)
		h.want(out, Confirmed, "")
		if !out.Repeated || len(g.plant.sent) != 2 || out.New.String() != "5" {
			t.Errorf("after a restart: %+v, %d sent", out, len(g.plant.sent))
		}
		h.want(h.Submit(t.Context(), other), Refused, "used for another write")
		h.forget(time.Now().Add(25 * time.Hour))
		h.want(h.Submit(t.Context(), other), Confirmed, "") // it is old enough
	})
}

// A refused write leaves its key free.
func TestKeyOfARefusedWriteIsFree(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, Default())
		o := order(5)
		o.Key = "k"
		g.plant.refuse = "it is down"
		g.want(g.Submit(t.Context(), o), Refused, "down")
		g.plant.refuse = ""
		g.want(g.Submit(t.Context(), o), Confirmed, "")
		if len(g.kept) != 1 || len(g.plant.sent) != 1 {
			t.Errorf("%v, %d sent", slices.Collect(maps.Keys(g.kept)), len(g.plant.sent))
		}
	})
}

// Wherever the process ends, what was on its way is unknown afterwards, is not sent again, and its key says so.
func TestRestartInTheMiddle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, Default())
		g.plant.hold = make(chan struct{})
		o := order(5)
		o.Key = "k"
		done := make(chan Outcome, 1)
		go func() { done <- g.Submit(t.Context(), o) }()
		synctest.Wait()
		after := g.fs.After(faultfs.None)
		close(g.plant.hold)
		<-done
		h := newRigOn(t, after, newPlant(), Default())
		h.want(h.Submit(t.Context(), o), Unknown, "ended while it was under way", "sending", "done unknown")
		if len(h.plant.sent) != 0 {
			t.Error("it was sent again")
		}
		if err := h.log.Close(); err != nil {
			t.Fatal(err)
		}
		if k := newRigOn(t, after, newPlant(), Default()); len(k.stages()) != 2 {
			t.Errorf("a second restart: %q", k.stages())
		}
	})
}

func TestRateLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := Default()
		r.PerMinute, r.Burst = 6, 2
		g := newRig(t, r)
		for i, want := range []End{Confirmed, Confirmed, Refused} {
			g.want(g.Submit(t.Context(), order(float64(i))), want, "")
		}
		time.Sleep(10 * time.Second)
		g.want(g.Submit(t.Context(), order(1)), Confirmed, "")
		time.Sleep(2500 * time.Millisecond)
		g.want(g.Submit(t.Context(), order(1)), Refused, "too often, 6 times a minute at most and 2 at once: it may be again in 8s")
		time.Sleep(8 * time.Second)
		g.want(g.Submit(t.Context(), order(1)), Confirmed, "")
	})
}

// Writes of one tag are verified each for itself: none sees another's value.
func TestOneWriteOfATagAtATime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := Default()
		r.PerMinute = 0
		r.Delay = 10 * time.Millisecond
		g := newRig(t, r)
		done := make(chan Outcome)
		for i := range 20 {
			go func() { done <- g.Submit(t.Context(), order(float64(i))) }()
		}
		for range 20 {
			g.want(<-done, Confirmed, "")
		}
	})
}
