package opcua

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"millrace/opcua/nodeset"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

func importPress(t *testing.T, s *Space) error {
	t.Helper()
	f, err := os.Open("testdata/press.NodeSet2.xml")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	return s.ImportXML(f)
}

// A set is imported while the server runs, under whatever index its namespace gets; its types are known and its methods wait for somebody to do them.
func TestImportOfACompanionSet(t *testing.T) {
	s, err := NewSpace(SpaceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddNamespace("urn:in between"); err != nil {
		t.Fatal(err)
	}
	if err := importPress(t, s); err != nil {
		t.Fatal(err)
	}
	const ns = 3
	k := deskFor(t, s)
	if got := readItemOf(k, stdId(ns0.Server_NamespaceArray), ua.AttributeValue, "3", ua.QualifiedName{}); !got.Value.Equal(ua.StringArray([]string{"urn:test:press"})) {
		t.Error(got)
	}
	path := pathOf(stdId(ns0.ObjectsFolder), named(ns, "Press"), named(ns, "Force"))
	if r := translate(k, path); len(r.Targets) != 1 || r.Targets[0].TargetId.NodeId != ua.StringId(ns, "press.force") {
		t.Fatalf("%+v", r)
	}
	if got := readItemOf(k, ua.StringId(ns, "press.force"), ua.AttributeValue, "", ua.QualifiedName{}); !got.Value.Equal(ua.Double(12.5)) {
		t.Error(got)
	}
	if got := readItemOf(k, ua.StringId(ns, "press.last"), ua.AttributeDataType, "", ua.QualifiedName{}); !got.Value.Equal(ua.NodeIdValue(ua.NumericId(ns, 2))) {
		t.Error(got)
	}
	definition, _ := readItemOf(k, ua.NumericId(ns, 2), ua.AttributeDataTypeDefinition, "", ua.QualifiedName{}).Value.ExtensionObject()
	var d ua.StructureDefinition
	if err := definition.Decode(&d, ua.Limits{}); err != nil || len(d.Fields) != 2 || d.DefaultEncodingId != ua.NumericId(ns, 3) {
		t.Errorf("%+v, %v", d, err)
	}
	stroke := ua.ExtensionObjectValue(ua.ExtensionObject{TypeId: ua.NumericId(ns, 3), Body: make([]byte, 16)})
	for v, want := range map[*ua.Variant]ua.StatusCode{&stroke: ua.Good, {}: ua.BadTypeMismatch} {
		if got := write(k, writeOf(ua.StringId(ns, "press.last"), *v))[0]; got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	press, strike := ua.StringId(ns, "press"), ua.StringId(ns, "press.strike")
	if r := call1(k, press, strike, stroke); r.StatusCode != ua.BadNotExecutable {
		t.Error(r.StatusCode)
	}
	if err := s.SetMethod(strike, func(context.Context, *MethodCall) ua.StatusCode { return ua.Good }); err != nil {
		t.Fatal(err)
	}
	if r := call1(k, press, strike, stroke); r.StatusCode != ua.Good {
		t.Error(r.StatusCode)
	}
	if r := call1(k, press, strike, ua.Double(1)); r.StatusCode != ua.BadInvalidArgument {
		t.Error(r.StatusCode)
	}
}

func TestImportIsAllOrNothing(t *testing.T) {
	s, err := NewSpace(SpaceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	before := len(s.index.numeric)
	wrong := &nodeset.Set{Namespaces: []string{nodeset.NamespaceUA, "urn:wrong"}, Nodes: []nodeset.Node{
		{Id: ua.NumericId(1, 1), Class: ua.NodeClassObject, BrowseName: ua.QualifiedName{Name: "x"}}, {Id: stdId(ns0.Server), Class: ua.NodeClassObject, BrowseName: ua.QualifiedName{Name: "x"}},
	}}
	if err := s.Import(wrong); !errors.Is(err, ua.BadNodeIdExists) {
		t.Error(err)
	}
	needs := &nodeset.Set{Namespaces: []string{nodeset.NamespaceUA, "urn:needs"}, Models: []nodeset.Model{{Uri: "urn:needs", Required: []nodeset.Model{{Uri: "urn:missing"}}}}}
	if err := s.Import(needs); !errors.Is(err, ua.BadNotFound) {
		t.Error(err)
	}
	if err := s.ImportXML(strings.NewReader("<UANodeSet><UAObject")); err == nil {
		t.Error("half a file is no error")
	}
	if len(s.index.numeric) != before || len(s.Namespaces()) != 2 {
		t.Errorf("%d nodes, %q", len(s.index.numeric)-before, s.Namespaces())
	}
	if err := importPress(t, s); err != nil {
		t.Fatal(err)
	}
	if err := importPress(t, s); !errors.Is(err, ua.BadNodeIdExists) {
		t.Error(err)
	}
}
