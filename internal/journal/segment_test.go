package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"millrace/internal/journal/faultfs"
	"millrace/internal/tag"
)

const testEpoch = 0x0123456789abcdef

func endOf(seq uint32, off Offset) []byte {
	return appendFrame(nil, header{typ: frameEnd, seq: seq, epoch: testEpoch, offset: off}, nil)
}

// What reading through a segment makes of its bytes.
func TestSegmentRead(t *testing.T) {
	rec := func(seq uint32, off Offset) []byte { return frameOf(testEpoch, seq, off, 10) }
	bad := func(seq uint32, off Offset) []byte {
		p := rec(seq, off)
		p[len(p)-1] ^= 1
		return p
	}
	skip := func(off, to Offset) []byte {
		return appendFrame(nil, header{typ: frameSkip, seq: 7, epoch: testEpoch, offset: off}, binary.LittleEndian.AppendUint64(nil, uint64(to)))
	}
	n := int64(len(rec(7, 0)))
	for _, c := range []struct {
		name  string
		parts [][]byte
		want  string // first-next end=position holes skips
		end   bool
	}{
		{"nothing", nil, "100-100 end=0 [] []", false},
		{"one commit", [][]byte{rec(7, 100), endOf(7, 110)}, fmt.Sprintf("100-110 end=%d [] []", n), true},
		{"no end mark", [][]byte{rec(7, 100)}, fmt.Sprintf("100-110 end=%d [] []", n), false},
		{"a former life's frames behind", [][]byte{rec(7, 100), endOf(7, 110), rec(6, 110), endOf(6, 120)}, fmt.Sprintf("100-110 end=%d [] []", n), true},
		{"a former life's frames, offsets and all", [][]byte{rec(7, 100), rec(6, 110), endOf(6, 120)}, fmt.Sprintf("100-110 end=%d [] []", n), false},
		{"another epoch", [][]byte{frameOf(1, 7, 100, 10)}, "100-100 end=0 [] []", false},
		{"lower offsets behind", [][]byte{rec(7, 100), rec(7, 50), endOf(7, 60)}, fmt.Sprintf("100-110 end=%d [] []", n), false},
		{"begins before the segment before it ended", [][]byte{rec(7, 80), rec(7, 90), endOf(7, 100)}, fmt.Sprintf("80-100 end=%d [] []", 2*n), true},
		{"begins too late", [][]byte{rec(7, 120), endOf(7, 130)}, fmt.Sprintf("100-130 end=%d [{100 120}] []", n), true},
		{"damaged first", [][]byte{bad(7, 100), rec(7, 110), endOf(7, 120)}, fmt.Sprintf("100-120 end=%d [{100 110}] []", 2*n), true},
		{"damaged last", [][]byte{rec(7, 100), bad(7, 110), endOf(7, 120)}, fmt.Sprintf("100-120 end=%d [{110 120}] []", 2*n), true},
		{"damaged last, no end mark", [][]byte{rec(7, 100), bad(7, 110)}, fmt.Sprintf("100-110 end=%d [] []", n), false},
		{"two damaged", [][]byte{bad(7, 100), rec(7, 110), bad(7, 120), endOf(7, 130)}, fmt.Sprintf("100-130 end=%d [{100 110} {120 130}] []", 3*n), true},
		{"garbage between", [][]byte{rec(7, 100), []byte("MJ\x01MJ MJ\x01\x01"), rec(7, 110), endOf(7, 120)}, fmt.Sprintf("100-120 end=%d [] []", 2*n+10), true},
		{"skip", [][]byte{rec(7, 100), skip(110, 500), rec(7, 500), endOf(7, 510)}, fmt.Sprintf("100-510 end=%d [] [{110 500}]", 2*n+skipBytes), true},
		{"skip back", [][]byte{rec(7, 100), skip(110, 50), rec(7, 110), endOf(7, 120)}, fmt.Sprintf("100-120 end=%d [] []", 2*n+skipBytes), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := append(bytes.Join(c.parts, nil), make([]byte, minSegmentBytes)...)[:minSegmentBytes]
			s := newSegmentInfo(7, 0, minSegmentBytes)
			var w walker
			w.reset(bytes.NewReader(p), testEpoch, 7, minSegmentBytes)
			v := s.read(&w, 100, true)
			got := fmt.Sprintf("%d-%d end=%d %v %v", s.first, s.next, s.end, v.holes, s.skips)
			if got != c.want || v.endSeen != c.end {
				t.Errorf("got %s, end mark %v; want %s, %v", got, v.endSeen, c.want, c.end)
			}
		})
	}
}

func TestFooter(t *testing.T) {
	for _, skips := range []int{0, 1, maxSkips, maxSkips + 1} {
		s := newSegmentInfo(7, 1000, minSegmentBytes)
		s.next, s.end, s.minRecv, s.maxRecv = 5000, 777, -3, 12
		for i := range skips {
			s.skips = append(s.skips, span{Offset(1000 + 10*i), Offset(1005 + 10*i)})
		}
		p := s.footer(testEpoch)
		if skips > maxSkips {
			if p != nil {
				t.Error("a footer with too many skips")
			}
			continue
		}
		if len(p) > footerBytes {
			t.Fatalf("%d bytes", len(p))
		}
		file := append(make([]byte, s.limit()), append(p, make([]byte, footerBytes-len(p))...)...)
		var w walker
		w.reset(bytes.NewReader(file), testEpoch, 7, minSegmentBytes)
		got := newSegmentInfo(7, 0, minSegmentBytes)
		if !got.parseFooter(&w) || got.next != 5000 || got.first != 1000 || got.end != 777 || got.minRecv != -3 || got.maxRecv != 12 || !slices.Equal(got.skips, s.skips) || !got.sealed {
			t.Errorf("%d skips: %+v", skips, got)
		}
		w.reset(bytes.NewReader(file), testEpoch, 8, minSegmentBytes)
		if newSegmentInfo(8, 0, minSegmentBytes).parseFooter(&w) {
			t.Error("the footer of another segment was taken")
		}
	}
}

// The bytes of a record are frozen: a journal of today is read by every later program.
func TestFrameIsFrozen(t *testing.T) {
	var b tag.Batch
	b.Device, b.Received = 2, 3
	b.Append(5, 3, tag.Good, tag.Uint16, 0x1234)
	got := appendFrame(nil, header{typ: frameData, seq: 9, epoch: testEpoch, offset: 77, rows: 1}, b.AppendTo(nil))
	want := "4d4a01012c00000001000000090000004d00000000000000efcdab8967452301"
	if h := fmt.Sprintf("%x", got[:atDataCRC]); h != want {
		t.Errorf("header %s", h)
	}
	if crc := fmt.Sprintf("%x", got[atDataCRC:frameHeader]); crc != "6e098f2be1d9fffc" {
		t.Errorf("checksums %s", crc)
	}
}

// Whatever a segment holds, it is opened, read to its end with offsets that only grow, and written on.
func FuzzRecovery(f *testing.F) {
	fs := faultfs.New()
	r := mustOpen(f, fs, nil)
	for i := range 5 {
		r.mustAppend(numbered(i*3, 3))
	}
	used := make([]byte, r.j.w.pos+frameHeader)
	file, err := fs.OpenFile(dir+"/"+segName(1), readOnly)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := file.ReadAt(used, 0); err != nil {
		f.Fatal(err)
	}
	f.Add(used)
	f.Add(used[:len(used)/2])
	f.Add(append(slices.Clone(used[100:]), used...))
	if err := r.j.Close(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		hit := fs.Snapshot()
		file, err := hit.OpenFile(dir+"/"+segName(1), readWrite)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(p[:min(len(p), minSegmentBytes)], 0); err != nil {
			t.Fatal(err)
		}
		r := mustOpen(t, hit, nil)
		off := r.mustAppend(numbered(1000, 3))
		first, _ := r.j.Bounds()
		rows, _ := r.readAll(first)
		for i := range rows {
			if i > 0 && rows[i].off <= rows[i-1].off {
				t.Fatalf("%v behind %v", rows[i], rows[i-1])
			}
		}
		if n := len(rows); n < 3 || rows[n-1] != (row{off + 2, 1002}) {
			t.Fatalf("what was written is not there: %v", rows)
		}
		r.work(time.Second)
		if err := r.j.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// Whatever the file of cursors holds, it is read or refused.
func FuzzCursorSlot(f *testing.F) {
	var c cursorFile
	c.encode(testEpoch, map[string]*cursor{"sink": {off: 7}, "a longer name": {off: 1 << 60}}, map[string]Offset{})
	f.Add(c.buf)
	f.Add(c.buf[:len(c.buf)-5])
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > 4 { // a checksum that is right lets it in
			binary.LittleEndian.PutUint32(p[len(p)-4:], crc32.Checksum(p[:len(p)-4], castagnoli))
		}
		if _, _, by, ok := parseSlot(p); ok && len(by) > len(p)/9 {
			t.Fatalf("%d cursors out of %d bytes", len(by), len(p))
		}
	})
}
