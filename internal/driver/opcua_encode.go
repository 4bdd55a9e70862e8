package driver

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"millrace/internal/tag"
	"millrace/opcua/ua"
)

// opcuaWriteType is what a node takes.
type opcuaWriteType struct {
	typ   ua.TypeId
	array bool
	rank  int      // dimensions of a matrix, 0 when it is none or nobody knows
	dims  []uint32 // their lengths, as its value is now; nil when nobody knows
}

func (t opcuaWriteType) String() string {
	if t.array {
		return t.typ.String() + "[]"
	}
	return t.typ.String()
}

// writeType returns what the address itself says is written, TypeNull when it does not.
func (p *opcuaPoint) writeType() opcuaWriteType {
	return opcuaWriteType{typ: p.typ, array: p.array || p.index != ""}
}

func (p *opcuaPoint) refuse(v tag.Value, format string, args ...any) error {
	return &ValueError{Address: p.String(), Value: v.String(), What: fmt.Sprintf(format, args...)}
}

// encode returns v as a value of the node's type. A number is converted when that loses nothing but, for floats, digits; a text is read as what it is to be. An element of an array
// is written as an array of one [OPC 10000-4 7.27].
func (p *opcuaPoint) encode(v tag.Value, t opcuaWriteType) (ua.Variant, error) {
	if v.Kind == tag.String && t.array && !p.isElement() {
		list, dims, ok := parseElements(string(v.Aux))
		if !ok {
			return ua.Variant{}, p.refuse(v, "an array is written [1,2,3], a matrix [[1,2],[3,4]]")
		}
		return p.encodeMatrix(list, dims, v, t)
	}
	switch {
	case v.Kind.IsArray() && (!t.array || p.isElement()):
		return ua.Variant{}, p.refuse(v, "it is one value")
	case v.Kind.IsArray():
		return p.encodeMatrix(v, nil, v, t)
	case p.isElement():
		e, err := p.encodeScalar(v, v, t.typ)
		if err != nil {
			return e, err
		}
		return arrayOf(t.typ, []ua.Variant{e}), nil
	case t.array || p.index != "":
		return ua.Variant{}, p.refuse(v, "it is an array")
	}
	return p.encodeScalar(v, v, t.typ)
}

// encodeMatrix returns an array, or a matrix where the node has one or dims say so. Without dims its elements come row by row, as they are read, and have the lengths of what is there now.
func (p *opcuaPoint) encodeMatrix(v tag.Value, dims []uint32, whole tag.Value, t opcuaWriteType) (ua.Variant, error) {
	if dims == nil && p.index == "" {
		dims = t.dims
	}
	if p.index == "" && t.rank > 1 && len(dims) != t.rank {
		return ua.Variant{}, p.refuse(whole, "it is a matrix of %d dimensions: write it row by row, as in [[1,2],[3,4]]", t.rank)
	}
	a, err := p.encodeArray(v, whole, t.typ)
	if err != nil || len(dims) < 2 {
		return a, err
	}
	m := ua.Matrix(dims, a)
	if len(m.Dims()) == 0 {
		return ua.Variant{}, p.refuse(whole, "it has %d values for a matrix of %s: write all of them, or say its rows, as in [[1,2],[3,4]]", a.Len(), lengths(dims))
	}
	return m, nil
}

// lengths writes 2x3.
func lengths(dims []uint32) string {
	words := make([]string, len(dims))
	for i, d := range dims {
		words[i] = strconv.FormatUint(uint64(d), 10)
	}
	return strings.Join(words, "x")
}

func (p *opcuaPoint) encodeArray(v, whole tag.Value, t ua.TypeId) (ua.Variant, error) {
	var all []ua.Variant
	for it := v.Elems(); it.Next(); {
		e, err := p.encodeScalar(it.Value, whole, t)
		if err != nil {
			return e, err
		}
		all = append(all, e)
	}
	return arrayOf(t, all), nil
}

// encodeScalar returns one value. whole is what to name in an error.
func (p *opcuaPoint) encodeScalar(v, whole tag.Value, t ua.TypeId) (ua.Variant, error) {
	if v.Kind == tag.String {
		read, ok := parseScalar(string(v.Aux), t)
		if !ok {
			return ua.Variant{}, p.refuse(whole, "it is no %s", t)
		}
		v = read
	}
	switch t {
	case ua.TypeBoolean:
		if v.Bits <= 1 && (v.Kind == tag.Bool || isInteger(v.Kind)) {
			return ua.Bool(v.Bits == 1), nil
		}
		return ua.Variant{}, p.refuse(whole, "it is true or false")
	case ua.TypeFloat, ua.TypeDouble:
		return p.encodeFloat(v, whole, t)
	case ua.TypeDateTime:
		if v.Kind != tag.DateTime {
			return ua.Variant{}, p.refuse(whole, "it takes a date and time")
		}
		return ua.DateTimeValue(ua.DateTimeOfUnixNano(int64(v.Bits))), nil
	case ua.TypeByteString:
		if v.Kind != tag.ByteString {
			return ua.Variant{}, p.refuse(whole, "a %s is no bytes", v.Kind)
		}
		return ua.ByteString(v.Aux), nil
	}
	if opcuaKind(t).Width() > 0 {
		return p.encodeInteger(v, whole, t)
	}
	return p.encodeText(v, whole, t)
}

func (p *opcuaPoint) encodeFloat(v, whole tag.Value, t ua.TypeId) (ua.Variant, error) {
	f, ok := v.Float()
	switch {
	case !ok:
		return ua.Variant{}, p.refuse(whole, "%s takes numbers", t)
	case t == ua.TypeDouble:
		return ua.Double(f), nil
	case math.Abs(f) > math.MaxFloat32 && !math.IsInf(f, 0):
		return ua.Variant{}, p.refuse(whole, "Float goes up to %g", math.MaxFloat32)
	}
	return ua.Float(float32(f)), nil
}

func (p *opcuaPoint) encodeInteger(v, whole tag.Value, t ua.TypeId) (ua.Variant, error) {
	n, ok := integerOf(v)
	if !ok {
		return ua.Variant{}, p.refuse(whole, "%s takes whole numbers", t)
	}
	k := opcuaKind(t)
	least, most := new(big.Int), new(big.Int).Lsh(big.NewInt(1), uint(8*k.Width()))
	if k == tag.Int8 || k == tag.Int16 || k == tag.Int32 || k == tag.Int64 {
		most.Rsh(most, 1)
		least.Neg(most)
	}
	most.Sub(most, big.NewInt(1))
	if n.Cmp(least) < 0 || n.Cmp(most) > 0 {
		return ua.Variant{}, p.refuse(whole, "%s goes from %s to %s", t, least, most)
	}
	return integer(t, n), nil
}

// integer returns n, which fits, as a value of type t.
func integer(t ua.TypeId, n *big.Int) ua.Variant {
	switch t {
	case ua.TypeSByte:
		return ua.SByte(int8(n.Int64()))
	case ua.TypeByte:
		return ua.Byte(uint8(n.Uint64()))
	case ua.TypeInt16:
		return ua.Int16(int16(n.Int64()))
	case ua.TypeUInt16:
		return ua.UInt16(uint16(n.Uint64()))
	case ua.TypeInt32:
		return ua.Int32(int32(n.Int64()))
	case ua.TypeUInt32:
		return ua.UInt32(uint32(n.Uint64()))
	case ua.TypeInt64:
		return ua.Int64(n.Int64())
	case ua.TypeStatusCode:
		return ua.StatusValue(ua.StatusCode(n.Uint64()))
	}
	return ua.UInt64(n.Uint64())
}

// encodeText returns what is written as a text.
func (p *opcuaPoint) encodeText(v, whole tag.Value, t ua.TypeId) (ua.Variant, error) {
	if v.Kind != tag.String {
		return ua.Variant{}, p.refuse(whole, "a %s is no text", v.Kind)
	}
	s := string(v.Aux)
	switch t {
	case ua.TypeString:
		return ua.String(s), nil
	case ua.TypeXmlElement:
		return ua.XmlElementValue(ua.XmlElement(s)), nil
	case ua.TypeLocalizedText:
		return ua.LocalizedTextValue(ua.LocalizedText{Text: s}), nil
	case ua.TypeQualifiedName:
		n, name, _ := leadingIndex(s)
		return ua.QualifiedNameValue(ua.QualifiedName{NamespaceIndex: n, Name: name}), nil
	case ua.TypeGuid:
		if g, err := ua.ParseGuid(s); err == nil {
			return ua.GuidValue(g), nil
		}
		return ua.Variant{}, p.refuse(whole, "it is no Guid")
	case ua.TypeNodeId, ua.TypeExpandedNodeId:
		id, err := ua.ParseNodeId(s)
		switch {
		case err != nil:
			return ua.Variant{}, p.refuse(whole, "it is no NodeId of the form ns=2;s=name")
		case t == ua.TypeNodeId:
			return ua.NodeIdValue(id), nil
		}
		return ua.ExpandedNodeIdValue(ua.ExpandedNodeId{NodeId: id}), nil
	}
	return ua.Variant{}, &WriteError{p.String(), "its type, " + t.String() + ", is none that can be written here"}
}

// arrayOf returns an array of values that are all of type t.
func arrayOf(t ua.TypeId, all []ua.Variant) ua.Variant {
	switch t {
	case ua.TypeBoolean:
		return ua.BoolArray(gather(all, func(v ua.Variant) bool { return v.Bits() == 1 }))
	case ua.TypeSByte:
		return ua.SByteArray(gather(all, func(v ua.Variant) int8 { return int8(v.Bits()) }))
	case ua.TypeByte:
		return ua.ByteArray(gather(all, func(v ua.Variant) uint8 { return uint8(v.Bits()) }))
	case ua.TypeInt16:
		return ua.Int16Array(gather(all, func(v ua.Variant) int16 { return int16(v.Bits()) }))
	case ua.TypeUInt16:
		return ua.UInt16Array(gather(all, func(v ua.Variant) uint16 { return uint16(v.Bits()) }))
	case ua.TypeInt32:
		return ua.Int32Array(gather(all, func(v ua.Variant) int32 { return int32(v.Bits()) }))
	case ua.TypeUInt32:
		return ua.UInt32Array(gather(all, func(v ua.Variant) uint32 { return uint32(v.Bits()) }))
	case ua.TypeInt64:
		return ua.Int64Array(gather(all, func(v ua.Variant) int64 { return int64(v.Bits()) }))
	case ua.TypeUInt64:
		return ua.UInt64Array(gather(all, ua.Variant.Bits))
	case ua.TypeFloat:
		return ua.FloatArray(gather(all, func(v ua.Variant) float32 { return math.Float32frombits(uint32(v.Bits())) }))
	case ua.TypeDouble:
		return ua.DoubleArray(gather(all, func(v ua.Variant) float64 { return math.Float64frombits(v.Bits()) }))
	}
	return arrayOfOthers(t, all)
}

func arrayOfOthers(t ua.TypeId, all []ua.Variant) ua.Variant {
	switch t {
	case ua.TypeString:
		return ua.StringArray(gather(all, ua.Variant.Text))
	case ua.TypeXmlElement:
		return ua.XmlElementArray(gather(all, func(v ua.Variant) ua.XmlElement { return ua.XmlElement(v.Text()) }))
	case ua.TypeDateTime:
		return ua.DateTimeArray(gather(all, func(v ua.Variant) ua.DateTime { return ua.DateTime(v.Bits()) }))
	case ua.TypeStatusCode:
		return ua.StatusArray(gather(all, func(v ua.Variant) ua.StatusCode { return ua.StatusCode(v.Bits()) }))
	case ua.TypeByteString:
		return ua.ByteStringArray(gather(all, ua.Variant.Bytes))
	case ua.TypeGuid:
		return ua.GuidArray(gather(all, first(ua.Variant.Guid)))
	case ua.TypeNodeId:
		return ua.NodeIdArray(gather(all, first(ua.Variant.NodeId)))
	case ua.TypeExpandedNodeId:
		return ua.ExpandedNodeIdArray(gather(all, func(v ua.Variant) ua.ExpandedNodeId { x, _ := v.Any().(ua.ExpandedNodeId); return x }))
	case ua.TypeQualifiedName:
		return ua.QualifiedNameArray(gather(all, first(ua.Variant.QualifiedName)))
	case ua.TypeLocalizedText:
		return ua.LocalizedTextArray(gather(all, first(ua.Variant.LocalizedText)))
	}
	return ua.VariantArray(all)
}

func gather[T any](all []ua.Variant, f func(ua.Variant) T) []T {
	out := make([]T, len(all))
	for i, v := range all {
		out[i] = f(v)
	}
	return out
}

// first returns f without its second result.
func first[T any](f func(ua.Variant) (T, bool)) func(ua.Variant) T {
	return func(v ua.Variant) T {
		t, _ := f(v)
		return t
	}
}
