package journal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"millrace/internal/journal/vfs"
)

// A file system of a few MiB that is really full. FULL_DISK_DIR names it; .ci/fulldisk makes and mounts one, which needs root.
func TestRealFullDisk(t *testing.T) {
	dir := os.Getenv("FULL_DISK_DIR")
	if dir == "" {
		t.Skip("FULL_DISK_DIR is not set: see .ci/fulldisk")
	}
	trimmed := uint64(0)
	j := started(t, Config{
		Dir: filepath.Join(dir, "journal"), SegmentBytes: 1 << 20, FlushEvery: -1, MaxAge: 1 << 62,
		OnTrimmed: func(_ string, rows uint64) { trimmed += rows },
	})
	if err := j.SetCursor("slow", 0); err != nil {
		t.Fatal(err)
	}
	ballast := fillUp(t, dir)
	n := 0
	give := func(batches int) {
		t.Helper()
		for range batches {
			if off, err := j.AppendUrgent(t.Context(), numbered(n, 1000)); off != Offset(n) || err != nil {
				t.Fatal(off, err)
			}
			n += 1000
		}
	}
	give(5000) // 20 MiB
	s := j.Stats()
	if !s.Full || s.First == 0 || s.Next != Offset(n) || trimmed != uint64(s.First) || !vfs.IsFull(s.LastError) {
		t.Errorf("full: trimmed %d; %+v", trimmed, s)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for deadline := time.After(time.Minute); j.Stats().Full; {
		select {
		case <-deadline:
			t.Fatalf("there is room again, and still: %+v", j.Stats())
		case <-time.After(100 * time.Millisecond):
		}
	}
	lost := j.Stats().First
	give(1000)
	if first, _ := j.Bounds(); first != lost {
		t.Errorf("rows before %d were dropped though there is room", first)
	}
	r, err := Check(t.Context(), vfs.OS{}, filepath.Join(dir, "journal"))
	if err != nil || !r.Sound() || r.Rows != uint64(n)-uint64(lost) {
		t.Errorf("%+v, %v", r, err)
	}
	t.Logf("%d rows written, %d dropped and counted", n, trimmed)
}

// fillUp takes all but 4 MiB of the file system, and returns the file that does.
func fillUp(t *testing.T, dir string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	chunk, size := make([]byte, 64<<10), int64(0)
	for err == nil {
		var k int
		k, err = f.Write(chunk)
		size += int64(k)
	}
	if !vfs.IsFull(err) {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(size-4<<20), f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}
