package file

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace/internal/journal"
	"millrace/internal/ledger"
	"millrace/internal/sink"
	"millrace/internal/tag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gateway is a journal that runs and its ledger.
func gateway(t testing.TB, dir string) (*journal.Journal, *ledger.Ledger) {
	t.Helper()
	var j *journal.Journal
	l := ledger.New(func() uint64 { return uint64(j.Stats().QueueRows) })
	j, err := journal.Open(journal.Config{Dir: filepath.Join(dir, "journal"), OnSynced: l.Journaled, OnDropped: l.Dropped})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j, l
}

// synced waits until all that was offered is synced.
func synced(t testing.TB, j *journal.Journal, l *ledger.Ledger) {
	t.Helper()
	l.Offered(1, 0)
	b := &tag.Batch{Received: time.Now().UnixNano()}
	b.Append(1, 1e18, tag.Good, tag.Bool, 1)
	if _, err := j.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// deliver runs a worker that delivers all that the journal has, and ends it.
func deliver(t testing.TB, j *journal.Journal, l *ledger.Ledger, dir string) {
	t.Helper()
	s, err := New(Config{Dir: filepath.Join(dir, "out"), Names: name, MaxBytes: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	w, err := sink.New(sink.Config{
		ID: "files", Log: sink.FromJournal(j), Sink: s, Account: l.Sink("files"), Names: name, DataDir: dir, FromOldest: true, MaxRows: 40,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // it ends when it has delivered what is there
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if snap := l.Snapshot(); snap.Residue != 0 || w.Stats().Waiting != 0 {
		t.Errorf("residue %d, %s", snap.Residue, w.Stats())
	}
}

// TestWorkerAfterTornEnds delivers, breaks the newest file's end off, and goes on, many times: each row is there once.
func TestWorkerAfterTornEnds(t *testing.T) {
	dir := t.TempDir()
	j, l := gateway(t, dir)
	next := uint64(0)
	for round := range 20 {
		for range 10 {
			v := rows(next, 13)
			v[0].Batch.Received = time.Now().UnixNano() // retention keeps it
			l.Offered(13, 0)
			if !j.Offer(v[0].Batch, nil) {
				t.Fatal("the journal is full")
			}
			next += 13
		}
		next++ // synced's own
		synced(t, j, l)
		deliver(t, j, l, dir)
		fs := files(t, filepath.Join(dir, "out"))
		newest := fs[len(fs)-1]
		st, err := os.Stat(newest)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(newest, max(0, st.Size()-int64(round*97))); err != nil {
			t.Fatal(err)
		}
	}
	deliver(t, j, l, dir)
	first, _ := j.Bounds()
	n, e := uint64(first), j.Epoch()
	for _, f := range files(t, filepath.Join(dir, "out")) {
		n = wantLines(t, f, e, n)
	}
	if n != uint64(first)+next {
		t.Errorf("the files end at %d, want %d", n, uint64(first)+next)
	}
}

// BenchmarkJournalToFile is the way of 1,000 values a batch from a reader of the journal through a worker into files.
func BenchmarkJournalToFile(b *testing.B) {
	dir := b.TempDir()
	j, l := gateway(b, dir)
	batch := &tag.Batch{Received: time.Now().UnixNano()}
	for i := range 1000 {
		batch.Append(tag.ID(1+i%500), 1e18, tag.Good, tag.Float32, uint64(0x41AC0000+i))
	}
	for range 500 {
		if !j.Offer(batch, nil) {
			b.Fatal("the journal is full")
		}
	}
	synced(b, j, l)
	names := make([]string, 501)
	for i := range names {
		names[i] = name(tag.ID(i))
	}
	lookup := func(id tag.ID) string { return names[id] }
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	rounds := 0
	b.ReportAllocs()
	for b.Loop() {
		rounds++
		out := filepath.Join(dir, "out", lookup(tag.ID(rounds % 501))[6:])
		s, err := New(Config{Dir: out, Names: lookup})
		if err != nil {
			b.Fatal(err)
		}
		j.Forget("files")
		w, err := sink.New(sink.Config{ID: "files", Log: sink.FromJournal(j), Sink: s, Account: l.Sink("files"), Names: lookup, DataDir: dir, FromOldest: true, DrainTimeout: time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		if err := w.Run(ctx); err != nil {
			b.Fatal(err)
		}
		if got := w.Stats().Delivered; got != 500_001 {
			b.Fatalf("%d delivered", got)
		}
		os.RemoveAll(out)
	}
	b.ReportMetric(float64(rounds)*500_000/b.Elapsed().Seconds(), "rows/s")
}
