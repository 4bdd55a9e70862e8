package opcua

import (
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"sync"
	"testing"
	"time"

	"millrace/internal/listen/listentest"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// servingUA is a server that runs until the test ends.
type servingUA struct {
	*Server
	*listentest.Serving
	t testing.TB
}

func serveUA(t testing.TB, cfg ServerConfig) *servingUA {
	t.Helper()
	s := newTestServer(t, cfg)
	return &servingUA{Server: s, Serving: listentest.Serve(t, s), t: t}
}

func serveUAOn(t testing.TB, cfg ServerConfig, ln net.Listener) *servingUA {
	t.Helper()
	s := newTestServer(t, cfg)
	return &servingUA{Server: s, Serving: listentest.On(t, s, ln), t: t}
}

const testURI = "urn:test:server"

func newTestServer(t testing.TB, cfg ServerConfig) *Server {
	t.Helper()
	if cfg.Space == nil {
		space, err := NewSpace(SpaceConfig{ApplicationURI: testURI})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Space = space
	}
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ended drains the server and returns its last stats.
func (s *servingUA) ended() ServerStats {
	s.t.Helper()
	s.End()
	st := s.Stats()
	if st.Open != 0 || st.Sessions != 0 {
		s.t.Errorf("%d connections and %d sessions after Serve returned", st.Open, st.Sessions)
	}
	return st
}

// testIdentity returns an identity with an RSA key, made once: keys take long to make.
func testIdentity(t testing.TB, name string) *uasc.Identity {
	t.Helper()
	return testIdentityFor(t, name, uasc.Basic256Sha256)
}

// testIdentityFor returns the one of that name whose key goes with a policy.
func testIdentityFor(t testing.TB, name string, p uasc.Policy) *uasc.Identity {
	t.Helper()
	testIdentities.Lock()
	defer testIdentities.Unlock()
	key := fmt.Sprint(name, p.Ephemeral())
	if id := testIdentities.made[key]; id != nil {
		return id
	}
	id, err := uasc.NewIdentity(uasc.IdentityConfig{
		ECC: p.Ephemeral(), ApplicationName: name, ApplicationURI: "urn:test:" + name, Hosts: []string{"127.0.0.1"}, Now: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), Lifetime: 50 * 365 * 24 * time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	testIdentities.made[key] = id
	return id
}

var testIdentities = struct {
	sync.Mutex
	made map[string]*uasc.Identity
}{made: map[string]*uasc.Identity{}}

// trustsAll trusts every certificate, trustsNone none.
type trustsAll struct{}

func (trustsAll) Validate(time.Time, []byte, uasc.Use) error { return nil }

type trustsNone struct{}

func (trustsNone) Validate(time.Time, []byte, uasc.Use) error {
	return &uasc.CertificateError{Check: uasc.CheckTrust, Status: ua.BadCertificateUntrusted}
}

var (
	plain  = uasc.Security{Policy: uasc.None, Mode: ua.MessageSecurityModeNone}
	signed = uasc.Security{Policy: uasc.Basic256Sha256, Mode: ua.MessageSecurityModeSign}
	sealed = uasc.Security{Policy: uasc.Basic256Sha256, Mode: ua.MessageSecurityModeSignAndEncrypt}
	curved = uasc.Security{Policy: uasc.ECCNistP256, Mode: ua.MessageSecurityModeSignAndEncrypt}

	allSecurity = []uasc.Security{
		plain, signed, sealed,
		{Policy: uasc.Aes128Sha256RsaOaep, Mode: ua.MessageSecurityModeSign}, {Policy: uasc.Aes128Sha256RsaOaep, Mode: ua.MessageSecurityModeSignAndEncrypt},
		{Policy: uasc.Aes256Sha256RsaPss, Mode: ua.MessageSecurityModeSign}, {Policy: uasc.Aes256Sha256RsaPss, Mode: ua.MessageSecurityModeSignAndEncrypt},
		{Policy: uasc.ECCNistP256, Mode: ua.MessageSecurityModeSign}, curved,
	}
)

// secured is a server with every policy that trusts everybody.
func secured(t testing.TB) ServerConfig {
	return ServerConfig{Identity: testIdentity(t, "server"), ECCIdentity: testIdentityFor(t, "server", uasc.ECCNistP256), Trust: trustsAll{}, Security: allSecurity}
}

// peer is a client made of a Channel and a socket. What goes wrong fails the test, but for what the methods return.
type peer struct {
	t       testing.TB
	conn    net.Conn
	channel *uasc.Channel
	id      *uasc.Identity // nil on None
	buf     []byte
	filled  int
	last    uint32 // request id

	token  ua.NodeId
	nonce  []byte // the server's
	key    []byte // likewise, for passwords with ECC
	server *uasc.Certificate
}

// open opens a channel.
func (s *servingUA) open(sec uasc.Security) *peer {
	s.t.Helper()
	return s.openAs(sec, "client", 0)
}

func (s *servingUA) openAs(sec uasc.Security, name string, lifetime time.Duration) *peer {
	s.t.Helper()
	p := newPeer(s.t, s.Dial(), sec, name)
	if err := p.handshake(lifetime); err != nil {
		s.t.Fatal(err)
	}
	return p
}

func newPeer(t testing.TB, conn net.Conn, sec uasc.Security, name string) *peer {
	t.Helper()
	cfg := uasc.ClientConfig{Security: sec, MinLifetime: time.Second}
	p := &peer{t: t, conn: conn, buf: make([]byte, 1<<17)}
	if sec.Policy != uasc.None {
		p.id = testIdentityFor(t, name, sec.Policy)
		cfg.Identity, cfg.ServerCertificate = p.id, testIdentityFor(t, "server", sec.Policy).Chain
	}
	var err error
	if p.channel, err = uasc.NewClient(cfg); err != nil {
		t.Fatal(err)
	}
	return p
}

// handshake does HEL and OPN.
func (p *peer) handshake(lifetime time.Duration) error {
	p.t.Helper()
	if err := p.hello(); err != nil {
		return err
	}
	return p.openChannel(false, lifetime)
}

func (p *peer) hello() error {
	p.write(p.channel.AppendHello(nil, "opc.tcp://test.example:4840/path"))
	m, err := p.next()
	if err != nil {
		return err
	}
	return p.channel.Acknowledged(m)
}

func (p *peer) openChannel(renew bool, lifetime time.Duration) error {
	p.last++
	b, err := p.channel.AppendOpen(nil, p.last, renew, lifetime, time.Now())
	if err != nil {
		return err
	}
	p.write(b)
	m, err := p.next()
	if err != nil {
		return err
	}
	_, err = p.channel.Opened(m, time.Now())
	return err
}

// write sends b. That the server may have hung up shows in what is read next.
func (p *peer) write(b []byte) { _, _ = p.conn.Write(b) }

// next reads the next message. An ERR is a *uasc.PeerError.
func (p *peer) next() (uasc.Message, error) {
	for {
		used, m, err := p.channel.Next(p.buf[:p.filled], time.Now())
		if m.Kind == uasc.KindError {
			e, err := uasc.DecodeError(m.Body)
			if e != nil && telling.MatchString(e.Reason) {
				p.t.Errorf("an ERR tells of the inside: %q", e.Reason)
			}
			return m, errors.Join(err, e)
		}
		if m.Kind != 0 {
			m.Body = append([]byte(nil), m.Body...)
		}
		p.filled = copy(p.buf, p.buf[used:p.filled])
		if err != nil || m.Kind != 0 {
			return m, err
		}
		n, err := p.conn.Read(p.buf[p.filled:])
		if n == 0 && err != nil {
			return m, err
		}
		p.filled += n
	}
}

// send sends a request, with the session's token.
func (p *peer) send(m ua.Message) (id uint32) {
	p.t.Helper()
	return p.sendAs(m, p.token)
}

func (p *peer) sendAs(m ua.Message, token ua.NodeId) (id uint32) {
	p.t.Helper()
	p.last++
	setHeader(m, ua.RequestHeader{AdditionalHeader: p.keyRequest(m), AuthenticationToken: token, Timestamp: ua.DateTimeOf(time.Now()), RequestHandle: p.last + 1000, TimeoutHint: 10_000})
	p.sendBody(p.last, ua.AppendMessage(nil, m))
	return p.last
}

// sendBody sends a message as it is.
func (p *peer) sendBody(id uint32, body []byte) {
	p.t.Helper()
	b := append(p.channel.Begin(nil, id), body...)
	b, err := p.channel.End(b, 0, uasc.KindMessage, time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(b)
}

// receive reads the response to a request into m. A ServiceFault is its status.
func (p *peer) receive(id uint32, m ua.Message) error {
	p.t.Helper()
	got, err := p.next()
	if err != nil {
		return err
	}
	if got.RequestID != id {
		p.t.Fatalf("the response is to request %d, not %d", got.RequestID, id)
	}
	return p.decode(got, m)
}

// telling is what a text that was made for people does not have: names of files, packages and functions, addresses, lines.
var telling = regexp.MustCompile(`goroutine|panic|runtime|\.go\b|0x|[/\\\n\t]|[a-z]\.[A-Za-z(]`)

// silent fails the test when a ResponseHeader says more than a status.
func (p *peer) silent(h *ua.ResponseHeader) {
	p.t.Helper()
	if h.ServiceDiagnostics != (ua.DiagnosticInfo{}) || len(h.StringTable) > 0 || !h.AdditionalHeader.IsNull() && !p.channel.Policy().Ephemeral() {
		p.t.Errorf("a header tells of the inside: %+v", h)
	}
}

// decode reads a response into m. A ServiceFault is its status.
func (p *peer) decode(got uasc.Message, m ua.Message) error {
	d := ua.NewDecoder(got.Body, ua.Limits{})
	head := d
	head.EncodingId()
	var h ua.ResponseHeader
	h.DecodeFrom(&head)
	p.silent(&h)
	switch encoding := d.EncodingId(); encoding {
	case m.EncodingId():
		m.DecodeFrom(&d)
		return d.Done()
	case idServiceFault:
		var f ua.ServiceFault
		f.DecodeFrom(&d)
		if err := d.Done(); err != nil {
			return err
		}
		return f.ResponseHeader.ServiceResult
	default:
		return fmt.Errorf("answered with encoding %d", encoding)
	}
}

func (p *peer) call(req, resp ua.Message) error {
	p.t.Helper()
	return p.receive(p.send(req), resp)
}

// create does CreateSession.
func (p *peer) create() error {
	p.t.Helper()
	var resp ua.CreateSessionResponse
	if err := p.call(p.createRequest(), &resp); err != nil {
		return err
	}
	p.token, p.nonce = resp.AuthenticationToken, append([]byte(nil), resp.ServerNonce...)
	if p.id == nil {
		return nil
	}
	p.server = &testIdentityFor(p.t, "server", p.channel.Policy()).Certificate
	p.takeKey(&resp.ResponseHeader)
	return p.channel.Policy().VerifySession(p.server, p.id, p.clientNonce(), resp.ServerSignature.Signature)
}

func (p *peer) clientNonce() []byte { return []byte("0123456789abcdef0123456789abcdef") }

func (p *peer) createRequest() *ua.CreateSessionRequest {
	req := &ua.CreateSessionRequest{
		ClientDescription: ua.ApplicationDescription{ApplicationUri: "urn:test:client", ApplicationType: ua.ApplicationTypeClient},
		EndpointUrl:       "opc.tcp://test.example:4840/path", SessionName: "test", ClientNonce: p.clientNonce(), RequestedSessionTimeout: 60_000,
	}
	if p.id != nil {
		req.ClientDescription.ApplicationUri, req.ClientCertificate = p.id.ApplicationURI, p.id.Raw
	}
	return req
}

// activate does ActivateSession with a user token; nil is anonymous.
func (p *peer) activate(token ua.Message) error {
	p.t.Helper()
	return p.activateRequest(p.activation(token))
}

func (p *peer) activation(token ua.Message) *ua.ActivateSessionRequest {
	p.t.Helper()
	req := &ua.ActivateSessionRequest{}
	if token != nil {
		req.UserIdentityToken = ua.Wrap(token)
	}
	if p.id != nil {
		policy := p.channel.Policy()
		sig, err := policy.SignSession(p.id, testIdentityFor(p.t, "server", policy).Raw, p.nonce)
		if err != nil {
			p.t.Fatal(err)
		}
		req.ClientSignature = ua.SignatureData{Algorithm: policy.SignatureURI(), Signature: sig}
	}
	return req
}

func (p *peer) activateRequest(req *ua.ActivateSessionRequest) error {
	p.t.Helper()
	var resp ua.ActivateSessionResponse
	if err := p.call(req, &resp); err != nil {
		return err
	}
	p.nonce = append([]byte(nil), resp.ServerNonce...)
	p.takeKey(&resp.ResponseHeader)
	return nil
}

// keyRequest asks for a key in the header of the requests that may, on a channel with ECC.
func (p *peer) keyRequest(m ua.Message) ua.ExtensionObject {
	id := m.EncodingId()
	if policy := p.channel.Policy(); policy.Ephemeral() && (id == idCreateSession || id == idActivateSession) {
		return keyParameters(policy.URI())
	}
	return ua.ExtensionObject{}
}

// takeKey keeps the key that the server gave.
func (p *peer) takeKey(h *ua.ResponseHeader) {
	p.t.Helper()
	policy := p.channel.Policy()
	if !policy.Ephemeral() {
		return
	}
	v, _ := keyParameter(&h.AdditionalHeader, keyName, ua.Limits{})
	var k ua.EphemeralKeyType
	x, ok := v.Any().(ua.ExtensionObject)
	if !ok || x.Decode(&k, ua.Limits{}) != nil || policy.Verify(p.server, k.Signature, k.PublicKey) != nil {
		p.t.Fatalf("no key in %+v", h.AdditionalHeader)
	}
	p.key = append([]byte(nil), k.PublicKey...)
}

// session opens a channel and a session on it, up to its activation by an anonymous user.
func (s *servingUA) session(sec uasc.Security) *peer {
	s.t.Helper()
	p := s.open(sec)
	if err := errors.Join(p.create(), p.activate(nil)); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// alive asks for something that every session may.
func (p *peer) alive() error {
	p.t.Helper()
	return p.call(&ua.CancelRequest{RequestHandle: 1}, &ua.CancelResponse{})
}

// wantAlive fails the test when the session is not served.
func (p *peer) wantAlive() {
	p.t.Helper()
	if err := p.alive(); err != nil {
		p.t.Fatalf("the session is not served: %v", err)
	}
}

// wantStatus fails the test when err is not status.
func wantStatus(t testing.TB, what string, err error, status ua.StatusCode) {
	t.Helper()
	if !errors.Is(err, status) && !(status == ua.Good && err == nil) {
		t.Errorf("%s: %v, want %v", what, err, status)
	}
}

// wantERR wants an ERR with status, and the end.
func (p *peer) wantERR(status ua.StatusCode) {
	p.t.Helper()
	_, err := p.next()
	var e *uasc.PeerError
	if !errors.As(err, &e) || e.Status != status {
		p.t.Fatalf("got %v, want an ERR with %v", err, status)
	}
	if n, err := p.conn.Read(make([]byte, 1)); n > 0 || err == nil || errors.Is(err, io.ErrNoProgress) {
		p.t.Fatalf("%d more bytes after the ERR, %v", n, err)
	}
}

// setHeader puts the RequestHeader into a request.
func setHeader(m ua.Message, h ua.RequestHeader) {
	switch m := m.(type) {
	case *ua.CreateSessionRequest:
		m.RequestHeader = h
	case *ua.ActivateSessionRequest:
		m.RequestHeader = h
	case *ua.CloseSessionRequest:
		m.RequestHeader = h
	case *ua.CancelRequest:
		m.RequestHeader = h
	case *ua.GetEndpointsRequest:
		m.RequestHeader = h
	case *ua.FindServersRequest:
		m.RequestHeader = h
	case *ua.RegisterServerRequest:
		m.RequestHeader = h
	case *ua.ReadRequest:
		m.RequestHeader = h
	case *ua.CreateSubscriptionRequest:
		m.RequestHeader = h
	case *ua.PublishRequest:
		m.RequestHeader = h
	case *ua.CallRequest:
		m.RequestHeader = h
	case *ua.WriteRequest:
		m.RequestHeader = h
	case *ua.HistoryReadRequest:
		m.RequestHeader = h
	case *ua.QueryFirstRequest:
		m.RequestHeader = h
	default:
		panic(fmt.Sprintf("no request: %T", m))
	}
}
