package ua

// sizeField and sizeStructure are what a Field and a Structure take in memory; held by a test.
const (
	sizeField     = 120
	sizeStructure = 32
)

// Object reads the structure that o carries in its binary encoding. A type that x does not know is BadDataTypeIdUnknown.
func (x *Types) Object(o ExtensionObject, lim Limits) (Structure, error) {
	t := x.OfEncoding(o.TypeId)
	if t == nil || t.Structure == nil || o.Xml || o.Body == nil {
		return Structure{}, &DecodeError{Status: BadDataTypeIdUnknown, What: "an ExtensionObject of " + o.TypeId.String()}
	}
	d := NewDecoder(o.Body, lim)
	s := x.Structure(t, &d)
	if err := d.Done(); err != nil {
		return Structure{}, err
	}
	return s, nil
}

// Structure reads a structure of the type t as it stands, without its id. What was wrong is in d.
func (x *Types) Structure(t *DataType, d *Decoder) (s Structure) {
	if t.Structure == nil {
		d.fail(BadDataTypeIdUnknown, "a data type that is no structure")
		return s
	}
	if !d.enter() {
		return s
	}
	s.Type = t
	if def := t.Structure; isUnion(def) {
		s.Fields = x.union(def, d)
	} else {
		s.Fields = x.fields(def, d)
	}
	d.depth++
	return s
}

func (x *Types) union(def *StructureDefinition, d *Decoder) []Field {
	n := d.U32()
	if n == 0 || d.bad != 0 {
		return nil
	}
	if uint64(n) > uint64(len(def.Fields)) {
		d.fail(BadDecodingError, "a union of a field that it does not have")
		return nil
	}
	if !d.take(1, sizeField) {
		return nil
	}
	return []Field{x.field(def, &def.Fields[n-1], d)}
}

func (x *Types) fields(def *StructureDefinition, d *Decoder) []Field {
	optional := def.StructureType == StructureTypeStructureWithOptionalFields
	var mask uint32
	if optional {
		mask = d.U32()
	}
	if !d.take(len(def.Fields), sizeField) {
		return nil
	}
	out := make([]Field, 0, len(def.Fields))
	bit := 0
	for i := range def.Fields {
		f := &def.Fields[i]
		if optional && f.IsOptional {
			there := mask>>bit&1 != 0
			bit++
			if !there {
				out = append(out, Field{Name: f.Name, Absent: true})
				continue
			}
		}
		out = append(out, x.field(def, f, d))
		if d.bad != 0 {
			return nil
		}
	}
	return out
}

func (x *Types) field(def *StructureDefinition, f *StructureField, d *Decoder) Field {
	out := Field{Name: f.Name}
	t, kind, ok := x.Layout(def, f)
	switch {
	case !ok:
		d.fail(BadDataTypeIdUnknown, "a field of a data type that is not known")
	case f.ValueRank > 1:
		x.matrix(&out, t, kind, d)
	case f.ValueRank >= 0:
		x.array(&out, t, kind, d)
	case t != nil:
		if d.take(1, sizeStructure) {
			out.Nested = []Structure{x.Structure(t, d)}
		}
	case kind == TypeVariant:
		x.anyInto(&out.Value, d)
	default:
		d.variantScalar(&out.Value, kind)
	}
	return out
}

// anyInto reads a field that is a Variant, which is a level of nesting.
func (x *Types) anyInto(v *Variant, d *Decoder) {
	if d.enter() {
		d.VariantInto(v)
		d.depth++
	}
}

func (x *Types) array(out *Field, t *DataType, kind TypeId, d *Decoder) {
	if t == nil {
		d.variantArray(&out.Value, kind, false)
		return
	}
	out.Array = true
	n := d.count(x.minWire(t))
	if n < 0 || !d.take(n, sizeStructure) {
		return
	}
	out.Nested = x.structures(t, n, d)
}

func (x *Types) structures(t *DataType, n int, d *Decoder) []Structure {
	s := make([]Structure, n)
	for i := range s {
		s[i] = x.Structure(t, d)
		if d.bad != 0 {
			return nil
		}
	}
	return s
}

// minWire returns a lower bound of the bytes that a structure of the type t takes. A structure of nothing takes none, so that an array of many costs
// its sender nothing: it is counted as one byte each, which refuses arrays of nothing that are longer than what follows them.
func (x *Types) minWire(t *DataType) int {
	if t.Structure.StructureType != StructureTypeStructure && t.Structure.StructureType != StructureTypeStructureWithSubtypedValues {
		return 4
	}
	return max(len(t.Structure.Fields), 1)
}

// matrix reads a field of several dimensions: these, and then as many elements, without a length of their own [OPC 10000-6 5.2.5].
func (x *Types) matrix(out *Field, t *DataType, kind TypeId, d *Decoder) {
	dims := makeSlice[uint32](d, 4, 4)
	n := uint64(1)
	for i := range dims {
		dims[i] = d.U32()
		if int32(dims[i]) <= 0 {
			n = 0
		}
		if n *= uint64(dims[i]); n > uint64(d.maxArray) {
			d.fail(BadEncodingLimitsExceeded, "a matrix that is too large")
		}
	}
	if len(dims) == 0 {
		n = 0
	}
	if int(n) > d.Left() {
		d.short()
	}
	if d.bad != 0 {
		return
	}
	if t != nil {
		out.Array, out.Dims = true, dims
		if d.take(int(n), sizeStructure) {
			out.Nested = x.structures(t, int(n), d)
		}
		return
	}
	x.matrixOf(&out.Value, kind, dims, int(n), d)
}

// matrixOf reads n elements of a built-in type, whose number is not in front of them.
func (x *Types) matrixOf(v *Variant, kind TypeId, dims []uint32, n int, d *Decoder) {
	d.preset = 1 + n
	d.variantArray(v, kind, false)
	if d.bad == 0 {
		*v = Matrix(dims, *v)
	}
}
