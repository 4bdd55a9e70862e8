package modbus

// WriteRegisterRequest sets one holding register [Modbus 6.6].
type WriteRegisterRequest struct {
	Address uint16
	Value   uint16
}

// AppendTo appends the PDU of 5 bytes.
func (m *WriteRegisterRequest) AppendTo(b []byte) []byte {
	return appendPair(b, FuncWriteRegister, m.Address, m.Value)
}

// Decode reads a PDU. It answers the exception that the request deserves, or 0.
func (m *WriteRegisterRequest) Decode(pdu []byte) ExceptionCode {
	c, code := startRequest(pdu, FuncWriteRegister)
	if code != 0 {
		return code
	}
	addr, v := c.U16(), c.U16()
	if !c.Complete() {
		return IllegalDataValue
	}
	m.Address, m.Value = addr, v
	return 0
}

// WriteRegisterResponse repeats its request.
type WriteRegisterResponse struct {
	Address uint16
	Value   uint16
}

// AppendTo appends the PDU of 5 bytes.
func (m *WriteRegisterResponse) AppendTo(b []byte) []byte {
	return appendPair(b, FuncWriteRegister, m.Address, m.Value)
}

// Decode reads a PDU.
func (m *WriteRegisterResponse) Decode(pdu []byte) (err error) {
	m.Address, m.Value, err = decodePair(pdu, FuncWriteRegister)
	return err
}
