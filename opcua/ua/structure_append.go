package ua

import "fmt"

// StructureError says which field of a Structure does not fit its definition.
type StructureError struct {
	Type  string // name of the data type
	Field string
	What  string
}

func (e *StructureError) Error() string {
	return fmt.Sprintf("ua: field %s of %s: %s", e.Field, e.Type, e.What)
}

// Unwrap returns BadTypeMismatch.
func (e *StructureError) Unwrap() error { return BadTypeMismatch }

// Retryable reports false: the same value fits as little the next time.
func (e *StructureError) Retryable() bool { return false }

// MayHaveHappened reports false: nothing was sent.
func (e *StructureError) MayHaveHappened() bool { return false }

// Wrap returns s as an ExtensionObject in the binary encoding of its type.
func (x *Types) Wrap(s *Structure) (ExtensionObject, error) {
	if s.Type == nil || s.Type.Binary.IsNull() {
		return ExtensionObject{}, &StructureError{Type: s.name(), What: "the type has no binary encoding"}
	}
	b, err := x.AppendStructure([]byte{}, s)
	if err != nil {
		return ExtensionObject{}, err
	}
	return ExtensionObject{TypeId: s.Type.Binary, Body: b}, nil
}

func (s *Structure) name() string {
	if s.Type == nil {
		return "a structure without a type"
	}
	return s.Type.Name
}

// AppendStructure appends s as it stands, without its id. Its fields are those of its type in their order; a field that is left out at the end, and a
// Value that is null, is written as the zero value. A field that does not fit is a *StructureError.
func (x *Types) AppendStructure(b []byte, s *Structure) ([]byte, error) {
	return x.appendStructure(b, s, defaultDepth)
}

// appendStructure is AppendStructure with the levels that may still be entered: a definition that contains itself would never end.
func (x *Types) appendStructure(b []byte, s *Structure, depth int) ([]byte, error) {
	switch {
	case s.Type == nil || s.Type.Structure == nil:
		return b, &StructureError{Type: s.name(), What: "no structure"}
	case depth <= 0:
		return b, &StructureError{Type: s.name(), What: "nested too deep"}
	case isUnion(s.Type.Structure):
		return x.appendUnion(b, s, depth-1)
	}
	return x.appendFields(b, s, depth-1)
}

func (x *Types) appendUnion(b []byte, s *Structure, depth int) ([]byte, error) {
	def := s.Type.Structure
	if len(s.Fields) == 0 {
		return AppendUInt32(b, 0), nil
	}
	for i := range def.Fields {
		if def.Fields[i].Name == s.Fields[0].Name {
			return x.appendField(AppendUInt32(b, uint32(i+1)), s.Type, &def.Fields[i], &s.Fields[0], depth)
		}
	}
	return b, &StructureError{Type: s.name(), Field: s.Fields[0].Name, What: "the union has no such field"}
}

func (x *Types) appendFields(b []byte, s *Structure, depth int) (_ []byte, err error) {
	def := s.Type.Structure
	if len(s.Fields) > len(def.Fields) {
		return b, &StructureError{Type: s.name(), Field: s.Fields[len(def.Fields)].Name, What: "one field too many"}
	}
	optional := def.StructureType == StructureTypeStructureWithOptionalFields
	at := len(b)
	if optional {
		b = AppendUInt32(b, 0)
	}
	var mask, bit uint32 = 0, 1
	for i := range def.Fields {
		d, f := &def.Fields[i], &Field{Absent: def.Fields[i].IsOptional}
		if i < len(s.Fields) {
			f = &s.Fields[i]
		}
		if optional && d.IsOptional {
			if bit <<= 1; f.Absent {
				continue
			}
			mask |= bit >> 1
		}
		if b, err = x.appendField(b, s.Type, d, f, depth); err != nil {
			return b, err
		}
	}
	if optional {
		putU32(b, at, mask)
	}
	return b, nil
}

func (x *Types) appendField(b []byte, of *DataType, d *StructureField, f *Field, depth int) ([]byte, error) {
	if f.Name != "" && f.Name != d.Name {
		return b, &StructureError{Type: of.Name, Field: f.Name, What: "expected the field " + d.Name}
	}
	t, kind, ok := x.Layout(of.Structure, d)
	switch {
	case !ok:
		return b, &StructureError{Type: of.Name, Field: d.Name, What: "its data type is not known"}
	case t != nil:
		return x.appendNested(b, of, d, f, t, depth)
	case kind == TypeVariant && d.ValueRank < 0:
		return f.Value.AppendTo(b), nil
	}
	return x.appendBuiltin(b, of, d, f, kind)
}

func (x *Types) appendBuiltin(b []byte, of *DataType, d *StructureField, f *Field, kind TypeId) ([]byte, error) {
	v := &f.Value
	if !v.IsNull() && v.kind != kind {
		return b, &StructureError{Type: of.Name, Field: d.Name, What: "a value of " + v.kind.String() + ", not " + kind.String()}
	}
	if !v.IsNull() && v.IsArray() != (d.ValueRank >= 0) {
		return b, &StructureError{Type: of.Name, Field: d.Name, What: "an array where none belongs, or none where one does"}
	}
	switch {
	case d.ValueRank > 1:
		return appendMatrix(b, v), nil
	case d.ValueRank >= 0:
		return appendElements(b, v.elements()), nil
	case v.IsNull():
		zero := zeroOf(kind)
		return zero.appendScalar(b), nil
	}
	return v.appendScalar(b), nil
}

// appendMatrix appends the dimensions and the elements without their number.
func appendMatrix(b []byte, v *Variant) []byte {
	dims := v.Dims()
	if dims == nil {
		dims = []uint32{uint32(v.Len())}
	}
	b = AppendInt32(b, int32(len(dims)))
	for _, n := range dims {
		b = AppendUInt32(b, n)
	}
	at := len(b)
	b = appendElements(b, v.elements())
	return append(b[:at], b[at+4:]...)
}

// zeroOf returns the zero value of a built-in type.
func zeroOf(kind TypeId) Variant {
	v := Variant{kind: kind, bits: 0}
	switch kind {
	case TypeString, TypeByteString, TypeXmlElement:
		v.bits = 1
	case TypeExpandedNodeId:
		v.ref = ExpandedNodeId{}
	case TypeLocalizedText:
		v.ref = LocalizedText{}
	case TypeExtensionObject:
		v.ref = ExtensionObject{}
	case TypeDataValue:
		v.ref = DataValue{}
	case TypeDiagnosticInfo:
		v.ref = DiagnosticInfo{}
	}
	return v
}

func (x *Types) appendNested(b []byte, of *DataType, d *StructureField, f *Field, t *DataType, depth int) (_ []byte, err error) {
	switch {
	case !f.Value.IsNull():
		return b, &StructureError{Type: of.Name, Field: d.Name, What: "a value where a structure belongs"}
	case d.ValueRank > 1:
		b = appendDims(b, f)
	case d.ValueRank >= 0:
		b = AppendCount(b, len(f.Nested), f.Nested == nil)
	case len(f.Nested) == 0:
		return x.appendStructure(b, &Structure{Type: t}, depth)
	case len(f.Nested) > 1:
		return b, &StructureError{Type: of.Name, Field: d.Name, What: "several structures where one belongs"}
	}
	for i := range f.Nested {
		if got := f.Nested[i].Type; got == nil || got.Id != t.Id {
			return b, &StructureError{Type: of.Name, Field: d.Name, What: "a structure of " + f.Nested[i].name() + ", not " + t.Name}
		}
		if b, err = x.appendStructure(b, &f.Nested[i], depth); err != nil {
			return b, err
		}
	}
	return b, nil
}

func appendDims(b []byte, f *Field) []byte {
	dims := f.Dims
	if dims == nil {
		dims = []uint32{uint32(len(f.Nested))}
	}
	b = AppendInt32(b, int32(len(dims)))
	for _, n := range dims {
		b = AppendUInt32(b, n)
	}
	return b
}
