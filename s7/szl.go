package s7

import "millrace/wire"

// SubSZL is the subfunction of GroupCPU that reads a system status list.
const SubSZL = 0x01

// The lists that are asked for in practice.
const (
	SZLDirectory  = 0x0000 // the ids that there are
	SZLModule     = 0x0011 // order numbers and versions
	SZLComponents = 0x001C // names and serial numbers
	SZLComm       = 0x0131 // index 1: PDU length and connections
	SZLProtection = 0x0232 // index 4: protection levels and the selector
	SZLMode       = 0x0424 // RUN or STOP
)

// SZLRequest asks for a system status list.
type SZLRequest struct{ ID, Index uint16 }

// AppendTo appends the PDU.
func (m *SZLRequest) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	u := request(GroupCPU, SubSZL)
	return EndUserdata(wire.AppendU16(wire.AppendU16(u.Begin(b, ref), m.ID), m.Index), start)
}

// Decode reads a request, no follow-up. It answers the error that it deserves, or 0.
func (m *SZLRequest) Decode(u *Userdata) ErrorCode {
	c, code := u.requestData(GroupCPU, SubSZL)
	if code != 0 {
		return code
	}
	r := SZLRequest{ID: c.U16(), Index: c.U16()}
	if !c.Complete() {
		return ErrUserdataSyntax
	}
	*m = r
	return 0
}

// SZL is a system status list: the data of an answer, or of all its parts together.
type SZL struct {
	ID, Index uint16
	RecordLen uint16
	Records   []byte // whole records; aliases the buffer
}

// AppendTo appends the list.
func (m *SZL) AppendTo(b []byte) []byte {
	n := 0
	if m.RecordLen > 0 {
		n = len(m.Records) / int(m.RecordLen)
	}
	b = wire.AppendU16(wire.AppendU16(b, m.ID), m.Index)
	return append(wire.AppendU16(wire.AppendU16(b, m.RecordLen), uint16(n)), m.Records...)
}

// Decode reads a list. What is behind the records that it counts is passed over.
func (m *SZL) Decode(data []byte) error {
	c := wire.Over(data)
	r := SZL{ID: c.U16(), Index: c.U16(), RecordLen: c.U16()}
	n := int(c.U16())
	r.Records = c.Bytes(n * int(r.RecordLen))
	if c.Bad() {
		return malformedData(data, "szl")
	}
	*m = r
	return nil
}

// Len returns how many records there are.
func (m *SZL) Len() int {
	if m.RecordLen == 0 {
		return 0
	}
	return len(m.Records) / int(m.RecordLen)
}

// Record returns record i, which aliases the list.
func (m *SZL) Record(i int) []byte {
	n := int(m.RecordLen)
	return m.Records[i*n : (i+1)*n : (i+1)*n]
}
