package tag

import (
	"encoding/binary"
	"math"
)

// Batch carries values as columns: row i is ID[i], TS[i], Quality[i], Kind[i], Bits[i]. All columns have equal length.
//
// A value of up to 8 bytes lies in Bits: integers sign- or zero-extended, floats as their IEEE 754 bits (a Float32 in the
// low 32), a Bool as 0 or 1. A value of a longer kind lies in Aux, and Bits is offset<<32 | length. An array is one value:
// its elements follow one another in Aux, little endian and Width bytes each; elements without a width are each preceded
// by a uvarint length.
//
// A Batch is owned by one goroutine at a time. The zero value is empty and ready.
type Batch struct {
	Device   uint32 // catalog number of the device all rows are of
	Received int64  // gateway clock, ns since 1970, when the values arrived
	Flags    uint32 // FlagX bits

	ID      []ID
	TS      []int64 // ns since 1970: the source's time if it gives one, else the receive time of the reply
	Quality []Quality
	Kind    []Kind
	Bits    []uint64
	Aux     []byte
}

// FlagClockStepped marks the first batch of a device after the gateway's clock was set: its times and those before it are not of one clock.
const FlagClockStepped uint32 = 1

// Len returns the number of rows.
func (b *Batch) Len() int { return len(b.ID) }

// Reset empties b and keeps its memory.
func (b *Batch) Reset() {
	b.Device, b.Received, b.Flags = 0, 0, 0
	b.Truncate(0)
}

// Truncate keeps the first n rows. Bytes of dropped rows stay in Aux unless n is 0.
func (b *Batch) Truncate(n int) {
	b.ID, b.TS, b.Quality, b.Kind, b.Bits = b.ID[:n], b.TS[:n], b.Quality[:n], b.Kind[:n], b.Bits[:n]
	if n == 0 {
		b.Aux = b.Aux[:0]
	}
}

// DropFirst removes the first n rows. Their bytes stay in Aux unless no row is left.
func (b *Batch) DropFirst(n int) {
	if n == 0 {
		return
	}
	copy(b.ID, b.ID[n:])
	copy(b.TS, b.TS[n:])
	copy(b.Quality, b.Quality[n:])
	copy(b.Kind, b.Kind[n:])
	copy(b.Bits, b.Bits[n:])
	b.Truncate(b.Len() - n)
}

// Append adds a row whose value lies in bits: kinds with a Width.
func (b *Batch) Append(id ID, ts int64, q Quality, k Kind, bits uint64) {
	b.ID = append(b.ID, id)
	b.TS = append(b.TS, ts)
	b.Quality = append(b.Quality, q)
	b.Kind = append(b.Kind, k)
	b.Bits = append(b.Bits, bits)
}

// AppendAux adds a row whose value is the bytes v, which are copied: strings, byte strings and arrays.
func (b *Batch) AppendAux(id ID, ts int64, q Quality, k Kind, v []byte) {
	off := len(b.Aux)
	b.Aux = append(b.Aux, v...)
	b.Append(id, ts, q, k, uint64(off)<<32|uint64(len(v)))
}

// AppendString adds a String row.
func (b *Batch) AppendString(id ID, ts int64, q Quality, s string) {
	off := len(b.Aux)
	b.Aux = append(b.Aux, s...)
	b.Append(id, ts, q, String, uint64(off)<<32|uint64(len(s)))
}

// AppendRow copies row i of o to the end of b.
func (b *Batch) AppendRow(o *Batch, i int) {
	if o.Kind[i].inAux() {
		b.AppendAux(o.ID[i], o.TS[i], o.Quality[i], o.Kind[i], o.Bytes(i))
		return
	}
	b.Append(o.ID[i], o.TS[i], o.Quality[i], o.Kind[i], o.Bits[i])
}

// Bytes returns the bytes of row i, whose kind has no Width. They belong to the batch. A row that points outside Aux gives nil.
func (b *Batch) Bytes(i int) []byte { return auxBytes(b.Aux, b.Bits[i]) }

func auxBytes(aux []byte, bits uint64) []byte {
	off, n := bits>>32, bits&math.MaxUint32
	if off+n > uint64(len(aux)) {
		return nil
	}
	return aux[off : off+n : off+n]
}

// Value returns row i as a Value; a string or array belongs to the batch.
func (b *Batch) Value(i int) Value {
	v := Value{Kind: b.Kind[i], Bits: b.Bits[i]}
	if v.Kind.inAux() {
		v.Bits, v.Aux = 0, b.Bytes(i)
	}
	return v
}

// Value is one value outside a batch. Aux holds the bytes of a kind without a Width, as in Batch.
type Value struct {
	Kind Kind
	Bits uint64
	Aux  []byte
}

// Float returns a numeric scalar as a float64 (Bool as 0 or 1), and false for every other kind. 64-bit integers round.
func (v Value) Float() (float64, bool) {
	switch v.Kind {
	case Bool, Uint8, Uint16, Uint32, Uint64:
		return float64(v.Bits), true
	case Int8, Int16, Int32, Int64:
		return float64(int64(v.Bits)), true
	case Float32:
		return float64(math.Float32frombits(uint32(v.Bits))), true
	case Float64:
		return math.Float64frombits(v.Bits), true
	}
	return 0, false
}

// Float64Value returns f as a Value.
func Float64Value(f float64) Value { return Value{Kind: Float64, Bits: math.Float64bits(f)} }

// Scaled returns v*factor + bias: a Float64, or an array of them. What is not a number stays as it is.
func (v Value) Scaled(factor, bias float64) Value {
	if f, ok := v.Float(); ok {
		return Float64Value(f*factor + bias)
	}
	w := v.Kind.Elem().Width()
	if !v.Kind.IsArray() || w == 0 || v.Kind.Elem() == DateTime {
		return v
	}
	out := Value{Kind: Float64 | Array}
	for i := range len(v.Aux) / w {
		e, _ := v.Elem(i)
		f, _ := e.Float()
		out.Aux = AppendElem(out.Aux, Float64, math.Float64bits(f*factor+bias))
	}
	return out
}

// Elem returns element i of an array, and false when there is none.
func (v Value) Elem(i int) (Value, bool) {
	if !v.Kind.IsArray() || i < 0 {
		return Value{}, false
	}
	e := v.Kind.Elem()
	if w := e.Width(); w > 0 {
		if (i+1)*w > len(v.Aux) {
			return Value{}, false
		}
		return Value{Kind: e, Bits: loadBits(e, v.Aux[i*w:])}, true
	}
	rest := v.Aux
	for {
		n, used := binary.Uvarint(rest)
		if used <= 0 || n > uint64(len(rest)-used) {
			return Value{}, false
		}
		if i == 0 {
			return Value{Kind: e, Aux: rest[used : used+int(n)]}, true
		}
		rest, i = rest[used+int(n):], i-1
	}
}

// Elems walks the elements of an array. Those without a width lie one behind the other: asking for each by its number would take the
// square of the time.
type Elems struct {
	Index int // of Value
	Value Value

	kind Kind
	rest []byte // what is behind Value
}

// Elems returns a walk that stands before v's first element. What is no array has none.
func (v Value) Elems() Elems { return Elems{Index: -1, kind: v.Kind, rest: v.Aux} }

// Next goes to the next element, and says whether there is one.
func (it *Elems) Next() bool {
	e, ok := Value{Kind: it.kind, Aux: it.rest}.Elem(0)
	if !ok {
		return false
	}
	n := e.Kind.Width()
	if n == 0 {
		_, used := binary.Uvarint(it.rest)
		n = used + len(e.Aux)
	}
	it.Value, it.rest = e, it.rest[n:]
	it.Index++
	return true
}

// loadBits reads one value of kind k, which has a Width, little endian, and extends it as Batch.Bits wants it.
func loadBits(k Kind, p []byte) uint64 {
	switch k {
	case Int8:
		return uint64(int64(int8(p[0])))
	case Int16:
		return uint64(int64(int16(binary.LittleEndian.Uint16(p))))
	case Int32:
		return uint64(int64(int32(binary.LittleEndian.Uint32(p))))
	}
	switch k.Width() {
	case 1:
		return uint64(p[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(p))
	case 4:
		return uint64(binary.LittleEndian.Uint32(p))
	}
	return binary.LittleEndian.Uint64(p)
}

// AppendElem appends one array element of kind k with a Width to dst in the form that Aux holds.
func AppendElem(dst []byte, k Kind, bits uint64) []byte {
	switch k.Width() {
	case 1:
		return append(dst, byte(bits))
	case 2:
		return binary.LittleEndian.AppendUint16(dst, uint16(bits))
	case 4:
		return binary.LittleEndian.AppendUint32(dst, uint32(bits))
	}
	return binary.LittleEndian.AppendUint64(dst, bits)
}
