package driver

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"

	"millrace/internal/tag"
)

// decoder turns reply bytes into rows of a batch. It keeps a buffer for texts and arrays, so that decoding does not allocate.
type decoder struct {
	into *tag.Batch
	ts   int64
	buf  []byte
}

// cell appends the row of c, which is whole in data: the bits or registers of a reply.
func (d *decoder) cell(c *cell, area modbusArea, data []byte) {
	if area.isBits() {
		d.bits(c.id, int(c.size), data, int(c.off))
		return
	}
	d.registers(c, int(c.size), data[2*int(c.off):])
}

// bits appends the bool at bit off, or the array of size bools from there on.
func (d *decoder) bits(id tag.ID, size int, data []byte, off int) {
	if size == 0 {
		d.into.Append(id, d.ts, tag.Good, tag.Bool, bitAt(data, off))
		return
	}
	d.buf = d.buf[:0]
	for i := range size {
		d.buf = append(d.buf, byte(bitAt(data, off+i)))
	}
	d.into.AppendAux(id, d.ts, tag.Good, tag.Array|tag.Bool, d.buf)
}

func bitAt(data []byte, i int) uint64 { return uint64(data[i/8]>>(i%8)) & 1 }

// registers appends the value that begins with the first of data.
func (d *decoder) registers(c *cell, size int, data []byte) {
	switch {
	case c.bit >= 0:
		d.into.Append(c.id, d.ts, tag.Good, tag.Bool, uint64(binary.BigEndian.Uint16(data)>>c.bit)&1)
	case c.typ.isText():
		d.text(c, size, data)
	case size == 0:
		d.into.Append(c.id, d.ts, tag.Good, c.typ.kind(), c.typ.load(c.order, data))
	default:
		d.buf = d.buf[:0]
		step := 2 * c.typ.words()
		for i := range size {
			d.buf = tag.AppendElem(d.buf, c.typ.kind(), c.typ.load(c.order, data[i*step:]))
		}
		d.into.AppendAux(c.id, d.ts, tag.Good, tag.Array|c.typ.kind(), d.buf)
	}
}

// text appends a string, which ends at its first NUL, or bytes, which are all there.
func (d *decoder) text(c *cell, size int, data []byte) {
	d.buf = c.layout.unpack(d.buf[:0], data, size)
	v := d.buf
	if c.typ == typeString {
		if n := bytes.IndexByte(v, 0); n >= 0 {
			v = v[:n]
		}
	}
	d.into.AppendAux(c.id, d.ts, tag.Good, c.typ.kind(), v)
}

// unpack appends the first n characters that lie in registers.
func (l textLayout) unpack(dst, registers []byte, n int) []byte {
	for i := range n {
		dst = append(dst, registers[l.place(i)])
	}
	return dst
}

// place returns which byte of the registers holds character i.
func (l textLayout) place(i int) int {
	switch l {
	case lowFirst:
		return i ^ 1
	case lowOnly:
		return 2*i + 1
	case highOnly:
		return 2 * i
	}
	return i
}

// load reads one value of type t from registers in order o, as tag.Batch.Bits holds it.
func (t modbusType) load(o byteOrder, p []byte) uint64 {
	switch t {
	case typeInt16:
		return uint64(int64(int16(o.swap16(binary.BigEndian.Uint16(p)))))
	case typeFloat16:
		return uint64(math.Float32bits(halfToFloat(o.swap16(binary.BigEndian.Uint16(p)))))
	case typeInt32:
		return uint64(int64(int32(o.swap32(binary.BigEndian.Uint32(p)))))
	}
	switch t.words() {
	case 1:
		return uint64(o.swap16(binary.BigEndian.Uint16(p)))
	case 2:
		return uint64(o.swap32(binary.BigEndian.Uint32(p)))
	}
	return o.swap64(binary.BigEndian.Uint64(p))
}

// store appends to b the registers of one value, as load reads them.
func (t modbusType) store(b []byte, o byteOrder, v uint64) []byte {
	switch t.words() {
	case 1:
		if t == typeFloat16 {
			v = uint64(floatToHalf(math.Float32frombits(uint32(v))))
		}
		return binary.BigEndian.AppendUint16(b, o.swap16(uint16(v)))
	case 2:
		return binary.BigEndian.AppendUint32(b, o.swap32(uint32(v)))
	}
	return binary.BigEndian.AppendUint64(b, o.swap64(v))
}

func (o byteOrder) swap16(v uint16) uint16 {
	if o&swapBytes != 0 {
		return bits.ReverseBytes16(v)
	}
	return v
}

func (o byteOrder) swap32(v uint32) uint32 {
	if o&swapBytes != 0 {
		v = v&0x00FF00FF<<8 | v>>8&0x00FF00FF
	}
	if o&swapWords != 0 {
		v = bits.RotateLeft32(v, 16)
	}
	return v
}

func (o byteOrder) swap64(v uint64) uint64 {
	if o&swapBytes != 0 {
		v = v&0x00FF00FF00FF00FF<<8 | v>>8&0x00FF00FF00FF00FF
	}
	if o&swapWords != 0 {
		v = v&0x0000FFFF0000FFFF<<16 | v>>16&0x0000FFFF0000FFFF
	}
	if o&swapDwords != 0 {
		v = bits.RotateLeft64(v, 32)
	}
	return v
}

// halfToFloat widens an IEEE 754 binary16; every one has its float32.
func halfToFloat(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&1023)
	switch exp {
	case 31: // infinity and NaN
		return math.Float32frombits(sign | 255<<23 | frac<<13)
	case 0: // zero and subnormals: frac * 2^-24
		f := float32(frac) * (1.0 / (1 << 24))
		if sign != 0 {
			f = -f
		}
		if frac == 0 {
			return math.Float32frombits(sign)
		}
		return f
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}

// floatToHalf rounds f to the nearest binary16, ties to even; what is too large becomes infinity.
func floatToHalf(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b >> 16 & 0x8000)
	abs := b & 0x7FFFFFFF
	switch {
	case abs > 255<<23: // NaN: quiet, with what fits of its payload
		return sign | 31<<10 | 1<<9 | uint16(abs>>13&0x3FF)
	case abs >= 0x477FF000: // 65520, half-way between the largest binary16 and the next
		return sign | 31<<10
	case abs < 0x38800000: // below 2^-14: subnormal, counted in units of 2^-24
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(abs))*(1<<24)))
	}
	abs += 0xFFF + abs>>13&1 // round to even at bit 13; a carry moves into the exponent
	return sign | uint16((abs-(127-15)<<23)>>13)
}
