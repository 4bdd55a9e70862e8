package resilience

import "time"

// Rand is a source of random numbers: Int64N returns one in [0, n). *rand.Rand of math/rand/v2 is one.
type Rand interface{ Int64N(n int64) int64 }

// Backoff says how long to wait before the next try: full jitter, that is anything between nothing and a bound that begins at base and
// doubles with every try up to a cap. Of all the ways measured, full jitter under a shared bucket brought everybody back soonest with
// no try wasted. Make one with NewBackoff.
type Backoff struct {
	base, limit time.Duration
	tries       int
}

// NewBackoff returns the back-off of a profile: its floor doubled up to its cap.
func NewBackoff(p Profile) Backoff { return Backoff{base: p.Floor, limit: p.Cap} }

// Next returns the next wait, at most the cap.
func (b *Backoff) Next(r Rand) time.Duration {
	bound := b.base
	for i := 0; i < b.tries && bound < b.limit; i++ {
		bound *= 2
	}
	b.tries++
	return time.Duration(r.Int64N(int64(min(bound, b.limit)) + 1))
}

// Follow makes b that of another profile, and keeps count of the tries.
func (b *Backoff) Follow(p Profile) { b.base, b.limit = p.Floor, p.Cap }

// Reset begins anew, after a success.
func (b *Backoff) Reset() { b.tries = 0 }

// Retries says how long to wait before a read that failed is repeated: not at all at first, then full jitter under bounds that grow. The zero value is
// before the first.
type Retries struct{ done uint8 }

// Next returns the wait before the next repetition. quick repeats at once once more: on a link that loses packets the second is as good as the first.
func (t *Retries) Next(r Rand, quick bool) time.Duration {
	t.done = min(t.done+1, 250)
	n := t.done
	if quick {
		n--
	}
	switch {
	case n <= 1:
		return 0
	case n == 2:
		return time.Duration(r.Int64N(int64(100*time.Millisecond) + 1))
	case n == 3:
		return time.Duration(r.Int64N(int64(300*time.Millisecond) + 1))
	}
	return time.Duration(r.Int64N(int64(900*time.Millisecond) + 1))
}

// Done returns how many repetitions there were.
func (t *Retries) Done() int { return int(t.done) }

// Reset begins anew, after a read that came.
func (t *Retries) Reset() { t.done = 0 }
