//go:build !386 && !s390x

package listen

import (
	"context"
	"io"
	"net"
	"os"
	"syscall"
)

// settling is the number of reads after which a connection is taken to be a lasting one.
const settling = 2

// rawLoop serves a whole plain TCP connection within callbacks of RawConn.Read. Against Read and Write it saves the read that only finds
// the socket empty, the scheduler's part of two system calls, and the buffer of an idle connection.
//
// Its trap: a half-close that arrives together with a request is not seen, because a short read ends the turn and no further edge comes.
// The first reads of a connection are therefore read again until the socket is empty (clients that ask once and half-close), and so is one
// that ends within a frame, and one whose answers come later (Owing); the others are left to the idle deadline. A full close shows itself:
// our answer draws a reset.
type rawLoop struct {
	*loop
	rc    syscall.RawConn
	fd    uintptr // valid in the callback
	turns int
	err   error
}

func (l *loop) raw() (run func(context.Context) error, ok bool) {
	t, ok := l.c.nc.(*net.TCPConn)
	if !ok {
		return nil, false
	}
	rc, err := t.SyscallConn()
	if err != nil {
		return nil, false
	}
	r := &rawLoop{loop: l, rc: rc}
	l.send = r.sendRaw
	return r.run, true
}

func (r *rawLoop) run(ctx context.Context) error {
	onReadable := func(fd uintptr) bool {
		r.fd = fd
		return r.turn(ctx)
	}
	for {
		r.err = nil
		err := r.rc.Read(onReadable)
		if r.err != nil {
			return r.err
		}
		if err = r.readError(err); err != nil {
			return err
		}
	}
}

// turn serves what is in the socket. False means to wait for more; true that r.err ends the connection.
func (r *rawLoop) turn(ctx context.Context) bool {
	for {
		r.acquire()
		room := r.buf.in[r.buf.n:]
		n, errno := rawRead(r.fd, room)
		switch {
		case errno == syscall.EAGAIN:
			return r.rest()
		case errno == syscall.EINTR:
			continue
		case errno != 0:
			r.err = os.NewSyscallError("read", errno)
			return true
		case n == 0:
			r.err = r.readError(io.EOF)
			return true
		}
		if r.err = r.arrived(ctx, n); r.err != nil {
			return true
		}
		if n == len(room) && r.c.isDraining() {
			r.c.calledLast = true
			return r.rest()
		}
		if r.turns++; n < len(room) && r.turns > settling && !r.partial() && !r.owes() {
			return r.rest()
		}
	}
}

// rest prepares for waiting.
func (r *rawLoop) rest() bool {
	if r.buf.n == 0 {
		r.release()
	}
	r.err = r.c.await(r.partial())
	return r.err != nil
}

// sendRaw tries the socket first and takes the way with the deadline only when it is full.
func (r *rawLoop) sendRaw(b []byte) error {
	r.c.out.Lock()
	defer r.c.out.Unlock()
	if r.c.unfit != nil {
		return r.c.unfit
	}
	n, errno := rawWrite(r.fd, b)
	switch {
	case errno == 0 && n == len(b):
		return nil
	case errno == 0:
		b = b[n:]
	case errno != syscall.EAGAIN && errno != syscall.EINTR:
		return os.NewSyscallError("write", errno)
	}
	_, err := r.c.write(b)
	return err
}

// trying is what a write without waiting works in.
type trying struct {
	rc   syscall.RawConn // nil when there is no socket to ask
	b    []byte
	n    int
	call func(fd uintptr)
}

// try sends what the socket takes at once: no deadline is set for it, and what is wrong with the socket is found by who sends the rest. c.out is held.
func (c *Conn) try(b []byte) int {
	t := c.tries
	if t == nil {
		t = &trying{}
		t.call = t.write
		if tcp, ok := c.nc.(*net.TCPConn); ok {
			t.rc, _ = tcp.SyscallConn() // fails only on a connection that is no more
		}
		c.tries = t
	}
	if t.rc == nil || len(b) == 0 {
		return 0
	}
	t.b, t.n = b, 0
	_ = t.rc.Control(t.call) // fails only on a closed socket, of which nothing was sent then
	t.b = nil
	return t.n
}

func (t *trying) write(fd uintptr) {
	if n, errno := rawWrite(fd, t.b); errno == 0 {
		t.n = n
	}
}
