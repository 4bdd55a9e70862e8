package opcua

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// reversing has the fake server connect to ln, as servers behind a firewall do, until ctx ends.
func (s *fakeServer) reversing(ctx context.Context, addr, uri string) {
	d := net.Dialer{}
	for ctx.Err() == nil {
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.dials++
		f := &fakeConn{s: s, conn: conn, n: s.dials, channel: s.server.NewChannel(uint32(100+s.dials), "client")}
		s.conns = append(s.conns, f)
		s.mu.Unlock()
		f.write(uasc.AppendReverseHello(nil, uasc.ReverseHello{ServerURI: uri, EndpointURL: "opc.tcp://inside:4840"}))
		s.wg.Add(1)
		f.serve()
	}
}

func TestClientReverse(t *testing.T) {
	s := newFake(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.reversing(ctx, ln.Addr().String(), "urn:fake")
	}()
	defer func() {
		cancel()
		_ = ln.Close()
		s.cut()
		<-ended
	}()
	var asked string
	s.answer = func(_ *fakeConn, r *fakeRequest) bool {
		if m, ok := r.m.(*ua.CreateSessionRequest); ok {
			asked = m.EndpointUrl
		}
		return false
	}
	cfg := Config{Reverse: true, ServerURI: "urn:fake", Dialer: ReverseDialer(ln.(*net.TCPListener)), Timeout: 10 * time.Second}
	c, err := Dial(t.Context(), "opc.tcp://outside", cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := readOne(c, t.Context()); err != nil || asked == "" {
		t.Errorf("read: %v; session at %q", err, asked)
	}
	n, err := c.Recover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	cfg.ServerURI = "urn:other"
	var e *ReverseError
	if _, err := Dial(t.Context(), "opc.tcp://outside", cfg); !errors.As(err, &e) || e.Got != "urn:fake" {
		t.Errorf("another server: %v", err)
	}
	gone, stop := context.WithCancel(t.Context())
	stop()
	if _, err := cfg.Dialer(gone, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Our own server behind a firewall: one connection for discovery, the next for the channel.
func TestClientReverseOfOurServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s := newTestServer(t, secured(t))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.ReverseConnect(ctx, ln.Addr().String(), "opc.tcp://behind.a.firewall:4840") }()
	cfg := Config{
		Reverse: true, ServerURI: testURI, Dialer: ReverseDialer(ln.(*net.TCPListener)), Identity: testIdentity(t, "client"), ServerCertificate: testIdentity(t, "server").Raw,
		DialTimeout: time.Minute,
	}
	c, err := Dial(t.Context(), "opc.tcp://whoever", cfg)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := c.ReadValues(t.Context(), ua.NumericId(0, 2258)); err != nil || v[0].Status.IsBad() || c.Security().Policy == uasc.None {
		t.Errorf("%v: %v, %v", c.Security(), v, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
