package s7

import (
	"strconv"

	"millrace/wire"
)

// Syntax is how an item says what it means.
type Syntax uint8

// The syntaxes that this package reads. Others are kept as they are.
const (
	SyntaxAny    Syntax = 0x10 // S7ANY
	SyntaxDBRead Syntax = 0xB0 // several pieces of DBs in one item
)

const (
	itemSpec   = 0x12                       // a variable specification
	anyRest    = 10                         // bytes behind the length byte of an S7ANY item
	anyItem    = 2 + anyRest                // bytes of an S7ANY item
	maxAddress = 1<<24 - 1                  // the address has three bytes
	maxByte    = maxAddress >> addressShift // the last byte that an address reaches
	varHeader  = 2                          // function and item count
	maxItems   = 255

	addressShift = 3 // an address counts bits
	addressBit   = 1<<addressShift - 1
)

// Item is one variable of a read or a write: 12 0A 10 | size | count(2) | DB(2) | area | address(3).
type Item struct {
	Syntax  Syntax
	Size    TransportSize
	Count   uint16 // elements
	DB      uint16 // 0 outside DBs
	Area    Area
	Address uint32 // 24 bits: byte*8 + bit; the number of a counter or timer
	Spec    []byte // of a Syntax other than SyntaxAny: what is behind it; aliases the buffer
}

// Bytes is an item of n bytes from byte at on, the plainest way to read anything. at is at most 2,097,151.
func Bytes(a Area, db uint16, at uint32, n uint16) Item {
	return Item{Syntax: SyntaxAny, Size: SizeByte, Count: n, DB: db, Area: a, Address: at << addressShift}
}

// Bit is an item of one bit, 0..7, of byte at.
func Bit(a Area, db uint16, at uint32, bit uint8) Item {
	return Item{Syntax: SyntaxAny, Size: SizeBit, Count: 1, DB: db, Area: a, Address: at<<addressShift | uint32(bit&addressBit)}
}

// Counters is an item of n counters from number at on.
func Counters(at uint32, n uint16) Item {
	return Item{Syntax: SyntaxAny, Size: SizeCounter, Count: n, Area: AreaCounter, Address: at}
}

// Timers is an item of n timers from number at on.
func Timers(at uint32, n uint16) Item {
	return Item{Syntax: SyntaxAny, Size: SizeTimer, Count: n, Area: AreaTimer, Address: at}
}

// Len returns the bytes of data that the item stands for, at most 65535*8; 0 when its size is unknown.
func (m *Item) Len() int { return int(m.Count) * m.Size.Bytes() }

// Byte returns the byte that a byte or bit address points to.
func (m *Item) Byte() int { return int(m.Address >> addressShift) }

// Bit returns the bit, 0..7, that an address points to.
func (m *Item) Bit() uint8 { return uint8(m.Address & addressBit) }

// Range returns the bytes of the area that the item covers: from..from+n. Counters and timers have two bytes each there.
func (m *Item) Range() (from, n int) {
	if m.Area.Numbered() {
		return int(m.Address) * m.Size.Bytes(), m.Len()
	}
	return m.Byte(), m.Len()
}

// Check answers what is wrong with the item by itself, or ReturnOK: syntax and size 06, area 0A, a counter or timer mixed with something
// else, several bits, no elements, and a byte at a bit's address 05. Whether it lies inside its area is for who has the area.
func (m *Item) Check() ReturnCode {
	switch {
	case m.Syntax != SyntaxAny:
		return ReturnTypeUnsupported
	case !m.Area.Known():
		return ReturnNoObject
	case m.Size.Bytes() == 0:
		return ReturnTypeUnsupported
	case m.Area == AreaCounter != (m.Size == SizeCounter), m.Area == AreaTimer != (m.Size == SizeTimer):
		return ReturnAddress
	case m.Area == AreaIECCounter200 != (m.Size == SizeIECCount), m.Area == AreaIECTimer200 != (m.Size == SizeIECTimer):
		return ReturnAddress
	case m.Count == 0, m.Size == SizeBit && m.Count != 1:
		return ReturnAddress
	case m.Size != SizeBit && !m.Area.Numbered() && m.Bit() != 0:
		return ReturnAddress
	}
	return ReturnOK
}

// CheckWrite answers what is wrong with writing d to the item, which passed Check: data that are not of its length, 07.
func (m *Item) CheckWrite(d *DataItem) ReturnCode {
	if len(d.Data) != m.Len() || (d.Size == DataBit) != (m.Size == SizeBit) {
		return ReturnTypeMismatch
	}
	return ReturnOK
}

// String returns the item as an address: DB1.20 BYTE*4, M10.3 BIT*1, C5 COUNTER*1.
func (m *Item) String() string {
	if m.Syntax != SyntaxAny {
		return "item of syntax 0x" + strconv.FormatUint(uint64(m.Syntax), 16)
	}
	s := m.Area.String()
	if m.Area == AreaDB || m.Area == AreaInstanceDB {
		s += strconv.Itoa(int(m.DB)) + "."
	}
	if m.Area.Numbered() {
		s += strconv.Itoa(int(m.Address))
	} else {
		s += strconv.Itoa(m.Byte())
		if m.Size == SizeBit {
			s += "." + strconv.Itoa(int(m.Bit()))
		}
	}
	return s + " " + m.Size.String() + "*" + strconv.Itoa(int(m.Count))
}

func (m *Item) appendTo(b []byte) []byte {
	if m.Syntax != SyntaxAny {
		return append(append(b, itemSpec, byte(1+len(m.Spec)), byte(m.Syntax)), m.Spec...)
	}
	b = append(b, itemSpec, anyRest, byte(SyntaxAny), byte(m.Size))
	b = wire.AppendU16(wire.AppendU16(b, m.Count), m.DB)
	return wire.AppendU32(b, uint32(m.Area)<<24|m.Address&maxAddress)
}

// decodeItem reads one item. What looks like S7ANY and is no variable specification of its length has Syntax 0 and its bytes in Spec.
func decodeItem(c *wire.Cursor) Item {
	spec, n := c.U8(), int(c.U8())
	if n == 0 {
		n = -1 // no item is without a syntax: the cursor goes bad
	}
	rest := c.Sub(n)
	m := Item{Syntax: Syntax(rest.U8())}
	if m.Syntax != SyntaxAny || rest.Left() != anyRest-1 || spec != itemSpec {
		m.Spec = rest.Rest()
		if m.Syntax == SyntaxAny {
			m.Syntax = 0
		}
		return m
	}
	m.Size, m.Count, m.DB = TransportSize(rest.U8()), rest.U16(), rest.U16()
	place := rest.U32()
	m.Area, m.Address = Area(place>>24), place&maxAddress
	return m
}

// appendItems appends function, count and items; one of odd length is filled up unless it is the last.
func appendItems(b []byte, f Function, items []Item) []byte {
	return appendItemList(append(b, byte(f), byte(len(items))), items)
}

func appendItemList(b []byte, items []Item) []byte {
	for i := range items {
		at := len(b)
		b = items[i].appendTo(b)
		if (len(b)-at)%2 != 0 && i < len(items)-1 {
			b = append(b, 0)
		}
	}
	return b
}

// decodeItems reads n items into the slice that it is given.
func decodeItems(c *wire.Cursor, into []Item, n int) []Item {
	into = into[:0]
	for i := range n {
		at := c.At()
		into = append(into, decodeItem(c))
		if c.Bad() {
			return into[:0]
		}
		if (c.At()-at)%2 != 0 && i < n-1 {
			c.Skip(1)
		}
	}
	return into
}

// DBPiece is a piece of a DB in an item of SyntaxDBRead.
type DBPiece struct {
	Len   uint8
	DB    uint16
	Start uint16 // byte
}

const dbPieceBytes = 5

// DBRead is an item of several pieces of DBs; at most 50.
func DBRead(spec []byte) Item { return Item{Syntax: SyntaxDBRead, Spec: spec} }

// AppendDBPieces appends the Spec of an item of SyntaxDBRead.
func AppendDBPieces(b []byte, pieces ...DBPiece) []byte {
	b = append(b, byte(len(pieces)))
	for _, p := range pieces {
		b = wire.AppendU16(wire.AppendU16(append(b, p.Len), p.DB), p.Start)
	}
	return b
}

// DBPieces appends the pieces of an item of SyntaxDBRead to into; ok is false when its length is not what its count says.
func (m *Item) DBPieces(into []DBPiece) (pieces []DBPiece, ok bool) {
	c, ok := m.dbPieces()
	for ok && c.Left() > 0 {
		into = append(into, dbPiece(&c))
	}
	return into, ok
}

// dbPieces returns a Cursor over the pieces, for dbPiece until nothing is left.
func (m *Item) dbPieces() (c wire.Cursor, ok bool) {
	c = wire.Over(m.Spec)
	n := int(c.U8())
	return c, !c.Bad() && n*dbPieceBytes == c.Left()
}

func dbPiece(c *wire.Cursor) DBPiece { return DBPiece{Len: c.U8(), DB: c.U16(), Start: c.U16()} }
