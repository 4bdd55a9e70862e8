package device

import (
	"sync/atomic"
	"time"
)

// stepAtLeast is by how much the wall clock must run away from the monotonic one between two looks to count as a step; a clock that is being
// slewed moves 0.5 ms a second.
const stepAtLeast = 500 * time.Millisecond

// wallClock notices when the gateway's clock is set. Safe for concurrent use.
type wallClock struct {
	start  time.Time
	offset atomic.Int64 // wall less monotonic since start, in ns, as it was last accepted
	steps  atomic.Uint64
	last   atomic.Pointer[clockStep]
}

// clockStep is how the clock was set.
type clockStep struct {
	at time.Time // by the new clock
	by time.Duration
}

// look compares the clocks at now and returns the offset: it is another one after a step.
func (c *wallClock) look(now time.Time) int64 {
	return c.compare(now.UnixNano()-c.start.UnixNano(), now.Sub(c.start))
}

// compare takes how long ago start was by the wall and by the monotonic clock. A drift that adds up counts as one step when it is long enough.
func (c *wallClock) compare(wall int64, run time.Duration) int64 {
	was, is := c.offset.Load(), wall-int64(run)
	if abs(is-was) < int64(stepAtLeast) {
		return was
	}
	if c.offset.CompareAndSwap(was, is) {
		c.steps.Add(1)
		c.last.Store(&clockStep{at: time.Now(), by: time.Duration(is - was)})
	}
	return is
}

func abs(n int64) int64 { return max(n, -n) }
