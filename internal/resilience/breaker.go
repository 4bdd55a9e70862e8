package resilience

import "time"

// Breaker counts timeouts that follow one another and says when there were too many, or when they have gone on for too long. It has no states: the device's machine is the only
// automaton, with Cooling for an open breaker and Suspect for a half-open one.
type Breaker struct {
	failures int
	window   time.Duration
	first    time.Time // the first failure of the run
	count    int
}

// NewBreaker returns the breaker of a profile.
func NewBreaker(p Profile) Breaker { return Breaker{failures: p.Failures, window: p.Window} }

// Fail counts a failure at now and says whether the run is as long as the profile allows: in failures, or in time. Timeouts may come
// slowly, when each is long or many devices take turns; a run that began anew with the window would then never be long enough.
func (b *Breaker) Fail(now time.Time) bool {
	if b.count == 0 {
		b.first = now
	}
	b.count++
	return b.count >= b.failures || now.Sub(b.first) > b.window
}

// OK ends the run.
func (b *Breaker) OK() { b.count = 0 }

// Count returns how long the run is.
func (b *Breaker) Count() int { return b.count }
