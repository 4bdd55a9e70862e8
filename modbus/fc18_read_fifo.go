package modbus

import "millrace/wire"

// ReadFIFORequest reads the queue whose count register is at Address, and does not clear it [Modbus 6.18].
type ReadFIFORequest struct {
	Address uint16
}

// AppendTo appends the PDU of 3 bytes.
func (m *ReadFIFORequest) AppendTo(b []byte) []byte {
	return wire.AppendU16(append(b, byte(FuncReadFIFO)), m.Address)
}

// Decode reads a PDU. It answers the exception that the request deserves, or 0.
func (m *ReadFIFORequest) Decode(pdu []byte) ExceptionCode {
	c, code := startRequest(pdu, FuncReadFIFO)
	if code != 0 {
		return code
	}
	addr := c.U16()
	if !c.Complete() {
		return IllegalDataValue
	}
	m.Address = addr
	return 0
}

// ReadFIFOResponse carries the values of the queue.
type ReadFIFOResponse struct {
	Data []byte // 2 bytes a value, high byte first; at most 31 values
}

// AppendTo appends the PDU of 5+len(Data) bytes: function, byte count, FIFO count, values. The byte count covers the FIFO count too.
func (m *ReadFIFOResponse) AppendTo(b []byte) []byte {
	b = wire.AppendU16(append(b, byte(FuncReadFIFO)), uint16(2+len(m.Data)))
	return append(wire.AppendU16(b, uint16(len(m.Data)/2)), m.Data...)
}

// Decode reads a PDU; Data aliases it.
func (m *ReadFIFOResponse) Decode(pdu []byte) error {
	c, err := startResponse(pdu, FuncReadFIFO)
	if err != nil {
		return err
	}
	bytes, count := int(c.U16()), int(c.U16())
	data := c.Bytes(2 * c.Count(count, 2))
	if !c.Complete() || count > MaxFIFO || bytes != 2+2*count {
		return malformed(pdu, "byte count")
	}
	m.Data = data
	return nil
}
