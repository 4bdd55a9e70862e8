package sink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace/internal/journal"
	"millrace/internal/ledger"
	"millrace/internal/tag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memLog is a journal in memory, with a ledger that knows what was appended.
type memLog struct {
	ledger *ledger.Ledger

	mu      sync.Mutex
	epoch   uint64
	first   journal.Offset
	next    journal.Offset
	recs    []journal.Record
	skip    gap   // offsets that never had a row
	gone    []gap // ranges that readers cannot have: retention or damage
	cursors map[string]journal.Offset
	synced  uint64
	closed  bool
	changed chan struct{}
}

func newLog() *memLog {
	return &memLog{ledger: ledger.New(nil), epoch: 7, cursors: map[string]journal.Offset{}, changed: make(chan struct{})}
}

// add appends a batch of n rows.
func (l *memLog) add(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &tag.Batch{Received: time.Now().UnixNano()}
	for i := range n {
		b.Append(1, int64(l.next)+int64(i), tag.Good, tag.Int64, uint64(l.next)+uint64(i))
	}
	l.recs = append(l.recs, journal.Record{Offset: l.next, Batch: b})
	l.next += journal.Offset(n)
	l.synced += uint64(n)
	l.ledger.Offered(n, 0)
	l.ledger.Journaled(n)
	l.wake()
}

func (l *memLog) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// close ends the journal: readers get what is there and then ErrClosed.
func (l *memLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wake()
}

func (l *memLog) Epoch() uint64 { return l.epoch }

func (l *memLog) Bounds() (first, next journal.Offset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first, l.next
}

func (l *memLog) Rows(from, to journal.Offset) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rows(from, to)
}

func (l *memLog) rows(from, to journal.Offset) uint64 {
	n := uint64(max(to, from) - from)
	if lo, hi := max(l.skip.from, uint64(from)), min(l.skip.to, uint64(to)); lo < hi {
		n -= hi - lo
	}
	return n
}

func (l *memLog) Backlog(from journal.Offset) (waiting, synced uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rows(from, l.next), l.synced
}

func (l *memLog) Cursor(name string) (journal.Offset, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	off, ok := l.cursors[name]
	return off, ok
}

func (l *memLog) SetCursor(name string, off journal.Offset) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cursors[name] = off
	return nil
}

func (l *memLog) SkipTo(_ context.Context, next journal.Offset) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if next > l.next {
		l.skip = gap{from: uint64(l.next), to: uint64(next)}
		l.next = next
	}
	return nil
}

func (l *memLog) NewReader(from journal.Offset) Reader { return &memReader{l, from} }

type memReader struct {
	l    *memLog
	next journal.Offset
}

func (r *memReader) Close() error { return nil }

func (r *memReader) NextInto(ctx context.Context, b *tag.Batch) (journal.Offset, error) {
	for {
		r.l.mu.Lock()
		changed := r.l.changed
		r.l.mu.Unlock()
		off, ok, err := r.TryNextInto(b)
		if ok || err != nil {
			return off, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (r *memReader) TryNextInto(b *tag.Batch) (journal.Offset, bool, error) {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	for _, g := range r.l.gone {
		if at := uint64(r.next); at >= g.from && at < g.to {
			r.next = journal.Offset(g.to)
			if g.reason == ReasonDamaged {
				return 0, false, &journal.DamagedError{From: journal.Offset(at), To: r.next, Rows: g.to - at}
			}
			return 0, false, &journal.TrimmedError{From: journal.Offset(at), To: r.next, Rows: g.to - at}
		}
	}
	for _, rec := range r.l.recs {
		if rec.Next() > r.next {
			r.next = max(r.next, rec.Offset)
			skip := int(r.next - rec.Offset)
			b.Reset()
			b.Received = rec.Batch.Received
			for i := skip; i < rec.Batch.Len(); i++ {
				b.AppendRow(rec.Batch, i)
			}
			off := r.next
			r.next = rec.Next()
			return off, true, nil
		}
	}
	if r.l.closed {
		return 0, false, journal.ErrClosed
	}
	return 0, false, nil
}

// refusal is an error of a sink in a test.
type refusal struct {
	text  string
	again bool
}

func (e *refusal) Error() string   { return e.text }
func (e *refusal) Retryable() bool { return e.again }

// memSink keeps what was written. It holds every range to begin where the last one ended.
type memSink struct {
	t      *testing.T
	own    bool // it stores its own cursor
	cursor Cursor
	found  bool
	seeks  int
	down   atomic.Bool // it cannot be reached
	closed bool

	before func(ctx context.Context, r Range, rows []Rows) error // decides before anything is written; nil takes all

	mu     sync.Mutex
	writes []Range
	got    []uint64 // offsets in the order of arrival
}

func (s *memSink) ranges() []Range {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.writes)
}

func (s *memSink) offsets() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// back puts the cursor to off, and loses the rows from there on.
func (s *memSink) back(off uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursor.Offset = off
	s.got = slices.DeleteFunc(s.got, func(o uint64) bool { return o >= off })
}

func (s *memSink) Cursor(context.Context) (Cursor, bool, error) {
	if s.down.Load() {
		return Cursor{}, false, &refusal{"no route", true}
	}
	return s.cursor, s.own && s.found, nil
}

func (s *memSink) Write(ctx context.Context, r Range, rows []Rows) error {
	if s.found && s.cursor != (Cursor{r.Epoch, r.From}) {
		if s.own && s.cursor == (Cursor{r.Epoch, r.To}) {
			return nil // written by an attempt whose answer was lost
		}
		if s.own {
			return &CursorError{Name: "mem", Want: Cursor{r.Epoch, r.From}, Have: s.cursor, Found: true}
		}
		s.t.Errorf("range %v after %v", r, s.cursor)
	}
	if s.before != nil {
		if err := s.before(ctx, r, rows); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := r.From
	for _, v := range rows {
		if v.Len() < 1 || v.Offset < at || v.Next() > r.To {
			s.t.Errorf("range %v: rows [%d, %d) behind %d", r, v.Offset, v.Next(), at)
		}
		for i := range v.Len() {
			if bits := v.Batch.Bits[v.First+i]; bits != v.Offset+uint64(i) {
				s.t.Errorf("offset %d has value %d", v.Offset+uint64(i), bits)
			}
			s.got = append(s.got, v.Offset+uint64(i))
		}
		at = v.Next()
	}
	s.writes = append(s.writes, r)
	s.cursor, s.found = Cursor{r.Epoch, r.To}, true
	return nil
}

func (s *memSink) Close(context.Context) error {
	s.closed = true
	return nil
}

// seekSink is a memSink that stores its own cursor.
type seekSink struct{ memSink }

func (s *seekSink) Seek(_ context.Context, c Cursor) error {
	s.cursor, s.found = c, true
	s.seeks++
	return nil
}

// rig is a worker under test.
type rig struct {
	t      *testing.T
	log    *memLog
	worker *Worker
	dir    string
	alarms []string
	stop   context.CancelFunc
	done   chan error
}

// start runs a worker for s until the test ends, with small limits.
func start(t *testing.T, log *memLog, s Sink, set func(c *Config)) *rig {
	t.Helper()
	r := &rig{t: t, log: log, dir: t.TempDir(), done: make(chan error, 1)}
	cfg := Config{
		ID: "mem", Log: log, Sink: s, Account: log.ledger.Sink("mem"), Names: func(id tag.ID) string { return fmt.Sprint("tag", id) },
		DataDir: r.dir, MaxRows: 10, FromOldest: true, Alarm: func(text string) { r.alarms = append(r.alarms, text) },
	}
	if set != nil {
		set(&cfg)
	}
	r.dir = cfg.DataDir
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.worker, r.stop = w, cancel
	go func() { r.done <- w.Run(ctx) }()
	return r
}

// end stops the worker and returns Run's error.
func (r *rig) end() error {
	r.stop()
	return <-r.done
}

// balance holds the ledger to its equations.
func (r *rig) balance() {
	r.t.Helper()
	if s := r.log.ledger.Snapshot(); s.Residue != 0 {
		r.t.Errorf("residue %d: %+v", s.Residue, s)
	}
}

// wantOffsets holds got to the offsets [from, to) in order, without those left out.
func wantOffsets(t *testing.T, got []uint64, from, to uint64, without ...uint64) {
	t.Helper()
	var want []uint64
	for o := from; o < to; o++ {
		if !slices.Contains(without, o) {
			want = append(want, o)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want [%d, %d) without %v", got, from, to, without)
	}
}

// deadLines returns the lines of the dead-letter file.
func deadLines(t *testing.T, dir string) []string {
	t.Helper()
	p, err := os.ReadFile(filepath.Join(dir, "dead-letter", "mem.jsonl"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(p), "\n"), "\n")
}
