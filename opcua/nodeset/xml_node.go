package nodeset

import (
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"

	"millrace/opcua/ua"
)

// id reads a NodeId or an alias, in the numbering of the set. "" is null.
func (f *file) id(s string) (ua.NodeId, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return ua.NodeId{}, nil
	}
	if to, ok := f.aliases[s]; ok {
		s = to
	}
	n, err := ua.ParseNodeId(s)
	if err != nil {
		return n, err
	}
	n.Namespace, err = f.namespace(n.Namespace)
	return n, err
}

// namespace returns the set's index for one of the file's.
func (f *file) namespace(i uint16) (uint16, error) {
	if int(i) >= len(f.numbers) {
		return 0, fmt.Errorf("namespace %d of %d", i, len(f.numbers))
	}
	return f.numbers[i], nil
}

// name reads a BrowseName: 1:name, or a name of namespace 0.
func (f *file) name(s string) (q ua.QualifiedName, err error) {
	q.Name = s
	if i, rest, ok := strings.Cut(s, ":"); ok {
		if n, err := strconv.ParseUint(i, 10, 16); err == nil {
			q.NamespaceIndex, q.Name = uint16(n), rest
		}
	}
	q.NamespaceIndex, err = f.namespace(q.NamespaceIndex)
	return q, err
}

func first(t []xmlText) ua.LocalizedText {
	if len(t) == 0 {
		return ua.LocalizedText{}
	}
	return ua.LocalizedText{Locale: t[0].Locale, Text: strings.TrimSpace(t[0].Text)}
}

// parts collects what may go wrong in one node, once.
type parts struct {
	f   *file
	err error
}

func (p *parts) note(what string, err error) {
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("%s: %w", what, err)
	}
}

func (p *parts) id(what, s string) ua.NodeId {
	n, err := p.f.id(s)
	p.note(what, err)
	return n
}

// number reads a number, or returns what it is by default.
func (p *parts) number(what, s string, byDefault int64) int64 {
	if s == "" {
		return byDefault
	}
	n, err := strconv.ParseInt(s, 10, 64)
	p.note(what, err)
	return n
}

// dimensions reads the form "1,2".
func (p *parts) dimensions(s string) []uint32 {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	var out []uint32
	for _, x := range strings.Split(s, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(x), 10, 32)
		p.note("ArrayDimensions", err)
		out = append(out, uint32(n))
	}
	return out
}

// node reads an element of a node.
func (f *file) node(d *xml.Decoder, e *xml.StartElement, class ua.NodeClass) error {
	var x xmlNode
	if err := d.DecodeElement(&x, e); err != nil {
		return &Error{Node: x.NodeId, What: "the XML", Err: err}
	}
	p := &parts{f: f}
	n := f.common(&x, class, p)
	switch class {
	case ua.NodeClassVariable, ua.NodeClassVariableType:
		f.variable(&x, &n, p)
	case ua.NodeClassDataType:
		if x.Definition != nil {
			f.definitions[n.Id] = f.definition(x.Definition, p)
		}
	}
	if p.err != nil {
		return &Error{Node: x.NodeId, What: "attributes", Err: p.err}
	}
	f.set.Nodes = append(f.set.Nodes, n)
	return nil
}

func (f *file) common(x *xmlNode, class ua.NodeClass, p *parts) Node {
	name, err := f.name(x.Browse)
	p.note("BrowseName", err)
	n := Node{
		Id: p.id("NodeId", x.NodeId), Class: class, BrowseName: name, DisplayName: first(x.Display), Description: first(x.Desc),
		InverseName: first(x.Inverse), WriteMask: x.WriteMask, EventNotifier: x.EventNotifier, IsAbstract: x.IsAbstract,
		Symmetric: x.Symmetric, ContainsNoLoops: x.NoLoops, Historizing: x.Historizing,
		Executable: class == ua.NodeClassMethod && x.Executable != "false",
	}
	if n.Id.IsNull() {
		p.note("NodeId", fmt.Errorf("it is null"))
	}
	if n.DisplayName.Text == "" {
		n.DisplayName.Text = n.BrowseName.Name
	}
	if x.Restrictions != "" {
		n.AccessRestrictions = uint16(p.number("AccessRestrictions", x.Restrictions, 0))
		n.HasAccessRestrictions = true
	}
	for _, r := range x.References {
		n.References = append(n.References, Reference{p.id("ReferenceType", r.Type), p.id("Reference", r.Target), r.Forward != "false"})
	}
	for _, r := range x.Permissions {
		n.RolePermissions = append(n.RolePermissions, ua.RolePermissionType{RoleId: p.id("RolePermission", r.Role), Permissions: ua.PermissionType(r.Bits)})
	}
	return n
}

func (f *file) variable(x *xmlNode, n *Node, p *parts) {
	n.DataType = p.id("DataType", x.DataType)
	if x.DataType == "" {
		n.DataType = ua.NumericId(0, uint32(ua.TypeVariant))
	}
	n.ValueRank = int32(p.number("ValueRank", x.ValueRank, -1))
	n.ArrayDimensions = p.dimensions(x.Dimensions)
	if n.Class == ua.NodeClassVariable {
		n.AccessLevel = uint32(p.number("AccessLevel", x.AccessLevel, 1))
		n.MinimumSamplingInterval = x.Sampling
	}
	if x.Value != nil && len(x.Value.Inner) > 0 {
		f.raw = append(f.raw, rawValue{len(f.set.Nodes), x.Value.Inner})
	}
}

func (f *file) definition(x *xmlDefinition, p *parts) *definition {
	out := &definition{union: x.Union, optionSet: x.OptionSet}
	for i := range x.Fields {
		v := &x.Fields[i]
		field := definitionField{subtypes: v.Subtypes, value: v.Value, display: first(v.Display)}
		field.Name, field.Description, field.MaxStringLength, field.IsOptional = v.Name, first(v.Desc), v.MaxLength, v.Optional
		field.DataType = p.id("DataType of "+v.Name, v.DataType)
		if v.DataType == "" {
			field.DataType = ua.NumericId(0, uint32(ua.TypeVariant))
		}
		field.ValueRank = int32(p.number("ValueRank of "+v.Name, v.ValueRank, -1))
		field.ArrayDimensions = p.dimensions(v.Dimensions)
		if field.display.Text == "" {
			field.display.Text = v.Name
		}
		out.fields = append(out.fields, field)
	}
	return out
}
