package s7

import (
	"strconv"

	"millrace/wire"
)

// UserdataType says who speaks.
type UserdataType uint8

// The types.
const (
	UserdataPush     UserdataType = 0
	UserdataRequest  UserdataType = 4
	UserdataResponse UserdataType = 8
)

// Group is the function group of a Userdata PDU.
type Group uint8

// The groups.
const (
	GroupMode       Group = 0
	GroupProgrammer Group = 1
	GroupCyclic     Group = 2
	GroupBlock      Group = 3
	GroupCPU        Group = 4
	GroupSecurity   Group = 5
	GroupBSend      Group = 6
	GroupTime       Group = 7
)

// String returns g in words, or its number.
func (g Group) String() string {
	switch g {
	case GroupMode:
		return "mode transition"
	case GroupProgrammer:
		return "programmer"
	case GroupCyclic:
		return "cyclic services"
	case GroupBlock:
		return "block functions"
	case GroupCPU:
		return "CPU functions"
	case GroupSecurity:
		return "security"
	case GroupBSend:
		return "BSend"
	case GroupTime:
		return "clock"
	}
	return "group " + strconv.Itoa(int(g))
}

// The parameters: 00 01 12, length of the rest, method, type and group, subfunction, sequence; the long form has data unit, last unit, error(2).
const (
	userdataHead      = 0x000112
	userdataLong      = 12
	userdataShortRest = 4
	userdataLongRest  = 8
	methodRequest     = 0x11
	methodResponse    = 0x12
)

// Userdata is a PDU of the programming device's world. Each service has messages of its own, which are its Data.
type Userdata struct {
	Type  UserdataType
	Group Group
	Sub   uint8
	Seq   uint8     // of an answer: what a follow-up must repeat, and a cyclic job's id
	Long  bool      // the long form: answers, pushes and follow-ups
	Unit  uint8     // Long: data unit reference
	More  bool      // Long: another part follows
	Err   ErrorCode // Long

	Code ReturnCode
	Size DataSize // DataOctet with data, else DataNone
	Data []byte   // aliases the buffer
}

// Reply returns the head of the answer to m, to be sent by Begin and End or with Data.
func (m *Userdata) Reply() Userdata {
	return Userdata{Type: UserdataResponse, Group: m.Group, Sub: m.Sub, Seq: m.Seq, Long: true, Code: ReturnOK, Size: DataOctet}
}

// Confirm returns the answer to m that has no data.
func (m *Userdata) Confirm() Userdata {
	r := m.Reply()
	r.Code, r.Size = ReturnNoObject, DataNone
	return r
}

// Refuse returns the answer to m that refuses it.
func (m *Userdata) Refuse(code ErrorCode) Userdata {
	r := m.Confirm()
	r.Err = code
	return r
}

// FollowUp returns the request for the part that follows the answer m.
func (m *Userdata) FollowUp() Userdata {
	return Userdata{Type: UserdataRequest, Group: m.Group, Sub: m.Sub, Seq: m.Seq, Long: true, Code: ReturnNoObject}
}

// IsFollowUp reports whether m asks for the next part of an answer: a request of the long form without data.
func (m *Userdata) IsFollowUp() bool {
	return m.Type == UserdataRequest && m.Long && len(m.Data) == 0
}

// AppendTo appends the PDU.
func (m *Userdata) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	return EndUserdata(append(m.Begin(b, ref), m.Data...), start)
}

// Begin appends the PDU up to its data; they go behind it, and EndUserdata closes it. m.Data is ignored.
func (m *Userdata) Begin(b []byte, ref uint16) []byte {
	start := len(b)
	b = beginPDU(b, KindUserdata, ref, 0)
	rest, method := byte(userdataShortRest), byte(methodRequest)
	if m.Long {
		rest, method = userdataLongRest, methodResponse
	}
	b = append(b, userdataHead>>16, userdataHead>>8&0xFF, userdataHead&0xFF, rest, method)
	b = append(b, byte(m.Type)<<4|byte(m.Group), m.Sub, m.Seq)
	if m.Long {
		b = append(b, m.Unit, boolByte(m.More))
		b = wire.AppendU16(b, uint16(m.Err))
	}
	return append(endParam(b, start), byte(m.Code), byte(m.Size), 0, 0)
}

// EndUserdata completes the PDU at b[start:] that Begin began.
func EndUserdata(b []byte, start int) []byte {
	data := dataStart(b, start)
	wire.PutU16(b, data+2, DataSize(b[data+1]).wireLength(len(b)-data-dataHeader))
	return endData(b, start)
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// Decode reads a Userdata PDU. Data that are left out altogether are none.
func (m *Userdata) Decode(p *PDU) error {
	var r Userdata
	if !r.decodeParam(p) {
		return malformed(p, "parameters")
	}
	if !r.decodeData(p.Data) {
		return malformed(p, "data length")
	}
	*m = r
	return nil
}

// decodeParam reads all but the data.
func (m *Userdata) decodeParam(p *PDU) bool {
	c := wire.Over(p.Param)
	head, rest := uint32(c.U8())<<16|uint32(c.U16()), int(c.U8())
	if p.Kind != KindUserdata || head != userdataHead || c.Left() != rest || rest != userdataShortRest && rest != userdataLongRest {
		return false
	}
	c.Skip(1)
	group := c.U8()
	m.Type, m.Group, m.Sub, m.Seq = UserdataType(group>>4), Group(group&0x0F), c.U8(), c.U8()
	if m.Long = rest == userdataLongRest; m.Long {
		m.Unit, m.More, m.Err = c.U8(), c.U8() != 0, ErrorCode(c.U16())
	}
	return true
}

func (m *Userdata) decodeData(data []byte) bool {
	if len(data) == 0 {
		return true
	}
	c := wire.Over(data)
	m.Code, m.Size = ReturnCode(c.U8()), DataSize(c.U8())
	n := m.Size.bytes(c.U16(), false)
	if m.Type == UserdataRequest && m.Group != GroupBSend {
		n = min(n, c.Left()) // PLC4X says 12 of the 4 bytes of an SZL request, and PLCs answer it; BSend alone has data of any length
	}
	m.Data = c.Bytes(n)
	if c.At()%2 != 0 && c.Left() == 1 { // filled up
		c.Skip(1)
	}
	return c.Complete()
}

func malformedData(data []byte, what string) error { return &PDUError{Length: len(data), What: what} }

// requestData returns a Cursor over the data of a request of that service.
func (m *Userdata) requestData(g Group, sub uint8) (wire.Cursor, ErrorCode) {
	if m.Type != UserdataRequest || m.Group != g || m.Sub != sub {
		return wire.Cursor{}, ErrServiceUnknown
	}
	return wire.Over(m.Data), 0
}

// request returns the head of a request of that service with data.
func request(g Group, sub uint8) Userdata {
	return Userdata{Type: UserdataRequest, Group: g, Sub: sub, Code: ReturnOK, Size: DataOctet}
}

// bareRequest returns a request of that service without data.
func bareRequest(g Group, sub uint8) Userdata {
	return Userdata{Type: UserdataRequest, Group: g, Sub: sub, Code: ReturnNoObject}
}
