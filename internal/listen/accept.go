package listen

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"
)

const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// accept hands every admitted connection to start until ctx ends (nil) or ln fails for good.
func (s *Server) accept(ctx context.Context, ln net.Listener, start func(*Conn)) error {
	var pause time.Duration
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			s.stats.accept()
			s.admitOrReset(nc, start)
		case ctx.Err() != nil:
			return nil
		case !passes(err):
			return err
		default:
			s.stats.acceptError()
			pause = min(max(2*pause, acceptPauseMin), acceptPauseMax)
			if !wait(ctx, pause) {
				return nil
			}
		}
	}
}

func (s *Server) admitOrReset(nc net.Conn, start func(*Conn)) {
	if reason, ok := s.admit(nc.RemoteAddr()); !ok {
		// A reset, not a close: the client learns at once, and our side keeps no TIME_WAIT for a flood of them.
		reset(nc)
		s.count(End{Local: nc.LocalAddr(), Remote: nc.RemoteAddr(), Reason: reason, Refused: true})
		return
	}
	start(newConn(s, nc))
}

// passes says that accept may work again after a pause: the process or the system is out of descriptors or memory, or the connection
// was gone before we took it.
func passes(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// reset ends nc with a TCP reset where nc is TCP.
func reset(nc net.Conn) {
	if t, ok := nc.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // fails only on a connection that is gone
	}
	nc.Close()
}
