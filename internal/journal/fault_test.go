package journal

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"millrace/internal/journal/faultfs"
	"millrace/internal/tag"
)

// What happens to a batch when the disk fails under its commit: it is acknowledged later, it is on the disk when it is, and no row is
// there twice.
func TestCommitFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(*faultfs.FS)
		errs  int // noted, at least
	}{
		{"nothing fails", func(*faultfs.FS) {}, 0},
		{"one sync", func(fs *faultfs.FS) { fs.Fail(faultfs.Sync, segSuffix, syscall.EIO, 1) }, 1},
		{"two syncs", func(fs *faultfs.FS) { fs.Fail(faultfs.Sync, segSuffix, syscall.EIO, 2) }, 2},
		{"five syncs", func(fs *faultfs.FS) { fs.Fail(faultfs.Sync, segSuffix, syscall.EIO, 5) }, 5},
		{"one write", func(fs *faultfs.FS) { fs.Fail(faultfs.Write, segSuffix, syscall.EIO, 1) }, 1},
		{"a write torn in a header", func(fs *faultfs.FS) { fs.Tear(segSuffix, 17) }, 1},
		{"a write torn in a payload", func(fs *faultfs.FS) { fs.Tear(segSuffix, 60) }, 1},
		{"a write without its end mark", func(fs *faultfs.FS) { fs.Tear(segSuffix, 119) }, 1},
		{"write on a full disk", func(fs *faultfs.FS) { fs.Fail(faultfs.Write, segSuffix, syscall.ENOSPC, 2) }, 2},
		{"making of the next segment", func(fs *faultfs.FS) {
			fs.Fail(faultfs.Sync, segSuffix, syscall.EIO, 1)
			fs.Fail(faultfs.Rename, "", syscall.EIO, 3)
			fs.Fail(faultfs.Open, segSuffix, syscall.EMFILE, 2)
		}, 3},
		{"naming of the next segment", func(fs *faultfs.FS) {
			fs.Fail(faultfs.Sync, segSuffix, syscall.EIO, 1)
			fs.Fail(faultfs.SyncDir, "", syscall.EIO, 2)
		}, 2},
	} {
		for _, provisioned := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				fs, m := faultfs.New(), &model{}
				r := mustOpen(t, fs, nil)
				if err := m.append(r, 0, 10); err != nil {
					t.Fatal(err)
				}
				if provisioned {
					r.provision()
				}
				c.fault(fs)
				for i := 1; i < 4; i++ {
					if err := m.append(r, i*10, 10); err != nil {
						t.Fatal(err)
					}
				}
				if len(r.errs) < c.errs || c.errs == 0 && len(r.errs) > 0 {
					t.Errorf("noted %v", r.errs)
				}
				if r.j.Stats().Failing {
					t.Error("still failing")
				}
				rows, gone := r.readAll(0)
				if err := m.check(rows); err != nil || len(rows) != 40 || len(gone) > 0 {
					t.Errorf("%d rows, gone %v: %v", len(rows), gone, err)
				}
				fs.Heal()
				if err := survives(t, fs.After(faultfs.None), m, nil); err != nil {
					t.Errorf("after a power cut: %v", err)
				}
			})
		}
	}
}

// A sync that failed may have dropped what it could not write, so a second one on that file proves nothing: the disk that works again
// is given a new segment.
func TestFailedSyncIsNotRetriedOnItsSegment(t *testing.T) {
	fs := faultfs.New()
	r := mustOpen(t, fs, nil)
	r.mustAppend(numbered(0, 10))
	fs.Fail(faultfs.Sync, segName(1), syscall.EIO, 1)
	fs.FailAfter(1, faultfs.Sync, segName(1), errors.New("synced again"), -1)
	fs.FailAfter(1, faultfs.Write, segName(1), errors.New("written again"), -1)
	off := r.mustAppend(numbered(10, 10))
	if len(r.errs) != 1 || !errors.Is(r.errs[0], syscall.EIO) {
		t.Errorf("noted %v", r.errs)
	}
	if s := r.j.segs; len(s) != 2 || s[0].next != off || s[1].first != off {
		t.Errorf("%d segments", len(s))
	}
}

// The frames of a commit whose sync failed may be on the disk all the same, whole or not. What counts is where they were written again.
func TestLeftoversOfAFailedCommit(t *testing.T) {
	fs, m := faultfs.New(), &model{}
	r := mustOpen(t, fs, nil)
	if err := m.append(r, 0, 10); err != nil {
		t.Fatal(err)
	}
	at := r.j.w.pos
	fs.Fail(faultfs.Sync, segName(1), syscall.EIO, 1)
	if err := errors.Join(m.append(r, 10, 10), m.append(r, 20, 10)); err != nil {
		t.Fatal(err)
	}
	fs = fs.After(faultfs.All)
	if f, err := fs.OpenFile(dir+"/"+segName(1), readWrite); err != nil {
		t.Fatal(err)
	} else if _, err := f.WriteAt(leftovers(r.j.epoch, 10), at); err != nil {
		t.Fatal(err)
	}
	r = mustOpen(t, fs, nil)
	rows, gone := r.readAll(0)
	if err := m.check(rows); err != nil || len(gone) > 0 {
		t.Errorf("%v; gone %v", err, gone)
	}
	if got := countScan(t, r.j); got != 30 {
		t.Errorf("a scan finds %d rows", got)
	}
	fs.FlipBit(dir+"/"+segName(1), (at-1)*8) // in the first record
	rows, gone = r.readAll(0)
	var d *DamagedError
	if len(rows) != 20 || len(gone) != 1 || !errors.As(gone[0], &d) || d.From != 0 || d.To != 10 {
		t.Errorf("with the first record damaged: %d rows, gone %v", len(rows), gone)
	}
}

// leftovers are the frames of a commit at offset off whose first record is damaged.
func leftovers(epoch uint64, off Offset) []byte {
	p := frameOf(epoch, 1, off, 10)
	p[len(p)-1] ^= 1
	p = append(p, frameOf(epoch, 1, off+10, 10)...)
	return appendFrame(p, header{typ: frameEnd, seq: 1, epoch: epoch, offset: off + 20}, nil)
}

// frameOf is a record whose values are its offsets.
func frameOf(epoch uint64, seq uint32, off Offset, n int) []byte {
	return appendFrame(nil, header{typ: frameData, seq: seq, epoch: epoch, offset: off, rows: uint32(n)}, numbered(int(off), n).AppendTo(nil))
}

func countScan(t *testing.T, j *Journal) int {
	n := 0
	err := j.Scan(t.Context(), time.Unix(0, 0), testStart.Add(1e6*time.Hour), func(r Record) bool { n += r.Batch.Len(); return true })
	if err != nil {
		t.Error(err)
	}
	return n
}

// A cursor that moved counts for retention only when it is on the disk: else a power cut would put it before the oldest record.
func TestRetentionWaitsForTheCursorsSync(t *testing.T) {
	fs := faultfs.New()
	r := mustOpen(t, fs, func(c *Config) { c.MaxAge = -1 })
	if err := r.j.SetCursor("sink", 0); err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; len(r.j.segs) < 4; n += 100 {
		r.mustAppend(numbered(n, 100))
	}
	fs.Fail(faultfs.Sync, cursorName, syscall.EIO, -1)
	if err := r.j.SetCursor("sink", Offset(n)); err != nil {
		t.Fatal(err)
	}
	r.work(100 * time.Hour)
	if first, _ := r.j.Bounds(); first != 0 {
		t.Errorf("rows before %d were removed", first)
	}
	fs.Heal()
	r.work(time.Minute)
	r.work(time.Minute)
	if first, _ := r.j.Bounds(); first == 0 {
		t.Error("nothing was removed")
	}
}

// While the disk takes nothing the queue fills, refuses and counts; nobody is blocked. When it works again all that was taken is kept.
func TestDiskTakesNothingForAWhile(t *testing.T) {
	fs, m := faultfs.New(), &model{}
	r := mustOpen(t, fs, func(c *Config) { c.QueueBytes = minQueueBytes })
	if err := m.append(r, 0, 10); err != nil {
		t.Fatal(err)
	}
	for _, op := range []faultfs.Op{faultfs.Write, faultfs.Sync, faultfs.Rename, faultfs.SyncDir} {
		fs.Fail(op, "", syscall.EIO, -1)
	}
	taken, refused := 0, 0
	for i := range 200 {
		first := 1000 + i*100
		if r.j.Offer(numbered(first, 100), nil) {
			m.offer(first, 100)
			taken += 100
		} else {
			refused += 100
		}
		r.work(time.Second)
	}
	s := r.j.Stats()
	if refused == 0 || r.dropped[ReasonFull] != refused || s.Dropped[ReasonFull] != uint64(refused) || s.QueueRows != int64(taken) || !s.Failing || s.LastError == nil {
		t.Errorf("refused %d, told of %v; stats %+v", refused, r.dropped, s)
	}
	fs.Heal()
	for range 20 {
		r.work(time.Second)
	}
	rows, gone := r.readAll(0)
	if err := m.check(rows); err != nil || len(rows) != 10+taken || len(gone) > 0 {
		t.Errorf("%d rows of %d, gone %v: %v", len(rows), 10+taken, gone, err)
	}
	if s := r.j.Stats(); s.Failing || s.QueueRows != 0 || s.QueueBytes != 0 || r.synced != 10+taken {
		t.Errorf("synced %d; stats %+v", r.synced, s)
	}
}

// A full disk: what is delivered goes first, then the reserve is used, then the oldest goes, counted for the cursor that wanted it.
// When there is room again, the reserve is made again.
func TestFullDisk(t *testing.T) {
	fs := faultfs.New()
	r := mustOpen(t, fs, nil)
	r.mustAppend(numbered(0, 10))
	if err := r.j.SetCursor("slow", 0); err != nil {
		t.Fatal(err)
	}
	r.provision()
	fs.SetCapacity(fs.Used() + 2*minSegmentBytes + minSegmentBytes/2)
	n := 10
	full := func() bool { return r.j.Stats().Full }
	for ; !full(); n += 100 {
		r.mustAppend(numbered(n, 100))
	}
	if first, _ := r.j.Bounds(); first != 0 {
		t.Fatal("data was dropped while there was a reserve")
	}
	for range 200 { // about 5 segments
		r.mustAppend(numbered(n, 100))
		n += 100
	}
	first, next := r.j.Bounds()
	if first == 0 || next != Offset(n) {
		t.Fatalf("from %d to %d; %d rows were appended", first, next, n)
	}
	if got := r.trimmed["slow"]; got != uint64(first) || r.j.Stats().Cursors[0].Trimmed != got {
		t.Errorf("trimmed %d rows before %d", got, first)
	}
	rows, gone := r.readAll(0)
	var tr *TrimmedError
	if len(gone) != 1 || !errors.As(gone[0], &tr) || tr.Rows != uint64(first) || len(rows) != n-int(first) {
		t.Errorf("%d rows and %v", len(rows), gone)
	}
	if !full() {
		t.Error("the disk is still full")
	}
	fs.SetCapacity(0)
	for range 40 {
		r.work(time.Second)
	}
	if full() || fs.Size(dir+"/"+reserveName) != minSegmentBytes {
		t.Error("the reserve was not made again")
	}
	before := r.trimmed["slow"]
	for range 50 {
		r.mustAppend(numbered(n, 100))
		n += 100
	}
	if r.trimmed["slow"] != before {
		t.Error("data was dropped though there is room")
	}
}

// On a full disk delivered data makes room before the reserve does.
func TestFullDiskTakesDeliveredFirst(t *testing.T) {
	fs := faultfs.New()
	r := mustOpen(t, fs, nil)
	n := 0
	for ; len(r.j.segs) < 4; n += 100 {
		r.mustAppend(numbered(n, 100))
	}
	r.provision()
	fs.SetCapacity(fs.Used() + 200<<10) // room for the file of cursors, and then none
	if err := r.j.SetCursor("sink", Offset(n)); err != nil {
		t.Fatal(err)
	}
	r.work(time.Second)
	fs.SetCapacity(fs.Used())
	for range 100 {
		r.mustAppend(numbered(n, 100))
		n += 100
		if err := r.j.SetCursor("sink", Offset(n)); err != nil {
			t.Fatal(err)
		}
		r.work(time.Second)
	}
	if len(r.trimmed) > 0 || fs.Size(dir+"/"+reserveName) != minSegmentBytes {
		t.Errorf("trimmed %v; reserve of %d bytes", r.trimmed, fs.Size(dir+"/"+reserveName))
	}
}

// What cannot be written until the end is given up, and everybody is told.
func TestGivenUpAtTheEnd(t *testing.T) {
	fs := faultfs.New()
	r := mustOpen(t, fs, nil)
	r.mustAppend(numbered(0, 10))
	fs.Fail(faultfs.Sync, "", syscall.EIO, -1)
	done := r.put(numbered(10, 5))
	offered := new(heard)
	if !r.j.Offer(numbered(20, 7), offered.of) {
		t.Fatal("refused")
	}
	if err := r.j.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("close: %v", err)
	}
	var lost *LostError
	if len(offered.errs) != 1 || !errors.As(offered.errs[0], &lost) || lost.Rows != 7 {
		t.Errorf("who offered heard %v", offered.errs)
	}
	if a := <-done; !errors.As(a.err, &lost) || lost.Rows != 5 || !errors.Is(a.err, syscall.EIO) {
		t.Errorf("acknowledged with %v", a)
	}
	if r.dropped[ReasonLost] != 12 || r.synced != 10 {
		t.Errorf("dropped %v, synced %d", r.dropped, r.synced)
	}
	refused := new(heard)
	if r.j.Offer(numbered(30, 3), refused.of) || r.dropped[ReasonClosed] != 3 || len(refused.errs) > 0 {
		t.Errorf("taken after the end; dropped %v, heard %v", r.dropped, refused.errs)
	}
	if _, err := r.j.Append(context.Background(), numbered(30, 3)); !errors.Is(err, ErrClosed) {
		t.Errorf("append after the end: %v", err)
	}
}

// heard is what a caller of Offer was told.
type heard struct{ errs []error }

func (h *heard) of(err error) { h.errs = append(h.errs, err) }

// Who offers a batch hears of it once, when it is synced: not before, also when the disk refuses it first, and at once of one that is empty.
func TestOfferSaysWhenItIsSynced(t *testing.T) {
	fs := faultfs.New()
	r := mustOpen(t, fs, nil)
	h, empty := new(heard), new(heard)
	if !r.j.Offer(numbered(0, 5), h.of) || !r.j.Offer(&tag.Batch{}, empty.of) {
		t.Fatal("refused")
	}
	if len(h.errs) > 0 || len(empty.errs) != 1 || empty.errs[0] != nil {
		t.Fatalf("before the sync: heard %v, and of an empty batch %v", h.errs, empty.errs)
	}
	fs.Fail(faultfs.Sync, "", syscall.EIO, 1)
	r.work(time.Second)
	r.work(time.Minute)
	if _, next := r.j.Bounds(); next != 5 || len(h.errs) != 1 || h.errs[0] != nil {
		t.Errorf("%d rows are synced; heard %v", next, h.errs)
	}
	r.work(time.Minute)
	if len(h.errs) != 1 {
		t.Errorf("heard %v", h.errs)
	}
}
