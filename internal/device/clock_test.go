package device

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"millrace/internal/tag"
)

func TestClockSteps(t *testing.T) {
	var c wallClock
	for i, x := range []struct {
		wall, run time.Duration
		steps     uint64
		moved     bool
	}{
		{time.Second, time.Second, 0, false},
		{time.Hour + 100*time.Millisecond, time.Hour, 0, false}, // slewed
		{2 * time.Hour, time.Hour + time.Second, 1, true},       // set forward
		{2*time.Hour + time.Second, time.Hour + 2*time.Second, 1, false},
		{-time.Hour, time.Hour + 3*time.Second, 2, true}, // set back
		{-time.Hour, time.Hour + 3*time.Second, 2, false},
	} {
		was := c.offset.Load()
		is := c.compare(int64(x.wall), x.run)
		if c.steps.Load() != x.steps || (is != was) != x.moved {
			t.Errorf("%d: %d steps, offset %v after %v", i, c.steps.Load(), time.Duration(is), time.Duration(was))
		}
	}
}

// How long ago a value came, and when values moved last, does not change when the clock is set: not before the next batch, nor with it, nor in a successor.
func TestClockStepLeavesAges(t *testing.T) {
	const hour = int64(time.Hour)
	specs := []Group{{Tags: []TagSpec{{ID: 1, Name: "a"}, {ID: 2, Name: "never read"}}}}
	var clock atomic.Uint64
	for _, by := range []int64{hour, -hour} {
		tab := newTable(specs, &clock)
		b := &tag.Batch{Received: 5 * hour}
		b.Append(1, 0, tag.Good, tag.Int64, 7)
		tab.take(b, nil, false)
		age := func(when string, tab *table, wall int64) {
			t.Helper()
			now := 6*hour + wall // by the clock as it is set
			l, _ := tab.get(1, wall)
			if m := tab.movement(wall); now-l.Received != hour || now-m.Last.UnixNano() != hour || m.First != m.Last {
				t.Errorf("set by %v, %s: it is %v old, and moved at %v", time.Duration(by), when, time.Duration(now-l.Received), m.Last)
			}
			if l, _ := tab.get(2, wall); l.Received != 0 {
				t.Errorf("set by %v, %s: what was never read came at %v", time.Duration(by), when, l.Received)
			}
		}
		age("before", tab, 0)
		age("set", tab, by)
		next := newTable(specs, &clock)
		next.wall = by
		next.inherit(tab)
		if l, _ := next.get(1, by); l.Received != 5*hour+by {
			t.Errorf("set by %v: the successor has %v", time.Duration(by), time.Duration(l.Received))
		}
		tab.setClock(by)
		age("with the next batch", tab, by)
	}
}

// The first batch of a device after a step of the clock says so.
func TestClockStepMarksTheNextBatch(t *testing.T) {
	e, g := turnBench(t, 1, true)
	var flags []uint32
	e.rt.cfg.Output = outputFunc(func(b *tag.Batch) bool { flags = append(flags, b.Flags); return true })
	for i := range 4 {
		if i == 2 {
			g.unit.offset -= int64(time.Hour) // as if the clock had been set since its last batch
		}
		if _, err := e.turn(t.Context(), g, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(flags, []uint32{0, 0, tag.FlagClockStepped, 0}) {
		t.Errorf("flags %v", flags)
	}
}
