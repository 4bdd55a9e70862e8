package uasc

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
	"time"

	"millrace/opcua/ua"
)

// hexBytes are bytes written in hexadecimal.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// golden is what testdata/golden.py worked out with another implementation of the cryptography.
type golden struct {
	Client   hexBytes
	Psha256  hexBytes
	Messages []struct {
		Policy  string
		Encrypt bool
		Body    hexBytes
		Client  hexBytes
		Server  hexBytes
	}
	Servers []struct {
		Bits        int
		Key         hexBytes
		Certificate hexBytes
		Opens       []struct {
			Policy      string
			Body, Chunk hexBytes
		}
		Secrets []struct {
			Policy           string
			Password, Cipher hexBytes
		}
	}
}

func readGolden(t testing.TB) golden {
	t.Helper()
	b, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// The nonces of golden.py.
func goldenNonces() (client, server []byte) {
	for i := range 32 {
		client, server = append(client, byte(i)), append(server, byte(100+i))
	}
	return client, server
}

func TestGoldenKeys(t *testing.T) {
	if got, want := pSHA256([]byte("secret"), []byte("seed"), 80), readGolden(t).Psha256; !bytes.Equal(got, want) {
		t.Errorf("P_SHA256 %x, want %x", got, want)
	}
}

func TestGoldenMessages(t *testing.T) {
	g := readGolden(t)
	clientNonce, serverNonce := goldenNonces()
	for _, m := range g.Messages {
		policy, ok := ParsePolicy(m.Policy)
		if !ok {
			t.Fatal(m.Policy)
		}
		mode := ua.MessageSecurityModeSign
		if m.Encrypt {
			mode = ua.MessageSecurityModeSignAndEncrypt
		}
		s := policy.suite()
		expires := testNow.Add(time.Hour)
		nonces := material{client: clientNonce, server: serverNonce}
		fromClient := func(seal bool) *keys { return s.newKeys(nonces.raw(s, false), mode, seal) }
		fromServer := func(seal bool) *keys { return s.newKeys(nonces.raw(s, true), mode, seal) }
		client, server := &Channel{client: &ClientConfig{}}, &Channel{server: &Server{}}
		for c, t := range map[*Channel]*token{
			client: {channel: 4711, id: 1, expires: expires, send: fromClient(true), receive: fromServer(false)},
			server: {channel: 4711, id: 1, expires: expires, send: fromServer(true), receive: fromClient(false)},
		} {
			c.state, c.current, c.sent.last = opened, t, 1
			c.limits = Limits{ReceiveChunk: 8192, ReceiveMessage: 8192, ReceiveChunks: 1, SendChunk: 8192}
			c.sending.Store(t)
		}
		for _, way := range []struct {
			from, to *Channel
			want     []byte
		}{{client, server, m.Client}, {server, client, m.Server}} {
			b, err := way.from.End(append(way.from.Begin(nil, 77), m.Body...), 0, KindMessage, testNow)
			if err != nil || !bytes.Equal(b, way.want) {
				t.Fatalf("%v/%v with %d bytes: %v\n got %x\nwant %x", policy, mode, len(m.Body), err, b, way.want)
			}
			used, got, err := way.to.Next(bytes.Clone(way.want), testNow)
			if err != nil || used != len(way.want) || got.RequestID != 77 || !bytes.Equal(got.Body, m.Body) {
				t.Fatalf("%v/%v with %d bytes: %+v, %v", policy, mode, len(m.Body), got, err)
			}
		}
	}
}

func TestGoldenOpens(t *testing.T) {
	g := readGolden(t)
	opens := 0
	for _, s := range g.Servers {
		id := goldenIdentity(t, s.Certificate, s.Key)
		server, err := NewServer(ServerConfig{Identity: id, ECCIdentity: testIdentity(t, "server", eccBits), Security: allSecurity, Trust: anybody{}})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range s.Opens {
			c := server.NewChannel(1, "")
			c.state, c.limits.ReceiveChunk = agreed, 1<<16
			used, m, err := c.Next(bytes.Clone(o.Chunk), testNow)
			if err != nil || used != len(o.Chunk) || m.RequestID != 1 || c.received.last != 51 || !bytes.Equal(m.Body, o.Body) {
				t.Errorf("%s of %d bits with %d bytes: %+v, %v", o.Policy, s.Bits, len(o.Body), m, err)
			}
			if c.sender.ApplicationURI != "urn:golden:client" || !bytes.Equal(c.sender.Raw, g.Client) {
				t.Errorf("sent by %q", c.sender.ApplicationURI)
			}
			opens++
		}
	}
	if opens != 27 {
		t.Errorf("%d chunks opened", opens)
	}
}

func TestGoldenSecrets(t *testing.T) {
	_, nonce := goldenNonces()
	for _, s := range readGolden(t).Servers {
		id := goldenIdentity(t, s.Certificate, s.Key)
		for _, x := range s.Secrets {
			policy, _ := ParsePolicy(x.Policy)
			got, err := policy.DecryptSecret(id, policy.EncryptionURI(), x.Cipher, nonce)
			if err != nil || !bytes.Equal(got, x.Password) {
				t.Errorf("%v of %d bits: %q, %v", policy, s.Bits, got, err)
			}
			ours, err := policy.EncryptSecret(&id.Certificate, x.Password, nonce)
			if err != nil || len(ours) != len(x.Cipher) {
				t.Errorf("%v of %d bits: %d bytes, want %d: %v", policy, s.Bits, len(ours), len(x.Cipher), err)
			}
			if got, err := policy.DecryptSecret(id, "", ours, nonce); err != nil || !bytes.Equal(got, x.Password) {
				t.Errorf("%v of %d bits: %q, %v", policy, s.Bits, got, err)
			}
		}
	}
}

func goldenIdentity(t testing.TB, cert, key []byte) *Identity {
	t.Helper()
	k, err := x509.ParsePKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	id, err := newIdentity(cert, k.(crypto.Signer))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// goldenKey returns a key of so many bits, which takes long to make.
func goldenKey(t testing.TB, bits int) crypto.Signer {
	t.Helper()
	for _, s := range readGolden(t).Servers {
		if s.Bits == bits {
			return goldenIdentity(t, s.Certificate, s.Key).Signer
		}
	}
	t.Fatalf("no key of %d bits", bits)
	return nil
}

// A CBC that cannot be set back, which the crypto of this platform is not, does the same.
func TestRemadeCBC(t *testing.T) {
	key, iv := randomBytes(32), randomBytes(blockBytes)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	plain := randomBytes(160)
	want := bytes.Clone(plain)
	fast := keys{cbc: newCBC(key, iv, true), iv: [blockBytes]byte(iv)}
	fast.crypt(want)
	seal, open := keys{cbc: &remadeCBC{block: block, seal: true}, iv: fast.iv}, keys{cbc: &remadeCBC{block: block}, iv: fast.iv}
	for range 2 {
		b := bytes.Clone(plain)
		if seal.crypt(b); !bytes.Equal(b, want) {
			t.Fatalf("% x, want % x", b, want)
		}
		if open.crypt(b); !bytes.Equal(b, plain) {
			t.Fatalf("% x, want % x", b, plain)
		}
	}
}
