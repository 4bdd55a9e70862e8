package s7

import "millrace/wire"

// SubBSend is the subfunction of GroupBSend.
const SubBSend = 0x01

// The data: 12 06 13 00, R_ID(4), in the first part the length of all of them(2), payload.
const (
	bsendSpec  = 0x12061300
	bsendHead  = 8
	bsendTotal = 2
)

// BSendPart is a part of a block that one PLC sends to another. The answer has no data; Userdata.Unit of a block in several parts counts
// them from 1, and is 0 with a single one.
type BSendPart struct {
	First bool   // not in the bytes: who decodes says it
	RID   uint32 // names the connection's receiver
	Total uint16 // of the first part: bytes of the whole payload
	Data  []byte // aliases the buffer
}

// AppendTo appends the PDU. unit and more go to the parameters.
func (m *BSendPart) AppendTo(b []byte, ref uint16, unit uint8, more bool) []byte {
	start := len(b)
	u := request(GroupBSend, SubBSend)
	u.Long, u.Unit, u.More = true, unit, more
	b = wire.AppendU32(wire.AppendU32(u.Begin(b, ref), bsendSpec), m.RID)
	if m.First {
		b = wire.AppendU16(b, m.Total)
	}
	return EndUserdata(append(b, m.Data...), start)
}

// Decode reads a part; first says whether it is the first of its block. It answers the error that it deserves, or 0.
func (m *BSendPart) Decode(u *Userdata, first bool) ErrorCode {
	c, code := u.requestData(GroupBSend, SubBSend)
	if code != 0 {
		return code
	}
	spec := c.U32()
	r := BSendPart{First: first, RID: c.U32()}
	if first {
		r.Total = c.U16()
	}
	r.Data = c.Rest()
	if c.Bad() || spec != bsendSpec || first && len(r.Data) > int(r.Total) {
		return ErrUserdataSyntax
	}
	*m = r
	return 0
}
