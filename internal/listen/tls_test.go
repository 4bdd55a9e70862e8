package listen

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"
)

// authority signs certificates for one test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (a *authority) issue(from, to time.Time) tls.Certificate {
	a.t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test"}, NotBefore: from, NotAfter: to,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	key := newKey(a.t)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) good() tls.Certificate {
	return a.issue(time.Now().Add(-time.Minute), time.Now().Add(time.Minute))
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func TestTLS(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	server := &tls.Config{Certificates: []tls.Certificate{ours.good()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours.pool()}
	client := func(certs ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: ours.pool(), Certificates: certs, ServerName: "127.0.0.1"}
	}
	for _, tc := range []struct {
		name   string
		talk   func(c net.Conn)
		reason Reason
	}{
		{"good", func(c net.Conn) {
			s := tls.Client(c, client(ours.good()))
			ask(t, s, "under tls")
			ask(t, s, "again")
			s.Close()
		}, ReasonPeer},
		{"plain bytes", func(c net.Conn) { c.Write(frame("this is not a hello at all")) }, ReasonNotTLS},
		{"no certificate", func(c net.Conn) { tls.Client(c, client()).Handshake() }, ReasonTLS},
		{"expired", func(c net.Conn) {
			old := ours.issue(time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
			tls.Client(c, client(old)).Handshake()
		}, ReasonCertificate},
		{"signed by another", func(c net.Conn) {
			foreign := other.good()
			tls.Client(c, &tls.Config{RootCAs: ours.pool(), ServerName: "127.0.0.1",
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &foreign, nil }}).Handshake()
		}, ReasonCertificate},
		{"silence", func(net.Conn) {}, ReasonHandshakeTimeout},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ln := loopback(t)
			cfg := Config{TLS: server}
			if tc.reason == ReasonHandshakeTimeout {
				cfg.HandshakeTimeout = 20 * time.Millisecond
			}
			ends := make(chan End, 1)
			cfg.OnEnd = func(e End) { ends <- e }
			r := start(t, cfg, ln, serveEcho)
			c := dial(t, ln)
			tc.talk(c)
			e := <-ends
			if e.Reason != tc.reason || e.Refused != (tc.reason != ReasonPeer) {
				t.Errorf("ended with %q (%v), refused %v; want %q", e.Reason, e.Err, e.Refused, tc.reason)
			}
			r.wantStopped()
		})
	}
}

func TestDrainUnderTLS(t *testing.T) {
	ca := newAuthority(t)
	ln := loopback(t)
	r := start(t, Config{TLS: &tls.Config{Certificates: []tls.Certificate{ca.good()}}, DrainTimeout: time.Hour}, ln, serveEcho)
	idle := tls.Client(dial(t, ln), &tls.Config{RootCAs: ca.pool(), ServerName: "127.0.0.1"})
	ask(t, idle, "hello")
	hesitant := dial(t, ln) // never says hello
	other := tls.Client(dial(t, ln), &tls.Config{RootCAs: ca.pool(), ServerName: "127.0.0.1"})
	ask(t, other, "hello") // hesitant was accepted before this
	r.wantStopped()
	wantClosed(t, idle)
	wantClosed(t, hesitant)
	r.wantEnd(ReasonDrained, 3)
}
