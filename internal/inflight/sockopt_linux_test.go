package inflight

import (
	"net"
	"syscall"
	"testing"
	"time"
)

func TestUserTimeoutIsSet(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for given, want := range map[time.Duration]int{7 * time.Second: 7_000, -1: 0} {
		d := Dialer(given)
		c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		got := -1
		err = raw.Control(func(fd uintptr) { got, _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout) })
		if err != nil || got != want {
			t.Errorf("user timeout %v: the socket has %d ms, %v; want %d", given, got, err, want)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
