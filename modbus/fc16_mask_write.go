package modbus

import "millrace/wire"

// MaskWriteRequest changes single bits of one holding register: new = (old AND And) OR (Or AND NOT And) [Modbus 6.16].
type MaskWriteRequest struct {
	Address uint16
	And     uint16
	Or      uint16
}

// Apply returns what the request makes of old.
func (m *MaskWriteRequest) Apply(old uint16) uint16 { return old&m.And | m.Or&^m.And }

// AppendTo appends the PDU of 7 bytes.
func (m *MaskWriteRequest) AppendTo(b []byte) []byte {
	return wire.AppendU16(appendPair(b, FuncMaskWrite, m.Address, m.And), m.Or)
}

// Decode reads a PDU. It answers the exception that the request deserves, or 0.
func (m *MaskWriteRequest) Decode(pdu []byte) ExceptionCode {
	c, code := startRequest(pdu, FuncMaskWrite)
	if code != 0 {
		return code
	}
	r := MaskWriteRequest{Address: c.U16(), And: c.U16(), Or: c.U16()}
	if !c.Complete() {
		return IllegalDataValue
	}
	*m = r
	return 0
}

// MaskWriteResponse repeats its request.
type MaskWriteResponse struct {
	Address uint16
	And     uint16
	Or      uint16
}

// AppendTo appends the PDU of 7 bytes.
func (m *MaskWriteResponse) AppendTo(b []byte) []byte {
	return wire.AppendU16(appendPair(b, FuncMaskWrite, m.Address, m.And), m.Or)
}

// Decode reads a PDU.
func (m *MaskWriteResponse) Decode(pdu []byte) error {
	c, err := startResponse(pdu, FuncMaskWrite)
	if err != nil {
		return err
	}
	r := MaskWriteResponse{Address: c.U16(), And: c.U16(), Or: c.U16()}
	if !c.Complete() {
		return malformed(pdu, "length")
	}
	*m = r
	return nil
}
