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

// A server that dials its client is served by it like any other, and dials again when the connection has ended.
func TestServerReverseConnect(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s := newTestServer(t, secured(t))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	const endpoint = "opc.tcp://behind.a.firewall:4840"
	go func() { done <- s.ReverseConnect(ctx, ln.Addr().String(), endpoint) }()
	for range 2 {
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		p := newPeer(t, conn, sealed, "client")
		cfg := uasc.ClientConfig{Security: sealed, Identity: p.id, ServerCertificate: testIdentity(t, "server").Chain, Reverse: true}
		if p.channel, err = uasc.NewClient(cfg); err != nil {
			t.Fatal(err)
		}
		m, err := p.next()
		if err != nil || m.Kind != uasc.KindReverseHello {
			t.Fatal(m.Kind, err)
		}
		if hello, err := uasc.DecodeReverseHello(m.Body); err != nil || hello.ServerURI != testURI || hello.EndpointURL != endpoint {
			t.Errorf("%+v, %v", hello, err)
		}
		if err := errors.Join(p.handshake(time.Hour), p.create(), p.activate(nil)); err != nil {
			t.Fatal(err)
		}
		p.wantAlive()
		wantStatus(t, "close", p.call(&ua.CloseSessionRequest{}, &ua.CloseSessionResponse{}), ua.Good)
		conn.Close()
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := len(s.reversed.byAddr); n != 0 {
		t.Errorf("%d connections are remembered", n)
	}
}
