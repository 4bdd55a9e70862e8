package modbus

// ReadInputRequest asks for Quantity input registers from Address on [Modbus 6.4].
type ReadInputRequest struct {
	Address  uint16
	Quantity uint16 // 1..125
}

// AppendTo appends the PDU of 5 bytes.
func (m *ReadInputRequest) AppendTo(b []byte) []byte {
	return appendRange(b, FuncReadInput, m.Address, m.Quantity)
}

// Decode reads a PDU. It answers the exception that the request deserves, and leaves m unchanged then, or 0.
func (m *ReadInputRequest) Decode(pdu []byte) ExceptionCode {
	addr, qty, code := decodeRange(pdu, FuncReadInput, MaxReadRegisters)
	if code == 0 {
		m.Address, m.Quantity = addr, qty
	}
	return code
}

// ReadInputResponse carries the input registers.
type ReadInputResponse struct {
	Data []byte // 2*Quantity bytes, each register high byte first
}

// AppendTo appends the PDU of 2+len(Data) bytes.
func (m *ReadInputResponse) AppendTo(b []byte) []byte {
	return appendCounted(b, FuncReadInput, m.Data)
}

// Decode reads a PDU; Data aliases it.
func (m *ReadInputResponse) Decode(pdu []byte) (err error) {
	m.Data, err = decodeCounted(pdu, FuncReadInput, 2)
	return err
}
