package uasc

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"millrace/opcua/ua"
)

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certificateType, Bytes: der})
}

func TestIdentityIsAnApplicationCertificate(t *testing.T) {
	id := testIdentity(t, "server", 2048)
	c, err := x509.ParseCertificate(id.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if id.ApplicationURI != "urn:test:server" || len(c.URIs) != 1 || c.DNSNames[0] != "localhost" || c.IPAddresses[0].String() != "127.0.0.1" {
		t.Errorf("names %v %v %v", c.URIs, c.DNSNames, c.IPAddresses)
	}
	if want := rsaUsage | x509.KeyUsageContentCommitment; c.KeyUsage&want != want || c.IsCA {
		t.Errorf("usage %b, authority %v", c.KeyUsage, c.IsCA)
	}
	if err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		t.Error(err)
	}
	p := newPlant(t)
	p.put("trusted/certs", "id.der", id.Raw)
	for _, server := range []bool{false, true} {
		use := Use{Policy: Aes256Sha256RsaPss, Server: server, HostName: "localhost", ApplicationURI: "urn:test:server"}
		if err := NewValidator(ValidatorConfig{Store: p.store}).Validate(testNow, id.Raw, use); err != nil {
			t.Errorf("refused by our own validator: %v", err)
		}
	}
}

func TestIdentityOfACurve(t *testing.T) {
	id := testIdentity(t, "server", eccBits)
	c, err := x509.ParseCertificate(id.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if want := x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment | x509.KeyUsageCertSign; c.KeyUsage != want || c.IsCA || c.SignatureAlgorithm != x509.ECDSAWithSHA256 || id.ApplicationURI != "urn:test:server" {
		t.Errorf("usage %b, authority %v, signed with %v for %q", c.KeyUsage, c.IsCA, c.SignatureAlgorithm, id.ApplicationURI)
	}
	p := newPlant(t)
	p.put("trusted/certs", "id.der", id.Raw)
	for _, server := range []bool{false, true} {
		use := Use{Policy: ECCNistP256, Server: server, HostName: "localhost", ApplicationURI: "urn:test:server"}
		if err := NewValidator(ValidatorConfig{Store: p.store}).Validate(testNow, id.Raw, use); err != nil {
			t.Errorf("refused by our own validator: %v", err)
		}
	}
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.der"), filepath.Join(dir, "key.pem")
	if err := id.Save(cert, key); err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(id.Signer.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	sec1File := filepath.Join(dir, "sec1.pem")
	if err := os.WriteFile(sec1File, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{key, sec1File} {
		if got, err := LoadIdentity(cert, key); err != nil || got.Thumbprint != id.Thumbprint {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestIdentityIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "own", "cert.der"), filepath.Join(dir, "own", "key.pem")
	cfg := IdentityConfig{ApplicationURI: "urn:test:once", Now: testNow}
	first, created, err := LoadOrCreateIdentity(cert, key, cfg)
	if err != nil || !created {
		t.Fatal(created, err)
	}
	again, created, err := LoadOrCreateIdentity(cert, key, cfg)
	if err != nil || created || !bytes.Equal(first.Chain, again.Chain) {
		t.Fatal(created, err)
	}
	if info, err := os.Stat(key); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the key has mode %v, %v", info.Mode(), err)
	}
	// One file alone is a mistake, not a first start.
	os.Remove(key)
	if _, _, err := LoadOrCreateIdentity(cert, key, cfg); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without its key: %v", err)
	}
}

func TestIdentityLoadsWhateverItIsPackedIn(t *testing.T) {
	id := testIdentity(t, "server", 2048)
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	rsaKey := id.Signer.(*rsa.PrivateKey)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := x509.MarshalPKCS1PrivateKey(rsaKey)
	p := newPlant(t)
	chained := append(pemOf(id.Raw), pemOf(p.root.Raw)...)
	certs := []string{write("der", id.Raw), write("pem", pemOf(id.Raw)), write("chain", chained)}
	keys := []string{
		write("8.der", pkcs8), write("1.der", pkcs1), write("8.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})),
		write("1.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: pkcs1})),
	}
	for _, cert := range certs {
		for _, key := range keys {
			got, err := LoadIdentity(cert, key)
			if err != nil || got.Thumbprint != id.Thumbprint {
				t.Errorf("%s with %s: %v", cert, key, err)
			}
		}
	}
	other := testIdentity(t, "client", 2048)
	if err := other.Save(write("o.der", nil), write("o.pem", nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadIdentity(certs[0], filepath.Join(dir, "o.pem")); !errors.Is(err, ua.BadCertificateInvalid) {
		t.Errorf("a key of another certificate: %v", err)
	}
}

func TestIdentityNeedsWhatItIsMadeOf(t *testing.T) {
	for name, cfg := range map[string]IdentityConfig{
		"no URI": {Now: testNow}, "no time": {ApplicationURI: "urn:x"}, "short": {ApplicationURI: "urn:x", Now: testNow, Bits: 1024},
		"odd": {ApplicationURI: "urn:x", Now: testNow, Bits: 2050}, "bad URI": {ApplicationURI: "http://[x", Now: testNow},
	} {
		if _, err := NewIdentity(cfg); err == nil {
			t.Errorf("%s: made", name)
		}
	}
}
