package driver

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"millrace/internal/tag"
	"millrace/opcua/ua"
)

// stamp is a source time that a row must have.
const stamp = int64(1_700_000_000_123_456_700)

func decodedOPCUA(v ua.Variant, element bool) (tag.Value, tag.Batch) {
	var b tag.Batch
	b.AppendString(9, 0, 0, "in front") // so that nothing lies at offset 0
	appendOPCUA(&b, 1, &ua.DataValue{Value: v, SourceTimestamp: ua.DateTimeOfUnixNano(stamp)}, element)
	return b.Value(1), b
}

func TestOPCUAValuesBecomeRows(t *testing.T) {
	guid := ua.Guid{D1: 1, D2: 2, D3: 3}
	for _, c := range []struct {
		v    ua.Variant
		kind tag.Kind
		want string
	}{
		{ua.Bool(true), tag.Bool, "true"},
		{ua.SByte(-5), tag.Int8, "-5"},
		{ua.Byte(250), tag.Uint8, "250"},
		{ua.Int16(-300), tag.Int16, "-300"},
		{ua.UInt16(65535), tag.Uint16, "65535"},
		{ua.Int32(math.MinInt32), tag.Int32, "-2147483648"},
		{ua.UInt32(math.MaxUint32), tag.Uint32, "4294967295"},
		{ua.Int64(math.MinInt64), tag.Int64, "-9223372036854775808"},
		{ua.UInt64(math.MaxUint64), tag.Uint64, "18446744073709551615"},
		{ua.Float(1.5), tag.Float32, "1.5"},
		{ua.Double(-0.25), tag.Float64, "-0.25"},
		{ua.String("grün"), tag.String, "grün"},
		{ua.String(""), tag.String, ""},
		{ua.DateTimeValue(ua.DateTimeOf(time.Date(2025, 3, 1, 12, 0, 0, 100, time.UTC))), tag.DateTime, `"2025-03-01T12:00:00.0000001Z"`},
		{ua.GuidValue(guid), tag.String, "00000001-0002-0003-0000-000000000000"},
		{ua.ByteString([]byte{1, 2, 3}), tag.ByteString, `"AQID"`},
		{ua.ByteString(nil), tag.ByteString, `""`},
		{ua.XmlElementValue("<a/>"), tag.String, "<a/>"},
		{ua.NodeIdValue(ua.StringId(2, "x")), tag.String, "ns=2;s=x"},
		{ua.ExpandedNodeIdValue(ua.ExpandedNodeId{NodeId: ua.NumericId(0, 5), NamespaceUri: "urn:x"}), tag.String, "nsu=urn:x;i=5"},
		{ua.StatusValue(ua.BadTimeout), tag.Uint32, "2148139008"},
		{ua.QualifiedNameValue(ua.QualifiedName{NamespaceIndex: 2, Name: "q"}), tag.String, "2:q"},
		{ua.LocalizedTextValue(ua.LocalizedText{Locale: "de", Text: "Kessel"}), tag.String, "Kessel"},
		{ua.ExtensionObjectValue(ua.ExtensionObject{TypeId: ua.NumericId(2, 9), Body: []byte{7}}), tag.ByteString, `"Bw=="`},

		{ua.BoolArray([]bool{true, false}), tag.Bool | tag.Array, "[true,false]"},
		{ua.SByteArray([]int8{-1, 2}), tag.Int8 | tag.Array, "[-1,2]"},
		{ua.ByteArray([]uint8{1, 255}), tag.Uint8 | tag.Array, "[1,255]"},
		{ua.Int16Array([]int16{-1}), tag.Int16 | tag.Array, "[-1]"},
		{ua.UInt16Array([]uint16{65535}), tag.Uint16 | tag.Array, "[65535]"},
		{ua.Int32Array([]int32{-7, 7}), tag.Int32 | tag.Array, "[-7,7]"},
		{ua.UInt32Array([]uint32{7}), tag.Uint32 | tag.Array, "[7]"},
		{ua.Int64Array([]int64{-9}), tag.Int64 | tag.Array, "[-9]"},
		{ua.UInt64Array([]uint64{9}), tag.Uint64 | tag.Array, "[9]"},
		{ua.FloatArray([]float32{1.5, 2}), tag.Float32 | tag.Array, "[1.5,2]"},
		{ua.DoubleArray(nil), tag.Float64 | tag.Array, "[]"},
		{ua.DoubleArray([]float64{1, 2.5}), tag.Float64 | tag.Array, "[1,2.5]"},
		{ua.StringArray([]string{"a", "", "b"}), tag.String | tag.Array, `["a","","b"]`},
		{ua.DateTimeArray([]ua.DateTime{ua.DateTimeOfUnixNano(0)}), tag.DateTime | tag.Array, `["1970-01-01T00:00:00Z"]`},
		{ua.GuidArray([]ua.Guid{guid}), tag.String | tag.Array, `["00000001-0002-0003-0000-000000000000"]`},
		{ua.ByteStringArray([][]byte{{1}, nil}), tag.ByteString | tag.Array, `["AQ==",""]`},
		{ua.XmlElementArray([]ua.XmlElement{"<a>"}), tag.String | tag.Array, `["\u003ca\u003e"]`},
		{ua.NodeIdArray([]ua.NodeId{ua.NumericId(1, 2)}), tag.String | tag.Array, `["ns=1;i=2"]`},
		{ua.ExpandedNodeIdArray([]ua.ExpandedNodeId{{NodeId: ua.NumericId(1, 2)}}), tag.String | tag.Array, `["ns=1;i=2"]`},
		{ua.StatusArray([]ua.StatusCode{0, 1}), tag.Uint32 | tag.Array, "[0,1]"},
		{ua.QualifiedNameArray([]ua.QualifiedName{{Name: "a"}}), tag.String | tag.Array, `["a"]`},
		{ua.LocalizedTextArray([]ua.LocalizedText{{Text: "a"}}), tag.String | tag.Array, `["a"]`},
		{ua.ExtensionObjectArray([]ua.ExtensionObject{{TypeId: ua.NumericId(2, 9), Body: []byte{7}}}), tag.ByteString | tag.Array, `["Bw=="]`},
		{ua.VariantArray([]ua.Variant{ua.Int16(3), ua.String("x")}), tag.String | tag.Array, `["3","x"]`},
		{ua.Matrix([]uint32{2, 2}, ua.Int32Array([]int32{1, 2, 3, 4})), tag.Int32 | tag.Array, "[1,2,3,4]"},
	} {
		v, b := decodedOPCUA(c.v, false)
		if v.Kind != c.kind || v.String() != c.want || b.TS[1] != stamp || b.Quality[1] != tag.Good {
			t.Errorf("%v %v is %v %s at %d", c.v.Type(), c.v, v.Kind, v, b.TS[1])
		}
		if !c.v.IsArray() || c.v.Len() != 1 {
			continue
		}
		e, _ := decodedOPCUA(c.v, true)
		want, _ := v.Elem(0)
		if e.Kind != c.kind.Elem() || e.String() != want.String() {
			t.Errorf("the element of %v is %v %s, want %s", c.v, e.Kind, e, want)
		}
	}
}

func TestOPCUAQualityAndTime(t *testing.T) {
	for _, c := range []struct {
		v    ua.DataValue
		q    tag.Quality
		kind tag.Kind
		ts   int64
	}{
		{ua.DataValue{Value: ua.Int32(1)}, tag.Good, tag.Int32, 0},
		{ua.DataValue{Value: ua.Int32(1), ServerTimestamp: ua.DateTimeOfUnixNano(stamp)}, tag.Good, tag.Int32, stamp},
		{ua.DataValue{Value: ua.Int32(1), SourceTimestamp: ua.DateTimeOfUnixNano(stamp), ServerTimestamp: 99}, tag.Good, tag.Int32, stamp},
		{ua.DataValue{Value: ua.Int32(1), Status: ua.UncertainLastUsableValue}, tag.UncertainLastUsable, tag.Int32, 0},
		{ua.DataValue{Value: ua.Int32(1), Status: ua.BadSensorFailure}, tag.BadSensorFailure, tag.Null, 0},
		{ua.DataValue{Status: ua.BadNodeIdUnknown}, tag.BadNodeIDUnknown, tag.Null, 0},
		{ua.DataValue{}, tag.Good, tag.Null, 0},
		{ua.DataValue{Value: ua.Int32(1), Status: 0x12340000}, 0x12340000, tag.Int32, 0},
	} {
		var b tag.Batch
		appendOPCUA(&b, 7, &c.v, false)
		if b.Len() != 1 || b.ID[0] != 7 || b.Quality[0] != c.q || b.Kind[0] != c.kind || b.TS[0] != c.ts {
			t.Errorf("%+v is %+v", c.v, b)
		}
	}
}

func TestOPCUADecodingAllocatesNothing(t *testing.T) {
	values := []ua.DataValue{
		{Value: ua.Double(1)}, {Value: ua.String("text")}, {Value: ua.DoubleArray([]float64{1, 2, 3})}, {Value: ua.StringArray([]string{"a", "b"})},
		{Value: ua.ByteString([]byte("bytes"))}, {Value: ua.DateTimeValue(5)}, {Status: ua.BadTimeout}, {Value: ua.Int16Array([]int16{4})},
		{Value: ua.LocalizedTextValue(ua.LocalizedText{Text: "Kessel"})},
	}
	var b tag.Batch
	if n := testing.AllocsPerRun(100, func() {
		b.Reset()
		for i := range values {
			appendOPCUA(&b, 1, &values[i], i == 7)
		}
	}); n != 0 && !underRace {
		t.Errorf("%v allocations", n)
	}
}

// What is typed becomes what the node takes.
func TestOPCUAWhatIsTypedIsWritten(t *testing.T) {
	for _, c := range []struct {
		address, text string
		want          ua.Variant
	}{
		{"i=1;Boolean", "on", ua.Bool(true)},
		{"i=1;SByte", "-128", ua.SByte(-128)},
		{"i=1;Byte", "0xFF", ua.Byte(255)},
		{"i=1;Int16", "-5", ua.Int16(-5)},
		{"i=1;UInt16", "65535", ua.UInt16(65535)},
		{"i=1;Int32", "42.0", ua.Int32(42)},
		{"i=1;UInt32", "007", ua.UInt32(7)},
		{"i=1;Int64", "-9223372036854775808", ua.Int64(math.MinInt64)},
		{"i=1;UInt64", "18446744073709551615", ua.UInt64(math.MaxUint64)},
		{"i=1;Float", "1.5", ua.Float(1.5)},
		{"i=1;Double", "1e300", ua.Double(1e300)},
		{"i=1;String", "007", ua.String("007")},
		{"i=1;String", "", ua.String("")},
		{"i=1;DateTime", "2025-03-01", ua.DateTimeValue(ua.DateTimeOf(time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC)))},
		{"i=1;DateTime", "2025-03-01T13:00:00+01:00", ua.DateTimeValue(ua.DateTimeOf(time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)))},
		{"i=1;Guid", "00000001-0002-0003-0000-000000000000", ua.GuidValue(ua.Guid{D1: 1, D2: 2, D3: 3})},
		{"i=1;ByteString", "0x010203", ua.ByteString([]byte{1, 2, 3})},
		{"i=1;ByteString", "AQID", ua.ByteString([]byte{1, 2, 3})},
		{"i=1;XmlElement", "<a/>", ua.XmlElementValue("<a/>")},
		{"i=1;NodeId", "ns=2;s=x", ua.NodeIdValue(ua.StringId(2, "x"))},
		{"i=1;ExpandedNodeId", "ns=2;s=x", ua.ExpandedNodeIdValue(ua.ExpandedNodeId{NodeId: ua.StringId(2, "x")})},
		{"i=1;StatusCode", "0x80000000", ua.StatusValue(0x80000000)},
		{"i=1;StatusCode", "BadNodeIdUnknown", ua.StatusValue(ua.BadNodeIdUnknown)},
		{"i=1;StatusCode", "uncertain", ua.StatusValue(ua.Uncertain)},
		{"i=1;StatusCode[]", "[Good, 2150891520]", ua.StatusArray([]ua.StatusCode{ua.Good, 2150891520})},
		{"i=1;QualifiedName", "2:q", ua.QualifiedNameValue(ua.QualifiedName{NamespaceIndex: 2, Name: "q"})},
		{"i=1;LocalizedText", "Kessel", ua.LocalizedTextValue(ua.LocalizedText{Text: "Kessel"})},
		{"i=1;Int16[]", "[1, -2]", ua.Int16Array([]int16{1, -2})},
		{"i=1;Int16[]", "[]", ua.Int16Array([]int16{})},
		{"i=1;Double[]", "[1.5]", ua.DoubleArray([]float64{1.5})},
		{"i=1;Boolean[]", "[true,false]", ua.BoolArray([]bool{true, false})},
		{"i=1;String[]", `["a,b",""]`, ua.StringArray([]string{"a,b", ""})},
		{"i=1;Guid[]", "[00000001-0002-0003-0000-000000000000]", ua.GuidArray([]ua.Guid{{D1: 1, D2: 2, D3: 3}})},
		{"i=1;Int16[]", "[[1,2,3],[4,5,6]]", ua.Matrix([]uint32{2, 3}, ua.Int16Array([]int16{1, 2, 3, 4, 5, 6}))},
		{"i=1;String[]", `[["a],","b\""], ["c", "d"]]`, ua.Matrix([]uint32{2, 2}, ua.StringArray([]string{"a],", `b"`, "c", "d"}))},
		{"i=1;Byte[]", "[[[1],[2]]]", ua.Matrix([]uint32{1, 2, 1}, ua.ByteArray([]byte{1, 2}))},
		{"i=1;[2];Int16", "5", ua.Int16Array([]int16{5})},
		{"i=1;[2];Int16[]", "5", ua.Int16Array([]int16{5})},
		{"i=1;[1:2];Int16", "[5,6]", ua.Int16Array([]int16{5, 6})},
	} {
		v, err := OPCUA{}.ParseValue(c.address, c.text)
		if err != nil {
			t.Errorf("%s=%s: %v", c.address, c.text, err)
			continue
		}
		p, _ := parseOPCUA(c.address)
		got, err := p.encode(v, p.writeType())
		if err != nil || !got.Equal(c.want) {
			t.Errorf("%s=%s is %v %v, %v", c.address, c.text, got.Type(), got, err)
		}
	}
}

// Every type that can be written comes back as what was written, alone and as an array.
func TestOPCUAWritesReadBack(t *testing.T) {
	texts := map[ua.TypeId]string{ua.TypeBoolean: "true", ua.TypeDateTime: "2025-03-01", ua.TypeByteString: "AQID", ua.TypeNodeId: "ns=2;s=x", ua.TypeExpandedNodeId: "ns=2;s=x",
		ua.TypeGuid: "00000001-0002-0003-0000-000000000000"}
	for typ := ua.TypeBoolean; typ <= ua.TypeLocalizedText; typ++ {
		text := texts[typ]
		if text == "" {
			text = "7"
		}
		p := opcuaPoint{node: ua.NumericId(1, 1), attr: ua.AttributeValue}
		one, err := p.encode(tag.Value{Kind: tag.String, Aux: []byte(text)}, opcuaWriteType{typ: typ, array: false})
		if err != nil || one.Type() != typ {
			t.Errorf("%v: %v, %v", typ, one, err)
			continue
		}
		many, err := p.encode(tag.Value{Kind: tag.String, Aux: []byte("[" + text + "]")}, opcuaWriteType{typ: typ, array: true})
		if err != nil || many.Type() != typ || many.Len() != 1 {
			t.Errorf("%v[]: %v, %v", typ, many, err)
			continue
		}
		a, _ := decodedOPCUA(one, false)
		b, _ := decodedOPCUA(many, true)
		if a.Kind != opcuaKind(typ) || a.Kind != b.Kind || a.String() != b.String() {
			t.Errorf("%v: %v %s, and in an array %v %s", typ, a.Kind, a, b.Kind, b)
		}
		back, err := p.encode(a, opcuaWriteType{typ: typ, array: false}) // as the gateway writes what it read
		if err != nil || !back.Equal(one) {
			t.Errorf("%v: %v is written as %v, %v", typ, a, back, err)
		}
	}
}

func TestOPCUAValuesThatDoNotFit(t *testing.T) {
	for _, c := range []struct{ address, text, want string }{
		{"i=1;Boolean", "2", "it is no Boolean"},
		{"i=1;Byte", "256", "goes from 0 to 255"},
		{"i=1;StatusCode", "BadLuck", "it is no StatusCode"},
		{"i=1;SByte", "-129", "goes from -128 to 127"},
		{"i=1;Int16", "1.5", "whole numbers"},
		{"i=1;Int16", "x", "it is no Int16"},
		{"i=1;UInt64", "-1", "goes from 0"},
		{"i=1;Float", "1e39", "goes up to"},
		{"i=1;DateTime", "yesterday", "it is no DateTime"},
		{"i=1;Guid", "x", "no Guid"},
		{"i=1;NodeId", "x", "no NodeId"},
		{"i=1;ByteString", "0x1", "it is no ByteString"},
		{"i=1;Int16[]", "5", "an array is written"},
		{"i=1;Int16[]", "[[1,2],[3]]", "a matrix [[1,2],[3,4]]"},
		{"i=1;Int16[]", "[[1,2],3]", "a matrix [[1,2],[3,4]]"},
		{"i=1;Int16[]", "[[],[]]", "a matrix [[1,2],[3,4]]"},
		{"i=1;Int16[]", "[[1,2],[3,4]", "a matrix [[1,2],[3,4]]"},
		{"i=1;Int16[]", "[[[[[[[[[1]]]]]]]]]", "a matrix [[1,2],[3,4]]"},
		{"i=1;[1:2];Int16", "5", "an array is written"},
		{"i=1;Int16[]", "[1,70000]", "goes from"},
		{"i=1;DataType", "1", "is the server's"},
	} {
		_, err := OPCUA{}.ParseValue(c.address, c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%s: %v; want %q", c.address, c.text, err, c.want)
		}
	}
	p := opcuaPoint{node: ua.NumericId(1, 1), attr: ua.AttributeValue}
	for _, c := range []struct {
		v tag.Value
		t opcuaWriteType
	}{
		{tag.Float64Value(1), opcuaWriteType{typ: ua.TypeString, array: false}},
		{tag.Float64Value(1), opcuaWriteType{typ: ua.TypeDateTime, array: false}},
		{tag.Float64Value(1), opcuaWriteType{typ: ua.TypeByteString, array: false}},
		{tag.Float64Value(1), opcuaWriteType{typ: ua.TypeDouble, array: true}},
		{tag.Value{Kind: tag.Bool | tag.Array, Aux: []byte{1}}, opcuaWriteType{typ: ua.TypeBoolean, array: false}},
		{tag.Value{Kind: tag.DateTime}, opcuaWriteType{typ: ua.TypeDouble, array: false}},
	} {
		var ve *ValueError
		if got, err := p.encode(c.v, c.t); !errors.As(err, &ve) {
			t.Errorf("%v as %v: %v, %v", c.v, c.t, got, err)
		}
	}
	if got, err := p.encode(tag.Value{Kind: tag.String}, opcuaWriteType{typ: ua.TypeExtensionObject}); err == nil {
		t.Errorf("a structure is written as %v", got)
	}
}
