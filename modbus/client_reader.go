package modbus

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

// The read buffer starts with room for one answer and some, and grows while reads fill it.
const (
	readBufferMin = 2 * MaxADU
	readBufferMax = 16 * MaxADU
)

// lull is how long a busy connection may be unread before its reader looks after it again.
const lull = 50 * time.Millisecond

// readRole says who reads from the socket:
//
//	         answers come in quick succession, one caller
//	reader ──────────────────────────────────────────► free ◄──────┐
//	  ▲                                                │  │ waits  │ its read returned
//	  └──── nobody read for a lull, or two callers ────┘  └──► caller
//
// A caller that reads its own answer saves the switch from the reader to it, which costs as much as a system call or two. It does so only while it
// is the only one in flight: whoever is in a read cannot hear of room in the window.
type readRole uint8

const (
	roleReader readRole = iota // the reader goroutine reads, or is about to
	roleFree                   // nobody; the reader looks in after a lull
	roleCaller                 // the goroutine of a turn
)

// inbox is what came and was not handed out yet. It belongs to whoever has the read role.
type inbox struct {
	buf   []byte
	have  int
	lates []time.Duration
	by    time.Time // the read deadline that is set, as far as is known; zero when none is, or nobody knows
	armed bool      // some read deadline may be set
}

// read is the connection's reader. It ends when the connection does, and then everything that was in flight has failed.
func (c *Client) read() {
	defer close(c.done)
	timer := time.NewTimer(lull)
	defer timer.Stop()
	for c.standBy(timer) {
		if c.in.armed {
			c.in.armed, c.in.by = false, time.Time{}
			_ = c.socket.SetReadDeadline(time.Time{}) // fails only on a closed connection, which the read will tell
		}
		if bad := c.readOnce(); bad != nil {
			c.ended(bad)
			return
		}
		c.yield()
	}
}

// standBy waits until the read role is the reader's. It answers false when the connection has ended.
func (c *Client) standBy(timer *time.Timer) bool {
	for seen := c.readsByCallers(); ; {
		if mine, ended := c.reclaim(&seen); mine || ended {
			return !ended
		}
		timer.Reset(lull)
		select {
		case <-c.resume:
		case <-timer.C:
		}
	}
}

func (c *Client) readsByCallers() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reads
}

// reclaim takes the read role when callers have not read since seen.
func (c *Client) reclaim(seen *uint64) (mine, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.role == roleFree && c.reads == *seen && time.Since(c.heard) >= lull {
		c.role = roleReader
	}
	*seen = c.reads
	return c.role == roleReader, c.err != nil && c.role != roleReader
}

// yield leaves the read role to the next caller when answers come in quick succession and nothing is in flight.
func (c *Client) yield() {
	if !c.inline {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.brisk && c.table.inFlight == 0 && len(c.queue) <= 1 && !c.sending && c.err == nil {
		c.role = roleFree
	}
}

// claim takes the read role for t, which may be the one that is sending. Where others are in flight too, it wakes the reader.
func (c *Client) claim(ctx context.Context, t *turn, sending bool) bool {
	if !c.inline {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.role != roleFree || c.err != nil || len(t.wake) > 0 { // with a wake-up pending there may be nothing left to read for
		return false
	}
	if c.table.inFlight != t.open || c.sending != sending || len(c.queue) > 1 || len(c.queue) == 1 && c.queue[0] != t {
		c.handOver()
		return false
	}
	c.role, c.reader = roleCaller, t
	c.reads++
	c.watch(ctx)
	return true
}

// readFor reads once on behalf of t, which has the read role, until the first deadline of t at the latest.
func (c *Client) readFor(ctx context.Context, t *turn) {
	c.armRead(t)
	var bad error
	if ctx.Err() == nil { // after the deadline is set: a cancellation from here on comes behind it and cuts the read
		bad = c.readOnce()
	}
	c.disclaim(t)
	if bad != nil {
		c.ended(bad)
	}
}

// armRead sets the read deadline. One that is due earlier is left alone, so that a fast device's requests do not move it.
func (c *Client) armRead(t *turn) {
	if c.in.by.IsZero() || c.in.by.After(t.by) {
		c.in.by, c.in.armed = t.by, true
		_ = c.socket.SetReadDeadline(t.by) // fails only on a closed connection, which the read will tell
	}
}

// disclaim gives back the read role of t.
func (c *Client) disclaim(t *turn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.role, c.reader = roleFree, nil
	if c.table.inFlight != t.open {
		c.handOver()
	}
}

// watch makes the end of ctx cut the read of a caller. The registration, which costs allocations, stays for the next call with the same context.
// A cut that hits another read is looked at and forgotten.
func (c *Client) watch(ctx context.Context) {
	done := ctx.Done()
	if done == c.watched {
		return
	}
	c.unwatch()
	if done == nil {
		return
	}
	c.watched = done
	c.stopWatch = context.AfterFunc(ctx, func() {
		_ = c.socket.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed connection, where nobody reads
	})
}

func (c *Client) unwatch() {
	if c.stopWatch != nil {
		c.stopWatch()
	}
	c.watched, c.stopWatch = nil, nil
}

// handOver gives the read role to the reader, if it is free.
func (c *Client) handOver() {
	if c.role == roleFree {
		c.role = roleReader
		c.wakeReader()
	}
}

// wakeReader makes the reader look at its role.
func (c *Client) wakeReader() {
	select {
	case c.resume <- struct{}{}:
	default:
	}
}

// readOnce reads what there is and hands out all whole frames of it. The error ends the connection.
func (c *Client) readOnce() error { return c.arrived(c.conn.Read(c.in.buf[c.in.have:])) }

// arrived hands out all whole frames of what was read: n bytes, and err.
func (c *Client) arrived(n int, err error) error {
	in := &c.in
	in.have += n
	took, lates, bad := c.take(in.buf[:in.have], n, in.lates[:0])
	in.lates = lates
	c.reportLate(lates)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		in.by, in.armed, err = time.Time{}, true, nil
	}
	if bad == nil && err != nil {
		bad = endOfStream(err, in.have-took)
	}
	full := in.have == len(in.buf)
	in.have = copy(in.buf, in.buf[took:in.have])
	if full && len(in.buf) < readBufferMax {
		in.buf = append(make([]byte, 0, 2*len(in.buf)), in.buf...)[:2*len(in.buf)]
	}
	return bad
}

// endOfStream says that the stream ended, and whether it did so inside a frame.
func endOfStream(err error, left int) error {
	if errors.Is(err, io.EOF) && left > 0 {
		return &FrameError{Reason: FramePartial, Got: uint16(left)}
	}
	return err
}

// ended ends the connection because of what was read, or could not be.
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
		if n == 0 && err == nil {
			c.kick()
			return took, lates, nil
		}
		took += n
		late, by, foreign := false, time.Duration(0), ""
		if err == nil {
			late, by, foreign = c.reply(fr, now)
		}
		if foreign != "" {
			c.stats.Foreign++
			err = &ForeignError{Transaction: fr.Transaction, Unit: fr.Unit, Function: fr.Function(), Length: len(fr.PDU), Why: foreign}
		}
		if err != nil {
			c.end(err) // at once: nothing more is sent to a peer like that
			return took, lates, err
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
	if c.table.inFlight > 1 && c.table.overtakes(s) {
		c.stats.Overtook++
	}
	c.brisk = now.Sub(c.heard) < lull
	c.heard = now
	call.RTT, call.At = now.Sub(s.sent), now
	t.rtts = append(t.rtts, call.RTT)
	t.open--
	c.table.answer(s)
	if c.reader != t { // who reads its own answer looks without being told
		t.signal()
	}
	return ""
}
