package uasc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/opcua/ua"
)

// plant is a root, an issuer under it, and what they sign.
type plant struct {
	t            *testing.T
	dir          string
	store        *TrustStore
	root, issuer *x509.Certificate
	rootKey      crypto.Signer
	issuerKey    crypto.Signer
	leafKey      crypto.Signer
	now          time.Time
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	p := &plant{t: t, dir: t.TempDir(), now: testNow}
	var err error
	if p.store, err = OpenTrustStore(p.dir, TrustStoreConfig{MaxRejected: 5}); err != nil {
		t.Fatal(err)
	}
	p.rootKey, p.issuerKey, p.leafKey = newECKey(t), newECKey(t), testIdentity(t, "client", 2048).Signer
	p.root = p.sign(authority("root"), nil, p.rootKey.Public(), p.rootKey)
	p.issuer = p.sign(authority("issuer"), p.root, p.issuerKey.Public(), p.rootKey)
	return p
}

func newECKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func authority(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, NotBefore: testNow.AddDate(-1, 0, 0), NotAfter: testNow.AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func application(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(42), Subject: pkix.Name{CommonName: name}, NotBefore: testNow.AddDate(0, -1, 0), NotAfter: testNow.AddDate(1, 0, 0),
		BasicConstraintsValid: true, KeyUsage: rsaUsage | x509.KeyUsageContentCommitment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		URIs:        []*url.URL{{Scheme: "urn", Opaque: "plant:" + name}}, DNSNames: []string{"plc.local"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 7)},
	}
}

// sign makes the certificate of a template; without a parent it signs itself.
func (p *plant) sign(template, parent *x509.Certificate, public crypto.PublicKey, by crypto.Signer) *x509.Certificate {
	p.t.Helper()
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	if err != nil {
		p.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		p.t.Fatal(err)
	}
	return cert
}

// leaf is an application's certificate from the issuer, changed by change.
func (p *plant) leaf(change func(*x509.Certificate)) *x509.Certificate {
	p.t.Helper()
	t := application("press")
	if change != nil {
		change(t)
	}
	return p.sign(t, p.issuer, p.leafKey.Public(), p.issuerKey)
}

// self is an application's certificate that it signed itself.
func (p *plant) self(key crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
	p.t.Helper()
	t := application("press")
	if change != nil {
		change(t)
	}
	return p.sign(t, nil, key.Public(), key)
}

func (p *plant) put(folder, name string, b []byte) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, folder, name), b, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// revoke puts lists of the root and of the issuer in place, which revoke serial numbers.
func (p *plant) revoke(until time.Time, byRoot, byIssuer []int64) {
	p.t.Helper()
	for _, l := range []struct {
		name    string
		issuer  *x509.Certificate
		key     crypto.Signer
		serials []int64
	}{{"root.crl", p.root, p.rootKey, byRoot}, {"issuer.crl", p.issuer, p.issuerKey, byIssuer}} {
		t := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: testNow.AddDate(0, 0, -1), NextUpdate: until}
		for _, n := range l.serials {
			t.RevokedCertificateEntries = append(t.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: testNow})
		}
		der, err := x509.CreateRevocationList(rand.Reader, t, l.issuer, l.key)
		if err != nil {
			p.t.Fatal(err)
		}
		p.put("issuers/crl", l.name, der)
	}
}

// good puts everything in place with which a leaf of the issuer is accepted.
func (p *plant) good() {
	p.put("trusted/certs", "root.der", p.root.Raw)
	p.put("issuers/certs", "issuer.der", p.issuer.Raw)
	p.revoke(testNow.AddDate(0, 1, 0), nil, nil)
}

var plantUse = Use{Policy: Basic256Sha256, By: "server", Peer: "10.0.0.9:1", ApplicationURI: "urn:plant:press"}

func TestValidateInOrder(t *testing.T) {
	chain := func(certs ...*x509.Certificate) []byte {
		var b []byte
		for _, c := range certs {
			b = append(b, c.Raw...)
		}
		return b
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	host := plantUse
	host.Server, host.HostName = true, "plc.local"
	address := host
	address.HostName = "10.0.0.7"
	curve := plantUse
	curve.Policy = ECCNistP256
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := host
	elsewhere.HostName = "other.local"
	tests := []struct {
		name   string
		set    func(p *plant) []byte
		use    Use
		check  Check // 0: accepted
		status ua.StatusCode
		issuer bool
	}{
		{name: "chain from the lists", set: func(p *plant) []byte { p.good(); return p.leaf(nil).Raw }},
		{name: "chain as sent", set: func(p *plant) []byte {
			p.put("trusted/certs", "root.der", p.root.Raw)
			p.revoke(testNow.AddDate(0, 1, 0), nil, nil)
			return chain(p.leaf(nil), p.issuer)
		}},
		{name: "the issuer is trusted, not the root", set: func(p *plant) []byte {
			p.put("trusted/certs", "issuer.der", p.issuer.Raw)
			p.put("issuers/certs", "root.der", p.root.Raw)
			p.revoke(testNow.AddDate(0, 1, 0), nil, nil)
			return p.leaf(nil).Raw
		}},
		{name: "self-signed and trusted", set: func(p *plant) []byte {
			c := p.self(p.leafKey, nil)
			p.put("trusted/certs", "c.der", c.Raw)
			return c.Raw
		}},
		{name: "by host name", use: host, set: func(p *plant) []byte { p.good(); return p.leaf(nil).Raw }},
		{name: "by address", use: address, set: func(p *plant) []byte { p.good(); return p.leaf(nil).Raw }},
		{name: "P-256 for ECC, with no other use than signing", use: curve, set: func(p *plant) []byte {
			c := p.self(p.rootKey, func(c *x509.Certificate) { c.KeyUsage, c.ExtKeyUsage = ecUsage, nil })
			p.put("trusted/certs", "c.der", c.Raw)
			return c.Raw
		}},
		{name: "P-256 from the issuer, for ECC", use: curve, set: func(p *plant) []byte {
			p.good()
			return p.sign(application("press"), p.issuer, p.rootKey.Public(), p.issuerKey).Raw
		}},
		{name: "nothing", set: func(p *plant) []byte { return nil }, check: CheckStructure, status: ua.BadCertificateInvalid},
		{name: "garbage", set: func(p *plant) []byte { return []byte{0x30, 3, 1, 2, 3} }, check: CheckStructure, status: ua.BadCertificateInvalid},
		{name: "garbage behind it", set: func(p *plant) []byte { p.good(); return append(p.leaf(nil).Raw, 0x30, 0x80) }, check: CheckStructure, status: ua.BadCertificateInvalid},
		{name: "too long", set: func(p *plant) []byte { return make([]byte, 40000) }, check: CheckStructure, status: ua.BadCertificateInvalid},
		{name: "too many", set: func(p *plant) []byte { return slices.Repeat(p.issuer.Raw, 9) }, check: CheckStructure, status: ua.BadCertificateInvalid},
		{name: "issuer not here", set: func(p *plant) []byte { return p.leaf(nil).Raw }, check: CheckChain, status: ua.BadCertificateChainIncomplete},
		{name: "root not here", set: func(p *plant) []byte {
			p.put("issuers/certs", "issuer.der", p.issuer.Raw)
			return p.leaf(nil).Raw
		}, check: CheckChain, status: ua.BadCertificateChainIncomplete, issuer: true},
		{name: "loop", set: func(p *plant) []byte {
			// Two that issued each other.
			other := p.sign(authority("issuer"), authority("other"), p.issuerKey.Public(), p.rootKey)
			back := p.sign(authority("other"), authority("issuer"), p.rootKey.Public(), p.issuerKey)
			return chain(p.leaf(nil), other, back)
		}, check: CheckChain, status: ua.BadCertificateChainIncomplete, issuer: true},
		{name: "signed by another of the name", set: func(p *plant) []byte {
			p.good()
			fake := p.sign(authority("issuer"), nil, p.rootKey.Public(), p.rootKey)
			return p.sign(application("press"), fake, p.leafKey.Public(), p.rootKey).Raw
		}, check: CheckSignature, status: ua.BadCertificateInvalid},
		{name: "self-signed and changed", set: func(p *plant) []byte {
			c := p.self(p.leafKey, nil)
			b := slices.Clone(c.Raw)
			b[len(b)-1] ^= 1
			return b
		}, check: CheckSignature, status: ua.BadCertificateInvalid},
		{name: "short key", set: func(p *plant) []byte { return p.self(small, nil).Raw }, check: CheckPolicy, status: ua.BadCertificatePolicyCheckFailed},
		{name: "P-256", set: func(p *plant) []byte { return p.self(p.rootKey, nil).Raw }, check: CheckPolicy, status: ua.BadCertificateInvalid},
		{name: "RSA for ECC", use: curve, set: func(p *plant) []byte { return p.self(p.leafKey, nil).Raw }, check: CheckPolicy, status: ua.BadCertificateInvalid},
		{name: "P-384 for ECC_nistP256", use: curve, set: func(p *plant) []byte { return p.self(p384, nil).Raw }, check: CheckPolicy, status: ua.BadCertificatePolicyCheckFailed},
		{name: "Ed25519 for ECC", use: curve, set: func(p *plant) []byte { return p.self(edKey, nil).Raw }, check: CheckPolicy, status: ua.BadCertificateInvalid},
		{name: "P-256 for ECC, that may not sign", use: curve, set: func(p *plant) []byte {
			c := p.self(p.rootKey, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement })
			p.put("trusted/certs", "c.der", c.Raw)
			return c.Raw
		}, check: CheckUsage, status: ua.BadCertificateUseNotAllowed},
		{name: "Ed25519", set: func(p *plant) []byte { return p.self(edKey, nil).Raw }, check: CheckPolicy, status: ua.BadCertificateInvalid},
		{name: "self-signed and strange", set: func(p *plant) []byte { return p.self(p.leafKey, nil).Raw }, check: CheckTrust, status: ua.BadCertificateUntrusted},
		{name: "its issuers are known and not trusted", set: func(p *plant) []byte {
			p.put("issuers/certs", "issuer.der", p.issuer.Raw)
			p.put("issuers/certs", "root.der", p.root.Raw)
			return p.leaf(nil).Raw
		}, check: CheckTrust, status: ua.BadCertificateUntrusted},
		{name: "expired", set: func(p *plant) []byte {
			p.good()
			return p.leaf(func(c *x509.Certificate) { c.NotAfter = testNow.AddDate(0, 0, -1) }).Raw
		}, check: CheckValidity, status: ua.BadCertificateTimeInvalid},
		{name: "not yet", set: func(p *plant) []byte {
			p.good()
			return p.leaf(func(c *x509.Certificate) { c.NotBefore = testNow.AddDate(0, 0, 1) }).Raw
		}, check: CheckValidity, status: ua.BadCertificateTimeInvalid},
		{name: "issuer expired", set: func(p *plant) []byte {
			old := authority("issuer")
			old.NotAfter = testNow.AddDate(0, 0, -1)
			p.issuer = p.sign(old, p.root, p.issuerKey.Public(), p.rootKey)
			p.good()
			return p.leaf(nil).Raw
		}, check: CheckValidity, status: ua.BadCertificateIssuerTimeInvalid, issuer: true},
		{name: "another host", use: elsewhere, set: func(p *plant) []byte { p.good(); return p.leaf(nil).Raw }, check: CheckHostName, status: ua.BadCertificateHostNameInvalid},
		{name: "another application", set: func(p *plant) []byte {
			p.good()
			return p.leaf(func(c *x509.Certificate) { c.URIs[0].Opaque = "plant:other" }).Raw
		}, check: CheckURI, status: ua.BadCertificateUriInvalid},
		{name: "no data encipherment", set: func(p *plant) []byte {
			p.good()
			return p.leaf(func(c *x509.Certificate) { c.KeyUsage &^= x509.KeyUsageDataEncipherment }).Raw
		}, check: CheckUsage, status: ua.BadCertificateUseNotAllowed},
		{name: "a server's alone", set: func(p *plant) []byte {
			p.good()
			return p.leaf(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }).Raw
		}, check: CheckUsage, status: ua.BadCertificateUseNotAllowed},
		{name: "issuer may not issue", set: func(p *plant) []byte {
			no := authority("issuer")
			no.KeyUsage = x509.KeyUsageCRLSign
			p.issuer = p.sign(no, p.root, p.issuerKey.Public(), p.rootKey)
			p.good()
			return p.leaf(nil).Raw
		}, check: CheckUsage, status: ua.BadCertificateIssuerUseNotAllowed, issuer: true},
		{name: "no revocation list", set: func(p *plant) []byte {
			p.good()
			os.Remove(filepath.Join(p.dir, "issuers/crl/issuer.crl"))
			return p.leaf(nil).Raw
		}, check: CheckRevocationFound, status: ua.BadCertificateRevocationUnknown},
		{name: "no revocation list of the root", set: func(p *plant) []byte {
			p.good()
			os.Remove(filepath.Join(p.dir, "issuers/crl/root.crl"))
			return p.leaf(nil).Raw
		}, check: CheckRevocationFound, status: ua.BadCertificateIssuerRevocationUnknown, issuer: true},
		{name: "old revocation list", set: func(p *plant) []byte {
			p.good()
			p.revoke(testNow.Add(-time.Hour), nil, nil)
			return p.leaf(nil).Raw
		}, check: CheckRevocationFound, status: ua.BadCertificateRevocationUnknown},
		{name: "revoked", set: func(p *plant) []byte {
			p.good()
			p.revoke(testNow.AddDate(0, 1, 0), nil, []int64{41, 42})
			return p.leaf(nil).Raw
		}, check: CheckRevoked, status: ua.BadCertificateRevoked},
		{name: "issuer revoked", set: func(p *plant) []byte {
			p.good()
			p.revoke(testNow.AddDate(0, 1, 0), []int64{7}, nil)
			return p.leaf(nil).Raw
		}, check: CheckRevoked, status: ua.BadCertificateIssuerRevoked, issuer: true},
	}
	seen := Check(0)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlant(t)
			use := test.use
			if use.Policy == 0 {
				use = plantUse
			}
			der := test.set(p)
			v := NewValidator(ValidatorConfig{Store: p.store})
			err := v.Validate(p.now, der, use)
			var e *CertificateError
			switch {
			case test.check == 0:
				if err != nil || v.Stats().Accepted != 1 {
					t.Fatalf("refused: %v", err)
				}
				return
			case !errors.As(err, &e):
				t.Fatalf("accepted, or %v", err)
			case e.Check != test.check || e.Status != test.status || e.Issuer != test.issuer || !errors.Is(err, test.status):
				t.Fatalf("check %v, status %v, issuer %v: %v", e.Check, e.Status, e.Issuer, err)
			}
			seen |= test.check
			if n := v.Stats().Failed[test.check.String()]; n != 1 {
				t.Errorf("counted %d", n)
			}
			if test.check == CheckStructure {
				return
			}
			// Skipped, it is counted and no longer in the way; what comes behind it may be.
			waive := NewValidator(ValidatorConfig{Store: p.store, Skip: checkEnd - 1})
			if err := waive.Validate(p.now, der, use); err != nil {
				t.Errorf("with everything skipped: %v", err)
			}
			if n := waive.Stats().Waived[test.check.String()]; n != 1 {
				t.Errorf("waived %d", n)
			}
		})
	}
	if seen != checkEnd-1 {
		t.Errorf("checks that no case failed: %v", (checkEnd-1)&^seen)
	}
}

// The table of docs/opcua.md has every check in its order, with its status.
func TestTheChecksAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/opcua.md")
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for i, name := range checkNames {
		row := fmt.Sprintf("\n| `%s` | `%v` | ", name, checkStatus[i][0])
		n := strings.Index(string(doc[at:]), row)
		if n < 0 {
			t.Errorf("docs/opcua.md lacks, behind the check before it,%s", row)
			continue
		}
		at += n
		if c, ok := ParseCheck(name); !ok || c != 1<<i || c.String() != name {
			t.Errorf("%s is read as %v", name, c)
		}
	}
}
