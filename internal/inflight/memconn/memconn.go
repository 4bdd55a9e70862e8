// Package memconn is a connection in memory for tests of clients. Unlike that of net.Pipe it takes what is written at once, as a socket does, and a read deadline
// that is moved cuts the read that waits.
package memconn

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Conn is one end of a connection in memory.
type Conn struct {
	in, out *queue

	mu    sync.Mutex
	timer *time.Timer
	late  chan struct{} // closed when the read deadline is over
}

// queue is one direction.
type queue struct {
	mu     sync.Mutex
	bytes  []byte
	closed bool
	wake   chan struct{}
}

// Pipe returns both ends of a connection.
func Pipe() (near, far net.Conn) {
	a, b := &queue{wake: make(chan struct{}, 1)}, &queue{wake: make(chan struct{}, 1)}
	return &Conn{in: a, out: b, late: make(chan struct{})}, &Conn{in: b, out: a, late: make(chan struct{})}
}

func (q *queue) put(b []byte, closed bool) (n int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed && !closed {
		return 0, io.ErrClosedPipe
	}
	q.bytes, q.closed = append(q.bytes, b...), q.closed || closed
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (q *queue) get(b []byte) (n int, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n = copy(b, q.bytes)
	q.bytes = q.bytes[:copy(q.bytes, q.bytes[n:])]
	return n, q.closed && n == 0
}

// Read waits for bytes, the end or the deadline.
func (c *Conn) Read(b []byte) (int, error) {
	for {
		c.mu.Lock()
		late := c.late
		c.mu.Unlock()
		select {
		case <-late:
			return 0, os.ErrDeadlineExceeded
		default:
		}
		if n, closed := c.in.get(b); n > 0 {
			return n, nil
		} else if closed {
			_, _ = c.in.put(nil, true) // for the next one
			return 0, io.EOF
		}
		select {
		case <-late:
		case <-c.in.wake:
		}
	}
}

// Write takes all of b at once.
func (c *Conn) Write(b []byte) (int, error) { return c.out.put(b, false) }

// Close ends both directions; what was written before is read.
func (c *Conn) Close() error {
	_, _ = c.in.put(nil, true)
	_, _ = c.out.put(nil, true)
	return nil
}

// LocalAddr returns a name for both ends.
func (c *Conn) LocalAddr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// RemoteAddr is LocalAddr.
func (c *Conn) RemoteAddr() net.Addr { return c.LocalAddr() }

// SetDeadline is SetReadDeadline: a Write does not wait.
func (c *Conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetWriteDeadline does nothing: a Write does not wait.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// SetReadDeadline cuts the reads that wait at t, and those after it.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
	select {
	case <-c.late:
		c.late = make(chan struct{})
	default:
	}
	if t.IsZero() {
		return nil
	}
	late := c.late
	over := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if late == c.late {
			select {
			case <-late:
			default:
				close(late)
			}
		}
	}
	if d := time.Until(t); d > 0 {
		c.timer = time.AfterFunc(d, over)
		return nil
	}
	close(late)
	return nil
}
