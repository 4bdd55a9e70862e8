package main

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// model is what the code is generated from.
type model struct {
	version    string
	structures []*structure
	enums      []*enum
	byName     map[string]*structure
	enumByName map[string]*enum
	nodes      []*node
	ids        map[string]int // by name
}

type structure struct {
	name     string
	doc      string
	fields   []field
	encoding int // id of the binary encoding, 0 when it has none

	size, align, minWire int // in memory on a 64-bit machine; fewest bytes on the wire; 0 until known
}

type field struct {
	name  string
	typ   string // without its prefix
	array bool
}

type enum struct {
	name   string
	doc    string
	bits   int
	option bool
	values []enumValue
}

type enumValue struct {
	name  string
	value int64
}

type node struct {
	id     int
	name   string // symbolic, or browse name
	parent int
}

// Types of the bsd that package ua writes by hand, or that are only other names on the wire.
var byHand = []string{
	"XmlElement", "NodeIdType", "TwoByteNodeId", "FourByteNodeId", "NumericNodeId", "StringNodeId", "GuidNodeId", "ByteStringNodeId",
	"NodeId", "ExpandedNodeId", "StatusCode", "DiagnosticInfo", "QualifiedName", "LocalizedText", "DataValue", "ExtensionObject",
	"Variant", "Enumeration", "Union", "IdType",
}

// goName returns the name of a type in package ua, where AttributeWriteMask is the id of an attribute.
func goName(name string) string {
	if name == "AttributeWriteMask" {
		return name + "Options"
	}
	return name
}

type bsdFile struct {
	Structures []struct {
		Name string `xml:"Name,attr"`
		Doc  string `xml:"Documentation"`
		F    []struct {
			Name   string `xml:"Name,attr"`
			Type   string `xml:"TypeName,attr"`
			Length string `xml:"LengthField,attr"`
			Switch string `xml:"SwitchField,attr"`
		} `xml:"Field"`
	} `xml:"StructuredType"`
	Enums []struct {
		Name   string `xml:"Name,attr"`
		Doc    string `xml:"Documentation"`
		Bits   int    `xml:"LengthInBits,attr"`
		Option bool   `xml:"IsOptionSet,attr"`
		V      []struct {
			Name  string `xml:"Name,attr"`
			Value int64  `xml:"Value,attr"`
		} `xml:"EnumeratedValue"`
	} `xml:"EnumeratedType"`
}

func readModel(dir, ids string) (*model, error) {
	m := &model{byName: map[string]*structure{}, enumByName: map[string]*enum{}}
	var err error
	if m.ids, err = readIds(ids); err != nil {
		return nil, err
	}
	var b bsdFile
	if err := readXML(filepath.Join(dir, "Opc.Ua.Types.bsd"), &b); err != nil {
		return nil, err
	}
	if err := m.addTypes(&b); err != nil {
		return nil, err
	}
	if err := m.readNodes(filepath.Join(dir, "Opc.Ua.NodeSet2.xml")); err != nil {
		return nil, err
	}
	m.findEncodings()
	return m, m.measure()
}

func readXML(name string, into any) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := xml.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (m *model) addTypes(b *bsdFile) error {
	for _, e := range b.Enums {
		if slices.Contains(byHand, e.Name) {
			continue
		}
		x := &enum{name: goName(e.Name), doc: e.Doc, bits: e.Bits, option: e.Option}
		for _, v := range e.V {
			x.values = append(x.values, enumValue{v.Name, v.Value})
		}
		m.enums = append(m.enums, x)
		m.enumByName[x.name] = x
	}
	for _, s := range b.Structures {
		if slices.Contains(byHand, s.Name) {
			continue
		}
		x := &structure{name: s.Name, doc: s.Doc}
		lengths := map[string]bool{}
		for _, f := range s.F {
			lengths[f.Length] = true
		}
		for _, f := range s.F {
			if f.Switch != "" {
				return fmt.Errorf("%s.%s: an optional field; the generator knows none", s.Name, f.Name)
			}
			if lengths[f.Name] {
				continue
			}
			_, typ, _ := strings.Cut(f.Type, ":")
			x.fields = append(x.fields, field{name: f.Name, typ: goName(typ), array: f.Length != ""})
		}
		m.structures = append(m.structures, x)
		m.byName[x.name] = x
	}
	return nil
}

type xmlNode struct {
	XMLName  xml.Name
	NodeId   string `xml:"NodeId,attr"`
	Browse   string `xml:"BrowseName,attr"`
	Symbolic string `xml:"SymbolicName,attr"`
	Parent   string `xml:"ParentNodeId,attr"`
}

func (m *model) readNodes(name string) error {
	var file struct {
		Models []struct {
			Version string `xml:"Version,attr"`
		} `xml:"Models>Model"`
		Nodes []xmlNode `xml:",any"`
	}
	if err := readXML(name, &file); err != nil {
		return err
	}
	if len(file.Models) == 0 {
		return fmt.Errorf("%s: no model", name)
	}
	m.version = file.Models[0].Version
	for _, x := range file.Nodes {
		if !strings.HasPrefix(x.XMLName.Local, "UA") {
			continue
		}
		n := &node{id: number(x.NodeId), name: x.Symbolic, parent: number(x.Parent)}
		if n.name == "" {
			n.name = x.Browse
		}
		m.nodes = append(m.nodes, n)
	}
	return nil
}

// number returns the N of i=N, 0 for anything else.
func number(s string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(s), "i="))
	if err != nil {
		return 0
	}
	return n
}

// findEncodings gives every structure the id of its binary encoding: the NodeSet has none for messages, the table of ids has all.
func (m *model) findEncodings() {
	for _, s := range m.structures {
		s.encoding = m.ids[s.name+binaryEncoding]
	}
}

const binaryEncoding = "_Encoding_DefaultBinary"

var idPattern = regexp.MustCompile(`(?m)^\s*(\w+)\s*=\s*(\d+)\s*,?\s*$`)

// readIds reads the names and ids of all nodes, which the package holds as source: NodeIds.csv in another form.
func readIds(name string) (map[string]int, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, x := range idPattern.FindAllSubmatch(text, -1) {
		id, err := strconv.Atoi(string(x[2]))
		if err != nil {
			return nil, err
		}
		out[string(x[1])] = id
	}
	if len(out) < 2500 {
		return nil, fmt.Errorf("%s: only %d ids; has its form changed?", name, len(out))
	}
	return out, nil
}
