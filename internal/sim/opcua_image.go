package sim

import (
	"context"
	"fmt"
	"time"

	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

const (
	// OPCUANamespace is the namespace of everything that a simulator has of its own.
	OPCUANamespace = "urn:millrace:sim"
	opcuaServerURI = "urn:millrace:sim:server" // of the server itself, and of its certificate
	opcuaOtherURI  = "urn:millrace:sim:other"  // the namespace that comes in front with StaleNamespace
)

// opcuaType is a built-in type with its stated values, of s=static.NAME and s=static.NAMEArray; s=rw.NAME and s=rw.NAMEArray begin with them.
type opcuaType struct {
	id     ua.TypeId
	scalar ua.Variant
	array  ua.Variant
}

// opcuaTypes is the table of the static image. docs/simulator.md has the same in words.
func opcuaTypes() []opcuaType {
	at := ua.DateTimeOf(time.Date(2026, 3, 4, 5, 6, 7, 89_000_000, time.UTC))
	guid := ua.Guid{D1: 0x72962B91, D2: 0xFA75, D3: 0x4AE6, D4: [8]byte{0x8D, 0x28, 0xB4, 0x04, 0xDC, 0x7D, 0xAF, 0x63}}
	name := ua.QualifiedName{NamespaceIndex: 0, Name: "Millrace"}
	text := ua.LocalizedText{Locale: "de", Text: "Mühle"}
	node, server := ua.NumericId(0, ns0.Server), ua.StringId(0, "a b")
	return []opcuaType{
		{ua.TypeBoolean, ua.Bool(true), ua.BoolArray([]bool{true, false, true})},
		{ua.TypeSByte, ua.SByte(-100), ua.SByteArray([]int8{-128, 0, 127})},
		{ua.TypeByte, ua.Byte(200), ua.ByteArray([]uint8{0, 1, 255})},
		{ua.TypeInt16, ua.Int16(-12345), ua.Int16Array([]int16{-32768, 0, 32767})},
		{ua.TypeUInt16, ua.UInt16(54321), ua.UInt16Array([]uint16{0, 1, 65535})},
		{ua.TypeInt32, ua.Int32(-1234567890), ua.Int32Array([]int32{-2147483648, 0, 2147483647})},
		{ua.TypeUInt32, ua.UInt32(3456789012), ua.UInt32Array([]uint32{0, 1, 4294967295})},
		{ua.TypeInt64, ua.Int64(-1234567890123456789), ua.Int64Array([]int64{-9223372036854775808, 0, 9223372036854775807})},
		{ua.TypeUInt64, ua.UInt64(12345678901234567890), ua.UInt64Array([]uint64{0, 1, 18446744073709551615})},
		{ua.TypeFloat, ua.Float(3.1415927), ua.FloatArray([]float32{-1.5, 0, 2.25})},
		{ua.TypeDouble, ua.Double(2.718281828459045), ua.DoubleArray([]float64{-1.5, 0, 2.25})},
		{ua.TypeString, ua.String("Grüße Ω"), ua.StringArray([]string{"a", "", "ß"})},
		{ua.TypeDateTime, ua.DateTimeValue(at), ua.DateTimeArray([]ua.DateTime{at, 0})},
		{ua.TypeGuid, ua.GuidValue(guid), ua.GuidArray([]ua.Guid{guid, {}})},
		{ua.TypeByteString, ua.ByteString([]byte{0xCA, 0xFE, 0x00}), ua.ByteStringArray([][]byte{{0xCA, 0xFE}, {}})},
		{ua.TypeXmlElement, ua.XmlElementValue("<a/>"), ua.XmlElementArray([]ua.XmlElement{"<a/>", "<b/>"})},
		{ua.TypeNodeId, ua.NodeIdValue(node), ua.NodeIdArray([]ua.NodeId{node, server})},
		{ua.TypeExpandedNodeId, ua.ExpandedNodeIdValue(ua.ExpandedNodeId{NodeId: server}), ua.ExpandedNodeIdArray([]ua.ExpandedNodeId{{NodeId: node}, {NodeId: server}})},
		{ua.TypeStatusCode, ua.StatusValue(ua.BadSensorFailure), ua.StatusArray([]ua.StatusCode{ua.Good, ua.UncertainInitialValue})},
		{ua.TypeQualifiedName, ua.QualifiedNameValue(name), ua.QualifiedNameArray([]ua.QualifiedName{name, {Name: "b"}})},
		{ua.TypeLocalizedText, ua.LocalizedTextValue(text), ua.LocalizedTextArray([]ua.LocalizedText{text, {Text: "mill"}})},
	}
}

// opcuaNumbers returns the names of the types that are numbers, or can be read as one.
func opcuaNumbers() []string {
	var names []string
	for _, t := range opcuaTypes() {
		if t.id >= ua.TypeBoolean && t.id <= ua.TypeDouble {
			names = append(names, t.id.String())
		}
	}
	return names
}

// newOPCUASpace returns the address space of a server with so many live values; with other a namespace stands in front of the simulator's.
func newOPCUASpace(nodes int, other bool) (*opcua.Space, error) {
	space, err := opcua.NewSpace(opcua.SpaceConfig{ApplicationURI: opcuaServerURI})
	if err != nil {
		return nil, err
	}
	if other {
		if _, err := space.AddNamespace(opcuaOtherURI); err != nil {
			return nil, err
		}
	}
	ns, err := space.AddNamespace(OPCUANamespace)
	if err != nil {
		return nil, err
	}
	b := opcuaBuilder{space: space, ns: ns}
	b.folder(ua.NumericId(0, ns0.ObjectsFolder), "sim", "Simulator")
	b.statics()
	b.waves(nodes)
	b.methods()
	b.recipe()
	return space, b.err
}

// opcuaBuilder adds nodes until the first error.
type opcuaBuilder struct {
	space *opcua.Space
	ns    uint16
	err   error
}

func (b *opcuaBuilder) id(text string) ua.NodeId { return ua.StringId(b.ns, text) }

func (b *opcuaBuilder) name(text string) ua.QualifiedName {
	return ua.QualifiedName{NamespaceIndex: b.ns, Name: text}
}

func (b *opcuaBuilder) add(parent ua.NodeId, reference uint32, nodes ...opcua.Node) {
	if b.err == nil {
		b.err = b.space.Add(parent, ua.NumericId(0, reference), nodes...)
	}
}

func (b *opcuaBuilder) folder(parent ua.NodeId, text, name string) {
	b.add(parent, ns0.Organizes, opcua.Node{Id: b.id(text), Class: ua.NodeClassObject, BrowseName: b.name(name), TypeDefinition: ua.NumericId(0, ns0.FolderType)})
}

// variable returns the node of a value: of its type, and of its rank.
func (b *opcuaBuilder) variable(text string, v ua.Variant, level opcua.AccessLevel) opcua.Node {
	n := opcua.Node{
		Id: b.id(text), Class: ua.NodeClassVariable, BrowseName: b.name(text), DataType: ua.NumericId(0, uint32(v.Type())), ValueRank: -1, AccessLevel: level,
		Value: ua.DataValue{Value: v, SourceTimestamp: ua.DateTimeOf(time.Now())},
	}
	if v.IsArray() {
		n.ValueRank = int32(max(len(v.Dims()), 1))
	}
	return n
}

func (b *opcuaBuilder) statics() {
	b.folder(b.id("sim"), "static", "static")
	b.folder(b.id("sim"), "rw", "rw")
	for _, t := range opcuaTypes() {
		for suffix, v := range map[string]ua.Variant{"": t.scalar, "Array": t.array} {
			b.add(b.id("static"), ns0.Organizes, b.variable("static."+t.id.String()+suffix, v, opcua.AccessCurrentRead))
			b.add(b.id("rw"), ns0.Organizes, b.variable("rw."+t.id.String()+suffix, v, opcua.AccessCurrentRead|opcua.AccessCurrentWrite))
		}
	}
	matrix := ua.Matrix([]uint32{2, 3}, ua.DoubleArray([]float64{1, 2, 3, 4, 5, 6}))
	b.add(b.id("static"), ns0.Organizes, b.variable("static.DoubleMatrix", matrix, opcua.AccessCurrentRead))
	b.add(b.id("rw"), ns0.Organizes, b.variable("rw.DoubleMatrix", matrix, opcua.AccessCurrentRead|opcua.AccessCurrentWrite))
}

// waveStore has the live values: key k is wave k.
type waveStore struct{}

// ReadValues implements opcua.ValueStore. All values of a call are of one moment.
func (waveStore) ReadValues(_ context.Context, keys []uint64, values []ua.DataValue) {
	now := time.Now()
	at := ua.DateTimeOf(now)
	for i, k := range keys {
		values[i].Value, values[i].SourceTimestamp = ua.Double(float64(Wave(1, int(k), now))), at
	}
}

// WriteValues implements opcua.ValueStore. Nothing is writable.
func (waveStore) WriteValues(_ context.Context, _ *opcua.Caller, writes []opcua.ValueWrite) {
	for i := range writes {
		writes[i].Status = ua.BadNotWritable
	}
}

func (b *opcuaBuilder) waves(n int) {
	b.folder(b.id("sim"), "live", "live")
	nodes := make([]opcua.Node, n)
	for k := range nodes {
		text := fmt.Sprintf("v%d", k)
		nodes[k] = opcua.Node{
			Id: b.id(text), Class: ua.NodeClassVariable, BrowseName: b.name(text), DataType: ua.NumericId(0, ns0.Double), ValueRank: -1,
			Store: waveStore{}, Key: uint64(k),
		}
	}
	b.add(b.id("live"), ns0.Organizes, nodes...)
}

func (b *opcuaBuilder) methods() {
	number := func(name string) ua.Argument {
		return ua.Argument{Name: name, DataType: ua.NumericId(0, ns0.Int32), ValueRank: -1}
	}
	b.add(b.id("sim"), ns0.HasComponent, opcua.Node{
		Id: b.id("Add"), Class: ua.NodeClassMethod, BrowseName: b.name("Add"), Call: addMethod,
		Inputs: []ua.Argument{number("a"), number("b")}, Outputs: []ua.Argument{number("sum")},
	})
}

// addMethod adds two Int32. A sum that is none is refused.
func addMethod(_ context.Context, m *opcua.MethodCall) ua.StatusCode {
	x, _ := m.Inputs[0].Int64()
	y, _ := m.Inputs[1].Int64()
	if sum := x + y; int64(int32(sum)) == sum {
		m.Outputs = append(m.Outputs, ua.Int32(int32(sum)))
		return ua.Good
	}
	return ua.BadOutOfRange
}

// recipe adds a variable whose structure no client knows before it has asked.
func (b *opcuaBuilder) recipe() {
	field := func(name string, dataType uint32, rank int32) ua.StructureField {
		return ua.StructureField{Name: name, DataType: ua.NumericId(0, dataType), ValueRank: rank}
	}
	structure := ua.NumericId(0, ns0.Structure)
	b.add(structure, ns0.HasSubtype, opcua.Node{
		Id: b.id("Recipe"), Class: ua.NodeClassDataType, BrowseName: b.name("Recipe"),
		Definition: ua.Wrap(&ua.StructureDefinition{
			DefaultEncodingId: b.id("Recipe.Binary"), BaseDataType: structure, StructureType: ua.StructureTypeStructure,
			Fields: []ua.StructureField{field("Name", ns0.String, -1), field("Temperature", ns0.Double, -1), field("Steps", ns0.UInt16, 1)},
		}),
	})
	b.add(b.id("Recipe"), ns0.HasEncoding, opcua.Node{
		Id: b.id("Recipe.Binary"), Class: ua.NodeClassObject, BrowseName: ua.QualifiedName{Name: "Default Binary"},
		TypeDefinition: ua.NumericId(0, ns0.DataTypeEncodingType),
	})
	body := ua.AppendDouble(ua.AppendString(nil, "bread"), 230.5)
	body = ua.AppendCount(body, 3, false)
	for _, step := range []uint16{10, 20, 45} {
		body = ua.AppendUInt16(body, step)
	}
	b.add(b.id("sim"), ns0.Organizes, opcua.Node{
		Id: b.id("recipe"), Class: ua.NodeClassVariable, BrowseName: b.name("recipe"), DataType: b.id("Recipe"), ValueRank: -1,
		Value: ua.DataValue{Value: ua.ExtensionObjectValue(ua.ExtensionObject{TypeId: b.id("Recipe.Binary"), Body: body}), SourceTimestamp: ua.DateTimeOf(time.Now())},
	})
}
