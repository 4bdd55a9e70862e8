package modbus

// ReadDiscreteInputsRequest asks for Quantity discrete inputs from Address on [Modbus 6.2].
type ReadDiscreteInputsRequest struct {
	Address  uint16
	Quantity uint16 // 1..2000
}

// AppendTo appends the PDU of 5 bytes.
func (m *ReadDiscreteInputsRequest) AppendTo(b []byte) []byte {
	return appendRange(b, FuncReadDiscreteInputs, m.Address, m.Quantity)
}

// Decode reads a PDU. It answers the exception that the request deserves, and leaves m unchanged then, or 0.
func (m *ReadDiscreteInputsRequest) Decode(pdu []byte) ExceptionCode {
	addr, qty, code := decodeRange(pdu, FuncReadDiscreteInputs, MaxReadBits)
	if code == 0 {
		m.Address, m.Quantity = addr, qty
	}
	return code
}

// ReadDiscreteInputsResponse carries the discrete inputs.
type ReadDiscreteInputsResponse struct {
	Data []byte // ceil(Quantity/8) bytes, the first input in bit 0 of the first; unused bits are 0
}

// AppendTo appends the PDU of 2+len(Data) bytes.
func (m *ReadDiscreteInputsResponse) AppendTo(b []byte) []byte {
	return appendCounted(b, FuncReadDiscreteInputs, m.Data)
}

// Decode reads a PDU; Data aliases it.
func (m *ReadDiscreteInputsResponse) Decode(pdu []byte) (err error) {
	m.Data, err = decodeCounted(pdu, FuncReadDiscreteInputs, 1)
	return err
}
