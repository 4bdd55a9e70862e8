package ua

import (
	"encoding/binary"
	"math"
)

// What NaN of any kind is written as [OPC 10000-6 5.2.2.3].
const (
	quietNaN32 = 0xffc00000
	quietNaN64 = 0xfff8000000000000
)

// AppendBoolean appends v as 0 or 1.
func AppendBoolean(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// AppendSByte appends v.
func AppendSByte(b []byte, v int8) []byte { return append(b, byte(v)) }

// AppendByte appends v.
func AppendByte(b []byte, v uint8) []byte { return append(b, v) }

// AppendInt16 appends v.
func AppendInt16(b []byte, v int16) []byte { return append(b, byte(v), byte(v>>8)) }

// AppendUInt16 appends v.
func AppendUInt16(b []byte, v uint16) []byte { return append(b, byte(v), byte(v>>8)) }

// AppendInt32 appends v.
func AppendInt32(b []byte, v int32) []byte { return binary.LittleEndian.AppendUint32(b, uint32(v)) }

// AppendUInt32 appends v.
func AppendUInt32(b []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(b, v) }

// AppendInt64 appends v.
func AppendInt64(b []byte, v int64) []byte { return binary.LittleEndian.AppendUint64(b, uint64(v)) }

// AppendUInt64 appends v.
func AppendUInt64(b []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(b, v) }

// AppendFloat appends v; any NaN becomes the quiet one.
func AppendFloat(b []byte, v float32) []byte {
	u := math.Float32bits(v)
	if v != v {
		u = quietNaN32
	}
	return binary.LittleEndian.AppendUint32(b, u)
}

// AppendDouble appends v; any NaN becomes the quiet one.
func AppendDouble(b []byte, v float64) []byte {
	u := math.Float64bits(v)
	if v != v {
		u = quietNaN64
	}
	return binary.LittleEndian.AppendUint64(b, u)
}

// AppendString appends v with its length; "" is written as null (-1), which every reader takes for the same.
func AppendString(b []byte, v string) []byte {
	if v == "" {
		return append(b, 0xff, 0xff, 0xff, 0xff)
	}
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(v))), v...)
}

// AppendText appends v with its length; "" is written as empty (0).
func AppendText(b []byte, v string) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(v))), v...)
}

// AppendXmlElement appends v as AppendString does.
func AppendXmlElement(b []byte, v XmlElement) []byte { return AppendString(b, string(v)) }

// AppendByteString appends v with its length; nil is written as null (-1).
func AppendByteString(b []byte, v []byte) []byte {
	if v == nil {
		return append(b, 0xff, 0xff, 0xff, 0xff)
	}
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(v))), v...)
}

// AppendDateTime appends v.
func AppendDateTime(b []byte, v DateTime) []byte {
	return binary.LittleEndian.AppendUint64(b, uint64(v))
}

// AppendStatusCode appends v.
func AppendStatusCode(b []byte, v StatusCode) []byte {
	return binary.LittleEndian.AppendUint32(b, uint32(v))
}

// AppendCount appends the length of an array: n, or -1 when the slice is nil.
func AppendCount(b []byte, n int, null bool) []byte {
	if null {
		return append(b, 0xff, 0xff, 0xff, 0xff)
	}
	return binary.LittleEndian.AppendUint32(b, uint32(n))
}
