package s7

import (
	"unicode/utf16"
	"unicode/utf8"

	"millrace/wire"
)

// Longest texts, in characters.
const (
	MaxString  = 254
	MaxWString = 16382
)

// Text appends the text that b holds to dst as UTF-8: Latin-1 in CHAR and STRING, UTF-16 in WCHAR and WSTRING, where half a surrogate pair
// becomes U+FFFD. b is a whole variable. A length that is beyond the declared one, or beyond b, is an error, as a variable that nobody has
// written to yet may have; dst then has the text up to that bound.
func (t DataType) Text(dst, b []byte) ([]byte, error) {
	if t.Class() != ClassText {
		return dst, t.bad("type of another class")
	}
	c := wire.Over(b)
	declared, cur, unit := 1, 1, 1
	switch t {
	case TypeString:
		declared, cur = int(c.U8()), int(c.U8())
	case TypeWString:
		declared, cur, unit = int(c.U16()), int(c.U16()), 2
	case TypeWChar:
		unit = 2
	}
	if c.Bad() || t.Size(0) > len(b) {
		return dst, t.bad("length")
	}
	n := min(cur, declared, c.Left()/unit)
	dst = appendText(dst, c.Bytes(n*unit), unit)
	switch {
	case cur > declared:
		return dst, t.bad("longer than declared")
	case cur > n:
		return dst, t.bad("longer than its bytes")
	case (t == TypeChar || t == TypeWChar) && c.Left() > 0:
		return dst, t.bad("length")
	}
	return dst, nil
}

func appendText(dst, b []byte, unit int) []byte {
	if unit == 1 {
		for _, x := range b {
			dst = utf8.AppendRune(dst, rune(x))
		}
		return dst
	}
	c := wire.Over(b)
	for c.Left() > 0 {
		r := rune(c.U16())
		if utf16.IsSurrogate(r) {
			ahead := c
			if pair := utf16.DecodeRune(r, rune(ahead.U16())); pair != utf8.RuneError {
				r, c = pair, ahead
			}
		}
		dst = utf8.AppendRune(dst, r) // what is half a pair is U+FFFD
	}
	return dst
}

// AppendText appends a variable that holds text, which is UTF-8: chars is the declared length of a STRING or WSTRING, and what is behind the text
// is filled with zeros. Text that is longer, or that the type has no characters for, is an error, and b is as it was.
func (t DataType) AppendText(b []byte, text string, chars int) ([]byte, error) {
	start := len(b)
	switch t {
	case TypeString:
		if chars < 0 || chars > MaxString {
			return b, t.bad("declared length")
		}
		b = append(b, byte(chars), 0)
	case TypeWString:
		if chars < 0 || chars > MaxWString {
			return b, t.bad("declared length")
		}
		b = wire.AppendU16(wire.AppendU16(b, uint16(chars)), 0)
	case TypeChar, TypeWChar:
		chars = 1
	default:
		return b, t.bad("type of another class")
	}
	return t.fillText(b, start, text, chars)
}

// fillText appends text to the variable that begins at b[start:], sets its length and fills it up.
func (t DataType) fillText(b []byte, start int, text string, chars int) ([]byte, error) {
	wide := t == TypeWChar || t == TypeWString
	at := len(b)
	end := start + t.Size(chars)
	for _, r := range text {
		switch {
		case r == utf8.RuneError, !wide && r > 0xFF:
			return b[:start], t.bad("character")
		case !wide:
			b = append(b, byte(r))
		case utf16.RuneLen(r) == 2:
			high, low := utf16.EncodeRune(r)
			b = wire.AppendU16(wire.AppendU16(b, uint16(high)), uint16(low))
		default:
			b = wire.AppendU16(b, uint16(r))
		}
		if len(b) > end {
			return b[:start], t.bad("longer than declared")
		}
	}
	switch t {
	case TypeString:
		b[start+1] = byte(len(b) - at)
	case TypeWString:
		wire.PutU16(b, start+2, uint16((len(b)-at)/2))
	case TypeChar, TypeWChar:
		if len(b) != end {
			return b[:start], t.bad("not one character")
		}
	}
	return appendPadded(b, nil, end-len(b), 0), nil
}
