package tag

import (
	"encoding/binary"
	"errors"
	"slices"
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
	dst = appendQualities(dst, b.Quality)
	dst = appendKinds(dst, b.Kind)
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

func appendQualities(dst []byte, qs []Quality) []byte {
	if allSame(qs) {
		return binary.LittleEndian.AppendUint32(append(dst, encConst), uint32(qs[0]))
	}
	dst = append(dst, encRaw)
	for _, q := range qs {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(q))
	}
	return dst
}

func appendKinds(dst []byte, ks []Kind) []byte {
	if allSame(ks) {
		return append(dst, encConst, byte(ks[0]))
	}
	dst = append(dst, encRaw)
	for _, k := range ks {
		dst = append(dst, byte(k))
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
	b.ID, b.TS, b.Quality = sized(b.ID, n), sized(b.TS, n), sized(b.Quality, n)
	b.Kind, b.Bits = sized(b.Kind, n), sized(b.Bits, n)
	b.decodeIDs(d)
	b.decodeTimes(d)
	b.decodeQualities(d)
	b.decodeKinds(d)
	b.decodeValues(d)
}

func sized[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }

func (b *Batch) decodeIDs(d *decoder) {
	switch d.byte() {
	case encRaw:
		for i := range b.ID {
			b.ID[i] = ID(d.uint32())
		}
	case encConst:
		first := ID(d.uint32())
		for i := range b.ID {
			b.ID[i] = first + ID(i)
		}
	case encDelta:
		var prev int64
		for i := range b.ID {
			prev += d.varint()
			b.ID[i] = ID(prev)
		}
	default:
		d.bad = true
	}
}

func (b *Batch) decodeTimes(d *decoder) {
	switch d.byte() {
	case encConst:
		fill(b.TS, int64(d.uint64()))
	case encDelta:
		prev := b.Received
		for i := range b.TS {
			prev += d.varint()
			b.TS[i] = prev
		}
	default:
		d.bad = true
	}
}

func (b *Batch) decodeQualities(d *decoder) {
	switch d.byte() {
	case encRaw:
		for i := range b.Quality {
			b.Quality[i] = Quality(d.uint32())
		}
	case encConst:
		fill(b.Quality, Quality(d.uint32()))
	default:
		d.bad = true
	}
}

func (b *Batch) decodeKinds(d *decoder) {
	switch d.byte() {
	case encRaw:
		for i := range b.Kind {
			b.Kind[i] = Kind(d.byte())
			d.bad = d.bad || !b.Kind[i].Valid()
		}
	case encConst:
		k := Kind(d.byte())
		d.bad = d.bad || !k.Valid()
		fill(b.Kind, k)
	default:
		d.bad = true
	}
}

func fill[T any](s []T, v T) {
	for i := range s {
		s[i] = v
	}
}

// decodeValues reads the value column in runs of one kind.
func (b *Batch) decodeValues(d *decoder) {
	for i := 0; i < len(b.Kind) && !d.bad; {
		k, from := b.Kind[i], i
		for i < len(b.Kind) && b.Kind[i] == k {
			i++
		}
		if w := k.Width(); w > 0 {
			loadRun(b.Bits[from:i], k, d.take(uint64(w*(i-from))))
			continue
		}
		for r := from; r < i; r++ {
			v := d.take(d.uvarint())
			b.Bits[r] = uint64(len(b.Aux))<<32 | uint64(len(v))
			b.Aux = append(b.Aux, v...)
		}
	}
}

// loadRun reads values of kind k, which has a Width, from p, which holds as many as dst takes or is nil.
func loadRun(dst []uint64, k Kind, p []byte) {
	if p == nil {
		return
	}
	switch k {
	case Float32, Uint32:
		for i := range dst {
			dst[i] = uint64(binary.LittleEndian.Uint32(p[4*i:]))
		}
	case Float64, Uint64, Int64, DateTime:
		for i := range dst {
			dst[i] = binary.LittleEndian.Uint64(p[8*i:])
		}
	default:
		w := k.Width()
		for i := range dst {
			dst[i] = loadBits(k, p[w*i:])
		}
	}
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
