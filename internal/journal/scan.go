package journal

import (
	"context"
	"time"

	"millrace/internal/tag"
)

// Scan calls f with the records received from from to to, both included, in the order in which they were written, until f answers
// false. The batch is valid during the call. It reads only segments that hold such records, waits for nothing, passes over what is
// damaged, and ends with ctx's error when ctx does.
func (j *Journal) Scan(ctx context.Context, from, to time.Time, f func(Record) bool) error {
	s := scan{j: j, lo: from.UnixNano(), hi: to.UnixNano()}
	for _, v := range s.segments() {
		more, err := s.forward(ctx, v, f)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// ScanBack is Scan from the newest record to the oldest, for who has time for only the last part of a long range.
func (j *Journal) ScanBack(ctx context.Context, from, to time.Time, f func(Record) bool) error {
	s := scan{j: j, lo: from.UnixNano(), hi: to.UnixNano()}
	vs := s.segments()
	for i := range vs {
		more, err := s.backward(ctx, vs[len(vs)-1-i], f)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

type scan struct {
	j      *Journal
	lo, hi int64
	w      walker
	b      tag.Batch
	at     []place // of the records of one segment, for backward
}

// place is where a record's payload lies in its segment.
type place struct {
	pos    int64
	length int
	off    Offset
}

// segments returns those that hold something received in the range.
func (s *scan) segments() []view {
	s.j.mu.Lock()
	defer s.j.mu.Unlock()
	var vs []view
	for _, g := range s.j.segs {
		if g.minRecv <= s.hi && g.maxRecv >= s.lo {
			vs = append(vs, view{seq: g.seq, next: g.next, end: g.end})
		}
	}
	return vs
}

// each calls f with the payload of each record of v in the range. A segment that is gone by now has none.
func (s *scan) each(ctx context.Context, v view, f func(p []byte) bool) (bool, error) {
	file, err := openFile(s.j.cfg.FS, s.j.cfg.Dir, segName(v.seq), readOnly)
	if err != nil {
		return true, nil
	}
	defer func() { _ = file.Close() }()
	s.w.reset(file, s.j.epoch, v.seq, v.end)
	for ctx.Err() == nil {
		p, ok := s.w.next()
		if !ok || s.w.h.offset >= v.next {
			return true, nil
		}
		if s.w.h.typ != frameData {
			continue
		}
		if t := tag.EncodedReceived(p); t < s.lo || t > s.hi {
			continue
		}
		if !f(p) {
			return false, nil
		}
	}
	return false, ctx.Err()
}

func (s *scan) forward(ctx context.Context, v view, f func(Record) bool) (bool, error) {
	return s.each(ctx, v, func(p []byte) bool { return s.give(p, s.w.h.offset, f) })
}

// give decodes p for f. What does not decode is passed over.
func (s *scan) give(p []byte, off Offset, f func(Record) bool) bool {
	return s.b.DecodeFrom(p) != nil || f(Record{Offset: off, Batch: &s.b})
}

// backward notes where v's records lie, and reads them from the last to the first.
func (s *scan) backward(ctx context.Context, v view, f func(Record) bool) (bool, error) {
	s.at = s.at[:0]
	more, err := s.each(ctx, v, func(p []byte) bool {
		s.at = append(s.at, place{s.w.at + frameHeader, len(p), s.w.h.offset})
		return true
	})
	if err != nil || !more || len(s.at) == 0 {
		return more, err
	}
	file, err := openFile(s.j.cfg.FS, s.j.cfg.Dir, segName(v.seq), readOnly)
	if err != nil {
		return true, nil
	}
	defer func() { _ = file.Close() }()
	s.w.reset(file, s.j.epoch, v.seq, v.end)
	for i := len(s.at) - 1; i >= 0 && ctx.Err() == nil; i-- {
		a := s.at[i]
		s.w.pos, s.w.end = a.pos-frameHeader, a.pos+int64(a.length) // read no more than the record
		p, ok := s.w.next()
		if ok && s.w.h.offset == a.off && !s.give(p, a.off, f) {
			return false, nil
		}
	}
	return true, ctx.Err()
}
