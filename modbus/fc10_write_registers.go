package modbus

// WriteRegistersRequest sets Quantity holding registers from Address on [Modbus 6.12].
type WriteRegistersRequest struct {
	Address  uint16
	Quantity uint16 // 1..123
	Data     []byte // 2*Quantity bytes, each register high byte first
}

// AppendTo appends the PDU of 6+len(Data) bytes.
func (m *WriteRegistersRequest) AppendTo(b []byte) []byte {
	return appendBlock(b, FuncWriteRegisters, m.Address, m.Quantity, m.Data)
}

// Decode reads a PDU; Data aliases it. It answers the exception that the request deserves, and leaves m unchanged then, or 0.
func (m *WriteRegistersRequest) Decode(pdu []byte) ExceptionCode {
	r, code := decodeBlock(pdu, FuncWriteRegisters, MaxWriteRegisters, registerBytes)
	if code == 0 {
		m.Address, m.Quantity, m.Data = r.addr, r.qty, r.data
	}
	return code
}

// WriteRegistersResponse confirms what was written.
type WriteRegistersResponse struct {
	Address  uint16
	Quantity uint16
}

// AppendTo appends the PDU of 5 bytes.
func (m *WriteRegistersResponse) AppendTo(b []byte) []byte {
	return appendPair(b, FuncWriteRegisters, m.Address, m.Quantity)
}

// Decode reads a PDU.
func (m *WriteRegistersResponse) Decode(pdu []byte) (err error) {
	m.Address, m.Quantity, err = decodePair(pdu, FuncWriteRegisters)
	return err
}
