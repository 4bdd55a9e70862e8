package ua

import (
	"bytes"
	"math"
	"slices"
)

// Equal reports whether v and o hold the same value of the same type. Numbers are equal when their bits are: NaN equals itself, 0 and -0 differ.
func (v Variant) Equal(o Variant) bool {
	if v.kind != o.kind || v.flag != o.flag {
		return false
	}
	if v.flag != 0 {
		return slices.Equal(v.Dims(), o.Dims()) && equalElements(v.elements(), o.elements())
	}
	switch v.kind {
	case TypeString, TypeXmlElement, TypeByteString:
		return v.text == o.text
	case TypeExpandedNodeId, TypeLocalizedText:
		return v.ref == o.ref
	case TypeExtensionObject, TypeDataValue, TypeDiagnosticInfo:
		return equalRefs(v.ref, o.ref)
	}
	return v.bits == o.bits && v.text == o.text
}

func equalRefs(a, b any) bool {
	switch x := a.(type) {
	case ExtensionObject:
		y, ok := b.(ExtensionObject)
		return ok && x.Equal(y)
	case DataValue:
		y, ok := b.(DataValue)
		return ok && x.Equal(&y)
	case DiagnosticInfo:
		y, ok := b.(DiagnosticInfo)
		return ok && x.Equal(y)
	}
	return a == nil && b == nil
}

// Equal reports whether x and y carry the same bytes of the same type.
func (x ExtensionObject) Equal(y ExtensionObject) bool {
	return x.TypeId == y.TypeId && x.Xml == y.Xml && (x.Body == nil) == (y.Body == nil) && bytes.Equal(x.Body, y.Body)
}

// Equal reports whether x and y say the same.
func (x DiagnosticInfo) Equal(y DiagnosticInfo) bool {
	for {
		xi, yi := x.InnerDiagnosticInfo, y.InnerDiagnosticInfo
		if x.mask() != y.mask() || x.SymbolicId != y.SymbolicId || x.NamespaceUri != y.NamespaceUri || x.Locale != y.Locale ||
			x.LocalizedText != y.LocalizedText || x.AdditionalInfo != y.AdditionalInfo || x.InnerStatusCode != y.InnerStatusCode {
			return false
		}
		if xi == nil || yi == nil {
			return xi == yi
		}
		x, y = *xi, *yi
	}
}

func equalElements(a, b any) bool {
	switch x := a.(type) {
	case []float32:
		y, ok := b.([]float32)
		return ok && slices.EqualFunc(x, y, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
	case []float64:
		y, ok := b.([]float64)
		return ok && slices.EqualFunc(x, y, func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) })
	case [][]byte:
		y, ok := b.([][]byte)
		return ok && slices.EqualFunc(x, y, bytes.Equal)
	case []ExtensionObject:
		y, ok := b.([]ExtensionObject)
		return ok && slices.EqualFunc(x, y, ExtensionObject.Equal)
	case []Variant:
		y, ok := b.([]Variant)
		return ok && slices.EqualFunc(x, y, Variant.Equal)
	case []DataValue:
		y, ok := b.([]DataValue)
		return ok && slices.EqualFunc(x, y, func(x, y DataValue) bool { return x.Equal(&y) })
	case []DiagnosticInfo:
		y, ok := b.([]DiagnosticInfo)
		return ok && slices.EqualFunc(x, y, DiagnosticInfo.Equal)
	}
	return equalComparable(a, b)
}

func equalComparable(a, b any) bool {
	switch x := a.(type) {
	case []bool:
		return same(x, b)
	case []int8:
		return same(x, b)
	case []uint8:
		return same(x, b)
	case []int16:
		return same(x, b)
	case []uint16:
		return same(x, b)
	case []int32:
		return same(x, b)
	case []uint32:
		return same(x, b)
	case []int64:
		return same(x, b)
	case []uint64:
		return same(x, b)
	case []string:
		return same(x, b)
	case []DateTime:
		return same(x, b)
	case []Guid:
		return same(x, b)
	case []XmlElement:
		return same(x, b)
	case []NodeId:
		return same(x, b)
	case []ExpandedNodeId:
		return same(x, b)
	case []StatusCode:
		return same(x, b)
	case []QualifiedName:
		return same(x, b)
	case []LocalizedText:
		return same(x, b)
	}
	return a == nil && b == nil
}

func same[T comparable](x []T, b any) bool {
	y, ok := b.([]T)
	return ok && slices.Equal(x, y)
}
