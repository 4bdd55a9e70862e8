package driver

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/tag"
	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// addStructures gives s the data type Spot{Name String, At Double[], Next Byte}, and variables of it: spot, spots, any (whose DataType says nothing), and riddle, of a type that
// nobody defines.
func (s *uaServer) addStructures() {
	s.t.Helper()
	must := func(err error) {
		if err != nil {
			s.t.Fatal(err)
		}
	}
	name := func(text string) ua.QualifiedName { return ua.QualifiedName{NamespaceIndex: s.ns, Name: text} }
	def := ua.StructureDefinition{DefaultEncodingId: s.id("SpotBinary"), BaseDataType: ua.NumericId(0, ns0.Structure), Fields: []ua.StructureField{
		{Name: "Name", DataType: ua.NumericId(0, uint32(ua.TypeString)), ValueRank: -1},
		{Name: "At", DataType: ua.NumericId(0, uint32(ua.TypeDouble)), ValueRank: 1},
		{Name: "Next", DataType: ua.NumericId(0, uint32(ua.TypeByte)), ValueRank: -1},
	}}
	must(s.space.Add(ua.NumericId(0, ns0.Structure), ua.NumericId(0, ns0.HasSubtype), opcua.Node{Id: s.id("Spot"), Class: ua.NodeClassDataType, BrowseName: name("Spot"), Definition: ua.Wrap(&def)}))
	must(s.space.Add(s.id("Spot"), ua.NumericId(0, ns0.HasEncoding), opcua.Node{Id: s.id("SpotBinary"), Class: ua.NodeClassObject, BrowseName: ua.QualifiedName{Name: "Default Binary"},
		TypeDefinition: ua.NumericId(0, ns0.DataTypeEncodingType)}))
	spot := func(text string) ua.ExtensionObject {
		b := ua.AppendDouble(ua.AppendInt32(ua.AppendString(nil, text), 1), 0.5)
		return ua.ExtensionObject{TypeId: s.id("SpotBinary"), Body: append(b, 7)}
	}
	for text, n := range map[string]opcua.Node{
		"spot":   {DataType: s.id("Spot"), ValueRank: -1, Value: ua.DataValue{Value: ua.ExtensionObjectValue(spot("one"))}},
		"spots":  {DataType: s.id("Spot"), ValueRank: 1, Value: ua.DataValue{Value: ua.ExtensionObjectArray([]ua.ExtensionObject{spot("a"), spot("b\"")})}},
		"any":    {DataType: ua.NumericId(0, ns0.BaseDataType), ValueRank: -1, Value: ua.DataValue{Value: ua.ExtensionObjectValue(spot("any"))}},
		"riddle": {DataType: ua.NumericId(0, ns0.Structure), ValueRank: -1, Value: ua.DataValue{Value: ua.ExtensionObjectValue(ua.ExtensionObject{TypeId: s.id("Nobody"), Body: []byte{1}})}},
	} {
		n.Id, n.Class, n.BrowseName = s.id(text), ua.NodeClassVariable, name(text)
		must(s.space.Add(s.id("plant"), ua.NumericId(0, ns0.HasComponent), n))
	}
}

// A structure is its fields, by the definition that the server gives of it.
func TestOPCUAStructures(t *testing.T) {
	s := newUA(t, nil)
	s.addStructures()
	x := s.open(newWatcher(), "")
	p := planOPCUA(t, s.url(""), specs("nsu=urn:plant;s=spot", "nsu=urn:plant;s=spots", "nsu=urn:plant;s=spots;[1]", "i=2256", "nsu=urn:plant;s=riddle", "nsu=urn:plant;s=any"))
	for range 2 {
		var b tag.Batch
		if err := x.Read(context.Background(), p, &b); err != nil {
			t.Fatal(err)
		}
		got := rowsOf(&b)
		if got[1] != `{"Name":"one","At":[0.5],"Next":7}` || got[3] != `{"Name":"b\"","At":[0.5],"Next":7}` || got[5] != `"AQ=="` {
			t.Errorf("%v", got)
		}
		if !strings.HasPrefix(got[2], `["{\"Name\":\"a\"`) || b.Kind[1] != tag.String|tag.Array {
			t.Errorf("%s, %v", got[2], b.Kind)
		}
		var status struct {
			State     int
			BuildInfo struct{ ProductName, SoftwareVersion string }
		}
		if err := json.Unmarshal([]byte(got[4]), &status); err != nil || status.BuildInfo.SoftwareVersion == "" {
			t.Errorf("%s: %v", got[4], err)
		}
	}
	// One whose DataType does not say it is bytes once, until its definition has been asked for.
	if got := s.read(x, p); got[6] != `{"Name":"any","At":[0.5],"Next":7}` || got[5] != `"AQ=="` {
		t.Errorf("%v", got)
	}
	before := s.times(ns0.BrowseRequest_Encoding_DefaultBinary)
	s.read(x, p)
	if n := s.times(ns0.BrowseRequest_Encoding_DefaultBinary); n != before {
		t.Errorf("%d requests about types that are known, or that nobody knows", n-before)
	}
}

func TestOPCUAStructuresThatAreSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "", nil, specs("nsu=urn:plant;s=spot", "nsu=urn:plant;s=spots;[0]"))
		b.addStructures()
		b.x.states = nil
		b.want()
		time.Sleep(soon)
		got, err := b.turn(nil)
		slices.Sort(got)
		if want := []string{`1 {"Name":"one","At":[0.5],"Next":7}`, `2 {"Name":"a","At":[0.5],"Next":7}`}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	})
}
