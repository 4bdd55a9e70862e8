package tag

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// JSONOptions says how AppendJSON writes a value.
type JSONOptions struct {
	BigAsString bool // 64-bit integers as strings, since a reader may keep numbers as float64
}

// AppendJSON appends v as JSON. NaN, the infinities and Null are null; bytes are base64; a string that is not UTF-8 has its
// bad bytes replaced; DateTime is RFC 3339 with nanoseconds.
func (v Value) AppendJSON(dst []byte, o JSONOptions) []byte {
	if v.Kind.IsArray() {
		dst = append(dst, '[')
		for it := v.Elems(); it.Next(); {
			if it.Index > 0 {
				dst = append(dst, ',')
			}
			dst = it.Value.AppendJSON(dst, o)
		}
		return append(dst, ']')
	}
	switch v.Kind {
	case Bool:
		return strconv.AppendBool(dst, v.Bits != 0)
	case Int8, Int16, Int32:
		return strconv.AppendInt(dst, int64(v.Bits), 10)
	case Uint8, Uint16, Uint32:
		return strconv.AppendUint(dst, v.Bits, 10)
	case Int64:
		return quoteIf(dst, o.BigAsString, func(b []byte) []byte { return strconv.AppendInt(b, int64(v.Bits), 10) })
	case Uint64:
		return quoteIf(dst, o.BigAsString, func(b []byte) []byte { return strconv.AppendUint(b, v.Bits, 10) })
	case Float32:
		return appendFloat(dst, float64(math.Float32frombits(uint32(v.Bits))), 32)
	case Float64:
		return appendFloat(dst, math.Float64frombits(v.Bits), 64)
	case DateTime:
		dst = append(dst, '"')
		dst = time.Unix(0, int64(v.Bits)).UTC().AppendFormat(dst, time.RFC3339Nano)
		return append(dst, '"')
	case String:
		return appendString(dst, v.Aux)
	case ByteString:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v.Aux)
		return append(dst, '"')
	}
	return append(dst, "null"...)
}

func quoteIf(dst []byte, quote bool, f func([]byte) []byte) []byte {
	if !quote {
		return f(dst)
	}
	return append(f(append(dst, '"')), '"')
}

func appendFloat(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, bits)
}

func appendString(dst, s []byte) []byte {
	plain := utf8.Valid(s)
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= 0x20 && s[i] != '"' && s[i] != '\\' && s[i] != '<' && s[i] != '>' && s[i] != '&' && s[i] < 0x80
	}
	if plain {
		return append(append(append(dst, '"'), s...), '"')
	}
	q, _ := json.Marshal(string(s)) // a string always marshals
	return append(dst, q...)
}

// String returns v as a person reads it: JSON, but text without quotes and NaN and the infinities by name.
func (v Value) String() string {
	switch v.Kind {
	case String:
		return string(v.Aux)
	case Float32, Float64:
		f, _ := v.Float()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return strconv.FormatFloat(f, 'g', -1, 64)
		}
	}
	return string(v.AppendJSON(nil, JSONOptions{}))
}
