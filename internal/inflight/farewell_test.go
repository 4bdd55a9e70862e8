package inflight

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"
)

// socketPair returns the ends of a TCP connection.
func socketPair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	near, err = net.DialTCP("tcp", nil, ln.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	if far, err = ln.AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	return near, far
}

// A connection ends with its goodbye, and then with the end of the stream, whoever reads; a peer that closes too confirms it.
func TestCloseSaysGoodbye(t *testing.T) {
	for _, used := range []int{0, 1, 20} {
		near, far := socketPair(t)
		cfg := toyConfig()
		cfg.Goodbye, cfg.Timeout = make([]byte, toyBytes), time.Minute
		heard := make(chan bool, 1)
		c := toyOver(t, near, far, cfg, func(far net.Conn) {
			goodbye := false
			frames(far, func(frame []byte) bool {
				if goodbye = bytes.Equal(frame, cfg.Goodbye); !goodbye {
					_, _ = far.Write(frame)
				}
				return true
			})
			heard <- goodbye
		})
		for range used {
			if a, err := asking(t, c, 7); err != nil || a[0].got != 7 {
				t.Fatalf("%+v, %v", a, err)
			}
		}
		c.Close()
		if err := c.Unconfirmed(); err != nil {
			t.Errorf("after %d requests: %v", used, err)
		}
		if !<-heard {
			t.Errorf("after %d requests: no goodbye", used)
		}
	}
}

// One that does not is waited for as long as for an answer, and then is said not to know.
func TestCloseUnconfirmed(t *testing.T) {
	near, far := socketPair(t)
	cfg := toyConfig()
	cfg.Timeout = 30 * time.Millisecond
	over := make(chan struct{})
	c := toyOver(t, near, far, cfg, func(net.Conn) { <-over })
	c.Close()
	err := c.Unconfirmed()
	close(over)
	var un *UnconfirmedError
	var ne net.Error
	if !errors.As(err, &un) || un.After != cfg.Timeout || un.Retryable() || !errors.As(err, &ne) || !ne.Timeout() || ne.Error() != "connection closed, and the peer has not closed it too within 30ms" {
		t.Errorf("%v", err)
	}
	if c.Close(); c.Unconfirmed() == nil {
		t.Error("closed again, and now it is confirmed")
	}
}
