package journal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/internal/journal/faultfs"
	"millrace/internal/tag"
)

func TestRetention(t *testing.T) {
	const rows = 100
	for _, c := range []struct {
		name    string
		change  func(*Config)
		cursors map[string]int // the percentage of what was written that each is kept at
		age     time.Duration  // how long after the last record we look
		first   bool           // the oldest row is still there
		trimmed string         // who lost rows
	}{
		{"young", nil, nil, 0, true, "[]"},
		{"old, nobody wants it", nil, nil, 2000 * time.Hour, false, "[]"},
		{"old, delivered", nil, map[string]int{"a": 100, "b": 100}, 2000 * time.Hour, false, "[]"},
		{"old, not delivered", nil, map[string]int{"a": 100, "b": 0}, 2000 * time.Hour, true, "[]"},
		{"too many bytes, delivered", func(c *Config) { c.MaxBytes = 5 * minSegmentBytes }, map[string]int{"a": 100}, 0, false, "[]"},
		{"too many bytes, not delivered", func(c *Config) { c.MaxBytes = 5 * minSegmentBytes }, map[string]int{"a": 100, "b": 0, "c": 1}, 0, false, "[b c]"},
		{"no age", func(c *Config) { c.MaxAge = -1 }, map[string]int{"a": 100}, 0, false, "[]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := faultfs.New()
			r := mustOpen(t, fs, c.change)
			n := 0
			for range 400 {
				b := numbered(n, rows)
				b.Received = r.now.UnixNano()
				r.mustAppend(b)
				n += rows
				for name, percent := range c.cursors {
					if err := r.j.SetCursor(name, Offset(n*percent/100)); err != nil {
						t.Fatal(err)
					}
				}
				r.work(time.Second)
			}
			r.work(c.age)
			first, next := r.j.Bounds()
			if (first == 0) != c.first || next != Offset(n) {
				t.Errorf("from %d to %d of %d", first, next, n)
			}
			var who []string
			for name, lost := range r.trimmed {
				who = append(who, name)
				if c.cursors[name] == 0 && lost != uint64(first) {
					t.Errorf("%s lost %d rows of %d", name, lost, first)
				}
			}
			slices.Sort(who)
			if fmt.Sprint(who) != c.trimmed {
				t.Errorf("%v lost rows: %v", who, r.trimmed)
			}
			if limit := r.j.cfg.MaxBytes + 2*cursorSlot + 100; fs.Used() > limit {
				t.Errorf("%d bytes on the disk, limit %d", fs.Used(), limit)
			}
		})
	}
}

func TestReaderStandsOnWhatIsTrimmed(t *testing.T) {
	r := mustOpen(t, faultfs.New(), func(c *Config) { c.MaxBytes = 4 * minSegmentBytes })
	r.mustAppend(numbered(0, 100))
	rd := r.j.NewReader(0)
	if _, err := rd.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := 100
	for first, _ := r.j.Bounds(); first == 0; first, _ = r.j.Bounds() {
		r.mustAppend(numbered(n, 100))
		n += 100
	}
	first, _ := r.j.Bounds()
	var tr *TrimmedError
	if _, err := rd.Next(t.Context()); !errors.As(err, &tr) || tr.From != 100 || tr.To != first || tr.Rows != uint64(first)-100 {
		t.Errorf("got %v", err)
	}
	if rec, err := rd.Next(t.Context()); err != nil || rec.Offset != first || rec.Batch.Bits[0] != uint64(first) {
		t.Errorf("then %v, %v", rec, err)
	}
}

func TestReaderBeginsAnywhere(t *testing.T) {
	r := mustOpen(t, faultfs.New(), nil)
	n := 0
	for i := range 60 {
		r.mustAppend(numbered(n, 1+i*13%170))
		n += 1 + i*13%170
	}
	if len(r.j.segs) < 2 {
		t.Fatal("one segment only")
	}
	for from := range n {
		rd := r.j.NewReader(Offset(from))
		rec, err := rd.Next(t.Context())
		if err != nil || rec.Offset != Offset(from) || rec.Batch.Bits[0] != uint64(from) || rd.Offset() != rec.Next() {
			t.Fatalf("from %d: record at %d, %v", from, rec.Offset, err)
		}
		if err := rd.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var ahead *AheadError
	if _, err := r.j.NewReader(Offset(n + 1)).Next(t.Context()); !errors.As(err, &ahead) || ahead.Next != Offset(n) {
		t.Errorf("behind the end: %v", err)
	}
}

func TestSkipTo(t *testing.T) {
	fs := faultfs.New()
	synced := 0
	bubble(t, func(c *Config) { c.FS = fs }, func(t *testing.T, j *Journal, _ *faultfs.FS) {
		for _, to := range []Offset{0, 500, 400} {
			if err := j.SkipTo(t.Context(), to); err != nil {
				t.Fatal(err)
			}
		}
		off, err := j.AppendUrgent(t.Context(), numbered(0, 10))
		if err != nil || off != 500 {
			t.Errorf("offset %d, %v", off, err)
		}
		synced = int(j.Stats().Rows)
	})
	if synced != 10 {
		t.Errorf("%d rows synced", synced)
	}
	r := mustOpen(t, fs, nil)
	rows, gone := r.readAll(0)
	if len(rows) != 10 || rows[0].off != 500 || len(gone) != 0 || r.j.Rows(0, 510) != 10 {
		t.Errorf("rows %v, gone %v, %d", rows, gone, r.j.Rows(0, 510))
	}
}

// A cursor that somebody set to nonsense must not use up the offsets of the directory.
func TestSkipToNonsense(t *testing.T) {
	r := mustOpen(t, faultfs.New(), nil)
	r.mustAppend(numbered(0, 10))
	for _, to := range []Offset{math.MaxUint64, 1 << 63, MaxOffset + 1} {
		if err := r.j.SkipTo(t.Context(), to); err == nil {
			t.Errorf("skipped to %d", to)
		}
	}
	if off := r.mustAppend(numbered(10, 1)); off != 10 {
		t.Errorf("the next row got offset %d", off)
	}
}

func TestCursors(t *testing.T) {
	fs := faultfs.New()
	r := mustOpen(t, fs, nil)
	r.mustAppend(numbered(0, 100))
	if _, ok := r.j.Cursor("a"); ok {
		t.Error("there is a cursor that nobody set")
	}
	for i := range 50 {
		for _, name := range []string{"a", "b", "gone"} {
			if err := r.j.SetCursor(name, Offset(i)); err != nil {
				t.Fatal(err)
			}
		}
		r.work(100 * time.Millisecond)
	}
	if !r.j.Forget("gone") || r.j.Forget("gone") {
		t.Error("forgotten once and twice should be yes and no")
	}
	r.work(100 * time.Millisecond)
	steps := fs.Steps()
	for i := range 100 { // within CursorEvery
		if err := r.j.SetCursor("a", Offset(i)); err != nil {
			t.Fatal(err)
		}
		r.work(0)
	}
	if n := fs.Steps() - steps; n != 0 {
		t.Errorf("%d steps for cursors that moved within CursorEvery", n)
	}
	r = mustOpen(t, fs.After(faultfs.None), nil)
	for name, want := range map[string]Offset{"a": 49, "b": 49} {
		if off, ok := r.j.Cursor(name); off != want || !ok {
			t.Errorf("%s is at %d, %v after a power cut, want %d", name, off, ok, want)
		}
	}
	if _, ok := r.j.Cursor("gone"); ok {
		t.Error("what was forgotten is there again")
	}
	for _, name := range []string{"", strings.Repeat("x", MaxCursorName+1)} {
		if err := r.j.SetCursor(name, 1); err == nil {
			t.Errorf("a name of %d bytes was taken", len(name))
		}
	}
	var full error
	for i := range maxCursors + 1 {
		full = errors.Join(full, r.j.SetCursor(fmt.Sprintf("%0*d", MaxCursorName, i), 1))
	}
	if full == nil || len(r.j.Stats().Cursors) != maxCursors {
		t.Errorf("%d cursors, %v", len(r.j.Stats().Cursors), full)
	}
	r.work(time.Second)
	if len(r.errs) > 0 {
		t.Error(r.errs)
	}
}

// When both slots are damaged no record may be passed over: every cursor is at the oldest.
func TestCursorsLost(t *testing.T) {
	fs, _ := written(t, false)
	for slot := range int64(2) {
		for i := range int64(40) {
			fs.FlipBit(dir+"/"+cursorName, (slot*cursorSlot+i)*8)
		}
	}
	r := mustOpen(t, fs, nil)
	if err := r.j.SetCursor("another", 5); err != nil { // its save does not end that for those who have not asked yet
		t.Fatal(err)
	}
	r.work(time.Second)
	if off, ok := r.j.Cursor("sink"); off != 0 || !ok || !r.j.Stats().CursorsLost {
		t.Errorf("cursor %d, %v", off, ok)
	}
	if off, ok := mustOpen(t, fs.Snapshot(), nil).j.Cursor("another"); off != 5 || !ok {
		t.Errorf("after a restart: cursor %d, %v", off, ok)
	}
}

func TestCursorFileIsThereFromTheBeginning(t *testing.T) {
	fs := faultfs.New()
	r := mustOpen(t, fs, nil)
	if _, ok := r.j.Cursor("sink"); ok || r.j.Stats().CursorsLost {
		t.Error("a new directory has cursors")
	}
	r.mustAppend(numbered(0, 10))
	fs.SetCapacity(fs.Used())
	if err := r.j.SetCursor("sink", 10); err != nil {
		t.Fatal(err)
	}
	r.work(time.Second)
	after := fs.Snapshot()
	if off, ok := mustOpen(t, after, nil).j.Cursor("sink"); off != 10 || !ok {
		t.Errorf("set on a full disk: %d, %v", off, ok)
	}
	after = fs.Snapshot()
	if err := after.Remove(dir + "/" + cursorName); err != nil {
		t.Fatal(err)
	}
	r = mustOpen(t, after, nil)
	if off, ok := r.j.Cursor("sink"); off != 0 || !ok || !r.j.Stats().CursorsLost {
		t.Errorf("the file is gone: %d, %v", off, ok)
	}
}

// A start that comes to nothing must not make the loss of the cursors look like a new directory: sinks would begin at the end.
func TestCursorsLostStayLostUntilOneIsSet(t *testing.T) {
	fs, _ := written(t, false)
	if err := fs.Remove(dir + "/" + cursorName); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r := mustOpen(t, fs, nil)
		if off, ok := r.j.Cursor("sink"); off != 0 || !ok || !r.j.Stats().CursorsLost {
			t.Errorf("cursor %d, %v", off, ok)
		}
		if err := r.j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// While it is unknown what was delivered, age alone removes nothing.
func TestRetentionKeepsAllWhileCursorsAreLost(t *testing.T) {
	fs := faultfs.New()
	r := mustOpen(t, fs, nil)
	n := 0
	for ; len(r.j.segs) < 4; n += 100 {
		r.mustAppend(numbered(n, 100))
	}
	if err := errors.Join(r.j.SetCursor("sink", 0), r.j.Close(), fs.Remove(dir+"/"+cursorName)); err != nil {
		t.Fatal(err)
	}
	r = mustOpen(t, fs, func(c *Config) { c.MaxAge = -1 })
	for range 3 { // before any sink has asked, and after one has
		r.work(100 * time.Hour)
		if rows, _ := r.readAll(0); len(rows) != n {
			t.Fatalf("%d rows of %d are left", len(rows), n)
		}
		if err := r.j.SetCursor("another", Offset(n)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCursorFileFails(t *testing.T) {
	fs := faultfs.New()
	r := mustOpen(t, fs, nil)
	for i, op := range []faultfs.Op{faultfs.Write, faultfs.Sync, faultfs.Rename, faultfs.Open} {
		fs.Fail(op, cursorName, errors.New("no"), 1)
		if err := r.j.SetCursor("a", Offset(i+1)); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			r.work(time.Second)
		}
		fs.Heal()
		if off, _ := mustOpen(t, fs.Snapshot(), nil).j.Cursor("a"); off != Offset(i+1) {
			t.Errorf("call %d failed once: the cursor is at %d, want %d", op, off, i+1)
		}
	}
}

func TestScan(t *testing.T) {
	r := mustOpen(t, faultfs.New(), nil)
	for i := range 50 {
		r.mustAppend(numbered(i*100, 100)) // received 100 s after one another
	}
	at := func(i int) time.Time { return testStart.Add(time.Duration(i) * 100 * time.Second) }
	for _, c := range []struct {
		from, to, stop int
		want           []int
	}{
		{0, 49, 50, ints(0, 49)}, {10, 12, 50, ints(10, 12)}, {47, 60, 50, ints(47, 49)}, {-5, 1, 50, ints(0, 1)}, {60, 70, 50, nil}, {20, 10, 50, nil}, {0, 49, 3, ints(0, 2)},
	} {
		var got []int
		collect := func(rec Record) bool {
			got = append(got, int(rec.Offset)/100)
			return len(got) < c.stop
		}
		if err := r.j.Scan(t.Context(), at(c.from), at(c.to), collect); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%d to %d: %v, %v", c.from, c.to, got, err)
		}
		got = nil
		if err := r.j.ScanBack(t.Context(), at(c.from), at(c.to), collect); err != nil {
			t.Error(err)
		}
		if c.stop < 50 {
			c.want = ints(c.to-c.stop+1, c.to)
		}
		slices.Reverse(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("back from %d to %d: %v", c.to, c.from, got)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	n := 0
	err := r.j.Scan(ctx, at(0), at(49), func(Record) bool { n++; stop(); return true })
	if !errors.Is(err, context.Canceled) || n != 1 {
		t.Errorf("cancelled: %d records, %v", n, err)
	}
}

func ints(from, to int) []int {
	var s []int
	for i := from; i <= to; i++ {
		s = append(s, i)
	}
	return s
}

func TestTooLarge(t *testing.T) {
	r := mustOpen(t, faultfs.New(), nil)
	var b tag.Batch
	most := 0
	for n := minSegmentBytes; ; n-- {
		b.Reset()
		b.Device = 1
		b.AppendAux(1, 0, tag.Good, tag.ByteString, make([]byte, n))
		if r.j.Offer(&b, nil) {
			most = n
			break
		}
		if r.dropped[ReasonTooLarge] == 0 {
			t.Fatalf("dropped %v", r.dropped)
		}
	}
	if most < minSegmentBytes-footerBytes-400 {
		t.Errorf("the largest that fits has %d bytes", most)
	}
	r.work(time.Second)
	r.j.Offer(numbered(0, 1), nil)
	r.j.Offer(&b, nil)
	r.work(time.Second)
	if _, next := r.j.Bounds(); next != 3 || len(r.errs) > 0 {
		t.Errorf("%d rows written, %v", next, r.errs)
	}
	var large *TooLargeError
	b.AppendAux(1, 0, tag.Good, tag.ByteString, make([]byte, 500))
	if _, err := r.j.Append(t.Context(), &b); !errors.As(err, &large) {
		t.Errorf("append: %v", err)
	}
	if off, err := r.j.Append(t.Context(), &tag.Batch{}); off != 3 || err != nil || !r.j.Offer(&tag.Batch{}, nil) {
		t.Errorf("an empty batch: %d, %v", off, err)
	}
}
