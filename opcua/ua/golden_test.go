package ua

import (
	"bytes"
	"encoding/hex"
	"math"
	"reflect"
	"strings"
	"testing"
)

// hexOf reads hex digits; spaces are for the eye.
func hexOf(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// golden is a value, and its bytes by the rules of [OPC 10000-6 5.2.2].
type golden struct {
	name  string
	bytes string
	value any
}

var goldens = []golden{
	{"Boolean", "01", true},
	{"SByte", "fb", int8(-5)},
	{"Byte", "c8", uint8(200)},
	{"Int16", "d4fe", int16(-300)},
	{"UInt16", "3412", uint16(0x1234)},
	{"Int32", "00ca9a3b", int32(1e9)}, // the specification's own example, 5.2.2.2
	{"UInt32", "ffffffff", uint32(math.MaxUint32)},
	{"Int64", "feffffffffffffff", int64(-2)},
	{"UInt64", "0000000000000080", uint64(1 << 63)},
	{"Float", "0000d0c0", float32(-6.5)}, // 5.2.2.3
	{"Float NaN", "0000c0ff", float32(math.NaN())},
	{"Double", "0000000000001ac0", -6.5},
	{"Double NaN", "000000000000f8ff", math.Float64frombits(0x7ff0000000000001)},
	{"String", "06000000 e6b0b4426f79", "水Boy"}, // 5.2.2.4
	{"String null", "ffffffff", ""},
	{"DateTime", "0080 3ed5 deb1 9d01", DateTime(ticksToUnix)},
	{"Guid", "912b9672 75fa e64a 8d28b404dc7daf63", Guid{0x72962b91, 0xfa75, 0x4ae6, [8]byte{0x8d, 0x28, 0xb4, 0x04, 0xdc, 0x7d, 0xaf, 0x63}}}, // 5.2.2.6
	{"ByteString", "03000000 010203", []byte{1, 2, 3}},
	{"ByteString null", "ffffffff", []byte(nil)},
	{"ByteString empty", "00000000", []byte{}},
	{"XmlElement", "04000000 3c612f3e", XmlElement("<a/>")},
	{"NodeId two bytes", "00 72", NumericId(0, 0x72)},       // 5.2.2.9
	{"NodeId four bytes", "01 05 0104", NumericId(5, 1025)}, // 5.2.2.9
	{"NodeId numeric", "02 0001 01000000", NumericId(256, 1)},
	{"NodeId numeric large", "02 0500 00000100", NumericId(5, 1<<16)},
	{"NodeId string", "03 0100 06000000 486f74e6b0b4", StringId(1, "Hot水")}, // 5.2.2.9
	{"NodeId string empty", "03 0100 00000000", StringId(1, "")},
	{"NodeId guid", "04 0400 912b9672 75fa e64a 8d28b404dc7daf63", GuidId(4, Guid{0x72962b91, 0xfa75, 0x4ae6, [8]byte{0x8d, 0x28, 0xb4, 0x04, 0xdc, 0x7d, 0xaf, 0x63}})},
	{"NodeId opaque", "05 0200 02000000 00ff", OpaqueId(2, []byte{0, 255})},
	{"ExpandedNodeId plain", "00 05", ExpandedNodeId{NodeId: NumericId(0, 5)}},
	{"ExpandedNodeId uri", "80 05 05000000 75726e3a78", ExpandedNodeId{NodeId: NumericId(0, 5), NamespaceUri: "urn:x"}},
	{"ExpandedNodeId server", "41 01 0001 07000000", ExpandedNodeId{NodeId: NumericId(1, 256), ServerIndex: 7}},
	{"ExpandedNodeId both", "c0 05 05000000 75726e3a78 07000000", ExpandedNodeId{NodeId: NumericId(0, 5), NamespaceUri: "urn:x", ServerIndex: 7}},
	{"StatusCode", "0000 3480", BadNodeIdUnknown},
	{"QualifiedName", "0200 01000000 61", QualifiedName{2, "a"}},
	{"LocalizedText", "03 02000000 656e 01000000 61", LocalizedText{"en", "a"}},
	{"LocalizedText text", "02 01000000 61", LocalizedText{Text: "a"}},
	{"LocalizedText null", "00", LocalizedText{}},
	{"ExtensionObject null", "0000 00", ExtensionObject{}},
	{"ExtensionObject", "01 00 4101 01 09000000 05000000 616e6f6e79", ExtensionObject{TypeId: NumericId(0, 321), Body: []byte("\x05\x00\x00\x00anony")}},
	{"ExtensionObject XML", "00 07 02 04000000 3c612f3e", ExtensionObject{TypeId: NumericId(0, 7), Xml: true, Body: []byte("<a/>")}},
	{"DataValue empty", "00", DataValue{}},
	{"DataValue", "3f 0305 00001a80 0100000000000000 0200 0300000000000000 0400", DataValue{ // value, status, source, ps, server, ps
		Value: Byte(5), Status: 0x801a0000, SourceTimestamp: 1, SourcePicoseconds: 2, ServerTimestamp: 3, ServerPicoseconds: 4, Has: 0x3f,
	}},
	{"DataValue good that is said", "03 0101 00000000", DataValue{Value: Bool(true), Has: HasValue | HasStatus}},
	{"Variant null", "00", Variant{}},
	{"Variant Boolean", "01 01", Bool(true)},
	{"Variant String empty", "0c 00000000", String("")},
	{"Variant ByteString null", "0f ffffffff", ByteString(nil)},
	{"Variant NodeId", "11 00 55", NodeIdValue(NumericId(0, 0x55))},
	{"Variant array", "86 02000000 01000000 feffffff", Int32Array([]int32{1, -2})},
	{"Variant array null", "8b ffffffff", DoubleArray(nil)},
	{"Variant array empty", "8b 00000000", DoubleArray([]float64{})},
	{"Variant matrix", "c3 04000000 01020304 02000000 02000000 02000000", Matrix([]uint32{2, 2}, ByteArray([]byte{1, 2, 3, 4}))},
	{"Variant of Variants", "98 02000000 0101 98 01000000 00", VariantArray([]Variant{Bool(true), VariantArray([]Variant{{}})})},
	{"Variant DataValue", "17 01 0101", DataValueValue(DataValue{Value: Bool(true), Has: HasValue})},
	{"DiagnosticInfo empty", "00", DiagnosticInfo{}},
	{"DiagnosticInfo", "7f 01000000 02000000 03000000 04000000 01000000 61 00000a80 00", DiagnosticInfo{ // symbol, uri, locale, text, info, status, inner
		SymbolicId: 1, NamespaceUri: 2, Locale: 3, LocalizedText: 4, AdditionalInfo: "a", InnerStatusCode: BadTimeout,
		InnerDiagnosticInfo: &DiagnosticInfo{}, Has: 0x7f,
	}},
}

// written appends x with the function of its type.
func written(t testing.TB, x any) []byte {
	t.Helper()
	switch v := x.(type) {
	case bool:
		return AppendBoolean(nil, v)
	case int8:
		return AppendSByte(nil, v)
	case uint8:
		return AppendByte(nil, v)
	case int16:
		return AppendInt16(nil, v)
	case uint16:
		return AppendUInt16(nil, v)
	case int32:
		return AppendInt32(nil, v)
	case uint32:
		return AppendUInt32(nil, v)
	case int64:
		return AppendInt64(nil, v)
	case uint64:
		return AppendUInt64(nil, v)
	case float32:
		return AppendFloat(nil, v)
	case float64:
		return AppendDouble(nil, v)
	case string:
		return AppendString(nil, v)
	case DateTime:
		return AppendDateTime(nil, v)
	case Guid:
		return AppendGuid(nil, v)
	case []byte:
		return AppendByteString(nil, v)
	case XmlElement:
		return AppendXmlElement(nil, v)
	case NodeId:
		return AppendNodeId(nil, v)
	case ExpandedNodeId:
		return AppendExpandedNodeId(nil, v)
	case StatusCode:
		return AppendStatusCode(nil, v)
	case QualifiedName:
		return AppendQualifiedName(nil, v)
	case LocalizedText:
		return AppendLocalizedText(nil, v)
	case ExtensionObject:
		return AppendExtensionObject(nil, v)
	case DataValue:
		return AppendDataValue(nil, v)
	case Variant:
		return AppendVariant(nil, v)
	case DiagnosticInfo:
		return AppendDiagnosticInfo(nil, v)
	}
	t.Fatalf("no such type: %T", x)
	return nil
}

// read reads a built-in type.
func read(d *Decoder, k TypeId) any {
	switch k {
	case TypeBoolean:
		return d.Bool()
	case TypeSByte:
		return d.I8()
	case TypeByte:
		return d.U8()
	case TypeInt16:
		return d.I16()
	case TypeUInt16:
		return d.U16()
	case TypeInt32:
		return d.I32()
	case TypeUInt32:
		return d.U32()
	case TypeInt64:
		return d.I64()
	case TypeUInt64:
		return d.U64()
	case TypeFloat:
		return d.F32()
	case TypeDouble:
		return d.F64()
	case TypeString:
		return d.String()
	case TypeDateTime:
		return d.DateTime()
	case TypeGuid:
		return d.Guid()
	case TypeByteString:
		return d.Bytes()
	case TypeXmlElement:
		return d.XmlElement()
	case TypeNodeId:
		return d.NodeId()
	case TypeExpandedNodeId:
		return d.ExpandedNodeId()
	case TypeStatusCode:
		return d.StatusCode()
	case TypeQualifiedName:
		return d.QualifiedName()
	case TypeLocalizedText:
		return d.LocalizedText()
	case TypeExtensionObject:
		return d.ExtensionObject()
	case TypeDataValue:
		return d.DataValue()
	case TypeVariant:
		return d.Variant()
	default:
		return d.DiagnosticInfo()
	}
}

// kindOf returns the type that the name of a golden begins with.
func kindOf(t testing.TB, name string) TypeId {
	t.Helper()
	first, _, _ := strings.Cut(name, " ")
	for k := TypeBoolean; k <= TypeDiagnosticInfo; k++ {
		if k.String() == first {
			return k
		}
	}
	t.Fatalf("no type %s", first)
	return 0
}

func TestEveryBuiltinTypeAgainstTheSpecification(t *testing.T) {
	seen := map[TypeId]bool{}
	for _, g := range goldens {
		k := kindOf(t, g.name)
		seen[k] = true
		want := hexOf(t, g.bytes)
		if got := written(t, g.value); !bytes.Equal(got, want) {
			t.Errorf("%s: wrote % x, want % x", g.name, got, want)
		}
		d := NewDecoder(want, Limits{})
		got := read(&d, k)
		if err := d.Done(); err != nil {
			t.Errorf("%s: %v", g.name, err)
		}
		if !sameValue(got, g.value) {
			t.Errorf("%s: read %#v, want %#v", g.name, got, g.value)
		}
		for n := range len(want) {
			d := NewDecoder(want[:n], Limits{})
			read(&d, k)
			if d.Err() == nil {
				t.Errorf("%s: %d of %d bytes are taken for all of it", g.name, n, len(want))
			}
		}
	}
	if len(seen) != int(TypeDiagnosticInfo) {
		t.Errorf("%d of %d types are tested", len(seen), TypeDiagnosticInfo)
	}
}

// sameValue is DeepEqual with NaN equal to NaN.
func sameValue(a, b any) bool {
	switch x := a.(type) {
	case float32:
		return x == b.(float32) || x != x
	case float64:
		return x == b.(float64) || x != x
	}
	return reflect.DeepEqual(a, b)
}

func TestEveryVariantReadsAsItWasWritten(t *testing.T) {
	f := newFiller(2)
	for _, v := range append(f.scalars(), f.arrays()...) {
		b := v.AppendTo(nil)
		d := NewDecoder(b, Limits{})
		got := d.Variant()
		if err := d.Done(); err != nil || !got.Equal(v) || got.Type() != v.Type() || got.IsArray() != v.IsArray() || got.Len() != v.Len() {
			t.Errorf("%v reads as %v, %v", v, got, err)
		}
		if again := got.AppendTo(nil); !bytes.Equal(again, b) {
			t.Errorf("%v: wrote % x, and again % x", v, b, again)
		}
		other := v
		other.kind ^= 1
		if v.Equal(other) || v.Equal(String("other")) {
			t.Errorf("%v equals something else", v)
		}
		if !v.IsNull() && got.String() == "null" {
			t.Errorf("%v prints as null", v.Type())
		}
	}
}

func TestWhatOthersWriteIsRead(t *testing.T) {
	for _, x := range []struct {
		name, bytes string
		want        Variant
	}{
		{"a Boolean of 7", "01 07", Bool(true)},
		{"an id that is not yet defined", "1a 02000000 0102", ByteString([]byte{1, 2})},
		{"an array of those", "9f 01000000 01000000 05", ByteStringArray([][]byte{{5}})},
		{"a string that is null", "0c ffffffff", Variant{kind: TypeString, bits: 1}},
		{"one dimension", "c3 02000000 0102 01000000 02000000", ByteArray([]byte{1, 2})},
		{"no dimensions", "c3 02000000 0102 ffffffff", ByteArray([]byte{1, 2})},
		{"an array of Booleans", "81 02000000 02 00", BoolArray([]bool{true, false})},
		{"a numeric NodeId in a long form", "11 02 0000 05000000", NodeIdValue(NumericId(0, 5))},
		{"unknown bits of a LocalizedText", "15 f2 01000000 61", LocalizedTextValue(LocalizedText{Text: "a"})},
		{"a Variant in a Variant", "18 01 01", Bool(true)},
		{"an array in a Variant in a Variant", "18 18 81 02000000 01 00", BoolArray([]bool{true, false})},
		{"unknown bits of a DataValue", "17 c1 0101", DataValueValue(DataValue{Value: Bool(true), Has: HasValue})},
	} {
		d := NewDecoder(hexOf(t, x.bytes), Limits{})
		if got := d.Variant(); d.Done() != nil || !got.Equal(x.want) {
			t.Errorf("%s: %v, %v; want %v", x.name, got, d.Err(), x.want)
		}
	}
}

func TestBadBytesAreRefused(t *testing.T) {
	for _, x := range []struct {
		name, bytes string
		status      StatusCode
	}{
		{"a type that cannot be", "20", BadDecodingError},
		{"a Variant in a Variant, of which nothing is there", "18", BadDecodingError},
		{"dimensions of a scalar", "41 01", BadDecodingError},
		{"an array of nothing", "80 01000000 00", BadDecodingError},
		{"a negative length", "86 feffffff", BadDecodingError},
		{"more elements than bytes", "83 05000000 01020304", BadDecodingError},
		{"2^31-1 elements", "83 ffffff7f 01", BadEncodingLimitsExceeded},
		{"a dimension of 0", "c3 00000000 02000000 00000000 02000000", BadDecodingError},
		{"dimensions with another product", "c3 02000000 0102 02000000 02000000 02000000", BadDecodingError},
		{"dimensions whose product overflows", "c3 01000000 01 04000000 00000100 00000100 00000100 00000100", BadDecodingError},
		{"a negative dimension", "c3 01000000 01 02000000 ffffffff ffffffff", BadDecodingError},
		{"a negative length of a string", "0c feffffff", BadDecodingError},
		{"a string beyond the end", "0c 05000000 61", BadDecodingError},
		{"a string of 2^31-1 bytes", "0c ffffff7f", BadEncodingLimitsExceeded},
		{"a NodeId of an unknown form", "11 06 00", BadDecodingError},
		{"a NodeId with a server", "11 41 01 0001 07000000", BadDecodingError},
		{"an ExtensionObject without a length", "16 0000 01 ffffffff", BadDecodingError},
		{"an ExtensionObject of an unknown encoding", "16 0000 03", BadDecodingError},
		{"a Guid that ends", "0e 0102030405060708090a0b0c0d0e0f", BadDecodingError},
	} {
		d := NewDecoder(hexOf(t, x.bytes), Limits{})
		v := d.Variant()
		if got := d.Status(); got != x.status || d.Left() != 0 || d.U32() != 0 || d.Err() == nil {
			t.Errorf("%s: %v, and the value %v", x.name, d.Err(), v)
		}
	}
}
