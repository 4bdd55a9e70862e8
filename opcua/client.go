package opcua

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// Client is one connection to a server, with one session. Any number of goroutines may use it; their requests share the window in turn. A connection that
// ended stays so: Recover makes another that carries the session on, Dial one with a session of its own.
//
// Goroutines: the reader of the connection, and for moments that of the timer, which renews keys, keeps the session alive, sends Publish requests and looks after
// subscriptions that have fallen silent.
type Client struct {
	cfg    Config
	url    string
	choice *clientChoice
	conn   *clientConn
	limits *clientLimits

	session    *clientSession
	namespaces atomic.Pointer[[]string]

	feed    *clientFeed // subscriptions
	keeper  clientKeeper
	batches sync.Pool

	mu        sync.Mutex // of what follows
	recovered bool       // another client has the session
	closed    bool
}

// Endpoint returns the endpoint as chosen; the caller changes nothing in it.
func (c *Client) Endpoint() *ua.EndpointDescription { return &c.choice.endpoint }

// Known returns the endpoint as Config.Known takes it.
func (c *Client) Known() *KnownEndpoint { return &KnownEndpoint{c.choice} }

// Security returns the policy and mode of the channel.
func (c *Client) Security() uasc.Security { return c.choice.security }

// SessionId returns the session's id, by which the server's diagnostics name it.
func (c *Client) SessionId() ua.NodeId { return c.session.id }

// Operations returns how many operations a request of each service may have, as the server says and as was learned; 0 is unknown.
func (c *Client) Operations() Operations {
	stated, learned := c.limits.known()
	for _, s := range splitServices {
		from, to := learned.Operations.of(s), stated.of(s)
		if *from > 0 && (*to == 0 || *from < *to) {
			*to = *from
		}
	}
	return stated
}

// splitServices are one for each field of Operations.
var splitServices = [...]Service{ServiceRead, ServiceWrite, ServiceBrowse, ServiceTranslateBrowsePathsToNodeIds, ServiceCall, ServiceRegisterNodes, ServiceCreateMonitoredItems, ServiceHistoryRead}

// Learned returns what the client found out about the server by its refusals, Config.Learned included.
func (c *Client) Learned() Learned {
	_, l := c.limits.known()
	return l
}

// Stats returns the counts so far.
func (c *Client) Stats() Stats {
	cc := c.conn
	cc.mu.Lock()
	s := cc.stats
	s.Unanswered = cc.unanswered()
	for i := range cc.slots {
		switch k := &cc.slots[i]; {
		case k.call != nil:
			s.InFlight++
		case k.service == ServicePublish:
			s.Publishing++
		}
	}
	cc.mu.Unlock()
	c.feed.addTo(&s)
	return s
}

// Err returns nil while the connection is open, then the *ClosedError with which it ended.
func (c *Client) Err() error { return c.conn.error() }

// Done returns a channel that is closed when the connection has ended.
func (c *Client) Done() <-chan struct{} { return c.conn.done }

// SyscallConn returns the socket of the connection to be looked at: TCP_INFO tells round trips and retransmissions. Nothing may be read from it, written or closed.
// It implements syscall.Conn; a connection without a socket answers an error.
func (c *Client) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.conn.conn.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// Detach ends the connection and nothing else: the session and its subscriptions stay on the server until their time is over, for Recover.
func (c *Client) Detach() {
	c.keeper.stop()
	c.conn.close(nil)
}

// Close ends the session with its subscriptions, the channel and the connection, fails what is in flight, and waits for the reader. It may be called more than once. The error is
// that of the server's answer to CloseSession; the connection has ended in any case. It takes Config.Timeout at most where the server does not answer.
func (c *Client) Close() error {
	c.mu.Lock()
	again := c.closed || c.recovered
	c.closed = true
	c.mu.Unlock()
	var err error
	if !again && c.conn.error() == nil {
		c.conn.leaving.Store(true)
		err = c.closeSession()
		c.conn.goodbye()
	}
	c.Detach()
	return err
}

func (c *Client) closeSession() error {
	var got ua.CloseSessionResponse
	return c.conn.do(unending{}, &ua.CloseSessionRequest{DeleteSubscriptions: true}, &got, 0)
}

// goodbye says that the channel ends. Nobody answers that.
func (c *clientConn) goodbye() {
	select {
	case c.turn <- struct{}{}:
	default:
		return // somebody writes: the end of the socket says it too
	}
	defer func() { <-c.turn }()
	now := time.Now()
	id := c.nextID()
	b := c.header(c.channel.Begin(nil, id), ServiceCloseSecureChannel, id, 0)
	if b, err := c.channel.End(b, 0, uasc.KindClose, now); err == nil {
		_, _ = c.write(b, c.cfg.Timeout) // the connection ends in any case
	}
}

// Do asks for any service: request is a pointer to one of package ua's requests, whose header is filled in by the client and has to be zero, response one to the
// response that belongs to it. The error is an *Error; results of single operations are in response. It is sent once.
func (c *Client) Do(ctx context.Context, request, response ua.Message) error {
	s := Service(request.EncodingId())
	if response.EncodingId() != s.response() {
		return &Error{Service: s, Status: ua.BadInvalidArgument, Err: &ArgumentError{What: "the response is of another service"}}
	}
	return c.conn.do(ctx, request, response, 0)
}

// unending is the context of what the client does on its own: nobody's wish ends it, and the time-out of each request bounds it.
type unending struct{}

func (unending) Deadline() (time.Time, bool) { return time.Time{}, false }
func (unending) Done() <-chan struct{}       { return nil }
func (unending) Err() error                  { return nil }
func (unending) Value(any) any               { return nil }
