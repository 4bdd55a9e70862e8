package s7

import (
	"slices"
	"strconv"

	"millrace/wire"
)

// ReturnCode says how it went with one item.
type ReturnCode uint8

// The return codes.
const (
	ReturnReserved        ReturnCode = 0x00 // in what a client sends
	ReturnHardware        ReturnCode = 0x01
	ReturnAccess          ReturnCode = 0x03
	ReturnAddress         ReturnCode = 0x05
	ReturnTypeUnsupported ReturnCode = 0x06
	ReturnTypeMismatch    ReturnCode = 0x07
	ReturnBusy            ReturnCode = 0x09
	ReturnNoObject        ReturnCode = 0x0A
	ReturnOK              ReturnCode = 0xFF
)

// String returns r in words, or its number.
func (r ReturnCode) String() string {
	switch r {
	case ReturnReserved:
		return "reserved"
	case ReturnHardware:
		return "hardware fault"
	case ReturnAccess:
		return "access not allowed"
	case ReturnAddress:
		return "address out of range"
	case ReturnTypeUnsupported:
		return "data type not supported"
	case ReturnTypeMismatch:
		return "data type inconsistent"
	case ReturnBusy:
		return "busy"
	case ReturnNoObject:
		return "object does not exist"
	case ReturnOK:
		return "ok"
	}
	return "return code " + strconv.Itoa(int(r))
}

// DataSize marks the data of an item and tells what its length counts.
type DataSize uint8

// The sizes of data.
const (
	DataNone  DataSize = 0x00
	DataBit   DataSize = 0x03 // the length counts bits; 1 is the only legal one
	DataByte  DataSize = 0x04 // the length counts bits
	DataInt   DataSize = 0x05 // the length counts bits
	DataDInt  DataSize = 0x06 // bytes to most, bits to snap7 and gos7: never sent, both are taken
	DataReal  DataSize = 0x07 // the length counts bytes
	DataOctet DataSize = 0x09 // the length counts bytes
)

// countsBits reports whether lengths of s are in bits.
func (s DataSize) countsBits() bool { return s == DataBit || s == DataByte || s == DataInt }

// wireLength returns what the length field says of n bytes.
func (s DataSize) wireLength(n int) uint16 {
	switch {
	case s == DataBit && n == 1:
		return 1 // one bit, in a byte of its own
	case s.countsBits():
		return uint16(n * 8)
	}
	return uint16(n)
}

// bytes returns the bytes that a length field of s stands for.
func (s DataSize) bytes(length uint16, dintBits bool) int {
	switch {
	case s == DataNone:
		return 0
	case s.countsBits() || s == DataDInt && dintBits:
		return (int(length) + 7) / 8
	}
	return int(length)
}

// dataHeader are return code, size, length(2).
const dataHeader = 4

// DataItem is the data of one item, in the answer to a read and in a write.
type DataItem struct {
	Code ReturnCode // 0 in a write
	Size DataSize
	Data []byte // at most 8,191 bytes where the length counts bits; aliases the buffer
}

// appendTo appends the item to the data that begin at b[data:], with the fill that the item before it needs: data of odd length are
// filled up, those of the last item are not.
func (m *DataItem) appendTo(b []byte, data int) []byte {
	if (len(b)-data)%2 != 0 {
		b = append(b, 0)
	}
	b = wire.AppendU16(append(b, byte(m.Code), byte(m.Size)), m.Size.wireLength(len(m.Data)))
	return append(b, m.Data...)
}

// growDataItem appends an item of n bytes to the data that begin at b[data:], and returns the place for its bytes. What is in it is old.
func growDataItem(b []byte, data int, size DataSize, n int) (grown, place []byte) {
	head := DataItem{Code: ReturnOK, Size: size}
	b = head.appendTo(b, data)
	wire.PutU16(b, len(b)-2, size.wireLength(n))
	at := len(b)
	b = slices.Grow(b, n)[:at+n]
	return b, b[at:]
}

func appendDataItems(b []byte, items []DataItem) []byte {
	data := len(b)
	for i := range items {
		b = items[i].appendTo(b, data)
	}
	return b
}

// decodeDataItems reads n items into the slice that it is given. Those that failed have no data, whatever their length says. DataDInt is
// tried with bytes first and with bits when that does not come out.
func decodeDataItems(data []byte, into []DataItem, n int, answer bool) ([]DataItem, bool) {
	into, ok, dint := tryDataItems(data, into, n, answer, false)
	if !ok && dint {
		into, ok, _ = tryDataItems(data, into, n, answer, true)
	}
	return into, ok
}

func tryDataItems(data []byte, into []DataItem, n int, answer, dintBits bool) (items []DataItem, ok, dint bool) {
	c := wire.Over(data)
	items = into[:0]
	for range n {
		if c.At()%2 != 0 {
			c.Skip(1)
		}
		m := DataItem{Code: ReturnCode(c.U8()), Size: DataSize(c.U8())}
		length := c.U16()
		if answer && m.Code != ReturnOK {
			m.Size = DataNone
		}
		dint = dint || m.Size == DataDInt
		m.Data = c.Bytes(m.Size.bytes(length, dintBits))
		items = append(items, m)
		if c.Bad() {
			return items[:0], false, dint
		}
	}
	if c.At()%2 != 0 && c.Left() == 1 { // some fill up the last item too
		c.Skip(1)
	}
	return items, c.Complete(), dint
}
