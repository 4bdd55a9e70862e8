package modbus

import (
	"fmt"

	"millrace/wire"
)

// PDUError says why an answer is not what its function code promises.
type PDUError struct {
	Function Function // the first byte; 0 when there was none
	Length   int      // bytes of the PDU
	What     string   // "length", "byte count", "function", ...
}

func (e *PDUError) Error() string {
	return fmt.Sprintf("modbus: malformed answer of function 0x%02X, %d bytes: %s", uint8(e.Function), e.Length, e.What)
}

func malformed(pdu []byte, what string) error {
	e := &PDUError{Length: len(pdu), What: what}
	if len(pdu) > 0 {
		e.Function = Function(pdu[0])
	}
	return e
}

// bitBytes returns the bytes that n bits take.
func bitBytes(n uint16) int { return (int(n) + 7) / 8 }

// fits reports whether qty addresses from addr on end at 65535 or below. qty is at least 1.
func fits(addr, qty uint16) bool { return int(addr)+int(qty)-1 <= 0xFFFF }

// startRequest reads the function code of a request; a PDU of another function than want is exception 1.
func startRequest(pdu []byte, want Function) (wire.Cursor, ExceptionCode) {
	c := wire.Over(pdu)
	if c.U8() != uint8(want) || c.Bad() {
		return c, IllegalFunction
	}
	return c, 0
}

// startResponse reads the function code of an answer.
func startResponse(pdu []byte, want Function) (wire.Cursor, error) {
	c := wire.Over(pdu)
	if c.U8() != uint8(want) || c.Bad() {
		return c, malformed(pdu, "function")
	}
	return c, nil
}

// appendRange appends the request of every plain read: function, address, quantity.
func appendRange(b []byte, f Function, addr, qty uint16) []byte {
	return wire.AppendU16(wire.AppendU16(append(b, byte(f)), addr), qty)
}

// decodeRange reads what appendRange wrote. The order of checks is the specification's [Modbus 7, figure 9]: function 1, length and
// quantity 3, address 2.
func decodeRange(pdu []byte, f Function, limit uint16) (addr, qty uint16, code ExceptionCode) {
	c, code := startRequest(pdu, f)
	if code != 0 {
		return 0, 0, code
	}
	addr, qty = c.U16(), c.U16()
	switch {
	case !c.Complete() || qty == 0 || qty > limit:
		return 0, 0, IllegalDataValue
	case !fits(addr, qty):
		return 0, 0, IllegalDataAddress
	}
	return addr, qty, 0
}

// appendCounted appends function, byte count, data: the answer of every plain read. data is at most 250 bytes.
func appendCounted(b []byte, f Function, data []byte) []byte {
	return append(append(b, byte(f), byte(len(data))), data...)
}

// decodeCounted reads what appendCounted wrote; unit is the size that the count must be a multiple of.
func decodeCounted(pdu []byte, f Function, unit int) ([]byte, error) {
	c, err := startResponse(pdu, f)
	if err != nil {
		return nil, err
	}
	n := int(c.U8())
	data := c.Bytes(n)
	if !c.Complete() || n == 0 || n > 2*MaxReadRegisters || n%unit != 0 {
		return nil, malformed(pdu, "byte count")
	}
	return data, nil
}

// appendPair appends function and two words: requests and answers of 05, 06, and the answers of 0F and 10.
func appendPair(b []byte, f Function, addr, v uint16) []byte { return appendRange(b, f, addr, v) }

// decodePair reads an answer that appendPair wrote.
func decodePair(pdu []byte, f Function) (addr, v uint16, err error) {
	c, err := startResponse(pdu, f)
	if err != nil {
		return 0, 0, err
	}
	addr, v = c.U16(), c.U16()
	if !c.Complete() {
		return 0, 0, malformed(pdu, "length")
	}
	return addr, v, nil
}

// appendBlock appends the request of 0F and 10: function, address, quantity, byte count, data.
func appendBlock(b []byte, f Function, addr, qty uint16, data []byte) []byte {
	return append(append(appendRange(b, f, addr, qty), byte(len(data))), data...)
}

// block is a decoded 0F or 10.
type block struct {
	addr, qty uint16
	data      []byte
}

// decodeBlock reads what appendBlock wrote; bytesOf says how many bytes a quantity takes.
func decodeBlock(pdu []byte, f Function, limit uint16, bytesOf func(uint16) int) (block, ExceptionCode) {
	c, code := startRequest(pdu, f)
	if code != 0 {
		return block{}, code
	}
	m := block{addr: c.U16(), qty: c.U16()}
	n := int(c.U8())
	m.data = c.Bytes(n)
	switch {
	case !c.Complete() || m.qty == 0 || m.qty > limit || n != bytesOf(m.qty):
		return block{}, IllegalDataValue
	case !fits(m.addr, m.qty):
		return block{}, IllegalDataAddress
	}
	return m, 0
}

func registerBytes(n uint16) int { return 2 * int(n) }
