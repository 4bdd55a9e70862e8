package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/journal/faultfs"
	"millrace/internal/journal/vfs"
	"millrace/internal/ledger"
	"millrace/internal/tag"
)

// started is a journal that runs until the test ends, on a real directory.
func started(t testing.TB, c Config) *Journal {
	t.Helper()
	j, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, j.Close()); err != nil {
			t.Error(err)
		}
	})
	return j
}

// A real directory, opened again and again: all is there, in order, under the same epoch.
func TestRestarts(t *testing.T) {
	dir, n := t.TempDir(), 0
	var epoch uint64
	for round := range 4 {
		j, err := Open(Config{Dir: dir, SegmentBytes: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		if rec := j.Stats().Recovery; rec.Torn || len(rec.Holes) > 0 || round > 0 && j.Epoch() != epoch {
			t.Errorf("round %d: epoch %x, was %x; recovery %+v", round, j.Epoch(), epoch, rec)
		}
		epoch = j.Epoch()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- j.Run(ctx) }()
		for range 20 {
			if off, err := j.AppendUrgent(ctx, numbered(n, 1000)); off != Offset(n) || err != nil {
				t.Fatal(off, err)
			}
			n += 1000
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		rows, gone := (&rig{t: t, j: j}).readAll(0)
		if len(rows) != n || len(gone) > 0 || rows[n-1] != (row{Offset(n - 1), uint64(n - 1)}) {
			t.Errorf("round %d: %d rows of %d, gone %v", round, len(rows), n, gone)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Check(t.Context(), vfs.OS{}, dir)
	if err != nil || !r.Sound() || r.Rows != uint64(n) {
		t.Errorf("%+v, %v", r, err)
	}
}

// Many append and offer at once while two read: each reader gets every row once, in order.
func TestConcurrent(t *testing.T) {
	const writers, batches, rows = 4, 200, 10
	j := started(t, Config{Dir: t.TempDir(), SegmentBytes: 64 << 10, FlushEvery: -1, MaxAge: 1 << 62})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			r := j.NewReader(0)
			defer func() { _ = r.Close() }()
			for next := Offset(0); next < writers*batches*rows; {
				rec, err := r.Next(t.Context())
				if err != nil || rec.Offset != next {
					t.Errorf("at %d: record at %d, %v", next, rec.Offset, err)
					return
				}
				next = rec.Next()
			}
		})
	}
	for w := range writers {
		wg.Go(func() {
			for i := range batches {
				b := numbered(i, rows)
				if w%2 == 0 {
					if _, err := j.Append(t.Context(), b); err != nil {
						t.Error(err)
					}
				} else if !j.Offer(b, nil) {
					t.Error("refused")
				}
				if err := j.SetCursor(fmt.Sprint("sink", w), Offset(i)); err != nil {
					t.Error(err)
				}
				j.Stats()
			}
		})
	}
	wg.Wait()
	if s := j.Stats(); s.Rows != writers*batches*rows || s.Batches != writers*batches {
		t.Errorf("%+v", s)
	}
}

// The ledger adds up whatever the disk does: while it takes nothing, after it works again, and when what is left is given up.
func TestLedgerAddsUp(t *testing.T) {
	fs := faultfs.New()
	var r *rig
	l := ledger.New(func() uint64 { return r.j.Queued() })
	r = mustOpen(t, fs, func(c *Config) {
		c.QueueBytes, c.MaxBytes = minQueueBytes, 4*minSegmentBytes
		c.OnSynced, c.OnDropped = l.Journaled, l.Dropped
	})
	sink, cursor := l.Sink("sink"), Offset(0)
	sink.Open(0, func() uint64 { n, _ := r.j.Backlog(cursor); return n })
	rd := r.j.NewReader(0)
	deliver := func() {
		var b tag.Batch
		for {
			off, ok, err := rd.TryNextInto(&b)
			var tr *TrimmedError
			switch {
			case errors.As(err, &tr):
				sink.Dropped("trimmed", tr.Rows)
				cursor = tr.To
			case err != nil:
				t.Fatal(err)
			case !ok:
				return
			default:
				sink.Delivered(b.Len())
				cursor = off + Offset(b.Len())
			}
		}
	}
	n := 0
	for i := range 400 {
		switch i {
		case 150:
			fs.Fail(faultfs.Sync, "", errors.New("no"), -1)
		case 300:
			fs.Heal()
		case 390:
			fs.Fail(faultfs.Write, "", errors.New("no"), -1)
		}
		l.Offered(120, 20)
		r.j.Offer(numbered(n, 100), nil)
		n += 100
		r.work(time.Second)
		if i%50 == 20 {
			deliver()
		}
		if s := l.Snapshot(); s.Residue != 0 {
			t.Fatalf("round %d: %+v", i, s)
		}
	}
	if err := r.j.Close(); err == nil {
		t.Error("closed without an error though the disk takes nothing")
	}
	s := l.Snapshot()
	if s.Residue != 0 || s.Values.Queued != 0 || s.Values.Dropped[ReasonFull] == 0 || s.Values.Dropped[ReasonLost] == 0 || s.Sinks[0].Dropped["trimmed"] == 0 {
		t.Errorf("%+v", s)
	}
}

// bubble runs f in a synctest bubble with a journal on faultfs that is Run for real.
func bubble(t *testing.T, change func(*Config), f func(t *testing.T, j *Journal, fs *faultfs.FS)) {
	synctest.Test(t, func(t *testing.T) {
		fs := faultfs.New()
		c := Config{Dir: dir, FS: fs, SegmentBytes: minSegmentBytes, MaxAge: 1 << 62}
		if change != nil {
			change(&c)
		}
		f(t, started(t, c), fs)
	})
}

func TestFlushEvery(t *testing.T) {
	for _, c := range []struct {
		name  string
		wants time.Duration
		do    func(t *testing.T, j *Journal)
	}{
		{"append waits for company", 20 * time.Millisecond, func(t *testing.T, j *Journal) {
			if _, err := j.Append(t.Context(), numbered(1, 1)); err != nil {
				t.Error(err)
			}
		}},
		{"urgent does not", 0, func(t *testing.T, j *Journal) {
			if _, err := j.AppendUrgent(t.Context(), numbered(1, 1)); err != nil {
				t.Error(err)
			}
		}},
		{"urgent takes along what waits", 0, func(t *testing.T, j *Journal) {
			j.Offer(numbered(1, 1), nil)
			if off, err := j.AppendUrgent(t.Context(), numbered(2, 1)); off != 1 || err != nil {
				t.Error(off, err)
			}
			if s := j.Stats(); s.Syncs != 1 || s.Batches != 2 {
				t.Errorf("%d batches in %d syncs", s.Batches, s.Syncs)
			}
		}},
		{"many share one sync", 20 * time.Millisecond, func(t *testing.T, j *Journal) {
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Go(func() {
					if _, err := j.Append(t.Context(), numbered(i, 1)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if s := j.Stats(); s.Syncs != 1 || s.Batches != 50 {
				t.Errorf("%d batches in %d syncs", s.Batches, s.Syncs)
			}
		}},
		{"a reader waits for the sync", 20 * time.Millisecond, func(t *testing.T, j *Journal) {
			j.Offer(numbered(1, 1), nil)
			r := j.NewReader(0)
			defer func() { _ = r.Close() }()
			if _, err := r.Next(t.Context()); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, j *Journal, _ *faultfs.FS) {
				time.Sleep(10 * time.Second) // until the blanks are made
				start := time.Now()
				c.do(t, j)
				if d := time.Since(start); d != c.wants {
					t.Errorf("took %v, want %v", d, c.wants)
				}
			})
		})
	}
}

func TestAppendEndsWithItsContext(t *testing.T) {
	bubble(t, func(c *Config) { c.QueueBytes = minQueueBytes }, func(t *testing.T, j *Journal, fs *faultfs.FS) {
		fs.Fail(faultfs.Sync, "", errors.New("no"), -1)
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if _, err := j.Append(ctx, numbered(0, 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("unsynced: %v", err)
		}
		for j.Offer(numbered(0, 1000), nil) {
		}
		ctx, stop = context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if _, err := j.Append(ctx, numbered(0, 1000)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no room: %v", err)
		}
		waits := make(chan error)
		go func() {
			_, err := j.Append(t.Context(), numbered(0, 1000))
			waits <- err
		}()
		synctest.Wait()
		fs.Heal()
		if err := <-waits; err != nil {
			t.Errorf("room again: %v", err)
		}
	})
}

func TestReaderEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, err := Open(Config{Dir: dir, FS: faultfs.New(), SegmentBytes: minSegmentBytes})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- j.Run(ctx) }()
		r := j.NewReader(0)
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := r.Next(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("at the end: %v", err)
		}
		j.Offer(numbered(0, 1), nil)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if rec, err := r.Next(t.Context()); err != nil || rec.Batch.Len() != 1 {
			t.Errorf("what Run wrote last: %v, %v", rec, err)
		}
		if _, err := r.Next(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("behind it: %v", err)
		}
		if err := errors.Join(r.Close(), j.Close()); err != nil {
			t.Error(err)
		}
		if _, err := j.NewReader(0).Next(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestOfferAndNextDoNotAllocate(t *testing.T) {
	r := mustOpen(t, faultfs.New(), func(c *Config) { c.SegmentBytes = 1 << 20 })
	b := numbered(0, 1000)
	for range 10 {
		r.j.Offer(b, nil)
	}
	r.work(time.Second)
	if n := testing.AllocsPerRun(100, func() {
		if !r.j.Offer(b, nil) {
			t.Fatal("refused")
		}
		r.j.queue.release(r.j.queue.take(r.j.w.group[:0], 1<<20)) // as the writer does
	}); n != 0 {
		t.Errorf("Offer: %v allocations", n)
	}
	for range 150 {
		r.j.Offer(b, nil)
	}
	r.work(time.Second)
	rd := r.j.NewReader(0)
	var into tag.Batch
	next := func() {
		if _, ok, err := rd.TryNextInto(&into); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	next()
	if n := testing.AllocsPerRun(100, next); n != 0 {
		t.Errorf("Next: %v allocations", n)
	}
}
