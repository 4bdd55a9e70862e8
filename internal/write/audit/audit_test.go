package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace/internal/journal/faultfs"
	"millrace/internal/journal/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const dir = "/data/audit"

func open(t testing.TB, fs vfs.FS) *Log {
	t.Helper()
	l, found, err := Open(Config{Dir: dir, FS: fs, FileBytes: 4 << 10})
	if err != nil || len(found) > 0 {
		t.Fatalf("open: %v, %v", err, found)
	}
	return l
}

func record(i int) *Record {
	return &Record{Time: time.Unix(1_000_000, int64(i)).UTC(), Stage: Sending, Who: "shift", Via: "api", Device: "press", Tag: "press/temp",
		Old: json.RawMessage(`21.5`), New: json.RawMessage(fmt.Sprint(i)), Why: "trial <b> \u00fc"}
}

// fill appends n records and returns their numbers.
func fill(t testing.TB, l *Log, n int) (seqs []uint64) {
	t.Helper()
	for i := range n {
		r := record(i)
		if err := l.Append(r); err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, r.Seq)
	}
	return seqs
}

func check(t testing.TB, fs vfs.FS) Report {
	t.Helper()
	r, err := Verify(fs, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// seqsOf returns the numbers of the records with a write in them, as Verify shows them.
func seqsOf(t testing.TB, fs vfs.FS) (seqs []uint64) {
	t.Helper()
	if _, err := Verify(fs, dir, func(r Record) {
		if r.Stage != File {
			seqs = append(seqs, r.Seq)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return seqs
}

// Records come back in order over restarts and over files.
func TestLog(t *testing.T) {
	fs := faultfs.New()
	var want []uint64
	for range 5 {
		l := open(t, fs)
		want = append(want, fill(t, l, 17)...)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := l.Append(record(0)); !errors.Is(err, ErrClosed) {
			t.Errorf("an append to a closed log: %v", err)
		}
	}
	r := check(t, fs)
	if len(r.Found)+len(r.Notes) > 0 || r.Files < 4 || r.Last != want[len(want)-1] || r.Records != r.Last {
		t.Errorf("%+v", r)
	}
	if got := seqsOf(t, fs); !slices.Equal(got, want) {
		t.Errorf("records %v, want %v", got, want)
	}
}

// An open shows what is younger than it was asked for, whole files at least.
func TestOpenShowsRecent(t *testing.T) {
	fs := faultfs.New()
	l := open(t, fs)
	for i := range 100 {
		r := record(i)
		r.Time = time.Time{}
		if err := l.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	half := time.Now()
	last := fill(t, l, 1)[0]
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		since time.Time
		least int
		most  int
	}{{time.Time{}, 1, 30}, {half.Add(-time.Hour), 101, 101}, {half, 1, 30}} {
		n, has := 0, false
		l, _, err := Open(Config{Dir: dir, FS: fs, FileBytes: 4 << 10, Since: c.since, Visit: func(r Record) {
			if r.Stage != File {
				n++
			}
			has = has || r.Seq == last
		}})
		if err != nil || n < c.least || n > c.most || !has {
			t.Errorf("since %v: %d records, the last one %v, %v", c.since, n, has, err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Records that come at once share syncs.
func TestGroupCommit(t *testing.T) {
	slow := &slowFS{FS: faultfs.New(), gate: make(chan struct{}), held: make(chan struct{}, 100)}
	l, _, err := Open(Config{Dir: dir, FS: slow})
	if err != nil {
		t.Fatal(err)
	}
	slow.slow.Lock()
	slow.on = true
	slow.slow.Unlock()
	var wg sync.WaitGroup
	add := func(i int) {
		wg.Go(func() {
			if err := l.Append(record(i)); err != nil {
				t.Error(err)
			}
		})
	}
	add(0)
	<-slow.held // it is in its sync, for which the others wait
	for i := range 99 {
		add(1 + i)
	}
	for n := 0; n < 99; runtime.Gosched() {
		l.mu.Lock()
		n = len(l.next.records)
		l.mu.Unlock()
	}
	close(slow.gate)
	wg.Wait()
	if s := l.Stats(); s.Records != 100 || s.Commits != 2 {
		t.Errorf("%+v", s)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if r := check(t, slow.FS); r.Records != 101 || len(r.Found) > 0 {
		t.Errorf("%+v", r)
	}
}

// slowFS holds up the syncs of files until gate is closed.
type slowFS struct {
	*faultfs.FS
	gate chan struct{}
	held chan struct{} // hears of each sync that is held up
	slow sync.Mutex
	on   bool
}

func (s *slowFS) OpenFile(name string, flag int) (vfs.File, error) {
	f, err := s.FS.OpenFile(name, flag)
	return slowFile{f, s}, err
}

type slowFile struct {
	vfs.File
	fs *slowFS
}

func (f slowFile) Sync() error {
	f.fs.slow.Lock()
	on := f.fs.on
	f.fs.slow.Unlock()
	if on {
		f.fs.held <- struct{}{}
		<-f.fs.gate
	}
	return f.File.Sync()
}

// life is a stretch of a log's life with files, restarts, and the head's syncs in it. It returns the numbers of what was acknowledged, and ends at the first error.
func life(t *testing.T, fs *faultfs.FS) (acked []uint64) {
	for range 2 {
		l, _, err := Open(Config{Dir: dir, FS: fs, FileBytes: 4 << 10})
		if err != nil {
			return acked
		}
		for i := range 20 {
			r := record(i)
			if l.Append(r) != nil {
				return acked
			}
			acked = append(acked, r.Seq)
			if i%5 == 0 && l.SyncHead() != nil {
				return acked
			}
		}
		if l.Close() != nil {
			return acked
		}
	}
	return acked
}

// At every step on the disk the power goes, or the process is killed: what was acknowledged is there, the log goes on, and nothing of it is taken for tampering.
func TestCrashAtEveryStep(t *testing.T) {
	fs := faultfs.New()
	life(t, fs)
	steps := fs.Steps()
	if steps < 80 {
		t.Fatalf("only %d steps", steps)
	}
	for n := 1; n <= steps; n++ {
		for name, after := range map[string]func(*faultfs.FS) *faultfs.FS{
			"power cut, nothing kept": func(fs *faultfs.FS) *faultfs.FS { return fs.After(faultfs.None) },
			"power cut, all kept":     func(fs *faultfs.FS) *faultfs.FS { return fs.After(faultfs.All) },
			"power cut, some kept": func(fs *faultfs.FS) *faultfs.FS {
				return fs.After(faultfs.Some(rand.New(rand.NewPCG(7, uint64(n)))))
			},
			"power cut, torn": func(fs *faultfs.FS) *faultfs.FS { return fs.After(faultfs.Torn(n * 37 % 600)) },
			"killed":          func(fs *faultfs.FS) *faultfs.FS { fs.Kill(); return fs },
		} {
			fs := faultfs.New()
			fs.CutAt(n)
			acked := life(t, fs)
			fs = after(fs)
			if err := survived(t, fs, acked, strings.Contains(name, "torn")); err != nil {
				t.Fatalf("step %d of %d, %s: %v", n, steps, name, err)
			}
		}
	}
}

// survived checks the log against what was acknowledged, before and after it went on. With sectors, one of them was torn, which disks do not do.
func survived(t *testing.T, fs *faultfs.FS, acked []uint64, sectors bool) error {
	l, found, err := Open(Config{Dir: dir, FS: fs, FileBytes: 4 << 10})
	found = slices.DeleteFunc(found, func(f Finding) bool { return sectors && f.What == "the head is damaged" })
	if err != nil || len(found) > 0 {
		return fmt.Errorf("open: %w, %v", err, found)
	}
	acked = append(acked, fill(t, l, 3)...)
	if err := l.Close(); err != nil {
		return err
	}
	if r := check(t, fs); len(r.Found) > 0 {
		return fmt.Errorf("taken for tampering: %v", r.Found)
	}
	have := seqsOf(t, fs)
	for _, seq := range acked {
		if !slices.Contains(have, seq) {
			return fmt.Errorf("record %d was acknowledged and is gone", seq)
		}
	}
	return nil
}

// A disk that refuses a write or a sync once: that record is refused, the next ones go into another file, and the chain goes on.
func TestDiskFaults(t *testing.T) {
	for _, op := range []faultfs.Op{faultfs.Write, faultfs.Sync, faultfs.SyncDir, faultfs.Open} {
		for skip := range 12 {
			fs := faultfs.New()
			l := open(t, fs)
			var acked []uint64
			fs.FailAfter(skip, op, "audit", syscall.EIO, 2)
			failed := 0
			for i := range 40 {
				r := record(i)
				if l.Append(r) == nil {
					acked = append(acked, r.Seq)
				} else {
					failed++
				}
			}
			fs.Heal()
			acked = append(acked, fill(t, l, 2)...)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if r := check(t, fs); len(r.Found) > 0 {
				t.Fatalf("op %d after %d: %v", op, skip, r.Found)
			}
			if have := seqsOf(t, fs); !slices.Equal(have, acked) {
				t.Fatalf("op %d after %d, %d refused: %v, want %v", op, skip, failed, have, acked)
			}
		}
	}
}

// A full disk refuses records, and takes them again when there is room.
func TestFullDisk(t *testing.T) {
	fs := faultfs.New()
	l := open(t, fs)
	fill(t, l, 5)
	fs.SetCapacity(fs.Used() + 100)
	if err := l.Append(record(1)); !vfs.IsFull(err) {
		t.Errorf("%v", err)
	}
	fs.SetCapacity(0)
	fill(t, l, 5)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if r := check(t, fs); len(r.Found) > 0 || len(seqsOf(t, fs)) != 10 {
		t.Errorf("%+v", r)
	}
}

// A record that is too long is refused, and costs nobody else.
func TestTooLong(t *testing.T) {
	fs := faultfs.New()
	l := open(t, fs)
	r := record(1)
	r.Why = strings.Repeat("x", maxLine)
	if err := l.Append(r); err == nil {
		t.Error("it was taken")
	}
	fill(t, l, 1)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if r := check(t, fs); len(r.Found) > 0 {
		t.Errorf("%+v", r)
	}
}
