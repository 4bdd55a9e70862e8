package inflight

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// Socket reads and writes the connection of a client that is no Conn. Over a plain socket it makes the calls itself, without a word to the scheduler, since they never
// block: entering a system call wakes the monitor of the run-time where all else sleeps, which costs as much as decrypting a thousand values. It asks for room when it
// is about to read, and gives it back when there is nothing: who waits holds none. One goroutine reads at a time, and one writes.
type Socket struct {
	net.Conn
	raw syscall.RawConn // nil where there is none

	readable, writable func(fd uintptr) bool // readReady and writeReady, bound once
	lend               func() []byte
	back               func()
	read               int
	err                error // of the read
	out                []byte
	wrote              int
}

// NewSocket makes a Socket of a connection. lend returns the room for the next read, which is not empty; back is called instead of a read's end when nothing was read.
func NewSocket(conn net.Conn, lend func() []byte, back func()) *Socket {
	s := &Socket{Conn: conn, lend: lend, back: back}
	tcp, ok := conn.(*net.TCPConn)
	if !ok || !rawCalls {
		return s
	}
	if raw, err := tcp.SyscallConn(); err == nil { // else it is closed, and the first read tells
		s.raw, s.readable, s.writable = raw, s.readReady, s.writeReady
	}
	return s
}

// Receive reads once into the room that is lent. Without a plain socket that is lent while there is nothing to read, too.
func (s *Socket) Receive() (int, error) {
	if s.raw == nil {
		return s.Conn.Read(s.lend())
	}
	s.read, s.err = 0, nil
	if err := s.raw.Read(s.readable); err != nil {
		return 0, err
	}
	return s.read, s.err
}

// readReady reads, if there is anything.
func (s *Socket) readReady(fd uintptr) bool {
	b := s.lend()
	n, err := rawRead(fd, b)
	for errors.Is(err, syscall.EINTR) {
		n, err = rawRead(fd, b)
	}
	switch {
	case errors.Is(err, syscall.EAGAIN):
		s.back()
		return false
	case err != nil:
		n, err = 0, os.NewSyscallError("read", err)
	case n == 0:
		err = io.EOF
	}
	s.read, s.err = n, err
	return true
}

// Write writes b. What the socket has no room for goes the usual way, until the deadline.
func (s *Socket) Write(b []byte) (int, error) {
	if s.raw == nil || len(b) == 0 {
		return s.Conn.Write(b)
	}
	s.out, s.wrote = b, 0
	err := s.raw.Write(s.writable)
	s.out = nil
	if err != nil || s.wrote == len(b) {
		return s.wrote, err
	}
	n, err := s.Conn.Write(b[s.wrote:])
	return s.wrote + n, err
}

// writeReady writes what there is room for. What fails here fails again on the usual way, which tells why.
func (s *Socket) writeReady(fd uintptr) bool {
	s.wrote = max(0, rawWrite(fd, s.out))
	return true
}
