package inflight

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Turn is one run of a Work: the requests of one goroutine. Conn.Begin lends it, Conn.End takes it back.
//
// Conn.mu guards the second group of fields; the first and the third belong to the calling goroutine.
type Turn struct {
	Work     Work
	Patience time.Duration // time-outs are at least so long; 0 after Begin
	OneWay   bool          // the requests have no answers: they are done when they have left; false after Begin

	wake   chan struct{} // 1: one pending wake-up is enough, the woken one looks at everything
	calls  int
	next   int             // first request that was never sent
	again  []try           // requests that timed out and are sent again
	open   int             // requests in flight
	err    error           // why no further request is sent
	queued bool            // in Conn.queue
	rtts   []time.Duration // of answers that advance has not seen
	served served          // likewise

	told  []time.Duration // round trips to report
	load  served          // to report
	late  []time.Duration // waits that ended without an answer, to report
	out   []byte          // frames to send
	wrote int             // bytes of out that have left
	fresh bool            // nothing was in flight before out
	by    time.Time       // the first deadline of what is in flight; zero when nothing is
	timer *time.Timer
	rings time.Time // when timer fires; it is left running from run to run
}

// served is what answers were worth: how many requests, how many bytes of frames both ways, and the time that the device worked for them, which is that since the
// request was sent or, when others were before it, since the answer before.
type served struct {
	requests, bytes int
	took            time.Duration
}

func (s *served) add(bytes int, took time.Duration) {
	s.requests++
	s.bytes += bytes
	s.took += took
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// try is a request with how often it was sent already.
type try struct{ call, tries int }

// signal wakes the goroutine of t, if it has not been woken already.
func (t *Turn) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// stop ends the sending of t with the first error that a transport gave it.
func (t *Turn) stop(cause error) {
	if t.err == nil {
		t.err = cause
	}
}

// pending reports whether t has something to send.
func (t *Turn) pending() bool { return t.err == nil && (len(t.again) > 0 || t.next < t.calls) }

// pop returns the next request to send.
func (t *Turn) pop() try {
	if len(t.again) > 0 {
		i := t.again[0]
		t.again = slices.Delete(t.again, 0, 1)
		return i
	}
	t.next++
	return try{call: t.next - 1}
}

// Turns are Turns that many Conns use in turn, whose Works are of one type. Of ten thousand connections few have a request in flight at a moment. The zero value is ready, and safe for
// concurrent use.
type Turns struct{ idle sync.Pool }

// Begin lends a Turn for one Run. With Config.Turns its Work may have been another Conn's before.
func (c *Conn) Begin() *Turn {
	if c.cfg.Turns != nil {
		if t, ok := c.cfg.Turns.idle.Get().(*Turn); ok {
			return t
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.free)
	if n == 0 {
		return &Turn{Work: c.cfg.NewWork(), wake: make(chan struct{}, 1)}
	}
	t := c.free[n-1]
	c.free = c.free[:n-1]
	return t
}

// End takes t back; nothing of it is in flight.
func (c *Conn) End(t *Turn) {
	t.Patience, t.OneWay = 0, false
	if c.cfg.Turns != nil {
		c.cfg.Turns.idle.Put(t)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free = append(c.free, t)
}

// rewind makes t ready for a run.
func (t *Turn) rewind() {
	t.calls, t.next, t.again, t.err = t.Work.Len(), 0, t.again[:0], nil
	select {
	case <-t.wake:
	default:
	}
}

// Run sends the requests of t's Work with up to the window in flight and returns when none of them is: each then was delivered or has failed. It may be called again
// for another Work before End.
//
// The error is nil when all were delivered, else the first cause that the transport gave: a *TimeoutError, a *ClosedError, or why ctx ended. That stops the sending:
// requests behind it fail unsent. Run is the loop of one calling goroutine: give up what is too old, send what the window allows, wait.
func (c *Conn) Run(ctx context.Context, t *Turn) error {
	for t.rewind(); ; {
		c.receive(t)
		timeout := c.timeout(t)
		if ctx.Err() != nil {
			c.cancel(t, EndOf(ctx))
		}
		hangUp, finished := c.advance(t, time.Now(), timeout)
		if hangUp {
			c.hangUp()
		}
		c.report(t)
		if finished {
			if c.receive(t) {
				continue
			}
			return t.finish()
		}
		if len(t.out) > 0 {
			if c.exchange(ctx, t) {
				continue
			}
			c.send(ctx, t, timeout)
			if t.OneWay {
				continue
			}
		}
		c.wait(ctx, t)
	}
}

// finish fails what was not sent.
func (t *Turn) finish() error {
	if t.err != nil {
		for i := t.next; i < t.calls; i++ {
			t.Work.Fail(i, t.err, false)
		}
	}
	return t.err
}

// advance gives up what is too old and fills t.out with what may be sent now. hangUp says that the connection has ended here, finished that
// nothing of t is left to send or to wait for.
func (c *Conn) advance(t *Turn, now time.Time, timeout time.Duration) (hangUp, finished bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	hangUp = c.expire(t, now)
	if c.err != nil {
		t.stop(c.err)
	}
	t.fresh = c.table.inFlight == 0 && !t.OneWay
	c.admit(t, now, timeout)
	t.by = c.table.earliest(t)
	t.rtts, t.told = t.told[:0], t.rtts
	t.served, t.load = served{}, t.served
	finished = t.open == 0 && !t.pending()
	return hangUp, finished
}

// expire gives up the requests of t whose time is over. Those that may go into t.again while they have tries left.
func (c *Conn) expire(t *Turn, now time.Time) (hangUp bool) {
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
	c.handOver() // a late answer is told from its time of arrival
	c.kick()
	return c.tooMany(now)
}

func (c *Conn) expireSlot(s *slot) {
	t := s.turn
	cause := &TimeoutError{After: s.deadline.Sub(s.sent)}
	t.Work.Fail(s.call, cause, true)
	c.stats.TimedOut++
	t.late = append(t.late, cause.After)
	t.open--
	again := try{call: s.call, tries: s.tries}
	c.table.giveUp(s)
	if again.tries <= c.cfg.Retries && !c.cfg.NoIDs && t.Work.Repeats(again.call) {
		t.again = append(t.again, again)
		return
	}
	t.stop(cause)
}

// tooMany ends the connection when too many ids are without an answer. Without ids the first one does: its late answer could not be told from the
// next one's.
func (c *Conn) tooMany(now time.Time) (hangUp bool) {
	timedOut, all := c.table.unanswered(now)
	if all == 0 || !c.cfg.NoIDs && timedOut < maxUnanswered && all < maxUnanswered+MaxWindow {
		return false
	}
	c.end(&UnansweredError{Requests: all})
	return true
}

// admit moves requests of t into the window and their frames into t.out, if it is t's turn.
func (c *Conn) admit(t *Turn, now time.Time, timeout time.Duration) {
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

// open takes an id for a request of t and appends its frame.
func (c *Conn) open(t *Turn, r try, now time.Time, timeout time.Duration) {
	r.tries++
	s := c.table.add(slot{key: t.Work.Key(r.call), writing: true, at: len(t.out), turn: t, call: r.call, tries: r.tries, sent: now, deadline: now.Add(timeout)})
	t.out = t.Work.AppendTo(t.out, r.call, s.id)
	s.size = len(t.out) - s.at
	t.open++
	c.stats.Sent++
	if r.tries > 1 {
		c.stats.Repeated++
	}
}

// join queues t for room in the window.
func (c *Conn) join(t *Turn) {
	if !t.queued {
		t.queued = true
		c.queue = append(c.queue, t)
	}
}

// leave takes t out of the queue and lets the next one look.
func (c *Conn) leave(t *Turn) {
	if !t.queued {
		return
	}
	t.queued = false
	c.queue = slices.DeleteFunc(c.queue, func(o *Turn) bool { return o == t })
	c.kick()
}

// kick wakes the first in the queue when it can send.
func (c *Conn) kick() {
	if len(c.queue) > 0 && !c.sending && c.table.inFlight < c.window {
		c.queue[0].signal()
	}
}

// wait blocks until something of t may have changed.
func (c *Conn) wait(ctx context.Context, t *Turn) {
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
func (t *Turn) arm() {
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

// cancel gives up all requests of t.
func (c *Conn) cancel(t *Turn, cause error) {
	c.mu.Lock()
	for i := range c.table.slots {
		s := &c.table.slots[i]
		if s.turn != t {
			continue
		}
		t.Work.Fail(s.call, cause, true)
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

// report calls the hooks for what advance found.
func (c *Conn) report(t *Turn) {
	if f := c.cfg.Hooks.Replied; f != nil {
		for _, d := range t.told {
			f(d)
		}
	}
	if f := c.cfg.Hooks.Served; f != nil && t.load.requests > 0 {
		f(t.load.requests, t.load.bytes, t.load.took)
	}
	if f := c.cfg.Hooks.TimedOut; f != nil {
		for _, d := range t.late {
			f(d)
		}
	}
	t.told, t.late = t.told[:0], t.late[:0]
}
