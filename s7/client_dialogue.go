package s7

import (
	"fmt"
	"slices"

	"millrace/internal/inflight"
)

// dialogue is what inflight has to know of the protocol: how PDUs are cut off the stream, and what answers have in common with their requests.
type dialogue struct {
	stream *Stream
	tpdu   int // bytes of the longest TPDU that the peer takes
	pdu    PDU // the last one that came; a view into the read buffer
	pushes uint64
	jobs   chan<- plcJob // who serves the PLC's Jobs; nil is nobody
}

// plcJob is a Job of the PLC, with bytes of its own.
type plcJob struct{ PDU }

// Keys: what an answer says besides its reference. A Job and its answer have function and item count, Userdata has group and subfunction. A refusal may leave
// out what it refuses.
const (
	keyJob      inflight.Key = 1 << 24
	keyUserdata inflight.Key = 2 << 24
	keyRefusal  inflight.Key = 4 << 24
	keyKind                  = keyJob | keyUserdata
)

func jobKey(f Function, items int) inflight.Key {
	return keyJob | inflight.Key(f)<<8 | inflight.Key(items)
}

func userdataKey(g Group, sub uint8) inflight.Key {
	return keyUserdata | inflight.Key(g)<<8 | inflight.Key(sub)
}

// Next cuts off a TPDU. A TPDU that is no data ends the connection.
func (d *dialogue) Next(buf []byte) (h inflight.Head, n int, err error) {
	m, n, err := d.stream.Next(buf)
	h.Kind = inflight.Silence
	switch {
	case err != nil || n == 0 || m.Code == 0:
		return h, n, err
	case m.Code != TPDUData:
		return h, n, unexpected(m)
	}
	d.pdu = m.PDU
	h, err = d.head()
	return h, n, err
}

// unexpected returns why a TPDU that is no data ends the connection.
func unexpected(m Message) error {
	var dr Disconnect
	var er TransportError
	switch {
	case m.Code == TPDUDisconnectRequest && dr.Decode(m.TPDU) == nil:
		return &DisconnectedError{Reason: dr.Reason}
	case m.Code == TPDUError && er.Decode(m.TPDU) == nil:
		return &UnexpectedTPDUError{Code: m.Code, Cause: er.Cause}
	}
	return &UnexpectedTPDUError{Code: m.Code}
}

// head says what the last PDU is.
func (d *dialogue) head() (inflight.Head, error) {
	p := &d.pdu
	h := inflight.Head{ID: p.Ref}
	switch p.Kind {
	case KindAck, KindAckData:
		h.Key = jobKey(p.Function(), p.Items())
		if p.Err != 0 {
			h.Key |= keyRefusal
		}
	case KindUserdata:
		return d.userdata(h)
	case KindJob:
		return d.job(h)
	}
	return h, nil
}

func (d *dialogue) userdata(h inflight.Head) (inflight.Head, error) {
	var u Userdata
	if err := u.Decode(&d.pdu); err != nil {
		return h, err
	}
	switch u.Type {
	case UserdataResponse:
		h.Key = userdataKey(u.Group, u.Sub)
	case UserdataPush:
		h.Kind = inflight.Silence
		d.pushes++
	default:
		h.Kind = inflight.Stray
	}
	return h, nil
}

// job hands a Job of the PLC to who serves them.
func (d *dialogue) job(h inflight.Head) (inflight.Head, error) {
	if d.jobs == nil {
		h.Kind = inflight.Stray
		return h, nil
	}
	p := d.pdu
	p.Param, p.Data = slices.Clone(p.Param), slices.Clone(p.Data)
	h.Kind = inflight.Silence
	select {
	case d.jobs <- plcJob{p}:
	default:
		h.Kind = inflight.Stray // it does not wait for answers
	}
	return h, nil
}

// Fits compares two keys.
func (d *dialogue) Fits(asked, got inflight.Key) string {
	refusal, got := got&keyRefusal != 0, got&^keyRefusal
	switch {
	case asked == got:
		return ""
	case asked&keyKind != got&keyKind:
		return "kind"
	case asked&keyUserdata != 0:
		return "service"
	case asked>>8 != got>>8 && !(refusal && got == keyJob):
		return "function"
	case refusal, cutShort(Function(asked>>8&0xFF), int(asked&0xFF), int(got&0xFF)):
		return ""
	}
	return "items"
}

// cutShort reports whether an answer with got items is the one to a read of asked items by snap7's server: it answers the first 20 and says nothing of the rest. Such an
// answer counts as a refusal, none of it is taken. A write that was cut short stays foreign: some of it has happened.
func cutShort(f Function, asked, got int) bool {
	return f == FuncRead && got == fallbackItems && asked > fallbackItems
}

// Foreign returns the error for the last PDU.
func (d *dialogue) Foreign(_ inflight.Head, why string) error {
	if why == inflight.UnknownID {
		why = "reference"
	}
	p := &d.pdu
	e := &ForeignError{Kind: p.Kind, Ref: p.Ref, Function: p.Function(), Items: p.Items(), Length: len(p.Param) + len(p.Data), Why: why}
	var u Userdata
	if u.Decode(p) == nil {
		e.Group, e.Sub = u.Group, u.Sub
	}
	return e
}

// Partial returns the error for a stream that ended inside a frame, or between the fragments of a PDU.
func (d *dialogue) Partial(left int) error {
	if left == 0 && !d.stream.Assembling() {
		return nil
	}
	return frameError(FramePartial, uint16(left))
}

// endFrame completes the frame that BeginFrame began at b[start:], in fragments where the peer's TPDUs are too small for it.
func (d *dialogue) endFrame(b []byte, start int) []byte {
	b = EndFrame(b, start)
	if len(b)-start > d.tpdu+tpktBytes {
		b = refragment(b, start, d.tpdu)
	}
	return b
}

// ForeignError is an answer that fits nothing that was asked. What else comes from that peer cannot be trusted: the connection is closed.
type ForeignError struct {
	Kind     Kind
	Ref      uint16
	Function Function // 0 with Userdata
	Items    int
	Group    Group  // of Userdata
	Sub      uint8  // of Userdata
	Length   int    // bytes of parameters and data
	Why      string // "reference", "kind", "function", "items", "service", "length", "unasked"
}

func (e *ForeignError) Error() string {
	what := e.Function.String()
	if e.Kind == KindUserdata {
		what = fmt.Sprintf("%v %d", e.Group, e.Sub)
	}
	return fmt.Sprintf("foreign answer (%s): %v of reference %d, %s, %d items, %d bytes", e.Why, e.Kind, e.Ref, what, e.Items, e.Length)
}

// DisconnectedError is how a PLC ends a connection, or refuses it: with a DR.
type DisconnectedError struct{ Reason DisconnectReason }

func (e *DisconnectedError) Error() string { return "disconnected by the PLC: " + e.Reason.String() }

// Full says whether the PLC has no connection resource left.
func (e *DisconnectedError) Full() bool {
	return e.Reason == DisconnectCongestion || e.Reason == DisconnectRemoteCongestion
}

// UnexpectedTPDUError is a TPDU that has no place where it came.
type UnexpectedTPDUError struct {
	Code  TPDUCode
	Cause uint8 // of an ER: what the PLC did not understand
}

func (e *UnexpectedTPDUError) Error() string {
	if e.Code == TPDUError {
		return fmt.Sprintf("the PLC did not understand a TPDU (ER, cause %d)", e.Cause)
	}
	return fmt.Sprintf("a %v where data should come", e.Code)
}
