package opcua

import (
	"sync"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// clientKeeper is the timer of a client. What is due runs in its goroutine, one at a time; nothing that it does waits for an answer, which the reader takes.
type clientKeeper struct {
	mu      sync.Mutex // never held across I/O
	timer   *time.Timer
	running bool
	again   bool // something became due while it ran
	stopped bool
	idle    chan struct{} // closed by the last run once stopped
}

// keep starts looking after the session.
func (c *Client) keep() {
	k := &c.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer == nil && !k.stopped {
		k.timer = time.AfterFunc(0, c.runKeeper)
	}
}

// wake makes the timer fire now.
func (k *clientKeeper) wake() {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.stopped || k.timer == nil:
	case k.running:
		k.again = true
	default:
		k.timer.Reset(0)
	}
}

// stop ends it, and waits for what runs.
func (k *clientKeeper) stop() {
	k.mu.Lock()
	k.stopped = true
	if k.timer != nil {
		k.timer.Stop()
	}
	if !k.running {
		k.mu.Unlock()
		return
	}
	if k.idle == nil {
		k.idle = make(chan struct{})
	}
	idle := k.idle
	k.mu.Unlock()
	<-idle
}

// begin reports whether the timer's goroutine may run.
func (k *clientKeeper) begin() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped || k.running {
		k.again = true
		return false
	}
	k.running, k.again = true, false
	return true
}

// end arms the timer for next, zero for never. It answers false when something has become due meanwhile.
func (k *clientKeeper) end(next time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.again && !k.stopped {
		k.again = false
		return false
	}
	k.running = false
	switch {
	case k.stopped && k.idle != nil:
		close(k.idle)
		k.idle = nil
	case !k.stopped && !next.IsZero():
		k.timer.Reset(time.Until(next))
	}
	return true
}

// leave is end for who is not the timer's goroutine: the timer stays as it is, and fires now when something has become due meanwhile.
func (k *clientKeeper) leave() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.running = false
	switch {
	case k.stopped && k.idle != nil:
		close(k.idle)
		k.idle = nil
	case k.again && !k.stopped && k.timer != nil:
		k.again = false
		k.timer.Reset(0)
	}
}

// runKeeper is the timer's goroutine.
func (c *Client) runKeeper() {
	if !c.keeper.begin() {
		return
	}
	for {
		next := c.tick(time.Now())
		if c.keeper.end(next) {
			return
		}
	}
}

// tick does what is due, and returns when the next thing will be.
func (c *Client) tick(now time.Time) (next time.Time) {
	if c.conn.error() != nil {
		return time.Time{}
	}
	next = c.conn.tickRenewal(now)
	next = earlier(next, c.tickSession(now))
	return earlier(next, c.feed.tick(c, now))
}

// earlier returns the earlier of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// tickRenewal renews the keys when it is time.
func (c *clientConn) tickRenewal(now time.Time) time.Time {
	c.mu.Lock()
	at, by := c.renewAt, c.renewal.by
	c.mu.Unlock()
	switch {
	case by.IsZero() && now.Before(at):
		return at
	case by.IsZero():
		c.renew(now)
		return now.Add(c.cfg.Timeout)
	case now.Before(by):
		return by
	}
	c.renewalFailed(&TimeoutError{After: c.cfg.Timeout})
	return now.Add(c.cfg.Timeout)
}

// tickSession reads the state of the server when nothing else was sent for a third of the session's time-out. No answer to that ends the connection: nothing else would notice.
func (c *Client) tickSession(now time.Time) time.Time {
	every := c.session.timeout / 3
	if by := c.conn.parkedBy(ServiceRead); !by.IsZero() {
		if now.Before(by) {
			return by
		}
		c.conn.end(&TimeoutError{After: c.cfg.Timeout})
		return time.Time{}
	}
	at := time.Unix(0, c.conn.wrote.Load()).Add(every)
	if now.Before(at) {
		return at
	}
	c.conn.park(ServiceRead, 0, func(b []byte) []byte {
		b = append(ua.AppendDouble(b, 0), 3, 0, 0, 0, 1, 0, 0, 0) // any age, no timestamps, one node
		id := ua.ReadValueId{NodeId: ua.NumericId(0, nodeServerState), AttributeId: attributeValue}
		return id.AppendTo(b)
	})
	return now.Add(c.cfg.Timeout)
}

// parkedBy returns when the answer to a parked request of a service has to be here; zero when there is none.
func (c *clientConn) parkedBy(s Service) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.slots {
		if k := &c.slots[i]; k.parked && k.service == s {
			return k.deadline
		}
	}
	return time.Time{}
}

// park sends a request whose answer the reader takes. body appends what is behind its header; tag comes back with the answer. It runs in the timer's goroutine and returns
// the id of the request, 0 when it was not sent: then the connection has ended.
func (c *clientConn) park(s Service, tag uint64, body func([]byte) []byte) uint32 {
	select {
	case c.turn <- struct{}{}:
	case <-c.ended:
		return 0
	}
	defer func() { <-c.turn }()
	return c.parkNow(s, tag, body)
}

// parkNow is park for who has the turn.
func (c *clientConn) parkNow(s Service, tag uint64, body func([]byte) []byte) uint32 {
	timeout := c.timeout()
	hint := timeout
	if s == ServicePublish {
		hint = 0 // it waits as long as there is nothing to say
	}
	id := c.nextID()
	c.parking = body(c.header(c.channel.Begin(c.parking[:0], id), s, id, hint))
	now := time.Now()
	b, err := c.channel.End(c.parking, 0, uasc.KindMessage, now)
	if err != nil {
		c.end(err)
		return 0
	}
	c.parking = b
	if c.register(clientSlot{id: id, service: s, parked: true, tag: tag, sent: now, deadline: now.Add(timeout)}) != nil {
		return 0
	}
	if _, err := c.write(b, timeout); err != nil {
		c.end(err)
		return 0
	}
	return id
}
