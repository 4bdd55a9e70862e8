package listen

import (
	"context"
	"net"
	"syscall"
	"time"
)

// Socket says how a listening socket is made. The zero value is a good default.
type Socket struct {
	KeepAlive net.KeepAliveConfig // default: probes after 10 s of silence, every 3 s, and the third lost one ends the connection
	ReusePort bool                // several sockets on one port, which the kernel spreads connections over; Linux only
}

// Listen opens a TCP listener on addr.
func Listen(ctx context.Context, addr string, o Socket) (net.Listener, error) {
	if o.KeepAlive == (net.KeepAliveConfig{}) {
		o.KeepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 3 * time.Second, Count: 3}
	}
	lc := net.ListenConfig{KeepAliveConfig: o.KeepAlive}
	// Devices and their tools meet a plain TCP handshake, as they expect.
	lc.SetMultipathTCP(false)
	if o.ReusePort {
		lc.Control = func(_, _ string, rc syscall.RawConn) error { return reusePort(rc) }
	}
	return lc.Listen(ctx, "tcp", addr)
}
