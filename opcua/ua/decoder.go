package ua

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Limits bound what a decoder takes. A zero field is its default.
type Limits struct {
	Depth            int // nested Variants, DataValues, DiagnosticInfos and structures; 100 [OPC 10000-6 5.1.8]
	ArrayLength      int // elements of one array; 1 Mi
	StringLength     int // bytes of one string; 16 MiB
	ByteStringLength int // bytes of one byte string or body; 16 MiB
	Message          int // bytes of a whole message; 64 MiB
	Memory           int // bytes allocated for what is decoded; Message, so that both together stay below twice that
}

const (
	defaultDepth      = 100
	defaultArray      = 1 << 20
	defaultString     = 1 << 24
	defaultByteString = 1 << 24
	defaultMessage    = 1 << 26
)

// WithDefaults returns l with its zero fields filled in.
func (l Limits) WithDefaults() Limits {
	set := func(v *int, n int) {
		if *v <= 0 {
			*v = n
		}
	}
	set(&l.Depth, defaultDepth)
	set(&l.ArrayLength, defaultArray)
	set(&l.StringLength, defaultString)
	set(&l.ByteStringLength, defaultByteString)
	set(&l.Message, defaultMessage)
	set(&l.Memory, l.Message)
	return l
}

// DecodeError says what was wrong with bytes that were to be decoded.
type DecodeError struct {
	At     int        // offset of what was wrong
	Status StatusCode // BadDecodingError, or BadEncodingLimitsExceeded when a limit of ours was reached
	What   string     // in words
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("ua: %s at offset %d: %s", e.What, e.At, e.Status)
}

// Unwrap returns the StatusCode.
func (e *DecodeError) Unwrap() error { return e.Status }

// Retryable reports false: the same bytes are as bad the next time.
func (e *DecodeError) Retryable() bool { return false }

// Decoder reads the binary encoding from front to back. The first read that cannot be served turns it bad; every later read answers zero
// values, so that a decoder of a structure reads all its fields and its caller looks at Err or Done once.
//
// Strings share copies of the input, one for each 32 KiB of it that hold strings: who keeps one short string for long clones it
// (strings.Clone), or it holds its neighbours. Byte strings and bodies of ExtensionObjects are copied, each for itself, unless Alias is set.
type Decoder struct {
	b  []byte
	at int

	Alias bool // byte strings and bodies point into the input
	Reuse bool // slices of the structure that is decoded into keep their room, as long as it is enough; what was in them is overwritten

	bad    StatusCode // 0 while good
	badAt  int
	what   string
	depth  int   // levels that may still be entered
	memory int64 // bytes that may still be allocated

	text   string // a copy of the input from textAt on
	textAt int

	preset int // 1 + the length of the next array, which is not on the wire; 0 when it is

	maxArray, maxString, maxBytes int
}

// NewDecoder returns a Decoder over b, which it does not change.
func NewDecoder(b []byte, lim Limits) Decoder {
	lim = lim.WithDefaults()
	d := Decoder{
		b: b, depth: lim.Depth, memory: int64(lim.Memory),
		maxArray: lim.ArrayLength, maxString: lim.StringLength, maxBytes: lim.ByteStringLength,
	}
	if len(b) > lim.Message {
		d.fail(BadEncodingLimitsExceeded, "a message that is too long")
	}
	return d
}

// fail turns d bad, once.
func (d *Decoder) fail(s StatusCode, what string) {
	if d.bad != 0 {
		return
	}
	d.bad, d.badAt, d.what = s, d.at, what
	d.b, d.at = d.b[:0], 0
}

// Fail turns d bad as a read that went wrong does: for decoders outside this package.
func (d *Decoder) Fail(s StatusCode, what string) { d.fail(s, what) }

// short turns d bad for want of bytes.
func (d *Decoder) short() { d.fail(BadDecodingError, "the end came too early") }

// Bad reports whether a read failed.
func (d *Decoder) Bad() bool { return d.bad != 0 }

// Err returns nil, or the *DecodeError of the first read that failed.
func (d *Decoder) Err() error {
	if d.bad == 0 {
		return nil
	}
	return &DecodeError{At: d.badAt, Status: d.bad, What: d.what}
}

// Status returns Good, or the status of the first read that failed: what a server answers.
func (d *Decoder) Status() StatusCode { return d.bad }

// Done returns what Err does, and an error when bytes are left.
func (d *Decoder) Done() error {
	if d.bad == 0 && d.at < len(d.b) {
		d.fail(BadDecodingError, "bytes too many")
	}
	return d.Err()
}

// Left returns how many bytes can still be read, 0 when bad.
func (d *Decoder) Left() int { return len(d.b) - d.at }

// At returns the offset of the next read, or of the read that failed.
func (d *Decoder) At() int {
	if d.bad != 0 {
		return d.badAt
	}
	return d.at
}

// Skip passes over n bytes.
func (d *Decoder) Skip(n int) {
	if n < 0 || n > len(d.b)-d.at {
		d.short()
		return
	}
	d.at += n
}

// Rest returns all bytes that are left; they alias the input.
func (d *Decoder) Rest() []byte {
	p := d.b[d.at:len(d.b):len(d.b)]
	d.at = len(d.b)
	return p
}

// enter goes one level deeper, if it may. Who entered leaves by d.depth++.
func (d *Decoder) enter() bool {
	if d.depth <= 0 {
		d.fail(BadEncodingLimitsExceeded, "nested too deep")
		return false
	}
	d.depth--
	return true
}

// take accounts for n things of size bytes each that are about to be allocated.
func (d *Decoder) take(n, size int) bool {
	want := int64(n) * int64(size)
	if want > d.memory {
		d.fail(BadEncodingLimitsExceeded, "more to allocate than allowed")
		return false
	}
	d.memory -= want
	return d.bad == 0
}

// Count reads the length of an array whose elements take at least minSize bytes each, and checks it against what is left and against
// Limits.ArrayLength. Null is 0. It does not account for memory.
func (d *Decoder) Count(minSize int) int { return max(d.count(minSize), 0) }

// count is Count with -1 for null and for bad.
func (d *Decoder) count(minSize int) int {
	n := d.preset - 1
	if d.preset = 0; n < 0 {
		n = int(d.I32())
	}
	switch {
	case d.bad != 0:
		return -1
	case n > d.maxArray:
		d.fail(BadEncodingLimitsExceeded, "an array that is too long")
		return -1
	case n < -1:
		d.fail(BadDecodingError, "a negative length")
		return -1
	case n > len(d.b)-d.at || n*minSize > len(d.b)-d.at:
		d.short()
		return -1
	}
	return n
}

// makeSlice reads the length of an array and makes room for it: size is that of one T in memory. Null is nil.
func makeSlice[T any](d *Decoder, minSize, size int) []T {
	n := d.count(minSize)
	if n < 0 || !d.take(n, size) || !d.take(1, allocRound) {
		return nil
	}
	return make([]T, n)
}

// remakeSlice is makeSlice for a field that may have room already.
func remakeSlice[T any](d *Decoder, old []T, minSize, size int) []T {
	if !d.Reuse {
		return makeSlice[T](d, minSize, size)
	}
	n := d.count(minSize)
	if n < 0 || !d.take(n, size) {
		return nil
	}
	if n > cap(old) {
		return make([]T, n)
	}
	clear(old[:n])
	return old[:n]
}

// U8 reads a Byte.
func (d *Decoder) U8() uint8 {
	if d.at >= len(d.b) {
		d.short()
		return 0
	}
	v := d.b[d.at]
	d.at++
	return v
}

// U16 reads a UInt16.
func (d *Decoder) U16() uint16 {
	if len(d.b)-d.at < 2 {
		d.short()
		return 0
	}
	v := binary.LittleEndian.Uint16(d.b[d.at:])
	d.at += 2
	return v
}

// U32 reads a UInt32.
func (d *Decoder) U32() uint32 {
	if len(d.b)-d.at < 4 {
		d.short()
		return 0
	}
	v := binary.LittleEndian.Uint32(d.b[d.at:])
	d.at += 4
	return v
}

// U64 reads a UInt64.
func (d *Decoder) U64() uint64 {
	if len(d.b)-d.at < 8 {
		d.short()
		return 0
	}
	v := binary.LittleEndian.Uint64(d.b[d.at:])
	d.at += 8
	return v
}

// I8 reads an SByte.
func (d *Decoder) I8() int8 { return int8(d.U8()) }

// I16 reads an Int16.
func (d *Decoder) I16() int16 { return int16(d.U16()) }

// I32 reads an Int32.
func (d *Decoder) I32() int32 { return int32(d.U32()) }

// I64 reads an Int64.
func (d *Decoder) I64() int64 { return int64(d.U64()) }

// F32 reads a Float.
func (d *Decoder) F32() float32 { return math.Float32frombits(d.U32()) }

// F64 reads a Double.
func (d *Decoder) F64() float64 { return math.Float64frombits(d.U64()) }

// Bool reads a Boolean: anything but 0 is true.
func (d *Decoder) Bool() bool { return d.U8() != 0 }

// DateTime reads a DateTime.
func (d *Decoder) DateTime() DateTime { return DateTime(d.U64()) }

// StatusCode reads a StatusCode.
func (d *Decoder) StatusCode() StatusCode { return StatusCode(d.U32()) }

// Guid reads a Guid.
func (d *Decoder) Guid() Guid {
	g := Guid{D1: d.U32(), D2: d.U16(), D3: d.U16()}
	if len(d.b)-d.at < 8 {
		d.short()
		return Guid{}
	}
	copy(g.D4[:], d.b[d.at:])
	d.at += 8
	return g
}
