package uasc

import (
	"bytes"
	"crypto/x509"
	"errors"
	mathrand "math/rand/v2"
	"testing"

	"millrace/opcua/ua"
)

// talked is a pair whose channel is open.
func talked(t testing.TB, s Security) *pair {
	p := newPair(t, pairConfig{security: s})
	p.open(0)
	return p
}

// Whatever byte of a secured chunk is changed, the chunk is not taken, and what is said about it is the same for every byte that is secret.
func TestAChangedChunkIsRefused(t *testing.T) {
	for _, s := range allSecurity[1:] {
		t.Run(s.String(), func(t *testing.T) {
			p := talked(t, s)
			b := p.seal(p.client, 1, randomBytes(100))
			for at := range b {
				changed := bytes.Clone(b)
				changed[at] ^= 0x10
				c := p.server.server.NewChannel(4711, "")
				c.state, c.limits, c.current, c.received = p.server.state, p.server.limits, p.server.current, p.server.received
				c.sending.Store(p.server.sending.Load())
				_, m, err := c.Next(changed, p.now)
				if at >= sizeAt && at < sizeAt+4 && err == nil && m.Kind == 0 {
					continue // it says that it is longer, and the rest does not come
				}
				if err == nil {
					t.Fatalf("byte %d changed: taken as %v", at, m.Kind)
				}
				if at >= seqAt {
					wantStatus(t, err, ua.BadSecurityChecksFailed)
					if !errors.Is(err, errCrypto) {
						t.Fatalf("byte %d changed: %v", at, err)
					}
				}
			}
			p.one(p.server, b)
		})
	}
}

func TestAChangedOpenIsRefused(t *testing.T) {
	for _, s := range []Security{allSecurity[2], allSecurity[6]} {
		p := newPair(t, pairConfig{security: s})
		p.client.state, p.client.limits.SendChunk = agreed, 1<<16
		b, err := p.client.AppendOpen(nil, 1, false, 0, p.now)
		if err != nil {
			t.Fatal(err)
		}
		h, err := readAsymmetric(b)
		if err != nil {
			t.Fatal(err)
		}
		said := map[string]int{}
		r := mathrand.New(mathrand.NewPCG(1, 1))
		for range 60 {
			at := h.at + r.IntN(len(b)-h.at)
			changed := bytes.Clone(b)
			changed[at] ^= 1 << r.IntN(8)
			c := p.server.server.NewChannel(1, "")
			c.state, c.limits.ReceiveChunk = agreed, 1<<16
			_, _, err := c.Next(changed, p.now)
			wantStatus(t, err, ua.BadSecurityChecksFailed)
			said[err.Error()]++
		}
		if len(said) != 1 {
			t.Errorf("what is said tells what was wrong: %v", said)
		}
		c := p.server.server.NewChannel(1, "")
		c.state, c.limits.ReceiveChunk = agreed, 1<<16
		if _, m, err := c.Next(b, p.now); err != nil || m.Kind != KindOpen {
			t.Errorf("unchanged: %v", err)
		}
	}
}

// Chunks that are too short for their signature, or no whole number of blocks, are looked at before they are cut.
func TestShortSecuredChunks(t *testing.T) {
	for _, s := range allSecurity[1:] {
		p := talked(t, s)
		for n := headerBytes; n < headerBytes+100; n++ {
			if body, ok := p.server.current.open(randomBytes(n)); ok {
				t.Fatalf("%v: %d bytes are taken as %d", s, n, len(body))
			}
		}
		b := chunkOf(KindMessage, chunkFinal, 4711, 1, 2, 1, nil)
		_, _, err := p.server.Next(b, p.now)
		wantStatus(t, err, ua.BadSecurityChecksFailed)
	}
}

// Padding is judged even when the signature is right.
func TestPaddingIsJudged(t *testing.T) {
	for _, test := range []struct {
		b    []byte
		size int
		want int // bytes left, -1 wrong
	}{
		{[]byte{7, 0}, 1, 1}, {[]byte{7, 1, 1}, 1, 1}, {[]byte{7, 2, 2, 2}, 1, 1}, {[]byte{0}, 1, 0}, {[]byte{2, 2, 2}, 1, 0},
		{nil, 1, -1}, {[]byte{1}, 1, -1}, {[]byte{7, 3, 2, 2}, 1, -1}, {[]byte{7, 9, 2, 2}, 1, -1}, {[]byte{2, 1, 2, 2}, 1, -1}, {[]byte{9, 9, 9}, 1, -1},
		{[]byte{7, 0, 0}, 2, 1}, {[]byte{7, 1, 1, 0}, 2, 1}, {[]byte{0}, 2, -1}, {[]byte{0, 0}, 2, 0}, {[]byte{0, 0, 1}, 2, -1},
		{append(bytes.Repeat([]byte{4}, 261), 1), 2, 0}, {append(bytes.Repeat([]byte{4}, 262), 1), 2, 1}, {append(bytes.Repeat([]byte{4}, 260), 1), 2, -1},
	} {
		got, ok := unpad(bytes.Clone(test.b), test.size)
		if n := len(got); !ok && test.want >= 0 || ok && n != test.want {
			t.Errorf("% x with %d: %d bytes left, %v; want %d", test.b, test.size, n, ok, test.want)
		}
	}
}

func TestWhoMayOpen(t *testing.T) {
	open := func(cfg ServerConfig, s Security, change func(c *Channel)) error {
		p := newPair(t, pairConfig{security: s})
		cfg.Identity, cfg.ECCIdentity, cfg.Trust = testIdentity(t, "server", 2048), testIdentity(t, "server", eccBits), anybody{}
		server, err := NewServer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		c := server.NewChannel(1, "")
		c.state, c.limits.ReceiveChunk, p.client.state = agreed, 1<<16, agreed
		if change != nil {
			change(p.client)
		}
		b, err := p.client.AppendOpen(nil, 1, false, 0, p.now)
		if err != nil {
			t.Fatal(err)
		}
		_, m, err := c.Next(b, p.now)
		if err == nil {
			_, _, err = c.AcceptOpen(nil, m, p.now)
		}
		return err
	}
	signed := ServerConfig{Security: allSecurity[1:2]}
	wantStatus(t, open(signed, allSecurity[0], nil), ua.BadSecurityPolicyRejected)
	wantStatus(t, open(signed, allSecurity[3], nil), ua.BadSecurityPolicyRejected)
	wantStatus(t, open(signed, allSecurity[2], nil), ua.BadSecurityModeRejected)
	if err := open(signed, allSecurity[1], nil); err != nil {
		t.Error(err)
	}
	// None with a mode, and the other way round.
	wantStatus(t, open(ServerConfig{Security: allSecurity}, allSecurity[0], func(c *Channel) { c.security.Mode = ua.MessageSecurityModeSign }), ua.BadSecurityModeRejected)
	wantStatus(t, open(ServerConfig{Security: allSecurity}, allSecurity[1], func(c *Channel) { c.security.Mode = ua.MessageSecurityModeNone }), ua.BadSecurityModeRejected)
	// Meant for another server.
	wantStatus(t, open(signed, allSecurity[1], func(c *Channel) {
		other := *c.remote
		other.Thumbprint[0] ^= 1
		c.remote = &other
	}), ua.BadSecurityChecksFailed)
	// A certificate of which the sender has no key.
	wantStatus(t, open(signed, allSecurity[1], func(c *Channel) {
		mine := *c.client.Identity
		mine.Signer = testIdentity(t, "another", 2048).Signer
		c.client.Identity = &mine
	}), ua.BadSecurityChecksFailed)
	// No certificate, one that is none, one with a key of another kind, one that is too long.
	plant := newPlant(t)
	for want, chain := range map[ua.StatusCode][][]byte{
		ua.BadSecurityChecksFailed: {nil, []byte("none"), {0x30, 0x82, 0xff, 0xff}},
		ua.BadCertificateInvalid:   {plant.self(plant.rootKey, nil).Raw},
		ua.BadDecodingError:        {make([]byte, maxCertificateBytes+1)},
	} {
		for _, chain := range chain {
			wantStatus(t, open(signed, allSecurity[1], func(c *Channel) {
				mine := *c.client.Identity
				mine.Chain = chain
				c.client.Identity = &mine
			}), want)
		}
	}
}

// A certificate that is trusted is no secret: who has nothing but that may not make a server calculate for long.
func TestALongOpenIsNotDecrypted(t *testing.T) {
	p := newPair(t, pairConfig{security: allSecurity[2]})
	p.server.state, p.server.limits.ReceiveChunk = agreed, 1<<16
	b, at := p.client.beginOpen(nil, 0, 1, Basic256Sha256, p.client.remote)
	b = endTransport(append(b[:at], make([]byte, maxSealedOpen+256)...), 0)
	_, _, err := p.server.Next(b, p.now)
	wantStatus(t, err, ua.BadTcpMessageTooLarge)
}

func TestNoncesHaveTheirLength(t *testing.T) {
	for _, n := range []int{0, 31, 33, 64} {
		p := newPair(t, pairConfig{security: allSecurity[2]})
		p.server.policy = Basic256Sha256
		wantStatus(t, p.server.checkNonce(make([]byte, n)), ua.BadNonceInvalid)
	}
	p := newPair(t, pairConfig{security: allSecurity[2]})
	p.server.policy = Basic256Sha256
	if err := p.server.checkNonce(make([]byte, 32)); err != nil {
		t.Error(err)
	}
	wantStatus(t, p.server.checkNonce(make([]byte, 32)), ua.BadNonceInvalid) // used before
	p.server.policy = None
	if err := p.server.checkNonce([]byte("whatever")); err != nil {
		t.Error(err)
	}
}

// What a validator says reaches the client up to where it would learn about the list.
func TestWhatAClientIsToldOfItsCertificate(t *testing.T) {
	for check, want := range map[Check]ua.StatusCode{
		CheckStructure: ua.BadSecurityChecksFailed, CheckTrust: ua.BadSecurityChecksFailed, CheckValidity: ua.BadCertificateTimeInvalid,
		CheckRevoked: ua.BadCertificateRevoked,
	} {
		wantStatus(t, refused(&CertificateError{Check: check, Status: checkStatus[check.index()][0]}), want)
	}
	wantStatus(t, refused(errors.New("of somebody's own validator")), ua.BadSecurityChecksFailed)
}

func TestRefusedByTheValidator(t *testing.T) {
	plant := newPlant(t)
	p := newPair(t, pairConfig{security: allSecurity[2]})
	p.server.server.cfg.Trust = NewValidator(ValidatorConfig{Store: plant.store})
	p.server.state, p.server.limits.ReceiveChunk, p.client.state = agreed, 1<<16, agreed
	b, err := p.client.AppendOpen(nil, 1, false, 0, p.now)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = p.server.Next(bytes.Clone(b), p.now)
	wantStatus(t, err, ua.BadSecurityChecksFailed)
	if !errors.Is(err, ua.BadCertificateUntrusted) {
		t.Errorf("this side is not told why: %v", err)
	}
	if _, err := plant.store.Accept(p.client.client.Identity.Fingerprint()); err != nil {
		t.Fatal(err)
	}
	again := p.server.server.NewChannel(1, "")
	again.state, again.limits.ReceiveChunk = agreed, 1<<16
	if _, _, err := again.Next(b, p.now); err != nil {
		t.Error(err)
	}
}

func TestSecretsThatAreNone(t *testing.T) {
	id, nonce := testIdentity(t, "server", 2048), randomBytes(32)
	good, err := Basic256Sha256.EncryptSecret(&id.Certificate, []byte("secret"), nonce)
	if err != nil {
		t.Fatal(err)
	}
	long, err := Basic256Sha256.suite().encryptBlocks(nil, id.rsaKey(), append([]byte{0xff, 0xff, 0xff, 0xff}, nonce...))
	if err != nil {
		t.Fatal(err)
	}
	short, err := Basic256Sha256.suite().encryptBlocks(nil, id.rsaKey(), append([]byte{1, 0, 0, 0}, nonce...))
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	refused := func(name string, id *Identity, algorithm string, cipher, nonce []byte) {
		t.Helper()
		got, err := Basic256Sha256.DecryptSecret(id, algorithm, cipher, nonce)
		if err == nil {
			t.Errorf("%s: taken as %q", name, got)
			return
		}
		wantStatus(t, err, ua.BadIdentityTokenRejected)
		said[err.Error()] = true
	}
	refused("another nonce", id, "", good, randomBytes(32))
	refused("a longer nonce", id, "", good, randomBytes(64))
	refused("cut", id, "", good[:len(good)-1], nonce)
	refused("none", id, "", nil, nonce)
	refused("changed", id, "", append(bytes.Clone(good[:255]), good[255]^1), nonce)
	refused("another algorithm", id, uriOAEPSHA256, good, nonce)
	refused("another key", testIdentity(t, "client", 2048), "", good, nonce)
	refused("a length beyond the end", id, "", long, nonce)
	refused("a length before the nonce", id, "", short, nonce)
	refused("no certificate", nil, "", good, nonce)
	refused("too long", id, "", bytes.Repeat(good, 100), nonce)
	if len(said) != 1 {
		t.Errorf("what is said tells what was wrong: %v", said)
	}
	if got, err := Basic256Sha256.DecryptSecret(id, uriOAEP, good, nonce); err != nil || string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestSessionSignatures(t *testing.T) {
	client, server := testIdentity(t, "client", 2048), testIdentity(t, "server", 2048)
	plant := newPlant(t)
	chained := *server
	chained.Chain = append(bytes.Clone(server.Raw), plant.root.Raw...)
	nonce := randomBytes(32)
	for _, policy := range []Policy{Basic256Sha256, Aes128Sha256RsaOaep, Aes256Sha256RsaPss} {
		sig, err := policy.SignSession(client, chained.Chain, nonce)
		if err != nil {
			t.Fatal(err)
		}
		if err := policy.VerifySession(&client.Certificate, &chained, nonce, sig); err != nil {
			t.Errorf("%v over the leaf: %v", policy, err)
		}
		whole, err := policy.Sign(client, chained.Chain, nonce)
		if err != nil {
			t.Fatal(err)
		}
		if err := policy.VerifySession(&client.Certificate, &chained, nonce, whole); err != nil {
			t.Errorf("%v over the chain: %v", policy, err)
		}
		for name, err := range map[string]error{
			"another nonce":  policy.VerifySession(&client.Certificate, &chained, randomBytes(32), sig),
			"another signer": policy.VerifySession(&server.Certificate, &chained, nonce, sig),
			"no signature":   policy.VerifySession(&client.Certificate, &chained, nonce, nil),
			"no certificate": policy.VerifySession(nil, &chained, nonce, sig),
			"no own":         policy.VerifySession(&client.Certificate, nil, nonce, sig),
		} {
			if !errors.Is(err, ua.BadApplicationSignatureInvalid) {
				t.Errorf("%v with %s: %v", policy, name, err)
			}
		}
	}
	if _, err := Basic256Sha256.Sign(nil, nonce); err == nil {
		t.Error("signed without a key")
	}
	if err := None.VerifySession(nil, nil, nil, nil); err != nil {
		t.Error(err)
	}
}

func TestLeafIsTheFirst(t *testing.T) {
	plant := newPlant(t)
	raw := plant.root.Raw
	if got := Leaf(append(bytes.Clone(raw), plant.issuer.Raw...)); !bytes.Equal(got, raw) {
		t.Errorf("%d bytes, want %d", len(got), len(raw))
	}
	for _, b := range [][]byte{nil, {}, {1}, []byte("garbage"), {0x30, 0x84, 0xff, 0xff, 0xff, 0xff}} {
		if got := Leaf(b); !bytes.Equal(got, b) {
			t.Errorf("% x became % x", b, got)
		}
	}
	if c, err := ParseCertificate(append(bytes.Clone(raw), plant.issuer.Raw...)); err != nil || !bytes.Equal(c.Raw, raw) || len(c.Chain) <= len(raw) {
		t.Errorf("%v", err)
	}
	if _, err := x509.ParseCertificate(raw); err != nil {
		t.Error(err)
	}
}

func TestConfigurationsThatCannotBe(t *testing.T) {
	id := testIdentity(t, "server", 2048)
	for name, cfg := range map[string]ServerConfig{
		"nothing":         {},
		"no identity":     {Security: allSecurity[1:2], Trust: anybody{}},
		"no trust":        {Security: allSecurity[1:2], Identity: id},
		"no such policy":  {Security: []Security{{99, ua.MessageSecurityModeSign}}},
		"the zero policy": {Security: []Security{{0, ua.MessageSecurityModeNone}}},
		"none and signed": {Security: []Security{{None, ua.MessageSecurityModeSign}}},
		"small buffer":    {Discovery: true, Transport: Transport{ReceiveBufferSize: 8191}},
		"lifetimes":       {Discovery: true, MinLifetime: 2, MaxLifetime: 1},
	} {
		if _, err := NewServer(cfg); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for name, cfg := range map[string]ClientConfig{
		"nothing":            {},
		"no identity":        {Security: allSecurity[1], ServerCertificate: id.Chain},
		"no certificate":     {Security: allSecurity[1], Identity: id},
		"a certificate of P": {Security: allSecurity[1], Identity: id, ServerCertificate: newPlant(t).root.Raw},
	} {
		if _, err := NewClient(cfg); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
