package nodeset

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

//go:embed testdata/plant.xml
var plantXML string

// readPlant reads the file of a plant on top of namespace 0, for a server whose namespace 1 is another.
func readPlant(t *testing.T) (*Set, *ua.Types) {
	t.Helper()
	base := loadNS0(t)
	s, err := ReadXML(strings.NewReader(plantXML), Options{Namespaces: []string{NamespaceUA, "urn:server"}, Base: []*Set{base}})
	if err != nil {
		t.Fatal(err)
	}
	types := ua.NewTypes()
	base.Types(types)
	s.Types(types)
	return s, types
}

func value(t *testing.T, s *Set, name string) ua.Variant {
	t.Helper()
	for i := range s.Nodes {
		if n := &s.Nodes[i]; n.Class == ua.NodeClassVariable && n.BrowseName.Name == name {
			return s.Nodes[i].Value
		}
	}
	t.Fatalf("no node %s", name)
	return ua.Variant{}
}

func TestNamespacesAreThoseOfTheServer(t *testing.T) {
	s, _ := readPlant(t)
	if !slices.Equal(s.Namespaces, []string{NamespaceUA, "urn:server", "urn:plant", "urn:other"}) {
		t.Fatalf("namespaces %v", s.Namespaces)
	}
	n := find(s, ua.StringId(2, "boiler"))
	if n == nil || n.BrowseName != (ua.QualifiedName{NamespaceIndex: 2, Name: "Boiler"}) || n.DisplayName != (ua.LocalizedText{Locale: "de", Text: "Kessel"}) {
		t.Fatalf("boiler %+v", n)
	}
	want := []Reference{
		{Type: ua.NumericId(0, ns0.HasTypeDefinition), Target: ua.NumericId(0, ns0.BaseObjectType), Forward: true},
		{Type: ua.NumericId(0, ns0.Organizes), Target: ua.NumericId(0, ns0.ObjectsFolder)},
		{Type: ua.NumericId(2, 4001), Target: ua.NumericId(3, 77), Forward: true},
	}
	if !slices.Equal(n.References, want) {
		t.Fatalf("references %v, want %v", n.References, want)
	}
	if n.EventNotifier != 1 || !n.HasAccessRestrictions || n.AccessRestrictions != 3 || len(n.RolePermissions) != 1 || n.RolePermissions[0].Permissions != 33 {
		t.Fatalf("attributes %+v", n)
	}
	m := s.Models[0]
	if m.Uri != "urn:plant" || m.Version != "1.2" || m.PublicationDate.String() != "2026-01-02T03:04:05Z" || len(m.Required) != 1 || m.Required[0].Uri != NamespaceUA {
		t.Fatalf("model %+v", m)
	}
}

func TestValuesOfEveryType(t *testing.T) {
	s, _ := readPlant(t)
	for name, want := range map[string]string{
		"Boolean": "true", "SByte": "-5", "Byte": "200", "Int16": "-300", "UInt16": "60000", "Int32": "-70000", "UInt32": "4000000000",
		"Int64": "-5000000000", "UInt64": "18446744073709551615", "Float": "1.5", "Double": "-2.5e+30", "Inf": "-Inf", "String": " a <b> ",
		"DateTime": "2026-01-02T03:04:05.5Z", "Guid": "72962B91-FA75-4AE6-8D28-B404DC7DAF63", "ByteString": "[1 2 3]", "XmlElement": "<a>x</a>",
		"NodeId": "ns=2;s=boiler", "ExpandedNodeId": "ns=3;i=5", "StatusCode": "BadNodeIdUnknown", "QualifiedName": "2:q", "LocalizedText": "Text",
		"ListOfInt32": "[1 2 3]", "ListOfString": "[a  c]", "ListOfLocalizedText": "[eins zwei]", "ListOfVariant": "[7 [x y] null]", "Matrix": "[2 3] [1 2 3 4 5 6]",
		"Empty": "null",
	} {
		if got := value(t, s, name); got.String() != want {
			t.Errorf("%s is %v (%v), want %s", name, got, got.Type(), want)
		}
	}
}

func TestStructuresInValues(t *testing.T) {
	s, types := readPlant(t)
	for name, want := range map[string]string{
		"Recipe": "{name: Tee, limits: {Low: 1, High: 2}, steps: [{kind: 1, seconds: 30}, {kind: 0, seconds: 0}], mode: 2, tags: [a b], setting: 7}",
		"Choice": "{text: hello}",
		"Sparse": "{name: x, extra: 5, limits: {Low: 0, High: 0}}",
	} {
		o, ok := value(t, s, name).ExtensionObject()
		if !ok {
			t.Fatalf("%s is %v", name, value(t, s, name))
		}
		got, err := types.Object(o, ua.Limits{})
		if err != nil || got.String() != want {
			t.Errorf("%s is %v, %v; want %s", name, &got, err, want)
		}
	}
	o, _ := value(t, s, "Alien").ExtensionObject()
	if !o.Xml || string(o.Body) != "<What><x>1</x></What>" {
		t.Errorf("the value of a type that nobody knows is %+v", o)
	}
}

func TestDefinitionsOfTheFile(t *testing.T) {
	s, _ := readPlant(t)
	recipe := find(s, ua.NumericId(2, 3002)).Structure
	if recipe.StructureType != ua.StructureTypeStructure || recipe.BaseDataType != ua.NumericId(2, 3001) || recipe.DefaultEncodingId != ua.NumericId(2, 5002) {
		t.Errorf("recipe %+v", recipe)
	}
	var names []string
	for _, f := range recipe.Fields {
		names = append(names, fmt.Sprintf("%s:%v:%d", f.Name, f.DataType, f.ValueRank))
	}
	if want := "name:i=12:-1 limits:i=884:-1 steps:ns=2;i=3003:1 mode:ns=2;i=3004:-1 tags:i=12:1 setting:i=24:-1"; strings.Join(names, " ") != want {
		t.Errorf("fields %v, want %s", names, want)
	}
	mode := find(s, ua.NumericId(2, 3004)).Enum
	if len(mode.Fields) != 3 || mode.Fields[2].Value != 2 || mode.Fields[2].DisplayName.Text != "Auto" {
		t.Errorf("mode %+v", mode)
	}
	bits := find(s, ua.NumericId(2, 3007))
	if bits.Structure != nil || len(bits.Enum.Fields) != 2 || bits.Enum.Fields[1].Value != 4 {
		t.Errorf("bits %+v", bits)
	}
	if u := find(s, ua.NumericId(2, 3005)).Structure; u.StructureType != ua.StructureTypeUnion {
		t.Errorf("union %+v", u)
	}
	if o := find(s, ua.NumericId(2, 3006)).Structure; o.StructureType != ua.StructureTypeStructureWithOptionalFields || !o.Fields[1].IsOptional || o.Fields[2].IsOptional {
		t.Errorf("optional %+v", o)
	}
}

func TestFilesThatAreWrong(t *testing.T) {
	node := func(attributes, inside string) string {
		return `<UANodeSet><UAVariable NodeId="i=1" BrowseName="a" ` + attributes + `>` + inside + `</UAVariable></UANodeSet>`
	}
	for want, in := range map[string]string{
		"no UANodeSet":               "",
		"not UANodeSet":              "<html/>",
		"unexpected EOF":             "<UANodeSet><UAObject",
		"BrowseName: namespace 7":    `<UANodeSet><UAObject NodeId="i=1" BrowseName="7:a"/></UANodeSet>`,
		"NodeId: ua: node id":        `<UANodeSet><UAObject NodeId="x=1" BrowseName="a"/></UANodeSet>`,
		"NodeId: it is null":         `<UANodeSet><UAObject NodeId="i=0" BrowseName="a"/></UANodeSet>`,
		"Reference: namespace 3":     `<UANodeSet><UAObject NodeId="i=1" BrowseName="a"><References><Reference ReferenceType="i=35">ns=3;i=1</Reference></References></UAObject></UANodeSet>`,
		"ReferenceType: ua":          `<UANodeSet><UAObject NodeId="i=1" BrowseName="a"><References><Reference ReferenceType="Organises">i=1</Reference></References></UAObject></UANodeSet>`,
		"ArrayDimensions":            node(`ArrayDimensions="x"`, ""),
		"ValueRank":                  node(`ValueRank="one"`, ""),
		"300 is not within":          node("", "<Value><Byte>300</Byte></Value>"),
		"an element Nonsense":        node("", "<Value><Nonsense/></Value>"),
		"a list of Nonsense":         node("", "<Value><ListOfNonsense/></Value>"),
		"invalid syntax":             node("", "<Value><Int32>many</Int32></Value>"),
		"nested deeper":              node("", "<Value>"+strings.Repeat("<a>", 200)+strings.Repeat("</a>", 200)+"</Value>"),
		"dimensions that do not fit": node("", "<Value><Matrix><Dimensions><UInt32>2</UInt32><UInt32>2</UInt32></Dimensions><Elements><Int32>1</Int32></Elements></Matrix></Value>"),
	} {
		_, err := ReadXML(strings.NewReader(in), Options{})
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) || e.Retryable() {
			t.Errorf("%s: %v, want %s", in, err, want)
		}
	}
	if _, err := ReadXML(strings.NewReader(plantXML), Options{Namespaces: []string{"urn:first"}}); err == nil {
		t.Error("namespace 0 may be any")
	}
	if _, err := ReadXML(strings.NewReader(plantXML), Options{Namespaces: []string{NamespaceUA, "urn:a"}, Base: []*Set{{Namespaces: []string{NamespaceUA, "urn:b"}}}}); err == nil {
		t.Error("a base set of another numbering was taken")
	}
}

func TestDamagedCompactFormsAreRefused(t *testing.T) {
	s, _ := readPlant(t)
	b := s.AppendTo(nil)
	for n := range len(b) {
		if _, err := Load(b[:n]); err == nil {
			t.Fatalf("%d of %d bytes load", n, len(b))
		}
	}
}
