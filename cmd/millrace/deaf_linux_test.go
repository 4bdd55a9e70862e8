package main

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// deafAt makes the address a black hole as far as that goes without being root: a socket listens there with no room for connections that
// wait, what room there is is filled, and nobody ever accepts. The system drops what else knocks, without a word. The returned function ends it.
func deafAt(t *testing.T, addr string) (end func()) {
	t.Helper()
	at := netip.MustParseAddrPort(addr)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()})
	}
	if err == nil {
		err = syscall.Listen(fd, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	var fill []net.Conn
	full := false
	for range 20 {
		c, err := net.DialTimeout("tcp", addr, 200*time.Millisecond)
		if full = err != nil; full {
			break
		}
		fill = append(fill, c)
	}
	end = func() {
		for _, c := range fill {
			_ = c.Close()
		}
		if err := syscall.Close(fd); err != nil {
			t.Error(err)
		}
	}
	if !full {
		end()
		t.Fatal("a listener without a backlog takes 20 connections: it is no black hole")
	}
	return end
}
