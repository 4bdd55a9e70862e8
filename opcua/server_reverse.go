package opcua

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"millrace/internal/listen"
	"millrace/opcua/uasc"
)

// ReverseConnect serves one client that cannot reach this server: it dials the client, at host:port, says who it is by a RHE, and from then on the client talks as if
// it had dialled [OPC 10000-6 7.1.3]. One connection is kept; when it ends the next is dialled, after a second, or twice as long as before up to a minute while
// the client is not there. endpoint is the URL of the server, which the client sends back in its HEL. It returns when ctx has ended and the connection is drained.
func (s *Server) ReverseConnect(ctx context.Context, addr, endpoint string) error {
	if len(endpoint) > maxKeptText {
		return fmt.Errorf("opcua: reverse connect to %s: the endpoint is longer than %d bytes", addr, maxKeptText)
	}
	hello := uasc.AppendReverseHello(nil, uasc.ReverseHello{ServerURI: s.applicationURI(), EndpointURL: endpoint})
	accept, stop := context.WithCancel(context.WithoutCancel(ctx)) // Serve closes the listener when it is time
	defer stop()
	dial := func() (net.Conn, error) { return dialReverse(accept, addr, hello) }
	return s.Serve(ctx, &reverseListener{server: s, addr: addr, dial: dial, done: accept.Done(), stop: stop})
}

const (
	reverseRetryMin = time.Second
	reverseRetryMax = time.Minute
)

// reverseListener is a listener that dials.
type reverseListener struct {
	server *Server
	addr   string
	dial   func() (net.Conn, error)
	done   <-chan struct{} // closed when nothing is to be dialled any more
	stop   func()          // closes it

	before chan struct{} // closed when the connection before has ended; nil at first
}

// Accept dials as soon as the connection before has ended, again and again until there is one.
func (l *reverseListener) Accept() (net.Conn, error) {
	if l.before != nil {
		select {
		case <-l.before:
		case <-l.done:
			return nil, net.ErrClosed
		}
		if !l.pause(reverseRetryMin) {
			return nil, net.ErrClosed
		}
	}
	for wait := reverseRetryMin; ; wait = min(2*wait, reverseRetryMax) {
		if c, err := l.dial(); err == nil {
			l.before = l.server.reversed.add(c.LocalAddr())
			return c, nil
		}
		if !l.pause(wait) {
			return nil, net.ErrClosed
		}
	}
}

// dialReverse dials a client and greets it.
func dialReverse(ctx context.Context, addr string, hello []byte) (net.Conn, error) {
	d := net.Dialer{Timeout: reverseDial}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(hello); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

const reverseDial = 10 * time.Second

func (l *reverseListener) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-l.done:
		return false
	case <-t.C:
		return true
	}
}

// Close ends Accept.
func (l *reverseListener) Close() error {
	l.stop()
	return nil
}

// Addr is where it dials.
func (l *reverseListener) Addr() net.Addr { return reverseAddr(l.addr) }

type reverseAddr string

func (a reverseAddr) Network() string { return "tcp" }
func (a reverseAddr) String() string  { return string(a) }

// reversed are the connections that this side has dialled, by their local address, while they are there.
type reversed struct {
	mu     sync.Mutex // a leaf
	byAddr map[string]chan struct{}
}

func (r *reversed) add(local net.Addr) chan struct{} {
	over := make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byAddr == nil {
		r.byAddr = make(map[string]chan struct{})
	}
	r.byAddr[local.String()] = over
	return over
}

// ended hears of the end of every connection, and of those that were not let in.
func (r *reversed) ended(e listen.End) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.byAddr) == 0 {
		return
	}
	if over, ok := r.byAddr[e.Local.String()]; ok {
		delete(r.byAddr, e.Local.String())
		close(over)
	}
}
