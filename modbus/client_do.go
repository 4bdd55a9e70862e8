package modbus

import (
	"context"
	"errors"
	"time"

	"millrace/internal/inflight"
)

// dialogue is what inflight has to know of the protocol: how answers are cut off the stream and what they have in common with their requests.
type dialogue struct {
	framing Framing
	noIDs   bool
	frame   Frame // the last one that came; a view into the read buffer
}

// key is unit and function, without the exception bit.
func key(unit uint8, f Function) inflight.Key {
	return inflight.Key(unit)<<8 | inflight.Key(f&^exceptionBit)
}

// Next cuts off a frame.
func (d *dialogue) Next(buf []byte) (h inflight.Head, n int, err error) {
	d.frame, n, err = d.framing.NextResponse(buf)
	if n == 0 || err != nil {
		return h, n, err
	}
	return inflight.Head{ID: d.frame.Transaction, Key: key(d.frame.Unit, d.frame.Function())}, n, err
}

// Fits compares unit and function.
func (d *dialogue) Fits(asked, got inflight.Key) string {
	switch {
	case asked == got:
		return ""
	case asked>>8 != got>>8:
		return "unit"
	}
	return "function"
}

// Foreign returns the error for the last frame.
func (d *dialogue) Foreign(_ inflight.Head, why string) error {
	if why == inflight.UnknownID {
		why = "transaction"
	}
	fr := &d.frame
	return &ForeignError{Transaction: fr.Transaction, Unit: fr.Unit, Function: fr.Function(), Length: len(fr.PDU), Why: why}
}

// Partial returns the error for a stream that ended inside a frame.
func (d *dialogue) Partial(left int) error {
	if left == 0 {
		return nil
	}
	return &FrameError{Reason: FramePartial, Got: uint16(left)}
}

// run is one run of Do. It is used again by later ones.
type run struct {
	dialogue *dialogue
	calls    []Call
	one      [1]Call // of the typed methods
	data     []byte  // likewise
	vals     []byte  // likewise
}

// Len returns how many calls there are.
func (r *run) Len() int { return len(r.calls) }

// Key returns what the answer to call i has in common with it.
func (r *run) Key(i int) inflight.Key { return key(r.calls[i].Unit, r.calls[i].Function) }

// AppendTo appends the frame of call i.
func (r *run) AppendTo(b []byte, i int, id uint16) []byte {
	start := len(b)
	b = r.dialogue.framing.Begin(b, id, r.calls[i].Unit)
	return r.dialogue.framing.End(r.calls[i].appendTo(b), start)
}

// Repeats is true for reads.
func (r *run) Repeats(i int) bool { return !r.calls[i].Function.Writes() }

// Fail makes the error of call i.
func (r *run) Fail(i int, cause error, sent bool) { r.calls[i].fail(cause, sent) }

// Deliver completes call i with the last frame, of which it copies what it needs, or says what does not fit.
func (r *run) Deliver(i int, sent, at time.Time) (refused bool, why string) {
	call, fr := &r.calls[i], &r.dialogue.frame
	if refused = fr.Function()&exceptionBit != 0; refused {
		var m ExceptionResponse
		if m.Decode(fr.PDU) != nil {
			return true, "exception code"
		}
		call.refuse(m.Code)
	} else {
		data, why := call.data(fr.PDU)
		if why != "" {
			return false, why
		}
		call.Data, call.Err = append(call.Data, data...), nil
	}
	call.RTT, call.At = at.Sub(sent), at
	return refused, ""
}

// Do runs calls with up to the window in flight and returns when none of them is: each then has its Data appended, or its Err.
//
// The error is nil when the device answered all of them, with values or with exceptions. Else it is the first *Error, in the order of calls, that is
// the transport's: a time-out, the end of the connection, or of ctx. That stops the sending: calls behind it have an Err that says that they were not
// sent. An invalid call is an error before anything is sent.
//
// In steady state, with room in every Data, Do does not allocate; but for a context that can be cancelled and is another one than the time before,
// and over TLS for each write under such a context. Calls are the caller's and not kept.
func (c *Client) Do(ctx context.Context, calls []Call) error {
	if len(calls) == 0 {
		return nil
	}
	t, r := c.begin()
	defer c.flight.End(t)
	return c.run(ctx, t, r, calls)
}

// begin lends a turn and its run.
func (c *Client) begin() (*inflight.Turn, *run) {
	t := c.flight.Begin()
	r := t.Work.(*run)
	r.dialogue = c.dialogue
	return t, r
}

func (c *Client) run(ctx context.Context, t *inflight.Turn, r *run, calls []Call) error {
	if err := c.checkCalls(calls); err != nil {
		return err
	}
	r.calls = calls
	err := c.flight.Run(ctx, t)
	r.calls = nil
	if err == nil {
		return nil
	}
	for i := range calls {
		var e *Error
		if errors.As(calls[i].Err, &e) && e.Exception == 0 {
			return e
		}
	}
	return nil
}

// checkCalls resets the results and refuses what cannot be put on the wire.
func (c *Client) checkCalls(calls []Call) (err error) {
	for i := range calls {
		call := &calls[i]
		call.Err, call.RTT, call.At = nil, 0, time.Time{}
		what := call.check()
		if what == "" && c.cfg.Framing == FramingRTU && call.Unit == 0 {
			what = "unit 0 is a broadcast on a serial line, which nobody answers"
		}
		if what == "" {
			continue
		}
		call.fail(&ArgumentError{What: what}, false)
		if err == nil {
			err = call.Err
		}
	}
	return err
}
