package ua

import (
	"fmt"
	"math"
	"strconv"
)

func utoa(v uint64) string { return strconv.FormatUint(v, 10) }

// Bits returns the bits of a scalar of up to eight bytes: the number (sign extended), IEEE 754 bits (of the type's own width), 0 or 1 for a
// Boolean, ticks of a DateTime, a StatusCode. Else 0.
func (v Variant) Bits() uint64 {
	if v.kind > TypeDouble && v.kind != TypeDateTime && v.kind != TypeStatusCode || v.flag != 0 {
		return 0
	}
	return v.bits
}

// Boolean returns a scalar Boolean, false when v is none.
func (v Variant) Boolean() (b, ok bool) {
	return v.bits != 0, v.kind == TypeBoolean && v.flag == 0
}

// Float64 returns a scalar number of any type, false when v is none. Integers beyond 2^53 are rounded.
func (v Variant) Float64() (float64, bool) {
	if v.flag != 0 {
		return 0, false
	}
	switch v.kind {
	case TypeDouble:
		return math.Float64frombits(v.bits), true
	case TypeFloat:
		return float64(math.Float32frombits(uint32(v.bits))), true
	case TypeSByte, TypeInt16, TypeInt32, TypeInt64:
		return float64(int64(v.bits)), true
	case TypeByte, TypeUInt16, TypeUInt32, TypeUInt64:
		return float64(v.bits), true
	}
	return 0, false
}

// Int64 returns a scalar integer of any type that fits, false when v is none.
func (v Variant) Int64() (int64, bool) {
	if v.flag != 0 {
		return 0, false
	}
	switch v.kind {
	case TypeSByte, TypeInt16, TypeInt32, TypeInt64, TypeByte, TypeUInt16, TypeUInt32:
		return int64(v.bits), true
	case TypeUInt64:
		return int64(v.bits), v.bits <= math.MaxInt64
	}
	return 0, false
}

// Uint64 returns a scalar integer of any type that is not negative, false when v is none.
func (v Variant) Uint64() (uint64, bool) {
	if v.flag != 0 {
		return 0, false
	}
	switch v.kind {
	case TypeByte, TypeUInt16, TypeUInt32, TypeUInt64:
		return v.bits, true
	case TypeSByte, TypeInt16, TypeInt32, TypeInt64:
		return v.bits, int64(v.bits) >= 0
	}
	return 0, false
}

// Text returns a scalar String or XmlElement, "" when v is none.
func (v Variant) Text() string {
	if v.flag == 0 && (v.kind == TypeString || v.kind == TypeXmlElement) {
		return v.text
	}
	return ""
}

// Bytes returns a copy of a scalar ByteString, nil when v is none or a null one. An array of Byte is returned as it is.
func (v Variant) Bytes() []byte {
	if v.kind == TypeByte && v.flag != 0 {
		s, _ := v.elements().([]byte)
		return s
	}
	if v.kind != TypeByteString || v.flag != 0 || v.bits != 0 {
		return nil
	}
	return []byte(v.text)
}

// AppendBytes appends the bytes of a scalar String, XmlElement or ByteString.
func (v Variant) AppendBytes(b []byte) []byte {
	if v.flag == 0 && (v.kind == TypeString || v.kind == TypeXmlElement || v.kind == TypeByteString) {
		return append(b, v.text...)
	}
	return b
}

// DateTime returns a scalar DateTime, false when v is none.
func (v Variant) DateTime() (DateTime, bool) {
	return DateTime(v.bits), v.kind == TypeDateTime && v.flag == 0
}

// StatusCode returns a scalar StatusCode, false when v is none.
func (v Variant) StatusCode() (StatusCode, bool) {
	return StatusCode(v.bits), v.kind == TypeStatusCode && v.flag == 0
}

// Guid returns a scalar Guid, false when v is none.
func (v Variant) Guid() (Guid, bool) {
	return guidOf(v.text), v.kind == TypeGuid && v.flag == 0
}

// NodeId returns a scalar NodeId, false when v is none.
func (v Variant) NodeId() (NodeId, bool) {
	if v.kind != TypeNodeId || v.flag != 0 {
		return NodeId{}, false
	}
	return v.nodeId(), true
}

// QualifiedName returns a scalar QualifiedName, false when v is none.
func (v Variant) QualifiedName() (QualifiedName, bool) {
	if v.kind != TypeQualifiedName || v.flag != 0 {
		return QualifiedName{}, false
	}
	return QualifiedName{NamespaceIndex: uint16(v.bits), Name: v.text}, true
}

// LocalizedText returns a scalar LocalizedText, false when v is none.
func (v Variant) LocalizedText() (LocalizedText, bool) {
	x, ok := v.ref.(LocalizedText)
	return x, ok
}

// ExtensionObject returns a scalar ExtensionObject, false when v is none.
func (v Variant) ExtensionObject() (ExtensionObject, bool) {
	x, ok := v.ref.(ExtensionObject)
	return x, ok
}

// Any returns the value as the Go type of its kind: bool, int8 ... float64, string, []byte, the types of this package, and slices of them (a
// matrix row by row); nil for null. It allocates: for printing, not for the path of a value.
func (v Variant) Any() any {
	if v.flag != 0 {
		return v.elements()
	}
	switch v.kind {
	case TypeNull:
		return nil
	case TypeBoolean:
		return v.bits != 0
	case TypeSByte:
		return int8(v.bits)
	case TypeByte:
		return uint8(v.bits)
	case TypeInt16:
		return int16(v.bits)
	case TypeUInt16:
		return uint16(v.bits)
	case TypeInt32:
		return int32(v.bits)
	case TypeUInt32:
		return uint32(v.bits)
	case TypeInt64:
		return int64(v.bits)
	case TypeUInt64:
		return v.bits
	case TypeFloat:
		return math.Float32frombits(uint32(v.bits))
	case TypeDouble:
		return math.Float64frombits(v.bits)
	}
	return v.anyText()
}

func (v Variant) anyText() any {
	switch v.kind {
	case TypeString:
		return v.text
	case TypeXmlElement:
		return XmlElement(v.text)
	case TypeByteString:
		return v.Bytes()
	case TypeDateTime:
		return DateTime(v.bits)
	case TypeStatusCode:
		return StatusCode(v.bits)
	case TypeGuid:
		return guidOf(v.text)
	case TypeNodeId:
		return v.nodeId()
	case TypeQualifiedName:
		return QualifiedName{NamespaceIndex: uint16(v.bits), Name: v.text}
	}
	return v.ref
}

// String returns the value for people.
func (v Variant) String() string {
	if v.kind == TypeNull {
		return "null"
	}
	if dims := v.Dims(); dims != nil {
		return fmt.Sprint(dims, v.Any())
	}
	return fmt.Sprint(v.Any())
}
