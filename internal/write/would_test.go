package write

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
)

// What would become of an order is said without anything being written down.
func TestWould(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := Default()
		r.Max, r.HasMax, r.Interlock = 50, true, `!tag("./door") && value < tag("./level")`
		g := newRig(t, r)
		g.plant.put(2, boolean(false), tag.Good)
		g.plant.put(3, tag.Value{Kind: tag.Int16, Bits: 20}, tag.Good)
		ask := func(change func(o *Order)) string {
			o := order(1)
			change(&o)
			_, against := g.Would(&o)
			return against
		}
		value := func(f float64) func(o *Order) { return func(o *Order) { o.Value = tag.Float64Value(f) } }
		none := func(o *Order) { o.Value = tag.Value{} }
		for name, c := range map[string]struct {
			change func(o *Order)
			want   string
		}{
			"a value": {value(19), ""}, "no value": {none, ""}, "above max": {value(51), "51 is not at most 50"},
			"the condition on the value": {value(21), "does not hold"}, "no such tag": {func(o *Order) { o.Tag = "x" }, "no such tag"},
			"a text": {func(o *Order) { o.Value = tag.Value{Kind: tag.String} }, "the tag has numbers"},
			"nobody": {func(o *Order) { o.Caller.Role = 0 }, "the role write"},
		} {
			if got := ask(c.change); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("%s: %q, not %q", name, got, c.want)
			}
		}
		g.plant.put(2, boolean(true), tag.Good)
		if got := ask(none); !strings.Contains(got, "press/door is true") {
			t.Errorf("the door is open: %q", got)
		}
		time.Sleep(r.MaxAge + time.Second)
		if got := ask(none); !strings.Contains(got, "press/door is true") {
			t.Errorf("what it looks at is old, and would be read anew: %q", got)
		}
		if got := g.stages(); len(got) != 0 || len(g.plant.sent) != 0 {
			t.Errorf("audited %q, sent %v", got, g.plant.sent)
		}
	})
}

func TestRangeToShow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := Default()
		g := newRig(t, r)
		x := g.target(&r)
		hold := func(what string, low, high float64) {
			t.Helper()
			if a, b := x.Range(); a != low || b != high {
				t.Errorf("%s: %g to %g", what, a, b)
			}
		}
		hold("a float", math.Inf(-1), math.Inf(1))
		x.Kind = tag.Uint16
		hold("a whole number", 0, 65535)
		x.Kind, x.Spec.Shared = tag.Int16, &device.Terms{Scale: -0.5, Bias: 1}
		hold("scaled downwards", 1-16383.5, 1+16384)
		r.Min, r.HasMin = -10, true
		hold("with a limit", -10, 1+16384)
		g.Set([]*Target{x})
		o := order(3.2)
		if v, against := g.Would(&o); against != "" || v.String() != "3" {
			t.Errorf("3.2 would be %v, %q", v, against)
		}
	})
}

// A desired value can be taken back as long as it waits, by whoever may write it.
func TestTakeBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, desired())
		g.plant.refuse = "it is down"
		done := g.start(order(7))
		if out, ok := g.Wished("press/temp"); !ok || out.New.String() != "7" || out.By != "shift" {
			t.Errorf("%+v, %v", out, ok)
		}
		var na *NotAllowedError
		if n, err := g.TakeBack("press/temp", Caller{User: "viewer"}, ""); n != 0 || !errors.As(err, &na) {
			t.Errorf("by a viewer: %d, %v", n, err)
		}
		if n, err := g.TakeBack("press/temp", Caller{User: "boss", Role: RoleAdmin}, "wrong recipe"); n != 1 || err != nil {
			t.Errorf("by the boss: %d, %v", n, err)
		}
		out := <-done
		g.want(out, Refused, "boss took it back: wrong recipe", "sending", "done refused")
		if _, ok := g.Wished("press/temp"); ok || out.Cause != Overtaken {
			t.Errorf("cause %d, still wished for: %v", out.Cause, ok)
		}
		if n, err := g.TakeBack("press/temp", shift, ""); n != 0 || err != nil {
			t.Errorf("nothing to take back: %d, %v", n, err)
		}
	})
}

// A desired value that was written and is still being looked at does not wait any more: to take it back is too late.
func TestTakeBackTooLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, desired())
		g.plant.onWrite = func(tag.Value) (device.Result, error) { return device.Result{}, nil } // which the device only says
		done := g.start(order(7))
		if out, ok := g.Wished("press/temp"); ok {
			t.Errorf("waits still: %+v", out)
		}
		if n, err := g.TakeBack("press/temp", shift, ""); n != 0 || err != nil {
			t.Errorf("%d taken back, %v", n, err)
		}
		if out := <-done; out.End != Differs {
			t.Errorf("%+v", out)
		}
	})
}
