package uasc

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace/opcua/ua"
)

// goldenECC is what testdata/golden_ecc.py worked out with another implementation of the cryptography.
type goldenECC struct {
	Client, Server                   struct{ Key, Certificate hexBytes }
	ClientEphemeral, ServerEphemeral hexBytes // private
	ClientNonce, ServerNonce         hexBytes
	FromClient, FromServer           hexBytes // keys
	Nonce                            hexBytes
	Messages                         []struct {
		Encrypt              bool
		Body, Client, Server hexBytes
	}
	Opens   []struct{ Body, Chunk hexBytes }
	Secrets []struct{ Password, Sealed hexBytes }
}

func readGoldenECC(t testing.TB) (g goldenECC) {
	t.Helper()
	b, err := os.ReadFile("testdata/golden_ecc.json")
	if err == nil {
		err = json.Unmarshal(b, &g)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func ephemeralOf(t testing.TB, private []byte) *EphemeralKey {
	t.Helper()
	key, err := ecdh.P256().NewPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return newEphemeralKey(key)
}

func bytesOf(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The example of RFC 5903, 8.1: both sides come to the x of the same point.
func TestAgreementOfTheRFC(t *testing.T) {
	i := ephemeralOf(t, bytesOf(t, "C88F01F5 10D9AC3F 70A292DA A2316DE5 44E9AAB8 AFE84049 C62A9C57 862D1433"))
	r := ephemeralOf(t, bytesOf(t, "C6EF9C5D 78AE012A 011164AC B397CE20 88685D8F 06BF9BE0 B283AB46 476BEE53"))
	want := bytesOf(t, "D6840F6B 42F6EDAF D13116E0 E1256520 2FEF8E9E CE7DCE03 812464D0 4B9442DE")
	if public := bytesOf(t, "DAD0B653 94221CF9 B051E1FE CA5787D0 98DFE637 FC90B9EF 945D0C37 72581180 5271A046 1CDB8252 D61F1C45 6FA3E59A B1F45B33 ACCF5F58 389E0577 B8990BB3"); !bytes.Equal(i.Public(), public) {
		t.Errorf("public %x", i.Public())
	}
	for _, pair := range [][2]*EphemeralKey{{i, r}, {r, i}} {
		if got, err := pair[0].agree(pair[1].Public()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%x, %v", got, err)
		}
	}
}

func TestGoldenECCKeys(t *testing.T) {
	g, s := readGoldenECC(t), ECCNistP256.suite()
	client, server := ephemeralOf(t, g.ClientEphemeral), ephemeralOf(t, g.ServerEphemeral)
	if !bytes.Equal(client.Public(), g.ClientNonce) || !bytes.Equal(server.Public(), g.ServerNonce) {
		t.Errorf("public keys %x and %x", client.Public(), server.Public())
	}
	for side, m := range map[string]func() (material, error){
		"client": func() (material, error) { return s.material(ownNonce{client.public, client}, server.public, false) },
		"server": func() (material, error) { return s.material(ownNonce{server.public, server}, client.public, true) },
	} {
		m, err := m()
		if err != nil || !bytes.Equal(m.raw(s, false), g.FromClient) || !bytes.Equal(m.raw(s, true), g.FromServer) {
			t.Errorf("%s: %v, %x and %x", side, err, m.raw(s, false), m.raw(s, true))
		}
	}
}

func TestGoldenECCMessages(t *testing.T) {
	g, s := readGoldenECC(t), ECCNistP256.suite()
	for _, m := range g.Messages {
		mode := ua.MessageSecurityModeSign
		if m.Encrypt {
			mode = ua.MessageSecurityModeSignAndEncrypt
		}
		expires := testNow.Add(time.Hour)
		client, server := &Channel{client: &ClientConfig{}}, &Channel{server: &Server{}}
		for c, t := range map[*Channel]*token{
			client: {channel: 4711, id: 1, expires: expires, send: s.newKeys(g.FromClient, mode, true), receive: s.newKeys(g.FromServer, mode, false)},
			server: {channel: 4711, id: 1, expires: expires, send: s.newKeys(g.FromServer, mode, true), receive: s.newKeys(g.FromClient, mode, false)},
		} {
			c.state, c.current, c.sent = opened, t, sequence{last: 1, started: true, full: true}
			c.limits = Limits{ReceiveChunk: 8192, ReceiveMessage: 8192, ReceiveChunks: 1, SendChunk: 8192}
			c.sending.Store(t)
		}
		for _, way := range []struct {
			from, to *Channel
			want     []byte
		}{{client, server, m.Client}, {server, client, m.Server}} {
			b, err := way.from.End(append(way.from.Begin(nil, 77), m.Body...), 0, KindMessage, testNow)
			if err != nil || !bytes.Equal(b, way.want) {
				t.Fatalf("%v with %d bytes: %v\n got %x\nwant %x", mode, len(m.Body), err, b, way.want)
			}
			if _, got, err := way.to.Next(bytes.Clone(way.want), testNow); err != nil || got.RequestID != 77 || !bytes.Equal(got.Body, m.Body) {
				t.Fatalf("%v with %d bytes: %+v, %v", mode, len(m.Body), got, err)
			}
		}
	}
}

func TestGoldenECCOpens(t *testing.T) {
	g := readGoldenECC(t)
	server, err := NewServer(ServerConfig{Identity: goldenIdentity(t, g.Server.Certificate, g.Server.Key), Security: allSecurity[7:], Trust: anybody{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range g.Opens {
		c := server.NewChannel(1, "")
		c.state, c.limits.ReceiveChunk = agreed, 1<<16
		_, m, err := c.Next(bytes.Clone(o.Chunk), testNow)
		if err != nil || m.RequestID != 1 || !bytes.Equal(m.Body, o.Body) || c.received.last != 0 || c.sender.ApplicationURI != "urn:golden:client" {
			t.Errorf("%d bytes: %+v, %v", len(o.Body), m, err)
		}
	}
}

func TestGoldenECCSecrets(t *testing.T) {
	g := readGoldenECC(t)
	own, sender := ephemeralOf(t, g.ServerEphemeral), goldenIdentity(t, g.Client.Certificate, g.Client.Key)
	for _, x := range g.Secrets {
		got, err := ECCNistP256.OpenSecret(&sender.Certificate, own, x.Sealed, g.Nonce)
		if err != nil || !bytes.Equal(got, x.Password) {
			t.Errorf("%d bytes: %q, %v", len(x.Sealed), got, err)
		}
		ours, err := ECCNistP256.SealSecret(sender, own.Public(), g.Nonce, x.Password, testNow)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ECCNistP256.OpenSecret(&sender.Certificate, own, ours, g.Nonce); err != nil || !bytes.Equal(got, x.Password) {
			t.Errorf("our own of %d bytes: %q, %v", len(ours), got, err)
		}
	}
	// The last one is with its certificate, as ours is.
	last := g.Secrets[len(g.Secrets)-1]
	if ours, err := ECCNistP256.SealSecret(sender, own.Public(), g.Nonce, last.Password, testNow); err != nil || len(ours) != len(last.Sealed) {
		t.Errorf("%d bytes, want %d: %v", len(ours), len(last.Sealed), err)
	}
}

// What we sign is what X.509 and OpenSSL call a signature, once it is written as they write it; and the other way round.
func TestSignaturesOfOthers(t *testing.T) {
	id, text := testIdentity(t, "client", eccBits), []byte("what is signed")
	raw, err := ECCNistP256.Sign(id, text)
	if err != nil || len(raw) != eccSignatureBytes {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	der := derSignature(t, raw)
	cert, err := x509.ParseCertificate(id.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := cert.CheckSignature(x509.ECDSAWithSHA256, text, der); err != nil {
		t.Error(err)
	}
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("REQUIRE_INTEROP") == "1" {
			t.Fatal(err)
		}
		t.Skip("no openssl here")
	}
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	run := func(args ...string) []byte {
		t.Helper()
		out, err := exec.Command(openssl, args...).Output()
		if err != nil {
			t.Fatalf("openssl %v: %v", args, err)
		}
		return out
	}
	if err := id.Save(filepath.Join(dir, "cert.der"), filepath.Join(dir, "key.pem")); err != nil {
		t.Fatal(err)
	}
	public := file("public.pem", run("x509", "-inform", "DER", "-in", filepath.Join(dir, "cert.der"), "-pubkey", "-noout"))
	plain := file("plain", text)
	run("dgst", "-sha256", "-verify", public, "-signature", file("sig", der), plain)
	theirs := run("dgst", "-sha256", "-sign", filepath.Join(dir, "key.pem"), plain)
	if err := ECCNistP256.Verify(&id.Certificate, rawSignature(t, theirs), text); err != nil {
		t.Error(err)
	}
}

type ecdsaSignature struct{ R, S *big.Int }

func derSignature(t testing.TB, raw []byte) []byte {
	t.Helper()
	der, err := asn1.Marshal(ecdsaSignature{new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func rawSignature(t testing.TB, der []byte) []byte {
	t.Helper()
	var sig ecdsaSignature
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		t.Fatal(err)
	}
	return append(sig.R.FillBytes(make([]byte, 32)), sig.S.FillBytes(make([]byte, 32))...)
}

// Signatures that are none, and the one that is another for the same.
func TestECCSignaturesThatAreNone(t *testing.T) {
	id, text := testIdentity(t, "client", eccBits), []byte("what is signed")
	raw, err := ECCNistP256.Sign(id, text)
	if err != nil {
		t.Fatal(err)
	}
	n := elliptic.P256().Params().N
	changed := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(raw)) }
	beyond := new(big.Int).Add(new(big.Int).SetBytes(raw[:32]), n)
	for name, sig := range map[string][]byte{
		"none": nil, "short": raw[:63], "long": append(bytes.Clone(raw), 0), "zeros": make([]byte, 64), "all ones": bytes.Repeat([]byte{0xFF}, 64),
		"r of 0":      changed(func(b []byte) []byte { clear(b[:32]); return b }),
		"s of 0":      changed(func(b []byte) []byte { clear(b[32:]); return b }),
		"a bit of r":  changed(func(b []byte) []byte { b[5] ^= 4; return b }),
		"a bit of s":  changed(func(b []byte) []byte { b[40] ^= 4; return b }),
		"r and s":     append(bytes.Clone(raw[32:]), raw[:32]...),
		"ASN.1":       derSignature(t, raw),
		"s of n":      append(bytes.Clone(raw[:32]), n.FillBytes(make([]byte, 32))...),
		"r beyond n":  append(new(big.Int).Mod(beyond, new(big.Int).Lsh(big.NewInt(1), 256)).FillBytes(make([]byte, 32)), raw[32:]...),
		"of another":  signedBy(t, "server", text),
		"of one more": signedBy(t, "client", append(bytes.Clone(text), 0)),
	} {
		if err := ECCNistP256.Verify(&id.Certificate, sig, text); !errors.Is(err, ua.BadApplicationSignatureInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The other s is as good, as it is for everybody else.
	other := new(big.Int).Sub(n, new(big.Int).SetBytes(raw[32:]))
	if err := ECCNistP256.Verify(&id.Certificate, append(bytes.Clone(raw[:32]), other.FillBytes(make([]byte, 32))...), text); err != nil {
		t.Error(err)
	}
	// A signature of RSA under a policy of RSA says nothing here, nor does ours there.
	rsa := testIdentity(t, "client", 2048)
	if err := ECCNistP256.Verify(&rsa.Certificate, raw, text); !errors.Is(err, ua.BadCertificateInvalid) {
		t.Errorf("with an RSA key: %v", err)
	}
	if err := Basic256Sha256.Verify(&id.Certificate, raw, text); !errors.Is(err, ua.BadCertificateInvalid) {
		t.Errorf("with a key of a curve: %v", err)
	}
}

func signedBy(t testing.TB, name string, text []byte) []byte {
	t.Helper()
	sig, err := ECCNistP256.Sign(testIdentity(t, name, eccBits), text)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// badPoints are public keys that are none.
func badPoints(t testing.TB) map[string][]byte {
	t.Helper()
	key, err := NewEphemeralKey()
	if err != nil {
		t.Fatal(err)
	}
	off := bytes.Clone(key.Public())
	off[63] ^= 1
	p := elliptic.P256().Params().P
	beyond := append(p.FillBytes(make([]byte, 32)), key.Public()[32:]...)
	// (2, y) of a curve with another b: it would tell k modulo the small order of its points.
	other := append(big.NewInt(2).FillBytes(make([]byte, 32)), big.NewInt(3).FillBytes(make([]byte, 32))...)
	p384, err := ecdh.P384().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"none": nil, "short": key.Public()[:63], "long": append(bytes.Clone(key.Public()), 0), "random bytes of an RSA policy": randomBytes(32),
		"not on the curve": off, "on another curve": other, "zeros": make([]byte, 64), "a coordinate beyond the field": beyond,
		"compressed": append([]byte{2}, key.Public()[:32]...), "with the 4 in front": append([]byte{4}, key.Public()...), "of P-384": p384.PublicKey().Bytes()[1:],
		"of P-384, cut": p384.PublicKey().Bytes()[1:65],
	}
}

// A public key that is none ends the opening of a channel on both sides, before anything is calculated with it.
func TestPublicKeysThatAreNone(t *testing.T) {
	for name, point := range badPoints(t) {
		t.Run(name, func(t *testing.T) {
			key, err := NewEphemeralKey()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := key.agree(point); err == nil {
				t.Errorf("agreed on %x", got)
			}
			p := newPair(t, pairConfig{security: allSecurity[8]})
			p.server.state, p.server.policy, p.server.sender = agreed, ECCNistP256, p.client.remote
			body := ua.AppendMessage(nil, &ua.OpenSecureChannelRequest{SecurityMode: ua.MessageSecurityModeSignAndEncrypt, ClientNonce: point})
			_, _, err = p.server.AcceptOpen(nil, Message{Kind: KindOpen, Body: body}, p.now)
			wantStatus(t, err, ua.BadNonceInvalid)

			p.client.state, p.client.policy = agreed, ECCNistP256
			if _, err = p.client.AppendOpen(nil, 1, false, 0, p.now); err != nil {
				t.Fatal(err)
			}
			body = ua.AppendMessage(nil, &ua.OpenSecureChannelResponse{SecurityToken: ua.ChannelSecurityToken{ChannelId: 1, TokenId: 1}, ServerNonce: point})
			_, err = p.client.Opened(Message{Kind: KindOpen, RequestID: 1, Body: body}, p.now)
			wantStatus(t, err, ua.BadNonceInvalid)
		})
	}
}

// An OPN with ECC is signed and not encrypted, has new keys each time, and begins to count at 0.
func TestAnECCOpenIsSignedAlone(t *testing.T) {
	p := newPair(t, pairConfig{security: allSecurity[8]})
	p.client.state, p.server.state = agreed, agreed
	p.client.limits.SendChunk, p.server.limits.ReceiveChunk, p.client.limits.ReceiveChunk = 1<<16, 1<<16, 1<<16
	opn, err := p.client.AppendOpen(nil, 1, false, 0, p.now)
	if err != nil {
		t.Fatal(err)
	}
	h, err := readAsymmetric(opn)
	if err != nil {
		t.Fatal(err)
	}
	var req ua.OpenSecureChannelRequest
	if err := decodeBody(opn[h.at+sequenceBytes:len(opn)-eccSignatureBytes], &req); err != nil || len(req.ClientNonce) != 64 {
		t.Errorf("the body cannot be read by everybody: %v, nonce of %d bytes", err, len(req.ClientNonce))
	}
	if n := binary.LittleEndian.Uint32(opn[h.at:]); n != 0 {
		t.Errorf("begins with %d", n)
	}
	first := bytes.Clone(req.ClientNonce)
	answer, _, err := p.server.AcceptOpen(nil, p.one(p.server, opn), p.now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.client.Opened(p.one(p.client, answer), p.now); err != nil {
		t.Fatal(err)
	}
	if p.client.asked.Load() != nil {
		t.Error("the private half is kept")
	}
	again, err := p.client.AppendOpen(nil, 2, true, 0, p.now)
	if err != nil {
		t.Fatal(err)
	}
	if err := decodeBody(again[h.at+sequenceBytes:len(again)-eccSignatureBytes], &req); err != nil || bytes.Equal(req.ClientNonce, first) {
		t.Errorf("the same key again, %v", err)
	}
	if n := binary.LittleEndian.Uint32(again[h.at:]); n != 1 {
		t.Errorf("goes on with %d", n)
	}
}

// Who has the certificate of one kind and names the policy of the other is told what goes with what.
func TestCertificatesOfTheOtherKind(t *testing.T) {
	rsa, ecc := testIdentity(t, "server", 2048), testIdentity(t, "server", eccBits)
	for name, test := range map[string]struct {
		err  func() error
		want string
	}{
		"client with RSA": {func() error {
			_, err := NewClient(ClientConfig{Security: allSecurity[7], Identity: rsa, ServerCertificate: ecc.Chain})
			return err
		}, "ECC_nistP256 works with a key of NIST P-256, and the certificate has an RSA key"},
		"server's with RSA": {func() error {
			_, err := NewClient(ClientConfig{Security: allSecurity[7], Identity: ecc, ServerCertificate: rsa.Chain})
			return err
		}, "ECC_nistP256 works with a key of NIST P-256, and the certificate has an RSA key"},
		"client with a curve": {func() error {
			_, err := NewClient(ClientConfig{Security: allSecurity[1], Identity: ecc, ServerCertificate: rsa.Chain})
			return err
		}, "Basic256Sha256 works with an RSA key, and the certificate has one of the curve P-256"},
		"server without ECC": {func() error {
			_, err := NewServer(ServerConfig{Security: allSecurity, Identity: rsa, Trust: anybody{}})
			return err
		}, "needs a certificate with a key of NIST P-256"},
		"server without RSA": {func() error {
			_, err := NewServer(ServerConfig{Security: allSecurity, Identity: ecc, Trust: anybody{}})
			return err
		}, "needs a certificate with an RSA key"},
		"RSA at an ECC endpoint":   {func() error { return openAs(t, allSecurity[7], rsa) }, "the policy ECC_nistP256 takes certificates with a key of NIST P-256"},
		"ECC at an RSA endpoint":   {func() error { return openAs(t, allSecurity[1], ecc) }, "the policy Basic256Sha256 takes certificates with an RSA key"},
		"P-384 at an ECC endpoint": {func() error { return openAs(t, allSecurity[7], p384Identity(t)) }, "one of the curve P-384"},
	} {
		if err := test.err(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	if ECCNistP256.Pick(rsa, nil, ecc) != ecc || Basic256Sha256.Pick(nil, ecc, rsa) != rsa || ECCNistP256.Pick(rsa) != nil {
		t.Error("the wrong one is picked")
	}
}

// openAs sends a server the OPN of a policy with a certificate that does not go with it.
func openAs(t *testing.T, s Security, id *Identity) error {
	t.Helper()
	p := newPair(t, pairConfig{security: s})
	mine := *p.client.client.Identity
	mine.Chain = id.Chain
	p.client.client.Identity = &mine
	p.client.state, p.server.state, p.server.limits.ReceiveChunk = agreed, agreed, 1<<16
	b, err := p.client.AppendOpen(nil, 1, false, 0, p.now)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = p.server.Next(b, p.now)
	wantStatus(t, err, ua.BadCertificateInvalid)
	return err
}

func p384Identity(t *testing.T) *Identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := newIdentity(newPlant(t).self(key, nil).Raw, key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestFullSequenceNumbers(t *testing.T) {
	sent, received := sequence{full: true}, sequence{full: true}
	for want := range uint32(3) {
		if n := sent.next(); n != want || !received.take(n, SequenceStrict) {
			t.Errorf("%d in place of %d", n, want)
		}
	}
	sent.last, received.last = 4294967294, 4294967294
	for _, want := range []uint32{4294967295, 0, 1} {
		if n := sent.next(); n != want || !received.take(n, SequenceStrict) {
			t.Errorf("%d in place of %d", n, want)
		}
	}
	// Nobody wraps early, as RSA may.
	early := sequence{last: 4294966272, started: true, full: true}
	if early.take(1, SequenceStrict) || early.take(4294966274, SequenceStrict) || !early.take(4294966273, SequenceStrict) {
		t.Error("wraps as RSA does")
	}
}
