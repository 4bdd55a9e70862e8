package opcua

import (
	"time"

	"millrace/opcua/ua"
)

// subPublish is a Publish that waits until there is something to say.
type subPublish struct {
	late
	acks acknowledged
}

// acknowledged is what became of the acknowledgements of a Publish; it goes back with the answer to that same Publish. Nearly always all are good, which needs
// no list.
type acknowledged struct {
	count int
	bad   []ua.StatusCode // nil while all are good, else count of them
}

// add appends one result.
func (a *acknowledged) add(status ua.StatusCode) {
	if status != ua.Good && a.bad == nil {
		a.bad = make([]ua.StatusCode, a.count, a.count+1)
	}
	a.count++
	if a.bad != nil {
		a.bad = append(a.bad, status)
	}
}

// appendTo appends an array of StatusCode.
func (a *acknowledged) appendTo(b []byte) []byte {
	b = ua.AppendInt32(b, int32(a.count))
	for i := range a.count {
		if a.bad == nil {
			b = ua.AppendStatusCode(b, ua.Good)
			continue
		}
		b = ua.AppendStatusCode(b, a.bad[i])
	}
	return b
}

// subPublishQueue is the Publish requests of a session, oldest first: a ring that grows to its bound and then stays.
type subPublishQueue struct {
	ring []subPublish
	head int
	n    int
}

func (q *subPublishQueue) put(r subPublish) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.n)%len(q.ring)] = r
	q.n++
}

func (q *subPublishQueue) grow() {
	ring := make([]subPublish, max(2, 2*len(q.ring)))
	for i := range q.n {
		ring[i] = *q.at(i)
	}
	q.ring, q.head = ring, 0
}

func (q *subPublishQueue) at(i int) *subPublish { return &q.ring[(q.head+i)%len(q.ring)] }

// take removes the oldest.
func (q *subPublishQueue) take() subPublish {
	r := q.ring[q.head]
	q.ring[q.head] = subPublish{}
	q.head = (q.head + 1) % len(q.ring)
	q.n--
	return r
}

// filter keeps the requests for which keep says so, in their order. It returns how many it dropped.
func (q *subPublishQueue) filter(keep func(r *subPublish) bool) (dropped int) {
	kept := 0
	for i := range q.n {
		r := q.at(i)
		if !keep(r) {
			continue
		}
		if kept != i {
			*q.at(kept) = *r
		}
		kept++
	}
	for i := kept; i < q.n; i++ {
		*q.at(i) = subPublish{}
	}
	dropped, q.n = q.n-kept, kept
	return dropped
}

// overdue says that r's TimeoutHint has passed: its client waits no longer.
func (r *subPublish) overdue(now time.Time) bool {
	return !r.deadline.IsZero() && now.After(r.deadline)
}

// sentMessage is a NotificationMessage that its client has not acknowledged.
type sentMessage struct {
	number uint32
	body   []byte // encoded NotificationMessage
}

// sentQueue is the messages of a subscription that can be asked for again, oldest first. It is bounded: the oldest go when there are too many, or too
// many bytes, of them. The newest always stays, whatever its size. Buffers of messages that went lie behind the slice's end, for the next ones.
type sentQueue struct {
	messages []sentMessage
	bytes    int // capacity of all buffers
}

const (
	sentBytes      = 1 << 20  // of all messages of a subscription that wait for their acknowledgement
	sentSpares     = 4        // buffers that are kept for the next messages
	sentSpareBytes = 64 << 10 // a larger one is not kept
)

// buffer returns an empty buffer for the next message, which goes to keep.
func (q *sentQueue) buffer() []byte {
	n := len(q.messages)
	if n == cap(q.messages) {
		return nil
	}
	b := q.messages[:n+1][n].body
	q.messages[:n+1][n].body = nil
	q.bytes -= cap(b)
	return b[:0]
}

// keep takes a message and drops the oldest beyond the bounds.
func (q *sentQueue) keep(m sentMessage, most int) (dropped int) {
	q.messages = append(q.messages, m)
	q.bytes += cap(m.body)
	for len(q.messages) > 1 && (len(q.messages) > most || q.bytes > sentBytes) {
		q.drop(0)
		dropped++
	}
	return dropped
}

// drop forgets message i.
func (q *sentQueue) drop(i int) {
	b := q.messages[i].body
	copy(q.messages[i:], q.messages[i+1:])
	last := len(q.messages) - 1
	q.messages[last] = sentMessage{}
	if last < sentSpares && cap(b) <= sentSpareBytes {
		q.messages[last].body = b
	} else {
		q.bytes -= cap(b)
	}
	q.messages = q.messages[:last]
}

// find returns the place of a number, -1 when it is not there.
func (q *sentQueue) find(number uint32) int {
	for i := range q.messages {
		if q.messages[i].number == number {
			return i
		}
	}
	return -1
}

// acknowledge drops a message that its client has.
func (q *sentQueue) acknowledge(number uint32) ua.StatusCode {
	i := q.find(number)
	if i < 0 {
		return ua.BadSequenceNumberUnknown
	}
	q.drop(i)
	return ua.Good
}

// appendNumbers appends AvailableSequenceNumbers.
func (q *sentQueue) appendNumbers(b []byte) []byte {
	b = ua.AppendInt32(b, int32(len(q.messages)))
	for i := range q.messages {
		b = ua.AppendUInt32(b, q.messages[i].number)
	}
	return b
}
