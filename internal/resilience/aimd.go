package resilience

import "time"

// AIMD is a rate that adapts to what the other side bears: each success adds a little, up to a limit, and when too many of a second's calls
// timed out the rate is halved. A few timeouts are those of single devices that are gone, and no reason. Make one with NewAIMD.
//
// Calls that began before the rate was halved last do not count: they were made at a rate that is known to be too high. Below the rate that is known to be too much, a
// success adds a whole turn, so that the rate doubles in a second: while nobody is there it falls as far as it can, and then everybody wants to be back. A success that took
// more than a quarter of what it may is a queue that grows: it takes a quarter of the rate away, before calls are lost.
type AIMD struct {
	rate, limit, least float64
	threshold          float64 // what may be too much
	alone              bool    // nobody was there when the rate was halved last
	ok, timeouts       int
	window             time.Time // begin of the second that is being counted
	halved             time.Time
	cuts               uint64
}

const (
	aimdGrowth   = 0.05 // turns a second for each success: a thousand successes add fifty
	aimdShare    = 0.1  // of the calls of a second, timed out, halve the rate
	aimdTimeouts = 3    // fewer never do
	aimdLeast    = 1.0 / 16
)

// NewAIMD returns a rate of limit turns a second, which it never exceeds.
func NewAIMD(limit float64) AIMD {
	limit = max(limit, 0)
	return AIMD{rate: limit, limit: limit, least: min(limit, max(1, limit*aimdLeast)), threshold: limit}
}

// Rate returns the turns a second that are allowed now.
func (a *AIMD) Rate() float64 { return a.rate }

// Cuts returns how often the rate was halved.
func (a *AIMD) Cuts() uint64 { return a.cuts }

// OK takes a call that began at began and succeeded at now; late says that it took more than a quarter of what it may.
func (a *AIMD) OK(began, now time.Time, late bool) {
	if a.alone {
		a.alone, a.halved = false, now // what began before says that nobody was there
	}
	a.roll(now)
	a.ok++
	switch {
	case late && !began.Before(a.halved):
		a.threshold = a.rate / 2
		a.rate = max(a.rate*3/4, a.least)
		a.halved = now
	case late:
	case a.rate < a.threshold:
		a.rate = min(a.rate+1, a.limit)
	default:
		a.rate = min(a.rate+aimdGrowth, a.limit)
	}
}

// TimedOut takes a call that began at began and timed out at now, and says whether the rate was halved for it.
func (a *AIMD) TimedOut(began, now time.Time) bool {
	if began.Before(a.halved) {
		return false
	}
	a.roll(now)
	a.timeouts++
	if a.timeouts < aimdTimeouts || float64(a.timeouts) < aimdShare*float64(a.ok+a.timeouts) {
		return false
	}
	if a.alone = a.ok == 0; !a.alone {
		a.threshold = a.rate / 2 // some came: it was too much, rather than nobody there
	}
	a.rate = max(a.rate/2, a.least)
	a.halved, a.window, a.ok, a.timeouts = now, now, 0, 0
	a.cuts++
	return true
}

// roll begins another second when one is over.
func (a *AIMD) roll(now time.Time) {
	if now.Sub(a.window) >= time.Second {
		a.window, a.ok, a.timeouts = now, 0, 0
	}
}
