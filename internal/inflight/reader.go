package inflight

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
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
// What the reader has read is dealt with by the only caller that waits, whose role it is meanwhile (pass): the reader's own stack stays at 2 kB then, and there may be ten thousand.
//
// A caller that reads its own answer saves the switch from the reader to it, which costs as much as a system call or two. It does so only while it
// is the only one in flight: whoever is in a read cannot hear of room in the window.
type readRole uint8

const (
	roleReader readRole = iota // the reader goroutine reads, or is about to
	roleFree                   // nobody; the reader looks in after a lull
	roleCaller                 // the goroutine of a Turn
)

// inbox is what came and was not handed out yet. It belongs to whoever has the read role.
type inbox struct {
	buf   []byte
	have  int
	lates []time.Duration // how late the late ones were, to report
	by    time.Time       // the read deadline that is set, as far as is known; zero when none is, or nobody knows
	got   int             // bytes that the reader has read and passed on
	at    time.Time       // when
	armed bool            // some read deadline may be set
}

// read is the connection's reader. It ends when the connection does, and then everything that was in flight has failed.
func (c *Conn) read() {
	defer close(c.done)
	var timer *time.Timer // a connection that is used now and then never needs it
	defer func() {
		if timer != nil {
			timer.Stop()
		}
	}()
	if c.in.have > 0 {
		if bad := c.arrived(0, nil); bad != nil {
			c.ended(bad)
			return
		}
	}
	for c.standBy(&timer) {
		if c.in.armed {
			c.in.armed, c.in.by = false, time.Time{}
			_ = c.socket.SetReadDeadline(time.Time{}) // fails only on a closed connection, which the read will tell
		}
		n, err := c.conn.Read(c.in.buf[c.in.have:])
		if c.pass(n, err) {
			c.awaitRole()
			continue
		}
		if bad := c.arrived(n, err); bad != nil {
			c.ended(bad)
			return
		}
		c.yield()
	}
}

// pass leaves n bytes that were read, and the read role with them, to the caller who waits for them. With nothing in flight they are late, or came unasked: a goroutine of its own deals
// with them. Where there are several callers the reader does so itself.
func (c *Conn) pass(n int, err error) bool {
	if !c.cfg.Inline || n == 0 || err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.table.lone()
	if t == nil && c.table.inFlight > 0 || c.listening > 0 || c.leaving || c.err != nil {
		return false
	}
	c.in.got, c.in.at = n, time.Now()
	c.role, c.reader, c.passed = roleCaller, t, true
	if t == nil {
		go c.receive(nil)
	} else {
		t.signal()
	}
	return true
}

// awaitRole waits until what was passed is dealt with. Run does that before it returns, whatever happens.
func (c *Conn) awaitRole() {
	for c.isPassed() {
		<-c.resume
	}
}

func (c *Conn) isPassed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.passed
}

func (c *Conn) isPassedTo(t *Turn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.passed && c.reader == t
}

// receive deals with what was passed to t, and says whether there was something.
func (c *Conn) receive(t *Turn) bool {
	if !c.isPassedTo(t) {
		return false
	}
	bad := c.arrived(c.in.got, nil)
	c.mu.Lock()
	c.role, c.reader, c.passed = roleReader, nil, false
	c.yieldLocked()
	c.wakeReader()
	c.mu.Unlock()
	if bad != nil {
		c.ended(bad)
	}
	return true
}

// standBy waits until the read role is the reader's. It answers false when the connection has ended.
func (c *Conn) standBy(timer **time.Timer) bool {
	for seen := c.readsByCallers(); ; {
		if mine, ended := c.reclaim(&seen); mine || ended {
			return !ended
		}
		if *timer == nil {
			*timer = time.NewTimer(lull)
		} else {
			(*timer).Reset(lull)
		}
		select {
		case <-c.resume:
		case <-(*timer).C:
		}
	}
}

func (c *Conn) readsByCallers() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats.Inline
}

// reclaim takes the read role when callers have not read since seen.
func (c *Conn) reclaim(seen *uint64) (mine, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.role == roleFree && c.stats.Inline == *seen && time.Since(c.heard) >= lull {
		c.role = roleReader
	}
	*seen = c.stats.Inline
	return c.role == roleReader && !c.leaving, c.err != nil && (c.role != roleReader || c.leaving)
}

// yield leaves the read role to the next caller when answers come in quick succession and nothing is in flight.
func (c *Conn) yield() {
	if !c.cfg.Inline {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.yieldLocked()
}

func (c *Conn) yieldLocked() {
	if c.role == roleReader && c.brisk && c.listening == 0 && c.table.inFlight == 0 && len(c.queue) <= 1 && !c.sending && c.err == nil {
		c.role = roleFree
	}
}

// claim takes the read role for t, which may be the one that is sending. Where others are in flight too, it wakes the reader.
func (c *Conn) claim(ctx context.Context, t *Turn, sending bool) bool {
	if !c.cfg.Inline {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.role != roleFree || c.err != nil || len(t.wake) > 0 { // with a wake-up pending there may be nothing left to read for
		return false
	}
	if c.table.inFlight != t.open || c.sending != sending || c.listening > 0 || len(c.queue) > 1 || len(c.queue) == 1 && c.queue[0] != t {
		c.handOver()
		return false
	}
	c.role, c.reader = roleCaller, t
	c.stats.Inline++
	c.watch(ctx)
	return true
}

// readFor reads once on behalf of t, which has the read role, until the first deadline of t at the latest.
func (c *Conn) readFor(ctx context.Context, t *Turn) {
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
func (c *Conn) armRead(t *Turn) {
	if c.in.by.IsZero() || c.in.by.After(t.by) {
		c.in.by, c.in.armed = t.by, true
		_ = c.socket.SetReadDeadline(t.by) // fails only on a closed connection, which the read will tell
	}
}

// disclaim gives back the read role of t.
func (c *Conn) disclaim(t *Turn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.role, c.reader = roleFree, nil
	if c.table.inFlight != t.open || c.listening > 0 {
		c.handOver()
	}
}

// watch makes the end of ctx cut the read of a caller. The registration, which costs allocations, stays for the next call with the same context.
// A cut that hits another read is looked at and forgotten.
func (c *Conn) watch(ctx context.Context) {
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

func (c *Conn) unwatch() {
	if c.stopWatch != nil {
		c.stopWatch()
	}
	c.watched, c.stopWatch = nil, nil
}

// handOver gives the read role to the reader, if it is free.
func (c *Conn) handOver() {
	if c.role == roleFree {
		c.role = roleReader
		c.wakeReader()
	}
}

// wakeReader makes the reader look at its role.
func (c *Conn) wakeReader() {
	select {
	case c.resume <- struct{}{}:
	default:
	}
}

// readOnce reads what there is and hands out all whole frames of it. The error ends the connection.
func (c *Conn) readOnce() error { return c.arrived(c.conn.Read(c.in.buf[c.in.have:])) }

// arrived hands out all whole frames of what was read: n bytes, and err.
func (c *Conn) arrived(n int, err error) error {
	in := &c.in
	in.have += n
	took, bad := c.take(in.buf[:in.have], n)
	c.reportLate()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		in.by, in.armed, err = time.Time{}, true, nil
	}
	if bad == nil && err != nil {
		bad = c.endOfStream(err, in.have-took)
	}
	full := in.have == len(in.buf)
	in.have = copy(in.buf, in.buf[took:in.have])
	if full && len(in.buf) < c.cfg.ReadMax {
		in.buf = append(make([]byte, 0, 2*len(in.buf)), in.buf...)[:2*len(in.buf)]
	}
	return bad
}

// endOfStream says that the stream ended, and whether it did so inside a frame.
func (c *Conn) endOfStream(err error, left int) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	if bad := c.proto.Partial(left); bad != nil {
		return bad
	}
	return err
}

// ended ends the connection because of what was read, or could not be.
func (c *Conn) ended(cause error) {
	c.mu.Lock()
	c.end(cause)
	foreign := c.foreign
	c.foreign = false
	c.mu.Unlock()
	c.hangUp()
	if foreign && c.cfg.Hooks.Foreign != nil {
		c.cfg.Hooks.Foreign()
	}
}

func (c *Conn) reportLate() {
	if c.cfg.Hooks.Late != nil {
		for _, by := range c.in.lates {
			c.cfg.Hooks.Late(by)
		}
	}
	c.in.lates = c.in.lates[:0]
}

// take hands out all whole frames of buf, of which the last fresh bytes are new, and returns the bytes it took. An error has ended the connection already:
// nothing more is sent to a peer like that.
func (c *Conn) take(buf []byte, fresh int) (took int, err error) {
	now := c.in.at
	if now.IsZero() {
		now = time.Now()
	}
	c.in.at = time.Time{}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.BytesIn += uint64(fresh)
	for c.err == nil {
		h, n, err := c.proto.Next(buf[took:])
		if n == 0 && err == nil {
			c.kick()
			return took, nil
		}
		took += n
		if err == nil {
			err = c.came(h, n, now)
		}
		if err != nil {
			c.end(err)
			return took, err
		}
	}
	return took, nil
}

// came deals with the frame that was cut off last, of n bytes.
func (c *Conn) came(h Head, n int, now time.Time) error {
	why := ""
	switch h.Kind {
	case Answer:
		why = c.answer(h, n, now)
	case Stray:
		why = Unasked
	case Silence:
	}
	if why == "" {
		return nil
	}
	c.stats.Foreign++
	c.foreign = true
	return c.proto.Foreign(h, why)
}

// answer finds the request of h. It returns "", or why the answer is foreign.
func (c *Conn) answer(h Head, n int, now time.Time) (why string) {
	s := c.requestOf(h)
	if s == nil {
		return c.unasked(h)
	}
	if why := c.proto.Fits(s.key, h.Key); why != "" {
		return why
	}
	if s.givenUp() {
		c.lateAnswer(s, now)
		return ""
	}
	return c.deliver(s, n, now)
}

func (c *Conn) requestOf(h Head) *slot {
	if c.cfg.NoIDs {
		return c.table.only()
	}
	return c.table.find(h.ID)
}

// unasked deals with the answer to a request that is not there: it may have been answered already.
func (c *Conn) unasked(h Head) (why string) {
	switch {
	case c.cfg.NoIDs:
		return Unsolicited
	case !c.table.duplicate(c.proto, h):
		return UnknownID
	}
	c.stats.Duplicate++
	c.in.lates = append(c.in.lates, 0)
	return ""
}

// lateAnswer frees the id of a request that nobody waits for. A cancelled one may come in time: then it is not late.
func (c *Conn) lateAnswer(s *slot, now time.Time) {
	by := now.Sub(s.deadline)
	c.table.answer(s)
	if by < 0 {
		c.stats.Abandoned++
		return
	}
	c.stats.Late++
	c.in.lates = append(c.in.lates, by)
}

// deliver completes the request of s with an answer of n bytes, or says what does not fit.
func (c *Conn) deliver(s *slot, n int, now time.Time) (why string) {
	t := s.turn
	refused, why := t.Work.Deliver(s.call, s.sent, now)
	if why != "" {
		return why
	}
	if refused {
		c.stats.Refused++
	} else {
		t.served.add(s.size+n, now.Sub(latest(s.sent, c.heard)))
	}
	c.stats.Replied++
	if c.table.inFlight > 1 && c.table.overtakes(s) {
		c.stats.Overtook++
	}
	c.brisk = now.Sub(c.heard) < lull
	c.heard = now
	t.rtts = append(t.rtts, now.Sub(s.sent))
	t.open--
	c.table.answer(s)
	if c.reader != t { // who reads its own answer looks without being told
		t.signal()
	}
	return ""
}
