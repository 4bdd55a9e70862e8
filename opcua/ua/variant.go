package ua

import "math"

// TypeId is the id of a built-in type [OPC 10000-6 5.1.2].
type TypeId uint8

// The built-in types. TypeNull is that of a Variant without a value.
const (
	TypeNull TypeId = iota
	TypeBoolean
	TypeSByte
	TypeByte
	TypeInt16
	TypeUInt16
	TypeInt32
	TypeUInt32
	TypeInt64
	TypeUInt64
	TypeFloat
	TypeDouble
	TypeString
	TypeDateTime
	TypeGuid
	TypeByteString
	TypeXmlElement
	TypeNodeId
	TypeExpandedNodeId
	TypeStatusCode
	TypeQualifiedName
	TypeLocalizedText
	TypeExtensionObject
	TypeDataValue
	TypeVariant
	TypeDiagnosticInfo
)

// String returns the specification's name of the type.
func (t TypeId) String() string {
	const names = "Null           Boolean        SByte          Byte           Int16          UInt16         Int32          UInt32         " +
		"Int64          UInt64         Float          Double         String         DateTime       Guid           ByteString     " +
		"XmlElement     NodeId         ExpandedNodeId StatusCode     QualifiedName  LocalizedText  ExtensionObjectDataValue      " +
		"Variant        DiagnosticInfo "
	const width = 15
	if t > TypeDiagnosticInfo {
		return "TypeId(" + utoa(uint64(t)) + ")"
	}
	name := names[int(t)*width : int(t)*width+width]
	for name[len(name)-1] == ' ' {
		name = name[:len(name)-1]
	}
	return name
}

// Variant holds a value of any built-in type, or an array or a matrix of them [OPC 10000-6 5.2.2.16]. The zero value is null. Numbers, times,
// status codes, strings and numeric and string NodeIds lie in it without an allocation; arrays are typed slices, which the Variant shares
// with who made it: nobody changes them afterwards.
type Variant struct {
	kind TypeId
	flag uint8  // variantArray, variantMatrix
	bits uint64 // scalars of up to 8 bytes, sign extended; QualifiedName and NodeId: what is not text; texts: 1 is null
	text string // String, XmlElement, ByteString, Guid (16 bytes in wire order), name of a QualifiedName, text of a NodeId
	ref  any    // ExpandedNodeId, LocalizedText, ExtensionObject, DataValue, DiagnosticInfo; a typed slice; *matrix
}

// Flags in the first byte of an encoded Variant, and in Variant.flag.
const (
	variantArray  = 0x80
	variantMatrix = 0x40
	variantType   = 0x3f
)

// matrix is an array with dimensions.
type matrix struct {
	dims     []uint32
	elements any // a typed slice
}

func scalar(t TypeId, bits uint64) Variant { return Variant{kind: t, bits: bits} }

// Bool returns a Boolean.
func Bool(v bool) Variant {
	if v {
		return scalar(TypeBoolean, 1)
	}
	return scalar(TypeBoolean, 0)
}

// SByte returns an SByte.
func SByte(v int8) Variant { return scalar(TypeSByte, uint64(v)) }

// Byte returns a Byte.
func Byte(v uint8) Variant { return scalar(TypeByte, uint64(v)) }

// Int16 returns an Int16.
func Int16(v int16) Variant { return scalar(TypeInt16, uint64(v)) }

// UInt16 returns a UInt16.
func UInt16(v uint16) Variant { return scalar(TypeUInt16, uint64(v)) }

// Int32 returns an Int32; enumerations are Int32 as well.
func Int32(v int32) Variant { return scalar(TypeInt32, uint64(v)) }

// UInt32 returns a UInt32.
func UInt32(v uint32) Variant { return scalar(TypeUInt32, uint64(v)) }

// Int64 returns an Int64.
func Int64(v int64) Variant { return scalar(TypeInt64, uint64(v)) }

// UInt64 returns a UInt64.
func UInt64(v uint64) Variant { return scalar(TypeUInt64, v) }

// Float returns a Float.
func Float(v float32) Variant { return scalar(TypeFloat, uint64(math.Float32bits(v))) }

// Double returns a Double.
func Double(v float64) Variant { return scalar(TypeDouble, math.Float64bits(v)) }

// DateTimeValue returns a DateTime.
func DateTimeValue(v DateTime) Variant { return scalar(TypeDateTime, uint64(v)) }

// StatusValue returns a StatusCode.
func StatusValue(v StatusCode) Variant { return scalar(TypeStatusCode, uint64(v)) }

// String returns a String.
func String(v string) Variant { return Variant{kind: TypeString, text: v} }

// XmlElementValue returns an XmlElement.
func XmlElementValue(v XmlElement) Variant { return Variant{kind: TypeXmlElement, text: string(v)} }

// ByteString returns a ByteString, which is copied; nil is a null one.
func ByteString(v []byte) Variant {
	if v == nil {
		return Variant{kind: TypeByteString, bits: 1}
	}
	return Variant{kind: TypeByteString, text: string(v)}
}

// GuidValue returns a Guid.
func GuidValue(v Guid) Variant { return Variant{kind: TypeGuid, text: v.wire()} }

// NodeIdValue returns a NodeId.
func NodeIdValue(v NodeId) Variant {
	return Variant{kind: TypeNodeId, bits: uint64(v.Namespace)<<40 | uint64(v.Type)<<32 | uint64(v.Numeric), text: v.Text}
}

// ExpandedNodeIdValue returns an ExpandedNodeId.
func ExpandedNodeIdValue(v ExpandedNodeId) Variant { return Variant{kind: TypeExpandedNodeId, ref: v} }

// QualifiedNameValue returns a QualifiedName.
func QualifiedNameValue(v QualifiedName) Variant {
	return Variant{kind: TypeQualifiedName, bits: uint64(v.NamespaceIndex), text: v.Name}
}

// LocalizedTextValue returns a LocalizedText.
func LocalizedTextValue(v LocalizedText) Variant { return Variant{kind: TypeLocalizedText, ref: v} }

// ExtensionObjectValue returns an ExtensionObject.
func ExtensionObjectValue(v ExtensionObject) Variant {
	return Variant{kind: TypeExtensionObject, ref: v}
}

// StructureValue returns m as an ExtensionObject.
func StructureValue(m Message) Variant { return ExtensionObjectValue(Wrap(m)) }

// DataValueValue returns a DataValue as a value; it is legal only outside other DataValues.
func DataValueValue(v DataValue) Variant { return Variant{kind: TypeDataValue, ref: v} }

// DiagnosticInfoValue returns a DiagnosticInfo.
func DiagnosticInfoValue(v DiagnosticInfo) Variant { return Variant{kind: TypeDiagnosticInfo, ref: v} }

// Type returns the type of the value or of its elements, TypeNull when there is none.
func (v Variant) Type() TypeId { return v.kind }

// IsNull reports whether there is no value.
func (v Variant) IsNull() bool { return v.kind == TypeNull }

// IsArray reports whether the value is an array or a matrix.
func (v Variant) IsArray() bool { return v.flag&variantArray != 0 }

// Dims returns the dimensions of a matrix, nil when it is none. They are not to be changed.
func (v Variant) Dims() []uint32 {
	if m, ok := v.ref.(*matrix); ok {
		return m.dims
	}
	return nil
}

// elements returns the typed slice of an array or matrix, nil for a null array and for a scalar.
func (v *Variant) elements() any {
	switch {
	case v.flag&variantMatrix != 0:
		return v.ref.(*matrix).elements
	case v.flag&variantArray != 0:
		return v.ref
	}
	return nil
}
