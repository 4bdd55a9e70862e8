package journal

import (
	"errors"
	"hash/crc32"
	"sync"
	"time"

	"millrace/internal/tag"
)

// entry is a batch on its way to the disk: an encoded frame that lacks its header.
type entry struct {
	buf     []byte // frameHeader bytes for the header, then the payload
	rows    int
	recv    int64
	dataCRC uint32
	skipTo  Offset // not 0: no batch, but the wish that the next row have at least this offset
	urgent  bool
	off     Offset    // given by the writer
	done    func(ack) // nil when nobody waits; called once, by the writer, which it must not hold up
}

type ack struct {
	off Offset
	err error
}

func (e *entry) encode(b *tag.Batch) {
	e.buf = b.AppendTo(append(e.buf[:0], make([]byte, frameHeader)...))
	e.rows, e.recv = b.Len(), b.Received
	e.dataCRC = crc32.Checksum(e.buf[frameHeader:], castagnoli)
}

var errFull = errors.New("journal: queue full")

// queue holds the entries that wait for the writer. Its bytes are bounded: put refuses what does not fit. Entries that the
// writer took count until release.
type queue struct {
	max  int64
	wake chan struct{} // 1: a hint to the writer to look
	soon int64         // waiting bytes from which the writer need not wait for more

	mu      sync.Mutex
	waiting []*entry
	since   time.Time // when the first of waiting came
	ready   int64     // bytes of waiting
	urgent  int       // urgent ones among waiting
	bytes   int64     // of waiting and of what the writer took
	rows    int64     // same
	closed  bool
	room    chan struct{} // not nil: closed when bytes shrink

	free      []*entry
	freeBytes int64
}

// keepFree is the most memory of done entries that is kept for new ones.
const keepFree = 8 << 20

// get returns an entry to fill.
func (q *queue) get() *entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.free)
	if n == 0 {
		return &entry{}
	}
	e := q.free[n-1]
	q.free = q.free[:n-1]
	q.freeBytes -= int64(cap(e.buf))
	return e
}

// put hands e to the writer, or gives an error and keeps it out: errFull or ErrClosed.
func (q *queue) put(e *entry) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := int64(len(e.buf))
	switch {
	case q.closed:
		return ErrClosed
	case q.bytes+n > q.max && q.bytes > 0:
		return errFull
	}
	if len(q.waiting) == 0 {
		q.since = time.Now()
	}
	before := q.ready
	q.waiting = append(q.waiting, e)
	q.ready, q.bytes, q.rows = q.ready+n, q.bytes+n, q.rows+int64(e.rows)
	if e.urgent {
		q.urgent++
	}
	if len(q.waiting) == 1 || e.urgent || before < q.soon && q.ready >= q.soon {
		notify(q.wake)
	}
	return nil
}

// roomy returns a channel that is closed when the queue has shrunk.
func (q *queue) roomy() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.room == nil {
		q.room = make(chan struct{})
	}
	return q.room
}

// due says whether the writer should take now, and if not, when it should at the latest; the zero time means nothing waits.
func (q *queue) due(now time.Time, flushEvery time.Duration) (bool, time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return false, time.Time{}
	}
	at := q.since.Add(flushEvery)
	return q.urgent > 0 || q.ready >= q.soon || q.closed || !at.After(now), at
}

// take moves entries of at most limit bytes from the queue's head to the end of dst. It stops before the first that does not fit.
func (q *queue) take(dst []*entry, limit int64) []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for ; n < len(q.waiting); n++ {
		e := q.waiting[n]
		if limit -= int64(len(e.buf)); limit < 0 {
			break
		}
		q.ready -= int64(len(e.buf))
		if e.urgent {
			q.urgent--
		}
	}
	dst = append(dst, q.waiting[:n]...)
	rest := copy(q.waiting, q.waiting[n:])
	clear(q.waiting[rest:])
	q.waiting = q.waiting[:rest]
	return dst
}

// head returns the bytes of the first entry that waits, 0 when none does.
func (q *queue) head() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return 0
	}
	return int64(len(q.waiting[0].buf))
}

// release takes back entries that are done.
func (q *queue) release(es []*entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range es {
		q.bytes -= int64(len(e.buf))
		q.rows -= int64(e.rows)
		q.recycle(e)
	}
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
}

func (q *queue) recycle(e *entry) {
	if q.freeBytes+int64(cap(e.buf)) > keepFree {
		return
	}
	q.freeBytes += int64(cap(e.buf))
	*e = entry{buf: e.buf[:0]}
	q.free = append(q.free, e)
}

// drop takes an entry back that never got in.
func (q *queue) drop(e *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.recycle(e)
}

// close refuses all further puts.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
}

func (q *queue) size() (bytes, rows int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes, q.rows
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
