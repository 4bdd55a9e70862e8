package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

// Cursor reads a buffer from front to back. The first read that asks for more than is left turns it bad; every later read answers
// zero values, so that a decoder reads all its fields and checks once at the end. It never allocates, but for the error that Err and Done
// make of a bad one. The zero value is a Cursor over nothing.
type Cursor struct {
	b    []byte
	at   int
	bad  bool
	want int // bytes the failed read asked for
}

// Over returns a Cursor over b, which it aliases.
func Over(b []byte) Cursor { return Cursor{b: b} }

// Error says where a Cursor went bad.
type Error struct {
	At   int // offset of the failed read, or of the first byte too many
	Want int // bytes asked for; 0 when there were bytes too many
	Left int // bytes that were left
}

func (e *Error) Error() string {
	if e.Want == 0 {
		return fmt.Sprintf("wire: %d bytes too many at offset %d", e.Left, e.At)
	}
	return fmt.Sprintf("wire: want %d bytes at offset %d, %d left", e.Want, e.At, e.Left)
}

// Left returns how many bytes can still be read, 0 when bad.
func (c *Cursor) Left() int {
	if c.bad {
		return 0
	}
	return len(c.b) - c.at
}

// At returns the offset of the next read, or of the read that failed.
func (c *Cursor) At() int { return c.at }

// Bad reports whether a read failed.
func (c *Cursor) Bad() bool { return c.bad }

// Err returns nil, or an *Error when a read failed.
func (c *Cursor) Err() error {
	if !c.bad {
		return nil
	}
	return &Error{At: c.at, Want: c.want, Left: len(c.b) - c.at}
}

// Done returns nil when every byte was read and none was missing, else an *Error.
func (c *Cursor) Done() error {
	if c.Complete() {
		return nil
	}
	return &Error{At: c.at, Want: c.want, Left: len(c.b) - c.at}
}

// Complete reports whether every byte was read and none was missing.
func (c *Cursor) Complete() bool { return !c.bad && c.at == len(c.b) }

// Bytes returns the next n bytes, which alias the buffer and cannot be appended over it. It answers nil when bad; a negative n is bad.
func (c *Cursor) Bytes(n int) []byte {
	if c.bad || n < 0 || n > len(c.b)-c.at {
		c.fail(n)
		return nil
	}
	p := c.b[c.at : c.at+n : c.at+n]
	c.at += n
	return p
}

// Rest returns all bytes that are left; they alias the buffer.
func (c *Cursor) Rest() []byte { return c.Bytes(c.Left()) }

// Skip passes over n bytes.
func (c *Cursor) Skip(n int) { c.Bytes(n) }

// Sub returns a Cursor over the next n bytes alone. It is bad when c is.
func (c *Cursor) Sub(n int) Cursor {
	return Cursor{b: c.Bytes(n), bad: c.bad, want: c.want}
}

// Count checks a count that came from the wire before anything is allocated for it: n items of at least size bytes each must fit into
// what is left. It returns n, or 0 and turns bad. size is at least 1.
func (c *Cursor) Count(n, size int) int {
	if c.bad || n < 0 || size < 1 || n > (len(c.b)-c.at)/size {
		c.fail(saturatedMul(n, size))
		return 0
	}
	return n
}

// U8 reads one byte.
func (c *Cursor) U8() uint8 {
	if c.bad || len(c.b)-c.at < 1 {
		c.fail(1)
		return 0
	}
	v := c.b[c.at]
	c.at++
	return v
}

// U16 reads two bytes, high byte first.
func (c *Cursor) U16() uint16 {
	if c.bad || len(c.b)-c.at < 2 {
		c.fail(2)
		return 0
	}
	v := binary.BigEndian.Uint16(c.b[c.at:])
	c.at += 2
	return v
}

// U32 reads four bytes, high byte first.
func (c *Cursor) U32() uint32 {
	if c.bad || len(c.b)-c.at < 4 {
		c.fail(4)
		return 0
	}
	v := binary.BigEndian.Uint32(c.b[c.at:])
	c.at += 4
	return v
}

// U64 reads eight bytes, high byte first.
func (c *Cursor) U64() uint64 {
	if c.bad || len(c.b)-c.at < 8 {
		c.fail(8)
		return 0
	}
	v := binary.BigEndian.Uint64(c.b[c.at:])
	c.at += 8
	return v
}

// F32 reads an IEEE 754 number of four bytes, high byte first.
func (c *Cursor) F32() float32 { return math.Float32frombits(c.U32()) }

// F64 reads an IEEE 754 number of eight bytes, high byte first.
func (c *Cursor) F64() float64 { return math.Float64frombits(c.U64()) }

// U16LE reads two bytes, low byte first.
func (c *Cursor) U16LE() uint16 {
	v := c.U16()
	return v<<8 | v>>8
}

// U32LE reads four bytes, low byte first.
func (c *Cursor) U32LE() uint32 { return bits.ReverseBytes32(c.U32()) }

// U64LE reads eight bytes, low byte first.
func (c *Cursor) U64LE() uint64 { return bits.ReverseBytes64(c.U64()) }

// fail turns c bad at its first failure and remembers what was asked; later failures change nothing.
func (c *Cursor) fail(want int) {
	if c.bad {
		return
	}
	c.bad = true
	c.want = max(want, 1)
}

func saturatedMul(n, size int) int {
	if n <= 0 || size <= 0 {
		return 1
	}
	if n > math.MaxInt/size {
		return math.MaxInt
	}
	return n * size
}
