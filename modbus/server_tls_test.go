package modbus

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"
	"time"
)

var roleOID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 50316, 802, 1}

// roleExtension is a role in the given ASN.1 string type: "utf8" is the right one.
func roleExtension(t *testing.T, role, kind string) pkix.Extension {
	t.Helper()
	der, err := asn1.MarshalWithParams(role, kind)
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: roleOID, Value: der}
}

// clientAuthority signs the certificates of clients.
type clientAuthority struct {
	t    *testing.T
	cert tls.Certificate
}

func newClientAuthority(t *testing.T) *clientAuthority {
	return &clientAuthority{t, selfSigned(t, "authority", nil)}
}

func (a *clientAuthority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert.Leaf)
	return p
}

func (a *clientAuthority) issue(until time.Time, extra ...pkix.Extension) *tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "client"}, NotBefore: until.Add(-time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, ExtraExtensions: extra}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert.Leaf, key.Public(), a.cert.PrivateKey)
	if err != nil {
		a.t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// dialTLS makes the handshake with cert, whether or not the server would ask for such a one.
func dialTLS(s *serving, host tls.Certificate, cert *tls.Certificate) (*tls.Conn, error) {
	roots := x509.NewCertPool()
	roots.AddCert(host.Leaf)
	c := tls.Client(s.Dial(), &tls.Config{RootCAs: roots, ServerName: "127.0.0.1",
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if cert == nil {
				return &tls.Certificate{}, nil
			}
			return cert, nil
		}})
	return c, c.Handshake()
}

func TestServerTLS(t *testing.T) {
	ca, host := newClientAuthority(t), selfSigned(t, "plc", nil)
	foreign := selfSigned(t, "client", []pkix.Extension{roleExtension(t, "operator", "utf8")})
	soon := time.Now().Add(30 * time.Minute)
	operator := roleExtension(t, "operator", "utf8")
	two := operator
	two.Value = append(append([]byte(nil), operator.Value...), operator.Value...)
	const served = ""
	for _, tc := range []struct {
		name    string
		cert    *tls.Certificate
		strict  string // reason under which it is refused when a role is required
		lenient string // the same when none is
		role    string
	}{
		{"role", ca.issue(soon, operator), served, served, "operator"},
		{"no role", ca.issue(soon), "role missing", served, ""},
		{"PrintableString role", ca.issue(soon, roleExtension(t, "operator", "printable")), "role encoding", served, ""},
		{"two strings in one extension", ca.issue(soon, two), "role encoding", served, ""},
		{"empty role", ca.issue(soon, roleExtension(t, "", "utf8")), "role encoding", served, ""},
		{"two extensions", ca.issue(soon, operator, operator), "tls", "tls", ""}, // crypto/x509 refuses to parse it
		{"expired", ca.issue(time.Now().Add(-time.Minute), operator), "tls certificate", "tls certificate", ""},
		{"self-signed", &foreign, "tls certificate", "tls certificate", ""},
		{"none", nil, "tls", "tls", ""},
	} {
		for _, require := range []bool{true, false} {
			name, reason := tc.name+", role wanted", tc.strict
			if !require {
				name, reason = tc.name+", any role", tc.lenient
			}
			t.Run(name, func(t *testing.T) {
				role := make(chan string, 1)
				s := serve(t, ServerConfig{Handler: newPlant(), RequireRole: require,
					TLS: &tls.Config{Certificates: []tls.Certificate{host}, ClientCAs: ca.pool()},
					Authorize: func(r *Request) bool {
						role <- r.Conn.Role()
						return true
					}})
				c, err := dialTLS(s, host, tc.cert)
				if reason == served {
					if err != nil {
						t.Fatal(err)
					}
					wantAlive(t, c)
					if got := <-role; got != tc.role {
						t.Errorf("role %q, want %q", got, tc.role)
					}
				} else if err == nil { // TLS 1.3: the client learns of a refusal by its first read
					if _, err = c.Read(make([]byte, 1)); err == nil {
						t.Error("served")
					}
				}
				st := s.ended()
				if reason != served && st.Refused[reason] != 1 {
					t.Errorf("counted %v %v, want %q", st.Refused, st.Ended, reason)
				}
			})
		}
	}
}

func TestServerTLSRefusesOldVersions(t *testing.T) {
	ca, host := newClientAuthority(t), selfSigned(t, "plc", nil)
	s := serve(t, ServerConfig{Handler: newPlant(), TLS: &tls.Config{Certificates: []tls.Certificate{host}, ClientCAs: ca.pool(),
		ClientAuth: tls.VerifyClientCertIfGiven, MinVersion: tls.VersionTLS10}})
	c := tls.Client(s.Dial(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
	if err := c.Handshake(); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
	if st := s.ended(); st.Refused["tls"] != 1 {
		t.Errorf("counted %v", st.Refused)
	}
}

func TestServerPlainBytesOnTheTLSPort(t *testing.T) {
	ca, host := newClientAuthority(t), selfSigned(t, "plc", nil)
	s := serve(t, ServerConfig{Handler: newPlant(), TLS: &tls.Config{Certificates: []tls.Certificate{host}, ClientCAs: ca.pool()}})
	c := s.Dial()
	sendHex(t, c, askOne)
	buf := make([]byte, 64)
	for {
		n, err := c.Read(buf)
		if err != nil {
			break
		}
		if n > 0 && buf[0] == 0 { // a TLS alert begins with 0x15
			t.Errorf("got an answer: %x", buf[:n])
		}
	}
	if st := s.ended(); st.Refused["not tls"] != 1 {
		t.Errorf("counted %v", st.Refused)
	}
}

func TestServerTLSConfigIsChecked(t *testing.T) {
	if _, err := NewServer(ServerConfig{Handler: newPlant(), TLS: &tls.Config{}}); err == nil {
		t.Error("a TLS server without ClientCAs was accepted")
	}
	if _, err := NewServer(ServerConfig{Handler: newPlant(), TLS: &tls.Config{ClientAuth: tls.RequestClientCert}}); err != nil {
		t.Errorf("a TLS server that verifies nobody on purpose: %v", err)
	}
}

func TestCertificateRole(t *testing.T) {
	operator := roleExtension(t, "operator", "utf8")
	for _, tc := range []struct {
		name string
		ext  []pkix.Extension
		want RoleReason
	}{
		{"missing", []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}}}, RoleMissing},
		{"several", []pkix.Extension{operator, operator}, RoleSeveral},
		{"not DER", []pkix.Extension{{Id: roleOID, Value: []byte("operator")}}, RoleEncoding},
		{"nothing", []pkix.Extension{{Id: roleOID}}, RoleEncoding},
		{"not UTF-8", []pkix.Extension{{Id: roleOID, Value: []byte{asn1.TagUTF8String, 1, 0xFF}}}, RoleEncoding},
		{"cut", []pkix.Extension{{Id: roleOID, Value: operator.Value[:5]}}, RoleEncoding},
	} {
		role, err := CertificateRole(&x509.Certificate{Extensions: tc.ext})
		var e *RoleError
		if role != "" || !errors.As(err, &e) || e.Reason != tc.want {
			t.Errorf("%s: %q, %v; want %v", tc.name, role, err, tc.want)
		}
	}
	if role, err := CertificateRole(&x509.Certificate{Extensions: []pkix.Extension{operator}}); role != "operator" || err != nil {
		t.Errorf("%q, %v", role, err)
	}
}
