package s7

import (
	"fmt"
	"strconv"

	"millrace/wire"
)

// Kind is what a PDU is: its ROSCTR.
type Kind uint8

// The kinds.
const (
	KindJob      Kind = 0x01 // a request
	KindAck      Kind = 0x02 // an answer without data; most refusals
	KindAckData  Kind = 0x03 // an answer
	KindUserdata Kind = 0x07 // diagnostics, blocks, clock, cyclic: request, answer and push
)

// Known reports whether k is one of the four kinds.
func (k Kind) Known() bool {
	return k == KindJob || k == KindAck || k == KindAckData || k == KindUserdata
}

// headerBytes returns the length of the header: answers have two bytes of error more.
func (k Kind) headerBytes() int {
	if k == KindAck || k == KindAckData {
		return ackHeader
	}
	return jobHeader
}

// String names k, or returns its number.
func (k Kind) String() string {
	switch k {
	case KindJob:
		return "Job"
	case KindAck:
		return "Ack"
	case KindAckData:
		return "Ack_Data"
	case KindUserdata:
		return "Userdata"
	}
	return "ROSCTR " + strconv.Itoa(int(k))
}

// The header: 32, ROSCTR, 0000, reference(2), parameter length(2), data length(2); in answers error class and code.
const (
	protocolID     = 0x32
	protocolS7Plus = 0x72

	kindAt    = 1
	lengthsAt = 6
	jobHeader = 10
	ackHeader = 12
)

// PDU is a decoded header with the parts behind it, which alias the buffer.
type PDU struct {
	Kind  Kind
	Ref   uint16    // chosen by the asker and opaque: some send it in little endian, some send 0 for ever
	Err   ErrorCode // of Ack and Ack_Data; Userdata has its own
	Param []byte
	Data  []byte
}

// DecodePDU reads the header of a whole PDU. The error is a *FrameError: the lengths of the header must add up to len(b).
func DecodePDU(b []byte) (PDU, error) {
	p, bad := decodePDU(b)
	if bad != nil {
		return PDU{}, bad
	}
	return p, nil
}

func decodePDU(b []byte) (PDU, *FrameError) {
	if bad := pduHeader(b, len(b)); bad != nil {
		return PDU{}, bad
	}
	c := wire.Over(b)
	c.Skip(kindAt)
	p := PDU{Kind: Kind(c.U8())}
	c.Skip(2)
	p.Ref = c.U16()
	params, data := int(c.U16()), int(c.U16())
	if p.Kind.headerBytes() == ackHeader {
		p.Err = ErrorCode(c.U16())
	}
	p.Param, p.Data = c.Bytes(params), c.Bytes(data)
	if !c.Complete() {
		return PDU{}, frameError(FrameS7Length, uint16(len(b)))
	}
	return p, nil
}

// pduHeader judges the header of a PDU of n bytes as far as it is there.
func pduHeader(b []byte, n int) *FrameError {
	if len(b) > 0 && b[0] != protocolID {
		return protocolError(b[0])
	}
	if len(b) > kindAt && !Kind(b[kindAt]).Known() {
		return frameError(FrameS7Kind, uint16(b[kindAt]))
	}
	if len(b) < jobHeader && len(b) < n {
		return nil
	}
	c := wire.Over(b)
	c.Skip(lengthsAt)
	params, data := int(c.U16()), int(c.U16())
	if c.Bad() || Kind(b[kindAt]).headerBytes()+params+data != n {
		return frameError(FrameS7Length, uint16(n))
	}
	return nil
}

func protocolError(id byte) *FrameError {
	if id == protocolS7Plus {
		return frameError(FrameS7Plus, uint16(id))
	}
	return frameError(FrameS7Protocol, uint16(id))
}

// size returns the bytes of the PDU.
func (p *PDU) size() int { return p.Kind.headerBytes() + len(p.Param) + len(p.Data) }

// Function returns the function of a Job or its answer; 0 for Userdata and for an answer without parameters, as refusals are.
func (p *PDU) Function() Function {
	if p.Kind == KindUserdata || len(p.Param) == 0 {
		return 0
	}
	return Function(p.Param[0])
}

// Items returns the item count of a read or write or its answer; 0 for everything else. With Ref and Function it tells the answer to
// a request from that to another one which had the same reference.
func (p *PDU) Items() int {
	if f := p.Function(); (f != FuncRead && f != FuncWrite) || len(p.Param) < varHeader {
		return 0
	}
	return int(p.Param[1])
}

// beginPDU appends a header whose lengths endParam and endData fill in.
func beginPDU(b []byte, k Kind, ref uint16, code ErrorCode) []byte {
	b = append(b, protocolID, byte(k), 0, 0)
	b = append(wire.AppendU16(b, ref), 0, 0, 0, 0)
	if k.headerBytes() == ackHeader {
		b = wire.AppendU16(b, uint16(code))
	}
	return b
}

// endParam says that the parameters of the PDU at b[start:] end here.
func endParam(b []byte, start int) []byte {
	wire.PutU16(b, start+lengthsAt, uint16(len(b)-paramStart(b, start)))
	return b
}

// endData says that the data of the PDU at b[start:] end here; endParam was before.
func endData(b []byte, start int) []byte {
	wire.PutU16(b, start+lengthsAt+2, uint16(len(b)-dataStart(b, start)))
	return b
}

func paramStart(b []byte, start int) int { return start + Kind(b[start+kindAt]).headerBytes() }

func dataStart(b []byte, start int) int {
	c := wire.Over(b[start:])
	c.Skip(lengthsAt)
	return paramStart(b, start) + int(c.U16())
}

// AppendRefusal appends an Ack of 12 bytes: the answer to a Job that is refused as a whole. Real PLCs say neither function nor items in it.
func AppendRefusal(b []byte, ref uint16, code ErrorCode) []byte {
	return beginPDU(b, KindAck, ref, code)
}

// AppendRefusalOf appends an Ack_Data of 14 bytes that refuses a PI service or a stop and says in detail why: DetailRunning, DetailStopped.
func AppendRefusalOf(b []byte, ref uint16, f Function, code ErrorCode, detail uint8) []byte {
	start := len(b)
	return endParam(append(beginPDU(b, KindAckData, ref, code), byte(f), detail), start)
}

// Done is an answer that says no more than its function: to a stop, a PI service, the end of an upload, the steps of a download.
type Done struct{ Function Function }

// AppendTo appends the PDU of 13 bytes.
func (m *Done) AppendTo(b []byte, ref uint16) []byte {
	start := len(b)
	return endParam(append(beginPDU(b, KindAckData, ref, 0), byte(m.Function)), start)
}

// Decode reads an answer to m.Function, which must be set. A refusal is a *RefusedError; bytes behind the function are passed over.
func (m *Done) Decode(p *PDU) error {
	_, err := startAnswer(p, m.Function)
	return err
}

// PDUError says why a PDU is not what its function promises.
type PDUError struct {
	Function Function // 0 with Userdata
	Length   int      // bytes of parameters and data
	What     string   // "function", "parameter length", "items", ...
}

func (e *PDUError) Error() string {
	return fmt.Sprintf("s7: malformed %v, %d bytes: %s", e.Function, e.Length, e.What)
}

func malformed(p *PDU, what string) error {
	return &PDUError{Function: p.Function(), Length: len(p.Param) + len(p.Data), What: what}
}

// RefusedError is an answer that refuses its request as a whole.
type RefusedError struct {
	Function Function // 0 when the answer does not say it
	Code     ErrorCode
	Detail   uint8 // of a PI service or a stop: DetailRunning, DetailStopped; else 0
}

func (e *RefusedError) Error() string {
	if e.Function == 0 {
		return fmt.Sprintf("s7: refused: %v", e.Code)
	}
	return fmt.Sprintf("s7: %v refused: %v", e.Function, e.Code)
}

func refused(p *PDU) error {
	e := &RefusedError{Function: p.Function(), Code: p.Err}
	if (e.Function == FuncPIService || e.Function == FuncStop) && len(p.Param) > 1 {
		e.Detail = p.Param[1]
	}
	return e
}

// startJob returns a Cursor over the parameters of a Job behind its function.
func startJob(p *PDU, want Function) (wire.Cursor, ErrorCode) {
	c := wire.Over(p.Param)
	if p.Kind != KindJob || Function(c.U8()) != want || c.Bad() {
		return c, ErrServiceUnknown
	}
	return c, 0
}

// startAnswer returns a Cursor over the parameters of an answer behind its function. A refusal is a *RefusedError.
func startAnswer(p *PDU, want Function) (wire.Cursor, error) {
	c := wire.Over(p.Param)
	f := Function(c.U8())
	switch {
	case p.Kind != KindAck && p.Kind != KindAckData:
		return c, malformed(p, "no answer")
	case p.Err != 0:
		return c, refused(p)
	case c.Bad() || f != want:
		return c, malformed(p, "function")
	}
	return c, nil
}
