package s7

import (
	"time"

	"millrace/wire"
)

// Subfunctions of GroupTime.
const (
	SubClockRead     = 0x01
	SubClockSet      = 0x02
	SubClockReadForm = 0x03 // a variant of reading
	SubClockSetForm  = 0x04 // a variant of setting
)

// clockBytes are 00, a hint at the century, and a DT.
const (
	clockBytes = 2 + dtLen
	century19  = 0x19
	century20  = 0x20
)

// Clock is the time of a PLC: the data of an answer.
type Clock struct{ Time time.Time } // wall clock as UTC, milliseconds

// AppendTo appends the 10 bytes. m.Time is within 1990..2089, or nothing is appended.
func (m *Clock) AppendTo(b []byte) []byte {
	if m.Time.Year() < 2000 {
		return m.appendTo(b, century19)
	}
	return m.appendTo(b, century20)
}

func (m *Clock) appendTo(b []byte, century byte) []byte {
	if !inDT(m.Time) {
		return b
	}
	return appendDT(append(b, 0, century), m.Time)
}

// Decode reads the 10 bytes. The century is read off the year: stacks disagree about the hint.
func (m *Clock) Decode(data []byte) error {
	c := wire.Over(data)
	c.Skip(2)
	t, ok := decodeDT(c.Bytes(dtLen))
	if !c.Complete() || !ok {
		return malformedData(data, "clock")
	}
	m.Time = t
	return nil
}

// ReadClockRequest asks for the time.
type ReadClockRequest struct{}

// AppendTo appends the PDU.
func (ReadClockRequest) AppendTo(b []byte, ref uint16) []byte {
	u := bareRequest(GroupTime, SubClockRead)
	return u.AppendTo(b, ref)
}

// SetClockRequest sets the time.
type SetClockRequest struct{ Clock }

// AppendTo appends the PDU. Time is within 1990..2089. PLCs want the hint to be 19 here, whatever the year.
func (m *SetClockRequest) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	u := request(GroupTime, SubClockSet)
	return EndUserdata(m.appendTo(u.Begin(b, ref), century19), start)
}

// Decode reads a request. It answers the error that it deserves, or 0; what is no date is ErrDateTime.
func (m *SetClockRequest) Decode(u *Userdata) ErrorCode {
	sub := uint8(SubClockSet)
	if u.Sub == SubClockSetForm {
		sub = SubClockSetForm
	}
	if _, code := u.requestData(GroupTime, sub); code != 0 {
		return code
	}
	if len(u.Data) != clockBytes {
		return ErrUserdataSyntax
	}
	if m.Clock.Decode(u.Data) != nil {
		return ErrDateTime
	}
	return 0
}
