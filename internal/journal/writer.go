package journal

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"millrace/internal/journal/vfs"
)

// writer owns the segment written to, the blank segments and the cursor file. One goroutine at a time uses it: Run, or before and
// after it Open and Close.
type writer struct {
	j    *Journal
	seq  uint32    // the highest given to a segment
	next Offset    // of the next row
	now  time.Time // when the present turn began

	seg *segment // nil when the last one cannot be written to any more
	f   vfs.File // of seg
	pos int64    // where the next commit goes in f

	group  []*entry // taken from the queue and not yet synced
	buf    []byte   // the commit being written
	skips  []span   // skip frames in buf
	skipTo Offset   // the next row gets at least this offset

	failures int       // commits that failed since the last that did not
	retryAt  time.Time // no commit before

	blanks  blanks
	cursors cursorFile
}

const (
	commitBytes = 4 << 20 // most bytes that one sync covers, unless a single batch has more
	soonBytes   = 1 << 20 // waiting bytes that do not wait for FlushEvery
	tickEvery   = time.Second

	commitsPerTurn = 16
	maxBackoff     = 5 * time.Second
	lastTries      = 3 // of the commits that remain when ctx ends
)

// Run writes what is queued until ctx ends and the queue is empty, or the disk has refused it three times more. It may be called
// once. Readers, cursors and Stats work on after it, until Close.
func (j *Journal) Run(ctx context.Context) error {
	if err := j.start(); err != nil {
		return err
	}
	defer j.ended()
	t := time.NewTimer(0)
	defer t.Stop()
	for ctx.Err() == nil {
		t.Reset(time.Until(j.w.work(time.Now())))
		select {
		case <-ctx.Done():
		case <-j.queue.wake:
		case <-t.C:
		}
	}
	return j.w.finish()
}

func (j *Journal) start() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return ErrClosed
	}
	if j.running {
		return fmt.Errorf("journal: Run called twice")
	}
	j.running = true
	return nil
}

// ended wakes the readers that wait for what will not come.
func (j *Journal) ended() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stopped = true
	j.wakeReaders()
}

// work does all that is due and returns when to look again at the latest.
func (w *writer) work(now time.Time) time.Time {
	w.now = now
	at := now.Add(tickEvery)
	if !now.Before(w.retryAt) {
		w.flush(now)
	}
	if due, t := w.pending(now); !t.IsZero() {
		if due {
			t = now
		}
		if t.Before(w.retryAt) {
			t = w.retryAt
		}
		at = earliest(at, t)
	}
	w.trim(0)
	at = earliest(at, w.provision(now))
	return earliest(at, w.saveCursors(false))
}

func earliest(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}

// pending says whether there is something to commit now, or when there will be.
func (w *writer) pending(now time.Time) (bool, time.Time) {
	if len(w.group) > 0 || w.skipTo > w.next {
		return true, now
	}
	return w.j.queue.due(now, w.j.cfg.FlushEvery)
}

// flush commits until nothing is due, the disk refuses twice in a row, or cursors and retention should have their turn.
func (w *writer) flush(now time.Time) {
	for range commitsPerTurn {
		if due, _ := w.pending(now); !due {
			return
		}
		err := w.commit()
		if err == nil {
			w.failures = 0
			continue
		}
		w.failing(err)
		if w.failures++; w.failures > 1 {
			w.retryAt = now.Add(min(100*time.Millisecond<<min(w.failures-2, 10), maxBackoff))
			return
		}
	}
}

func (w *writer) failing(err error) {
	w.j.mu.Lock()
	w.j.stats.failing = true
	w.j.stats.full = w.j.stats.full || vfs.IsFull(err)
	w.j.mu.Unlock()
	w.j.noteError(err)
}

// commit writes and syncs what waits, or as much of it as fits a segment. After an error the entries are in w.group still, and
// nothing of the segment that failed will be written or synced again: a sync that failed may have dropped the very pages it
// could not write, and the next would report success.
func (w *writer) commit() error {
	if len(w.group) == 0 {
		w.group = w.j.queue.take(w.group, max(commitBytes, w.j.queue.head()))
	}
	if w.seg == nil || !w.fits() {
		if err := w.rotate(); err != nil {
			return err
		}
	}
	n, next := w.build()
	at := w.pos
	if _, err := w.f.WriteAt(w.buf, at); err != nil {
		return w.abandon(&FileError{Op: "write", Name: segName(w.seg.seq), Err: err})
	}
	if err := w.f.Sync(); err != nil {
		return w.abandon(&FileError{Op: "sync", Name: segName(w.seg.seq), Err: err})
	}
	w.pos = at + int64(len(w.buf)) - frameHeader
	w.publish(n, next)
	return nil
}

// room is how many bytes of frames the segment takes, the end frame not counted.
func (w *writer) room() int64 { return w.seg.limit() - w.pos - frameHeader }

// overhead is what a commit needs beside its entries.
func (w *writer) overhead() int64 {
	var n int64
	if w.pos == 0 {
		n += startBytes
	}
	if w.skipTo > w.next {
		n += skipBytes
	}
	return n
}

// fits says whether the segment has room for at least one entry of the group.
func (w *writer) fits() bool {
	need := w.overhead()
	if len(w.group) > 0 {
		need += int64(len(w.group[0].buf))
	}
	return need <= w.room()
}

// build fills w.buf with as many entries of the group as fit, and returns their number and the offset behind them.
func (w *writer) build() (int, Offset) {
	w.buf, w.skips = w.buf[:0], w.skips[:0]
	next, room := w.next, w.room()
	if w.pos == 0 {
		w.buf = appendFrame(w.buf, w.header(frameStart, next), binary.LittleEndian.AppendUint64(nil, uint64(w.now.UnixNano())))
	}
	if w.skipTo > next {
		next = w.skip(next, w.skipTo)
	}
	n := 0
	for _, e := range w.group {
		if int64(len(w.buf)+len(e.buf)) > room {
			break
		}
		n++
		e.off = next
		if e.skipTo > 0 {
			next = w.skip(next, e.skipTo)
			continue
		}
		h := w.header(frameData, next)
		h.length, h.rows, h.dataCRC = uint32(len(e.buf)-frameHeader), uint32(e.rows), e.dataCRC
		h.put(e.buf)
		w.buf = append(w.buf, e.buf...)
		next += Offset(e.rows)
	}
	w.buf = appendFrame(w.buf, w.header(frameEnd, next), nil)
	return n, next
}

func (w *writer) header(typ byte, at Offset) header {
	return header{typ: typ, seq: w.seg.seq, epoch: w.j.epoch, offset: at}
}

func (w *writer) skip(next, to Offset) Offset {
	if to <= next {
		return next
	}
	w.buf = appendFrame(w.buf, w.header(frameSkip, next), binary.LittleEndian.AppendUint64(nil, uint64(to)))
	w.skips = append(w.skips, span{next, to})
	return to
}

// publish makes the first n entries of the group, which are synced, known to readers and to who waits.
func (w *writer) publish(n int, next Offset) {
	j, rows := w.j, 0
	j.mu.Lock()
	for _, e := range w.group[:n] {
		if e.skipTo == 0 {
			rows += e.rows
			w.seg.saw(e.recv)
		}
	}
	w.seg.next, w.seg.end = next, w.pos
	w.seg.skips = append(w.seg.skips, w.skips...)
	j.skips = append(j.skips, w.skips...)
	j.next, w.next = next, next
	j.stats.synced(n, rows, len(w.buf))
	j.wakeReaders()
	j.mu.Unlock()
	for _, e := range w.group[:n] {
		e.finish(ack{off: e.off})
	}
	w.forget(n)
	if rows > 0 {
		j.cfg.OnSynced(rows)
	}
}

// forget gives the first n entries of the group back to the queue.
func (w *writer) forget(n int) {
	w.j.queue.release(w.group[:n])
	rest := copy(w.group, w.group[n:])
	clear(w.group[rest:])
	w.group = w.group[:rest]
}

// abandon leaves the segment as it was at the last sync that succeeded.
func (w *writer) abandon(err error) error {
	_ = w.f.Close() // nothing that matters is unsynced
	s := w.seg
	w.seg, w.f = nil, nil
	w.j.mu.Lock()
	s.sealed = true
	if s.end == 0 {
		w.j.segs = slices.DeleteFunc(w.j.segs, func(o *segment) bool { return o == s })
	}
	w.j.mu.Unlock()
	if s.end == 0 {
		_ = w.j.cfg.FS.Remove(w.path(segName(s.seq))) // it would be found empty at the next start, and ignored
	}
	return err
}

// rotate seals the segment and begins a new one.
func (w *writer) rotate() error {
	if w.seg != nil {
		w.seal()
	}
	w.trim(w.j.cfg.SegmentBytes)
	f, err := w.acquire()
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err != nil {
		_ = f.Close()
		return &FileError{Op: "stat", Name: segName(w.seq), Err: err}
	}
	w.seg, w.f, w.pos = newSegmentInfo(w.seq, w.next, size), f, 0
	w.j.mu.Lock()
	w.j.segs = append(w.j.segs, w.seg)
	w.j.mu.Unlock()
	return nil
}

// seal writes the footer. Without one the segment is read through at the next start, so an error is noted, not returned.
func (w *writer) seal() {
	if p := w.seg.footer(w.j.epoch); p != nil {
		_, err := w.f.WriteAt(p, w.seg.limit())
		if err == nil {
			err = w.f.Sync()
		}
		if err != nil {
			w.j.noteError(&FileError{Op: "seal", Name: segName(w.seg.seq), Err: err})
		}
	}
	_ = w.abandon(nil)
}

// finish commits what is left and closes the queue.
func (w *writer) finish() error {
	w.j.queue.close()
	w.now = time.Now()
	for try := 0; ; {
		if due, _ := w.pending(w.now); !due {
			break
		}
		err := w.commit()
		if err == nil {
			continue
		}
		w.failing(err)
		if try++; try == lastTries {
			w.giveUp(err)
			return err
		}
	}
	w.saveCursors(true)
	return nil
}

// giveUp drops what could not be written, and says so to who waits and to the ledger.
func (w *writer) giveUp(err error) {
	for {
		w.group = w.j.queue.take(w.group, w.j.cfg.QueueBytes)
		if len(w.group) == 0 {
			return
		}
		for _, e := range w.group {
			e.finish(ack{err: &LostError{Rows: e.rows, Err: err}})
			if e.rows > 0 {
				w.j.dropped(ReasonLost, e.rows)
			}
		}
		w.forget(len(w.group))
	}
}

func (e *entry) finish(a ack) {
	if e.done != nil {
		e.done(a)
	}
}
