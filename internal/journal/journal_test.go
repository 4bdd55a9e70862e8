package journal

import (
	"context"
	"errors"
	"testing"
	"time"

	"millrace/internal/tag"
)

// batchOf returns a batch of n Float32 rows numbered from first on.
func batchOf(first, n int) *tag.Batch {
	b := &tag.Batch{Device: 1, Received: int64(first) + 1}
	for i := range n {
		b.Append(tag.ID(i+1), b.Received, tag.Good, tag.Uint32, uint64(first+i))
	}
	return b
}

func TestAppendThenRead(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		j, err := Open(Config{Dir: dir, SegmentBytes: 64 << 10, MaxAge: 100 * 365 * 24 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- j.Run(ctx) }()
		for i := range 20 {
			off, err := j.AppendUrgent(ctx, batchOf(round*20000+i*1000, 1000))
			if err != nil || off != Offset(round*20000+i*1000) {
				t.Fatal(off, err)
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		r := j.NewReader(0)
		want := 0
		for {
			rec, err := r.Next(t.Context())
			if errors.Is(err, ErrClosed) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for i := range rec.Batch.Len() {
				if rec.Batch.Bits[i] != uint64(want) || rec.Offset+Offset(i) != Offset(want) {
					t.Fatalf("row %d: %d at %d", want, rec.Batch.Bits[i], rec.Offset)
				}
				want++
			}
		}
		if want != (round+1)*20000 {
			t.Fatalf("read %d rows; stats %+v", want, j.Stats())
		}
		if err := errors.Join(r.Close(), j.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
