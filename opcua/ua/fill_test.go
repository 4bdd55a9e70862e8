package ua

import (
	"fmt"
	"math/rand/v2"
	"reflect"
)

// filler makes values of any type of this package: a structure with every field set, arrays of two.
type filler struct {
	r     *rand.Rand
	depth int
}

func newFiller(seed uint64) *filler { return &filler{r: rand.New(rand.NewPCG(seed, 1))} }

func (f *filler) text() string { return fmt.Sprintf("text %d", f.r.IntN(1000)) }

func (f *filler) nodeId() NodeId {
	switch f.r.IntN(6) {
	case 0:
		return NumericId(0, uint32(f.r.IntN(256)))
	case 1:
		return NumericId(uint16(f.r.IntN(256)), uint32(f.r.IntN(1<<16)))
	case 2:
		return NumericId(uint16(f.r.IntN(1<<16)), f.r.Uint32())
	case 3:
		return StringId(uint16(f.r.IntN(1<<16)), f.text())
	case 4:
		return GuidId(uint16(f.r.IntN(1<<16)), f.guid())
	default:
		return OpaqueId(uint16(f.r.IntN(1<<16)), []byte(f.text()))
	}
}

func (f *filler) guid() Guid {
	return Guid{f.r.Uint32(), uint16(f.r.Uint32()), uint16(f.r.Uint32()), [8]byte{1, 2, 3, 4, 5, 6, 7, byte(f.r.Uint32())}}
}

func (f *filler) diagnostic() DiagnosticInfo {
	x := DiagnosticInfo{
		SymbolicId: 1, NamespaceUri: 2, Locale: 3, LocalizedText: 4, AdditionalInfo: f.text(), InnerStatusCode: BadTimeout,
		Has: 0x3f,
	}
	if f.r.IntN(2) == 0 {
		inner := f.diagnostic()
		x.InnerDiagnosticInfo = &inner
		x.Has |= HasInnerDiagnosticInfo
	}
	return x
}

func (f *filler) dataValue() DataValue {
	return DataValue{
		Value: f.variant(), Status: UncertainInitialValue, SourceTimestamp: 1e17 + DateTime(f.r.IntN(1000)), ServerTimestamp: 2e17,
		SourcePicoseconds: 3, ServerPicoseconds: 4, Has: dataValueMask,
	}
}

// variant returns any Variant but one that makes the nest endless.
func (f *filler) variant() Variant {
	f.depth++
	defer func() { f.depth-- }()
	all := f.scalars()
	if f.depth < 3 {
		all = append(all, f.arrays()...)
	}
	return all[f.r.IntN(len(all))]
}

// scalars returns one Variant of each type.
func (f *filler) scalars() []Variant {
	out := []Variant{
		Bool(true), SByte(-5), Byte(200), Int16(-300), UInt16(60000), Int32(-70000), UInt32(4e9), Int64(-5e15), UInt64(1 << 63), Float(1.5), Double(-2.25),
		String(f.text()), DateTimeValue(133e15), GuidValue(f.guid()), ByteString([]byte(f.text())), XmlElementValue("<a/>"),
		NodeIdValue(f.nodeId()), ExpandedNodeIdValue(ExpandedNodeId{NodeId: NumericId(0, 5), NamespaceUri: "urn:x", ServerIndex: 7}),
		StatusValue(BadTimeout), QualifiedNameValue(QualifiedName{3, f.text()}), LocalizedTextValue(LocalizedText{"en", f.text()}),
		ExtensionObjectValue(ExtensionObject{TypeId: NumericId(4, 11), Body: []byte{1, 2, 3}}), DiagnosticInfoValue(f.diagnostic()), {},
	}
	if f.depth < 4 {
		f.depth++
		out = append(out, DataValueValue(f.dataValue()))
		f.depth--
	}
	return out
}

// arrays returns one array of each type, and two matrices.
func (f *filler) arrays() []Variant {
	f.depth++
	defer func() { f.depth-- }()
	return []Variant{
		BoolArray([]bool{true, false, true}), SByteArray([]int8{-1, 2}), ByteArray([]byte{1, 2, 255}), Int16Array([]int16{-2, 3}), UInt16Array([]uint16{65535, 0}),
		Int32Array([]int32{-9, 9}), UInt32Array([]uint32{1 << 31}), Int64Array([]int64{-1 << 62}), UInt64Array([]uint64{1 << 63}), FloatArray([]float32{0.5, -1}),
		DoubleArray([]float64{3.25, 1e300}), StringArray([]string{"a", f.text(), ""}), DateTimeArray([]DateTime{0, 1, 133e15}), GuidArray([]Guid{f.guid()}),
		ByteStringArray([][]byte{nil, {}, {1, 2}}), XmlElementArray([]XmlElement{"<x/>"}), NodeIdArray([]NodeId{f.nodeId(), f.nodeId(), {}}),
		ExpandedNodeIdArray([]ExpandedNodeId{{NodeId: f.nodeId()}, {NodeId: NumericId(0, 9), ServerIndex: 2}}),
		StatusArray([]StatusCode{Good, BadTimeout}), QualifiedNameArray([]QualifiedName{{1, "a"}, {}}), LocalizedTextArray([]LocalizedText{{"de", "x"}, {}, {Text: "y"}}),
		ExtensionObjectArray([]ExtensionObject{{}, {TypeId: NumericId(0, 7), Body: []byte{}}, {TypeId: NumericId(0, 8), Xml: true, Body: []byte("<x/>")}}),
		DataValueArray([]DataValue{f.dataValue(), {}}), VariantArray([]Variant{f.variant(), {}, f.variant()}), DiagnosticInfoArray([]DiagnosticInfo{f.diagnostic(), {}}),
		Matrix([]uint32{2, 3}, Int32Array([]int32{1, 2, 3, 4, 5, 6})), Matrix([]uint32{1, 2, 2}, StringArray([]string{"a", "b", "c", "d"})),
		DoubleArray(nil), DoubleArray([]float64{}),
	}
}

// fill sets every field of the structure that p points to.
func (f *filler) fill(p any) { f.value(reflect.ValueOf(p).Elem()) }

func (f *filler) value(v reflect.Value) {
	if f.known(v) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f.value(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			f.value(v.Index(i))
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(f.r.IntN(256) - 128))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(f.r.IntN(256)))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(f.r.IntN(1000)) / 8)
	case reflect.String:
		v.SetString(f.text())
	default:
		panic(v.Type())
	}
}

// known sets the built-in types that have rules of their own.
func (f *filler) known(v reflect.Value) bool {
	var x any
	switch v.Interface().(type) {
	case NodeId:
		x = f.nodeId()
	case Guid:
		x = f.guid()
	case ExpandedNodeId:
		x = ExpandedNodeId{NodeId: f.nodeId()}
	case DiagnosticInfo:
		x = f.diagnostic()
	case DataValue:
		x = f.dataValue()
	case Variant:
		x = f.variant()
	case ExtensionObject:
		x = ExtensionObject{TypeId: f.nodeId(), Body: []byte(f.text())}
	case []byte:
		x = []byte(f.text())
	default:
		return false
	}
	v.Set(reflect.ValueOf(x))
	return true
}
