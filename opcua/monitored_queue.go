package opcua

import (
	"bytes"
	"sync/atomic"

	"millrace/opcua/ua"
)

// byteBudget bounds what waits in all subscriptions of a server together. Several goroutines use it; what is asked of it is growth, which is rare
// once queues have their size.
type byteBudget struct {
	size int64
	left atomic.Int64
	subs atomic.Int64 // subscriptions that share it
}

func (p *byteBudget) init(size int) {
	p.size = int64(size)
	p.left.Store(p.size)
}

// subBudget is the budget as one subscription sees it. Half of it is whoever's comes first; of the other half each has its share, so that some clients that
// do not take what they asked for leave room to the others.
type subBudget struct {
	all  *byteBudget
	used atomic.Int64
}

// allows says whether the subscription may take n bytes more.
func (p *subBudget) allows(n int) bool {
	left := p.all.left.Load() - int64(n)
	return left >= p.all.size/2 || left >= 0 && p.used.Load()+int64(n) <= p.all.size/2/max(1, p.all.subs.Load())
}

// take reserves n bytes; false means that they are not there for this subscription.
func (p *subBudget) take(n int) bool {
	ok := p.allows(n)
	if ok {
		p.give(-n)
	}
	return ok
}

// give gives n bytes back, or takes them whether they are there or not.
func (p *subBudget) give(n int) {
	p.used.Add(-int64(n))
	p.all.left.Add(int64(n))
}

// noticeQueue is the values of an item that wait to be sent, oldest first: a ring that grows up to size while the client is slow. Values are copied into the
// places of the ring, whose buffers stay for the next ones unless they are large.
type noticeQueue struct {
	ring []notice
	size int32 // most values; at least 1
	head int32
	n    int32
	one  [1]notice        // the ring, as long as it has one place: nearly always. Beside the item it is found sooner
	here [noticeRoom]byte // where the value in one lies, as long as it fits
}

const (
	noticeBytes = 48  // of a place in the ring
	noticeRoom  = 16  // a number or a time fits
	noticeSpare = 256 // a larger buffer is given back when its value has been sent
)

// push copies s in. What does not fit replaces another value, and where that leaves a gap the overflow bit says so, unless there is but one place.
// [OPC 10000-4 5.13.1.5] overflow says that there was one.
func (q *noticeQueue) push(s *sample, discardOldest bool, p *subBudget) (overflow bool) {
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
	q.set(n, s, p)
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
func (q *noticeQueue) room(p *subBudget) bool {
	have := int32(len(q.ring))
	if q.n < have {
		return true
	}
	places := min(max(1, 2*have), q.size)
	if have > 0 && !p.allows(int(places-have)*noticeBytes) {
		return false
	}
	q.resize(places, p)
	return true
}

// resize moves what waits into a ring of places, which are enough for it.
func (q *noticeQueue) resize(places int32, p *subBudget) {
	ring := q.one[:]
	if places > 1 || len(q.ring) == 1 {
		ring = make([]notice, places)
	} else {
		ring[0].value = q.here[:0]
	}
	for i := range q.n {
		ring[i] = *q.at(i)
		if q.inHere(&ring[i]) {
			ring[i].value = bytes.Clone(ring[i].value)
			p.give(-cap(ring[i].value))
		}
		*q.at(i) = notice{}
	}
	q.free(p)
	p.give(-int(places) * noticeBytes)
	q.ring, q.head = ring, 0
	if places > 1 {
		q.one = [1]notice{}
	}
}

// pop drops the oldest.
func (q *noticeQueue) pop(p *subBudget) {
	n := q.at(0)
	if c := cap(n.value); c > noticeSpare {
		n.value = nil
		p.give(c)
	}
	q.head = (q.head + 1) % int32(len(q.ring))
	q.n--
}

// limit revises the size; what is too much goes as if it had come too late.
func (q *noticeQueue) limit(size int32, discardOldest bool, p *subBudget) {
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
func (q *noticeQueue) clear(p *subBudget) {
	q.free(p)
	q.ring, q.head, q.n, q.one = nil, 0, 0, [1]notice{}
}

// free gives back what the ring has of p.
func (q *noticeQueue) free(p *subBudget) {
	n := len(q.ring) * noticeBytes
	for i := range q.ring {
		if !q.inHere(&q.ring[i]) {
			n += cap(q.ring[i].value)
		}
	}
	p.give(n)
}

// inHere says whether the value of n lies in the queue itself.
func (q *noticeQueue) inHere(n *notice) bool {
	return cap(n.value) > 0 && &n.value[:1][0] == &q.here[0]
}

// set copies s into a place. A value for which there are no bytes left is a value that is not known.
func (q *noticeQueue) set(n *notice, s *sample, p *subBudget) {
	n.stamps = s.stamps
	if have := cap(n.value); len(s.value) > have {
		if q.inHere(n) {
			have = 0
		}
		if !p.take(len(s.value) - have) {
			n.value, n.status = n.value[:0], ua.BadOutOfMemory
			return
		}
		n.value = make([]byte, 0, len(s.value))
	}
	n.value = append(n.value[:0], s.value...)
}
