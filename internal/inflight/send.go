package inflight

import (
	"context"
	"time"
)

// send writes what exchange left of t.out; t is the one that is sending.
func (c *Conn) send(ctx context.Context, t *Turn, timeout time.Duration) {
	n, err := c.write(ctx, t.out[t.wrote:], timeout)
	n += t.wrote
	cancelled := err != nil && ctx.Err() != nil
	if cancelled {
		err = EndOf(ctx)
	}
	c.mu.Lock()
	hangUp := c.written(t, n, err, cancelled)
	c.mu.Unlock()
	if hangUp {
		c.hangUp()
	}
}

// write sends b before a deadline of timeout to twice that: it is moved only when it has come closer than that. A TCP socket takes what may be in
// flight (64 short requests) without waiting, so that the deadline is enough; other connections get the cancellation wired to them.
func (c *Conn) write(ctx context.Context, b []byte, timeout time.Duration) (int, error) {
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
func (c *Conn) written(t *Turn, n int, err error, cancelled bool) (hangUp bool) {
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
		case t.OneWay:
			t.open--
			c.table.withdraw(s)
		}
	}
	if err != nil && (!cancelled || n > 0 || c.secret) {
		c.end(err)
		hangUp = true
	}
	c.kick()
	return hangUp
}
