package nodeset

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"millrace/opcua/ua"
)

// element is a piece of XML: names without their prefixes.
type element struct {
	name     string
	text     string
	raw      []byte // what stands between its tags
	children []element
}

// maxDepth bounds how deep elements of a value may be nested.
const maxDepth = 100

// parseElement reads the first element of b, nil when there is none.
func parseElement(b []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(b))
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if s, ok := t.(xml.StartElement); ok {
			e, err := parseRest(d, b, s.Name.Local, 0)
			return &e, err
		}
	}
}

// parseRest reads up to the end of the element that has begun.
func parseRest(d *xml.Decoder, b []byte, name string, depth int) (element, error) {
	e := element{name: name}
	if depth > maxDepth {
		return e, fmt.Errorf("elements nested deeper than %d", maxDepth)
	}
	start := d.InputOffset()
	var text strings.Builder
	for {
		end := d.InputOffset()
		t, err := d.Token()
		if err != nil {
			return e, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			child, err := parseRest(d, b, t.Name.Local, depth+1)
			if err != nil {
				return e, err
			}
			e.children = append(e.children, child)
		case xml.CharData:
			text.Write(t)
		case xml.EndElement:
			e.text, e.raw = text.String(), b[start:end]
			return e, nil
		}
	}
}

// child returns the first child of the name, nil when there is none.
func (e *element) child(name string) *element {
	for i := range e.children {
		if e.children[i].name == name {
			return &e.children[i]
		}
	}
	return nil
}

// childText returns the text of a child, "" when there is none.
func (e *element) childText(name string) string {
	if c := e.child(name); c != nil {
		return c.text
	}
	return ""
}

// kindOf returns the built-in type that an element is named after.
func kindOf(name string) (ua.TypeId, bool) {
	for k := ua.TypeBoolean; k <= ua.TypeDiagnosticInfo; k++ {
		if k.String() == name {
			return k, true
		}
	}
	return ua.TypeNull, false
}

// values reads the values that have waited.
func (f *file) values() error {
	f.types = f.base
	f.set.Types(f.types)
	for _, r := range f.raw {
		n := &f.set.Nodes[r.node]
		e, err := parseElement(r.inner)
		if err == nil && e != nil {
			n.Value, err = f.variant(e)
		}
		if err != nil {
			return &Error{Node: n.Id.String(), What: "value", Err: err}
		}
	}
	return nil
}

// variant reads an element that is a value: a built-in type, ListOf one, or a Matrix.
func (f *file) variant(e *element) (ua.Variant, error) {
	if e.name == "Matrix" {
		return f.matrix(e)
	}
	if name, ok := strings.CutPrefix(e.name, "ListOf"); ok {
		kind, ok := kindOf(name)
		if !ok {
			return ua.Variant{}, fmt.Errorf("a list of %s", name)
		}
		return f.array(kind, e.children, nil)
	}
	kind, ok := kindOf(e.name)
	if !ok {
		return ua.Variant{}, fmt.Errorf("an element %s", e.name)
	}
	return f.scalar(kind, e)
}

func (f *file) matrix(e *element) (ua.Variant, error) {
	dims, elements := e.child("Dimensions"), e.child("Elements")
	if dims == nil || elements == nil || len(elements.children) == 0 {
		return ua.Variant{}, fmt.Errorf("a matrix without dimensions or elements")
	}
	kind, ok := kindOf(elements.children[0].name)
	if !ok {
		return ua.Variant{}, fmt.Errorf("a matrix of %s", elements.children[0].name)
	}
	var sizes []uint32
	for _, c := range dims.children {
		n, err := strconv.ParseUint(strings.TrimSpace(c.text), 10, 32)
		if err != nil {
			return ua.Variant{}, err
		}
		sizes = append(sizes, uint32(n))
	}
	return f.array(kind, elements.children, sizes)
}

// array reads elements of one type. It makes the typed slice by way of the binary encoding.
func (f *file) array(kind ua.TypeId, elements []element, dims []uint32) (ua.Variant, error) {
	const isArray, isMatrix = 0x80, 0x40
	first := byte(kind) | isArray
	if dims != nil {
		first |= isMatrix
	}
	b := ua.AppendCount([]byte{first}, len(elements), false)
	for i := range elements {
		v, err := f.scalar(kind, &elements[i])
		if err != nil {
			return v, err
		}
		p := v.AppendTo(nil)
		if kind != ua.TypeVariant {
			p = p[1:]
		}
		b = append(b, p...)
	}
	if dims != nil {
		b = ua.AppendCount(b, len(dims), false)
		for _, n := range dims {
			b = ua.AppendUInt32(b, n)
		}
	}
	d := ua.NewDecoder(b, ua.Limits{})
	v := d.Variant()
	return v, d.Done()
}

// scalar reads one value of a type; an element without anything in it is the type's zero value.
func (f *file) scalar(kind ua.TypeId, e *element) (ua.Variant, error) {
	switch kind {
	case ua.TypeBoolean, ua.TypeFloat, ua.TypeDouble:
		return number(kind, strings.TrimSpace(e.text))
	case ua.TypeSByte, ua.TypeInt16, ua.TypeInt32, ua.TypeInt64, ua.TypeByte, ua.TypeUInt16, ua.TypeUInt32, ua.TypeUInt64:
		return integer(kind, strings.TrimSpace(e.text))
	case ua.TypeString:
		return ua.String(e.text), nil
	case ua.TypeXmlElement:
		return ua.XmlElementValue(ua.XmlElement(strings.TrimSpace(string(e.raw)))), nil
	case ua.TypeByteString:
		p, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(e.text), ""))
		return ua.ByteString(append([]byte{}, p...)), err
	case ua.TypeDateTime:
		if strings.TrimSpace(e.text) == "" {
			return ua.DateTimeValue(0), nil
		}
		t, err := parseTime(e.text)
		return ua.DateTimeValue(t), err
	case ua.TypeStatusCode:
		n, err := parseUint(e.childText("Code"), 32)
		return ua.StatusValue(ua.StatusCode(n)), err
	case ua.TypeGuid:
		g, err := ua.ParseGuid(strings.TrimSpace(e.childText("String")))
		return ua.GuidValue(g), err
	}
	return f.composite(kind, e)
}

func (f *file) composite(kind ua.TypeId, e *element) (ua.Variant, error) {
	switch kind {
	case ua.TypeNodeId:
		n, err := f.id(e.childText("Identifier"))
		return ua.NodeIdValue(n), err
	case ua.TypeExpandedNodeId:
		n, err := f.id(e.childText("Identifier"))
		return ua.ExpandedNodeIdValue(ua.ExpandedNodeId{NodeId: n}), err
	case ua.TypeQualifiedName:
		i, err := parseUint(e.childText("NamespaceIndex"), 16)
		if err != nil {
			return ua.Variant{}, err
		}
		ns, err := f.namespace(uint16(i))
		return ua.QualifiedNameValue(ua.QualifiedName{NamespaceIndex: ns, Name: e.childText("Name")}), err
	case ua.TypeLocalizedText:
		return ua.LocalizedTextValue(ua.LocalizedText{Locale: e.childText("Locale"), Text: e.childText("Text")}), nil
	case ua.TypeVariant:
		return f.inner(e)
	case ua.TypeExtensionObject:
		return f.extension(e)
	}
	return ua.Variant{}, fmt.Errorf("a value of %s", kind)
}

// inner reads a Variant: its value is an element within the element Value.
func (f *file) inner(e *element) (ua.Variant, error) {
	if v := e.child("Value"); v != nil {
		e = v
	}
	if len(e.children) == 0 {
		return ua.Variant{}, nil
	}
	return f.variant(&e.children[0])
}

// extension reads an ExtensionObject. The XML of a structure whose type is not known is kept as it is.
func (f *file) extension(e *element) (ua.Variant, error) {
	id, body := e.child("TypeId"), e.child("Body")
	if id == nil || body == nil || len(body.children) == 0 {
		return ua.ExtensionObjectValue(ua.ExtensionObject{}), nil
	}
	n, err := f.id(id.childText("Identifier"))
	if err != nil {
		return ua.Variant{}, err
	}
	t := f.types.OfEncoding(n)
	if t == nil || t.Structure == nil || t.Binary.IsNull() {
		return ua.ExtensionObjectValue(ua.ExtensionObject{TypeId: n, Xml: true, Body: bytes.TrimSpace(body.raw)}), nil
	}
	s, err := f.structure(t, &body.children[0])
	if err != nil {
		return ua.Variant{}, err
	}
	x, err := f.types.Wrap(&s)
	return ua.ExtensionObjectValue(x), err
}

func parseUint(s string, bits int) (uint64, error) {
	if s = strings.TrimSpace(s); s == "" {
		return 0, nil
	}
	return strconv.ParseUint(s, 10, bits)
}

// number reads a Boolean or a floating-point number.
func number(kind ua.TypeId, s string) (ua.Variant, error) {
	if kind == ua.TypeBoolean {
		return ua.Bool(s == "true" || s == "1"), nil
	}
	v := 0.0
	var err error
	switch s {
	case "":
	case "INF":
		v = math.Inf(1)
	case "-INF":
		v = math.Inf(-1)
	default:
		v, err = strconv.ParseFloat(s, 64)
	}
	if kind == ua.TypeFloat {
		return ua.Float(float32(v)), err
	}
	return ua.Double(v), err
}

// integer reads an integer, or the form Name_1 of an enumeration.
func integer(kind ua.TypeId, s string) (ua.Variant, error) {
	if i := strings.LastIndexByte(s, '_'); i >= 0 {
		s = s[i+1:]
	}
	if s == "" {
		s = "0"
	}
	if kind == ua.TypeUInt64 {
		n, err := strconv.ParseUint(s, 10, 64)
		return ua.UInt64(n), err
	}
	n, err := strconv.ParseInt(s, 10, 64)
	switch kind {
	case ua.TypeSByte:
		return ua.SByte(int8(n)), fits(err, n, math.MinInt8, math.MaxInt8)
	case ua.TypeByte:
		return ua.Byte(uint8(n)), fits(err, n, 0, math.MaxUint8)
	case ua.TypeInt16:
		return ua.Int16(int16(n)), fits(err, n, math.MinInt16, math.MaxInt16)
	case ua.TypeUInt16:
		return ua.UInt16(uint16(n)), fits(err, n, 0, math.MaxUint16)
	case ua.TypeInt32:
		return ua.Int32(int32(n)), fits(err, n, math.MinInt32, math.MaxInt32)
	case ua.TypeUInt32:
		return ua.UInt32(uint32(n)), fits(err, n, 0, math.MaxUint32)
	}
	return ua.Int64(n), err
}

func fits(err error, n, low, high int64) error {
	if err == nil && (n < low || n > high) {
		return fmt.Errorf("%d is not within %d to %d", n, low, high)
	}
	return err
}
