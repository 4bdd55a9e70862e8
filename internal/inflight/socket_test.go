package inflight

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// lender counts what is lent.
type lender struct {
	buf  []byte
	lent int
	held chan int // what is lent after each refusal
}

func (l *lender) lend() []byte { l.lent++; return l.buf }

func (l *lender) back() {
	l.lent--
	select {
	case l.held <- l.lent:
	default:
	}
}

// rawPair returns a Socket and the other end of its connection.
func rawPair(tb testing.TB, l *lender) (*Socket, net.Conn) {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer ln.Close()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { near.Close(); far.Close() })
	return NewSocket(near, l.lend, l.back), far
}

func TestASocketThatWaitsHoldsNoRoom(t *testing.T) {
	if !rawCalls {
		t.Skip("sockets are read through package net here")
	}
	l := &lender{buf: make([]byte, 64), held: make(chan int, 1)}
	s, far := rawPair(t, l)
	go func() {
		if held := <-l.held; held == 0 {
			_, _ = far.Write([]byte("late"))
		}
		_ = far.Close()
	}()
	n, err := s.Receive()
	if err != nil || string(l.buf[:n]) != "late" || l.lent != 1 {
		t.Errorf("read %q, %v, with %d rooms lent", l.buf[:n], err, l.lent)
	}
	if n, err := s.Receive(); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %d, %v", n, err)
	}
}

// What the socket does not take at once is written all the same, and a peer that never reads costs no more than the deadline.
func TestASocketWritesAllOrUntilTheDeadline(t *testing.T) {
	for _, wrap := range []func(net.Conn) net.Conn{
		func(c net.Conn) net.Conn { return c },
		func(c net.Conn) net.Conn { return struct{ net.Conn }{c} }, // no plain socket any more
	} {
		s, far := rawPair(t, &lender{})
		s = NewSocket(wrap(s.Conn), nil, nil)
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<19) // 8 MiB, more than two sockets hold
		got := make(chan []byte, 1)
		go func() {
			b := make([]byte, len(sent))
			_, _ = io.ReadFull(far, b)
			got <- b
		}()
		if n, err := s.Write(sent); n != len(sent) || err != nil {
			t.Fatalf("wrote %d: %v", n, err)
		}
		if !bytes.Equal(<-got, sent) {
			t.Error("other bytes came than were written")
		}
		if err := s.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		var timeout net.Error
		if n, err := s.Write(append(sent, sent...)); n == 2*len(sent) || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("wrote %d to nobody: %v", n, err)
		}
	}
}

func TestASocketIsCutByCloseAndDeadline(t *testing.T) {
	l := &lender{buf: make([]byte, 64), held: make(chan int, 1)}
	s, _ := rawPair(t, l)
	if err := s.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := s.Receive(); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("with a deadline: %v", err)
	}
	if err := s.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := s.Receive()
		done <- err
	}()
	if rawCalls {
		<-l.held
	}
	_ = s.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("written to what is closed: %v", err)
	}
}

func TestASocketDoesNotAllocate(t *testing.T) {
	l := &lender{buf: make([]byte, 64)}
	s, far := rawPair(t, l)
	ask, echo := []byte("ask"), make([]byte, 64)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := s.Write(ask); err != nil {
			t.Fatal(err)
		}
		n, err := far.Read(echo)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := far.Write(echo[:n]); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Receive(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
