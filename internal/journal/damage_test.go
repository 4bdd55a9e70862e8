package journal

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"millrace/internal/journal/faultfs"
)

// written is a journal of eight records of three rows each, closed. sealed lets it have a second segment, so that the first is not
// read through at the next start.
func written(t *testing.T, sealed bool) (*faultfs.FS, int64) {
	fs := faultfs.New()
	r := mustOpen(t, fs, nil)
	for i := range 8 {
		r.mustAppend(numbered(i*3, 3))
	}
	end := r.j.w.pos + frameHeader
	if sealed {
		if err := r.j.w.rotate(); err != nil {
			t.Fatal(err)
		}
		r.mustAppend(numbered(100, 3))
	}
	if err := r.j.SetCursor("sink", 6); err != nil {
		t.Fatal(err)
	}
	if err := r.j.Close(); err != nil {
		t.Fatal(err)
	}
	return fs, end
}

// A bit of each byte of a segment is inverted, one at a time. At most the record that it lies in is lost, and then it is reported, row for row.
func TestBitFlipIsConfinedToItsRecord(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		fs, end := written(t, sealed)
		bits := []int64{}
		for b := range end {
			bits = append(bits, b*8+b%8)
		}
		if sealed {
			for b := range int64(footerBytes) {
				bits = append(bits, (minSegmentBytes-footerBytes+b)*8+b%8)
			}
		}
		hits := 0
		for _, bit := range bits {
			hit := fs.After(faultfs.All)
			hit.FlipBit(dir+"/"+segName(1), bit)
			n, err := confined(t, hit, sealed)
			if err != nil {
				t.Fatalf("sealed %v, bit %d of byte %d: %v", sealed, bit%8, bit/8, err)
			}
			hits += n
		}
		if hits < 8*frameHeader {
			t.Errorf("sealed %v: %d bits hit a record; there are more", sealed, hits)
		}
	}
}

// confined checks that at most one record of three rows is missing, and that it is reported. It returns how many are.
func confined(t *testing.T, fs *faultfs.FS, sealed bool) (int, error) {
	r, err := open(t, fs, nil)
	if err != nil {
		return 0, err
	}
	off := r.mustAppend(numbered(1000, 3))
	rows, gone := r.readAll(0)
	have := map[row]bool{}
	for _, w := range rows {
		have[w] = true
	}
	missing := map[Offset]bool{}
	for i := range uint64(24) {
		if !have[row{Offset(i), i}] {
			missing[Offset(i)] = true
		}
	}
	want := 24 + 3 - len(missing)
	if sealed {
		want += 3
	}
	if len(rows) != want || !have[row{off, 1000}] {
		return 0, fmt.Errorf("%d rows are there, want %d: %v", len(rows), want, rows)
	}
	if len(missing) == 0 && len(gone) == 0 {
		return 0, r.j.Close()
	}
	var d *DamagedError
	if len(gone) != 1 || !errors.As(gone[0], &d) || d.Rows != 3 || d.To != d.From+3 || len(missing) != 3 || !missing[d.From] || !missing[d.To-1] {
		return 0, fmt.Errorf("rows %v are missing, and reported is %v", missing, gone)
	}
	return 1, r.j.Close()
}

// A bit of the small files beside the segments: the epoch stays, and the cursor is where it was, or where it was before.
func TestBitFlipBesideTheSegments(t *testing.T) {
	fs, _ := written(t, false)
	epoch := mustOpen(t, fs.After(faultfs.All), nil).j.Epoch()
	for _, c := range []struct {
		file  string
		bytes int64
	}{{versionName, fs.Size(dir + "/" + versionName)}, {cursorName, 64}} {
		for bit := range c.bytes * 8 {
			hit := fs.After(faultfs.All)
			at := bit
			if c.file == cursorName {
				at += cursorSlot * 8 // where the first save went
			}
			hit.FlipBit(dir+"/"+c.file, at)
			r, err := open(t, hit, nil)
			var newer *VersionError
			if c.file == versionName && errors.As(err, &newer) {
				continue // the digit is a greater one now
			}
			if err != nil {
				t.Fatalf("%s, bit %d: %v", c.file, bit, err)
			}
			if r.j.Epoch() != epoch {
				t.Fatalf("%s, bit %d: the epoch changed", c.file, bit)
			}
			off, ok := r.j.Cursor("sink")
			if s := r.j.Stats(); !ok || off != 6 && (off != 0 || !s.CursorsLost) {
				t.Fatalf("%s, bit %d: cursor %d, %v, lost %v", c.file, bit, off, ok, s.CursorsLost)
			}
		}
	}
}

// A block that the disk cannot read costs the records in it, not the segment.
func TestUnreadableBlock(t *testing.T) {
	fs := faultfs.New()
	r := mustOpen(t, fs, nil)
	for i := range 300 {
		r.mustAppend(numbered(i*3, 3))
	}
	fs.Break(dir+"/"+segName(1), diskBlock, diskBlock+1)
	rows, gone := r.readAll(0)
	lost := uint64(0)
	for _, err := range gone {
		var d *DamagedError
		if !errors.As(err, &d) {
			t.Fatal(err)
		}
		lost += d.Rows
	}
	if len(rows)+int(lost) != 900 || lost == 0 || lost > diskBlock/frameHeader*3 {
		t.Errorf("%d rows read and %d lost", len(rows), lost)
	}
}

// Garbage between records, of any length, costs nothing but itself.
func TestResync(t *testing.T) {
	fs, _ := written(t, true)
	for i := range int64(400) { // overwrites the second record and more
		fs.FlipBit(dir+"/"+segName(1), (150+i)*8+i%8)
	}
	r := mustOpen(t, fs, nil)
	rows, gone := r.readAll(0)
	var d *DamagedError
	if len(gone) != 1 || !errors.As(gone[0], &d) || len(rows)+int(d.Rows) != 27 {
		t.Errorf("%d rows, and %v", len(rows), gone)
	}
}

func TestNewerVersionIsRefused(t *testing.T) {
	fs, _ := written(t, false)
	f, err := fs.OpenFile(dir+"/"+versionName, readWrite)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("millrace-journal 2 "), 0); err != nil {
		t.Fatal(err)
	}
	_, err = open(t, fs, nil)
	var v *VersionError
	if !errors.As(err, &v) || v.Have != 2 || v.Max != 1 {
		t.Errorf("error %v", err)
	}
}

func TestDirectoryIsLocked(t *testing.T) {
	fs := faultfs.New()
	r := mustOpen(t, fs, nil)
	if _, err := open(t, fs, nil); err == nil {
		t.Fatal("opened twice")
	}
	if err := r.j.Close(); err != nil {
		t.Fatal(err)
	}
	r = mustOpen(t, fs, nil)
	r.work(time.Millisecond)
}
