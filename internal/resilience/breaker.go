package resilience

import "time"

// Breaker counts timeouts that follow one another and says when there were too many. It has no states: the device's machine is the only
// automaton, with Cooling for an open breaker and Suspect for a half-open one.
type Breaker struct {
	failures int
	window   time.Duration
	first    time.Time // the first failure of the run
	count    int
}

// NewBreaker returns the breaker of a profile.
func NewBreaker(p Profile) Breaker { return Breaker{failures: p.Failures, window: p.Window} }

// Fail counts a failure at now and says whether the run is as long as the profile allows. A failure later than the window after
// the first one begins a new run.
func (b *Breaker) Fail(now time.Time) bool {
	if b.count == 0 || now.Sub(b.first) > b.window {
		b.first, b.count = now, 0
	}
	b.count++
	return b.count >= b.failures
}

// OK ends the run.
func (b *Breaker) OK() { b.count = 0 }

// Count returns how long the run is.
func (b *Breaker) Count() int { return b.count }
