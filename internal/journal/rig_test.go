package journal

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace/internal/journal/faultfs"
	"millrace/internal/tag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const dir = "/data/journal"

// rig is a journal whose writer is driven by hand, on a clock that moves only when told to: no goroutine, and every call to the disk
// comes in the same order in every run.
type rig struct {
	t       testing.TB
	fs      *faultfs.FS
	j       *Journal
	now     time.Time
	dropped map[string]int
	trimmed map[string]uint64
	synced  int
	errs    []error
}

// testStart lies in the future, so that what the queue stamped with the real time is overdue.
var testStart = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// open opens the journal on fs. Nothing is ever too old, unless change says so.
func open(t testing.TB, fs *faultfs.FS, change func(*Config)) (*rig, error) {
	r := &rig{t: t, fs: fs, now: testStart, dropped: map[string]int{}, trimmed: map[string]uint64{}}
	c := Config{
		Dir: dir, FS: fs, SegmentBytes: minSegmentBytes, FlushEvery: -1, MaxAge: 1000 * time.Hour,
		OnSynced:  func(n int) { r.synced += n },
		OnDropped: func(reason string, n int) { r.dropped[reason] += n },
		OnTrimmed: func(name string, n uint64) { r.trimmed[name] += n },
		OnError:   func(err error) { r.errs = append(r.errs, err) },
	}
	if change != nil {
		change(&c)
	}
	j, err := Open(c)
	r.j = j
	return r, err
}

func mustOpen(t testing.TB, fs *faultfs.FS, change func(*Config)) *rig {
	t.Helper()
	r, err := open(t, fs, change)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// work lets d pass and the writer do what is due.
func (r *rig) work(d time.Duration) {
	r.now = r.now.Add(d)
	r.j.w.work(r.now)
}

// provision makes the spare and the reserve.
func (r *rig) provision() {
	for range 2 * minSegmentBytes / 1024 {
		r.work(provisionGap)
	}
}

// put queues b as Append does, and returns where the answer will be.
func (r *rig) put(b *tag.Batch) chan ack {
	e, done := r.j.queue.get(), make(chan ack, 1)
	e.encode(b)
	e.urgent, e.done = true, func(a ack) { done <- a }
	if err := errors.Join(r.j.admit(e), r.j.queue.put(e)); err != nil {
		r.t.Fatal(err)
	}
	return done
}

// append is AppendUrgent. It lets up to a minute pass until the batch is synced.
func (r *rig) append(b *tag.Batch) (Offset, error) {
	done := r.put(b)
	for range 120 {
		r.work(500 * time.Millisecond)
		select {
		case a := <-done:
			return a.off, a.err
		default:
		}
	}
	return 0, errors.New("not synced within a minute")
}

func (r *rig) mustAppend(b *tag.Batch) Offset {
	r.t.Helper()
	off, err := r.append(b)
	if err != nil {
		r.t.Fatal(err)
	}
	return off
}

// numbered returns a batch of n rows whose values count up from first, received first seconds after the start.
func numbered(first, n int) *tag.Batch {
	b := &tag.Batch{Device: 1, Received: testStart.Add(time.Duration(first) * time.Second).UnixNano()}
	for i := range n {
		b.Append(tag.ID(i+1), b.Received, tag.Good, tag.Uint32, uint64(first+i))
	}
	return b
}

// row is one value that was read back.
type row struct {
	off Offset
	val uint64
}

// readAll reads from offset from to the end: the rows, and what was reported gone.
func (r *rig) readAll(from Offset) (rows []row, gone []error) {
	r.t.Helper()
	rd := r.j.NewReader(from)
	defer func() { _ = rd.Close() }()
	var b tag.Batch
	for {
		off, ok, err := rd.TryNextInto(&b)
		switch {
		case err != nil && !isGone(err):
			r.t.Fatal(err)
		case err != nil:
			gone = append(gone, err)
		case !ok:
			return rows, gone
		}
		if ok {
			for i := range b.Len() {
				rows = append(rows, row{off + Offset(i), b.Bits[i]})
			}
		}
	}
}

func isGone(err error) bool {
	var d *DamagedError
	var t *TrimmedError
	return errors.As(err, &d) || errors.As(err, &t)
}

// model is what was given to a journal, and what it acknowledged.
type model struct {
	offered map[uint64]bool
	acked   []row
}

func (m *model) offer(first, n int) {
	if m.offered == nil {
		m.offered = map[uint64]bool{}
	}
	for i := range n {
		m.offered[uint64(first+i)] = true
	}
}

func (m *model) append(r *rig, first, n int) error {
	m.offer(first, n)
	off, err := r.append(numbered(first, n))
	if err != nil {
		return err
	}
	for i := range n {
		m.acked = append(m.acked, row{off + Offset(i), uint64(first + i)})
	}
	return nil
}

// check says what is wrong with rows as what the journal holds: each acknowledged row has to be there at its offset, in order, and
// no other but those that were offered, each once.
func (m *model) check(rows []row) error {
	have := map[Offset]uint64{}
	for i, w := range rows {
		if i > 0 && (w.off <= rows[i-1].off || w.val <= rows[i-1].val) {
			return fmt.Errorf("%v comes behind %v", w, rows[i-1])
		}
		if !m.offered[w.val] {
			return fmt.Errorf("%v was never offered", w)
		}
		have[w.off] = w.val
	}
	for _, w := range m.acked {
		if v, ok := have[w.off]; !ok || v != w.val {
			return fmt.Errorf("%v was acknowledged and is not there", w)
		}
	}
	return nil
}
