package modbus

// ReadHoldingRequest asks for Quantity holding registers from Address on [Modbus 6.3].
type ReadHoldingRequest struct {
	Address  uint16
	Quantity uint16 // 1..125
}

// AppendTo appends the PDU of 5 bytes.
func (m *ReadHoldingRequest) AppendTo(b []byte) []byte {
	return appendRange(b, FuncReadHolding, m.Address, m.Quantity)
}

// Decode reads a PDU. It answers the exception that the request deserves, and leaves m unchanged then, or 0.
func (m *ReadHoldingRequest) Decode(pdu []byte) ExceptionCode {
	addr, qty, code := decodeRange(pdu, FuncReadHolding, MaxReadRegisters)
	if code == 0 {
		m.Address, m.Quantity = addr, qty
	}
	return code
}

// ReadHoldingResponse carries the holding registers.
type ReadHoldingResponse struct {
	Data []byte // 2*Quantity bytes, each register high byte first
}

// AppendTo appends the PDU of 2+len(Data) bytes.
func (m *ReadHoldingResponse) AppendTo(b []byte) []byte {
	return appendCounted(b, FuncReadHolding, m.Data)
}

// Decode reads a PDU; Data aliases it.
func (m *ReadHoldingResponse) Decode(pdu []byte) (err error) {
	m.Data, err = decodeCounted(pdu, FuncReadHolding, 2)
	return err
}
