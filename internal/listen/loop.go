package listen

import (
	"context"
	"errors"
	"io"
	"os"
)

// Protocol is what Loop asks of a connection's protocol.
type Protocol interface {
	// Serve takes whole frames from the front of in, appends their answers to out, and returns how many bytes of in it used and the
	// grown out. It need not use all frames: Loop sends out and calls again until used is 0, which means that the frame at the front
	// is not complete. So the protocol bounds its output. What it appended before an error is still sent. in and out are valid during
	// the call only.
	Serve(ctx context.Context, in, out []byte) (used int, answers []byte, err error)
}

// Pending is a Protocol some of whose frames come in parts that Serve uses one by one. The frame deadline then runs from the first part to
// the last, and a connection that ends in between was cut.
type Pending interface {
	// Pending returns 0 between frames, and within one a number that is another one for each.
	Pending() uint64
}

// Sender is a Protocol that wants to know when answers have left, because others may not send before.
type Sender interface {
	// Sent is called after each write of what Serve returned. After one that failed the connection ends.
	Sent()
}

// Owing is a Protocol that answers some frames later, from other goroutines.
type Owing interface {
	// Owes says whether such answers are still to come. Loop then makes sure that it hears of the end of the connection, which costs a read.
	Owes() bool
}

// buffer is lent to a connection while a frame is in flight.
type buffer struct {
	in  []byte // full length; n of it are filled
	n   int
	out []byte // empty between calls
}

// keepOut is the largest output buffer that goes back into the pool.
const keepOut = 64 << 10

// loop is one run of Loop.
type loop struct {
	c       *Conn
	p       Protocol
	parts   Pending // nil when frames come whole
	sender  Sender  // nil when nobody wants to know
	owing   Owing   // nil when all answers are given by Serve
	pending uint64  // the frame of which parts were used
	buf     *buffer // nil while nothing is in flight
	// send writes the gathered answers.
	send func(b []byte) error
}

// Loop reads, lets p serve all whole frames of a read, and sends their answers in one write, until the connection ends. It keeps the
// handshake, frame, idle and write deadlines, and ends in a drain when no frame is in flight.
func (c *Conn) Loop(ctx context.Context, p Protocol) error {
	l := &loop{c: c, p: p}
	l.send = l.sendPlain
	l.parts, _ = p.(Pending)
	l.sender, _ = p.(Sender)
	l.owing, _ = p.(Owing)
	defer l.release()
	if run, ok := l.raw(); ok {
		return run(ctx)
	}
	return l.plain(ctx)
}

// plain reads through net.Conn. The buffer stays with the connection: there is no other way to wait for the first byte.
func (l *loop) plain(ctx context.Context) error {
	l.acquire()
	for {
		if err := l.c.await(l.partial()); err != nil {
			return err
		}
		n, err := l.c.nc.Read(l.buf.in[l.buf.n:])
		if n > 0 {
			if err := l.arrived(ctx, n); err != nil {
				return err
			}
		}
		if err = l.readError(err); err != nil {
			return err
		}
	}
}

// readError turns the error of a read into the end of the connection, or into nil when there is reason to go on.
func (l *loop) readError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return l.c.expired(l.partial())
	case errors.Is(err, io.EOF) && l.partial():
		return io.ErrUnexpectedEOF
	default:
		return err
	}
}

// partial reports whether a frame has begun.
func (l *loop) partial() bool { return l.pending != 0 || l.buf != nil && l.buf.n > 0 }

// owes reports whether answers are still to come.
func (l *loop) owes() bool { return l.owing != nil && l.owing.Owes() }

// arrived serves what is whole after n more bytes came into the buffer.
func (l *loop) arrived(ctx context.Context, n int) error {
	b := l.buf
	b.n += n
	l.c.waiting = false
	from := 0
	for from < b.n {
		used, out, err := l.p.Serve(ctx, b.in[from:b.n], b.out[:0])
		b.out = out[:0]
		from += used
		if len(out) > 0 {
			werr := l.send(out)
			if l.sender != nil {
				l.sender.Sent()
			}
			if werr != nil {
				return werr
			}
		}
		if err != nil {
			return err
		}
		if used == 0 {
			break
		}
	}
	if from > 0 {
		b.n = copy(b.in, b.in[from:b.n])
		l.moved()
	}
	return l.makeRoom()
}

// moved begins the frame deadline anew, unless what was used is one more part of the frame that it runs for.
func (l *loop) moved() {
	was := l.pending
	if l.parts != nil {
		l.pending = l.parts.Pending()
	}
	if was == 0 || was != l.pending {
		l.c.frameSince = 0
	}
}

// makeRoom exchanges a buffer that is full of one frame for one that takes the longest.
func (l *loop) makeRoom() error {
	b, limit := l.buf, l.c.s.cfg.MaxFrame
	if b.n < len(b.in) {
		return nil
	}
	if len(b.in) >= limit {
		return &Error{Reason: ReasonFrameTooLong}
	}
	l.buf = l.c.s.grown.Get().(*buffer)
	l.buf.n = copy(l.buf.in, b.in)
	l.c.s.giveBack(b)
	return nil
}

func (l *loop) sendPlain(b []byte) error {
	_, err := l.c.Write(b)
	return err
}

func (l *loop) acquire() {
	if l.buf == nil {
		l.buf = l.c.s.buffers.Get().(*buffer)
	}
}

// release gives the buffer back.
func (l *loop) release() {
	b := l.buf
	l.buf = nil
	if b != nil {
		l.c.s.giveBack(b)
	}
}

// giveBack puts a buffer into its pool, unless its answers have become very long.
func (s *Server) giveBack(b *buffer) {
	if cap(b.out) > keepOut {
		return
	}
	b.n, b.out = 0, b.out[:0]
	if len(b.in) == s.cfg.ReadBuffer {
		s.buffers.Put(b)
	} else {
		s.grown.Put(b)
	}
}
