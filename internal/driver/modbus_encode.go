package driver

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"millrace/internal/tag"
)

// ValueError is a value that an address cannot take.
type ValueError struct {
	Address string // canonical
	Value   string
	What    string
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("%s cannot be set to %s: %s", e.Address, e.Value, e.What)
}

// Unwritable answers true: nothing was sent, and nothing would be another time.
func (e *ValueError) Unwritable() bool { return true }

func (p *modbusPoint) refuse(v tag.Value, format string, args ...any) error {
	return &ValueError{Address: p.String(), Value: v.String(), What: fmt.Sprintf(format, args...)}
}

// encode appends the registers of v, high byte first, or for coils their bits packed as function 0F wants them. A number is converted to the
// point's type when that loses nothing but, for floats, digits.
func (p *modbusPoint) encode(b []byte, v tag.Value) ([]byte, error) {
	if p.typ.isText() {
		return p.encodeText(b, v)
	}
	if p.count == 0 {
		if v.Kind.IsArray() {
			return nil, p.refuse(v, "it is one value")
		}
		bits, err := p.convert(v, v)
		if err != nil {
			return nil, err
		}
		return p.store(b, 0, bits), nil
	}
	for i := range p.count {
		e, ok := v.Elem(i)
		if !ok {
			return nil, p.refuse(v, "it has %d elements", p.count)
		}
		bits, err := p.convert(e, v)
		if err != nil {
			return nil, err
		}
		b = p.store(b, i, bits)
	}
	if _, more := v.Elem(p.count); more {
		return nil, p.refuse(v, "it has %d elements", p.count)
	}
	return b, nil
}

// store appends element i.
func (p *modbusPoint) store(b []byte, i int, bits uint64) []byte {
	if p.typ != typeBool {
		return p.typ.store(b, p.order, bits)
	}
	if i%8 == 0 {
		b = append(b, 0)
	}
	b[len(b)-1] |= byte(bits) << (i % 8)
	return b
}

func (p *modbusPoint) encodeText(b []byte, v tag.Value) ([]byte, error) {
	if v.Kind != tag.String && v.Kind != tag.ByteString {
		return nil, p.refuse(v, "a %s is no text", v.Kind)
	}
	if len(v.Aux) > p.length {
		return nil, p.refuse(v, "it is %d bytes long, and %d fit", len(v.Aux), p.length)
	}
	if p.typ == typeBytes && len(v.Aux) != p.length {
		return nil, p.refuse(v, "it takes exactly %d bytes", p.length)
	}
	start := len(b)
	b = append(b, make([]byte, 2*p.span())...)
	for i, c := range v.Aux {
		b[start+p.layout.place(i)] = c
	}
	return b, nil
}

// convert returns e as the bits of the point's type, as modbusType.load gives them. whole is what to name in an error.
func (p *modbusPoint) convert(e, whole tag.Value) (uint64, error) {
	switch p.typ {
	case typeBool:
		if e.Bits <= 1 && (e.Kind == tag.Bool || isInteger(e.Kind)) {
			return e.Bits, nil
		}
		return 0, p.refuse(whole, "it is true or false")
	case typeFloat16, typeFloat32, typeFloat64:
		return p.convertFloat(e, whole)
	}
	n, ok := integerOf(e)
	if !ok {
		return 0, p.refuse(whole, "%s takes whole numbers", p.typ)
	}
	width := 16 * uint(p.typ.words())
	least, most := new(big.Int), new(big.Int).Lsh(big.NewInt(1), width)
	if p.typ == typeInt16 || p.typ == typeInt32 || p.typ == typeInt64 {
		most.Rsh(most, 1)
		least.Neg(most)
	}
	most.Sub(most, big.NewInt(1))
	if n.Cmp(least) < 0 || n.Cmp(most) > 0 {
		return 0, p.refuse(whole, "%s goes from %s to %s", p.typ, least, most)
	}
	if n.Sign() < 0 {
		return uint64(n.Int64()), nil
	}
	return n.Uint64(), nil
}

func (p *modbusPoint) convertFloat(e, whole tag.Value) (uint64, error) {
	f, ok := e.Float()
	if !ok {
		return 0, p.refuse(whole, "%s takes numbers", p.typ)
	}
	if p.typ == typeFloat64 {
		return math.Float64bits(f), nil
	}
	most := float64(math.MaxFloat32)
	if p.typ == typeFloat16 {
		most = 65504
	}
	if math.Abs(f) > most && !math.IsInf(f, 0) {
		return 0, p.refuse(whole, "%s goes up to %g", p.typ, most)
	}
	return uint64(math.Float32bits(float32(f))), nil
}

func isInteger(k tag.Kind) bool { return k >= tag.Int8 && k <= tag.Uint64 }

// integerOf returns a value that is a whole number.
func integerOf(v tag.Value) (*big.Int, bool) {
	switch v.Kind {
	case tag.Bool, tag.Uint8, tag.Uint16, tag.Uint32, tag.Uint64:
		return new(big.Int).SetUint64(v.Bits), true
	case tag.Int8, tag.Int16, tag.Int32, tag.Int64:
		return big.NewInt(int64(v.Bits)), true
	}
	f, ok := v.Float()
	if !ok || math.IsInf(f, 0) || f != math.Trunc(f) { // NaN differs from itself
		return nil, false
	}
	n, _ := big.NewFloat(f).Int(nil)
	return n, true
}

// parseValue reads a value as a person types it: 42, -1.5, true, 0x1F, [1,2,3] for an array, anything for a text.
func (p *modbusPoint) parseValue(s string) (tag.Value, error) {
	switch {
	case p.typ == typeString:
		return tag.Value{Kind: tag.String, Aux: []byte(s)}, nil
	case p.typ == typeBytes:
		return tag.Value{Kind: tag.ByteString, Aux: []byte(s)}, nil
	case p.count == 0:
		return p.parseElem(s)
	}
	if !strings.HasPrefix(s, "[") || !strings.HasSuffix(s, "]") {
		return tag.Value{}, &ValueError{p.String(), s, "an array is written [1,2,3]"}
	}
	out := tag.Value{Kind: tag.Array | p.typ.kind()}
	for word := range strings.SplitSeq(s[1:len(s)-1], ",") {
		e, err := p.parseElem(strings.TrimSpace(word))
		if err != nil {
			return out, err
		}
		bits, err := p.convert(e, e)
		if err != nil {
			return out, err
		}
		out.Aux = tag.AppendElem(out.Aux, p.typ.kind(), bits)
	}
	return out, nil
}

// baseOf returns the base of a whole number as strconv takes it. Zeros in front are no sign of an octal number: whoever types 010 means ten.
func baseOf(s string) int {
	s = strings.TrimLeft(s, "+-")
	if len(s) > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9' {
		return 10
	}
	return 0
}

func (p *modbusPoint) parseElem(s string) (tag.Value, error) {
	if p.typ == typeBool {
		if v, ok := parseBool(s); ok {
			return v, nil
		}
		return tag.Value{}, &ValueError{p.String(), s, "it is true or false"}
	}
	if v, ok := parseNumber(s); ok {
		return v, nil
	}
	return tag.Value{}, &ValueError{p.String(), s, "it is no number"}
}

// parseBool reads a bool as people type it.
func parseBool(s string) (tag.Value, bool) {
	switch strings.ToLower(s) {
	case "true", "1", "on":
		return tag.Value{Kind: tag.Bool, Bits: 1}, true
	case "false", "0", "off":
		return tag.Value{Kind: tag.Bool}, true
	}
	return tag.Value{}, false
}

// parseNumber reads 42, -1.5 or 0x1F.
func parseNumber(s string) (tag.Value, bool) {
	base := baseOf(s)
	if n, err := strconv.ParseInt(s, base, 64); err == nil {
		return tag.Value{Kind: tag.Int64, Bits: uint64(n)}, true
	}
	if n, err := strconv.ParseUint(s, base, 64); err == nil {
		return tag.Value{Kind: tag.Uint64, Bits: n}, true
	}
	f, err := strconv.ParseFloat(s, 64)
	return tag.Float64Value(f), err == nil
}
