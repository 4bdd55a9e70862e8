package device

import (
	"slices"
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
