package wire

import (
	"bytes"
	"errors"
	"math"
	"testing"
)

func TestAppendAndCursorAreInverse(t *testing.T) {
	b := AppendU8(nil, 0x12)
	b = AppendU16(b, 0x3456)
	b = AppendU32(b, 0x789abcde)
	b = AppendU64(b, 0xf0123456789abcde)
	b = AppendF32(b, 1.5)
	b = AppendF64(b, -math.Pi)
	want := []byte{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0x3f, 0xc0, 0, 0}
	if !bytes.Equal(b[:len(want)], want) {
		t.Fatalf("bytes %x, want %x", b[:len(want)], want)
	}
	c := Over(b)
	if v := c.U8(); v != 0x12 {
		t.Errorf("U8 %x", v)
	}
	if v := c.U16(); v != 0x3456 {
		t.Errorf("U16 %x", v)
	}
	if v := c.U32(); v != 0x789abcde {
		t.Errorf("U32 %x", v)
	}
	if v := c.U64(); v != 0xf0123456789abcde {
		t.Errorf("U64 %x", v)
	}
	if v := c.F32(); v != 1.5 {
		t.Errorf("F32 %v", v)
	}
	if v := c.F64(); v != -math.Pi {
		t.Errorf("F64 %v", v)
	}
	if err := c.Done(); err != nil {
		t.Error(err)
	}
}

func TestLittleEndian(t *testing.T) {
	b := AppendU64LE(AppendU32LE(AppendU16LE(nil, 0x0102), 0x03040506), 0x0708090a0b0c0d0e)
	want := []byte{2, 1, 6, 5, 4, 3, 0xe, 0xd, 0xc, 0xb, 0xa, 9, 8, 7}
	if !bytes.Equal(b, want) {
		t.Fatalf("bytes %x, want %x", b, want)
	}
	c := Over(b)
	if c.U16LE() != 0x0102 || c.U32LE() != 0x03040506 || c.U64LE() != 0x0708090a0b0c0d0e || !c.Complete() {
		t.Fatal("what was appended reads differently")
	}
	PutU32LE(b, 2, 0xa1a2a3a4)
	if !bytes.Equal(b[2:6], []byte{0xa4, 0xa3, 0xa2, 0xa1}) {
		t.Fatalf("PutU32LE wrote %x", b[2:6])
	}
}

func TestPutOverwrites(t *testing.T) {
	b := []byte{9, 0, 0, 0, 0, 0, 0, 9}
	PutU16(b, 1, 0x0102)
	PutU32(b, 3, 0x03040506)
	if want := []byte{9, 1, 2, 3, 4, 5, 6, 9}; !bytes.Equal(b, want) {
		t.Fatalf("got %v, want %v", b, want)
	}
}

func TestCursorStaysBad(t *testing.T) {
	c := Over([]byte{1, 2, 3})
	c.U16()
	if v := c.U32(); v != 0 || !c.Bad() {
		t.Fatalf("U32 over one byte answered %d, bad %v", v, c.Bad())
	}
	if v := c.U8(); v != 0 || c.Left() != 0 || len(c.Rest()) != 0 {
		t.Fatalf("a bad cursor read %d and says %d bytes are left", v, c.Left())
	}
	want := Error{At: 2, Want: 4, Left: 1}
	var e *Error
	if !errors.As(c.Err(), &e) || *e != want {
		t.Fatalf("error %+v, want %+v", e, want)
	}
	if got := e.Error(); got != "wire: want 4 bytes at offset 2, 1 left" {
		t.Fatal(got)
	}
	if c.Done() == nil || c.Complete() {
		t.Fatal("a bad cursor is done")
	}
}

func TestDoneWantsEveryByte(t *testing.T) {
	c := Over([]byte{1, 2, 3})
	c.U8()
	if err := c.Done(); err == nil || err.Error() != "wire: 2 bytes too many at offset 1" {
		t.Fatalf("got %v", err)
	}
	if c.Err() != nil {
		t.Fatal("bytes too many are no failed read")
	}
}

func TestCountIsBoundedByWhatIsLeft(t *testing.T) {
	for _, x := range []struct{ n, size, want int }{
		{0, 4, 0}, {2, 4, 2}, {3, 4, 0}, {8, 1, 8}, {9, 1, 0}, {-1, 1, 0}, {1, 0, 0}, {math.MaxInt, math.MaxInt, 0}, {math.MaxInt/2 + 1, 2, 0},
	} {
		c := Over(make([]byte, 8))
		got := c.Count(x.n, x.size)
		legal := x.n >= 0 && x.size > 0 && x.n <= 8/x.size
		if got != x.want || c.Bad() == legal {
			t.Errorf("Count(%d, %d) = %d, bad %v; want %d, bad %v", x.n, x.size, got, c.Bad(), x.want, !legal)
		}
	}
}

func TestBytesAliasAndCannotBeAppendedOver(t *testing.T) {
	b := []byte{1, 2, 3, 4}
	c := Over(b)
	p := c.Bytes(2)
	p[0] = 9
	if b[0] != 9 {
		t.Fatal("Bytes copied")
	}
	_ = append(p, 7)
	if b[2] != 3 {
		t.Fatal("append wrote into the bytes that follow")
	}
	if c.Bytes(-1) != nil || !c.Bad() {
		t.Fatal("a negative count was served")
	}
}

func TestSub(t *testing.T) {
	c := Over([]byte{1, 2, 3, 4})
	s := c.Sub(2)
	if s.U16() != 0x0102 || !s.Complete() || c.U16() != 0x0304 {
		t.Fatal("sub cursor and its parent are out of step")
	}
	s = c.Sub(1)
	if !s.Bad() || !c.Bad() {
		t.Fatal("a sub cursor beyond the end is good")
	}
}

func TestNothingAllocates(t *testing.T) {
	buf := make([]byte, 0, 64)
	n := testing.AllocsPerRun(100, func() {
		b := AppendF64(AppendF32(AppendU64(AppendU32(AppendU16(AppendU8(buf, 1), 2), 3), 4), 5), 6)
		c := Over(b)
		c.U8()
		c.U16()
		c.U32()
		c.U64()
		s := c.Sub(c.Count(4, 1))
		s.Skip(4)
		c.F64()
		c.U32()
		if !c.Bad() || !s.Complete() {
			t.Fatal("wrong walk")
		}
	})
	if n != 0 {
		t.Fatalf("%v allocs", n)
	}
}

// FuzzCursor runs a program (ops) over data and compares with plain slicing.
func FuzzCursor(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9}, []byte{0, 1, 2, 3})
	f.Add([]byte{0, 2, 9, 9}, []byte{1, 4, 2, 6, 5})
	f.Add([]byte{}, []byte{3, 0})
	f.Fuzz(func(t *testing.T, data, ops []byte) {
		c, at, bad := Over(data), 0, false
		for i := 0; i < len(ops); i++ {
			n := step(&c, ops[i])
			if n < 0 {
				continue
			}
			if bad = bad || at+n > len(data); !bad {
				at += n
			}
			if c.Bad() != bad || c.At() != at || (!bad && c.Left() != len(data)-at) {
				t.Fatalf("op %d: bad %v at %d left %d, want bad %v at %d of %d", i, c.Bad(), c.At(), c.Left(), bad, at, len(data))
			}
		}
		if (c.Err() != nil) != bad || c.Complete() != (!bad && at == len(data)) {
			t.Fatalf("err %v, complete %v, bad %v at %d of %d", c.Err(), c.Complete(), bad, at, len(data))
		}
	})
}

// step runs one op and returns the bytes it asked for.
func step(c *Cursor, op byte) int {
	switch n := int(op >> 3); op & 7 {
	case 0:
		c.U8()
		return 1
	case 1:
		c.U16()
		return 2
	case 2:
		c.U32()
		return 4
	case 3:
		c.U64()
		return 8
	case 4:
		c.Bytes(n)
		return n
	case 5:
		c.Skip(n)
		return n
	case 6:
		s := c.Sub(n)
		s.U64()
		return n
	default:
		left := c.Left()
		if c.Count(n, 2) == n && 2*n <= left {
			return 0
		}
		return 2 * n
	}
}
