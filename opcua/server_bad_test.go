package opcua

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/listen/listentest"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// stage is how far a connection is when the bad input comes.
type stage int

const (
	atAccept  stage = iota // nothing was sent
	atHello                // HEL and ACK
	atOpen                 // a channel without security
	atSession              // and a session
)

// badBytes is what a client sends and what it must get: an ERR with status and the end, or with ua.Good an answer like any other's.
type badBytes struct {
	name   string
	stage  stage
	send   string // text and hex: "MSGF" then digits
	status ua.StatusCode
}

// frameOf returns a message of the transport: 4 letters, the size, and the body.
func frameOf(head string, body ...[]byte) string {
	b := binary.LittleEndian.AppendUint32([]byte(head), 0)
	for _, p := range body {
		b = append(b, p...)
	}
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)))
	return string(b)
}

// u32s is UInt32s.
func u32s(v ...uint32) (b []byte) {
	for _, w := range v {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

// text is a String.
func text(s string) []byte { return append(u32s(uint32(len(s))), s...) }

func hello(receive, send uint32, url string) string {
	return frameOf("HELF", u32s(0, receive, send, 0, 0), text(url))
}

// openHead is a whole OPN of a policy, without its body.
func openHead(policy string, sender, thumbprint []byte) string {
	return frameOf("OPNF", u32s(0), text(policy), text(string(sender)), text(string(thumbprint)), u32s(1, 1), make([]byte, 64))
}

var badConnections = []badBytes{
	{"HTTP", atAccept, "GET / HTTP/1.1\r\n\r\n", ua.BadTcpMessageTypeInvalid},
	{"TLS hello", atAccept, "\x16\x03\x01\x00\xF8\x01\x00\x00\xF4\x03\x03", ua.BadTcpMessageTypeInvalid},
	{"size 0", atAccept, "HELF\x00\x00\x00\x00", ua.BadTcpMessageTooLarge},
	{"size 7", atAccept, "HELF\x07\x00\x00\x00", ua.BadTcpMessageTooLarge},
	{"size 4 GiB", atAccept, "HELF\xFF\xFF\xFF\xFF", ua.BadTcpMessageTooLarge},
	{"HEL in two chunks", atAccept, "HELC" + frameOf("HELF", make([]byte, 40))[4:], ua.BadTcpMessageTypeInvalid},
	{"buffers of 0", atAccept, hello(0, 0, "opc.tcp://x"), ua.BadConnectionRejected},
	{"buffers of 8191", atAccept, hello(8191, 8191, "opc.tcp://x"), ua.BadConnectionRejected},
	{"URL of 5000 bytes", atAccept, hello(65536, 65536, strings.Repeat("x", 5000)), ua.BadTcpEndpointUrlInvalid},
	{"URL that is cut", atAccept, frameOf("HELF", u32s(0, 8192, 8192, 0, 0, 100)), ua.BadDecodingError},
	{"URL of -2 bytes", atAccept, frameOf("HELF", u32s(0, 8192, 8192, 0, 0, 0xFFFFFFFE)), ua.BadDecodingError},
	{"MSG first", atAccept, frameOf("MSGF", u32s(1, 1, 1, 1)), ua.BadTcpMessageTypeInvalid},
	{"OPN first", atAccept, openHead(uasc.None.URI(), nil, nil), ua.BadTcpMessageTypeInvalid},
	{"CLO first", atAccept, frameOf("CLOF", u32s(1, 1, 1, 1)), ua.BadTcpMessageTypeInvalid},
	{"ACK", atAccept, frameOf("ACKF", u32s(0, 8192, 8192, 0, 0)), ua.BadTcpMessageTypeInvalid},

	{"HEL twice", atHello, hello(65536, 65536, "opc.tcp://x"), ua.BadTcpMessageTypeInvalid},
	{"MSG before OPN", atHello, frameOf("MSGF", u32s(0, 0, 1, 1), []byte{1, 0, 0xAC, 1}), ua.BadTcpMessageTypeInvalid},
	{"OPN in two chunks", atHello, "OPNC" + openHead(uasc.None.URI(), nil, nil)[4:], ua.BadTcpMessageTypeInvalid},
	{"OPN of an unknown policy", atHello, openHead("http://opcfoundation.org/UA/SecurityPolicy#Basic128Rsa15", nil, nil), ua.BadSecurityPolicyRejected},
	{"OPN with a policy of 300 bytes", atHello, openHead(strings.Repeat("p", 300), nil, nil), ua.BadDecodingError},
	{"OPN without a certificate", atHello, openHead(uasc.Basic256Sha256.URI(), nil, make([]byte, 20)), ua.BadSecurityChecksFailed},
	{"OPN with a certificate of noise", atHello, openHead(uasc.Basic256Sha256.URI(), bytes.Repeat([]byte{0x30}, 500), make([]byte, 20)), ua.BadSecurityChecksFailed},
	{"OPN with a chain of 40 KiB", atHello, openHead(uasc.Basic256Sha256.URI(), bytes.Repeat([]byte{0x30}, 40<<10), make([]byte, 20)), ua.BadDecodingError},
	{"OPN whose certificate has -5 bytes", atHello, frameOf("OPNF", u32s(0), text(uasc.None.URI()), u32s(0xFFFFFFFB, 0, 1, 1)), ua.BadDecodingError},
	{"OPN whose body is a Read", atHello, frameOf("OPNF", u32s(0), text(uasc.None.URI()), u32s(0xFFFFFFFF, 0xFFFFFFFF, 1, 1), []byte{1, 0, 0x77, 2}), ua.BadTcpMessageTypeInvalid},
	{"OPN without a body", atHello, frameOf("OPNF", u32s(0), text(uasc.None.URI()), u32s(0xFFFFFFFF, 0xFFFFFFFF, 1, 1)), ua.BadTcpMessageTypeInvalid},
	{"chunk longer than was agreed on", atHello, "OPNF\x01\x00\x01\x00", ua.BadTcpMessageTooLarge},

	{"RHE", atOpen, frameOf("RHEF", text("urn:x"), text("opc.tcp://x")), ua.BadTcpMessageTypeInvalid},
	{"MSG shorter than its header", atOpen, frameOf("MSGF", u32s(1, 1)), ua.BadTcpMessageTooLarge},
	{"MSG of another channel", atSession, frameOf("MSGF", u32s(1, 1, 5, 9), []byte{1, 0, 0xE1, 1}), ua.BadTcpSecureChannelUnknown},
}

// Each bad input is answered with its status and ends its connection, at once and byte by byte, while others are served.
func TestServerBadConnections(t *testing.T) {
	before := serverFlatness()
	s := serveUA(t, secured(t))
	bystander := s.session(plain)
	for _, tc := range badConnections {
		t.Run(tc.name, func(t *testing.T) {
			for _, step := range []int{len(tc.send), 1} {
				if len(tc.send) > 2000 && step == 1 {
					step = 97
				}
				p := s.at(t, tc.stage)
				for at := 0; at < len(tc.send); at += step {
					p.write([]byte(tc.send[at:min(at+step, len(tc.send))]))
				}
				p.wantERR(tc.status)
			}
			bystander.t = t
			bystander.wantAlive()
		})
	}
	bystander.conn.Close()
	s.ended()
	before.check(t, 8<<20)
}

// at returns a client that is so far.
func (s *servingUA) at(t testing.TB, st stage) *peer {
	p := newPeer(t, s.Dial(), plain, "")
	var err error
	if st >= atHello {
		err = p.hello()
	}
	if st >= atOpen {
		err = errors.Join(err, p.openChannel(false, time.Hour))
	}
	if st >= atSession {
		err = errors.Join(err, p.create(), p.activate(nil))
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// tamper is a change of a sealed MSG.
type tamper struct {
	name   string
	change func(b []byte) []byte
	status ua.StatusCode
}

func put32(at int, v uint32) func([]byte) []byte {
	return func(b []byte) []byte { binary.LittleEndian.PutUint32(b[at:], v); return b }
}

var tampers = []tamper{
	{"another channel id", func(b []byte) []byte { b[8] ^= 1; return b }, ua.BadTcpSecureChannelUnknown},
	{"another token id", put32(12, 99), ua.BadSecureChannelTokenUnknown},
	{"token id 0", put32(12, 0), ua.BadSecureChannelTokenUnknown},
	{"a bit of the body", func(b []byte) []byte { b[len(b)-40] ^= 1; return b }, ua.BadSecurityChecksFailed},
	{"a bit of the signature", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, ua.BadSecurityChecksFailed},
	{"cut to its header", func(b []byte) []byte { return cutTo(b, 24) }, ua.BadSecurityChecksFailed},
	{"cut by a byte", func(b []byte) []byte { return cutTo(b, len(b)-1) }, ua.BadSecurityChecksFailed},
	{"cut by a block", func(b []byte) []byte { return cutTo(b, len(b)-16) }, ua.BadSecurityChecksFailed},
	{"a block more", func(b []byte) []byte { return cutTo(append(b, make([]byte, 16)...), len(b)+16) }, ua.BadSecurityChecksFailed},
}

func cutTo(b []byte, n int) []byte { return put32(4, uint32(n))(b[:n]) }

// A message that was tampered with, or comes again, ends its channel, and the session can be taken up on another.
func TestServerTamperedMessages(t *testing.T) {
	s := serveUA(t, secured(t))
	for _, sec := range []uasc.Security{signed, sealed} {
		for _, tc := range append(tampers, tamper{name: "a replay"}) {
			t.Run(sec.Mode.String()+" "+tc.name, func(t *testing.T) {
				p := s.session(sec)
				p.t = t
				b := p.sealedCancel()
				if tc.change == nil {
					p.write(b)
					if err := p.receive(p.last, &ua.CancelResponse{}); err != nil {
						t.Fatal(err)
					}
					tc.status = ua.BadSecurityChecksFailed
				} else {
					b = tc.change(b)
				}
				p.write(b)
				p.wantERR(tc.status)
				next := s.open(sec)
				next.token, next.nonce = p.token, p.nonce
				wantStatus(t, "activate elsewhere", next.activate(nil), ua.Good)
				next.wantAlive()
			})
		}
	}
}

// sealedCancel is a whole Cancel request.
func (p *peer) sealedCancel() []byte {
	p.t.Helper()
	p.last++
	req := &ua.CancelRequest{RequestHeader: ua.RequestHeader{AuthenticationToken: p.token}}
	b, err := p.channel.End(ua.AppendMessage(p.channel.Begin(nil, p.last), req), 0, uasc.KindMessage, time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// Numbers that repeat or leave one out end the channel, also without security.
func TestServerSequenceNumbers(t *testing.T) {
	s := serveUA(t, ServerConfig{})
	for name, by := range map[string]uint32{"again": 0xFFFFFFFF, "one left out": 1} {
		p := s.session(plain)
		b := p.sealedCancel()
		put32(16, binary.LittleEndian.Uint32(b[16:])+by)(b)
		p.write(b)
		t.Log(name)
		p.wantERR(ua.BadSecurityChecksFailed)
	}
}

// A certificate that has no RSA key is refused before anything is tried with it.
func TestServerCertificateOfACurve(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "curve"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s := serveUA(t, secured(t))
	p := s.at(t, atHello)
	server := testIdentity(t, "server")
	p.write([]byte(openHead(uasc.Basic256Sha256.URI(), der, server.Thumbprint[:])))
	p.wantERR(ua.BadCertificateInvalid)
}

// Who is not trusted is told no more than that checks failed, and costs no operation with our key.
func TestServerUntrustedClient(t *testing.T) {
	cfg := secured(t)
	cfg.Trust = trustsNone{}
	s := serveUA(t, cfg)
	p := newPeer(t, s.Dial(), sealed, "client")
	err := p.handshake(0)
	var e *uasc.PeerError
	if !errors.As(err, &e) || e.Status != ua.BadSecurityChecksFailed {
		t.Errorf("got %v", err)
	}
	if st := s.ended(); st.Refused["BadSecurityChecksFailed"] != 1 {
		t.Errorf("refused %v", st.Refused)
	}
}

// Requests that have no session, or a token that somebody guessed.
func TestServerRequestsWithoutASession(t *testing.T) {
	s := serveUA(t, secured(t))
	owner := s.session(sealed)
	p := s.open(plain)
	garbage := bytes.Repeat([]byte{0xFF}, 200)
	for _, token := range []ua.NodeId{
		{}, ua.NumericId(0, 1), ua.StringId(1, "token"), ua.OpaqueId(0, []byte("short")), ua.OpaqueId(0, make([]byte, 32)), ua.OpaqueId(7, []byte(owner.token.Text)),
	} {
		wantStatus(t, "read with "+token.String(), p.receive(p.sendAs(&ua.ReadRequest{}, token), &ua.ReadResponse{}), ua.BadSessionIdInvalid)
		wantStatus(t, "activate with "+token.String(), p.receive(p.sendAs(&ua.ActivateSessionRequest{}, token), &ua.ActivateSessionResponse{}), ua.BadSessionIdInvalid)
		// A body that is nothing: it is not looked at.
		p.last++
		head := ua.AppendMessage(nil, &ua.CancelRequest{RequestHeader: ua.RequestHeader{AuthenticationToken: token}})
		p.sendBody(p.last, append(head[:len(head)-4], garbage...))
		wantStatus(t, "garbage with "+token.String(), p.receive(p.last, &ua.CancelResponse{}), ua.BadSessionIdInvalid)
	}
	p.token = owner.token
	wantStatus(t, "another's token", p.alive(), ua.BadSecureChannelIdInvalid)
	wantStatus(t, "another's token to close", p.call(&ua.CloseSessionRequest{}, &ua.CloseSessionResponse{}), ua.BadSecureChannelIdInvalid)
	p = s.open(sealed)
	wantStatus(t, "create", p.create(), ua.Good)
	wantStatus(t, "before activation", p.alive(), ua.BadSessionNotActivated)
	owner.wantAlive()
}

// Bodies that are not what they should be cost one request each.
func TestServerBadBodies(t *testing.T) {
	s := serveUA(t, ServerConfig{Limits: ua.Limits{Message: 1 << 20}})
	p := s.session(plain)
	good := ua.AppendMessage(nil, &ua.CancelRequest{RequestHeader: ua.RequestHeader{AuthenticationToken: p.token, RequestHandle: 5}})
	nested := append(bytes.Clone(good[:len(good)-7]), 1, 0, 1, 0, 1, 0xFF, 0xFF, 0xFF, 0x7F) // AdditionalHeader with a body of 2 GiB
	for name, tc := range map[string]struct {
		body   []byte
		status ua.StatusCode
	}{
		"nothing":                       {nil, ua.BadDecodingError},
		"no header":                     {good[:4], ua.BadDecodingError},
		"half a token":                  {good[:20], ua.BadDecodingError},
		"half a header":                 {good[:50], ua.BadDecodingError},
		"no body":                       {good[:len(good)-4], ua.BadDecodingError},
		"a byte too many":               {append(bytes.Clone(good), 0xFF), ua.BadDecodingError},
		"an id of no request":           {append([]byte{1, 0, 1, 0}, good[4:]...), ua.BadServiceUnsupported},
		"an id of another namespace":    {append([]byte{1, 5}, good[2:]...), ua.BadServiceUnsupported},
		"an id of a response":           {append([]byte{1, 0, 0xE2, 1}, good[4:]...), ua.BadServiceUnsupported},
		"a node id of no form":          {append([]byte{0x3F}, good[1:]...), ua.BadDecodingError},
		"an additional header of 2 GiB": {nested, ua.BadEncodingLimitsExceeded},
	} {
		p.last++
		p.sendBody(p.last, tc.body)
		err := p.receive(p.last, &ua.CancelResponse{})
		if tc.status == ua.BadEncodingLimitsExceeded && errors.Is(err, ua.BadDecodingError) {
			continue // shorter than it says, which is as good a reason
		}
		wantStatus(t, name, err, tc.status)
	}
	p.wantAlive()
}

// Connections that say nothing, or stop in the middle, are held to their deadlines.
func TestServerDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveUAOn(t, ServerConfig{HandshakeTimeout: 8 * time.Second, FrameTimeout: 4 * time.Second, IdleTimeout: 30 * time.Second}, listentest.NewPipes())
		wantAfter := func(name string, p *peer, want time.Duration) {
			t.Helper()
			from := time.Now()
			if _, err := io.ReadAll(p.conn); err != nil && !errors.Is(err, io.EOF) {
				t.Errorf("%s: %v", name, err)
			}
			if d := time.Since(from); d != want {
				t.Errorf("%s: ended after %v, want %v", name, d, want)
			}
		}
		wantAfter("silence", s.at(t, atAccept), 8*time.Second)
		wantAfter("silence after HEL", s.at(t, atHello), 8*time.Second)
		p := s.at(t, atSession)
		p.write([]byte("MSGF"))
		wantAfter("half a message", p, 4*time.Second)
		wantAfter("an idle session", s.at(t, atSession), 30*time.Second)
	})
}

// Chunks that never end a message: bounded by their time, their number and their bytes, and other requests of the channel are served meanwhile.
func TestServerChunksThatNeverEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveUAOn(t, ServerConfig{FrameTimeout: 5 * time.Second}, listentest.NewPipes())
		p := s.at(t, atSession)
		from := time.Now()
		for range 4 {
			p.write(p.chunk('C', 77, make([]byte, 100)))
			time.Sleep(time.Second)
		}
		if _, err := p.next(); err == nil {
			t.Error("half a message was answered")
		}
		if d := time.Since(from); d != 5*time.Second {
			t.Errorf("ended after %v", d)
		}
	})
	s := serveUA(t, ServerConfig{Transport: uasc.Transport{MaxMessageSize: 1 << 20, MaxChunkCount: 64}})
	p := s.session(plain)
	for range 64 {
		p.write(p.chunk('C', 77, make([]byte, 100)))
	}
	p.write(p.chunk('F', 77, make([]byte, 100)))
	wantStatus(t, "65 chunks", p.receive(77, &ua.CancelResponse{}), ua.BadRequestTooLarge)
	for range 20 {
		p.write(p.chunk('C', 78, make([]byte, 60_000)))
	}
	p.write(p.chunk('F', 78, nil))
	wantStatus(t, "1.2 MB", p.receive(78, &ua.CancelResponse{}), ua.BadRequestTooLarge)
	p.write(p.chunk('C', 79, []byte{1}))
	p.write(p.chunk('A', 79, append(u32s(uint32(ua.BadOutOfMemory)), u32s(0xFFFFFFFF)...)))
	p.wantAlive() // one that its client gave up gets no answer
}

// Requests that are half here are bounded: for who has no session, and for all connections together.
func TestServerHoldsLittle(t *testing.T) {
	before := serverFlatness()
	s := serveUA(t, ServerConfig{Quotas: ServerQuotas{ReceiveBytes: 1 << 20}})
	half := func(p *peer, bytes int) {
		for ; bytes > 0; bytes -= 60_000 {
			p.write(p.chunk('C', 77, make([]byte, 60_000)))
		}
	}
	stranger := s.open(plain)
	half(stranger, 180_000)
	stranger.wantERR(ua.BadTcpMessageTooLarge)
	var peers []*peer
	for range 2 {
		p := s.session(plain)
		half(p, 480_000)
		p.wantAlive()
		peers = append(peers, p)
	}
	last := s.session(plain)
	half(last, 120_000)
	last.wantERR(ua.BadTcpNotEnoughResources)
	for _, p := range peers {
		p.write(p.chunk('A', 77, append(u32s(uint32(ua.BadOutOfMemory)), u32s(0xFFFFFFFF)...)))
		p.wantAlive()
	}
	if n := s.held.Load(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
	half(peers[0], 900_000)
	peers[0].wantAlive()
	peers[0].conn.Close()
	peers[1].conn.Close()
	s.ended()
	if n := s.held.Load(); n != 0 {
		t.Errorf("%d bytes are held after the end", n)
	}
	before.check(t, 8<<20)
}

// chunk is a MSG chunk without security.
func (p *peer) chunk(kind byte, request uint32, body []byte) []byte {
	b := append(p.channel.Begin(nil, request), body...)
	b, err := p.channel.End(b, 0, uasc.KindMessage, time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	b[3] = kind
	return b
}

// A flood of connections that are gone, or reset, at once harms nobody.
func TestServerFlood(t *testing.T) {
	before := serverFlatness()
	s := serveUA(t, ServerConfig{})
	bystander := s.session(plain)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 50)
	for i := range 600 {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			c, err := net.Dial("tcp", s.Addr)
			if err != nil {
				return
			}
			defer c.Close()
			switch i % 3 {
			case 1:
				c.(*net.TCPConn).SetLinger(0)
			case 2:
				c.Write([]byte(hello(65536, 65536, "opc.tcp://x")))
				io.ReadFull(c, make([]byte, 28))
			}
		})
	}
	wg.Wait()
	bystander.wantAlive()
	bystander.conn.Close()
	s.ended()
	before.check(t, 8<<20)
}
