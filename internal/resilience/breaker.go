package resilience

import "time"

// Breaker counts how calls end and says when there is no point in more of them. It has no states: the device's machine is the only automaton, with
// Cooling for an open breaker and Suspect for a half-open one. It opens on any of
//
//   - failures, one after the other, as many as the profile allows, or for longer than its window,
//   - the share of failures within the window, of as many calls at least as make a share,
//   - the share of slow calls within the window, likewise,
//   - the share of failures among the calls on trial, of which the first has to succeed.
//
// A repetition of a call that failed makes the run longer or ends it, and is no call of its own in the shares: or three repetitions would make
// a window of the one call that was in it. The window is a ring of parts, so that a call is forgotten between 7/8 and all of the window after it ended. Make one with NewBreaker.
type Breaker struct {
	failures       uint32
	minCalls       uint32
	rate, slowRate float32
	window         time.Duration

	base    time.Time     // of the first call: other times are since then, by the monotonic clock
	first   time.Duration // the first failure of the run
	count   uint32        // how long the run is
	left    uint32        // calls that are still on trial
	tried   uint32        // calls that were
	broke   uint32        // of these, failures
	current int64         // the part of the window that now is in, since base
	parts   [breakerParts]tally
}

// tally is the calls that ended in one part of a window.
type tally struct{ calls, failed, slow uint16 }

const breakerParts = 8

// NewBreaker returns the breaker of a profile.
func NewBreaker(p Profile) Breaker {
	p = p.WithDefaults()
	return Breaker{failures: uint32(p.Failures), minCalls: uint32(p.MinCalls), rate: float32(p.FailureRate), slowRate: float32(p.SlowRate), window: p.Window}
}

// Fail counts a failure at now, of a call or of a repetition, and says whether it opens the breaker. Timeouts may come slowly, when each is long or many devices take turns; a run
// that began anew with the window would then never be long enough.
func (b *Breaker) Fail(now time.Time, repeated bool) bool {
	at := b.age(now)
	if b.count == 0 {
		b.first = at
	}
	b.count++
	run := b.count >= b.failures || at-b.first > b.window
	if run || repeated {
		return run
	}
	t := b.part(now)
	t.calls, t.failed = more(t.calls), more(t.failed)
	if b.trialBroken() {
		return true
	}
	sum := b.sum()
	return uint32(sum.calls) >= b.minCalls && exceeds(sum.failed, sum.calls, b.rate)
}

// trialBroken counts a failure on trial and says whether they are too many by now.
func (b *Breaker) trialBroken() bool {
	if b.left == 0 {
		return false
	}
	b.left--
	b.tried++
	b.broke++
	return float32(b.broke) >= b.rate*float32(b.tried)
}

// OK counts a call, or a repetition, that succeeded at now, ends the run of failures, and says whether slow calls are so many that the breaker opens.
func (b *Breaker) OK(now time.Time, slow, repeated bool) bool {
	b.count = 0
	if repeated {
		return false
	}
	if b.left > 0 {
		b.left--
		b.tried++
	}
	t := b.part(now)
	t.calls = more(t.calls)
	if !slow {
		return false
	}
	t.slow = more(t.slow)
	sum := b.sum()
	return uint32(sum.calls) >= b.minCalls && exceeds(sum.slow, sum.calls, b.slowRate)
}

// Trial forgets all calls and puts the next n on trial.
func (b *Breaker) Trial(n int) {
	b.Reset()
	b.left = uint32(max(n, 0))
}

// Reset forgets all calls: they say nothing of those to come.
func (b *Breaker) Reset() {
	b.count, b.left, b.tried, b.broke = 0, 0, 0, 0
	clear(b.parts[:])
}

// Count returns how long the run of failures is.
func (b *Breaker) Count() int { return int(b.count) }

// Last says whether one more failure in a row opens the breaker.
func (b *Breaker) Last() bool { return b.count+1 >= b.failures }

// age returns how long after the first call now is.
func (b *Breaker) age(now time.Time) time.Duration {
	if b.base.IsZero() {
		b.base = now
	}
	return now.Sub(b.base)
}

// part returns the tally of the part that now is in, and clears those that were passed since.
func (b *Breaker) part(now time.Time) *tally {
	at := int64(b.age(now)) / max(int64(b.window)/breakerParts, 1)
	if gone := at - b.current; gone != 0 {
		if gone < 0 || gone > breakerParts { // or now is before what was before
			gone = breakerParts
		}
		for i := range gone {
			b.parts[uint64(at-i)%breakerParts] = tally{}
		}
		b.current = at
	}
	return &b.parts[uint64(at)%breakerParts]
}

func (b *Breaker) sum() (s struct{ calls, failed, slow int }) {
	for i := range b.parts {
		s.calls += int(b.parts[i].calls)
		s.failed += int(b.parts[i].failed)
		s.slow += int(b.parts[i].slow)
	}
	return s
}

// exceeds says whether n of all is rate or more.
func exceeds(n, all int, rate float32) bool { return float32(n) >= rate*float32(all) }

// more adds one to a count that ends at its largest value.
func more(n uint16) uint16 { return n + uint16(min(1, ^n)) }
