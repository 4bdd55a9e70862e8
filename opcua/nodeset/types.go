package nodeset

import (
	"slices"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// Types adds the data types of s to x, with their encodings and definitions.
func (s *Set) Types(x *ua.Types) {
	index := s.dataTypes()
	for _, t := range index {
		x.Add(*t)
	}
}

// dataTypes returns the data types of s by their ids.
func (s *Set) dataTypes() map[ua.NodeId]*ua.DataType {
	types := map[ua.NodeId]*ua.DataType{}
	encodings := map[ua.NodeId]*Node{}
	for i := range s.Nodes {
		switch n := &s.Nodes[i]; n.Class {
		case ua.NodeClassDataType:
			types[n.Id] = &ua.DataType{Id: n.Id, Name: n.BrowseName.Name, Abstract: n.IsAbstract, Structure: n.Structure, Enum: n.Enum}
		case ua.NodeClassObject:
			if n.BrowseName.Name == "Default Binary" || n.BrowseName.Name == "Default XML" {
				encodings[n.Id] = n
			}
		}
	}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		for _, r := range n.References {
			link(types, encodings, n, r)
		}
	}
	return types
}

// link notes what a reference says of supertypes and encodings; either end may hold it.
func link(types map[ua.NodeId]*ua.DataType, encodings map[ua.NodeId]*Node, n *Node, r Reference) {
	from, to := n.Id, r.Target
	if !r.Forward {
		from, to = to, from
	}
	switch r.Type {
	case ua.NumericId(0, ns0.HasSubtype):
		if t := types[to]; t != nil {
			t.Base = from
		}
	case ua.NumericId(0, ns0.HasEncoding):
		t, e := types[from], encodings[to]
		switch {
		case t == nil || e == nil:
		case e.BrowseName.Name == "Default Binary":
			t.Binary = to
		default:
			t.Xml = to
		}
	}
}

// define gives the data types of s that are structures the fields of their supertypes and their encodings, and takes definitions from those
// that are not: own holds the fields as the file has them. base are the types of other sets.
func (s *Set) define(own map[ua.NodeId]*definition, base *ua.Types) {
	d := definer{own: own, base: base, types: s.dataTypes(), done: map[ua.NodeId]*ua.StructureDefinition{}}
	for i := range s.Nodes {
		n := &s.Nodes[i]
		if n.Class != ua.NodeClassDataType {
			continue
		}
		if o := own[n.Id]; o != nil && (o.optionSet || !d.isStructure(n.Id)) {
			n.Enum = o.enum()
		}
		n.Structure = d.structure(n.Id, 0)
	}
}

type definer struct {
	own   map[ua.NodeId]*definition
	base  *ua.Types
	types map[ua.NodeId]*ua.DataType
	done  map[ua.NodeId]*ua.StructureDefinition
}

// maxBases bounds the chain of supertypes that is followed, which a file may close to a ring.
const maxBases = 100

var (
	structureId = ua.NumericId(0, ns0.Structure)
	unionId     = ua.NumericId(0, ns0.Union)
)

func (d *definer) typeOf(id ua.NodeId) *ua.DataType {
	if t := d.types[id]; t != nil {
		return t
	}
	return d.base.Type(id)
}

func (d *definer) isStructure(id ua.NodeId) bool {
	for range maxBases {
		if id == structureId {
			return true
		}
		t := d.typeOf(id)
		if t == nil {
			return false
		}
		id = t.Base
	}
	return false
}

// structure returns the definition of the structure id with the fields of its supertypes in front, nil when it is none.
func (d *definer) structure(id ua.NodeId, depth int) *ua.StructureDefinition {
	if def, ok := d.done[id]; ok {
		return def
	}
	t := d.types[id]
	if t == nil {
		if t = d.base.Type(id); t != nil {
			return t.Structure
		}
		return nil
	}
	if depth > maxBases || id == structureId || id == unionId || !d.isStructure(id) {
		return nil
	}
	def := &ua.StructureDefinition{DefaultEncodingId: t.Binary, BaseDataType: t.Base}
	if super := d.structure(t.Base, depth+1); super != nil {
		def.StructureType = super.StructureType
		def.Fields = slices.Clone(super.Fields)
	}
	if o := d.own[id]; o != nil && !o.optionSet {
		o.extend(def)
	}
	d.done[id] = def
	return def
}

// definition is a Definition element: the fields that a data type adds to those of its supertypes.
type definition struct {
	union     bool
	optionSet bool
	fields    []definitionField
}

type definitionField struct {
	ua.StructureField
	subtypes bool
	value    int64
	display  ua.LocalizedText
}

// extend adds the fields of o to def.
func (o *definition) extend(def *ua.StructureDefinition) {
	optional, subtypes := false, false
	for _, f := range o.fields {
		optional = optional || f.IsOptional
		subtypes = subtypes || f.subtypes
	}
	switch {
	case o.union && subtypes:
		def.StructureType = ua.StructureTypeUnionWithSubtypedValues
	case o.union:
		def.StructureType = ua.StructureTypeUnion
	case subtypes && !optional:
		def.StructureType = ua.StructureTypeStructureWithSubtypedValues
	case optional:
		def.StructureType = ua.StructureTypeStructureWithOptionalFields
	}
	for _, f := range o.fields {
		field := f.StructureField
		field.IsOptional = f.IsOptional || f.subtypes
		def.Fields = append(def.Fields, field)
	}
}

// enum returns the fields of o as those of an enumeration or of a set of options, whose values are the numbers of bits.
func (o *definition) enum() *ua.EnumDefinition {
	out := &ua.EnumDefinition{Fields: make([]ua.EnumField, 0, len(o.fields))}
	for _, f := range o.fields {
		out.Fields = append(out.Fields, ua.EnumField{Value: f.value, Name: f.Name, DisplayName: f.display, Description: f.Description})
	}
	return out
}
