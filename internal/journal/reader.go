package journal

import (
	"context"
	"slices"
	"sort"

	"millrace/internal/journal/vfs"
	"millrace/internal/tag"
)

// Record is one batch of the journal; its row i has offset Offset+i.
type Record struct {
	Offset Offset
	Batch  *tag.Batch
}

// Next returns the offset behind the record's rows.
func (r Record) Next() Offset { return r.Offset + Offset(r.Batch.Len()) }

// Reader reads records in order, synced ones only. One goroutine at a time uses it. Close it, for it holds a file open.
type Reader struct {
	j    *Journal
	next Offset // of the next row to return
	seq  uint32 // of the segment that f is; 0 none
	f    vfs.File
	w    walker
	held []byte // the payload that w stands on, not yet returned; nil when there is none
	b    tag.Batch
}

// NewReader returns a reader whose first row is the one at offset from. It may lie within a record, whose rows before it are left out.
func (j *Journal) NewReader(from Offset) *Reader { return &Reader{j: j, next: from} }

// Offset returns the offset of the next row that the reader will return.
func (r *Reader) Offset() Offset { return r.next }

// Close gives up the reader's file.
func (r *Reader) Close() error {
	if r.f == nil {
		return nil
	}
	err := r.f.Close()
	r.f, r.seq, r.held = nil, 0, nil
	return err
}

// Next returns the next record, and waits for one at the end. The record's batch is the reader's and valid until the next call. It
// ends with ctx's error, with ErrClosed when the journal is closed or nothing more can come, or with an *AheadError. After a
// *TrimmedError or a *DamagedError the reader has gone on: call Next again.
func (r *Reader) Next(ctx context.Context) (Record, error) {
	off, err := r.NextInto(ctx, &r.b)
	if err != nil {
		return Record{}, err
	}
	return Record{Offset: off, Batch: &r.b}, nil
}

// NextInto is Next into a batch of the caller's, for one who collects several. It returns the offset of the batch's first row.
func (r *Reader) NextInto(ctx context.Context, b *tag.Batch) (Offset, error) {
	for {
		off, ok, err := r.TryNextInto(b)
		if ok || err != nil {
			return off, err
		}
		if err := r.wait(ctx); err != nil {
			return 0, err
		}
	}
}

// TryNextInto is NextInto that does not wait: at the end it answers false without an error.
func (r *Reader) TryNextInto(b *tag.Batch) (Offset, bool, error) {
	for {
		v, err := r.look()
		if err != nil || v.atEnd {
			return 0, false, err
		}
		if err := r.open(v); err != nil {
			return 0, false, err
		}
		off, ok, err := r.step(v, b)
		if ok || err != nil {
			return off, ok, err
		}
	}
}

// view is the part of a segment that may be read.
type view struct {
	seq   uint32
	next  Offset // behind its rows
	end   int64
	atEnd bool // the reader has read all there is
}

// look finds the segment of the reader's next row.
func (r *Reader) look() (view, error) {
	j := r.j
	j.mu.Lock()
	defer j.mu.Unlock()
	first := j.firstLocked()
	switch {
	case j.closed:
		return view{}, ErrClosed
	case r.next > j.next:
		return view{}, &AheadError{From: r.next, Next: j.next}
	case r.next < first:
		from := r.advance(first)
		return view{}, &TrimmedError{From: from, To: first, Rows: j.rowsLocked(from, first)}
	case r.next == j.next:
		return view{atEnd: true}, nil
	}
	// Not at the end and not before the oldest: a segment ends behind r.next, or the last rows are in none any more.
	i := sort.Search(len(j.segs), func(i int) bool { return j.segs[i].next > r.next })
	to := j.next
	if i < len(j.segs) {
		s := j.segs[i]
		if s.first <= r.next {
			return view{seq: s.seq, next: s.next, end: s.end}, nil
		}
		to = s.first
	}
	from := r.advance(to)
	return view{}, &DamagedError{From: from, To: to, Rows: j.rowsLocked(from, to)}
}

// advance moves the reader to offset to and returns where it was.
func (r *Reader) advance(to Offset) Offset {
	from := r.next
	r.next = to
	return from
}

// open makes v's segment the one that is read.
func (r *Reader) open(v view) error {
	if r.seq != v.seq {
		_ = r.Close()
		f, err := openFile(r.j.cfg.FS, r.j.cfg.Dir, segName(v.seq), readOnly)
		if err != nil {
			if !r.present(v.seq) {
				return nil // trimmed just now; look says so next
			}
			return err
		}
		r.f, r.seq = f, v.seq
		r.w.reset(f, r.j.epoch, v.seq, v.end)
	}
	r.w.end = v.end
	return nil
}

func (r *Reader) present(seq uint32) bool {
	r.j.mu.Lock()
	defer r.j.mu.Unlock()
	return slices.ContainsFunc(r.j.segs, func(s *segment) bool { return s.seq == seq })
}

// step reads one frame. It answers false when there was no record in it.
func (r *Reader) step(v view, b *tag.Batch) (Offset, bool, error) {
	if r.seq != v.seq {
		return 0, false, nil
	}
	if r.held == nil {
		p, ok := r.w.next()
		if !ok || r.w.h.offset >= v.next {
			return 0, false, r.damaged(v, v.next)
		}
		r.held = p
	}
	h := &r.w.h
	switch {
	case h.offset > r.next:
		return 0, false, r.damaged(v, h.offset)
	case h.typ == frameSkip:
		if to, ok := skipTarget(r.held); ok {
			r.next = max(r.next, min(to, v.next))
		}
	case h.typ == frameData && h.next() > r.next:
		return r.deliver(v, b)
	}
	r.held = nil
	return 0, false, nil
}

func (r *Reader) deliver(v view, b *tag.Batch) (Offset, bool, error) {
	p, h := r.held, r.w.h
	r.held = nil
	if err := b.DecodeFrom(p); err != nil || b.Len() != int(h.rows) {
		return 0, false, r.damaged(v, h.next())
	}
	off := r.advance(h.next())
	b.DropFirst(int(off - h.offset))
	return off, true, nil
}

// damaged says that the rows before to cannot be read, unless their segment is just gone: then its bytes are a younger one's.
func (r *Reader) damaged(v view, to Offset) error {
	if !r.present(v.seq) {
		_ = r.Close()
		return nil
	}
	from := r.advance(to)
	return &DamagedError{From: from, To: to, Rows: r.j.Rows(from, to)}
}

// wait blocks at the end until there is more to read.
func (r *Reader) wait(ctx context.Context) error {
	j := r.j
	j.mu.Lock()
	if r.next != j.next || j.closed {
		j.mu.Unlock()
		return nil
	}
	if j.stopped {
		j.mu.Unlock()
		return ErrClosed
	}
	if j.changed == nil {
		j.changed = make(chan struct{})
	}
	c := j.changed
	j.mu.Unlock()
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wakeReaders lets readers look again. Journal.mu is held.
func (j *Journal) wakeReaders() {
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}
