package driver

import (
	"encoding/binary"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"millrace/internal/tag"
	"millrace/s7"
)

// s7Cell is one tag in the bytes of a Read.
type s7Cell struct {
	id    tag.ID
	off   int32 // of its first byte
	bytes int32
	count int32 // elements of an array, characters of a text without a head
	chars uint16
	typ   s7.DataType
	bit   uint8
}

// s7Decoder turns bytes into rows of a batch. It keeps buffers for texts and arrays, so that decoding does not allocate.
type s7Decoder struct {
	into *tag.Batch
	ts   int64
	buf  []byte
	text []byte
}

// cell appends the row of c, whose bytes are b.
func (d *s7Decoder) cell(c *s7Cell, b []byte) {
	switch {
	case isChars(c.typ):
		d.buf = appendChars(d.buf[:0], c.typ, b)
		d.into.AppendAux(c.id, d.ts, tag.Good, tag.String, d.buf)
	case c.count > 0:
		d.array(c, b)
	case isHeaded(c.typ):
		var q tag.Quality
		d.buf, q = appendHeaded(d.buf[:0], c.typ, b)
		d.into.AppendAux(c.id, d.ts, q, tag.String, d.buf)
	case c.typ == s7.TypeBool:
		d.into.Append(c.id, d.ts, tag.Good, tag.Bool, bitAt(b, int(c.bit)))
	default:
		bits, q := loadS7(c.typ, b)
		if q.IsBad() {
			d.into.Append(c.id, d.ts, q, tag.Null, 0)
			return
		}
		d.into.Append(c.id, d.ts, q, s7Kinds[c.typ], bits)
	}
}

// array appends a row of several values. One that cannot be decoded makes the row bad: what the others are of is not clear then.
func (d *s7Decoder) array(c *s7Cell, b []byte) {
	d.buf = d.buf[:0]
	p := s7Point{typ: c.typ, chars: int(c.chars)}
	step, size := p.stride(), c.typ.Size(int(c.chars))
	quality := tag.Good
	for i := range int(c.count) {
		var q tag.Quality
		switch {
		case c.typ == s7.TypeBool:
			d.buf = append(d.buf, byte(bitAt(b, int(c.bit)+i)))
		case isHeaded(c.typ):
			d.text, q = appendHeaded(d.text[:0], c.typ, b[i*step:i*step+size])
			d.buf = append(binary.AppendUvarint(d.buf, uint64(len(d.text))), d.text...)
		default:
			var bits uint64
			bits, q = loadS7(c.typ, b[i*step:i*step+size])
			d.buf = tag.AppendElem(d.buf, s7Kinds[c.typ], bits)
		}
		if q.IsBad() {
			d.into.Append(c.id, d.ts, q, tag.Null, 0)
			return
		}
		quality = max(quality, q)
	}
	d.into.AppendAux(c.id, d.ts, quality, tag.Array|s7Kinds[c.typ], d.buf)
}

// loadS7 reads one value that is no text and no bit, as tag.Batch.Bits holds it.
func loadS7(t s7.DataType, b []byte) (uint64, tag.Quality) {
	switch t {
	case s7.TypeByte, s7.TypeUSInt:
		return uint64(b[0]), tag.Good
	case s7.TypeSInt:
		return uint64(int64(int8(b[0]))), tag.Good
	case s7.TypeWord, s7.TypeUInt:
		return uint64(binary.BigEndian.Uint16(b)), tag.Good
	case s7.TypeInt:
		return uint64(int64(int16(binary.BigEndian.Uint16(b)))), tag.Good
	case s7.TypeDWord, s7.TypeUDInt, s7.TypeReal:
		return uint64(binary.BigEndian.Uint32(b)), tag.Good
	case s7.TypeDInt, s7.TypeTime:
		return uint64(int64(int32(binary.BigEndian.Uint32(b)))), tag.Good
	case s7.TypeLWord, s7.TypeULInt, s7.TypeLInt, s7.TypeLReal, s7.TypeLTime, s7.TypeLDT:
		return binary.BigEndian.Uint64(b), tag.Good
	case s7.TypeCounter:
		v, err := t.Uint(b)
		return v, decoded(err)
	case s7.TypeTOD, s7.TypeS5Time, s7.TypeLTOD:
		v, err := t.Duration(b)
		return uint64(v / unitOf(t)), decoded(err)
	}
	v, err := t.Time(b)
	if err == nil && !inNanoseconds(v) {
		return 0, tag.BadOutOfRange
	}
	return uint64(v.UnixNano()), decoded(err)
}

func decoded(err error) tag.Quality {
	if err != nil {
		return tag.BadDecodingError
	}
	return tag.Good
}

// unitOf returns what one is in the values of a duration.
func unitOf(t s7.DataType) time.Duration {
	if t == s7.TypeLTime || t == s7.TypeLTOD {
		return time.Nanosecond
	}
	return time.Millisecond
}

// inNanoseconds says whether v is a number of nanoseconds since 1970: the years that have their days all among them.
func inNanoseconds(v time.Time) bool { return v.Year() > 1677 && v.Year() < 2262 }

// appendHeaded appends the text of a STRING or WSTRING. One whose length is beyond what was declared, or beyond what was read, is uncertain, and is the
// text up to there. b is as before.
func appendHeaded(dst []byte, t s7.DataType, b []byte) ([]byte, tag.Quality) {
	if t == s7.TypeString {
		cur := b[1]
		n := min(int(cur), int(b[0]), len(b)-2)
		b[1] = byte(n)
		dst, _ = t.Text(dst, b)
		b[1] = cur
		return dst, doubted(int(cur) > n)
	}
	cur := binary.BigEndian.Uint16(b[2:])
	n := min(int(cur), int(binary.BigEndian.Uint16(b)), (len(b)-4)/2)
	binary.BigEndian.PutUint16(b[2:], uint16(n))
	dst, _ = t.Text(dst, b)
	binary.BigEndian.PutUint16(b[2:], cur)
	return dst, doubted(int(cur) > n)
}

func doubted(is bool) tag.Quality {
	if is {
		return tag.Uncertain
	}
	return tag.Good
}

// appendChars appends characters without a head, up to the first NUL.
func appendChars(dst []byte, t s7.DataType, b []byte) []byte {
	if t == s7.TypeChar {
		for _, c := range b {
			if c == 0 {
				break
			}
			dst = utf8.AppendRune(dst, rune(c))
		}
		return dst
	}
	for ; len(b) >= 2; b = b[2:] {
		r := rune(binary.BigEndian.Uint16(b))
		if r == 0 {
			break
		}
		if utf16.IsSurrogate(r) {
			pair := rune(utf8.RuneError)
			if len(b) >= 4 {
				pair = utf16.DecodeRune(r, rune(binary.BigEndian.Uint16(b[2:])))
			}
			if r = pair; pair != utf8.RuneError {
				b = b[2:]
			}
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// cells appends the rows of cells, whose bytes are in those of all ranges.
func (d *s7Decoder) cells(cells []s7Cell, all []byte) {
	for i := range cells {
		c := &cells[i]
		d.cell(c, all[c.off:c.off+c.bytes])
	}
}
