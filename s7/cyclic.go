package s7

import (
	"time"

	"millrace/wire"
)

// Subfunctions of GroupCyclic.
const (
	SubCyclicSubscribe   = 0x01 // sends every time
	SubCyclicUnsubscribe = 0x04
	SubCyclicChange      = 0x05 // sends changes
)

// TimeBase is the unit of a cycle.
type TimeBase uint8

// The bases.
const (
	TimeBase100ms TimeBase = 0
	TimeBase1s    TimeBase = 1
	TimeBase10s   TimeBase = 2
)

// Duration returns the base's length, 0 when it is unknown.
func (t TimeBase) Duration() time.Duration {
	switch t {
	case TimeBase100ms:
		return 100 * time.Millisecond
	case TimeBase1s:
		return time.Second
	case TimeBase10s:
		return 10 * time.Second
	}
	return 0
}

// SubscribeRequest asks for variables again and again. The job's id is Seq of the answer, and of each push.
type SubscribeRequest struct {
	Change bool // changes alone
	Base   TimeBase
	Factor uint8  // cycle = Base*Factor
	Items  []Item // S7ANY or SyntaxDBRead
}

// Cycle returns the time between two pushes, 0 when it is illegal.
func (m *SubscribeRequest) Cycle() time.Duration { return m.Base.Duration() * time.Duration(m.Factor) }

func (m *SubscribeRequest) sub() uint8 {
	if m.Change {
		return SubCyclicChange
	}
	return SubCyclicSubscribe
}

// AppendTo appends the PDU.
func (m *SubscribeRequest) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	u := request(GroupCyclic, m.sub())
	b = wire.AppendU16(u.Begin(b, ref), uint16(len(m.Items)))
	return EndUserdata(appendItemList(append(b, byte(m.Base), m.Factor), m.Items), start)
}

// Decode reads a request. It answers the error that it deserves, or 0; what is wrong with one item is for Item.Check.
func (m *SubscribeRequest) Decode(u *Userdata) ErrorCode {
	m.Change = u.Sub == SubCyclicChange
	c, code := u.requestData(GroupCyclic, m.sub())
	if code != 0 {
		return code
	}
	n := c.U16()
	m.Base, m.Factor = TimeBase(c.U8()), c.U8()
	m.Items = decodeItems(&c, m.Items, c.Count(int(n), varHeader))
	switch {
	case !c.Complete() || n == 0:
		m.Items = m.Items[:0]
		return ErrUserdataSyntax
	case m.Cycle() == 0:
		return ErrCyclicTime
	}
	return 0
}

// CyclicData is the data of the answer to a SubscribeRequest, and of each push.
type CyclicData struct {
	Items []DataItem
}

// AppendTo appends the data.
func (m *CyclicData) AppendTo(b []byte) []byte {
	return appendDataItems(wire.AppendU16(b, uint16(len(m.Items))), m.Items)
}

// Decode reads the data, which the items alias.
func (m *CyclicData) Decode(data []byte) error {
	c := wire.Over(data)
	n := c.Count(int(c.U16()), dataHeader)
	rest := c.Rest()
	var ok bool
	if m.Items, ok = decodeDataItems(rest, m.Items, n, true); !ok || c.Bad() {
		m.Items = m.Items[:0]
		return malformedData(data, "items")
	}
	return nil
}

// UnsubscribeRequest ends a cyclic job.
type UnsubscribeRequest struct {
	Function uint8 // SubCyclicSubscribe or SubCyclicChange: what began it
	Job      uint8
}

// AppendTo appends the PDU.
func (m *UnsubscribeRequest) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	u := request(GroupCyclic, SubCyclicUnsubscribe)
	return EndUserdata(append(u.Begin(b, ref), m.Function, m.Job), start)
}

// Decode reads a request. It answers the error that it deserves, or 0.
func (m *UnsubscribeRequest) Decode(u *Userdata) ErrorCode {
	c, code := u.requestData(GroupCyclic, SubCyclicUnsubscribe)
	if code != 0 {
		return code
	}
	r := UnsubscribeRequest{Function: c.U8(), Job: c.U8()}
	if !c.Complete() {
		return ErrUserdataSyntax
	}
	*m = r
	return 0
}
