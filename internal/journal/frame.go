package journal

import (
	"encoding/binary"
	"hash/crc32"
)

// A frame is what a segment is made of. Little endian, 40 bytes, then the payload:
//
//	0  'M' 'J'  format version(1)=1  type(1)
//	4  payload bytes(4)
//	8  rows(4)
//	12 segment sequence(4)
//	16 offset of the first row(8)
//	24 epoch(8)
//	32 CRC32C of the payload(4)
//	36 CRC32C of the 36 bytes before(4)
//
// The header has its own checksum, so that a flipped bit in the payload does not hide where the next frame begins. A recycled
// segment is full of sound frames of its former life: sequence and epoch tell them apart, and offsets only ever grow.
const (
	frameVersion = 1
	frameHeader  = 40

	atType    = 3
	atLength  = 4
	atRows    = 8
	atSeq     = 12
	atOffset  = 16
	atEpoch   = 24
	atDataCRC = 32
	atCRC     = 36
)

// The types of frames.
const (
	frameData   byte = 1 // the payload is an encoded batch
	frameEnd    byte = 2 // stands behind the last frame of each commit and is overwritten by the next; offset is the next row's
	frameSkip   byte = 3 // rows from offset to payload(8) were never written
	frameStart  byte = 4 // first in each segment; the payload is the time of its making in ns(8)
	frameFooter byte = 5 // at a sealed segment's end, see footer
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type header struct {
	typ     byte
	length  uint32
	rows    uint32
	seq     uint32
	offset  Offset
	epoch   uint64
	dataCRC uint32
}

// put writes h into p, which has frameHeader bytes.
func (h *header) put(p []byte) {
	p[0], p[1], p[2], p[atType] = 'M', 'J', frameVersion, h.typ
	binary.LittleEndian.PutUint32(p[atLength:], h.length)
	binary.LittleEndian.PutUint32(p[atRows:], h.rows)
	binary.LittleEndian.PutUint32(p[atSeq:], h.seq)
	binary.LittleEndian.PutUint64(p[atOffset:], uint64(h.offset))
	binary.LittleEndian.PutUint64(p[atEpoch:], h.epoch)
	binary.LittleEndian.PutUint32(p[atDataCRC:], h.dataCRC)
	binary.LittleEndian.PutUint32(p[atCRC:], crc32.Checksum(p[:atCRC], castagnoli))
}

// parse reads the header at the start of p and says whether it is one: whole, of this version, its checksum right.
func (h *header) parse(p []byte) bool {
	if len(p) < frameHeader || p[0] != 'M' || p[1] != 'J' || p[2] != frameVersion {
		return false
	}
	if binary.LittleEndian.Uint32(p[atCRC:]) != crc32.Checksum(p[:atCRC], castagnoli) {
		return false
	}
	*h = header{
		typ:     p[atType],
		length:  binary.LittleEndian.Uint32(p[atLength:]),
		rows:    binary.LittleEndian.Uint32(p[atRows:]),
		seq:     binary.LittleEndian.Uint32(p[atSeq:]),
		offset:  Offset(binary.LittleEndian.Uint64(p[atOffset:])),
		epoch:   binary.LittleEndian.Uint64(p[atEpoch:]),
		dataCRC: binary.LittleEndian.Uint32(p[atDataCRC:]),
	}
	return true
}

// next returns the offset behind the frame's rows. A skip frame's lies in its payload.
func (h *header) next() Offset { return h.offset + Offset(h.rows) }

// appendFrame appends a whole frame; the length and the checksums of h are filled in.
func appendFrame(dst []byte, h header, payload []byte) []byte {
	h.length = uint32(len(payload))
	h.dataCRC = crc32.Checksum(payload, castagnoli)
	var p [frameHeader]byte
	h.put(p[:])
	return append(append(dst, p[:]...), payload...)
}
