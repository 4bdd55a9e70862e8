package opcua

import (
	"sync/atomic"

	"millrace/opcua/ua"
)

// byteBudget bounds what the queues of all subscriptions of a server hold together. Several goroutines use it; what is asked of it is growth, which is rare
// once queues have their size.
type byteBudget struct{ left atomic.Int64 }

// take reserves n bytes; false means that there are not as many.
func (p *byteBudget) take(n int) bool {
	if p.left.Add(-int64(n)) >= 0 {
		return true
	}
	p.left.Add(int64(n))
	return false
}

func (p *byteBudget) give(n int) { p.left.Add(int64(n)) }

// noticeQueue is the values of an item that wait to be sent, oldest first: a ring that grows up to size while the client is slow. Values are copied into the
// places of the ring, whose buffers stay for the next ones unless they are large.
type noticeQueue struct {
	ring []notice
	size int32 // most values; at least 1
	head int32
	n    int32
}

const (
	noticeBytes = 48  // of a place in the ring
	noticeSpare = 256 // a larger buffer is given back when its value has been sent
)

// push copies s in. What does not fit replaces another value, and where that leaves a gap the overflow bit says so, unless there is but one place.
// [OPC 10000-4 5.13.1.5] overflow says that there was one.
func (q *noticeQueue) push(s *sample, discardOldest bool, p *byteBudget) (overflow bool) {
	last := false
	switch {
	case q.n < q.size && q.room(p):
		q.n++
	case q.size == 1:
	case discardOldest && q.n > 1:
		q.head = (q.head + 1) % int32(len(q.ring))
		q.at(0).status |= statusOverflow
		overflow = true
	default:
		last, overflow = true, true
	}
	n := q.at(q.n - 1)
	n.set(s, p)
	if last {
		n.status |= statusOverflow
	}
	return overflow
}

func (q *noticeQueue) at(i int32) *notice {
	if i += q.head; i >= int32(len(q.ring)) {
		i -= int32(len(q.ring))
	}
	return &q.ring[i]
}

// room makes a place for one more. False means that there are no bytes left for it; the first place is always granted.
func (q *noticeQueue) room(p *byteBudget) bool {
	have := int32(len(q.ring))
	if q.n < have {
		return true
	}
	places := min(max(1, 2*have), q.size)
	if have > 0 && p.left.Load() < int64(places-have)*noticeBytes {
		return false
	}
	q.resize(places, p)
	return true
}

// resize moves what waits into a ring of places, which are enough for it.
func (q *noticeQueue) resize(places int32, p *byteBudget) {
	ring := make([]notice, places)
	for i := range q.n {
		ring[i] = *q.at(i)
		*q.at(i) = notice{}
	}
	q.free(p)
	p.left.Add(-int64(places) * noticeBytes)
	q.ring, q.head = ring, 0
}

// pop drops the oldest.
func (q *noticeQueue) pop(p *byteBudget) {
	n := q.at(0)
	if c := cap(n.value); c > noticeSpare {
		n.value = nil
		p.give(c)
	}
	q.head = (q.head + 1) % int32(len(q.ring))
	q.n--
}

// limit revises the size; what is too much goes as if it had come too late.
func (q *noticeQueue) limit(size int32, discardOldest bool, p *byteBudget) {
	lost := q.n - size
	for ; q.n > size; q.n-- {
		if discardOldest {
			q.head = (q.head + 1) % int32(len(q.ring))
		}
	}
	q.size = size
	switch {
	case lost <= 0 || size == 1:
	case discardOldest:
		q.at(0).status |= statusOverflow
	default:
		q.at(q.n - 1).status |= statusOverflow
	}
	if int32(len(q.ring)) > size {
		q.resize(size, p)
	}
}

// clear drops all values and what they lay in.
func (q *noticeQueue) clear(p *byteBudget) {
	q.free(p)
	q.ring, q.head, q.n = nil, 0, 0
}

// free gives back what the ring has of p.
func (q *noticeQueue) free(p *byteBudget) {
	n := len(q.ring) * noticeBytes
	for i := range q.ring {
		n += cap(q.ring[i].value)
	}
	p.give(n)
}

// set copies s. A value for which there are no bytes left is a value that is not known.
func (n *notice) set(s *sample, p *byteBudget) {
	n.stamps = s.stamps
	if grow := len(s.value) - cap(n.value); grow > 0 {
		if !p.take(grow) {
			n.value, n.status = n.value[:0], ua.BadOutOfMemory
			return
		}
		n.value = make([]byte, 0, len(s.value))
	}
	n.value = append(n.value[:0], s.value...)
}
