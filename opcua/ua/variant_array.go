package ua

// The constructors below share the slice with their caller. A nil slice is a null array.

func array(t TypeId, elements any) Variant {
	return Variant{kind: t, flag: variantArray, ref: elements}
}

// BoolArray returns an array of Boolean.
func BoolArray(v []bool) Variant { return array(TypeBoolean, v) }

// SByteArray returns an array of SByte.
func SByteArray(v []int8) Variant { return array(TypeSByte, v) }

// ByteArray returns an array of Byte.
func ByteArray(v []uint8) Variant { return array(TypeByte, v) }

// Int16Array returns an array of Int16.
func Int16Array(v []int16) Variant { return array(TypeInt16, v) }

// UInt16Array returns an array of UInt16.
func UInt16Array(v []uint16) Variant { return array(TypeUInt16, v) }

// Int32Array returns an array of Int32.
func Int32Array(v []int32) Variant { return array(TypeInt32, v) }

// UInt32Array returns an array of UInt32.
func UInt32Array(v []uint32) Variant { return array(TypeUInt32, v) }

// Int64Array returns an array of Int64.
func Int64Array(v []int64) Variant { return array(TypeInt64, v) }

// UInt64Array returns an array of UInt64.
func UInt64Array(v []uint64) Variant { return array(TypeUInt64, v) }

// FloatArray returns an array of Float.
func FloatArray(v []float32) Variant { return array(TypeFloat, v) }

// DoubleArray returns an array of Double.
func DoubleArray(v []float64) Variant { return array(TypeDouble, v) }

// StringArray returns an array of String.
func StringArray(v []string) Variant { return array(TypeString, v) }

// DateTimeArray returns an array of DateTime.
func DateTimeArray(v []DateTime) Variant { return array(TypeDateTime, v) }

// GuidArray returns an array of Guid.
func GuidArray(v []Guid) Variant { return array(TypeGuid, v) }

// ByteStringArray returns an array of ByteString.
func ByteStringArray(v [][]byte) Variant { return array(TypeByteString, v) }

// XmlElementArray returns an array of XmlElement.
func XmlElementArray(v []XmlElement) Variant { return array(TypeXmlElement, v) }

// NodeIdArray returns an array of NodeId.
func NodeIdArray(v []NodeId) Variant { return array(TypeNodeId, v) }

// ExpandedNodeIdArray returns an array of ExpandedNodeId.
func ExpandedNodeIdArray(v []ExpandedNodeId) Variant { return array(TypeExpandedNodeId, v) }

// StatusArray returns an array of StatusCode.
func StatusArray(v []StatusCode) Variant { return array(TypeStatusCode, v) }

// QualifiedNameArray returns an array of QualifiedName.
func QualifiedNameArray(v []QualifiedName) Variant { return array(TypeQualifiedName, v) }

// LocalizedTextArray returns an array of LocalizedText.
func LocalizedTextArray(v []LocalizedText) Variant { return array(TypeLocalizedText, v) }

// ExtensionObjectArray returns an array of ExtensionObject.
func ExtensionObjectArray(v []ExtensionObject) Variant { return array(TypeExtensionObject, v) }

// DataValueArray returns an array of DataValue.
func DataValueArray(v []DataValue) Variant { return array(TypeDataValue, v) }

// VariantArray returns an array of Variant.
func VariantArray(v []Variant) Variant { return array(TypeVariant, v) }

// DiagnosticInfoArray returns an array of DiagnosticInfo.
func DiagnosticInfoArray(v []DiagnosticInfo) Variant { return array(TypeDiagnosticInfo, v) }

// Matrix returns the elements of the array v, row by row, with dimensions. The product of dims is the number of elements; if it is not, or v is
// no array, the answer is v as it is.
func Matrix(dims []uint32, v Variant) Variant {
	if len(dims) < 2 || !v.IsArray() || !fits(dims, v.Len()) {
		return v
	}
	return Variant{kind: v.kind, flag: variantArray | variantMatrix, ref: &matrix{dims: dims, elements: v.elements()}}
}

// fits reports whether the product of dims is n and none is 0.
func fits(dims []uint32, n int) bool {
	product := uint64(1)
	for _, d := range dims {
		if d == 0 || product > uint64(n) {
			return false
		}
		product *= uint64(d)
	}
	return product == uint64(n)
}

// ArrayOf returns the elements of an array or a matrix (row by row) of T, as a slice that is not to be changed. It reports false when v is
// something else; a null array is nil.
func ArrayOf[T any](v Variant) ([]T, bool) {
	s, ok := v.elements().([]T)
	return s, ok
}

// Doubles returns the elements of an array of Double, nil when v is none.
func (v Variant) Doubles() []float64 {
	s, _ := v.elements().([]float64)
	return s
}

// Strings returns the elements of an array of String, nil when v is none.
func (v Variant) Strings() []string {
	s, _ := v.elements().([]string)
	return s
}

// Len returns the number of elements of an array or a matrix, 0 for a scalar.
func (v Variant) Len() int {
	switch s := v.elements().(type) {
	case []bool:
		return len(s)
	case []int8:
		return len(s)
	case []uint8:
		return len(s)
	case []int16:
		return len(s)
	case []uint16:
		return len(s)
	case []int32:
		return len(s)
	case []uint32:
		return len(s)
	case []int64:
		return len(s)
	case []uint64:
		return len(s)
	case []float32:
		return len(s)
	case []float64:
		return len(s)
	case []string:
		return len(s)
	case []DateTime:
		return len(s)
	case []Guid:
		return len(s)
	case [][]byte:
		return len(s)
	case []XmlElement:
		return len(s)
	case []NodeId:
		return len(s)
	case []ExpandedNodeId:
		return len(s)
	case []StatusCode:
		return len(s)
	case []QualifiedName:
		return len(s)
	case []LocalizedText:
		return len(s)
	case []ExtensionObject:
		return len(s)
	case []DataValue:
		return len(s)
	case []Variant:
		return len(s)
	case []DiagnosticInfo:
		return len(s)
	}
	return 0
}
