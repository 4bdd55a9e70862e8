package opcua

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"time"

	"millrace/internal/inflight"
	"millrace/opcua/uasc"
)

// reversed waits for the server to say who it is, and returns the URL with which to answer: the server's own, or where it has none that of the caller.
func (c *clientConn) reversed(endpoint string) (string, error) {
	m, _, err := c.expect(uasc.KindReverseHello)
	if err != nil {
		return "", err
	}
	r, err := uasc.DecodeReverseHello(m.Body)
	if err != nil {
		return "", err
	}
	if c.cfg.ServerURI != "" && r.ServerURI != c.cfg.ServerURI {
		return "", &ReverseError{Wanted: c.cfg.ServerURI, Got: r.ServerURI}
	}
	return cmp.Or(r.EndpointURL, endpoint), nil
}

// ReverseError says that another server than the one that is waited for has made the connection.
type ReverseError struct{ Wanted, Got string }

func (e *ReverseError) Error() string {
	return fmt.Sprintf("the connection is of server %q, not of %q", e.Got, e.Wanted)
}

// deadliner is a listener whose Accept can be cut, as *net.TCPListener.
type deadliner interface {
	net.Listener
	SetDeadline(t time.Time) error
}

// ReverseDialer returns a Config.Dialer that takes the next connection that a server makes to ln, for one client at a time: Dial needs one to ask for the endpoints and, with security, another
// for the channel. The caller closes ln in the end. Where several servers connect to one port the caller sorts them out.
func ReverseDialer(ln deadliner) func(ctx context.Context, addr string) (net.Conn, error) {
	return func(ctx context.Context, _ string) (net.Conn, error) {
		cut := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			defer close(cut)
			_ = ln.SetDeadline(time.Unix(1, 0)) // fails only on a closed listener, which Accept tells
		})
		conn, err := ln.Accept()
		if !stop() {
			<-cut
			_ = ln.SetDeadline(time.Time{}) // likewise
		}
		if ctx.Err() == nil {
			return conn, err
		}
		if err == nil {
			_ = conn.Close() // it came when nobody wanted it any more; the server tries again
		}
		return nil, inflight.EndOf(ctx)
	}
}
