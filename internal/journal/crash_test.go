package journal

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"millrace/internal/journal/faultfs"
)

// life is a stretch of a journal's life with everything in it: the making of the directory, segments that fill up, a cursor that
// moves, a restart, retention that recycles. It ends at the first error.
func life(t *testing.T, fs *faultfs.FS, m *model) (cursors []Offset) {
	small := func(c *Config) { c.MaxBytes = 5 * minSegmentBytes }
	r, err := open(t, fs, small)
	if err != nil {
		return nil
	}
	n := 0
	for i := range 90 {
		k := 1 + i*37%600
		if m.append(r, n, k) != nil {
			return cursors
		}
		n += k
		if i%7 == 0 {
			cursors = append(cursors, Offset(n))
			if err := r.j.SetCursor("sink", Offset(n)); err != nil {
				t.Error(err)
			}
		}
		if i == 60 {
			if r.j.Close() != nil {
				return cursors
			}
			if r, err = open(t, fs, small); err != nil {
				return cursors
			}
		}
	}
	_ = r.j.Close()
	return cursors
}

// At every step that the journal takes on the disk the power goes, and the disk keeps nothing, some, or all of what was not synced.
func TestPowerCutAtEveryStep(t *testing.T) {
	fs := faultfs.New()
	life(t, fs, &model{})
	steps := fs.Steps()
	if steps < 200 {
		t.Fatalf("only %d steps", steps)
	}
	if first, _ := mustOpen(t, fs, nil).j.Bounds(); first == 0 {
		t.Fatal("no segment was recycled")
	}
	for n := 1; n <= steps; n++ {
		lucky := faultfs.All
		if n%3 > 0 {
			lucky = faultfs.Some(rand.New(rand.NewPCG(1, uint64(n))))
		}
		for name, keep := range map[string]func(*faultfs.Survivor){"nothing": faultfs.None, "some": lucky} {
			fs, m := faultfs.New(), &model{}
			fs.CutAt(n)
			cursors := life(t, fs, m)
			if err := survives(t, fs.After(keep), m, cursors); err != nil {
				t.Fatalf("power cut at step %d of %d, %s of what was unsynced kept: %v", n, steps, name, err)
			}
		}
	}
}

// survives opens what is left and checks it against m, then writes on and checks again.
func survives(t *testing.T, fs *faultfs.FS, m *model, cursors []Offset) error {
	r, err := open(t, fs, nil)
	if err != nil {
		return err
	}
	first, _ := r.j.Bounds()
	for len(m.acked) > 0 && m.acked[0].off < first { // retention removed these
		m.acked = m.acked[1:]
	}
	rows, _ := r.readAll(first)
	if err := m.check(rows); err != nil {
		return err
	}
	if err := cursorSurvived(r.j, cursors); err != nil {
		return err
	}
	if err := m.append(r, 1_000_000, 10); err != nil {
		return err
	}
	rows, _ = r.readAll(first)
	if err := m.check(rows); err != nil {
		return fmt.Errorf("after writing on: %w", err)
	}
	return r.j.Close()
}

// cursorSurvived checks that the cursor is at a place where it was put once.
func cursorSurvived(j *Journal, put []Offset) error {
	off, ok := j.Cursor("sink")
	for _, p := range put {
		if !ok || p == off {
			return nil
		}
	}
	if ok {
		return fmt.Errorf("the cursor is at %d, where it never was: %v", off, put)
	}
	return nil
}

// A commit of three batches was cut off behind each of its bytes.
func TestTornAtEveryByteOfTheLastCommit(t *testing.T) {
	for n := 0; ; n++ {
		fs, m := faultfs.New(), &model{}
		r := mustOpen(t, fs, nil)
		for i := range 3 {
			if err := m.append(r, i*10, 10); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 3 {
			r.put(numbered(100+i*10, 10))
			m.offer(100+i*10, 10)
		}
		fs.CutAt(2) // the write, then the sync
		r.work(time.Millisecond)
		if len(r.errs) == 0 {
			t.Fatal("the power did not go")
		}
		if n > len(r.j.w.buf) {
			return
		}
		if err := survives(t, fs.After(faultfs.Torn(n)), m, nil); err != nil {
			t.Fatalf("torn at byte %d: %v", n, err)
		}
	}
}

// What a killed process wrote and did not sync is found by the next one. Once that has shown it to a reader it must not go away.
func TestKillThenPowerCut(t *testing.T) {
	fs, m := faultfs.New(), &model{}
	r := mustOpen(t, fs, nil)
	if err := m.append(r, 0, 10); err != nil {
		t.Fatal(err)
	}
	r.put(numbered(10, 10))
	fs.CutAt(2) // the write, then the sync
	r.work(time.Millisecond)
	fs.Kill()
	rows, gone := mustOpen(t, fs, nil).readAll(0)
	if len(rows) != 20 || len(gone) > 0 {
		t.Fatalf("%d rows, gone %v", len(rows), gone)
	}
	m.offer(10, 10)
	m.acked = rows
	if err := survives(t, fs.After(faultfs.None), m, nil); err != nil {
		t.Error(err)
	}
}

// The save of a cursor was cut off behind each of its bytes: the cursor is where it was before, or where it was put.
func TestTornCursor(t *testing.T) {
	for n := range cursorSlot / 512 {
		fs := faultfs.New()
		r := mustOpen(t, fs, nil)
		r.mustAppend(numbered(0, 100))
		var put []Offset
		for i := range 5 {
			put = append(put, Offset(10+i*7))
			if err := r.j.SetCursor("sink", put[i]); err != nil {
				t.Fatal(err)
			}
			if i == 4 {
				fs.CutAt(2) // the write, then the sync
			}
			r.work(time.Second)
		}
		r = mustOpen(t, fs.After(faultfs.Torn(n)), nil)
		if err := cursorSurvived(r.j, put[3:]); err != nil {
			t.Fatalf("torn at byte %d: %v", n, err)
		}
	}
}

// A disk that loses what it said it had synced must not make the journal give an offset twice: a sink may have passed it.
func TestOffsetsAreNotGivenTwice(t *testing.T) {
	for _, c := range []struct {
		name   string
		cursor bool // the journal keeps the sink's cursor; else the sink does
		lose   func(fs *faultfs.FS, at int64)
	}{
		{"last record and end mark damaged", false, func(fs *faultfs.FS, at int64) {
			for i := range int64(400) {
				fs.FlipBit(dir+"/"+segName(1), (at+i)*8+3)
			}
		}},
		{"end mark damaged", false, func(fs *faultfs.FS, at int64) { fs.FlipBit(dir+"/"+segName(1), (at+150)*8) }},
		{"segment gone", true, func(fs *faultfs.FS, _ int64) {
			if err := fs.Remove(dir + "/" + segName(1)); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := faultfs.New()
			r := mustOpen(t, fs, nil)
			r.mustAppend(numbered(0, 10))
			at := r.j.w.pos
			last := r.mustAppend(numbered(10, 20))
			if c.cursor {
				if err := r.j.SetCursor("sink", last+20); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.j.Close(); err != nil {
				t.Fatal(err)
			}
			c.lose(fs, at)
			r = mustOpen(t, fs, nil)
			if off := r.mustAppend(numbered(50, 1)); off < last+20 {
				t.Errorf("offset %d was given before: %d to %d", off, last, last+19)
			}
			rows, _ := r.readAll(last + 20)
			if len(rows) != 1 || rows[0].val != 50 {
				t.Errorf("behind the cursor there is %v", rows)
			}
		})
	}
}

// At every step the process is killed, the next one writes on, and then the power goes: what the second one acknowledged is there, also
// when the first one named a segment and died before that name was durable.
func TestKillAtEveryStepThenPowerCut(t *testing.T) {
	fs := faultfs.New()
	life(t, fs, &model{})
	for n := 1; n <= fs.Steps(); n++ {
		fs, m := faultfs.New(), &model{}
		fs.CutAt(n)
		life(t, fs, m)
		fs.Kill()
		r, err := open(t, fs, nil)
		if err != nil {
			t.Fatalf("killed at step %d: %v", n, err)
		}
		if err := m.append(r, 900_000, 10); err != nil {
			t.Fatalf("killed at step %d: %v", n, err)
		}
		cursor, known := r.j.Cursor("sink")
		after := fs.After(faultfs.None)
		if err := survives(t, after, m, []Offset{cursor}); err != nil {
			t.Fatalf("killed at step %d, power cut after the next commit: %v", n, err)
		}
		if off, ok := mustOpen(t, after, nil).j.Cursor("sink"); ok != known || off != cursor {
			t.Fatalf("killed at step %d: the cursor was shown at %d, %v, and is at %d, %v after the power cut", n, cursor, known, off, ok)
		}
	}
}
