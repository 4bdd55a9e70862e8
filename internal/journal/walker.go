package journal

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"
)

// walker reads the sound frames of one segment in order and passes over what is none. It is the same code for recovery, readers
// and inspection.
type walker struct {
	f     io.ReaderAt
	epoch uint64
	seq   uint32
	pos   int64 // of the next byte to look at
	end   int64 // bytes from here on are not looked at

	h      header // of the frame that next returned
	at     int64  // and its position
	failed int64  // bytes that the disk refused to read; they read as zeros

	buf  []byte // bytes of f from base on
	base int64
}

const (
	walkChunk = 256 << 10
	diskBlock = 4096
)

var frameMagic = []byte{'M', 'J', frameVersion}

// reset puts the walker at the start of f, which has end bytes to look at.
func (w *walker) reset(f io.ReaderAt, epoch uint64, seq uint32, end int64) {
	*w = walker{f: f, epoch: epoch, seq: seq, end: end, buf: w.buf[:0]}
}

// next returns the payload of the next sound frame, whose header is w.h; it is valid until the next call. It answers false at the end.
func (w *walker) next() ([]byte, bool) {
	for w.pos+frameHeader <= w.end {
		if !w.h.parse(w.peek(frameHeader)) || !w.mine() {
			w.seek()
			continue
		}
		p := w.peek(frameHeader + int64(w.h.length))[frameHeader:]
		w.at = w.pos
		w.pos += frameHeader + int64(w.h.length)
		if crc32.Checksum(p, castagnoli) == w.h.dataCRC {
			return p, true
		}
	}
	w.pos = w.end
	return nil, false
}

// mine says whether the header in w.h is of this segment's present life and its frame lies before the end.
func (w *walker) mine() bool {
	return w.h.epoch == w.epoch && w.h.seq == w.seq && int64(w.h.length) <= w.end-w.pos-frameHeader
}

// seek moves pos to the next place where a frame could begin, at least one byte on.
func (w *walker) seek() {
	w.pos++
	for w.pos+frameHeader <= w.end {
		w.peek(frameHeader)
		p := w.buf[w.pos-w.base:]
		if i := bytes.Index(p, frameMagic); i >= 0 {
			w.pos += int64(i)
			return
		}
		w.pos += int64(len(p) - len(frameMagic) + 1)
	}
}

// peek returns n bytes from pos on, which must lie before the end.
func (w *walker) peek(n int64) []byte {
	if from := w.pos - w.base; from >= 0 && from+n <= int64(len(w.buf)) {
		return w.buf[from : from+n]
	}
	size := min(max(n, walkChunk), w.end-w.pos)
	if int64(cap(w.buf)) < size {
		w.buf = make([]byte, size)
	}
	w.buf, w.base = w.buf[:size], w.pos
	w.failed += readAll(w.f, w.buf, w.base)
	return w.buf[:n]
}

// readAll fills p from position at on. What the disk refuses to give is zero: then it is one bad block, not the whole chunk,
// that is damaged. It returns the number of such bytes; those behind the end of the file are not among them.
func readAll(f io.ReaderAt, p []byte, at int64) int64 {
	n, err := f.ReadAt(p, at)
	if err == nil || errors.Is(err, io.EOF) {
		clear(p[n:])
		return 0
	}
	if len(p) <= diskBlock {
		clear(p)
		return int64(len(p))
	}
	var failed int64
	for len(p) > 0 {
		n := min(diskBlock-int(at%diskBlock), len(p))
		failed += readAll(f, p[:n], at)
		p, at = p[n:], at+int64(n)
	}
	return failed
}
