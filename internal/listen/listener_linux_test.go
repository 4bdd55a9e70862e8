package listen

import (
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
