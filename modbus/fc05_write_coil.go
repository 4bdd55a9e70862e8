package modbus

// The two values of a coil on the wire [Modbus 6.5].
const (
	coilOn  = 0xFF00
	coilOff = 0x0000
)

// WriteCoilRequest switches one coil [Modbus 6.5].
type WriteCoilRequest struct {
	Address uint16
	On      bool
}

// AppendTo appends the PDU of 5 bytes.
func (m *WriteCoilRequest) AppendTo(b []byte) []byte {
	return appendPair(b, FuncWriteCoil, m.Address, coilWord(m.On))
}

// Decode reads a PDU. Any value but 0xFF00 and 0x0000 is exception 3.
func (m *WriteCoilRequest) Decode(pdu []byte) ExceptionCode {
	c, code := startRequest(pdu, FuncWriteCoil)
	if code != 0 {
		return code
	}
	addr, v := c.U16(), c.U16()
	if !c.Complete() || v != coilOn && v != coilOff {
		return IllegalDataValue
	}
	m.Address, m.On = addr, v == coilOn
	return 0
}

// WriteCoilResponse repeats its request.
type WriteCoilResponse struct {
	Address uint16
	On      bool
}

// AppendTo appends the PDU of 5 bytes.
func (m *WriteCoilResponse) AppendTo(b []byte) []byte {
	return appendPair(b, FuncWriteCoil, m.Address, coilWord(m.On))
}

// Decode reads a PDU.
func (m *WriteCoilResponse) Decode(pdu []byte) error {
	addr, v, err := decodePair(pdu, FuncWriteCoil)
	if err != nil {
		return err
	}
	if v != coilOn && v != coilOff {
		return malformed(pdu, "coil value")
	}
	m.Address, m.On = addr, v == coilOn
	return nil
}

func coilWord(on bool) uint16 {
	if on {
		return coilOn
	}
	return coilOff
}
