package s7

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"millrace/wire"
)

// DataType is a type of the PLC's programmer: how bytes of an area are read and written. It has nothing to do with how they are asked for.
type DataType uint8

// The types. The zero value is none.
const (
	TypeBool    DataType = iota + 1
	TypeByte             // 8 bits
	TypeWord             // 16 bits
	TypeDWord            // 32 bits
	TypeLWord            // 64 bits
	TypeSInt             // int8
	TypeUSInt            // uint8
	TypeInt              // int16
	TypeUInt             // uint16
	TypeDInt             // int32
	TypeUDInt            // uint32
	TypeLInt             // int64
	TypeULInt            // uint64
	TypeReal             // float32
	TypeLReal            // float64
	TypeChar             // a byte of text
	TypeWChar            // a unit of UTF-16
	TypeString           // max, length, at most 254 bytes
	TypeWString          // max(2), length(2), at most 16,382 units of UTF-16
	TypeDate             // days since 1990-01-01
	TypeTOD              // milliseconds since midnight
	TypeTime             // int32 milliseconds
	TypeLTime            // int64 nanoseconds
	TypeLTOD             // nanoseconds since midnight
	TypeLDT              // int64 nanoseconds since 1970-01-01 UTC
	TypeDT               // 8 bytes of BCD, 1990..2089
	TypeDTL              // 12 bytes, 1970..2554
	TypeS5Time           // 3 BCD digits and a base; also what a timer holds
	TypeCounter          // 3 BCD digits
)

// String returns t as a programmer writes it.
func (t DataType) String() string {
	if int(t) < len(typeNames) && t != 0 {
		return typeNames[t]
	}
	return "type " + strconv.Itoa(int(t))
}

var typeNames = [...]string{
	TypeBool: "BOOL", TypeByte: "BYTE", TypeWord: "WORD", TypeDWord: "DWORD", TypeLWord: "LWORD",
	TypeSInt: "SINT", TypeUSInt: "USINT", TypeInt: "INT", TypeUInt: "UINT", TypeDInt: "DINT", TypeUDInt: "UDINT", TypeLInt: "LINT",
	TypeULInt: "ULINT", TypeReal: "REAL", TypeLReal: "LREAL", TypeChar: "CHAR", TypeWChar: "WCHAR", TypeString: "STRING",
	TypeWString: "WSTRING", TypeDate: "DATE", TypeTOD: "TOD", TypeTime: "TIME", TypeLTime: "LTIME", TypeLTOD: "LTOD", TypeLDT: "LDT",
	TypeDT: "DT", TypeDTL: "DTL", TypeS5Time: "S5TIME", TypeCounter: "COUNTER",
}

// ParseDataType returns the type of that name, in capitals.
func ParseDataType(name string) (DataType, bool) {
	for t, n := range typeNames {
		if n == name && n != "" {
			return DataType(t), true
		}
	}
	return 0, false
}

// Class is which pair of methods a type is read and written by.
type Class uint8

// The classes.
const (
	ClassNone     Class = iota
	ClassBool           // Bool, PutBool
	ClassInt            // Int, AppendInt
	ClassUint           // Uint, AppendUint
	ClassFloat          // Float, AppendFloat
	ClassText           // Text, AppendText
	ClassDuration       // Duration, AppendDuration
	ClassTime           // Time, AppendTime
)

// Class returns the class of t.
func (t DataType) Class() Class {
	switch t {
	case TypeBool:
		return ClassBool
	case TypeSInt, TypeInt, TypeDInt, TypeLInt:
		return ClassInt
	case TypeByte, TypeWord, TypeDWord, TypeLWord, TypeUSInt, TypeUInt, TypeUDInt, TypeULInt, TypeCounter:
		return ClassUint
	case TypeReal, TypeLReal:
		return ClassFloat
	case TypeChar, TypeWChar, TypeString, TypeWString:
		return ClassText
	case TypeTOD, TypeTime, TypeLTime, TypeLTOD, TypeS5Time:
		return ClassDuration
	case TypeDate, TypeLDT, TypeDT, TypeDTL:
		return ClassTime
	}
	return ClassNone
}

// Lengths of the types that are no number.
const (
	dtLen  = 8
	dtlLen = 12

	stringHead  = 2 // bytes: max, length
	wstringHead = 4 // bytes: max(2), length(2)
)

// Size returns the bytes of t. chars is the declared length of a STRING or WSTRING and ignored by the others.
func (t DataType) Size(chars int) int {
	switch t {
	case TypeBool, TypeByte, TypeSInt, TypeUSInt, TypeChar:
		return 1
	case TypeWord, TypeInt, TypeUInt, TypeWChar, TypeDate, TypeS5Time, TypeCounter:
		return 2
	case TypeDWord, TypeDInt, TypeUDInt, TypeReal, TypeTOD, TypeTime:
		return 4
	case TypeLWord, TypeLInt, TypeULInt, TypeLReal, TypeLTime, TypeLTOD, TypeLDT:
		return 8
	case TypeDT:
		return dtLen
	case TypeDTL:
		return dtlLen
	case TypeString:
		return stringHead + chars
	case TypeWString:
		return wstringHead + 2*chars
	}
	return 0
}

// ValueError says why bytes are no value of a type, or a value does not go into it.
type ValueError struct {
	Type DataType
	What string // "length", "bcd", "range", ...
}

func (e *ValueError) Error() string { return fmt.Sprintf("s7: no %v: %s", e.Type, e.What) }

func (t DataType) bad(what string) error { return &ValueError{Type: t, What: what} }

// check refuses bytes that are not as long as t, and types of another class.
func (t DataType) check(b []byte, want Class) error {
	switch {
	case t.Class() != want:
		return t.bad("type of another class")
	case len(b) != t.Size(0):
		return t.bad("length")
	}
	return nil
}

// Bool reads bit 0..7 of a byte.
func Bool(b byte, bit uint8) bool { return b>>(bit&addressBit)&1 != 0 }

// PutBool returns b with bit 0..7 set to v.
func PutBool(b byte, bit uint8, v bool) byte {
	mask := byte(1) << (bit & addressBit)
	if v {
		return b | mask
	}
	return b &^ mask
}

// bits reads 1, 2, 4 or 8 bytes.
func bits(b []byte) uint64 {
	var v uint64
	for _, x := range b {
		v = v<<8 | uint64(x)
	}
	return v
}

// appendBits appends the low n bytes of v.
func appendBits(b []byte, v uint64, n int) []byte {
	for i := n - 1; i >= 0; i-- {
		b = append(b, byte(v>>(8*i)))
	}
	return b
}

// Int reads a number with a sign.
func (t DataType) Int(b []byte) (int64, error) {
	if err := t.check(b, ClassInt); err != nil {
		return 0, err
	}
	shift := 64 - 8*len(b)
	return int64(bits(b)<<shift) >> shift, nil
}

// AppendInt appends a number with a sign; one that is too large is an error, and b is as it was.
func (t DataType) AppendInt(b []byte, v int64) ([]byte, error) {
	n := t.Size(0)
	if t.Class() != ClassInt {
		return b, t.bad("type of another class")
	}
	if shift := 64 - 8*n; v<<shift>>shift != v {
		return b, t.bad("range")
	}
	return appendBits(b, uint64(v), n), nil
}

// maxBCD3 is the largest number of three digits.
const maxBCD3 = 999

// Uint reads a number without a sign. The high nibble of a COUNTER means nothing.
func (t DataType) Uint(b []byte) (uint64, error) {
	if err := t.check(b, ClassUint); err != nil {
		return 0, err
	}
	if t != TypeCounter {
		return bits(b), nil
	}
	v, ok := bcd3(b)
	if !ok {
		return 0, t.bad("bcd")
	}
	return uint64(v), nil
}

// AppendUint appends a number without a sign; one that is too large is an error, and b is as it was.
func (t DataType) AppendUint(b []byte, v uint64) ([]byte, error) {
	n := t.Size(0)
	switch {
	case t.Class() != ClassUint:
		return b, t.bad("type of another class")
	case t == TypeCounter && v > maxBCD3, n < 8 && v>>(8*n) != 0:
		return b, t.bad("range")
	case t == TypeCounter:
		return wire.AppendU16(b, toBCD3(uint16(v))), nil
	}
	return appendBits(b, v, n), nil
}

// Float reads a floating point number.
func (t DataType) Float(b []byte) (float64, error) {
	if err := t.check(b, ClassFloat); err != nil {
		return 0, err
	}
	c := wire.Over(b)
	if t == TypeReal {
		return float64(c.F32()), nil
	}
	return c.F64(), nil
}

// AppendFloat appends a floating point number; a finite one beyond a REAL's range is an error, and b is as it was.
func (t DataType) AppendFloat(b []byte, v float64) ([]byte, error) {
	switch {
	case t.Class() != ClassFloat:
		return b, t.bad("type of another class")
	case t == TypeLReal:
		return wire.AppendF64(b, v), nil
	case math.IsInf(float64(float32(v)), 0) && !math.IsInf(v, 0):
		return b, t.bad("range")
	}
	return wire.AppendF32(b, float32(v)), nil
}

// bcd reads a byte of two digits.
func bcd(b byte) (int, bool) { return int(b>>4)*10 + int(b&0x0F), b>>4 <= 9 && b&0x0F <= 9 }

func toBCD(v int) byte { return byte(v/10<<4 | v%10) }

// bcd3 reads the low three digits of two bytes.
func bcd3(b []byte) (uint16, bool) {
	hundreds := uint16(b[0] & 0x0F)
	low, ok := bcd(b[1])
	return hundreds*100 + uint16(low), ok && hundreds <= 9
}

func toBCD3(v uint16) uint16 { return v/100<<8 | v/10%10<<4 | v%10 }

// midnight is the end of a day in a TOD.
const midnight = 24 * time.Hour
