package opcua

import (
	"errors"
	"net"
	"testing"
	"time"
)

// The connection has a time of its own, however long all that belongs to a session may take.
func TestDialTimeoutsAreApart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // it takes connections, and says nothing on them
	for name, cfg := range map[string]Config{
		"connect":   {DialTimeout: time.Hour, ConnectTimeout: 1},
		"handshake": {DialTimeout: time.Hour, HandshakeTimeout: time.Millisecond},
	} {
		_, err := Dial(t.Context(), "opc.tcp://"+l.Addr().String(), cfg)
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, cfg := range []Config{{ConnectTimeout: -1}, {HandshakeTimeout: -1}} {
		if _, err := Dial(t.Context(), "opc.tcp://"+l.Addr().String(), cfg); err == nil {
			t.Error("a time below 0 was taken")
		}
	}
}
