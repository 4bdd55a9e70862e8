package nodeset

import (
	"millrace/opcua/ua"
)

// structure reads the fields of a structure from the elements that have their names.
func (f *file) structure(t *ua.DataType, e *element) (ua.Structure, error) {
	s := ua.Structure{Type: t}
	def := t.Structure
	union := def.StructureType == ua.StructureTypeUnion || def.StructureType == ua.StructureTypeUnionWithSubtypedValues
	for i := range def.Fields {
		d := &def.Fields[i]
		c := e.child(d.Name)
		if c == nil {
			if !union {
				s.Fields = append(s.Fields, ua.Field{Name: d.Name, Absent: d.IsOptional})
			}
			continue
		}
		field, err := f.field(def, d, c)
		if err != nil {
			return s, &Error{What: "field " + d.Name + " of " + t.Name, Err: err}
		}
		s.Fields = append(s.Fields, field)
		if union {
			break
		}
	}
	return s, nil
}

func (f *file) field(def *ua.StructureDefinition, d *ua.StructureField, e *element) (out ua.Field, err error) {
	out.Name = d.Name
	t, kind, ok := f.types.Layout(def, d)
	switch {
	case !ok:
		return out, &Error{What: "its data type " + d.DataType.String() + " is not known: is a base set missing?"}
	case t != nil && d.ValueRank >= 0:
		out.Array = true
		out.Nested = make([]ua.Structure, len(e.children))
		for i := range e.children {
			if out.Nested[i], err = f.structure(t, &e.children[i]); err != nil {
				return out, err
			}
		}
	case t != nil:
		out.Nested = make([]ua.Structure, 1)
		out.Nested[0], err = f.structure(t, e)
	case d.ValueRank >= 0:
		out.Value, err = f.array(kind, e.children, nil)
	default:
		out.Value, err = f.scalar(kind, e)
	}
	return out, err
}
