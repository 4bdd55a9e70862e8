package modbus

import (
	"errors"
	"io"
	"time"
)

// The read buffer starts with room for one answer and some, and grows while reads fill it.
const (
	readBufferMin = 2 * MaxADU
	readBufferMax = 16 * MaxADU
)

// read is the connection's reader: it owns the read side and the buffer. It ends when the connection does, and then everything that was in
// flight has failed.
func (c *Client) read() {
	defer close(c.done)
	buf, have := make([]byte, readBufferMin), 0
	var lates []time.Duration
	for {
		n, err := c.conn.Read(buf[have:])
		have += n
		took, l, bad := c.take(buf[:have], n, lates[:0])
		lates = l
		c.reportLate(lates)
		if bad == nil && err != nil {
			bad = endOfStream(err, have-took)
		}
		if bad != nil {
			c.ended(bad)
			return
		}
		full := have == len(buf)
		have = copy(buf, buf[took:have])
		if full && len(buf) < readBufferMax {
			buf = append(make([]byte, 0, 2*len(buf)), buf...)[:2*len(buf)]
		}
	}
}

// endOfStream says that the stream ended, and whether it did so inside a frame.
func endOfStream(err error, left int) error {
	if errors.Is(err, io.EOF) && left > 0 {
		return &FrameError{Reason: FramePartial, Got: uint16(left)}
	}
	return err
}

// ended ends the connection from the reader's side.
func (c *Client) ended(cause error) {
	c.mu.Lock()
	c.end(cause)
	c.mu.Unlock()
	c.hangUp()
	var foreign *ForeignError
	if errors.As(cause, &foreign) && c.cfg.Hooks.Foreign != nil {
		c.cfg.Hooks.Foreign()
	}
}

func (c *Client) reportLate(lates []time.Duration) {
	if c.cfg.Hooks.Late == nil {
		return
	}
	for _, by := range lates {
		c.cfg.Hooks.Late(by)
	}
}

// take hands out all whole frames of buf, of which the last n bytes are new. It returns the bytes it took, and how late the late ones were.
func (c *Client) take(buf []byte, n int, lates []time.Duration) (took int, _ []time.Duration, err error) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.BytesIn += uint64(n)
	for c.err == nil {
		fr, n, err := c.cfg.Framing.NextResponse(buf[took:])
		if n == 0 || err != nil {
			c.kick()
			return took, lates, err
		}
		took += n
		late, by, foreign := c.reply(fr, now)
		if foreign != "" {
			c.stats.Foreign++
			return took, lates, &ForeignError{Transaction: fr.Transaction, Unit: fr.Unit, Function: fr.Function(), Length: len(fr.PDU), Why: foreign}
		}
		if late {
			lates = append(lates, by)
		}
	}
	return took, lates, nil
}

// reply finds the request of fr. It copies what fr carries: the frame is a view into the read buffer.
func (c *Client) reply(fr Frame, now time.Time) (late bool, by time.Duration, foreign string) {
	s := c.requestOf(fr)
	switch {
	case s == nil && c.cfg.hasIDs() && c.table.duplicate(fr):
		c.stats.Duplicate++
		return true, 0, ""
	case s == nil && c.cfg.hasIDs():
		return false, 0, "transaction"
	case s == nil:
		return false, 0, "unsolicited"
	case s.unit != fr.Unit:
		return false, 0, "unit"
	case s.function != fr.Function()&^exceptionBit:
		return false, 0, "function"
	case s.givenUp():
		late, by = c.lateReply(s, now)
		return late, by, ""
	}
	return false, 0, c.deliver(s, fr, now)
}

func (c *Client) requestOf(fr Frame) *slot {
	if c.cfg.hasIDs() {
		return c.table.find(fr.Transaction)
	}
	return c.table.only()
}

// lateReply frees the id of a request that nobody waits for. A cancelled one may come in time: then it is not late.
func (c *Client) lateReply(s *slot, now time.Time) (late bool, by time.Duration) {
	by = now.Sub(s.deadline)
	c.table.answer(s)
	if by < 0 {
		c.stats.Abandoned++
		return false, 0
	}
	c.stats.Late++
	return true, by
}

// deliver completes the call of s with fr, or says what does not fit.
func (c *Client) deliver(s *slot, fr Frame, now time.Time) (foreign string) {
	t := s.turn
	call := &t.calls[s.call]
	if fr.Function()&exceptionBit != 0 {
		var m ExceptionResponse
		if m.Decode(fr.PDU) != nil {
			return "exception code"
		}
		c.stats.Exception++
		call.refuse(m.Code)
	} else {
		data, why := call.data(fr.PDU)
		if why != "" {
			return why
		}
		call.Data, call.Err = append(call.Data, data...), nil
	}
	c.stats.Replied++
	call.RTT, call.At = now.Sub(s.sent), now
	t.rtts = append(t.rtts, call.RTT)
	t.open--
	c.table.answer(s)
	t.signal()
	return ""
}
