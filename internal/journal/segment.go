package journal

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"millrace/internal/journal/vfs"
	"millrace/internal/tag"
)

// segment is what is known of one segment file. The writer changes the last one under Journal.mu; the others do not change.
type segment struct {
	seq         uint32
	first, next Offset // the rows in it that were synced
	end         int64  // position behind the last synced frame
	size        int64  // of the file
	minRecv     int64  // of the batches in it, ns; minRecv > maxRecv when there is none
	maxRecv     int64
	skips       []span // offsets in it that never had a row
	sealed      bool   // not written to any more
}

// span is the offsets from From to To-1.
type span struct{ From, To Offset }

const (
	segSuffix   = ".seg"
	spareName   = "spare"
	reserveName = "reserve"
	tmpSuffix   = ".tmp"

	footerBytes = 512 // at a segment's end, kept free for the footer
	startBytes  = frameHeader + 8
	skipBytes   = frameHeader + 8
	maxSkips    = (footerBytes - frameHeader - footerFixed) / 16
	footerFixed = 8 + 8 + 8 + 8 + 8 + 4 // end, first, next, minRecv, maxRecv, number of skips
)

// maxPayload is the largest encoded batch that a segment of size bytes takes: a skip frame may stand before it, an end frame behind.
func maxPayload(size int64) int64 {
	return size - footerBytes - startBytes - skipBytes - 2*frameHeader
}

func segName(seq uint32) string { return fmt.Sprintf("%010d%s", seq, segSuffix) }

func parseSegName(name string) (uint32, bool) {
	s, ok := strings.CutSuffix(name, segSuffix)
	if !ok || len(s) != 10 {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil
}

func newSegmentInfo(seq uint32, first Offset, size int64) *segment {
	return &segment{seq: seq, first: first, next: first, end: 0, size: size, minRecv: math.MaxInt64, maxRecv: math.MinInt64}
}

func (s *segment) saw(recv int64) {
	s.minRecv, s.maxRecv = min(s.minRecv, recv), max(s.maxRecv, recv)
}

// limit is the position that frames must not reach beyond.
func (s *segment) limit() int64 { return s.size - footerBytes }

// footer returns the frame that sums the segment up, so that it need not be read at the next start. nil when it has too many skips.
func (s *segment) footer(epoch uint64) []byte {
	if len(s.skips) > maxSkips {
		return nil
	}
	p := binary.LittleEndian.AppendUint64(nil, uint64(s.end))
	p = binary.LittleEndian.AppendUint64(p, uint64(s.first))
	p = binary.LittleEndian.AppendUint64(p, uint64(s.next))
	p = binary.LittleEndian.AppendUint64(p, uint64(s.minRecv))
	p = binary.LittleEndian.AppendUint64(p, uint64(s.maxRecv))
	p = binary.LittleEndian.AppendUint32(p, uint32(len(s.skips)))
	for _, k := range s.skips {
		p = binary.LittleEndian.AppendUint64(p, uint64(k.From))
		p = binary.LittleEndian.AppendUint64(p, uint64(k.To))
	}
	return appendFrame(nil, header{typ: frameFooter, seq: s.seq, offset: s.next, epoch: epoch}, p)
}

// parseFooter fills s from its footer and says whether there is one.
func (s *segment) parseFooter(w *walker) bool {
	w.pos, w.end = s.limit(), s.size
	p, ok := w.next()
	if !ok || w.at != s.limit() || w.h.typ != frameFooter || len(p) < footerFixed {
		return false
	}
	n := binary.LittleEndian.Uint32(p[40:])
	if len(p) != footerFixed+16*int(n) || n > maxSkips {
		return false
	}
	s.end, s.sealed = int64(binary.LittleEndian.Uint64(p)), true
	s.first, s.next = Offset(binary.LittleEndian.Uint64(p[8:])), Offset(binary.LittleEndian.Uint64(p[16:]))
	s.minRecv, s.maxRecv = int64(binary.LittleEndian.Uint64(p[24:])), int64(binary.LittleEndian.Uint64(p[32:]))
	for p = p[footerFixed:]; len(p) > 0; p = p[16:] {
		s.skips = append(s.skips, span{Offset(binary.LittleEndian.Uint64(p)), Offset(binary.LittleEndian.Uint64(p[8:]))})
	}
	return s.end >= 0 && s.end <= s.limit() && s.first <= s.next
}

// survey is what reading a segment found beyond what segment holds.
type survey struct {
	frames  int
	rows    uint64
	holes   []span // damaged
	endSeen bool   // an end frame was found, so that next is certain
	failed  int64  // bytes that the disk refused
}

// read fills s by reading all of its frames. from is where the segment before it ended, if known. The segment's first frame has the
// last word: when a sync failed, the segment before may hold frames that were written again here. Within a segment offsets only grow.
func (s *segment) read(w *walker, from Offset, known bool) survey {
	var v survey
	w.pos, w.end = 0, s.limit()
	s.end, s.sealed, s.skips = 0, false, nil
	s.first, s.next = from, from
	for began := false; ; began = true {
		p, ok := w.next()
		if !ok {
			break
		}
		if !began && (!known || w.h.offset < s.first) {
			s.first, s.next = w.h.offset, w.h.offset
		}
		if w.h.offset < s.next {
			continue
		}
		if w.h.offset > s.next {
			v.holes = append(v.holes, span{s.next, w.h.offset})
			s.next = w.h.offset
		}
		s.take(w, p, &v)
	}
	v.failed = w.failed
	return v
}

// take accounts for the sound frame that w stands on.
func (s *segment) take(w *walker, p []byte, v *survey) {
	switch w.h.typ {
	case frameData:
		v.frames++
		v.rows += uint64(w.h.rows)
		s.next = w.h.next()
		s.saw(tag.EncodedReceived(p))
	case frameSkip:
		if to, ok := skipTarget(p); ok && to > s.next {
			s.skips = append(s.skips, span{s.next, to})
			s.next = to
		}
	case frameEnd:
		s.end = w.at
		v.endSeen = true
		return
	}
	s.end = w.pos
	v.endSeen = false
}

func skipTarget(p []byte) (Offset, bool) {
	if len(p) != 8 {
		return 0, false
	}
	return Offset(binary.LittleEndian.Uint64(p)), true
}

func openFile(fsys vfs.FS, dir, name string, flag int) (vfs.File, error) {
	f, err := fsys.OpenFile(filepath.Join(dir, name), flag)
	if err != nil {
		return nil, &FileError{Op: "open", Name: name, Err: err}
	}
	return f, nil
}

const (
	readOnly  = os.O_RDONLY
	readWrite = os.O_RDWR
	makeNew   = os.O_RDWR | os.O_CREATE | os.O_TRUNC
)
