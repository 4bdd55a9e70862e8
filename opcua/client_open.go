package opcua

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"time"

	"millrace/internal/inflight"
	"millrace/opcua/uasc"
)

// Port is where servers listen when their URL does not say.
const Port = 4840

const scheme = "opc.tcp"

// addrOf returns host:port of an endpoint URL.
func addrOf(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return "", &ArgumentError{What: err.Error()}
	case u.Scheme != scheme || u.Hostname() == "":
		return "", &ArgumentError{What: fmt.Sprintf("%q is no URL of the form %s://host:port/path", endpoint, scheme)}
	case len(endpoint) > maxURL:
		return "", &ArgumentError{What: fmt.Sprintf("a URL of more than %d bytes", maxURL)}
	}
	port := u.Port()
	if port == "" {
		port = fmt.Sprint(Port)
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// maxURL is the longest URL in a Hello [OPC 10000-6 7.1.2.3].
const maxURL = 4096

// connect makes a connection to the server with an open channel. Its reader runs. An error is a *DialError.
func connect(ctx context.Context, endpoint string, ch *clientChoice, cfg *Config) (*clientConn, error) {
	addr, err := addrOf(endpoint)
	if err != nil {
		return nil, &DialError{Stage: StageConnect, URL: endpoint, Err: err}
	}
	dial := cfg.Dialer
	if dial == nil {
		d := inflight.Dialer(cfg.UserTimeout)
		d.Timeout = cfg.ConnectTimeout
		dial = func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
	}
	conn, err := dial(ctx, addr)
	if err != nil {
		return nil, &DialError{Stage: StageConnect, URL: endpoint, Err: err}
	}
	return openChannel(ctx, conn, endpoint, ch, cfg)
}

// openChannel says hello and opens a channel on a connection, which it owns.
func openChannel(ctx context.Context, conn net.Conn, endpoint string, ch *clientChoice, cfg *Config) (*clientConn, error) {
	security := uasc.ClientConfig{Security: ch.security, Transport: cfg.Transport, MinLifetime: minChannelLifetime, Reverse: cfg.Reverse}
	if ch.secured() {
		security.Identity, security.ServerCertificate, security.Server = cfg.identity(ch.security.Policy), ch.endpoint.ServerCertificate, ch.server
	}
	channel, err := uasc.NewClient(security)
	if err != nil {
		_ = conn.Close()
		return nil, dialFailed(StageOpen, endpoint, ch, cfg, err)
	}
	c := newClientConn(conn, channel, cfg)
	c.handshakeBy = time.Now().Add(cfg.HandshakeTimeout)
	stage, err := c.shakeHands(ctx, endpoint)
	if err != nil {
		_ = conn.Close()
		return nil, dialFailed(stage, endpoint, ch, cfg, err)
	}
	c.start()
	return c, nil
}

// shakeHands says hello and opens the channel. Of an error it says at which stage.
func (c *clientConn) shakeHands(ctx context.Context, endpoint string) (stage Stage, err error) {
	ctx, cancel := context.WithDeadline(ctx, c.handshakeBy)
	defer cancel()
	stop := bound(ctx, c.conn)
	defer stop()
	stage, err = StageHello, c.hello(endpoint)
	if err == nil {
		stage, err = StageOpen, c.open()
	}
	if err != nil && ctx.Err() != nil {
		err = inflight.EndOf(ctx)
	}
	return stage, err
}

// bound cuts reads and writes when ctx ends. stop ends that and leaves the connection without a deadline.
func bound(ctx context.Context, conn net.Conn) (stop func()) {
	cut := make(chan struct{})
	forget := context.AfterFunc(ctx, func() {
		defer close(cut)
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails only on a closed connection, which ends reads too
	})
	return func() {
		if !forget() {
			<-cut
		}
		_ = conn.SetDeadline(time.Time{}) // likewise
	}
}

// hello agrees on lengths.
func (c *clientConn) hello(endpoint string) error {
	if c.cfg.Reverse {
		var err error
		if endpoint, err = c.reversed(endpoint); err != nil {
			return err
		}
	}
	if _, err := c.conn.Write(c.channel.AppendHello(nil, endpoint)); err != nil {
		return err
	}
	m, _, err := c.expect(uasc.KindAcknowledge)
	if err != nil {
		return err
	}
	return c.channel.Acknowledged(m)
}

// open opens the channel.
func (c *clientConn) open() error {
	b, err := c.channel.AppendOpen(nil, c.nextID(), false, c.cfg.ChannelLifetime, time.Now())
	if err != nil {
		return err
	}
	if _, err := c.conn.Write(b); err != nil {
		return err
	}
	m, now, err := c.expect(uasc.KindOpen)
	if err != nil {
		return err
	}
	o, err := c.channel.Opened(m, now)
	c.renewAt = o.RenewAt
	return err
}

// expect reads the next message, which has to be of a kind.
func (c *clientConn) expect(k uasc.Kind) (uasc.Message, time.Time, error) {
	m, now, err := c.next()
	switch {
	case err != nil:
		return m, now, endOfStream(err)
	case m.Kind == uasc.KindError:
		return m, now, peerError(m.Body)
	case m.Kind != k:
		return m, now, &ForeignError{RequestId: m.RequestID, Why: fmt.Sprintf("a %v message in place of %v", m.Kind, k)}
	}
	return m, now, nil
}

// clientRenewal is the renewal of the keys that is on its way.
type clientRenewal struct {
	by time.Time // the answer has to be here; zero when none is on its way
}

// renew asks for new keys, at the time that is set for it. Requests go on meanwhile. It runs in the timer's goroutine.
func (c *clientConn) renew(now time.Time) {
	timeout := c.timeout()
	select {
	case c.turn <- struct{}{}:
	case <-c.ended:
		return
	}
	defer func() { <-c.turn }()
	id := c.nextID()
	b, err := c.channel.AppendOpen(nil, id, true, c.cfg.ChannelLifetime, now)
	if err == nil {
		err = c.register(clientSlot{id: id, service: ServiceOpenSecureChannel, parked: true, sent: now, deadline: now.Add(timeout)})
	}
	if err != nil {
		c.renewalFailed(err)
		return
	}
	c.mu.Lock()
	c.renewal.by = now.Add(timeout)
	c.mu.Unlock()
	if _, err := c.write(b, timeout); err != nil {
		c.end(err)
	}
}

// renewalFailed tries again in a while: the keys are good for a quarter of their life yet, and when that is over the connection ends.
func (c *clientConn) renewalFailed(err error) {
	c.mu.Lock()
	c.renewal.by = time.Time{}
	c.renewAt = time.Now().Add(max(c.cfg.Timeout, time.Second))
	c.mu.Unlock()
	c.event(Event{Kind: EventRenewalFailed, Status: statusOf(err), Err: err})
}

// renewed takes the answer to a renewal, in the reader.
func (c *clientConn) renewed(m *uasc.Message, now time.Time) error {
	o, err := c.channel.Opened(*m, now)
	if err != nil {
		return err
	}
	c.mu.Lock()
	if i := c.find(m.RequestID); i >= 0 {
		c.remove(i)
	}
	c.renewal.by, c.renewAt = time.Time{}, o.RenewAt
	c.stats.Renewed++
	c.mu.Unlock()
	c.event(Event{Kind: EventRenewed})
	return nil
}

func (c *clientConn) event(e Event) {
	if f := c.cfg.Hooks.Event; f != nil {
		f(e)
	}
}
