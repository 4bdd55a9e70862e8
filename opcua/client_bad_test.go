package opcua

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// rogueBytes is what a server sends where a client waits for something else, and the status with which it ends the connection.
type rogueBytes struct {
	name   string
	stage  stage // atAccept: in place of ACK; atHello: in place of the response to OPN; atSession: to a session that waits
	send   string
	status ua.StatusCode
}

func acknowledge(version, receive, send uint32) string {
	return frameOf("ACKF", u32s(version, receive, send, 0, 0))
}

var rogueServers = []rogueBytes{
	{"HTTP", atAccept, "HTTP/1.1 400 Bad Request\r\n\r\n", ua.BadTcpMessageTypeInvalid},
	{"size 0", atAccept, "ACKF\x00\x00\x00\x00", ua.BadTcpMessageTooLarge},
	{"size 7", atAccept, "ACKF\x07\x00\x00\x00", ua.BadTcpMessageTooLarge},
	{"size 4 GiB", atAccept, "ACKF\xFF\xFF\xFF\xFF", ua.BadTcpMessageTooLarge},
	{"ACK in two chunks", atAccept, "ACKC" + acknowledge(0, 65536, 65536)[4:], ua.BadTcpMessageTypeInvalid},
	{"ACK that is cut", atAccept, frameOf("ACKF", u32s(0, 65536)), ua.BadTcpMessageTooLarge},
	{"buffers of 0", atAccept, acknowledge(0, 0, 0), ua.BadConnectionRejected},
	{"buffers of 8191", atAccept, acknowledge(0, 8191, 8191), ua.BadConnectionRejected},
	{"HEL", atAccept, hello(65536, 65536, "opc.tcp://x"), ua.BadTcpMessageTypeInvalid},
	{"MSG first", atAccept, frameOf("MSGF", u32s(1, 1, 1, 1)), ua.BadTcpMessageTypeInvalid},
	{"an ERR that is cut", atAccept, frameOf("ERRF", []byte{1}), ua.BadTcpMessageTooLarge},

	{"ACK twice", atHello, acknowledge(0, 65536, 65536), ua.BadTcpMessageTypeInvalid},
	{"MSG in place of OPN", atHello, frameOf("MSGF", u32s(100, 1, 1, 1), []byte{1, 0, 0xE2, 1}), ua.BadTcpMessageTypeInvalid},
	{"OPN in two chunks", atHello, "OPNC" + openHead(uasc.None.URI(), nil, nil)[4:], ua.BadTcpMessageTypeInvalid},
	{"OPN of another policy", atHello, openHead(uasc.Basic256Sha256.URI(), make([]byte, 20), make([]byte, 20)), ua.BadSecurityChecksFailed},
	{"OPN with a policy of 300 bytes", atHello, openHead(strings.Repeat("p", 300), nil, nil), ua.BadDecodingError},
	{"OPN whose certificate has -5 bytes", atHello, frameOf("OPNF", u32s(100), text(uasc.None.URI()), u32s(0xFFFFFFFB, 0, 1, 1)), ua.BadDecodingError},
	{"OPN whose body is a Read", atHello, frameOf("OPNF", u32s(100), text(uasc.None.URI()), u32s(0xFFFFFFFF, 0xFFFFFFFF, 1, 1), []byte{1, 0, 0x7A, 2}), ua.BadTcpMessageTypeInvalid},
	{"OPN without a body", atHello, frameOf("OPNF", u32s(100), text(uasc.None.URI()), u32s(0xFFFFFFFF, 0xFFFFFFFF, 1, 1)), ua.BadTcpMessageTypeInvalid},
	{"chunk longer than was agreed on", atHello, "OPNF\x01\x00\x01\x00", ua.BadTcpMessageTooLarge},

	{"HEL to a session", atSession, hello(65536, 65536, "opc.tcp://x"), ua.BadTcpMessageTypeInvalid},
	{"CLO of another channel", atSession, frameOf("CLOF", u32s(1, 1, 1, 1)), ua.BadTcpSecureChannelUnknown},
	{"RHE to a session", atSession, frameOf("RHEF", text("urn:x"), text("opc.tcp://x")), ua.BadTcpMessageTypeInvalid},
	{"MSG shorter than its header", atSession, frameOf("MSGF", u32s(1, 1)), ua.BadTcpMessageTooLarge},
	{"MSG of another channel", atSession, frameOf("MSGF", u32s(77, 1, 5, 9), []byte{1, 0, 0xE1, 1}), ua.BadTcpSecureChannelUnknown},
	{"ERR", atSession, string(uasc.AppendError(nil, ua.BadTcpInternalError, "x")), ua.BadTcpInternalError},
	{"ERR that says Good", atSession, frameOf("ERRF", u32s(0), text("x")), ua.BadCommunicationError},
}

// Each ends the connection with its status, in one piece and byte by byte, and a bystander's client to the same server goes on.
func TestClientBadConnections(t *testing.T) {
	for _, tc := range rogueServers {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *fakeServer) {
				bystander := s.client(s.config())
				for _, step := range []int{len(tc.send), 1} {
					if err := tc.meet(t, s, step); !errors.Is(err, tc.status) {
						t.Errorf("%v, want %v", err, tc.status)
					}
				}
				if err := readOne(bystander, t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// meet has a client meet the server's bytes, and returns how that ended.
func (tc *rogueBytes) meet(t *testing.T, s *fakeServer, step int) error {
	t.Helper()
	spill := func(f *fakeConn) {
		for at := 0; at < len(tc.send); at += step {
			f.write([]byte(tc.send[at:min(at+step, len(tc.send))]))
			time.Sleep(time.Microsecond) // the bubble's: the client reads what came
		}
	}
	if tc.stage == atSession {
		c := s.client(s.config())
		spill(s.conns[len(s.conns)-1])
		<-c.Done()
		return c.Err()
	}
	want := map[stage]uasc.Kind{atAccept: uasc.KindHello, atHello: uasc.KindOpen}[tc.stage]
	s.rogue = func(f *fakeConn, k uasc.Kind) bool {
		if k == want {
			spill(f)
		}
		return k == want
	}
	defer func() { s.rogue = nil }()
	c, err := Dial(t.Context(), fakeURL, s.config())
	if err == nil {
		c.Detach()
		t.Fatal("dialled")
	}
	return err
}

// Chunks that never end an answer, and answers beyond the limits, cost the one who asked an error, and their bytes are not kept.
func TestClientChunksThatNeverEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		cfg := s.config()
		cfg.Transport = uasc.Transport{MaxMessageSize: 1 << 20, MaxChunkCount: 32}
		c := s.client(cfg)
		chunks := 0
		s.answers(func(f *fakeConn, r *fakeRequest) bool {
			if r.service == ServiceRead {
				for range chunks {
					f.write(f.chunk('C', r.id, make([]byte, 40_000)))
				}
			}
			return r.service == ServiceRead
		})
		chunks = 5
		wantStatus(t, "no end", readOne(c, t.Context()), ua.BadTimeout)
		chunks = 33
		wantStatus(t, "33 chunks", readOne(c, t.Context()), ua.BadResponseTooLarge)
		if c.Err() != nil {
			t.Errorf("the connection ended: %v", c.Err())
		}
		chunks = 100
		err := readOne(c, t.Context())
		<-c.Done()
		if !errors.Is(c.Err(), ua.BadTcpMessageTooLarge) && !errors.Is(c.Err(), ua.BadTcpNotEnoughResources) {
			t.Errorf("a message that goes on and on: %v, the connection %v", err, c.Err())
		}
	})
}

// chunk is a MSG chunk without security.
func (f *fakeConn) chunk(kind byte, request uint32, body []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, err := f.channel.End(append(f.channel.Begin(nil, request), body...), 0, uasc.KindMessage, time.Now())
	if err != nil {
		f.s.t.Error(err)
	}
	b[3] = kind
	return b
}

// tampering is the wire between a client and our server with somebody in it, who changes the next MSG that comes to the client once armed.
type tampering struct {
	net.Conn
	armed  *atomic.Bool
	change func(b []byte) []byte
	held   []byte
}

func (w *tampering) Read(b []byte) (int, error) {
	if len(w.held) == 0 {
		p := make([]byte, 1<<17)
		n, err := w.Conn.Read(p)
		if err != nil {
			return 0, err
		}
		w.held = p[:n]
		if bytes.HasPrefix(w.held, []byte("MSG")) && w.armed.CompareAndSwap(true, false) {
			w.held = w.change(w.held)
		}
	}
	n := copy(b, w.held)
	w.held = w.held[n:]
	return n, nil
}

// An answer that was tampered with, left out, or comes again, ends the connection, and the session can be taken up on another.
func TestClientTamperedMessages(t *testing.T) {
	again := func(b []byte) []byte { return append(bytes.Clone(b), b...) }
	s := serveUA(t, secured(t))
	for _, sec := range []uasc.Security{signed, sealed} {
		for _, tc := range append(tampers, tamper{"a replay", again, ua.BadSecurityChecksFailed}) {
			t.Run(sec.Mode.String()+" "+tc.name, func(t *testing.T) {
				var armed atomic.Bool
				c, err := Dial(t.Context(), s.url(), Config{
					Policy: sec.Policy.String(), Mode: sec.Mode, Identity: testIdentity(t, "client"), ServerCertificate: testIdentity(t, "server").Raw,
					Dialer: func(ctx context.Context, addr string) (net.Conn, error) {
						var d net.Dialer
						nc, err := d.DialContext(ctx, "tcp", addr)
						return &tampering{Conn: nc, armed: &armed, change: tc.change}, err
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Detach()
				armed.Store(true)
				_, err = c.ReadValues(t.Context(), ua.NumericId(0, nodeServerState))
				<-c.Done()
				if !errors.Is(c.Err(), tc.status) {
					t.Errorf("read says %v, the connection %v, want %v", err, c.Err(), tc.status)
				}
				n, err := c.Recover(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer n.Detach()
				if v, err := n.ReadValues(t.Context(), ua.NumericId(0, nodeServerState)); err != nil || v[0].Status.IsBad() {
					t.Errorf("afterwards: %v, %v", v, err)
				}
			})
		}
	}
}

// What a server shows as its certificate in discovery is judged before anything is done with it.
func TestClientBadCertificates(t *testing.T) {
	self := func(template *x509.Certificate) []byte {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	curve := self(&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "curve"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)})
	for name, certificate := range map[string][]byte{
		"of a curve": curve, "of noise": bytes.Repeat([]byte{0x30}, 500), "none": nil, "a chain of 40 KiB": bytes.Repeat(curve, 40<<10/len(curve)),
		"a length of 2 GiB": binary.BigEndian.AppendUint32([]byte{0x30, 0x84}, 1<<31-1), "cut": testIdentity(t, "server").Raw[:300],
	} {
		t.Run(name, func(t *testing.T) {
			s := newFake(t)
			s.answer = func(f *fakeConn, r *fakeRequest) bool {
				if r.service != ServiceGetEndpoints {
					return false
				}
				e := s.endpoints()
				e[0].SecurityPolicyUri, e[0].SecurityMode, e[0].ServerCertificate = uasc.Basic256Sha256.URI(), ua.MessageSecurityModeSignAndEncrypt, certificate
				f.reply(r, &ua.GetEndpointsResponse{Endpoints: e})
				return true
			}
			cfg := s.config()
			cfg.Identity, cfg.AnyServer = testIdentity(t, "client"), true
			_, err := Dial(t.Context(), fakeURL, cfg)
			var e *DialError
			if !errors.As(err, &e) || certificate != nil && (!errors.Is(err, ua.BadCertificateInvalid) || !strings.Contains(err.Error(), "it is the server's certificate")) || e.Retryable() {
				t.Errorf("%v", err)
			}
		})
	}
}

// A server that takes the connection and says nothing, or resets it, is given up in time.
func TestClientSilentServers(t *testing.T) {
	for name, x := range map[string]struct {
		rogue func(f *fakeConn, k uasc.Kind) bool
		after time.Duration
	}{
		"silence after HEL": {func(f *fakeConn, k uasc.Kind) bool { return k == uasc.KindHello }, 15 * time.Second},
		"silence after OPN": {func(f *fakeConn, k uasc.Kind) bool { return k == uasc.KindOpen }, 15 * time.Second},
		"half an ACK": {func(f *fakeConn, k uasc.Kind) bool {
			if k == uasc.KindHello {
				f.write([]byte("ACKF\x1C\x00"))
			}
			return k == uasc.KindHello
		}, 15 * time.Second},
		"the end after HEL": {func(f *fakeConn, k uasc.Kind) bool { _ = f.conn.Close(); return true }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *fakeServer) {
				s.rogue = x.rogue
				begun := time.Now()
				_, err := Dial(t.Context(), fakeURL, s.config())
				var e *DialError
				if !errors.As(err, &e) || !e.Retryable() || time.Since(begun) != x.after {
					t.Errorf("after %v: %v", time.Since(begun), err)
				}
			})
		})
	}
}
