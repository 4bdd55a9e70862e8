package file

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"millrace/internal/journal/vfs"
	"millrace/internal/sink"
	"millrace/internal/tag"
)

const epoch = 0xE1

func name(id tag.ID) string {
	if id == 666 {
		return ""
	}
	return fmt.Sprintf("press/tag%d", id)
}

// rows returns n rows from offset from on, as one batch.
func rows(from uint64, n int) []sink.Rows {
	b := &tag.Batch{Received: 1e18}
	for i := range n {
		b.Append(tag.ID(1+i%7), 1e18+int64(i), tag.Good, tag.Float32, uint64(math.Float32bits(float32(from)+float32(i))))
	}
	return []sink.Rows{{Batch: b, End: n, Offset: from}}
}

// disk is the machine's file system with failures to order.
type disk struct {
	vfs.OS
	write error // what WriteAt fails with, after half of the bytes
	sync  error // what Sync fails with, once
	trunc error // what Truncate fails with
}

type diskFile struct {
	vfs.File
	d *disk
}

func (d *disk) OpenFile(name string, flag int) (vfs.File, error) {
	f, err := d.OS.OpenFile(name, flag)
	if err != nil {
		return nil, err
	}
	return diskFile{f, d}, nil
}

func (f diskFile) WriteAt(p []byte, off int64) (int, error) {
	if f.d.write == nil {
		return f.File.WriteAt(p, off)
	}
	n, _ := f.File.WriteAt(p[:len(p)/2], off)
	return n, f.d.write
}

func (f diskFile) Sync() error {
	if err := f.d.sync; err != nil {
		f.d.sync = nil
		return err
	}
	return f.File.Sync()
}

func (f diskFile) Truncate(n int64) error {
	if f.d.trunc != nil {
		return f.d.trunc
	}
	return f.File.Truncate(n)
}

func open(t *testing.T, cfg Config) *Sink {
	t.Helper()
	cfg.Names = name
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(t.Context()) })
	return s
}

func write(t *testing.T, s *Sink, from uint64, n int) {
	t.Helper()
	if err := s.Write(t.Context(), sink.Range{Epoch: epoch, From: from, To: from + uint64(n)}, rows(from, n)); err != nil {
		t.Fatal(err)
	}
}

// files returns the names of the sink's files.
func files(t *testing.T, dir string) []string {
	t.Helper()
	fs, err := filepath.Glob(filepath.Join(dir, "values-*"))
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(fs)
	return fs
}

// wantOffsets reads all files in the order of their names and holds them to the offsets from to to-1, each once.
func wantOffsets(t *testing.T, dir string, from, to uint64) {
	t.Helper()
	next := from
	for _, f := range files(t, dir) {
		next = wantLines(t, f, epoch, next)
	}
	if next != to {
		t.Fatalf("the files end at %d, want %d", next, to)
	}
}

// wantLines holds a file's lines to the offsets from next on, and returns the one behind them.
func wantLines(t *testing.T, file string, epoch, next uint64) uint64 {
	t.Helper()
	p, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(file, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		if p, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	for l := range bytes.Lines(p) {
		c, ok := parseLine(l)
		if !ok || c.Epoch != epoch {
			t.Fatalf("%s: bad line %q", file, l)
		}
		if c.Offset != next {
			t.Fatalf("%s: offset %d where %d was due", file, c.Offset, next)
		}
		next++
	}
	return next
}

func wantCursor(t *testing.T, s *Sink, off uint64, some bool) {
	t.Helper()
	c, ok, err := s.Cursor(t.Context())
	if err != nil || ok != some || ok && c != (sink.Cursor{Epoch: epoch, Offset: off}) {
		t.Fatalf("cursor %+v %v %v, want %d %v", c, ok, err, off, some)
	}
}

func TestWriteAndGoOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	s := open(t, Config{Dir: dir})
	wantCursor(t, s, 0, false)
	write(t, s, 10, 3)
	write(t, s, 13, 4)
	wantCursor(t, s, 17, true)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Dir: dir})
	wantCursor(t, s, 17, true)
	write(t, s, 17, 2)
	wantOffsets(t, dir, 10, 19)
	if n := len(files(t, dir)); n != 1 {
		t.Errorf("%d files", n)
	}
}

// TestTornWrite cuts the last write off behind every seventeenth of its bytes, and writes zeros or an older page over it.
func TestTornWrite(t *testing.T) {
	whole := t.TempDir()
	s := open(t, Config{Dir: whole})
	write(t, s, 0, 2)
	kept := s.Stats().Size
	write(t, s, 2, 3)
	s.Close(t.Context())
	full, err := os.ReadFile(files(t, whole)[0])
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Base(files(t, whole)[0])
	for at := kept; at < int64(len(full)); at += 17 {
		zeroed := append(append([]byte{}, full[:at]...), make([]byte, int64(len(full))-at)...)
		hole := append([]byte{}, full...)
		hole[at] = 0
		for what, p := range map[string][]byte{"cut": full[:at], "zeros": zeroed, "hole": hole} {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, base), p, 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, Config{Dir: dir})
			c, ok, err := s.Cursor(t.Context())
			if err != nil || !ok || c.Offset < 2 || c.Offset > 4 {
				t.Fatalf("%s at %d: cursor %+v %v %v", what, at, c, ok, err)
			}
			write(t, s, c.Offset, int(5-c.Offset))
			s.Close(t.Context())
			wantOffsets(t, dir, 0, 5)
		}
	}
}

func TestRotateBySize(t *testing.T) {
	for _, zip := range []bool{false, true} {
		dir := t.TempDir()
		s := open(t, Config{Dir: dir, MaxBytes: 4096, Gzip: zip})
		for i := range uint64(20) {
			write(t, s, i*10, 10)
		}
		fs := files(t, dir)
		if len(fs) < 5 || s.Stats().Rotated != uint64(len(fs)) || s.Stats().Warning != "" {
			t.Fatalf("%d files, %+v", len(fs), s.Stats())
		}
		for i, f := range fs {
			if zip != strings.HasSuffix(f, ".gz") && i < len(fs)-1 {
				t.Errorf("gzip %v and a file %s", zip, f)
			}
			if st, _ := os.Stat(f); st.Size() > 4096 {
				t.Errorf("%s has %d bytes", f, st.Size())
			}
		}
		wantOffsets(t, dir, 0, 200)
	}
}

func TestRotateByAgeAcrossRestarts(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	cfg := Config{Dir: dir, MaxAge: time.Hour, MaxFiles: 2, Now: func() time.Time { return now }}
	s := open(t, cfg)
	write(t, s, 0, 1)
	now = now.Add(59 * time.Minute)
	s.Close(t.Context())
	s = open(t, cfg)
	write(t, s, 1, 1)
	if n := len(files(t, dir)); n != 1 {
		t.Fatalf("%d files after 59 minutes", n)
	}
	now = now.Add(time.Minute)
	write(t, s, 2, 1)
	wantOffsets(t, dir, 0, 3)
	now = now.Add(time.Hour)
	write(t, s, 3, 1)
	fs := files(t, dir)
	if len(fs) != 2 || filepath.Base(fs[1]) != "values-0000000003-20260301T120000Z.jsonl" {
		t.Fatalf("files %v", fs)
	}
	wantOffsets(t, dir, 2, 4)
}

// TestCursorWithoutLinesInTheNewestFile starts where the newest file holds only a torn line, and the one before is compressed or not.
func TestCursorWithoutLinesInTheNewestFile(t *testing.T) {
	for _, zip := range []bool{false, true} {
		dir := t.TempDir()
		s := open(t, Config{Dir: dir, MaxBytes: 4096, Gzip: zip})
		write(t, s, 0, 20)
		write(t, s, 20, 20)
		s.Close(t.Context())
		newest := files(t, dir)[1]
		if err := os.Truncate(newest, 50); err != nil {
			t.Fatal(err)
		}
		leftover := filepath.Join(dir, "values-0000000001-20260301T100000Z.jsonl.tmp")
		if err := os.WriteFile(leftover, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		s = open(t, Config{Dir: dir, Gzip: zip})
		wantCursor(t, s, 20, true)
		write(t, s, 20, 5)
		if s.Stats().Torn != 50 {
			t.Errorf("torn %d", s.Stats().Torn)
		}
		wantOffsets(t, dir, 0, 25)
	}
}

func TestCompressionBrokenOffBeforeItsEnd(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir, MaxBytes: 4096, Gzip: true})
	write(t, s, 0, 20)
	first := files(t, dir)[0]
	plain, _ := os.ReadFile(first)
	write(t, s, 20, 20)
	s.Close(t.Context())
	if err := os.WriteFile(first, plain, 0o600); err != nil { // renamed, and not yet removed
		t.Fatal(err)
	}
	s = open(t, Config{Dir: dir, MaxBytes: 4096, Gzip: true})
	wantCursor(t, s, 40, true)
	wantOffsets(t, dir, 0, 40)
}

func TestDiskFaults(t *testing.T) {
	full := &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	cases := map[string]func(d *disk){
		"full disk":                    func(d *disk) { d.write = full },
		"failed sync":                  func(d *disk) { d.sync = syscall.EIO },
		"full disk, no cutting back":   func(d *disk) { d.write, d.trunc = full, syscall.EIO },
		"failed sync, no cutting back": func(d *disk) { d.sync, d.trunc = syscall.EIO, syscall.EIO },
	}
	for what, fail := range cases {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			d := &disk{}
			s := open(t, Config{Dir: dir, FS: d})
			write(t, s, 0, 5)
			fail(d)
			for range 2 {
				err := s.Write(t.Context(), sink.Range{Epoch: epoch, From: 5, To: 25}, rows(5, 20))
				if err == nil && d.write == nil && d.trunc == nil { // a failed sync fails once; the lines then lie in a new file
					write(t, s, 25, 1)
					s.Close(t.Context())
					wantCursor(t, open(t, Config{Dir: dir}), 26, true)
					wantOffsets(t, dir, 0, 26)
					return
				}
				var e *Error
				if !errors.As(err, &e) || !sink.Retryable(err) {
					t.Fatalf("error %v", err)
				}
				wantCursor(t, s, 5, true)
			}
			*d = disk{}
			write(t, s, 5, 3) // fewer rows than the failed write had
			write(t, s, 8, 2)
			s.Close(t.Context())
			wantCursor(t, open(t, Config{Dir: dir}), 10, true)
			wantOffsets(t, dir, 0, 10)
		})
	}
}

func TestRowsThatAreThereAreLeftOut(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	write(t, s, 0, 5)
	write(t, s, 3, 5)
	wantOffsets(t, dir, 0, 8)
	if err := s.Write(t.Context(), sink.Range{Epoch: epoch, From: 8, To: 9}, nil); err != nil {
		t.Fatal(err)
	}
	wantOffsets(t, dir, 0, 8)
}

func TestPoison(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	v := rows(0, 3)
	v[0].Batch.ID[1] = 666
	err := s.Write(t.Context(), sink.Range{Epoch: epoch, To: 3}, v)
	var pe *sink.PartialError
	if !errors.As(err, &pe) || len(pe.Rows) != 1 || pe.Rows[0] != (sink.Poison{Offset: 1, Reason: "tag 666 has no name"}) {
		t.Fatalf("error %v", err)
	}
	if len(files(t, dir)) != 0 {
		t.Error("a refused write left lines")
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	write(t, s, 0, 1)
	other := open(t, Config{Dir: dir})
	var locked *vfs.LockedError
	if _, _, err := other.Cursor(t.Context()); !errors.As(err, &locked) {
		t.Fatalf("error %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []Config{{}, {Dir: "x"}, {Dir: "x", Names: name, Prefix: "a/b"}, {Dir: "x", Names: name, MaxBytes: 1}, {Dir: "x", Names: name, MaxAge: 1}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

func TestWriteAllocations(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), MaxBytes: 1 << 40})
	names := []string{"press/a", "press/b", "press/c", "press/d", "press/e", "press/f", "press/g", "press/h"}
	s.cfg.Names = func(id tag.ID) string { return names[id] }
	v := rows(0, 1000)
	off := uint64(0)
	next := func() {
		v[0].Offset = off
		off += 1000
		if err := s.Write(t.Context(), sink.Range{Epoch: epoch, From: v[0].Offset, To: off}, v); err != nil {
			t.Fatal(err)
		}
	}
	next()
	if n := testing.AllocsPerRun(10, next); n > 8 { // of the write call, not of its 1,000 rows
		t.Errorf("%v allocations a write", n)
	}
}

// BenchmarkWrite writes ranges of 10,000 float32 rows with their stamps, synced each.
func BenchmarkWrite(b *testing.B) {
	names := make([]string, 1001)
	for i := range names {
		names[i] = fmt.Sprintf("plant/line%02d/press%03d/temperature", i%10, i)
	}
	s, err := New(Config{Dir: b.TempDir(), MaxFiles: 2, Names: func(id tag.ID) string { return names[id] }})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close(b.Context())
	var v []sink.Rows
	for d := range 10 {
		bt := &tag.Batch{Received: 1e18 + int64(d)}
		for i := range 1000 {
			bt.Append(tag.ID(1+i), 1e18+int64(d), tag.Good, tag.Float32, uint64(math.Float32bits(float32(i)*1.1)))
		}
		v = append(v, sink.Rows{Batch: bt, End: 1000})
	}
	off := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		from := off
		for i := range v {
			v[i].Offset = off
			off += 1000
		}
		if err := s.Write(b.Context(), sink.Range{Epoch: epoch, From: from, To: off}, v); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(off)/b.Elapsed().Seconds(), "rows/s")
	b.SetBytes(int64(s.Stats().Bytes) / int64(max(b.N, 1)))
}

func FuzzParseLine(f *testing.F) {
	v := rows(7, 1)
	var e sink.Encoder
	f.Add(e.AppendRow(nil, "a", v[0].Batch, 0, epoch, 7))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, p []byte) {
		if _, ok := parseLine(p); ok && bytes.Contains(p, []byte{0}) {
			t.Errorf("a line with a zero byte is taken: %q", p)
		}
	})
}
