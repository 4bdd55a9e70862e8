package tag

import (
	"encoding/binary"
	"errors"
)

// The encoded batch, version 1, frozen: the journal's records hold it. All integers little endian.
//
//	version(1)=1 flags(4) device(4) received(8) rows(4)
//	id column      encoding(1): 0 raw 4 bytes each; 1 first(4), the rest count up by one; 2 zigzag varint of the difference to the row before
//	ts column      encoding(1): 1 one value(8) for all rows; 2 zigzag varint of the difference to the row before, the first to received
//	quality column encoding(1): 0 raw 4 bytes each; 1 one value(4)
//	kind column    encoding(1): 0 raw 1 byte each; 1 one value(1)
//	value column   each row: Width bytes, or for kinds without one a uvarint length and the bytes
const (
	encVersion = 1
	encHeader  = 1 + 4 + 4 + 8 + 4

	encRaw   = 0
	encConst = 1
	encDelta = 2
)

// MaxRows is the most rows that an encoded batch may have.
const MaxRows = 1 << 20

// ErrEncoding reports bytes that are no encoded batch of a version that this program knows.
var ErrEncoding = errors.New("tag: not an encoded batch")

// EncodedRows reads the number of rows from the header of an encoded batch, and whether there is a header.
func EncodedRows(p []byte) (int, bool) {
	if len(p) < encHeader || p[0] != encVersion {
		return 0, false
	}
	return int(binary.LittleEndian.Uint32(p[17:])), true
}

// EncodedReceived reads Received from the header of an encoded batch, 0 without one.
func EncodedReceived(p []byte) int64 {
	if len(p) < encHeader || p[0] != encVersion {
		return 0
	}
	return int64(binary.LittleEndian.Uint64(p[9:]))
}

// AppendTo appends b in its encoded form. b has at most MaxRows rows.
func (b *Batch) AppendTo(dst []byte) []byte {
	dst = append(dst, encVersion)
	dst = binary.LittleEndian.AppendUint32(dst, b.Flags)
	dst = binary.LittleEndian.AppendUint32(dst, b.Device)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(b.Received))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(b.ID)))
	if len(b.ID) == 0 {
		return dst
	}
	dst = appendIDs(dst, b.ID)
	dst = appendTimes(dst, b.TS, b.Received)
	if allSame(b.Quality) {
		dst = binary.LittleEndian.AppendUint32(append(dst, encConst), uint32(b.Quality[0]))
	} else {
		dst = append(dst, encRaw)
		for _, q := range b.Quality {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(q))
		}
	}
	if allSame(b.Kind) {
		dst = append(dst, encConst, byte(b.Kind[0]))
	} else {
		dst = append(dst, encRaw)
		for _, k := range b.Kind {
			dst = append(dst, byte(k))
		}
	}
	for i, k := range b.Kind {
		if k.inAux() {
			v := b.Bytes(i)
			dst = binary.AppendUvarint(dst, uint64(len(v)))
			dst = append(dst, v...)
			continue
		}
		dst = AppendElem(dst, k, b.Bits[i])
	}
	return dst
}

func appendIDs(dst []byte, ids []ID) []byte {
	run := true
	for i := 1; i < len(ids) && run; i++ {
		run = ids[i] == ids[i-1]+1
	}
	if run {
		return binary.LittleEndian.AppendUint32(append(dst, encConst), uint32(ids[0]))
	}
	dst = append(dst, encDelta)
	var prev int64
	for _, id := range ids {
		dst = binary.AppendVarint(dst, int64(id)-prev)
		prev = int64(id)
	}
	return dst
}

func appendTimes(dst []byte, ts []int64, received int64) []byte {
	if allSame(ts) {
		return binary.LittleEndian.AppendUint64(append(dst, encConst), uint64(ts[0]))
	}
	dst = append(dst, encDelta)
	prev := received
	for _, t := range ts {
		dst = binary.AppendVarint(dst, t-prev)
		prev = t
	}
	return dst
}

func allSame[T comparable](s []T) bool {
	for _, v := range s[1:] {
		if v != s[0] {
			return false
		}
	}
	return true
}

// DecodeFrom replaces b by the batch encoded in p, all of p. Nothing in b points into p afterwards. The number of rows is
// held against the bytes left before anything is allocated: each row has at least one byte in the value column.
func (b *Batch) DecodeFrom(p []byte) error {
	b.Reset()
	n, ok := EncodedRows(p)
	if !ok || n > MaxRows || n > len(p)-encHeader {
		return ErrEncoding
	}
	b.Flags = binary.LittleEndian.Uint32(p[1:])
	b.Device = binary.LittleEndian.Uint32(p[5:])
	b.Received = int64(binary.LittleEndian.Uint64(p[9:]))
	d := decoder{p: p[encHeader:]}
	if n > 0 {
		b.decodeColumns(&d, n)
	}
	if d.bad || len(d.p) != 0 {
		b.Reset()
		return ErrEncoding
	}
	return nil
}

func (b *Batch) decodeColumns(d *decoder, n int) {
	switch d.byte() {
	case encRaw:
		for range n {
			b.ID = append(b.ID, ID(d.uint32()))
		}
	case encConst:
		first := ID(d.uint32())
		for i := range n {
			b.ID = append(b.ID, first+ID(i))
		}
	case encDelta:
		var prev int64
		for range n {
			prev += d.varint()
			b.ID = append(b.ID, ID(prev))
		}
	default:
		d.bad = true
	}
	switch d.byte() {
	case encConst:
		t := int64(d.uint64())
		for range n {
			b.TS = append(b.TS, t)
		}
	case encDelta:
		prev := b.Received
		for range n {
			prev += d.varint()
			b.TS = append(b.TS, prev)
		}
	default:
		d.bad = true
	}
	switch d.byte() {
	case encRaw:
		for range n {
			b.Quality = append(b.Quality, Quality(d.uint32()))
		}
	case encConst:
		q := Quality(d.uint32())
		for range n {
			b.Quality = append(b.Quality, q)
		}
	default:
		d.bad = true
	}
	b.decodeKinds(d, n)
	if d.bad {
		return
	}
	for _, k := range b.Kind {
		b.decodeValue(d, k)
	}
}

func (b *Batch) decodeKinds(d *decoder, n int) {
	switch d.byte() {
	case encRaw:
		for range n {
			b.Kind = append(b.Kind, Kind(d.byte()))
		}
	case encConst:
		k := Kind(d.byte())
		for range n {
			b.Kind = append(b.Kind, k)
		}
	default:
		d.bad = true
	}
	for _, k := range b.Kind {
		d.bad = d.bad || !k.Valid()
	}
}

func (b *Batch) decodeValue(d *decoder, k Kind) {
	if w := k.Width(); w > 0 {
		if p := d.take(uint64(w)); p != nil {
			b.Bits = append(b.Bits, loadBits(k, p))
		}
		return
	}
	v := d.take(d.uvarint())
	b.Bits = append(b.Bits, uint64(len(b.Aux))<<32|uint64(len(v)))
	b.Aux = append(b.Aux, v...)
}

// decoder is a cursor that goes bad once and stays bad: then every read gives zero.
type decoder struct {
	p   []byte
	bad bool
}

func (d *decoder) take(n uint64) []byte {
	if d.bad || n > uint64(len(d.p)) {
		d.bad = true
		return nil
	}
	v := d.p[:n]
	d.p = d.p[n:]
	return v
}

func (d *decoder) byte() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if p := d.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if p := d.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.p)
	return advance(d, v, n)
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.p)
	return advance(d, v, n)
}

func advance[T int64 | uint64](d *decoder, v T, n int) T {
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.p = d.p[n:]
	return v
}
