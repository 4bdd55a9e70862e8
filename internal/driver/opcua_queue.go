package driver

import (
	"sync"

	"millrace/internal/tag"
)

// receipt tells the device that what came with it is safe.
type receipt interface{ Done() }

// pushQueue holds the rows that a device sent by itself, until they are safe:
//
//	          push             take            settle(nil)
//	device ─────────► waiting ──────► taken ───────────────► receipts Done, the lot used again
//	                     ▲                │ settle(err)
//	                     └────────────────┘ in front of what came since
//
// It is bounded by who fills it: a device whose receipts are not Done sends no more. Any goroutine may push and settle.
type pushQueue[R receipt] struct {
	mu      sync.Mutex
	waiting *pushLot[R] // nil when nothing waits
	free    *pushLot[R]
	frees   int
}

// pushLot is rows that are taken together.
type pushLot[R receipt] struct {
	rows     tag.Batch
	receipts []R
	done     func(error) // settle, made once
	next     *pushLot[R] // free
}

const (
	// keptLots is how many lots a queue keeps for the next rows; more were only ever needed at once while a disk was slow.
	keptLots = 4
	// keptRows is the longest lot that is kept.
	keptRows = 1 << 16
)

// push has f append rows, with their receipt.
func (q *pushQueue[R]) push(f func(b *tag.Batch), r R) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting == nil {
		q.waiting = q.lot()
	}
	f(&q.waiting.rows)
	q.waiting.receipts = append(q.waiting.receipts, r)
}

// lot returns an empty lot. The caller holds the lock.
func (q *pushQueue[R]) lot() *pushLot[R] {
	if l := q.free; l != nil {
		q.free, l.next = l.next, nil
		q.frees--
		return l
	}
	l := &pushLot[R]{}
	l.done = func(err error) { q.settle(l, err) }
	return l
}

// take appends what waits to into, and returns what to call once when that is safe or lost; nil when nothing waits.
func (q *pushQueue[R]) take(into *tag.Batch) func(error) {
	q.mu.Lock()
	l := q.waiting
	q.waiting = nil
	q.mu.Unlock()
	if l == nil {
		return nil
	}
	appendRows(into, &l.rows)
	return l.done
}

// appendRows copies all rows of o to the end of b.
func appendRows(b, o *tag.Batch) {
	off := uint64(len(b.Aux)) << 32
	first := b.Len()
	b.ID = append(b.ID, o.ID...)
	b.TS = append(b.TS, o.TS...)
	b.Quality = append(b.Quality, o.Quality...)
	b.Kind = append(b.Kind, o.Kind...)
	b.Bits = append(b.Bits, o.Bits...)
	b.Aux = append(b.Aux, o.Aux...)
	for i := first; i < b.Len(); i++ {
		if b.Kind[i].Width() == 0 {
			b.Bits[i] += off
		}
	}
}

// settle ends a lot that was taken, or has it wait again.
func (q *pushQueue[R]) settle(l *pushLot[R], err error) {
	if err == nil {
		for _, r := range l.receipts {
			r.Done()
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		if w := q.waiting; w != nil {
			appendRows(&l.rows, &w.rows)
			l.receipts = append(l.receipts, w.receipts...)
			q.release(w)
		}
		q.waiting = l
		return
	}
	q.release(l)
}

// release keeps a lot for the next rows. The caller holds the lock.
func (q *pushQueue[R]) release(l *pushLot[R]) {
	if q.frees == keptLots || cap(l.rows.ID) > keptRows {
		return
	}
	l.rows.Reset()
	clear(l.receipts)
	l.receipts = l.receipts[:0]
	l.next, q.free = q.free, l
	q.frees++
}
