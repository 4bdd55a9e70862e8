package modbus

// ReadCoilsRequest asks for Quantity coils from Address on [Modbus 6.1].
type ReadCoilsRequest struct {
	Address  uint16
	Quantity uint16 // 1..2000
}

// AppendTo appends the PDU of 5 bytes.
func (m *ReadCoilsRequest) AppendTo(b []byte) []byte {
	return appendRange(b, FuncReadCoils, m.Address, m.Quantity)
}

// Decode reads a PDU. It answers the exception that the request deserves, and leaves m unchanged then, or 0.
func (m *ReadCoilsRequest) Decode(pdu []byte) ExceptionCode {
	addr, qty, code := decodeRange(pdu, FuncReadCoils, MaxReadBits)
	if code == 0 {
		m.Address, m.Quantity = addr, qty
	}
	return code
}

// ReadCoilsResponse carries the coils.
type ReadCoilsResponse struct {
	Data []byte // ceil(Quantity/8) bytes, the first coil in bit 0 of the first; unused bits are 0
}

// AppendTo appends the PDU of 2+len(Data) bytes.
func (m *ReadCoilsResponse) AppendTo(b []byte) []byte {
	return appendCounted(b, FuncReadCoils, m.Data)
}

// Decode reads a PDU; Data aliases it.
func (m *ReadCoilsResponse) Decode(pdu []byte) (err error) {
	m.Data, err = decodeCounted(pdu, FuncReadCoils, 1)
	return err
}
