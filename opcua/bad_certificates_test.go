package opcua

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// badCertificate is what is wrong with an application's certificate that is trusted, and the check that finds it.
type badCertificate struct {
	name   string
	change func(c *x509.Certificate)
	check  uasc.Check
	status ua.StatusCode
}

var badCertificates = []badCertificate{
	{"expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }, uasc.CheckValidity, ua.BadCertificateTimeInvalid},
	{"of tomorrow", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(24 * time.Hour) }, uasc.CheckValidity, ua.BadCertificateTimeInvalid},
	{"not for data encipherment", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }, uasc.CheckUsage, ua.BadCertificateUseNotAllowed},
}

// certificate makes an identity with the key of another, whose certificate is changed, and a trust list that has it.
func (b *badCertificate) certificate(t *testing.T, name string) (*uasc.Identity, *uasc.TrustStore) {
	t.Helper()
	owner := testIdentity(t, name)
	uri, err := url.Parse(owner.ApplicationURI)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: b.name}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment | x509.KeyUsageContentCommitment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
		URIs: []*url.URL{uri}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	b.change(c)
	der, err := x509.CreateCertificate(rand.Reader, c, c, owner.Signer.Public(), owner.Signer)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := uasc.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	store, err := uasc.OpenTrustStore(dir, uasc.TrustStoreConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "trusted", "certs", "it.der"), der, 0o600); err != nil {
		t.Fatal(err)
	}
	return &uasc.Identity{Certificate: *parsed, Signer: owner.Signer}, store
}

// A live server refuses a client's certificate with the status of the check, counts it, and lets it in where the check is skipped.
func TestServerBadCertificates(t *testing.T) {
	for _, b := range badCertificates {
		t.Run(b.name, func(t *testing.T) {
			id, store := b.certificate(t, "client")
			for _, skip := range []uasc.Check{0, b.check} {
				v := uasc.NewValidator(uasc.ValidatorConfig{Store: store, Skip: skip})
				cfg := secured(t)
				cfg.Trust = v
				s := serveUA(t, cfg)
				c, err := Dial(t.Context(), s.url(), Config{Policy: "Basic256Sha256", Identity: id, ServerCertificate: testIdentity(t, "server").Raw})
				if skip != 0 {
					if err != nil || v.Stats().Waived[b.check.String()] == 0 {
						t.Errorf("with the check skipped: %v, %+v", err, v.Stats())
					}
					if err == nil {
						c.Detach()
					}
					continue
				}
				var peer *uasc.PeerError
				if !errors.As(err, &peer) || peer.Status != b.status || telling.MatchString(peer.Reason) || v.Stats().Failed[b.check.String()] != 1 {
					t.Errorf("%v, %+v", err, v.Stats())
				}
			}
		})
	}
}

// A live client does the same with a server's.
func TestClientJudgesCertificates(t *testing.T) {
	for _, b := range badCertificates {
		t.Run(b.name, func(t *testing.T) {
			id, store := b.certificate(t, "server")
			cfg := secured(t)
			cfg.Identity = id
			s := serveUA(t, cfg)
			for _, skip := range []uasc.Check{0, b.check} {
				v := uasc.NewValidator(uasc.ValidatorConfig{Store: store, Skip: skip})
				c, err := Dial(t.Context(), s.url(), Config{Policy: "Basic256Sha256", Identity: testIdentity(t, "client"), Trust: v})
				if skip != 0 {
					if err != nil || v.Stats().Waived[b.check.String()] == 0 {
						t.Errorf("with the check skipped: %v, %+v", err, v.Stats())
					}
					if err == nil {
						c.Detach()
					}
					continue
				}
				var e *DialError
				if !errors.As(err, &e) || e.Stage != StageChoose || !errors.Is(err, b.status) || e.Retryable() || v.Stats().Failed[b.check.String()] != 1 {
					t.Errorf("%v, %+v", err, v.Stats())
				}
			}
		})
	}
}
