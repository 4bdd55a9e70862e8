package modbus

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Call is one request of Client.Do and what came of it. Values and Data are the caller's: the client reads the first and appends to the
// second until Do returns, and keeps neither.
type Call struct {
	Unit     uint8
	Function Function
	Address  uint16 // with ReadDeviceID: the object
	Quantity uint16 // of bits or registers; with ReadDeviceID the DeviceIDCode; unused by 05, 06, 16 and 18

	WriteAddress uint16 // 17 only: where Values go; Address and Quantity are what is read
	Values       []byte // to be written, as on the wire: packed bits (0F), registers high byte first (06 10 17), FF00 or 0000 (05), AND and OR mask (16)

	// Data gets what the device sent appended: packed bits (01 02), registers high byte first (03 04 17 18), the whole PDU (2B), nothing else.
	Data []byte
	// RTT is the time from sending to the reply; 0 without one.
	RTT time.Duration
	// At is when the reply came; zero without one.
	At time.Time
	// Err is nil, or an *Error.
	Err error
}

// appendTo appends the request's PDU; the call was checked.
func (c *Call) appendTo(b []byte) []byte {
	switch c.Function {
	case FuncWriteCoil, FuncWriteRegister, FuncMaskWrite:
		return append(append(b, byte(c.Function), byte(c.Address>>8), byte(c.Address)), c.Values...)
	case FuncWriteCoils, FuncWriteRegisters:
		return appendBlock(b, c.Function, c.Address, c.Quantity, c.Values)
	case FuncReadWrite:
		m := ReadWriteRequest{ReadAddress: c.Address, ReadQuantity: c.Quantity,
			WriteAddress: c.WriteAddress, WriteQuantity: uint16(len(c.Values) / 2), Data: c.Values}
		return m.AppendTo(b)
	case FuncReadFIFO:
		return (&ReadFIFORequest{Address: c.Address}).AppendTo(b)
	case FuncReadDeviceID:
		return (&ReadDeviceIDRequest{Code: DeviceIDCode(c.Quantity), Object: uint8(c.Address)}).AppendTo(b)
	}
	return appendRange(b, c.Function, c.Address, c.Quantity)
}

// check says what keeps the call off the wire, or "".
func (c *Call) check() string {
	switch c.Function {
	case FuncReadCoils, FuncReadDiscreteInputs:
		return c.checkRange(MaxReadBits)
	case FuncReadHolding, FuncReadInput:
		return c.checkRange(MaxReadRegisters)
	case FuncWriteCoil:
		if len(c.Values) != 2 || c.Values[1] != 0 || c.Values[0] != 0 && c.Values[0] != coilOn>>8 {
			return "a coil is FF00 or 0000"
		}
	case FuncWriteRegister:
		return c.checkValues(2)
	case FuncMaskWrite:
		return c.checkValues(4)
	case FuncWriteCoils:
		return first(c.checkRange(MaxWriteBits), c.checkValues(bitBytes(c.Quantity)))
	case FuncWriteRegisters:
		return first(c.checkRange(MaxWriteRegisters), c.checkValues(registerBytes(c.Quantity)))
	case FuncReadWrite:
		return first(c.checkRange(MaxReadRegisters), c.checkWritePart())
	case FuncReadFIFO:
	case FuncReadDeviceID:
		if c.Quantity < uint16(DeviceIDBasic) || c.Quantity > uint16(DeviceIDOne) || c.Address > 0xFF {
			return "device id code outside 1..4 or object over 255"
		}
	default:
		return "a function that is not spoken here"
	}
	return ""
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (c *Call) checkRange(limit uint16) string {
	switch {
	case c.Quantity == 0 || c.Quantity > limit:
		return fmt.Sprintf("quantity outside 1..%d", limit)
	case !fits(c.Address, c.Quantity):
		return "addresses end at 65535"
	}
	return ""
}

func (c *Call) checkValues(want int) string {
	if len(c.Values) != want {
		return fmt.Sprintf("%d bytes of values, want %d", len(c.Values), want)
	}
	return ""
}

func (c *Call) checkWritePart() string {
	n := len(c.Values)
	switch {
	case n == 0 || n%2 != 0 || n > registerBytes(MaxReadWriteWrite):
		return fmt.Sprintf("registers to write outside 1..%d", MaxReadWriteWrite)
	case !fits(c.WriteAddress, uint16(n/2)):
		return "addresses end at 65535"
	}
	return ""
}

// data returns the part of an answer that belongs into Call.Data, and "" when the answer is the one that c asked for, else what does not
// fit. pdu has c's function code and no exception bit.
func (c *Call) data(pdu []byte) (data []byte, why string) {
	switch c.Function {
	case FuncReadCoils, FuncReadDiscreteInputs:
		return countedData(pdu, bitBytes(c.Quantity))
	case FuncReadHolding, FuncReadInput, FuncReadWrite:
		return countedData(pdu, registerBytes(c.Quantity))
	case FuncWriteCoil, FuncWriteRegister:
		return nil, echoed(pdu, 5, c.Address, binary.BigEndian.Uint16(c.Values))
	case FuncWriteCoils, FuncWriteRegisters:
		return nil, echoed(pdu, 5, c.Address, c.Quantity)
	case FuncMaskWrite:
		why = echoed(pdu, 7, c.Address, binary.BigEndian.Uint16(c.Values))
		if why == "" && binary.BigEndian.Uint16(pdu[5:]) != binary.BigEndian.Uint16(c.Values[2:]) {
			why = "echo"
		}
		return nil, why
	case FuncReadFIFO:
		var m ReadFIFOResponse
		if m.Decode(pdu) != nil {
			return nil, "length"
		}
		return m.Data, ""
	case FuncReadDeviceID:
		return c.deviceID(pdu)
	}
	return nil, "function"
}

func (c *Call) deviceID(pdu []byte) (data []byte, why string) {
	var m ReadDeviceIDResponse
	if m.Decode(pdu) != nil {
		return nil, "length"
	}
	id, _, _, some := m.Objects.Cut()
	if m.Code != DeviceIDCode(c.Quantity) || m.Code == DeviceIDOne && (!some || m.Count != 1 || id != uint8(c.Address)) {
		return nil, "echo"
	}
	return pdu, ""
}

// countedData returns what follows the byte count of pdu, which must be n in fact and by its own words.
func countedData(pdu []byte, n int) (data []byte, why string) {
	if len(pdu) != 2+n || int(pdu[1]) != n {
		return nil, "length"
	}
	return pdu[2:], ""
}

// echoed checks the two words behind the function code of a PDU of n bytes.
func echoed(pdu []byte, n int, a, b uint16) string {
	switch {
	case len(pdu) != n:
		return "length"
	case binary.BigEndian.Uint16(pdu[1:]) != a || binary.BigEndian.Uint16(pdu[3:]) != b:
		return "echo"
	}
	return ""
}

// fail makes the call's error; sent says whether bytes of its frame may have left.
func (c *Call) fail(cause error, sent bool) { c.Err = c.error(0, cause, sent) }

// refuse makes the call's error from the device's exception.
func (c *Call) refuse(code ExceptionCode) { c.Err = c.error(code, nil, true) }

func (c *Call) error(code ExceptionCode, cause error, sent bool) error {
	e := &Error{Function: c.Function, Unit: c.Unit, Address: c.Address, Quantity: c.Quantity, Exception: code, Sent: sent, Err: cause}
	switch c.Function {
	case FuncWriteCoil, FuncWriteRegister, FuncMaskWrite, FuncReadFIFO:
		e.Quantity = 0
	}
	return e
}
