package inflight

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// rawExchange is the state of a request and its answer within one RawConn.Read. That clears the descriptor's readiness first, then calls ready: the
// request leaves, and the answer makes the descriptor ready again. Against Write and Read it saves the read that only finds the socket empty, and
// the scheduler's part of two system calls. It belongs to whoever has the read role.
type rawExchange struct {
	raw   syscall.RawConn       // nil where there is none
	ready func(fd uintptr) bool // Conn.exchangeReady, bound once
	turn  *Turn
	wrote int // bytes of turn.out
	read  int
	err   error // of the read
}

// useRaw lets c exchange over conn if it is a plain socket on a platform that has the calls.
func (c *Conn) useRaw(conn net.Conn) {
	s, ok := conn.(*net.TCPConn)
	if !ok || !rawCalls || !c.cfg.Inline {
		return
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return // closed: the first read tells
	}
	c.x.raw, c.x.ready = raw, c.exchangeReady
}

// exchange sends t.out and reads once. It answers false, with nothing read, where t cannot: the usual way goes on from x.wrote. Only a turn with
// nothing else in flight can, because an answer that had come before would not make the descriptor ready again.
func (c *Conn) exchange(ctx context.Context, t *Turn) bool {
	x := &c.x
	if x.raw == nil || !t.fresh || !c.claim(ctx, t, true) {
		return false
	}
	x.turn, x.wrote, x.read, x.err = t, 0, 0, nil
	c.armRead(t)
	var err error
	if ctx.Err() == nil && c.in.have == 0 {
		err = x.raw.Read(x.ready)
	}
	t.wrote = x.wrote
	if x.wrote < len(t.out) { // not the time, a full socket, or none any more
		if err != nil {
			c.in.by = time.Time{}
		}
		c.disclaim(t)
		return false
	}
	if err == nil {
		err = x.err
	}
	bad := c.arrived(x.read, err)
	c.disclaim(t)
	if bad != nil {
		c.ended(bad)
	}
	return true
}

// exchangeReady sends when called first, and reads what there is when called again.
func (c *Conn) exchangeReady(fd uintptr) bool {
	x := &c.x
	if x.wrote == 0 {
		x.wrote = max(0, rawWrite(fd, x.turn.out)) // what fails here fails again on the usual way, which tells why
		if x.wrote < len(x.turn.out) {
			return true
		}
		c.mu.Lock()
		c.written(x.turn, x.wrote, nil, false)
		c.mu.Unlock()
		return false
	}
	n, err := rawRead(fd, c.in.buf[c.in.have:])
	for errors.Is(err, syscall.EINTR) {
		n, err = rawRead(fd, c.in.buf[c.in.have:])
	}
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return false
	case err != nil:
		n, err = 0, os.NewSyscallError("read", err)
	case n == 0:
		err = io.EOF
	}
	x.read, x.err = n, err
	return true
}
