package ua

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// Ids of the data types that the tests define.
var (
	pointId    = NumericId(2, 1)
	colorId    = NumericId(2, 2)
	optionalId = NumericId(2, 3)
	unionId    = NumericId(2, 4)
	subtypedId = NumericId(2, 5)
	nestId     = NumericId(2, 6)
	endlessId  = NumericId(2, 7)
	lengthId   = NumericId(2, 8)
	abstractId = NumericId(2, 9)
)

func builtinField(name string, t TypeId) StructureField {
	return StructureField{Name: name, DataType: NumericId(0, uint32(t)), ValueRank: -1}
}

func typedField(name string, id NodeId, rank int32) StructureField {
	return StructureField{Name: name, DataType: id, ValueRank: rank}
}

func optional(f StructureField) StructureField {
	f.IsOptional = true
	return f
}

// plant returns types as a machine might have them.
func plant() *Types {
	x := NewTypes()
	structure := func(id NodeId, name string, kind StructureType, fields ...StructureField) {
		x.Add(DataType{
			Id: id, Name: name, Base: NumericId(0, dataTypeStructure), Binary: NumericId(2, id.Numeric+100), Xml: NumericId(2, id.Numeric+200),
			Structure: &StructureDefinition{StructureType: kind, Fields: fields},
		})
	}
	x.Add(DataType{Id: colorId, Name: "Color", Base: NumericId(0, dataTypeEnumeration), Enum: &EnumDefinition{}})
	x.Add(DataType{Id: lengthId, Name: "Length", Base: NumericId(0, uint32(TypeDouble))})
	structure(pointId, "Point", StructureTypeStructure, builtinField("x", TypeDouble), typedField("y", lengthId, -1))
	structure(optionalId, "Order", StructureTypeStructureWithOptionalFields,
		builtinField("id", TypeUInt32), optional(builtinField("note", TypeString)), optional(typedField("where", pointId, -1)), typedField("color", colorId, -1))
	structure(unionId, "Either", StructureTypeUnion, builtinField("number", TypeInt32), typedField("points", pointId, 1))
	structure(subtypedId, "Box", StructureTypeStructureWithSubtypedValues,
		optional(typedField("content", pointId, -1)), optional(typedField("any", lengthId, -1)), typedField("fixed", pointId, -1))
	structure(nestId, "Nest", StructureTypeStructure,
		typedField("order", optionalId, -1), typedField("either", unionId, 1), builtinField("value", TypeVariant),
		typedField("grid", pointId, 2), typedField("cells", NumericId(0, uint32(TypeInt16)), 2), typedField("names", NumericId(0, uint32(TypeString)), 1),
		typedField("colors", colorId, 1), typedField("number", NumericId(0, dataTypeNumber), -1), typedField("shape", abstractId, -1))
	structure(endlessId, "Endless", StructureTypeStructure, typedField("again", endlessId, -1))
	x.Add(DataType{Id: abstractId, Name: "Shape", Base: NumericId(0, dataTypeStructure), Abstract: true, Structure: &StructureDefinition{}})
	return x
}

func point(x *Types, a, b float64) Structure {
	return Structure{Type: x.Type(pointId), Fields: []Field{{Name: "x", Value: Double(a)}, {Name: "y", Value: Double(b)}}}
}

func nest(x *Types) Structure {
	order := Structure{Type: x.Type(optionalId), Fields: []Field{
		{Name: "id", Value: UInt32(7)}, {Name: "note", Absent: true}, {Name: "where", Nested: []Structure{point(x, 1, 2)}}, {Name: "color", Value: Int32(3)},
	}}
	number := Structure{Type: x.Type(unionId), Fields: []Field{{Name: "number", Value: Int32(-1)}}}
	points := Structure{Type: x.Type(unionId), Fields: []Field{{Name: "points", Array: true, Nested: []Structure{point(x, 3, 4), point(x, 5, 6)}}}}
	null := Structure{Type: x.Type(unionId)}
	return Structure{Type: x.Type(nestId), Fields: []Field{
		{Name: "order", Nested: []Structure{order}},
		{Name: "either", Array: true, Nested: []Structure{number, points, null}},
		{Name: "value", Value: StringArray([]string{"a", "b"})},
		{Name: "grid", Array: true, Dims: []uint32{1, 2}, Nested: []Structure{point(x, 7, 8), point(x, 9, 10)}},
		{Name: "cells", Value: Matrix([]uint32{2, 2}, Int16Array([]int16{1, 2, 3, 4}))},
		{Name: "names", Value: StringArray([]string{"n"})},
		{Name: "colors", Value: Int32Array([]int32{1, 2})},
		{Name: "number", Value: Byte(9)},
		{Name: "shape", Value: ExtensionObjectValue(ExtensionObject{TypeId: NumericId(2, 101), Body: make([]byte, 16)})},
	}}
}

func TestStructuresAgainstTheSpecification(t *testing.T) {
	x := plant()
	order := Structure{Type: x.Type(optionalId), Fields: []Field{
		{Name: "id", Value: UInt32(7)}, {Name: "note", Absent: true}, {Name: "where", Nested: []Structure{point(x, 1, 2)}}, {Name: "color", Value: Int32(3)},
	}}
	for _, g := range []struct {
		name, bytes string
		s           Structure
		text        string
	}{
		{"fields in order", "000000000000f03f 0000000000000040", point(x, 1, 2), "{x: 1, y: 2}"},
		{"optional fields", "02000000 07000000 000000000000f03f 0000000000000040 03000000", order, "{id: 7, where: {x: 1, y: 2}, color: 3}"},
		{"a union", "01000000 ffffffff", Structure{Type: x.Type(unionId), Fields: []Field{{Name: "number", Value: Int32(-1)}}}, "{number: -1}"},
		{"a union of nothing", "00000000", Structure{Type: x.Type(unionId)}, "{}"},
		{"an array in a union", "02000000 01000000 000000000000f03f 0000000000000040",
			Structure{Type: x.Type(unionId), Fields: []Field{{Name: "points", Array: true, Nested: []Structure{point(x, 1, 2)}}}}, "{points: [{x: 1, y: 2}]}"},
		{"subtyped values", "01 02 6500 01 01000000 aa 0b 000000000000f03f 0000000000000000 0000000000000000", // an ExtensionObject, a Variant, a structure in place
			Structure{Type: x.Type(subtypedId), Fields: []Field{
				{Name: "content", Value: ExtensionObjectValue(ExtensionObject{TypeId: NumericId(2, 101), Body: []byte{0xaa}})},
				{Name: "any", Value: Double(1)}, {Name: "fixed", Nested: []Structure{point(x, 0, 0)}},
			}}, ""},
	} {
		want := hexOf(t, g.bytes)
		got, err := x.AppendStructure(nil, &g.s)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: wrote % x, %v; want % x", g.name, got, err, want)
		}
		d := NewDecoder(want, Limits{})
		s := x.Structure(g.s.Type, &d)
		if err := d.Done(); err != nil || !reflect.DeepEqual(s, g.s) {
			t.Errorf("%s: read %+v, %v; want %+v", g.name, s, err, g.s)
		}
		if g.text != "" && s.String() != g.text {
			t.Errorf("%s: prints as %s", g.name, s.String())
		}
	}
}

func TestANestOfStructures(t *testing.T) {
	x := plant()
	s := nest(x)
	o, err := x.Wrap(&s)
	if err != nil || o.TypeId != NumericId(2, 106) {
		t.Fatal(o.TypeId, err)
	}
	for _, id := range []NodeId{NumericId(2, 106), nestId} {
		o.TypeId = id
		back, err := x.Object(o, Limits{})
		if err != nil || !reflect.DeepEqual(back, s) {
			t.Fatalf("%v: read %v, %v; want %v", id, &back, err, &s)
		}
	}
	for n := range len(o.Body) {
		if _, err := x.Object(ExtensionObject{TypeId: nestId, Body: o.Body[:n]}, Limits{}); !errors.Is(err, BadDecodingError) {
			t.Errorf("%d of %d bytes: %v", n, len(o.Body), err)
		}
	}
	if f := s.Field("order").Nested[0].Field("note"); f != nil {
		t.Errorf("an absent field is %v", f)
	}
}

func TestStructuresThatDoNotFit(t *testing.T) {
	x := plant()
	for _, c := range []struct {
		want string
		s    Structure
	}{
		{"a value of Int32, not Double", Structure{Type: x.Type(pointId), Fields: []Field{{Name: "x", Value: Int32(1)}}}},
		{"expected the field x", Structure{Type: x.Type(pointId), Fields: []Field{{Name: "y"}}}},
		{"one field too many", Structure{Type: x.Type(pointId), Fields: []Field{{}, {}, {Name: "z"}}}},
		{"an array where none belongs", Structure{Type: x.Type(pointId), Fields: []Field{{Value: DoubleArray([]float64{1})}}}},
		{"the union has no such field", Structure{Type: x.Type(unionId), Fields: []Field{{Name: "other"}}}},
		{"a structure of Either, not Point", Structure{Type: x.Type(unionId), Fields: []Field{{Name: "points", Nested: []Structure{{Type: x.Type(unionId)}}}}}},
		{"no structure", Structure{Type: x.Type(colorId)}},
		{"no structure", Structure{}},
		{"nested too deep", Structure{Type: x.Type(endlessId)}},
	} {
		_, err := x.AppendStructure(nil, &c.s)
		var e *StructureError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || !errors.Is(err, BadTypeMismatch) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

func TestObjectsThatCannotBeRead(t *testing.T) {
	x := plant()
	x.Add(DataType{Id: NumericId(2, 50), Structure: &StructureDefinition{Fields: []StructureField{typedField("what", NumericId(9, 9), -1)}}})
	for _, c := range []struct {
		o    ExtensionObject
		want StatusCode
	}{
		{ExtensionObject{TypeId: NumericId(9, 9), Body: []byte{}}, BadDataTypeIdUnknown},
		{ExtensionObject{TypeId: colorId, Body: []byte{}}, BadDataTypeIdUnknown},
		{ExtensionObject{TypeId: pointId}, BadDataTypeIdUnknown},
		{ExtensionObject{TypeId: pointId, Xml: true, Body: []byte("<x/>")}, BadDataTypeIdUnknown},
		{ExtensionObject{TypeId: NumericId(2, 50), Body: []byte{1}}, BadDataTypeIdUnknown},
		{ExtensionObject{TypeId: pointId, Body: make([]byte, 17)}, BadDecodingError},
		{ExtensionObject{TypeId: unionId, Body: []byte{3, 0, 0, 0}}, BadDecodingError},
		{ExtensionObject{TypeId: unionId, Body: []byte{2, 0, 0, 0, 2, 0, 0, 0, 1}}, BadDecodingError},
		{ExtensionObject{TypeId: endlessId, Body: make([]byte, 1000)}, BadEncodingLimitsExceeded},
	} {
		if s, err := x.Object(c.o, Limits{}); !errors.Is(err, c.want) {
			t.Errorf("%v: %v, %v", c.o, &s, err)
		}
	}
}

func TestSizesOfStructures(t *testing.T) {
	if got := int(reflect.TypeOf(Field{}).Size()); got != sizeField {
		t.Errorf("a Field takes %d bytes, not %d", got, sizeField)
	}
	if got := int(reflect.TypeOf(Structure{}).Size()); got != sizeStructure {
		t.Errorf("a Structure takes %d bytes, not %d", got, sizeStructure)
	}
}
