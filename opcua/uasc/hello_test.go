package uasc

import (
	"errors"
	"strings"
	"testing"

	"millrace/opcua/ua"
)

func TestLimitsAreTheSmallerOfBoth(t *testing.T) {
	for name, test := range map[string]struct {
		client, server, answer Transport // answer: what the ACK says in place of what the server would; zero as it would
		fromClient, fromServer Limits
	}{
		"defaults": {
			fromClient: Limits{65536, 16 << 20, 4096, 65536, 16 << 20, 4096}, fromServer: Limits{65536, 16 << 20, 4096, 65536, 16 << 20, 4096},
		},
		"a small server": {
			server:     Transport{ReceiveBufferSize: 8192, SendBufferSize: 10000, MaxMessageSize: 20000, MaxChunkCount: 3},
			fromClient: Limits{65536, 16 << 20, 4096, 8192, 20000, 3}, fromServer: Limits{8192, 20000, 3, 10000, 16 << 20, 4096},
		},
		"a small client": {
			client:     Transport{ReceiveBufferSize: 8192, SendBufferSize: 10000, MaxMessageSize: 20000, MaxChunkCount: 3},
			fromClient: Limits{8192, 20000, 3, 10000, 16 << 20, 4096}, fromServer: Limits{10000, 16 << 20, 4096, 8192, 20000, 3},
		},
		"a server that does not look at the HEL": {
			client:     Transport{ReceiveBufferSize: 8192, SendBufferSize: 8192},
			answer:     Transport{ReceiveBufferSize: 1 << 20, SendBufferSize: 1 << 20},
			fromClient: Limits{8192, 16 << 20, 4096, 8192, 0, 0}, fromServer: Limits{8192, 16 << 20, 4096, 8192, 16 << 20, 4096},
		},
		"numbers beyond an int": {
			answer:     Transport{ReceiveBufferSize: 8192, SendBufferSize: 8192, MaxMessageSize: 0xFFFFFFFF, MaxChunkCount: 0xFFFFFFFF},
			fromClient: Limits{65536, 16 << 20, 4096, 8192, 1 << 30, 1 << 30}, fromServer: Limits{65536, 16 << 20, 4096, 65536, 16 << 20, 4096},
		},
	} {
		p := newPair(t, pairConfig{security: allSecurity[0], clientT: test.client, serverT: test.server})
		ack, _, err := p.server.AcceptHello(nil, p.one(p.server, p.client.AppendHello(nil, "opc.tcp://x")))
		if err != nil {
			t.Fatal(err)
		}
		if test.answer != (Transport{}) {
			ack = AppendAcknowledge(nil, Acknowledge{Transport: test.answer})
		}
		if err := p.client.Acknowledged(p.one(p.client, ack)); err != nil {
			t.Fatal(err)
		}
		if got := p.client.Limits(); got != test.fromClient {
			t.Errorf("%s: the client has %+v, want %+v", name, got, test.fromClient)
		}
		if got := p.server.Limits(); got != test.fromServer {
			t.Errorf("%s: the server has %+v, want %+v", name, got, test.fromServer)
		}
	}
}

func TestAcknowledgesThatCannotBe(t *testing.T) {
	for _, ack := range [][]byte{
		AppendAcknowledge(nil, Acknowledge{Transport: Transport{ReceiveBufferSize: 8191, SendBufferSize: 8192}}),
		AppendAcknowledge(nil, Acknowledge{Transport: Transport{ReceiveBufferSize: 8192}}),
	} {
		p := newPair(t, pairConfig{security: allSecurity[0]})
		wantStatus(t, p.client.Acknowledged(p.one(p.client, ack)), ua.BadConnectionRejected)
		// It stays so.
		if _, _, err := p.client.Next(nil, p.now); !errors.Is(err, ua.BadConnectionRejected) {
			t.Errorf("afterwards: %v", err)
		}
	}
}

func TestErrorsThatCome(t *testing.T) {
	long := strings.Repeat("x", 5000)
	p := newPair(t, pairConfig{security: allSecurity[0]})
	m := p.one(p.client, AppendError(nil, ua.BadTcpServerTooBusy, long))
	e, err := DecodeError(m.Body)
	if err != nil || m.Kind != KindError || e.Status != ua.BadTcpServerTooBusy || e.Reason != long[:maxHelloText] {
		t.Fatalf("%v, %v", e, err)
	}
	if !e.Retryable() || !errors.Is(e, ua.BadTcpServerTooBusy) || !strings.Contains(e.Error(), "BadTcpServerTooBusy") {
		t.Errorf("%v", e)
	}
	if e := (&PeerError{Status: ua.BadCertificateUntrusted}); e.Retryable() || strings.HasSuffix(e.Error(), ": ") {
		t.Errorf("%v", e)
	}
}

// Every error says whether another connection may help, and unwraps to its status.
func TestErrorsSayWhatToDo(t *testing.T) {
	cause := errors.New("the cause")
	for _, test := range []struct {
		err interface {
			error
			Retryable() bool
		}
		retryable bool
	}{
		{&Error{Op: "read chunk", Status: ua.BadTcpMessageTooLarge, Reason: "why"}, true},
		{&Error{Op: "open channel", Status: ua.BadSecurityChecksFailed, Reason: "why", Err: cause}, false},
		{&CertificateError{Check: CheckTrust, Status: ua.BadCertificateUntrusted, Reason: "why", Err: cause}, false},
		{&TrustError{Op: "accept", Thumbprint: "abc", Reason: "why", Err: cause}, false},
	} {
		if got := test.err.Retryable(); got != test.retryable {
			t.Errorf("%v: retryable %v", test.err, got)
		}
		if !strings.HasPrefix(test.err.Error(), "uasc: ") || !strings.Contains(test.err.Error(), "why") {
			t.Errorf("%v", test.err)
		}
		if strings.Contains(test.err.Error(), "the cause") != errors.Is(test.err, cause) {
			t.Errorf("%v does not unwrap to its cause", test.err)
		}
	}
}

func TestAborts(t *testing.T) {
	for _, s := range allSecurity {
		p := talked(t, s)
		p.client.limits.SendChunk = minBuffer
		b := p.seal(p.client, 5, make([]byte, 20_000))
		half := b[:minBuffer+100] // the first chunk and a part of the second
		used, m, err := p.server.Next(half, p.now)
		if err != nil || m.Kind != 0 || p.server.Pending() == 0 {
			t.Fatalf("%v: %v, %v", s, m.Kind, err)
		}
		p.client.sent.last = p.server.received.last // the others were not sent
		abort, err := p.client.AppendAbort([]byte("before"), 5, ua.BadOutOfMemory, "no room", p.now)
		if err != nil || used == 0 {
			t.Fatal(err)
		}
		m = p.one(p.server, abort[len("before"):])
		if m.Kind != KindMessage || m.RequestID != 5 || m.Aborted != ua.BadOutOfMemory || m.Reason != "no room" || m.Body != nil || p.server.Pending() != 0 {
			t.Errorf("%v: %+v", s, m)
		}
		p.send(p.client, p.server, 6, []byte("goes on"))
	}
	c, err := NewClient(ClientConfig{Security: allSecurity[0]})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := c.AppendAbort(nil, 1, ua.BadOutOfMemory, "", testNow); err == nil {
		t.Errorf("sent %x before there is a channel", b)
	}
	if b, err := c.End(c.Begin(nil, 1), 0, KindMessage, testNow); err == nil {
		t.Errorf("sent %x before there is a channel", b)
	}
}

func TestAServerThatDoesNotOpen(t *testing.T) {
	answer := func(m ua.Message) error {
		p := newPair(t, pairConfig{security: allSecurity[0]})
		p.open(0)
		if _, err := p.client.AppendOpen(nil, 7, true, 0, p.now); err != nil {
			t.Fatal(err)
		}
		b, at := p.server.beginOpen(nil, 4711, 7, None, nil)
		b, err := p.server.sealOpen(ua.AppendMessage(b, m), 0, at, None, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.client.Opened(p.one(p.client, b), p.now)
		return err
	}
	wantStatus(t, answer(&ua.ServiceFault{ResponseHeader: ua.ResponseHeader{ServiceResult: ua.BadTooManySessions}}), ua.BadTooManySessions)
	wantStatus(t, answer(&ua.OpenSecureChannelResponse{ResponseHeader: ua.ResponseHeader{ServiceResult: ua.BadUserAccessDenied}}), ua.BadUserAccessDenied)
	wantStatus(t, answer(&ua.OpenSecureChannelResponse{SecurityToken: ua.ChannelSecurityToken{ChannelId: 4712, TokenId: 2}}), ua.BadSecureChannelIdInvalid)
	wantStatus(t, answer(&ua.ReadResponse{}), ua.BadTcpMessageTypeInvalid)
	if err := answer(&ua.OpenSecureChannelResponse{SecurityToken: ua.ChannelSecurityToken{ChannelId: 4711, TokenId: 2}}); err != nil {
		t.Error(err)
	}
	// One that nobody asked for.
	p := talked(t, allSecurity[0])
	b, at := p.server.beginOpen(nil, 4711, 7, None, nil)
	b, err := p.server.sealOpen(ua.AppendMessage(b, &ua.OpenSecureChannelResponse{}), 0, at, None, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.client.Opened(p.one(p.client, b), p.now)
	wantStatus(t, err, ua.BadSecurityChecksFailed)
}

func TestPoliciesHaveNames(t *testing.T) {
	for _, s := range allSecurity {
		p := s.Policy
		if got, ok := PolicyByURI(p.URI()); !ok || got != p {
			t.Errorf("%s is %v", p.URI(), got)
		}
		for _, name := range []string{p.String(), strings.ToLower(p.String()), strings.ReplaceAll(p.String(), "_", ""), p.URI()} {
			if got, ok := ParsePolicy(name); !ok || got != p {
				t.Errorf("%s is %v", name, got)
			}
		}
		secured := p != None
		if named := secured && !p.Ephemeral(); (p.SignatureURI() != "") != named || (p.EncryptionURI() != "") != named || (p.NonceBytes() > 0) != secured || (p.Level(s.Mode) > 0) != secured {
			t.Errorf("%v: signature %q, encryption %q, nonce %d, level %d", p, p.SignatureURI(), p.EncryptionURI(), p.NonceBytes(), p.Level(s.Mode))
		}
	}
	rising := append(append(allSecurity[:1:1], allSecurity[7:]...), allSecurity[1:7]...) // with ECC below all others that secure
	for i, s := range rising[1:] {
		if before := rising[i]; s.Policy.Level(s.Mode) <= before.Policy.Level(before.Mode) {
			t.Errorf("%v is no better than %v", s, before)
		}
	}
	for _, name := range []string{"", "Basic256", "Basic128Rsa15", "None ", policyPrefix + "Basic256"} {
		if got, ok := ParsePolicy(name); ok {
			t.Errorf("%q is %v", name, got)
		}
	}
	if got, ok := PolicyByURI(""); !ok || got != None {
		t.Errorf("no URI is %v", got)
	}
	if p := Policy(200); p.URI() != "" || p.String() != "unknown policy" || (Security{Policy: p}).Check() == nil || p.NonceBytes() != 0 {
		t.Errorf("an unknown policy: %q", p.URI())
	}
}
