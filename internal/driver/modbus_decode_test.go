package driver

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"millrace/internal/device"
	"millrace/internal/tag"
)

// memory is a device's registers and bits, for tests.
type memory struct {
	regs [5][65536]uint16 // by area
	bits [5][65536]bool
}

func (m *memory) fill(r *rand.Rand) {
	for _, a := range []modbusArea{areaInput, areaHolding} {
		for i := range m.regs[a] {
			m.regs[a][i] = uint16(r.Uint32())
		}
	}
	for _, a := range []modbusArea{areaCoil, areaDiscrete} {
		for i := range m.bits[a] {
			m.bits[a][i] = r.IntN(2) == 1
		}
	}
}

// reply returns the data of the reply to a read.
func (m *memory) reply(a modbusArea, from, count int) []byte {
	if !a.isBits() {
		var b []byte
		for _, v := range m.regs[a][from : from+count] {
			b = binary.BigEndian.AppendUint16(b, v)
		}
		return b
	}
	b := make([]byte, (count+7)/8)
	for i, v := range m.bits[a][from : from+count] {
		if v {
			b[i/8] |= 1 << (i % 8)
		}
	}
	return b
}

// reference decodes an address straight from memory by the letters of its byte order, sharing nothing with the decoder under test but the
// parser: letter i of the order's name says which byte of the value, A the most significant, stands at place i of the wire.
func (m *memory) reference(t *testing.T, address string) tag.Value {
	t.Helper()
	p, err := parseModbus(address)
	if err != nil {
		t.Fatal(err)
	}
	if p.area.isBits() {
		return m.referenceBits(p)
	}
	wire := m.reply(p.area, p.addr, p.span())
	switch {
	case p.bit >= 0:
		return tag.Value{Kind: tag.Bool, Bits: uint64(m.regs[p.area][p.addr]>>p.bit) & 1}
	case p.typ.isText():
		return referenceText(p, wire)
	case p.count == 0:
		return tag.Value{Kind: p.typ.kind(), Bits: referenceBits(p, wire)}
	}
	v := tag.Value{Kind: tag.Array | p.typ.kind()}
	for i := range p.count {
		v.Aux = tag.AppendElem(v.Aux, p.typ.kind(), referenceBits(p, wire[i*2*p.typ.words():]))
	}
	return v
}

func (m *memory) referenceBits(p modbusPoint) tag.Value {
	v := tag.Value{Kind: tag.Bool}
	if p.count > 0 {
		v.Kind |= tag.Array
	}
	for i := range max(1, p.count) {
		b := byte(0)
		if m.bits[p.area][p.addr+i] {
			b = 1
		}
		if p.count == 0 {
			v.Bits = uint64(b)
			return v
		}
		v.Aux = append(v.Aux, b)
	}
	return v
}

func referenceBits(p modbusPoint, wire []byte) uint64 {
	name := orderNames[p.typ.words()][p.order]
	value := make([]byte, len(name))
	for place, letter := range name {
		value[letter-'a'] = wire[place]
	}
	var u uint64
	for _, b := range value {
		u = u<<8 | uint64(b)
	}
	switch p.typ {
	case typeInt16:
		return uint64(int64(int16(u)))
	case typeInt32:
		return uint64(int64(int32(u)))
	case typeFloat16:
		return uint64(math.Float32bits(referenceHalf(uint16(u))))
	}
	return u
}

// referenceHalf computes a binary16 by its definition.
func referenceHalf(h uint16) float32 {
	sign := 1.0
	if h>>15 == 1 {
		sign = -1
	}
	e, f := int(h>>10&31), float64(h&1023)
	switch {
	case e == 31 && f != 0:
		return math.Float32frombits(uint32(h>>15)<<31 | 0x7F800000 | uint32(h&1023)<<13)
	case e == 31:
		return float32(math.Inf(int(sign)))
	case e == 0:
		return float32(math.Copysign(math.Ldexp(f, -24), sign))
	}
	return float32(math.Copysign(math.Ldexp(1+f/1024, e-15), sign))
}

func referenceText(p modbusPoint, wire []byte) tag.Value {
	var s []byte
	for i := 0; i < len(wire); i += 2 {
		switch p.layout {
		case highFirst:
			s = append(s, wire[i], wire[i+1])
		case lowFirst:
			s = append(s, wire[i+1], wire[i])
		case lowOnly:
			s = append(s, wire[i+1])
		case highOnly:
			s = append(s, wire[i])
		}
	}
	s = s[:p.length]
	if p.typ == typeString {
		head, _, _ := strings.Cut(string(s), "\x00")
		s = []byte(head)
	}
	return tag.Value{Kind: p.typ.kind(), Aux: s}
}

func sameValue(a, b tag.Value) bool {
	return a.Kind == b.Kind && a.Bits == b.Bits && string(a.Aux) == string(b.Aux)
}

func TestHalfFloatsMatchTheirDefinition(t *testing.T) {
	for h := range 1 << 16 {
		f := halfToFloat(uint16(h))
		if want := referenceHalf(uint16(h)); math.Float32bits(f) != math.Float32bits(want) {
			t.Fatalf("%04X is %v, want %v", h, f, want)
		}
		if back := floatToHalf(f); back != uint16(h) && back != uint16(h)|1<<9 {
			t.Fatalf("%04X came back as %04X", h, back)
		}
	}
	for _, c := range []struct {
		f    float32
		want uint16
	}{{65519, 0x7BFF}, {65520, 0x7C00}, {1e-9, 0}, {1.0009765625 + 1.0/2048, 0x3C02}, {1 + 1.0/2048, 0x3C00}, {6e-8, 1}} {
		if got := floatToHalf(c.f); got != c.want {
			t.Errorf("%v is %04X, want %04X", c.f, got, c.want)
		}
	}
}

func TestStoreUndoesLoad(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for typ := typeInt16; typ <= typeFloat64; typ++ {
		for o := range orderNames[typ.words()] {
			for range 200 {
				wire := make([]byte, 2*typ.words())
				for i := range wire {
					wire[i] = byte(r.Uint32())
				}
				if typ == typeFloat16 && floatIsNaN(typ.load(byteOrder(o), wire)) {
					continue // payloads of NaN are made quiet
				}
				if back := typ.store(nil, byteOrder(o), typ.load(byteOrder(o), wire)); string(back) != string(wire) {
					t.Fatalf("%s %s: % x came back as % x", typ, orderNames[typ.words()][o], wire, back)
				}
			}
		}
	}
}

func floatIsNaN(bits uint64) bool { f := math.Float32frombits(uint32(bits)); return f != f }

// TestOrders writes down what each order means: 0x0102... most significant first is the value, the wire is its letters.
func TestOrders(t *testing.T) {
	for words, names := range orderNames {
		typ := map[int]modbusType{1: typeUint16, 2: typeUint32, 4: typeUint64}[words]
		for o, name := range names {
			wire := make([]byte, 0, 8)
			for _, letter := range name {
				wire = append(wire, byte(letter-'a'+1))
			}
			want := map[int]uint64{1: 0x0102, 2: 0x01020304, 4: 0x0102030405060708}[words]
			if got := typ.load(byteOrder(o), wire); got != want {
				t.Errorf("%s: % x is %x, want %x", name, wire, got, want)
			}
		}
	}
}

func TestEncode(t *testing.T) {
	for _, c := range []struct {
		address, value string
		want           string // bytes, or the error
	}{
		{"holding:5:int16", "42", "\x00\x2a"},
		{"holding:5:int16", "-1", "\xff\xff"},
		{"holding:5:int16", "32768", "from -32768 to 32767"},
		{"holding:5:int16", "1.5", "whole numbers"},
		{"holding:5:int16", "4e1", "\x00\x28"},
		{"holding:5:uint16", "-1", "from 0 to 65535"},
		{"holding:5:uint16", "0xFFFF", "\xff\xff"},
		{"holding:5:int16:ba", "42", "\x2a\x00"},
		{"holding:5:uint32:cdab", "0x01020304", "\x03\x04\x01\x02"},
		{"holding:5:int64", "-9223372036854775808", "\x80\x00\x00\x00\x00\x00\x00\x00"},
		{"holding:5:int64", "9223372036854775808", "to 9223372036854775807"},
		{"holding:5:uint64", "18446744073709551615", "\xff\xff\xff\xff\xff\xff\xff\xff"},
		{"holding:5:float32", "1.5", "\x3f\xc0\x00\x00"},
		{"holding:5:float32", "1e39", "float32 goes up to"},
		{"holding:5:float16", "1.5", "\x3e\x00"},
		{"holding:5:float16", "70000", "float16 goes up to 65504"},
		{"holding:5:float64", "-2", "\xc0\x00\x00\x00\x00\x00\x00\x00"},
		{"holding:5:float64", "abc", "no number"},
		{"holding:5:string[5]", "abc", "abc\x00\x00\x00"},
		{"holding:5:string[4]:lowbyte", "abcd", "badc"},
		{"holding:5:string[2]:lowonly", "ab", "\x00a\x00b"},
		{"holding:5:string[2]", "abc", "3 bytes long, and 2 fit"},
		{"holding:5:bytes[2]", "a", "exactly 2"},
		{"holding:5:int16[3]", "[1, 2,3]", "\x00\x01\x00\x02\x00\x03"},
		{"holding:5:int16[3]", "[1,2]", "3 elements"},
		{"holding:5:int16[2]", "[1,2,3]", "2 elements"},
		{"holding:5:int16[2]", "7", "written [1,2,3]"},
		{"coil:5", "true", "\x01"},
		{"coil:5", "on", "\x01"},
		{"coil:5", "2", "true or false"},
		{"coil:5[9]", "[1,0,0,0,0,0,0,1,1]", "\x81\x01"},
		{"holding:5.3", "false", "\x00"},
	} {
		p, err := parseModbus(c.address)
		if err != nil {
			t.Fatal(err)
		}
		v, err := p.parseValue(c.value)
		var got []byte
		if err == nil {
			got, err = p.encode(nil, v)
		}
		if err != nil && !strings.Contains(err.Error(), c.want) || err == nil && string(got) != c.want {
			t.Errorf("%s=%s: %q, %v; want %q", c.address, c.value, got, err, c.want)
		}
	}
}

// TestPlanAndDecodeMatchTheReference reads random tag sets through plan and decoder and compares each row with what the reference reads
// straight from memory.
func TestPlanAndDecodeMatchTheReference(t *testing.T) {
	m := &memory{}
	m.fill(rand.New(rand.NewPCG(3, 4)))
	for seed := range uint64(10_000) {
		r := rand.New(rand.NewPCG(seed, 5))
		addresses := make([]string, 1+r.IntN(20))
		for i := range addresses {
			addresses[i] = randomAddress(r)
		}
		lim := randomLimits(r)
		lim.Holes = nil
		p := mustPlan(t, testAddr, lim, addresses...)
		var b tag.Batch
		readMemory(p, m, &b)
		if b.Len() != len(addresses) {
			t.Fatalf("seed %d: %d rows for %d tags", seed, b.Len(), len(addresses))
		}
		for i := range b.ID {
			a := addresses[b.ID[i]-1]
			if got, want := b.Value(i), m.reference(t, a); !sameValue(got, want) {
				t.Fatalf("seed %d: %s is %v, want %v", seed, a, got, want)
			}
		}
	}
}

// readMemory decodes all of p's replies as the session does.
func readMemory(p *modbusPlan, m *memory, into *tag.Batch) {
	a := assembly{}
	a.reset(p)
	d := decoder{into: into}
	for i := range p.reqs {
		r := &p.reqs[i]
		d.cells(p, &a, r.area, r.cells, m.reply(r.area, int(r.from), int(r.count)), 0)
	}
}

func TestDecodingDoesNotAllocate(t *testing.T) {
	m := &memory{}
	p := mustPlan(t, testAddr, device.Limits{}, "holding:0:float32", "holding:2:string[20]", "holding:12:int16[40]", "coil:0[20]", "holding:60.3",
		"holding:100:float64[60]")
	var b tag.Batch
	a, d := assembly{}, decoder{into: &b}
	replies := make([][]byte, len(p.reqs))
	for i, r := range p.reqs {
		replies[i] = m.reply(r.area, int(r.from), int(r.count))
	}
	if n := testing.AllocsPerRun(100, func() {
		b.Reset()
		a.reset(p)
		for i := range p.reqs {
			d.cells(p, &a, p.reqs[i].area, p.reqs[i].cells, replies[i], 0)
		}
	}); n != 0 {
		t.Errorf("%v allocations a read", n)
	}
	if b.Len() != 6 {
		t.Errorf("%d rows", b.Len())
	}
}
