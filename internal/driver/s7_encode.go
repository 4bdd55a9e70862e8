package driver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"time"
	"unicode/utf8"

	"millrace/internal/tag"
	"millrace/s7"
)

func (p *s7Point) refuse(v tag.Value, format string, args ...any) error {
	return &ValueError{Address: p.String(), Value: v.String(), What: fmt.Sprintf(format, args...)}
}

// encode appends the bytes of v as the point's type has them, bools one byte each. A number is converted to the type when that loses nothing but, for
// REAL, digits.
func (p *s7Point) encode(b []byte, v tag.Value) ([]byte, error) {
	if isChars(p.typ) {
		return p.encodeChars(b, v)
	}
	if p.count == 0 {
		if v.Kind.IsArray() {
			return nil, p.refuse(v, "it is one value")
		}
		return p.encodeElem(b, v, v)
	}
	if !v.Kind.IsArray() {
		return nil, p.refuse(v, "it has %d elements", p.count)
	}
	n := 0
	step := p.stride()
	for it := v.Elems(); it.Next(); n++ {
		if n == p.count {
			return nil, p.refuse(v, "it has %d elements", p.count)
		}
		start := len(b)
		var err error
		if b, err = p.encodeElem(b, it.Value, v); err != nil {
			return nil, err
		}
		if n < p.count-1 {
			b = append(b, make([]byte, start+step-len(b))...) // what lies between two texts
		}
	}
	if n != p.count {
		return nil, p.refuse(v, "it has %d elements", p.count)
	}
	return b, nil
}

// encodeElem appends one value. whole is what to name in an error.
func (p *s7Point) encodeElem(b []byte, e, whole tag.Value) ([]byte, error) {
	if isHeaded(p.typ) {
		if e.Kind != tag.String {
			return nil, p.refuse(whole, "a %s is no text", e.Kind)
		}
		b, err := p.typ.AppendText(b, string(e.Aux), p.chars)
		if err != nil {
			return nil, p.refuse(whole, "%s", textFault(err, p.chars))
		}
		return b, nil
	}
	bits, err := p.convert(e, whole)
	if err != nil {
		return nil, err
	}
	return p.store(b, bits, whole)
}

// textFault says what is wrong with a text.
func textFault(err error, chars int) string {
	var ve *s7.ValueError
	if errors.As(err, &ve) && ve.What == "character" {
		return "it has a character that the type has none for"
	}
	return fmt.Sprintf("%d characters fit", chars)
}

// encodeChars appends a text without a head, filled up with NULs.
func (p *s7Point) encodeChars(b []byte, v tag.Value) ([]byte, error) {
	if v.Kind != tag.String {
		return nil, p.refuse(v, "a %s is no text", v.Kind)
	}
	start, size := len(b), p.bytes()
	for _, r := range string(v.Aux) {
		switch {
		case r == utf8.RuneError || p.typ == s7.TypeChar && r > 0xFF:
			return nil, p.refuse(v, "it has a character that the type has none for")
		case p.typ == s7.TypeChar:
			b = append(b, byte(r))
		default:
			b = appendUTF16(b, r)
		}
	}
	if len(b)-start > size {
		return nil, p.refuse(v, "%d characters fit", max(1, p.count))
	}
	return append(b, make([]byte, start+size-len(b))...), nil
}

func appendUTF16(b []byte, r rune) []byte {
	if r < 0x10000 {
		return binary.BigEndian.AppendUint16(b, uint16(r))
	}
	r -= 0x10000
	b = binary.BigEndian.AppendUint16(b, 0xD800|uint16(r>>10))
	return binary.BigEndian.AppendUint16(b, 0xDC00|uint16(r&0x3FF))
}

// convert returns e as the bits of the point's kind, as tag.Batch.Bits holds them.
func (p *s7Point) convert(e, whole tag.Value) (uint64, error) {
	switch p.typ.Class() {
	case s7.ClassBool:
		if e.Bits <= 1 && (e.Kind == tag.Bool || isInteger(e.Kind)) {
			return e.Bits, nil
		}
		return 0, p.refuse(whole, "it is true or false")
	case s7.ClassFloat:
		return p.convertFloat(e, whole)
	case s7.ClassTime:
		if e.Kind != tag.DateTime {
			return 0, p.refuse(whole, "%s takes a date and time", p.typ)
		}
		return e.Bits, nil
	}
	n, ok := integerOf(e)
	if !ok {
		return 0, p.refuse(whole, "%s takes whole numbers%s", p.typeName(), p.unit())
	}
	least, most := p.bounds()
	if n.Cmp(least) < 0 || n.Cmp(most) > 0 {
		return 0, p.refuse(whole, "%s goes from %s to %s%s", p.typeName(), least, most, p.unit())
	}
	if n.Sign() < 0 {
		return uint64(n.Int64()), nil
	}
	return n.Uint64(), nil
}

// unit returns the unit of a duration for messages.
func (p *s7Point) unit() string {
	switch {
	case p.typ.Class() != s7.ClassDuration:
		return ""
	case unitOf(p.typ) == time.Nanosecond:
		return " of nanoseconds"
	}
	return " of milliseconds"
}

// bounds returns the least and the largest whole number that the type takes.
func (p *s7Point) bounds() (least, most *big.Int) {
	switch p.typ {
	case s7.TypeCounter:
		return big.NewInt(0), big.NewInt(999)
	case s7.TypeS5Time:
		return big.NewInt(0), big.NewInt(9_990_000) // 999 times 10 s
	case s7.TypeTOD:
		return big.NewInt(0), big.NewInt(int64(24*time.Hour/time.Millisecond) - 1)
	case s7.TypeLTOD:
		return big.NewInt(0), big.NewInt(int64(24*time.Hour) - 1)
	}
	least, most = new(big.Int), new(big.Int).Lsh(big.NewInt(1), uint(8*p.typ.Size(0)))
	if k := s7Kinds[p.typ]; k == tag.Int8 || k == tag.Int16 || k == tag.Int32 || k == tag.Int64 {
		most.Rsh(most, 1)
		least.Neg(most)
	}
	return least, most.Sub(most, big.NewInt(1))
}

func (p *s7Point) convertFloat(e, whole tag.Value) (uint64, error) {
	f, ok := e.Float()
	switch {
	case !ok:
		return 0, p.refuse(whole, "%s takes numbers", p.typ)
	case p.typ == s7.TypeLReal:
		return math.Float64bits(f), nil
	case math.Abs(f) > math.MaxFloat32 && !math.IsInf(f, 0):
		return 0, p.refuse(whole, "REAL goes up to %g", math.MaxFloat32)
	}
	return uint64(math.Float32bits(float32(f))), nil
}

// store appends one value, as loadS7 reads it. whole is what to name in an error.
func (p *s7Point) store(b []byte, bits uint64, whole tag.Value) ([]byte, error) {
	var err error
	switch p.typ.Class() {
	case s7.ClassBool:
		return append(b, byte(bits)), nil
	case s7.ClassTime:
		if b, err = p.typ.AppendTime(b, time.Unix(0, int64(bits)).UTC()); err != nil {
			return nil, p.refuse(whole, "%s has no such date", p.typ)
		}
		return b, nil
	case s7.ClassDuration:
		b, err = p.typ.AppendDuration(b, time.Duration(bits)*unitOf(p.typ))
	case s7.ClassUint:
		b, err = p.typ.AppendUint(b, bits)
	case s7.ClassInt:
		b, err = p.typ.AppendInt(b, int64(bits))
	default:
		if p.typ == s7.TypeReal {
			return binary.BigEndian.AppendUint32(b, uint32(bits)), nil
		}
		return binary.BigEndian.AppendUint64(b, bits), nil
	}
	return b, err
}
