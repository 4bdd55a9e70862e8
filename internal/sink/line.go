package sink

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"millrace/internal/tag"
)

// Encoder writes rows as JSON lines:
//
//	{"tag":"press/temp","ts":"2026-03-01T10:00:00.123456789Z","received":"...","value":21.5,"type":"float32","quality":"good","q":0,"epoch":"00f3...","offset":17}
//
// Nothing is lost: ts and received have nanoseconds, q is the whole status code, NaN and the infinities are the strings "NaN",
// "Infinity" and "-Infinity", 64-bit integers are written in full, bytes are base64, and a text that is not UTF-8 (or an array with
// one) is base64 and followed by "encoding":"base64". A row without a value has null. Epoch and offset end the line, so that a
// torn line is known by its end.
//
// The zero value is ready. One goroutine uses it; it remembers the stamps it wrote last, which most rows of a batch share.
type Encoder struct {
	ts, received stamp
}

// AppendRow appends row i of b as one line. name is the tag's name.
func (e *Encoder) AppendRow(dst []byte, name string, b *tag.Batch, i int, epoch, offset uint64) []byte {
	dst = append(dst, `{"tag":`...)
	dst = appendText(dst, name)
	dst = e.ts.appendTo(append(dst, `,"ts":"`...), b.TS[i])
	dst = e.received.appendTo(append(dst, `","received":"`...), b.Received)
	dst = append(dst, `","value":`...)
	v := b.Value(i)
	base64ed := hasRawText(v)
	dst = appendValue(dst, v, base64ed)
	dst = append(dst, `,"type":"`...)
	dst = append(dst, v.Kind.Elem().String()...)
	if v.Kind.IsArray() {
		dst = append(dst, "[]"...)
	}
	if base64ed {
		dst = append(dst, `","encoding":"base64`...)
	}
	dst = append(dst, `","quality":"`...)
	dst = append(dst, qualityClass(b.Quality[i])...)
	dst = append(dst, `","q":`...)
	dst = strconv.AppendUint(dst, uint64(b.Quality[i]), 10)
	dst = append(dst, `,"epoch":"`...)
	dst = appendHex(dst, epoch)
	dst = append(dst, `","offset":`...)
	dst = strconv.AppendUint(dst, offset, 10)
	return append(dst, "}\n"...)
}

func qualityClass(q tag.Quality) string {
	switch {
	case q.IsGood():
		return "good"
	case q.IsUncertain():
		return "uncertain"
	}
	return "bad"
}

// AppendValue appends v as JSON without losing anything, but for texts that are not UTF-8: their bytes are copied as they are, and
// ok is false. NaN and the infinities are strings.
func AppendValue(dst []byte, v tag.Value) (out []byte, ok bool) {
	return appendValue(dst, v, false), !hasRawText(v)
}

// hasRawText says whether v holds a text that JSON cannot.
func hasRawText(v tag.Value) bool {
	switch v.Kind {
	case tag.String:
		return !utf8.Valid(v.Aux)
	case tag.String | tag.Array:
		for it := v.Elems(); it.Next(); {
			if !utf8.Valid(it.Value.Aux) {
				return true
			}
		}
	}
	return false
}

// appendValue appends v as JSON; texts as base64 when base64ed.
func appendValue(dst []byte, v tag.Value, base64ed bool) []byte {
	switch v.Kind {
	case tag.Float32:
		return appendFloat(dst, float64(math.Float32frombits(uint32(v.Bits))), 32)
	case tag.Float64:
		return appendFloat(dst, math.Float64frombits(v.Bits), 64)
	case tag.String:
		if !base64ed {
			return appendText(dst, v.Aux)
		}
		v.Kind = tag.ByteString
	}
	if !v.Kind.IsArray() {
		return v.AppendJSON(dst, tag.JSONOptions{})
	}
	dst = append(dst, '[')
	for it := v.Elems(); it.Next(); {
		if it.Index > 0 {
			dst = append(dst, ',')
		}
		dst = appendValue(dst, it.Value, base64ed)
	}
	return append(dst, ']')
}

func appendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case f != f:
		return append(dst, `"NaN"`...)
	case f > math.MaxFloat64:
		return append(dst, `"Infinity"`...)
	case f < -math.MaxFloat64:
		return append(dst, `"-Infinity"`...)
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, bits)
}

const hexDigits = "0123456789abcdef"

// appendText appends s, which is UTF-8, as a JSON string. Bytes that are not UTF-8 are written as they are.
func appendText[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(dst, s[from:]...), '"')
}

func appendHex(dst []byte, v uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[v>>shift&15])
	}
	return dst
}

// stamp writes times in RFC 3339 with nanoseconds and remembers the last one.
type stamp struct {
	ns   int64
	text []byte
}

func (s *stamp) appendTo(dst []byte, ns int64) []byte {
	if s.text == nil || s.ns != ns {
		s.ns = ns
		s.text = time.Unix(0, ns).UTC().AppendFormat(s.text[:0], time.RFC3339Nano)
	}
	return append(dst, s.text...)
}
