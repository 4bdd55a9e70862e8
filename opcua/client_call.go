package opcua

import (
	"context"
	"errors"
	"net"
	"time"

	"millrace/internal/inflight"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// clientCall is one request and its answer. It is lent by its connection and used again.
type clientCall struct {
	service    Service
	operations int
	id         uint32
	timeout    time.Duration
	out        []byte // the request, from the chunk header on
	in         []byte // the answer, from its encoding id on
	typ        uint32 // of the answer
	d          ua.Decoder

	wake    chan struct{} // 1: the answer is here, or err
	err     error         // why there is none
	aborted ua.StatusCode
	timer   *time.Timer
	sent    time.Time // zero when nothing left
	came    time.Time
}

const (
	// longestKept is how much room a call keeps for the next one, each way: more than answers with thousands of values need.
	longestKept = 256 << 10
	// zeroHeaderBytes is a RequestHeader of nothing but zeros: null id, time, handle, diagnostics, null string, time-out, null object.
	zeroHeaderBytes = 2 + 8 + 4 + 4 + 4 + 4 + 3
)

// begin lends a call whose request has its header; the caller appends the rest to out.
func (c *clientConn) begin(s Service, operations int) *clientCall {
	k, _ := c.calls.Get().(*clientCall)
	if k == nil {
		k = &clientCall{wake: make(chan struct{}, 1)}
	}
	k.service, k.operations, k.timeout = s, operations, c.timeout()
	k.id = c.nextID()
	k.out = c.header(c.channel.Begin(k.out[:0], k.id), s, k.id, k.timeout)
	return k
}

// nextID returns an id that was not used for 2^32 requests. It is not 0, which some servers take for none.
func (c *clientConn) nextID() uint32 {
	for {
		if id := c.ids.Add(1); id != 0 {
			return id
		}
	}
}

// header appends the encoding id of the request and its RequestHeader.
func (c *clientConn) header(b []byte, s Service, handle uint32, timeout time.Duration) []byte {
	b = ua.AppendNodeId(b, ua.NumericId(0, uint32(s)))
	b = append(b, c.token...)
	b = ua.AppendDateTime(b, ua.DateTimeOf(time.Now()))
	b = ua.AppendUInt32(b, handle)
	b = ua.AppendUInt32(b, 0) // no diagnostics
	b = ua.AppendInt32(b, -1) // no audit entry
	b = ua.AppendUInt32(b, timeoutHint(timeout))
	return append(b, 0, 0, 0) // no additional header
}

// timeoutHint returns d for the wire; what is under one is 1, what is beyond it the most there is.
func timeoutHint(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	return uint32(min(max(d/time.Millisecond, 1), 1<<32-1))
}

// body appends a generated request behind the header that is there: its own header is all zeros and is cut out.
func (k *clientCall) body(m ua.Message) {
	at := len(k.out)
	k.out = m.AppendTo(k.out)
	k.out = append(k.out[:at], k.out[at+zeroHeaderBytes:]...)
}

// release takes k back.
func (c *clientConn) release(k *clientCall) {
	if cap(k.out) > longestKept {
		k.out = nil
	}
	if cap(k.in) > longestKept {
		k.in = nil
	}
	k.d, k.err = ua.Decoder{}, nil
	c.calls.Put(k)
}

// timeout returns how long to wait for the answer to what is sent next.
func (c *clientConn) timeout() time.Duration {
	if f := c.cfg.Hooks.Timeout; f != nil {
		if d := f(); d > 0 {
			return d
		}
	}
	return c.cfg.Timeout
}

// exchange sends k and waits for its answer, behind whose header k.d stands. The error is an *Error.
func (c *clientConn) exchange(ctx context.Context, k *clientCall) error {
	if err := c.send(ctx, k, true); err != nil {
		return err
	}
	return c.await(ctx, k)
}

// do asks with a generated request, and reads the answer into response.
func (c *clientConn) do(ctx context.Context, request, response ua.Message, operations int) error {
	return c.doWith(ctx, ua.ExtensionObject{}, request, response, operations)
}

// nullObject is the length of an ExtensionObject that is null: what the header ends with.
const nullObject = 3

// doWith is do with an additional header.
func (c *clientConn) doWith(ctx context.Context, additional ua.ExtensionObject, request, response ua.Message, operations int) error {
	k := c.begin(Service(request.EncodingId()), operations)
	defer c.release(k)
	k.out = ua.AppendExtensionObject(k.out[:len(k.out)-nullObject], additional)
	k.body(request)
	if err := c.exchange(ctx, k); err != nil {
		return err
	}
	d := ua.NewDecoder(k.in, c.cfg.Limits)
	d.EncodingId()
	response.DecodeFrom(&d)
	if err := d.Err(); err != nil {
		return c.badAnswer(k, err)
	}
	return nil
}

// send sends k when its turn has come and there is room in the window. With wait false it answers errWindowFull where there is no room. What was sent must be awaited.
func (c *clientConn) send(ctx context.Context, k *clientCall, wait bool) error {
	k.sent, k.came, k.aborted, k.err = time.Time{}, time.Time{}, 0, nil
	select {
	case <-k.wake:
	default:
	}
	k.arm(k.timeout)
	if err := c.acquire(ctx, k, c.window, wait); err != nil {
		return c.failed(k, err)
	}
	if err := c.acquire(ctx, k, c.turn, true); err != nil {
		<-c.window
		return c.failed(k, err)
	}
	err := c.sendInTurn(k)
	<-c.turn
	if err != nil {
		<-c.window
		return c.failed(k, err)
	}
	return nil
}

// errWindowFull is why nothing was sent: the window is full.
var errWindowFull = errors.New("window full")

// acquire takes a place in a channel.
func (c *clientConn) acquire(ctx context.Context, k *clientCall, place chan struct{}, wait bool) error {
	select {
	case place <- struct{}{}:
		return c.alive(ctx, place)
	default:
	}
	if !wait {
		return errWindowFull
	}
	select {
	case place <- struct{}{}:
		return c.alive(ctx, place)
	case <-c.ended:
		return c.error()
	case <-ctx.Done():
		return inflight.EndOf(ctx)
	case <-k.timer.C:
		return &TimeoutError{After: k.timeout}
	}
}

// alive gives a place back when there is no use for it any more.
func (c *clientConn) alive(ctx context.Context, place chan struct{}) error {
	err := c.error()
	if err == nil && ctx.Err() != nil {
		err = inflight.EndOf(ctx)
	}
	if err != nil {
		<-place
	}
	return err
}

// sendInTurn seals and writes; c.turn is the caller's.
func (c *clientConn) sendInTurn(k *clientCall) error {
	now := time.Now()
	out, err := c.channel.End(k.out, 0, uasc.KindMessage, now)
	if err != nil {
		return err
	}
	k.out = out
	if err := c.register(clientSlot{id: k.id, service: k.service, call: k, sent: now, deadline: now.Add(k.timeout)}); err != nil {
		return err
	}
	k.sent = now
	k.arm(k.timeout) // from here on it is the answer that is waited for
	n, err := c.write(out, k.timeout)
	if err == nil {
		return nil
	}
	if n == 0 {
		k.sent = time.Time{}
	}
	c.end(err) // part of a message may have left, and its sequence number is used up
	<-k.wake   // by end, or by an answer that was quicker
	return err
}

// await waits for the answer to k, which was sent. The error is an *Error.
func (c *clientConn) await(ctx context.Context, k *clientCall) error {
	var cause error
	select {
	case <-k.wake:
	case <-ctx.Done():
		cause = inflight.EndOf(ctx)
	case <-k.timer.C:
		cause = &TimeoutError{After: k.timeout}
	}
	if cause != nil && !c.giveUp(k, cause) {
		<-k.wake // the reader has it: what it does does not block
	}
	<-c.window
	if k.err != nil {
		return c.failed(k, k.err)
	}
	c.replied(k)
	return c.opened(k)
}

// giveUp leaves the request of k without a caller. It answers false when the reader has taken it already.
func (c *clientConn) giveUp(k *clientCall, cause error) bool {
	c.mu.Lock()
	i := c.find(k.id)
	if i < 0 {
		c.mu.Unlock()
		return false
	}
	c.slots[i].call = nil
	k.err = cause
	var late *TimeoutError
	if errors.As(cause, &late) {
		c.stats.TimedOut++
	}
	n := c.unanswered()
	c.mu.Unlock()
	if late != nil && c.cfg.Hooks.TimedOut != nil {
		c.cfg.Hooks.TimedOut(late.After)
	}
	if n >= maxUnanswered {
		c.end(&UnansweredError{Requests: n})
	}
	return true
}

// deliver takes the answer, in the reader. A long one has a buffer of its own, which kept says.
func (k *clientCall) deliver(m *uasc.Message, kept bool, now time.Time) {
	k.aborted, k.came = m.Aborted, now
	if kept {
		k.in = m.Body
	} else {
		k.in = append(k.in[:0], m.Body...)
	}
	k.wake <- struct{}{}
}

// fail takes why there is none.
func (k *clientCall) fail(cause error) {
	k.err = cause
	k.wake <- struct{}{}
}

// arm starts the timer.
func (k *clientCall) arm(d time.Duration) {
	if k.timer == nil {
		k.timer = time.NewTimer(d)
		return
	}
	k.timer.Reset(d)
}

// replied keeps the round trip.
func (c *clientConn) replied(k *clientCall) {
	rtt := k.came.Sub(k.sent)
	old := c.rtt.Load()
	if old == 0 {
		old = int64(rtt)
	}
	c.rtt.Store(old + (int64(rtt)-old)/8) // as TCP does [RFC 6298 2]
	if f := c.cfg.Hooks.Replied; f != nil {
		f(rtt)
	}
}

// opened looks at the header of the answer.
func (c *clientConn) opened(k *clientCall) error {
	status := k.aborted
	if status == 0 {
		var h ua.ResponseHeader
		k.d = ua.NewDecoder(k.in, c.cfg.Limits)
		k.typ = k.d.EncodingId()
		h.DecodeFrom(&k.d)
		if err := k.d.Err(); err != nil {
			return c.badAnswer(k, err)
		}
		if status = h.ServiceResult; status == 0 && k.typ == faultId {
			status = ua.BadUnexpectedError
		}
	}
	if !status.IsBad() && k.typ != faultId && k.aborted == 0 {
		return nil
	}
	c.count(func(s *Stats) { s.Refused++ })
	if f := c.cfg.Hooks.Refused; f != nil {
		f(k.service, status, k.operations)
	}
	if lost(status) && k.service != ServiceActivateSession && k.service != ServiceCloseSession && !c.leaving.Load() {
		c.end(&SessionLostError{Status: status})
	}
	return &Error{Service: k.service, Status: status, Answered: true, Sent: true, Operations: k.operations}
}

// lost reports whether a status says that there is no session in which to ask.
func lost(s ua.StatusCode) bool {
	switch s {
	case ua.BadSessionIdInvalid, ua.BadSessionClosed, ua.BadSessionNotActivated, ua.BadSecureChannelIdInvalid:
		return true
	}
	return false
}

// failed says what became of k in place of an answer.
func (c *clientConn) failed(k *clientCall, cause error) error {
	e := &Error{Service: k.service, Status: statusOf(cause), Sent: !k.sent.IsZero(), Operations: k.operations, Err: cause}
	var u *uasc.Error
	if errors.As(cause, &u) && !errors.Is(cause, net.ErrClosed) {
		e.Status = u.Status
	}
	return e
}

// badAnswer says that the answer to k is not to be understood. It answers k alone: the channel has checked that it is whole.
func (c *clientConn) badAnswer(k *clientCall, err error) error {
	e := &Error{Service: k.service, Status: ua.BadDecodingError, Sent: true, Operations: k.operations, Err: err}
	var d *ua.DecodeError
	if errors.As(err, &d) {
		e.Status = d.Status
	}
	return e
}
