package ua

import (
	"strings"
)

// Structure is a value of a structured data type that is known by its definition alone.
type Structure struct {
	Type   *DataType
	Fields []Field // in the order of the definition; a union has the one that is chosen, or none when it is null
}

// Field is a field of a Structure: Value, or Nested when its type is a structure.
type Field struct {
	Name   string
	Absent bool        // optional, and not there
	Array  bool        // Nested is an array, null when it is nil
	Value  Variant     // of what travels as a built-in type: enumerations are Int32, subtyped structures ExtensionObjects
	Nested []Structure // one, or the elements of an array (row by row when it has Dims)
	Dims   []uint32    // of a Nested matrix
}

// Field returns the field of the name, nil when there is none or it is absent.
func (s *Structure) Field(name string) *Field {
	for i := range s.Fields {
		if s.Fields[i].Name == name && !s.Fields[i].Absent {
			return &s.Fields[i]
		}
	}
	return nil
}

// String returns {name: value, ...} for people.
func (s *Structure) String() string {
	var b strings.Builder
	s.write(&b)
	return b.String()
}

func (s *Structure) write(b *strings.Builder) {
	b.WriteByte('{')
	first := true
	for i := range s.Fields {
		f := &s.Fields[i]
		if f.Absent {
			continue
		}
		if !first {
			b.WriteString(", ")
		}
		first = false
		b.WriteString(f.Name)
		b.WriteString(": ")
		f.write(b)
	}
	b.WriteByte('}')
}

func (f *Field) write(b *strings.Builder) {
	switch {
	case f.Array:
		b.WriteByte('[')
		for i := range f.Nested {
			if i > 0 {
				b.WriteString(", ")
			}
			f.Nested[i].write(b)
		}
		b.WriteByte(']')
	case len(f.Nested) == 1:
		f.Nested[0].write(b)
	default:
		b.WriteString(f.Value.String())
	}
}

// subtyped reports whether the fields of d that are marked optional are not: they allow subtypes [OPC 10000-3 8.48].
func subtyped(d *StructureDefinition) bool {
	return d.StructureType == StructureTypeStructureWithSubtypedValues || d.StructureType == StructureTypeUnionWithSubtypedValues
}

func isUnion(d *StructureDefinition) bool {
	return d.StructureType == StructureTypeUnion || d.StructureType == StructureTypeUnionWithSubtypedValues
}
