package uasc

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"millrace/opcua/ua"
)

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// testIdentity returns an identity with a key of so many bits, made once: keys take long to make.
func testIdentity(t testing.TB, name string, bits int) *Identity {
	t.Helper()
	key := fmt.Sprint(name, bits)
	identities.Lock()
	defer identities.Unlock()
	if id := identities.made[key]; id != nil {
		return id
	}
	cfg := IdentityConfig{ApplicationName: name, ApplicationURI: "urn:test:" + name, Hosts: []string{"localhost", "127.0.0.1"}, Now: testNow}
	var id *Identity
	var err error
	if cfg.ECC = bits == eccBits; bits == defaultBits || cfg.ECC {
		id, err = NewIdentity(cfg)
	} else {
		id, err = signedIdentity(cfg, goldenKey(t, bits))
	}
	if err != nil {
		t.Fatal(err)
	}
	identities.made[key] = id
	return id
}

var identities = struct {
	sync.Mutex
	made map[string]*Identity
}{made: map[string]*Identity{}}

const eccBits = 256

// anybody trusts every certificate.
type anybody struct{}

func (anybody) Validate(time.Time, []byte, Use) error { return nil }

// pair is the two sides of one connection without a network between them.
type pair struct {
	t              testing.TB
	client, server *Channel
	now            time.Time
}

type pairConfig struct {
	security               Security
	clientBits, serverBits int
	clientT, serverT       Transport
}

var allSecurity = []Security{
	{None, ua.MessageSecurityModeNone},
	{Basic256Sha256, ua.MessageSecurityModeSign}, {Basic256Sha256, ua.MessageSecurityModeSignAndEncrypt},
	{Aes128Sha256RsaOaep, ua.MessageSecurityModeSign}, {Aes128Sha256RsaOaep, ua.MessageSecurityModeSignAndEncrypt},
	{Aes256Sha256RsaPss, ua.MessageSecurityModeSign}, {Aes256Sha256RsaPss, ua.MessageSecurityModeSignAndEncrypt},
	{ECCNistP256, ua.MessageSecurityModeSign}, {ECCNistP256, ua.MessageSecurityModeSignAndEncrypt},
}

func newPair(t testing.TB, cfg pairConfig) *pair {
	t.Helper()
	if cfg.clientBits == 0 {
		cfg.clientBits = 2048
	}
	if cfg.serverBits == 0 {
		cfg.serverBits = 2048
	}
	serverID, eccID := testIdentity(t, "server", cfg.serverBits), testIdentity(t, "server", eccBits)
	if cfg.security.Policy == ECCNistP256 {
		cfg.clientBits = eccBits
	}
	clientCfg := ClientConfig{Security: cfg.security, Transport: cfg.clientT}
	if cfg.security.Policy != None {
		clientCfg.Identity, clientCfg.ServerCertificate = testIdentity(t, "client", cfg.clientBits), cfg.security.Policy.Pick(serverID, eccID).Chain
	}
	client, err := NewClient(clientCfg)
	if err != nil {
		t.Fatal(err)
	}
	server, err := NewServer(ServerConfig{Identity: serverID, ECCIdentity: eccID, Security: allSecurity, Trust: anybody{}, Transport: cfg.serverT})
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{t: t, client: client, server: server.NewChannel(4711, "127.0.0.1:1"), now: testNow}
	return p
}

// open opens the channel.
func (p *pair) open(lifetime time.Duration) {
	p.t.Helper()
	hel := p.one(p.server, p.client.AppendHello(nil, "opc.tcp://localhost:4840"))
	ack, h, err := p.server.AcceptHello(nil, hel)
	if err != nil || h.EndpointURL != "opc.tcp://localhost:4840" {
		p.t.Fatalf("AcceptHello %+v: %v", h, err)
	}
	if err := p.client.Acknowledged(p.one(p.client, ack)); err != nil {
		p.t.Fatal(err)
	}
	p.token(false, lifetime)
}

// token issues or renews.
func (p *pair) token(renew bool, lifetime time.Duration) (client, server Opened) {
	p.t.Helper()
	opn, err := p.client.AppendOpen(nil, 1, renew, lifetime, p.now)
	if err != nil {
		p.t.Fatal(err)
	}
	answer, server, err := p.server.AcceptOpen(nil, p.one(p.server, opn), p.now)
	if err != nil {
		p.t.Fatal(err)
	}
	client, err = p.client.Opened(p.one(p.client, answer), p.now)
	if err != nil {
		p.t.Fatal(err)
	}
	return client, server
}

// one gives c bytes that are one whole message.
func (p *pair) one(c *Channel, b []byte) Message {
	p.t.Helper()
	used, m, err := c.Next(b, p.now)
	if err != nil || used != len(b) || m.Kind == 0 {
		p.t.Fatalf("Next of %d bytes: used %d, %v, %v", len(b), used, m.Kind, err)
	}
	return m
}

// seal makes the bytes of a message.
func (p *pair) seal(c *Channel, request uint32, body []byte) []byte {
	p.t.Helper()
	b, err := c.End(append(c.Begin(nil, request), body...), 0, KindMessage, p.now)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// send sends body from one side to the other and expects it there.
func (p *pair) send(from, to *Channel, request uint32, body []byte) {
	p.t.Helper()
	m := p.one(to, p.seal(from, request, body))
	if m.Kind != KindMessage || m.RequestID != request || !bytes.Equal(m.Body, body) {
		p.t.Fatalf("got %v of request %d with %d bytes, want request %d with %d", m.Kind, m.RequestID, len(m.Body), request, len(body))
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func wantStatus(t testing.TB, err error, want ua.StatusCode) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Status != want || !errors.Is(err, want) {
		t.Fatalf("got %v, want status %v", err, want)
	}
}

func TestEverySecurityTalks(t *testing.T) {
	for _, s := range allSecurity {
		t.Run(s.String(), func(t *testing.T) {
			p := newPair(t, pairConfig{security: s})
			p.open(0)
			if p.server.Policy() != s.Policy || p.server.Mode() != s.Mode || p.client.ID() != 4711 || p.server.ID() != 4711 {
				t.Errorf("server has %v/%v, ids %d and %d", p.server.Policy(), p.server.Mode(), p.client.ID(), p.server.ID())
			}
			for i, n := range []int{0, 1, 100, 8191, 65500, 300_000} {
				p.send(p.client, p.server, uint32(i), randomBytes(n))
				p.send(p.server, p.client, uint32(i), randomBytes(n))
			}
		})
	}
}
