// Package ring is a bounded queue in memory from one producer to several consumers, each of which gets everything. It has no lock: a place is
// handed over by the number of places that were put, and given back by each consumer's own number.
package ring

import (
	"math/bits"
	"sync/atomic"
)

// Ring is the producer's end. Its methods are one goroutine's at a time.
//
//	      slowest cursor     another       head
//	            ▼               ▼            ▼
//	… taken by all │ · · · · · · │ · · · · · · │ free, up to size behind the slowest
type Ring[T any] struct {
	slots   []T
	cursors []*Cursor[T]
	slowest uint64 // the producer's last look at the cursors: they may be further, never back
	_       line
	head    atomic.Uint64 // values put so far
	_       line
}

// line keeps what one goroutine writes off the cache line of another.
type line [64]byte

// Cursor is one consumer's end. Its methods are one goroutine's at a time.
type Cursor[T any] struct {
	ring *Ring[T]
	_    line
	at   atomic.Uint64 // values taken so far
	_    line
}

// New returns a Ring of at least size places, a power of two, and its consumers. A Ring without consumers is never full.
func New[T any](size, consumers int) (*Ring[T], []*Cursor[T]) {
	r := &Ring[T]{slots: make([]T, 1<<bits.Len(uint(max(size, 1)-1)))}
	for range consumers {
		r.cursors = append(r.cursors, &Cursor[T]{ring: r})
	}
	return r, r.cursors
}

// Put hands v to all consumers. It reports false when the slowest of them has left no place.
func (r *Ring[T]) Put(v T) bool { return r.PutKeeping(v, 0) }

// PutKeeping is Put that leaves at least keep places free behind v, or puts nothing.
func (r *Ring[T]) PutKeeping(v T, keep int) bool {
	if keep >= len(r.slots) {
		return false
	}
	head := r.head.Load()
	most := uint64(len(r.slots) - 1 - keep) // that may be untaken before v
	if head-r.slowest > most {
		if r.look(head); head-r.slowest > most {
			return false
		}
	}
	r.slots[head&uint64(len(r.slots)-1)] = v
	r.head.Store(head + 1)
	return true
}

// look asks the cursors how far they are.
func (r *Ring[T]) look(head uint64) {
	r.slowest = head
	for _, c := range r.cursors {
		r.slowest = min(r.slowest, c.at.Load())
	}
}

// Size returns the number of places.
func (r *Ring[T]) Size() int { return len(r.slots) }

// Take copies what was put and not yet taken into into, as much as fits, and returns how many values that were. What it returned stays in the ring,
// and whatever it points to in memory, until other values take its place.
func (c *Cursor[T]) Take(into []T) int {
	at := c.at.Load()
	n := min(c.ring.head.Load()-at, uint64(len(into)))
	from := at & uint64(len(c.ring.slots)-1)
	first := copy(into[:n], c.ring.slots[from:])
	copy(into[first:n], c.ring.slots)
	c.at.Store(at + n)
	return int(n)
}
