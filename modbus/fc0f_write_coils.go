package modbus

// WriteCoilsRequest sets Quantity coils from Address on [Modbus 6.11].
type WriteCoilsRequest struct {
	Address  uint16
	Quantity uint16 // 1..1968
	Data     []byte // ceil(Quantity/8) bytes, the first coil in bit 0 of the first
}

// AppendTo appends the PDU of 6+len(Data) bytes.
func (m *WriteCoilsRequest) AppendTo(b []byte) []byte {
	return appendBlock(b, FuncWriteCoils, m.Address, m.Quantity, m.Data)
}

// Decode reads a PDU; Data aliases it. It answers the exception that the request deserves, and leaves m unchanged then, or 0.
func (m *WriteCoilsRequest) Decode(pdu []byte) ExceptionCode {
	r, code := decodeBlock(pdu, FuncWriteCoils, MaxWriteBits, bitBytes)
	if code == 0 {
		m.Address, m.Quantity, m.Data = r.addr, r.qty, r.data
	}
	return code
}

// WriteCoilsResponse confirms what was written.
type WriteCoilsResponse struct {
	Address  uint16
	Quantity uint16
}

// AppendTo appends the PDU of 5 bytes.
func (m *WriteCoilsResponse) AppendTo(b []byte) []byte {
	return appendPair(b, FuncWriteCoils, m.Address, m.Quantity)
}

// Decode reads a PDU.
func (m *WriteCoilsResponse) Decode(pdu []byte) (err error) {
	m.Address, m.Quantity, err = decodePair(pdu, FuncWriteCoils)
	return err
}
