package nodeset

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"millrace/opcua/ua"
)

// Options say how a file is read.
type Options struct {
	// Namespaces is the numbering that the set is to have: a server's NamespaceArray. Namespaces that it lacks are appended, in the order of the
	// file; the result is Set.Namespaces. Nil: namespace 0 and the order of the file.
	Namespaces []string
	// Base are the sets whose data types the file uses, numbered alike: namespace 0 and the models it requires.
	Base []*Set
}

// Error says what was wrong with a file, and where.
type Error struct {
	Node string // id of the node as the file has it; "" when it is none's
	What string
	Err  error // nil when What says all
}

func (e *Error) Error() string {
	s := "nodeset: "
	if e.Node != "" {
		s += "node " + e.Node + ": "
	}
	s += e.What
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Retryable reports false: the same file is as wrong the next time.
func (e *Error) Retryable() bool { return false }

type xmlNode struct {
	NodeId    string    `xml:"NodeId,attr"`
	Browse    string    `xml:"BrowseName,attr"`
	Display   []xmlText `xml:"DisplayName"`
	Desc      []xmlText `xml:"Description"`
	Inverse   []xmlText `xml:"InverseName"`
	WriteMask uint32    `xml:"WriteMask,attr"`

	Restrictions string `xml:"AccessRestrictions,attr"`
	References   []struct {
		Type    string `xml:"ReferenceType,attr"`
		Forward string `xml:"IsForward,attr"`
		Target  string `xml:",chardata"`
	} `xml:"References>Reference"`
	Permissions []struct {
		Bits uint32 `xml:"Permissions,attr"`
		Role string `xml:",chardata"`
	} `xml:"RolePermissions>RolePermission"`

	EventNotifier uint8  `xml:"EventNotifier,attr"`
	IsAbstract    bool   `xml:"IsAbstract,attr"`
	Symmetric     bool   `xml:"Symmetric,attr"`
	NoLoops       bool   `xml:"ContainsNoLoops,attr"`
	Executable    string `xml:"Executable,attr"`
	Historizing   bool   `xml:"Historizing,attr"`

	DataType    string  `xml:"DataType,attr"`
	ValueRank   string  `xml:"ValueRank,attr"`
	Dimensions  string  `xml:"ArrayDimensions,attr"`
	AccessLevel string  `xml:"AccessLevel,attr"`
	Sampling    float64 `xml:"MinimumSamplingInterval,attr"`
	Value       *struct {
		Inner []byte `xml:",innerxml"`
	} `xml:"Value"`
	Definition *xmlDefinition `xml:"Definition"`
}

type xmlText struct {
	Locale string `xml:"Locale,attr"`
	Text   string `xml:",chardata"`
}

type xmlDefinition struct {
	Union     bool `xml:"IsUnion,attr"`
	OptionSet bool `xml:"IsOptionSet,attr"`
	Fields    []struct {
		Name       string    `xml:"Name,attr"`
		DataType   string    `xml:"DataType,attr"`
		ValueRank  string    `xml:"ValueRank,attr"`
		Dimensions string    `xml:"ArrayDimensions,attr"`
		MaxLength  uint32    `xml:"MaxStringLength,attr"`
		Value      int64     `xml:"Value,attr"`
		Optional   bool      `xml:"IsOptional,attr"`
		Subtypes   bool      `xml:"AllowSubTypes,attr"`
		Display    []xmlText `xml:"DisplayName"`
		Desc       []xmlText `xml:"Description"`
	} `xml:"Field"`
}

type xmlModel struct {
	Uri      string     `xml:"ModelUri,attr"`
	Version  string     `xml:"Version,attr"`
	Date     string     `xml:"PublicationDate,attr"`
	Required []xmlModel `xml:"RequiredModel"`
}

// classOf returns the class of the nodes that an element of the name is, 0 when it is none.
func classOf(name string) ua.NodeClass {
	switch name {
	case "UAObject":
		return ua.NodeClassObject
	case "UAVariable":
		return ua.NodeClassVariable
	case "UAMethod":
		return ua.NodeClassMethod
	case "UAObjectType":
		return ua.NodeClassObjectType
	case "UAVariableType":
		return ua.NodeClassVariableType
	case "UAReferenceType":
		return ua.NodeClassReferenceType
	case "UADataType":
		return ua.NodeClassDataType
	case "UAView":
		return ua.NodeClassView
	}
	return 0
}

// ReadXML reads a NodeSet2 file [OPC 10000-6 F]. Values of structures are taken when their data types are in the file or in Options.Base. The first
// of several locales is taken.
func ReadXML(r io.Reader, o Options) (*Set, error) {
	f := &file{
		set: &Set{Namespaces: append([]string(nil), o.Namespaces...)}, base: ua.NewTypes(),
		aliases: map[string]string{}, definitions: map[ua.NodeId]*definition{},
	}
	if err := f.begin(o.Base); err != nil {
		return nil, err
	}
	if err := f.read(r); err != nil {
		return nil, err
	}
	f.set.define(f.definitions, f.base)
	if err := f.values(); err != nil {
		return nil, err
	}
	return f.set, nil
}

// file is a NodeSet2 file that is being read.
type file struct {
	set         *Set
	base        *ua.Types
	types       *ua.Types // base and those of the file
	numbers     []uint16  // from the file's namespace indexes to those of set
	aliases     map[string]string
	definitions map[ua.NodeId]*definition
	raw         []rawValue
}

// rawValue is a value that waits for the definitions of all data types.
type rawValue struct {
	node  int
	inner []byte
}

// begin numbers the namespaces and takes the data types of base.
func (f *file) begin(base []*Set) error {
	if len(f.set.Namespaces) == 0 {
		f.set.Namespaces = []string{NamespaceUA}
	}
	if f.set.Namespaces[0] != NamespaceUA {
		return &Error{What: "namespace 0 is " + f.set.Namespaces[0]}
	}
	for _, b := range base {
		for i, uri := range b.Namespaces {
			if i == len(f.set.Namespaces) {
				f.set.Namespaces = append(f.set.Namespaces, uri)
			}
			if f.set.Namespaces[i] != uri {
				return &Error{What: fmt.Sprintf("a base set has %s as namespace %d, not %s", uri, i, f.set.Namespaces[i])}
			}
		}
		b.Types(f.base)
	}
	f.numbers = []uint16{0}
	return nil
}

// number returns the index of the namespace uri in the set, where it is added if it has to be.
func (f *file) number(uri string) (uint16, error) {
	for i, known := range f.set.Namespaces {
		if known == uri {
			return uint16(i), nil
		}
	}
	if len(f.set.Namespaces) >= 1<<16 {
		return 0, &Error{What: "more than 65536 namespaces"}
	}
	f.set.Namespaces = append(f.set.Namespaces, uri)
	return uint16(len(f.set.Namespaces) - 1), nil
}

func (f *file) read(r io.Reader) error {
	d := xml.NewDecoder(r)
	root := false
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			if !root {
				return &Error{What: "no UANodeSet"}
			}
			return nil
		}
		if err != nil {
			return &Error{What: "the XML", Err: err}
		}
		e, ok := t.(xml.StartElement)
		switch {
		case !ok:
		case !root:
			if e.Name.Local != "UANodeSet" {
				return &Error{What: "the root is " + e.Name.Local + ", not UANodeSet"}
			}
			root = true
		default:
			if err := f.element(d, &e); err != nil {
				return err
			}
		}
	}
}

// element reads one element below the root.
func (f *file) element(d *xml.Decoder, e *xml.StartElement) error {
	var err error
	switch e.Name.Local {
	case "NamespaceUris":
		err = f.namespaces(d, e)
	case "Models":
		err = f.models(d, e)
	case "Aliases":
		err = f.readAliases(d, e)
	default:
		if class := classOf(e.Name.Local); class != 0 {
			return f.node(d, e, class)
		}
		err = d.Skip()
	}
	if err != nil {
		return &Error{What: e.Name.Local, Err: err}
	}
	return nil
}

func (f *file) namespaces(d *xml.Decoder, e *xml.StartElement) error {
	var x struct {
		Uri []string `xml:"Uri"`
	}
	if err := d.DecodeElement(&x, e); err != nil {
		return err
	}
	for _, uri := range x.Uri {
		n, err := f.number(strings.TrimSpace(uri))
		if err != nil {
			return err
		}
		f.numbers = append(f.numbers, n)
	}
	return nil
}

func (f *file) models(d *xml.Decoder, e *xml.StartElement) error {
	var x struct {
		Model []xmlModel `xml:"Model"`
	}
	if err := d.DecodeElement(&x, e); err != nil {
		return err
	}
	for _, m := range x.Model {
		model, err := m.model()
		if err != nil {
			return err
		}
		for _, r := range m.Required {
			required, err := r.model()
			if err != nil {
				return err
			}
			model.Required = append(model.Required, required)
		}
		f.set.Models = append(f.set.Models, model)
	}
	return nil
}

func (m *xmlModel) model() (Model, error) {
	out := Model{Uri: m.Uri, Version: m.Version}
	if m.Date == "" {
		return out, nil
	}
	t, err := parseTime(m.Date)
	out.PublicationDate = t
	return out, err
}

// parseTime reads an xs:dateTime; without a zone it is UTC.
func parseTime(s string) (ua.DateTime, error) {
	s = strings.TrimSpace(s)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02Z07:00", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return ua.DateTimeOf(t), nil
		}
	}
	return 0, fmt.Errorf("%q is no date and time", s)
}

func (f *file) readAliases(d *xml.Decoder, e *xml.StartElement) error {
	var x struct {
		Alias []struct {
			Name string `xml:"Alias,attr"`
			Id   string `xml:",chardata"`
		} `xml:"Alias"`
	}
	if err := d.DecodeElement(&x, e); err != nil {
		return err
	}
	for _, a := range x.Alias {
		f.aliases[a.Name] = strings.TrimSpace(a.Id)
	}
	return nil
}
