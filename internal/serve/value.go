package serve

import (
	"math"

	"millrace/internal/tag"
	"millrace/opcua/ua"
)

// variantOf turns a value into what OPC UA carries; the kinds are its built-in types. Null gives a null.
func variantOf(v tag.Value) ua.Variant {
	if v.Kind.IsArray() {
		return arrayOf(v)
	}
	switch v.Kind {
	case tag.Bool:
		return ua.Bool(v.Bits != 0)
	case tag.Int8:
		return ua.SByte(int8(v.Bits))
	case tag.Uint8:
		return ua.Byte(uint8(v.Bits))
	case tag.Int16:
		return ua.Int16(int16(v.Bits))
	case tag.Uint16:
		return ua.UInt16(uint16(v.Bits))
	case tag.Int32:
		return ua.Int32(int32(v.Bits))
	case tag.Uint32:
		return ua.UInt32(uint32(v.Bits))
	case tag.Int64:
		return ua.Int64(int64(v.Bits))
	case tag.Uint64:
		return ua.UInt64(v.Bits)
	case tag.Float32:
		return ua.Float(math.Float32frombits(uint32(v.Bits)))
	case tag.Float64:
		return ua.Double(math.Float64frombits(v.Bits))
	case tag.DateTime:
		return ua.DateTimeValue(ua.DateTimeOfUnixNano(int64(v.Bits)))
	case tag.String:
		return ua.String(string(v.Aux))
	case tag.ByteString:
		return ua.ByteString(v.Aux)
	}
	return ua.Variant{}
}

func arrayOf(v tag.Value) ua.Variant {
	switch v.Kind.Elem() {
	case tag.Bool:
		return ua.BoolArray(elements(v, func(e tag.Value) bool { return e.Bits != 0 }))
	case tag.Int8:
		return ua.SByteArray(elements(v, func(e tag.Value) int8 { return int8(e.Bits) }))
	case tag.Uint8:
		return ua.ByteArray(elements(v, func(e tag.Value) uint8 { return uint8(e.Bits) }))
	case tag.Int16:
		return ua.Int16Array(elements(v, func(e tag.Value) int16 { return int16(e.Bits) }))
	case tag.Uint16:
		return ua.UInt16Array(elements(v, func(e tag.Value) uint16 { return uint16(e.Bits) }))
	case tag.Int32:
		return ua.Int32Array(elements(v, func(e tag.Value) int32 { return int32(e.Bits) }))
	case tag.Uint32:
		return ua.UInt32Array(elements(v, func(e tag.Value) uint32 { return uint32(e.Bits) }))
	case tag.Int64:
		return ua.Int64Array(elements(v, func(e tag.Value) int64 { return int64(e.Bits) }))
	case tag.Uint64:
		return ua.UInt64Array(elements(v, func(e tag.Value) uint64 { return e.Bits }))
	case tag.Float32:
		return ua.FloatArray(elements(v, func(e tag.Value) float32 { return math.Float32frombits(uint32(e.Bits)) }))
	case tag.Float64:
		return ua.DoubleArray(elements(v, func(e tag.Value) float64 { return math.Float64frombits(e.Bits) }))
	case tag.DateTime:
		return ua.DateTimeArray(elements(v, func(e tag.Value) ua.DateTime { return ua.DateTimeOfUnixNano(int64(e.Bits)) }))
	case tag.String:
		return ua.StringArray(elements(v, func(e tag.Value) string { return string(e.Aux) }))
	case tag.ByteString:
		return ua.ByteStringArray(elements(v, func(e tag.Value) []byte { return e.Aux }))
	}
	return ua.Variant{}
}

func elements[T any](v tag.Value, f func(tag.Value) T) []T {
	out := []T{} // an empty array is not a null one
	for it := v.Elems(); it.Next(); {
		out = append(out, f(it.Value))
	}
	return out
}
