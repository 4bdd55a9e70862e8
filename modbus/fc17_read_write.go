package modbus

import "millrace/wire"

// ReadWriteRequest writes holding registers, and then reads holding registers [Modbus 6.17]. The write comes first: what is read shows it.
type ReadWriteRequest struct {
	ReadAddress   uint16
	ReadQuantity  uint16 // 1..125
	WriteAddress  uint16
	WriteQuantity uint16 // 1..121
	Data          []byte // 2*WriteQuantity bytes, each register high byte first
}

// AppendTo appends the PDU of 10+len(Data) bytes.
func (m *ReadWriteRequest) AppendTo(b []byte) []byte {
	b = appendRange(b, FuncReadWrite, m.ReadAddress, m.ReadQuantity)
	b = wire.AppendU16(wire.AppendU16(b, m.WriteAddress), m.WriteQuantity)
	return append(append(b, byte(len(m.Data))), m.Data...)
}

// Decode reads a PDU; Data aliases it. It answers the exception that the request deserves, and leaves m unchanged then, or 0.
func (m *ReadWriteRequest) Decode(pdu []byte) ExceptionCode {
	c, code := startRequest(pdu, FuncReadWrite)
	if code != 0 {
		return code
	}
	r := ReadWriteRequest{ReadAddress: c.U16(), ReadQuantity: c.U16(), WriteAddress: c.U16(), WriteQuantity: c.U16()}
	n := int(c.U8())
	r.Data = c.Bytes(n)
	switch {
	case !c.Complete() || n != registerBytes(r.WriteQuantity):
		return IllegalDataValue
	case r.ReadQuantity == 0 || r.ReadQuantity > MaxReadRegisters || r.WriteQuantity == 0 || r.WriteQuantity > MaxReadWriteWrite:
		return IllegalDataValue
	case !fits(r.ReadAddress, r.ReadQuantity) || !fits(r.WriteAddress, r.WriteQuantity):
		return IllegalDataAddress
	}
	*m = r
	return 0
}

// ReadWriteResponse carries the registers that were read.
type ReadWriteResponse struct {
	Data []byte // 2*ReadQuantity bytes, each register high byte first
}

// AppendTo appends the PDU of 2+len(Data) bytes.
func (m *ReadWriteResponse) AppendTo(b []byte) []byte {
	return appendCounted(b, FuncReadWrite, m.Data)
}

// Decode reads a PDU; Data aliases it.
func (m *ReadWriteResponse) Decode(pdu []byte) (err error) {
	m.Data, err = decodeCounted(pdu, FuncReadWrite, 2)
	return err
}
