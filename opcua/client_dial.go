package opcua

import (
	"bytes"
	"context"
	"errors"
	"net"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// Dial connects to an endpoint URL, opc.tcp://host[:port][/path], and makes a session: endpoints are asked for without security, one is chosen, its channel opened, the
// session created and activated, and the server's limits and namespaces read, all within ctx and cfg.DialTimeout. It is always this URL that is dialled: the ones that
// servers return often do not lead to them. An error is a *DialError, or says what is wrong with cfg. Close the client in the end.
func Dial(ctx context.Context, url string, cfg Config) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.DialTimeout)
	defer cancel()
	c := newClient(url, cfg)
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

func newClient(url string, cfg Config) *Client {
	c := &Client{cfg: cfg, url: url, limits: &clientLimits{most: cfg.MaxOperations, learned: cfg.Learned}, feed: &clientFeed{}}
	c.feed.client, c.feed.publisher.most = c, cfg.Learned.Publishing
	c.namespaces.Store(&[]string{})
	return c
}

// enter connects and makes a session, without discovery if the endpoint is known and the server has no other ones since.
func (c *Client) enter(ctx context.Context) error {
	known := c.cfg.Known.fits(&c.cfg)
	if known == nil {
		if err := c.dial(ctx); err != nil {
			return err
		}
		return c.login(ctx)
	}
	refused := c.dialKnown(ctx, known)
	if refused == nil {
		refused = c.login(ctx)
	}
	var changed *SessionError
	unnamed := tokenRefused(refused)
	if refused == nil || !unnamed && !errors.As(refused, &changed) {
		return refused
	}
	if err := c.dial(ctx); err != nil {
		return err
	}
	if unnamed && c.choice.token == known.token {
		c.conn.leave()
		return refused // it is the user: a second attempt is one more that counts
	}
	return c.login(ctx)
}

// tokenRefused reports whether it may be the name of the user token that a server does not know: it is a server's own, and another one when that was set up anew.
func tokenRefused(err error) bool {
	s := statusIn(err)
	return s == ua.BadIdentityTokenInvalid || s == ua.BadIdentityTokenRejected
}

// dialKnown connects to an endpoint that is known, and asks for the endpoints when that does not do any more: a server may have a new certificate. One that is too
// busy is not asked what it has changed.
func (c *Client) dialKnown(ctx context.Context, known *clientChoice) error {
	err := c.dialChoice(ctx, known)
	var e *DialError
	if errors.As(err, &e) && known.secured() && e.Stage >= StageOpen && e.Status != ua.BadTcpServerTooBusy {
		return c.dial(ctx)
	}
	return err
}

// dial gets c a connection with a channel to the endpoint of its choice.
func (c *Client) dial(ctx context.Context) error {
	open := &clientChoice{security: uasc.Security{Policy: uasc.None, Mode: ua.MessageSecurityModeNone}}
	conn, err := connect(ctx, c.url, open, &c.cfg)
	if err != nil {
		return err
	}
	endpoints, err := conn.endpoints(ctx, c.url)
	if err != nil {
		conn.leave()
		return dialFailed(StageDiscover, c.url, open, &c.cfg, err)
	}
	ch, err := choose(endpoints, &c.cfg)
	if err != nil {
		conn.leave()
		return dialFailed(StageChoose, c.url, ch, &c.cfg, err)
	}
	if !ch.secured() {
		c.use(ch, conn)
		return nil
	}
	conn.leave()
	return c.dialChoice(ctx, ch)
}

// dialChoice gets c a connection with a channel to an endpoint.
func (c *Client) dialChoice(ctx context.Context, ch *clientChoice) error {
	if err := c.judge(ch); err != nil {
		return dialFailed(StageChoose, c.url, ch, &c.cfg, err)
	}
	conn, err := connect(ctx, c.url, ch, &c.cfg)
	if err != nil {
		return err
	}
	c.use(ch, conn)
	return nil
}

// use makes conn the client's connection.
func (c *Client) use(ch *clientChoice, conn *clientConn) {
	c.choice, c.conn, conn.pushed = ch, conn, c.pushed
}

// judge decides whether the certificate of an endpoint is the right server's.
func (c *Client) judge(ch *clientChoice) error {
	cert := ch.endpoint.ServerCertificate
	switch {
	case !ch.secured():
		return nil
	case len(cert) == 0:
		return &ArgumentError{What: "the server has no certificate for its endpoint with security"}
	case c.cfg.ServerCertificate != nil:
		if !bytes.Equal(uasc.Leaf(cert), uasc.Leaf(c.cfg.ServerCertificate)) {
			return &ArgumentError{What: "the server's certificate is not the configured one"}
		}
		return nil
	case c.cfg.Trust != nil:
		host, _ := addrOf(c.url)
		name, _, _ := net.SplitHostPort(host)
		return c.cfg.Trust.Validate(time.Now(), cert, uasc.Use{
			Policy: ch.security.Policy, By: c.cfg.ApplicationName, Peer: host, Server: true, HostName: name, ApplicationURI: ch.endpoint.Server.ApplicationUri,
		})
	case !c.cfg.AnyServer:
		return &ArgumentError{What: "nothing is configured that says which server certificate is the right one"}
	}
	return nil
}

// leave closes a connection on which no session is.
func (c *clientConn) leave() {
	c.goodbye()
	c.close(nil)
}

// endpoints asks for the endpoints of a server, while there is time for the handshake.
func (c *clientConn) endpoints(ctx context.Context, url string) ([]ua.EndpointDescription, error) {
	ctx, cancel := context.WithDeadline(ctx, c.handshakeBy)
	defer cancel()
	var got ua.GetEndpointsResponse
	if err := c.do(ctx, &ua.GetEndpointsRequest{EndpointUrl: url}, &got, 0); err != nil {
		return nil, err
	}
	return got.Endpoints, nil
}

// discover calls f with a connection to url without security.
func discover(ctx context.Context, url string, cfg Config, f func(context.Context, *clientConn) error) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.DialTimeout)
	defer cancel()
	open := &clientChoice{security: uasc.Security{Policy: uasc.None, Mode: ua.MessageSecurityModeNone}}
	conn, err := connect(ctx, url, open, &cfg)
	if err != nil {
		return err
	}
	defer conn.leave()
	ctx, stop := context.WithDeadline(ctx, conn.handshakeBy)
	defer stop()
	if err := f(ctx, conn); err != nil {
		return dialFailed(StageDiscover, url, open, &cfg, err)
	}
	return nil
}

// GetEndpoints asks a server for its endpoints, without security and without a session [OPC 10000-4 5.5.4]. An error is a *DialError.
func GetEndpoints(ctx context.Context, url string, cfg Config) (endpoints []ua.EndpointDescription, err error) {
	err = discover(ctx, url, cfg, func(ctx context.Context, c *clientConn) (err error) {
		endpoints, err = c.endpoints(ctx, url)
		return err
	})
	return endpoints, err
}

// FindServers asks a server, or a discovery server, which servers it knows [OPC 10000-4 5.5.2]. An error is a *DialError.
func FindServers(ctx context.Context, url string, cfg Config) ([]ua.ApplicationDescription, error) {
	var got ua.FindServersResponse
	err := discover(ctx, url, cfg, func(ctx context.Context, c *clientConn) error {
		return c.do(ctx, &ua.FindServersRequest{EndpointUrl: url}, &got, 0)
	})
	return got.Servers, err
}

// login makes a session on the connection, while there is time for the handshake. When it fails the connection is closed.
func (c *Client) login(ctx context.Context) error {
	ctx, cancel := context.WithDeadline(ctx, c.conn.handshakeBy)
	defer cancel()
	err := c.makeSession(ctx)
	if err == nil {
		err = c.settle(ctx)
	}
	if err != nil {
		c.conn.leave()
	}
	return err
}

// makeSession creates and activates one.
func (c *Client) makeSession(ctx context.Context) error {
	s, err := createSession(ctx, c.conn, c.url, c.choice)
	if err != nil {
		return dialFailed(StageCreate, c.url, c.choice, &c.cfg, err)
	}
	if err := s.activate(ctx, c.conn, c.choice); err != nil {
		return dialFailed(StageActivate, c.url, c.choice, &c.cfg, err)
	}
	c.session = s
	return nil
}

// settle learns what the server says about itself, and starts to look after the session.
func (c *Client) settle(ctx context.Context) error {
	if err := c.readLimits(ctx); err != nil {
		return dialFailed(StageLimits, c.url, c.choice, &c.cfg, err)
	}
	c.keep()
	return nil
}

// answered reports whether it was the server that said no.
func answered(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Answered
}
