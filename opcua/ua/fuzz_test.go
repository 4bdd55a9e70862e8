package ua

import (
	"bytes"
	"testing"
)

// fuzzLimits are small, so that what they bound is reached.
var fuzzLimits = Limits{Depth: 20, ArrayLength: 1000, StringLength: 1000, ByteStringLength: 1000, Message: 1 << 16}

// fuzzMessage is the first byte of an input to FuzzCodec that is a structure; a lower one is the id of a built-in type.
const fuzzMessage = 0x40

// FuzzCodec reads the built-in type that the first byte selects, or the structure that the second and third do. What can be read is written, and that is
// read and written to the same bytes again.
func FuzzCodec(f *testing.F) {
	ids := encodingIds()
	seedCodec(f, ids)
	f.Fuzz(func(t *testing.T, in []byte) {
		switch {
		case len(in) > 3 && in[0] >= fuzzMessage:
			fuzzOneMessage(t, ids[(int(in[1])|int(in[2])<<8)%len(ids)], in[3:])
		case len(in) > 0 && in[0] < fuzzMessage:
			fuzzOneBuiltin(t, TypeId(in[0])%TypeDiagnosticInfo+1, in[1:])
		}
	})
}

func seedCodec(f *testing.F, ids []uint32) {
	builtin := func(k TypeId, b []byte) { f.Add(append([]byte{byte(k - 1)}, b...)) }
	for _, g := range goldens {
		builtin(kindOf(f, g.name), written(f, g.value))
	}
	fill := newFiller(1)
	for _, v := range append(fill.scalars(), fill.arrays()...) {
		builtin(TypeVariant, v.AppendTo(nil))
	}
	for _, b := range nested(30) {
		builtin(TypeVariant, b)
	}
	for i, id := range ids {
		m, _ := NewMessage(id)
		newFiller(uint64(id)).fill(m)
		f.Add(m.AppendTo([]byte{fuzzMessage, byte(i), byte(i >> 8)}))
	}
}

func fuzzOneBuiltin(t *testing.T, k TypeId, in []byte) {
	t.Helper()
	d := NewDecoder(in, fuzzLimits)
	v := read(&d, k)
	if d.Err() != nil {
		return
	}
	once := written(t, v)
	d = NewDecoder(once, Limits{})
	again := written(t, read(&d, k))
	if err := d.Done(); err != nil || !bytes.Equal(once, again) {
		t.Fatalf("%v: %v: wrote % x, and then % x (%v)", k, v, once, again, err)
	}
	if x, ok := v.(Variant); ok {
		_ = x.String()
		if !x.Equal(x) {
			t.Fatalf("%v is not equal to itself", x)
		}
	}
}

// fuzzOneMessage reads a structure once with its strings and bodies copied, and once aliased.
func fuzzOneMessage(t *testing.T, id uint32, in []byte) {
	t.Helper()
	m, _ := NewMessage(id)
	d := NewDecoder(in, fuzzLimits)
	m.DecodeFrom(&d)
	if d.Err() != nil {
		return
	}
	once := m.AppendTo(nil)
	back, _ := NewMessage(id)
	d = NewDecoder(once, Limits{})
	d.Alias = true
	back.DecodeFrom(&d)
	if again := back.AppendTo(nil); d.Done() != nil || !bytes.Equal(once, again) {
		t.Fatalf("%T: wrote % x, and then % x (%v)", m, once, again, d.Err())
	}
}

// FuzzStructure reads a body with a definition, both of the input: the definition's length stands in the first two bytes.
func FuzzStructure(f *testing.F) {
	x := plant()
	for _, id := range []NodeId{pointId, optionalId, unionId, subtypedId, nestId, endlessId} {
		def := x.Type(id).Structure.AppendTo(nil)
		body := []byte{}
		if id == nestId {
			s := nest(x)
			body, _ = x.AppendStructure(nil, &s)
		}
		f.Add(append(append(AppendUInt16(nil, uint16(len(def))), def...), body...))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		d := NewDecoder(in, fuzzLimits)
		n := int(d.U16())
		if d.Left() < n {
			return
		}
		rest := d.Rest()
		d = NewDecoder(rest[:n], fuzzLimits)
		var def StructureDefinition
		if def.DecodeFrom(&d); d.Err() != nil {
			return
		}
		x := plant()
		x.Add(DataType{Id: NumericId(2, 99), Name: "Fuzz", Binary: NumericId(2, 199), Structure: &def})
		s, err := x.Object(ExtensionObject{TypeId: NumericId(2, 199), Body: rest[n:]}, fuzzLimits)
		if err != nil {
			return
		}
		_ = s.String()
		once, err := x.AppendStructure(nil, &s)
		if err != nil {
			t.Fatalf("%v: %v", &s, err)
		}
		d = NewDecoder(once, Limits{})
		back := x.Structure(s.Type, &d)
		again, err := x.AppendStructure(nil, &back)
		if err != nil || d.Done() != nil || !bytes.Equal(once, again) {
			t.Fatalf("wrote % x, and then % x (%v, %v)", once, again, err, d.Err())
		}
	})
}

// FuzzText reads the texts that people write: node ids, Guids, ranges.
func FuzzText(f *testing.F) {
	for _, s := range []string{"i=85", "ns=2;s=a;b", "ns=65535;g=72962B91-FA75-4AE6-8D28-B404DC7DAF63", "b=AAEC", "1:2,3", "0", "ns=1;i=4294967295"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseNodeId(s); err == nil {
			if back, err := ParseNodeId(n.String()); err != nil || back != n {
				t.Fatalf("%q is %v, and then %v, %v", s, n, back, err)
			}
		}
		if r, err := ParseNumericRange(s); err == nil {
			for _, v := range []Variant{String(s), Matrix([]uint32{2, 2}, StringArray([]string{s, "a", s, ""})), ByteArray([]byte(s))} {
				if part, status := v.ApplyRange(r); status == Good && part.Type() != v.Type() {
					t.Fatalf("%v[%v] is %v", v, r, part)
				}
			}
		}
	})
}
