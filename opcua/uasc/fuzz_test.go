package uasc

import (
	"bytes"
	"testing"

	"millrace/opcua/ua"
)

// FuzzNext: the first byte selects the side, the security and how far the connection has come, the second how the rest is cut. Whatever comes, a channel does
// not hold more of it than its limits allow, and what happens does not depend on the cuts.
func FuzzNext(f *testing.F) {
	for i := range 2 * len(allSecurity) {
		p := talked(f, allSecurity[i/2])
		b := p.seal(p.client, 1, []byte("hello"))
		p.client.limits.SendChunk = 100
		b = append(b, p.seal(p.client, 2, make([]byte, 300))...)
		f.Add(append([]byte{byte(i) | 0x80, 7}, b...))
	}
	f.Add(append([]byte{0, 1}, AppendHello(nil, Hello{Transport: Transport{ReceiveBufferSize: 8192, SendBufferSize: 8192}, EndpointURL: "opc.tcp://x"})...))
	f.Add(append([]byte{1, 1}, AppendAcknowledge(nil, Acknowledge{Transport: Transport{ReceiveBufferSize: 8192, SendBufferSize: 8192}})...))
	f.Add(append([]byte{1, 1}, AppendError(nil, ua.BadTcpServerTooBusy, "busy")...))
	f.Add(append([]byte{1, 1}, AppendReverseHello(nil, ReverseHello{"urn:x", "opc.tcp://x"})...))
	f.Add(append([]byte{0x80, 3}, chunkOf(KindMessage, chunkMore, 4711, 1, 2, 1, []byte("part"))...))
	f.Add(append([]byte{0x80, 3}, chunkOf(KindMessage, chunkAbort, 4711, 1, 2, 1, appendText([]byte{0, 0, 2, 0x80}, "no"))...))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) < 2 {
			return
		}
		whole, err := feed(t, in[0], in[2:], len(in))
		cut, cutErr := feed(t, in[0], in[2:], 1+int(in[1]))
		if !bytes.Equal(whole, cut) || (err == nil) != (cutErr == nil) || err != nil && err.Error() != cutErr.Error() {
			t.Fatalf("whole %x, %v; in pieces of %d %x, %v", whole, err, 1+int(in[1]), cut, cutErr)
		}
	})
}

// feed gives b to a channel in pieces and returns a record of what came out.
func feed(t *testing.T, how byte, b []byte, piece int) (record []byte, err error) {
	const side, security, open = 1, 0x1e, 0x80
	p := newPair(t, pairConfig{
		security: allSecurity[int(how&security)/2%len(allSecurity)], serverT: Transport{MaxMessageSize: 200, MaxChunkCount: 4}, clientT: Transport{MaxMessageSize: 200, MaxChunkCount: 4},
	})
	if how&open != 0 {
		p.openAlike()
	}
	c := p.server
	if how&side != 0 {
		c = p.client
	}
	var buf []byte
	for len(b) > 0 {
		n := min(piece, len(b))
		buf, b = append(buf, b[:n]...), b[n:]
		for {
			used, m, err := c.Next(buf, p.now)
			buf = buf[used:]
			if c.parts.heldBody > 200 || len(c.parts.parts) > 8 {
				t.Fatalf("%d bytes in %d messages are held", c.parts.heldBody, len(c.parts.parts))
			}
			if err != nil {
				return record, err
			}
			if m.Kind == 0 {
				break
			}
			record = append(append(append(record, byte(m.Kind), byte(m.RequestID), byte(m.Chunks)), m.Body...), m.Reason...)
			if err := p.answer(c, m); err != nil {
				return record, err
			}
		}
	}
	return record, nil
}

// answer does with m what the owner of a channel does.
func (p *pair) answer(c *Channel, m Message) (err error) {
	switch m.Kind {
	case KindHello:
		_, _, err = c.AcceptHello(nil, m)
	case KindAcknowledge:
		err = c.Acknowledged(m)
	case KindReverseHello:
		_, err = DecodeReverseHello(m.Body)
	case KindError:
		_, err = DecodeError(m.Body)
	case KindOpen:
		if c.server == nil {
			_, err = c.Opened(m, p.now)
			return err
		}
		_, _, err = c.AcceptOpen(nil, m, p.now)
	}
	return err
}

// openAlike opens the channel with the same keys each time, so that what a fuzzer finds is found again.
func (p *pair) openAlike() {
	s, mode := p.client.security.Policy.suite(), p.client.security.Mode
	clientNonce, serverNonce := goldenNonces()
	expires := p.now.Add(defaultMaxLifetime)
	client, server := &token{channel: 4711, id: 1, expires: expires}, &token{channel: 4711, id: 1, expires: expires}
	if p.client.security.Policy != None {
		m := material{client: clientNonce, server: serverNonce, shared: clientNonce}
		client.send, client.receive = s.newKeys(m.raw(s, false), mode, true), s.newKeys(m.raw(s, true), mode, false)
		server.send, server.receive = s.newKeys(m.raw(s, true), mode, true), s.newKeys(m.raw(s, false), mode, false)
	}
	p.server.security, p.server.remote = p.client.security, p.client.remote
	if p.client.client.Identity != nil {
		p.server.remote = &p.client.client.Identity.Certificate
	}
	for c, t := range map[*Channel]*token{p.client: client, p.server: server} {
		c.state, c.current = opened, t
		c.limits.ReceiveChunk, c.limits.SendChunk = minBuffer, minBuffer
		c.sending.Store(t)
	}
}

// FuzzAsymmetric: an OPN of any kind at a server that lets everybody in.
func FuzzAsymmetric(f *testing.F) {
	for _, s := range append(allSecurity[:6:6], allSecurity[7:]...) {
		p := newPair(f, pairConfig{security: s})
		p.client.state = agreed
		b, err := p.client.AppendOpen(nil, 1, false, 0, p.now)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		p := newPair(t, pairConfig{security: allSecurity[2]})
		c := p.server
		c.state, c.limits.ReceiveChunk = agreed, 1<<16
		used, m, err := c.Next(bytes.Clone(in), p.now)
		if err != nil || m.Kind != KindOpen {
			return
		}
		out, o, err := c.AcceptOpen(nil, m, p.now)
		if err != nil {
			return
		}
		if used > len(in) || len(out) == 0 || o.TokenID != 1 || c.state != opened {
			t.Fatalf("used %d of %d, answered %d bytes, %+v", used, len(in), len(out), o)
		}
	})
}

// FuzzCertificate: anything as a certificate with its chain. It is accepted only when nothing of it was changed.
func FuzzCertificate(f *testing.F) {
	id := testIdentity(f, "server", 2048)
	store, err := OpenTrustStore(f.TempDir(), TrustStoreConfig{})
	if err != nil {
		f.Fatal(err)
	}
	store.room, store.last = 0, testNow // nothing is written, so that each input takes the same way each time
	g := readGolden(f)
	f.Add([]byte(id.Raw))
	f.Add(append(bytes.Clone(id.Raw), g.Client...))
	f.Add([]byte(g.Client))
	f.Add(bytes.Repeat(id.Raw, 3))
	v := NewValidator(ValidatorConfig{Store: store})
	f.Fuzz(func(t *testing.T, in []byte) {
		if err := v.Validate(testNow, in, Use{Policy: Basic256Sha256, HostName: "localhost", ApplicationURI: "urn:test:server"}); err == nil {
			t.Fatalf("trusted: %x", in)
		}
		if c, err := ParseCertificate(in); err == nil && (len(c.Raw) == 0 || !bytes.HasPrefix(in, c.Raw)) {
			t.Fatalf("leaf %x of %x", c.Raw, in)
		}
	})
}
