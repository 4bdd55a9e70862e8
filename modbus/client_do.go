package modbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// turn is one run of Do: the calls of one goroutine. It is used again by later ones.
//
// Client.mu guards the first group of fields; the second belongs to the calling goroutine.
type turn struct {
	wake   chan struct{} // 1: one pending wake-up is enough, the woken one looks at everything
	calls  []Call
	next   int             // first call that was never sent
	again  []int           // reads that timed out and are sent again
	open   int             // calls in flight
	err    error           // why no further call is sent
	queued bool            // in Client.queue
	rtts   []time.Duration // of replies that advance has not seen

	told  []time.Duration // round trips to report
	late  []time.Duration // waits that ended without a reply, to report
	out   []byte          // frames to send
	wrote int             // bytes of out that have left
	fresh bool            // nothing was in flight before out
	by    time.Time       // the first deadline of what is in flight; zero when nothing is
	timer *time.Timer
	rings time.Time // when timer fires; it is left running from call to call
	one   [1]Call   // of the typed methods
	data  []byte    // likewise
	vals  []byte    // likewise
}

// signal wakes the goroutine of t, if it has not been woken already.
func (t *turn) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// stop ends the sending of t with the first error that a transport gave it.
func (t *turn) stop(cause error) {
	if t.err == nil {
		t.err = cause
	}
}

// pending reports whether t has something to send.
func (t *turn) pending() bool { return t.err == nil && (len(t.again) > 0 || t.next < len(t.calls)) }

// pop returns the next call to send.
func (t *turn) pop() int {
	if n := len(t.again); n > 0 {
		i := t.again[0]
		t.again = slices.Delete(t.again, 0, 1)
		return i
	}
	t.next++
	return t.next - 1
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
	t := c.newTurn(calls)
	defer c.release(t)
	return c.run(ctx, t)
}

func (c *Client) newTurn(calls []Call) *turn {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.free)
	if n == 0 {
		return &turn{wake: make(chan struct{}, 1), calls: calls}
	}
	t := c.free[n-1]
	c.free = c.free[:n-1]
	t.calls = calls
	return t
}

// release gives t back; nothing of it is in flight.
func (c *Client) release(t *turn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t.calls, t.next, t.again, t.err, t.one = nil, 0, t.again[:0], nil, [1]Call{}
	select {
	case <-t.wake:
	default:
	}
	c.free = append(c.free, t)
}

// run is the loop of one calling goroutine: give up what is too old, send what the window allows, wait.
func (c *Client) run(ctx context.Context, t *turn) error {
	if err := c.checkCalls(t.calls); err != nil {
		return err
	}
	for {
		timeout := c.timeout()
		if err := ctx.Err(); err != nil {
			c.cancel(t, endOf(ctx))
		}
		hangUp, finished := c.advance(t, time.Now(), timeout)
		if hangUp {
			c.hangUp()
		}
		c.report(t)
		if finished {
			return c.finish(t)
		}
		if len(t.out) > 0 {
			if c.exchange(ctx, t) {
				continue
			}
			c.send(ctx, t, timeout)
		}
		c.wait(ctx, t)
	}
}

// checkCalls resets the results and refuses what cannot be put on the wire.
func (c *Client) checkCalls(calls []Call) (err error) {
	for i := range calls {
		call := &calls[i]
		call.Err, call.RTT, call.At, call.tries = nil, 0, time.Time{}, 0
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

func (c *Client) timeout() time.Duration {
	if f := c.cfg.Hooks.Timeout; f != nil {
		if d := f(); d > 0 {
			return d
		}
	}
	return c.cfg.Timeout
}

// advance gives up what is too old and fills t.out with what may be sent now. hangUp says that the connection has ended here, finished that
// nothing of t is left to send or to wait for.
func (c *Client) advance(t *turn, now time.Time, timeout time.Duration) (hangUp, finished bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	hangUp = c.expire(t, now)
	if c.err != nil {
		t.stop(c.err)
	}
	t.fresh = c.table.inFlight == 0
	c.admit(t, now, timeout)
	t.by = c.table.earliest(t)
	t.rtts, t.told = t.told[:0], t.rtts
	finished = t.open == 0 && !t.pending()
	return hangUp, finished
}

// expire gives up the calls of t whose time is over. Reads go into t.again while they have tries left.
func (c *Client) expire(t *turn, now time.Time) (hangUp bool) {
	expired := false
	for i := range c.table.slots {
		s := &c.table.slots[i]
		if s.turn != t || now.Before(s.deadline) || c.err != nil {
			continue
		}
		c.expireSlot(s)
		expired = true
	}
	if !expired {
		return false
	}
	c.handOver() // a late reply is told from its time of arrival
	c.kick()
	return c.tooMany(now)
}

func (c *Client) expireSlot(s *slot) {
	t, i := s.turn, s.call
	call := &t.calls[i]
	cause := &TimeoutError{After: s.deadline.Sub(s.sent)}
	call.fail(cause, true)
	c.stats.TimedOut++
	t.late = append(t.late, cause.After)
	t.open--
	c.table.giveUp(s)
	if !call.Function.Writes() && call.tries <= c.cfg.Retries && c.cfg.hasIDs() {
		t.again = append(t.again, i)
		return
	}
	t.stop(cause)
}

// tooMany ends the connection when too many ids are without a reply. Without ids the first one does: its late reply could not be told from the
// next one's.
func (c *Client) tooMany(now time.Time) (hangUp bool) {
	timedOut, all := c.table.unanswered(now)
	if all == 0 || c.cfg.hasIDs() && timedOut < maxUnanswered && all < maxUnanswered+MaxWindow {
		return false
	}
	c.end(&UnansweredError{Requests: all})
	return true
}

// admit moves calls of t into the window and their frames into t.out, if it is t's turn.
func (c *Client) admit(t *turn, now time.Time, timeout time.Duration) {
	t.out, t.wrote = t.out[:0], 0
	if !t.pending() {
		c.leave(t)
		return
	}
	if c.sending || c.table.inFlight >= c.window || len(c.queue) > 0 && c.queue[0] != t {
		c.join(t)
		return
	}
	for t.pending() && c.table.inFlight < c.window {
		c.open(t, t.pop(), now, timeout)
	}
	c.sending = true
	c.leave(t)
	if t.pending() {
		c.join(t) // at the end: others come before the rest of it
	}
}

// open takes an id for call i of t and appends its frame.
func (c *Client) open(t *turn, i int, now time.Time, timeout time.Duration) {
	call := &t.calls[i]
	start := len(t.out)
	id := c.table.add(slot{unit: call.Unit, function: call.Function, writing: true, at: start, turn: t, call: i, sent: now, deadline: now.Add(timeout)})
	t.out = c.cfg.Framing.Begin(t.out, id, call.Unit)
	t.out = c.cfg.Framing.End(call.appendTo(t.out), start)
	t.open++
	c.stats.Sent++
	if call.tries++; call.tries > 1 {
		c.stats.Repeated++
	}
}

// join queues t for room in the window.
func (c *Client) join(t *turn) {
	if !t.queued {
		t.queued = true
		c.queue = append(c.queue, t)
	}
}

// leave takes t out of the queue and lets the next one look.
func (c *Client) leave(t *turn) {
	if !t.queued {
		return
	}
	t.queued = false
	c.queue = slices.DeleteFunc(c.queue, func(o *turn) bool { return o == t })
	c.kick()
}

// kick wakes the first in the queue when it can send.
func (c *Client) kick() {
	if len(c.queue) > 0 && !c.sending && c.table.inFlight < c.window {
		c.queue[0].signal()
	}
}

// send writes what exchange left of t.out; t is the one that is sending.
func (c *Client) send(ctx context.Context, t *turn, timeout time.Duration) {
	n, err := c.write(ctx, t.out[t.wrote:], timeout)
	n += t.wrote
	cancelled := err != nil && ctx.Err() != nil
	if cancelled {
		err = endOf(ctx)
	}
	c.mu.Lock()
	hangUp := c.written(t, n, err, cancelled)
	c.mu.Unlock()
	if hangUp {
		c.hangUp()
	}
}

// write sends b before a deadline of timeout to twice that: it is moved only when it has come closer than that. A TCP socket takes what may be in
// flight (64 frames of 260 bytes at most) without waiting, so that the deadline is enough; other connections get the cancellation wired to them.
func (c *Client) write(ctx context.Context, b []byte, timeout time.Duration) (int, error) {
	if now := time.Now(); c.writeBy.Sub(now) < timeout {
		c.writeBy = now.Add(2 * timeout)
		if err := c.conn.SetWriteDeadline(c.writeBy); err != nil {
			return 0, err
		}
	}
	if !c.wired || ctx.Done() == nil {
		return c.conn.Write(b)
	}
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		_ = c.socket.SetWriteDeadline(time.Unix(1, 0)) // fails only on a closed connection, which ends the write too
	})
	n, err := c.conn.Write(b)
	if !stop() {
		<-cut
		c.writeBy = time.Time{}
	}
	return n, err
}

// written settles what the write of t's frames came to: n bytes left. A write that was cancelled before its first byte leaves the connection as it
// was.
func (c *Client) written(t *turn, n int, err error, cancelled bool) (hangUp bool) {
	c.sending = false
	c.stats.BytesOut += uint64(n)
	cause := err
	if err != nil && !cancelled {
		cause = &ClosedError{Err: err}
	}
	for i := range c.table.slots {
		s := &c.table.slots[i]
		if s.turn != t || !s.writing {
			continue
		}
		s.writing = false
		switch {
		case err != nil:
			c.lost(s, cause, c.secret || s.at < n)
		case c.err != nil:
			c.lost(s, c.err, true)
		}
	}
	if err != nil && (!cancelled || n > 0 || c.secret) {
		c.end(err)
		hangUp = true
	}
	c.kick()
	return hangUp
}

// wait blocks until something of t may have changed.
func (c *Client) wait(ctx context.Context, t *turn) {
	if t.by.IsZero() { // nothing in flight: room in the window is what it waits for
		select {
		case <-t.wake:
		case <-ctx.Done():
		}
		return
	}
	if c.claim(ctx, t, false) {
		c.readFor(ctx, t)
		return
	}
	t.arm()
	select {
	case <-t.wake:
	case <-t.timer.C:
		t.rings = time.Time{}
	case <-ctx.Done():
	}
}

// arm makes the timer fire at t.by or before. A timer that fires early is left alone, so that a fast device's requests do not move it.
func (t *turn) arm() {
	switch {
	case t.timer == nil:
		t.timer = time.NewTimer(time.Until(t.by))
	case t.rings.IsZero() || t.by.Before(t.rings):
		t.timer.Reset(time.Until(t.by))
	default:
		return
	}
	t.rings = t.by
}

// cancel gives up all calls of t.
func (c *Client) cancel(t *turn, cause error) {
	c.mu.Lock()
	for i := range c.table.slots {
		s := &c.table.slots[i]
		if s.turn != t {
			continue
		}
		t.calls[s.call].fail(cause, true)
		t.open--
		c.table.giveUp(s)
	}
	t.stop(cause)
	hangUp := c.err == nil && c.tooMany(time.Now())
	c.handOver()
	c.kick()
	c.mu.Unlock()
	if hangUp {
		c.hangUp()
	}
}

// endOf returns why ctx ended: its Err, and the cause when somebody gave one.
func endOf(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// report calls the hooks for what advance found.
func (c *Client) report(t *turn) {
	if f := c.cfg.Hooks.Replied; f != nil {
		for _, d := range t.told {
			f(d)
		}
	}
	if f := c.cfg.Hooks.TimedOut; f != nil {
		for _, d := range t.late {
			f(d)
		}
	}
	t.told, t.late = t.told[:0], t.late[:0]
}

// finish marks what was not sent and returns the error of t.
func (c *Client) finish(t *turn) error {
	if t.err == nil {
		return nil
	}
	for i := t.next; i < len(t.calls); i++ {
		t.calls[i].fail(t.err, false)
	}
	for i := range t.calls {
		var e *Error
		if errors.As(t.calls[i].Err, &e) && e.Exception == 0 {
			return e
		}
	}
	return nil
}
