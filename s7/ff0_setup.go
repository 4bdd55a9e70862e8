package s7

import "millrace/wire"

// PDU lengths.
const (
	MinPDU     = 112 // bytes; a server refuses to be asked for less
	DefaultPDU = 960 // bytes; what a client asks for, and the most that real PLCs grant
)

// Setup is the first Job of a connection and its answer: how many jobs may be in flight and how long a PDU may be.
type Setup struct {
	Calling uint16 // jobs in flight from the client to the PLC
	Called  uint16 // jobs in flight from the PLC to the client
	PDU     uint16 // length, asked or granted
}

func (m *Setup) appendTo(b []byte, k Kind, ref uint16) []byte {
	start := len(b)
	b = append(beginPDU(b, k, ref, 0), byte(FuncSetup), 0)
	return endParam(wire.AppendU16(wire.AppendU16(wire.AppendU16(b, m.Calling), m.Called), m.PDU), start)
}

func (m *Setup) decode(c *wire.Cursor) bool {
	c.Skip(1)
	r := Setup{Calling: c.U16(), Called: c.U16(), PDU: c.U16()}
	if !c.Complete() {
		return false
	}
	*m = r
	return true
}

// SetupRequest asks.
type SetupRequest struct{ Setup }

// AppendTo appends the PDU of 18 bytes.
func (m *SetupRequest) AppendTo(b []byte, ref uint16) []byte { return m.appendTo(b, KindJob, ref) }

// Decode reads a Job. It answers the error that the request deserves, or 0; a PDU length that is too small is left to Grant.
func (m *SetupRequest) Decode(p *PDU) ErrorCode {
	c, code := startJob(p, FuncSetup)
	if code == 0 && (!m.decode(&c) || len(p.Data) > 0) {
		code = ErrFrame
	}
	return code
}

// Grant returns the answer to m: never more than was asked, never more than pdu bytes and window jobs. Less than MinPDU, and no job in
// flight at all, is refused.
func (m *SetupRequest) Grant(pdu, window uint16) (SetupResponse, ErrorCode) {
	if m.PDU < MinPDU || m.Calling == 0 || m.Called == 0 {
		return SetupResponse{}, ErrFrame
	}
	return SetupResponse{Setup{Calling: min(m.Calling, window), Called: min(m.Called, window), PDU: min(m.PDU, pdu)}}, 0
}

// SetupResponse grants.
type SetupResponse struct{ Setup }

// AppendTo appends the PDU of 20 bytes; its TPKT has 27, which gos7 and snap7 insist on.
func (m *SetupResponse) AppendTo(b []byte, ref uint16) []byte { return m.appendTo(b, KindAckData, ref) }

// Decode reads an answer.
func (m *SetupResponse) Decode(p *PDU) error {
	c, err := startAnswer(p, FuncSetup)
	if err != nil {
		return err
	}
	if !m.decode(&c) || len(p.Data) > 0 {
		return malformed(p, "parameter length")
	}
	return nil
}

// Window returns how many jobs a client may have in flight under the answer m: at least 1.
func (m *SetupResponse) Window() int { return int(max(1, min(m.Calling, m.Called))) }
