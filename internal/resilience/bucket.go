package resilience

import "time"

// Bucket hands out turns at a rate, with a burst at first. A turn is reserved, not tried for: who asks first goes first, however long
// the queue, and nobody waits in a goroutine. One that is shared by all dials is what keeps start-up and mass reconnects from being a
// storm. The zero value gives every turn at once.
type Bucket struct {
	every time.Duration
	burst int
	next  time.Time // when the turn after the ones reserved would be due if there were no burst
}

// NewBucket returns a bucket of rate turns a second; rate 0 is no limit. burst turns, at least 1, may follow one another at once.
func NewBucket(rate float64, burst int) Bucket {
	if rate <= 0 {
		return Bucket{}
	}
	return Bucket{every: max(time.Duration(float64(time.Second)/rate), 1), burst: max(burst, 1)}
}

// Reserve takes n turns and returns when the first may be used: now or later.
func (b *Bucket) Reserve(now time.Time, n int) time.Time {
	if b.every == 0 || n <= 0 {
		return now
	}
	at := b.next.Add(-time.Duration(b.burst-1) * b.every)
	if at.Before(now) {
		at = now
	}
	if b.next.Before(now) {
		b.next = now
	}
	b.next = b.next.Add(time.Duration(n) * b.every)
	return at
}

// SetRate changes the rate of a bucket without burst and keeps the turns that are reserved. Rate 0 is no limit.
func (b *Bucket) SetRate(rate float64) {
	next := b.next
	*b = NewBucket(rate, 1)
	b.next = next
}
