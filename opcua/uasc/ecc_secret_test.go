package uasc

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"millrace/opcua/ua"
)

func TestECCSecretsThatAreNone(t *testing.T) {
	id, nonce := testIdentity(t, "client", eccBits), randomBytes(32)
	own, err := NewEphemeralKey()
	if err != nil {
		t.Fatal(err)
	}
	seal := func(id *Identity, receiver, nonce []byte) []byte {
		t.Helper()
		b, err := ECCNistP256.SealSecret(id, receiver, nonce, []byte("secret"), testNow)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := seal(id, own.Public(), nonce)
	said := map[string]bool{}
	refused := func(name string, sender *Identity, own *EphemeralKey, sealed, nonce []byte) {
		t.Helper()
		var cert *Certificate
		if sender != nil {
			cert = &sender.Certificate
		}
		got, err := ECCNistP256.OpenSecret(cert, own, sealed, nonce)
		if err == nil {
			t.Errorf("%s: taken as %q", name, got)
			return
		}
		wantStatus(t, err, ua.BadIdentityTokenRejected)
		said[err.Error()] = true
	}
	other, err := NewEphemeralKey()
	if err != nil {
		t.Fatal(err)
	}
	refused("another nonce", id, own, good, randomBytes(32))
	refused("a longer nonce", id, own, good, append(bytes.Clone(nonce), 0))
	refused("another ephemeral key", id, other, good, nonce)
	refused("no ephemeral key", id, nil, good, nonce)
	refused("another sender", testIdentity(t, "server", eccBits), own, good, nonce)
	refused("a sender with RSA", testIdentity(t, "client", 2048), own, good, nonce)
	refused("no sender", nil, own, good, nonce)
	refused("none", id, own, nil, nonce)
	refused("plain", id, own, []byte("secret"), nonce)
	refused("cut", id, own, good[:len(good)-1], nonce)
	refused("longer", id, own, append(bytes.Clone(good), 0), nonce)
	refused("too long", id, own, append(bytes.Clone(good), make([]byte, maxSealedSecret)...), nonce)
	for at := range good {
		changed := bytes.Clone(good)
		changed[at] ^= 1
		refused("changed", id, own, changed, nonce)
	}
	// Signed by the right one, and wrong in what is signed.
	for name, change := range map[string]func(b []byte) []byte{
		"another type":             func(b []byte) []byte { b[2]++; return b },
		"another mask":             func(b []byte) []byte { b[4] = 2; return b },
		"a length that is neither": func(b []byte) []byte { b[5] ^= 1; return b },
		"another policy":           func(b []byte) []byte { return bytes.Replace(b, []byte("nistP256"), []byte("nistP384"), 1) },
		"no whole blocks": func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[5:], binary.LittleEndian.Uint32(b[5:])+1)
			return append(b, 0)
		},
		"padding": func(b []byte) []byte { b[len(b)-17] ^= 1; return b }, // in the block before the last: it changes the last byte but one of the plain text
	} {
		refused(name, id, own, resigned(t, id, change(bytes.Clone(good[:len(good)-eccSignatureBytes]))), nonce)
	}
	for name, point := range badPoints(t) {
		if _, err := ECCNistP256.SealSecret(id, point, nonce, []byte("secret"), testNow); err == nil {
			t.Errorf("sealed for a key that is none: %s", name)
		}
		if len(point) == pointBytes {
			b := bytes.Clone(good[:len(good)-eccSignatureBytes])
			x, _ := readSecret(good)
			refused("sender's key: "+name, id, own, resigned(t, id, bytes.Replace(b, x.sender, point, 1)), nonce)
		}
	}
	if len(said) != 1 {
		t.Errorf("what is said tells what was wrong: %v", said)
	}
	// The length of the whole in place of that of the rest is as good, and so is no certificate.
	whole := bytes.Clone(good[:len(good)-eccSignatureBytes])
	binary.LittleEndian.PutUint32(whole[5:], uint32(len(good)))
	if got, err := ECCNistP256.OpenSecret(&id.Certificate, own, resigned(t, id, whole), nonce); err != nil || string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := Basic256Sha256.SealSecret(id, own.Public(), nonce, nil, testNow); err == nil {
		t.Error("sealed with RSA")
	}
	if _, err := ECCNistP256.SealSecret(testIdentity(t, "client", 2048), own.Public(), nonce, nil, testNow); err == nil {
		t.Error("signed with RSA")
	}
	if _, err := ECCNistP256.EncryptSecret(&id.Certificate, []byte("secret"), nonce); err == nil {
		t.Error("encrypted with a certificate that encrypts nothing")
	}
	if _, err := ECCNistP256.DecryptSecret(id, "", good, nonce); err == nil {
		t.Error("decrypted with a certificate that decrypts nothing")
	}
}

func resigned(t testing.TB, id *Identity, b []byte) []byte {
	t.Helper()
	digest := sha256.Sum256(b)
	sig, err := signECDSA(id.Signer, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return append(b, sig...)
}

// No secret is shorter than a block on the wire, and none tells its length by less than a block.
func TestSealedSecretsAreWholeBlocks(t *testing.T) {
	id, nonce := testIdentity(t, "client", eccBits), randomBytes(32)
	own, err := NewEphemeralKey()
	if err != nil {
		t.Fatal(err)
	}
	lengths := map[int]int{}
	for n := range 40 {
		b, err := ECCNistP256.SealSecret(id, own.Public(), nonce, make([]byte, n), testNow)
		if err != nil {
			t.Fatal(err)
		}
		lengths[len(b)]++
		if got, err := ECCNistP256.OpenSecret(&id.Certificate, own, b, nonce); err != nil || len(got) != n {
			t.Errorf("%d bytes became %d: %v", n, len(got), err)
		}
	}
	if len(lengths) > 4 {
		t.Errorf("40 secrets have %d lengths", len(lengths))
	}
}

// FuzzSecret: anything as a password of somebody who is trusted. It is opened only as it was sealed.
func FuzzSecret(f *testing.F) {
	g := readGoldenECC(f)
	own, sender := ephemeralOf(f, g.ServerEphemeral), goldenIdentity(f, g.Client.Certificate, g.Client.Key)
	known := map[string]bool{}
	for _, x := range g.Secrets {
		f.Add([]byte(x.Sealed), false)
		f.Add([]byte(x.Sealed[:len(x.Sealed)-eccSignatureBytes]), true)
		known[string(x.Password)] = true
	}
	f.Fuzz(func(t *testing.T, in []byte, sign bool) {
		if sign {
			in = resigned(t, sender, bytes.Clone(in))
		}
		got, err := ECCNistP256.OpenSecret(&sender.Certificate, own, in, g.Nonce)
		if err == nil && len(got) > len(in) {
			t.Fatalf("%d bytes out of %d", len(got), len(in))
		}
		if err == nil && !sign && !known[string(got)] {
			t.Fatalf("opened without the key that seals: %x", got)
		}
	})
}
