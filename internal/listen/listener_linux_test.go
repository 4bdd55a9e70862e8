package listen

import (
	"bytes"
	"context"
	"io"
	"net"
	"syscall"
	"testing"
)

func TestReusePort(t *testing.T) {
	a, err := Listen(t.Context(), "127.0.0.1:0", Socket{ReusePort: true})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := Listen(t.Context(), a.Addr().String(), Socket{ReusePort: true})
	if err != nil {
		t.Fatalf("a second socket on the port: %v", err)
	}
	defer b.Close()
	if c, err := Listen(t.Context(), a.Addr().String(), Socket{}); err == nil {
		c.Close()
		t.Error("a third one without the option opened too")
	}
}

func TestSocketOptions(t *testing.T) {
	ln := loopback(t)
	accepted := make(chan *net.TCPConn, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c.(*net.TCPConn)
	}()
	dial(t, ln)
	c := <-accepted
	defer c.Close()
	rc, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	const soProtocol = 38
	rc.Control(func(fd uintptr) {
		for _, o := range []struct {
			name             string
			level, opt, want int
		}{
			{"protocol", syscall.SOL_SOCKET, soProtocol, syscall.IPPROTO_TCP},
			{"keepalive", syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
			{"keepalive idle", syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 10},
			{"keepalive interval", syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 3},
			{"keepalive count", syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 3},
			{"no delay", syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
		} {
			if got, err := syscall.GetsockoptInt(int(fd), o.level, o.opt); err != nil || got != o.want {
				t.Errorf("%s is %d, %v; want %d", o.name, got, err, o.want)
			}
		}
	})
}

// TryWrite sends what the socket takes and never waits, and Write sends the rest of it.
func TestTryWrite(t *testing.T) {
	ln := loopback(t)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 2<<20) // 32 MiB
	full := make(chan int, 1)
	start(t, Config{}, ln, func(_ context.Context, c *Conn) error {
		c.Established()
		if n := c.TryWrite(sent[:16]); n != 16 {
			t.Errorf("%d of 16 bytes were sent", n)
		}
		n := 16
		for more := -1; more != 0; n += more {
			more = c.TryWrite(sent[n:])
		}
		full <- n
		if m, err := c.Write(sent[n:]); err != nil || n+m != len(sent) {
			t.Errorf("%d + %d bytes, %v", n, m, err)
		}
		return nil
	})
	c := dial(t, ln)
	if n := <-full; n == len(sent) {
		t.Fatal("the socket has room for everything: nothing is tested")
	}
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came, not the %d that were sent: %v", len(got), len(sent), err)
	}
}

func TestTryWriteWithoutASocket(t *testing.T) {
	ln := newPipes()
	tried := make(chan int, 1)
	start(t, Config{}, ln, func(_ context.Context, c *Conn) error {
		tried <- c.TryWrite([]byte("frame"))
		return nil
	})
	ln.dial()
	if n := <-tried; n != 0 {
		t.Errorf("%d bytes went into a pipe that nobody reads", n)
	}
}
