// Package opcua holds the OPC UA stack to others'.
package opcua

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strconv"
	"testing"

	peer "github.com/gopcua/opcua/ua"

	"millrace/opcua/ua"
)

// filler sets every field of a structure to what both stacks write alike: no empty strings, no null arrays, times that gopcua's way through
// time.Time keeps, ExtensionObjects of a type that it knows.
type filler struct{ n int }

func (f *filler) fill(v reflect.Value) {
	f.n++
	switch x := v.Addr().Interface().(type) {
	case *ua.DateTime:
		*x = 133e15 + ua.DateTime(f.n)
	case *ua.Variant:
		*x = variants()[f.n%len(variants())]
	case *ua.DataValue:
		*x = ua.DataValue{
			Value: variants()[f.n%len(variants())], Status: ua.BadTimeout, SourceTimestamp: 133e15, ServerTimestamp: 134e15,
			SourcePicoseconds: 10, ServerPicoseconds: 20, Has: 0x3f,
		}
	case *ua.ExtensionObject:
		*x = ua.Wrap(&ua.Range{Low: 1, High: float64(f.n)})
	case *ua.DiagnosticInfo:
		*x = ua.DiagnosticInfo{
			SymbolicId: 1, NamespaceUri: 2, Locale: 3, LocalizedText: 4, AdditionalInfo: "more", InnerStatusCode: ua.BadTimeout,
			InnerDiagnosticInfo: &ua.DiagnosticInfo{SymbolicId: 5, Has: ua.HasSymbolicId}, Has: 0x7f,
		}
	case *ua.NodeId:
		*x = nodeIds()[f.n%len(nodeIds())]
	case *ua.ExpandedNodeId:
		*x = ua.ExpandedNodeId{NodeId: ua.NumericId(0, uint32(f.n)), NamespaceUri: "urn:peer", ServerIndex: 3}
	case *ua.Guid:
		*x = guid
	default:
		f.fillKind(v)
	}
}

func (f *filler) fillKind(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("text " + strconv.Itoa(f.n))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(f.n) / 4)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(f.n % 100))
	default:
		v.SetUint(uint64(f.n % 200))
	}
}

var guid = ua.Guid{D1: 0x72962b91, D2: 0xfa75, D3: 0x4ae6, D4: [8]byte{0x8d, 0x28, 0xb4, 0x04, 0xdc, 0x7d, 0xaf, 0x63}}

func nodeIds() []ua.NodeId {
	return []ua.NodeId{
		ua.NumericId(0, 200), ua.NumericId(3, 1000), ua.NumericId(300, 70000), ua.StringId(2, "boiler"), ua.GuidId(2, guid), ua.OpaqueId(2, []byte{1, 2, 3}),
	}
}

// variants returns a value, an array and a matrix of each type that a value can be of.
func variants() []ua.Variant {
	ids := nodeIds()
	text := ua.LocalizedText{Locale: "de", Text: "Kessel"}
	expanded := ua.ExpandedNodeId{NodeId: ids[3], NamespaceUri: "urn:peer"}
	object := ua.Wrap(&ua.Range{Low: 1, High: 2})
	out := []ua.Variant{
		{}, ua.Bool(true), ua.SByte(-5), ua.Byte(200), ua.Int16(-300), ua.UInt16(60000), ua.Int32(-70000), ua.UInt32(4e9), ua.Int64(-5e15), ua.UInt64(1 << 63),
		ua.Float(1.5), ua.Double(-2.25), ua.String("text"), ua.DateTimeValue(133e15), ua.GuidValue(guid), ua.ByteString([]byte{1, 2}), ua.XmlElementValue("<a/>"),
		ua.ExpandedNodeIdValue(expanded), ua.StatusValue(ua.BadTimeout), ua.QualifiedNameValue(ua.QualifiedName{NamespaceIndex: 3, Name: "q"}),
		ua.LocalizedTextValue(text), ua.ExtensionObjectValue(object),

		ua.BoolArray([]bool{true, false}), ua.SByteArray([]int8{-1, 2}), ua.ByteArray([]byte{1, 2, 3}), ua.Int16Array([]int16{-2, 3}), ua.UInt16Array([]uint16{65535, 0}),
		ua.Int32Array([]int32{-9, 9}), ua.UInt32Array([]uint32{1 << 31}), ua.Int64Array([]int64{-1 << 62}), ua.UInt64Array([]uint64{1 << 63}),
		ua.FloatArray([]float32{0.5, -1}), ua.DoubleArray([]float64{3.25, 1e300}), ua.StringArray([]string{"a", "b"}), ua.DateTimeArray([]ua.DateTime{133e15}),
		ua.GuidArray([]ua.Guid{guid}), ua.XmlElementArray([]ua.XmlElement{"<x/>"}), ua.NodeIdArray(ids),
		ua.ExpandedNodeIdArray([]ua.ExpandedNodeId{expanded}), ua.StatusArray([]ua.StatusCode{ua.Good, ua.BadTimeout}),
		ua.QualifiedNameArray([]ua.QualifiedName{{NamespaceIndex: 1, Name: "a"}}), ua.LocalizedTextArray([]ua.LocalizedText{text}),
		ua.ExtensionObjectArray([]ua.ExtensionObject{object, object}),
		ua.DataValueArray([]ua.DataValue{{Value: ua.Double(1), Has: ua.HasValue}}), ua.VariantArray([]ua.Variant{ua.Int32(1), ua.StringArray([]string{"a"})}),

		ua.Matrix([]uint32{2, 3}, ua.Int32Array([]int32{1, 2, 3, 4, 5, 6})), ua.Matrix([]uint32{2, 1, 2}, ua.StringArray([]string{"a", "b", "c", "d"})),
	}
	for _, id := range ids {
		out = append(out, ua.NodeIdValue(id))
	}
	return out
}

func TestGopcuaReadsAndWritesOurVariants(t *testing.T) {
	for _, v := range variants() {
		want := v.AppendTo(nil)
		got := new(peer.Variant)
		n, err := got.Decode(want)
		if err != nil || n != len(want) {
			t.Errorf("%v: gopcua reads %d of %d bytes, %v", v, n, len(want), err)
			continue
		}
		back, err := got.Encode()
		if err != nil || !bytes.Equal(back, want) {
			t.Errorf("%v: %v\nours   %x\ngopcua %x", v, err, want, back)
		}
	}
}

// TestGopcuaLosesByteStrings holds the one difference: 0.9.0 writes the length of an array of ByteString and nothing behind it. When it fails, the array
// belongs to variants.
func TestGopcuaLosesByteStrings(t *testing.T) {
	v := ua.ByteStringArray([][]byte{{1}, {2, 3}})
	want := v.AppendTo(nil)
	got := new(peer.Variant)
	if n, err := got.Decode(want); err != nil || n != len(want) {
		t.Fatalf("gopcua reads %d of %d bytes, %v", n, len(want), err)
	}
	if back, err := got.Encode(); err != nil || !bytes.Equal(back, want[:5]) {
		t.Errorf("gopcua writes %x, %v", back, err)
	}
}

func TestGopcuaReadsAndWritesOurStructures(t *testing.T) {
	compared, missing := 0, []string{}
	for id := range uint32(1 << 16) {
		m, ok := ua.NewMessage(id)
		if !ok {
			continue
		}
		name := reflect.TypeOf(m).Elem().Name()
		new(filler).fill(reflect.ValueOf(m).Elem())
		ours, theirs, err := throughPeer(m)
		switch {
		case errors.Is(err, errUnknown):
			missing = append(missing, name)
		case err != nil || !bytes.Equal(ours, theirs):
			t.Errorf("%s: %v\nours   %s\ngopcua %s", name, err, hex.EncodeToString(ours), hex.EncodeToString(theirs))
		default:
			compared++
		}
	}
	t.Logf("%d structures are read and written alike; gopcua does not know %v", compared, missing)
	if compared < 250 {
		t.Errorf("only %d structures were compared", compared)
	}
}

var errUnknown = errors.New("gopcua does not know it")

// throughPeer returns m as we write it and as gopcua writes what it has read from that: as a service's message, or else as the body of an ExtensionObject.
func throughPeer(m ua.Message) (ours, theirs []byte, err error) {
	ours = ua.AppendMessage(nil, m)
	id, service, err := peer.DecodeService(ours)
	if err == nil {
		return join(ours, id, service)
	}
	x := ua.Wrap(m)
	ours = x.AppendTo(nil)
	object := new(peer.ExtensionObject)
	if _, err := object.Decode(ours); err != nil {
		return ours, nil, err
	}
	if object.Value == nil { // also a structure without fields
		return ours, nil, errUnknown
	}
	theirs, err = object.Encode()
	return ours, theirs, err
}

func join(ours []byte, parts ...any) (_, theirs []byte, err error) {
	for _, p := range parts {
		b, err := peer.Encode(p)
		if err != nil {
			return ours, nil, err
		}
		theirs = append(theirs, b...)
	}
	return ours, theirs, nil
}
