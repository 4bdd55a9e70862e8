// Package journal is the durable log between the devices and everything that consumes values. What Append returned for is on the
// disk; what cannot be kept is counted.
package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"millrace/internal/tag"
)

// Offset counts rows from the making of the data directory on: row i of a record at offset o has o+i. An offset is never given
// twice within an epoch; some are never given.
type Offset uint64

// MaxOffset bounds what SkipTo takes: beyond it a cursor is nonsense, and following it would use the offsets up.
const MaxOffset Offset = 1 << 62

// Journal is an open journal directory. All methods are safe for concurrent use. Lock order: none is held while another is taken.
type Journal struct {
	cfg   Config
	epoch uint64
	lock  io.Closer
	queue queue
	w     *writer // owned by Run while it runs, else by Open and Close

	mu       sync.Mutex
	segs     []*segment // oldest first; the last is the one written to
	next     Offset     // behind the last synced row
	skips    []span     // offsets that never had a row, sorted
	changed  chan struct{}
	cursors  cursors
	stats    counters
	recovery Recovery
	running  bool // Run was called
	stopped  bool // and has ended
	closed   bool
}

// Offer encodes b into the queue and returns at once; b is the caller's again. It answers false, and OnDropped has been told, when
// the queue has no room, b does not fit a segment, or the journal is closed. An empty batch is taken and leaves no trace.
//
// When b was taken, done, which may be nil, is called once: with nil when b is synced, or with a *LostError. The writer calls it, so that it must
// not wait for anything.
func (j *Journal) Offer(b *tag.Batch, done func(error)) bool {
	if b.Len() == 0 {
		if done != nil {
			done(nil)
		}
		return true
	}
	e := j.queue.get()
	e.encode(b)
	if done != nil {
		e.done = func(a ack) { done(a.err) }
	}
	err := j.admit(e)
	if err == nil {
		err = j.queue.put(e)
	}
	if err != nil {
		j.queue.drop(e)
		j.refused(err, b.Len())
		return false
	}
	return true
}

func (j *Journal) admit(e *entry) error {
	if m := maxPayload(j.cfg.SegmentBytes); int64(len(e.buf)) > m+frameHeader || e.rows > tag.MaxRows {
		return &TooLargeError{Rows: e.rows, Bytes: len(e.buf) - frameHeader, Max: int(m)}
	}
	return nil
}

func (j *Journal) refused(err error, rows int) {
	reason := ReasonTooLarge
	switch {
	case errors.Is(err, errFull):
		reason = ReasonFull
	case errors.Is(err, ErrClosed):
		reason = ReasonClosed
	}
	j.dropped(reason, rows)
}

func (j *Journal) dropped(reason string, rows int) {
	j.mu.Lock()
	j.stats.drop(reason, rows)
	j.mu.Unlock()
	j.cfg.OnDropped(reason, rows)
}

// Append encodes b into the queue, waits until it is synced, and returns the offset of its first row. It shares the sync with what
// comes within FlushEvery. When the queue is full it waits for room. An error that is ctx's may leave the batch in the queue, to be
// written later; a *LostError may leave it on the disk; after every other error it is not in the journal.
func (j *Journal) Append(ctx context.Context, b *tag.Batch) (Offset, error) {
	return j.append(ctx, b, false)
}

// AppendUrgent is Append for a record that somebody waits for: its commit starts at once, and takes along what waits.
func (j *Journal) AppendUrgent(ctx context.Context, b *tag.Batch) (Offset, error) {
	return j.append(ctx, b, true)
}

func (j *Journal) append(ctx context.Context, b *tag.Batch, urgent bool) (Offset, error) {
	if b.Len() == 0 {
		_, next := j.Bounds()
		return next, nil
	}
	e := j.queue.get()
	e.encode(b)
	e.urgent = urgent
	return j.submit(ctx, e)
}

// submit queues e, waiting for room, and waits until it is synced.
func (j *Journal) submit(ctx context.Context, e *entry) (Offset, error) {
	done := make(chan ack, 1)
	e.done = func(a ack) { done <- a }
	err := j.admit(e)
	if err == nil {
		err = j.putWait(ctx, e)
	}
	if err != nil {
		j.queue.drop(e)
		return 0, err
	}
	select {
	case a := <-done:
		return a.off, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (j *Journal) putWait(ctx context.Context, e *entry) error {
	for {
		if err := j.queue.put(e); !errors.Is(err, errFull) {
			return err
		}
		room := j.queue.roomy()
		if err := j.queue.put(e); !errors.Is(err, errFull) { // it may have shrunk just before
			return err
		}
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// SkipTo makes sure that the next row gets at least offset next. A sink whose own cursor lies behind the journal's end (the disk
// lied, or an old copy was put back) calls it before anything is numbered twice. It waits until that is synced.
func (j *Journal) SkipTo(ctx context.Context, next Offset) error {
	if _, have := j.Bounds(); next <= have {
		return nil
	}
	if next > MaxOffset {
		return fmt.Errorf("journal: %d is no offset that was ever given; set the cursor right", next)
	}
	e := j.queue.get()
	e.buf, e.skipTo, e.urgent = append(e.buf[:0], make([]byte, skipBytes)...), next, true
	_, err := j.submit(ctx, e)
	return err
}

// Epoch returns the random number made with the directory.
func (j *Journal) Epoch() uint64 { return j.epoch }

// Bounds returns the offset of the oldest row that is kept and the one behind the newest that is synced.
func (j *Journal) Bounds() (first, next Offset) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.firstLocked(), j.next
}

func (j *Journal) firstLocked() Offset {
	if len(j.segs) == 0 {
		return j.next
	}
	return j.segs[0].first
}

// Rows returns how many rows were written between two offsets: their distance, less the offsets that never had a row.
func (j *Journal) Rows(from, to Offset) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.rowsLocked(from, to)
}

// Backlog returns how many rows lie between from and the end, and how many were synced since Open, both at the same moment: what a
// ledger needs to open a sink's account while the journal runs.
func (j *Journal) Backlog(from Offset) (waiting, synced uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.rowsLocked(from, j.next), j.stats.rows
}

func (j *Journal) rowsLocked(from, to Offset) uint64 { return rowsBetween(j.skips, from, to) }

// rowsBetween is Rows where skips are the offsets that never had a row.
func rowsBetween(skips []span, from, to Offset) uint64 {
	if to <= from {
		return 0
	}
	n := uint64(to - from)
	for _, k := range skips {
		if lo, hi := max(k.From, from), min(k.To, to); lo < hi {
			n -= uint64(hi - lo)
		}
	}
	return n
}

// Queued returns how many rows were taken by Offer or Append and are not synced yet: what the ledger measures.
func (j *Journal) Queued() uint64 {
	_, rows := j.queue.size()
	return uint64(rows)
}

func (j *Journal) noteError(err error) {
	j.mu.Lock()
	j.stats.errs++
	j.stats.lastErr, j.stats.lastErrAt = err, time.Now()
	j.mu.Unlock()
	j.cfg.OnError(err)
}
