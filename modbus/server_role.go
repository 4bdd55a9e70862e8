package modbus

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"unicode/utf8"
)

// RoleReason says why a connection has no role.
type RoleReason uint8

// The reasons.
const (
	RoleMissing  RoleReason = iota // no certificate that was verified, or none of its extensions is a role [MBSEC R-23]
	RoleEncoding                   // the extension is not exactly one UTF8String with something in it [MBSEC R-22]
	RoleSeveral                    // more than one extension [MBSEC R-65]
)

// String returns r in the words under which it is counted.
func (r RoleReason) String() string {
	switch r {
	case RoleMissing:
		return "role missing"
	case RoleEncoding:
		return "role encoding"
	case RoleSeveral:
		return "several roles"
	}
	return fmt.Sprintf("role reason %d", uint8(r))
}

// RoleError says why a certificate gives no role.
type RoleError struct{ Reason RoleReason }

func (e *RoleError) Error() string { return "modbus: client certificate: " + e.Reason.String() }

// isRole reports whether id is the role extension, 1.3.6.1.4.1.50316.802.1 [MBSEC R-21].
func isRole(id asn1.ObjectIdentifier) bool {
	return id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 50316, 802, 1})
}

// CertificateRole returns the role that cert carries; the error is a *RoleError.
func CertificateRole(cert *x509.Certificate) (string, error) {
	var value []byte
	found := 0
	for _, e := range cert.Extensions {
		if isRole(e.Id) {
			value = e.Value
			found++
		}
	}
	switch found {
	case 0:
		return "", &RoleError{RoleMissing}
	case 1:
		return decodeRole(value)
	}
	return "", &RoleError{RoleSeveral}
}

func decodeRole(der []byte) (string, error) {
	var v asn1.RawValue
	rest, err := asn1.Unmarshal(der, &v)
	if err != nil || len(rest) > 0 || v.Class != asn1.ClassUniversal || v.Tag != asn1.TagUTF8String || v.IsCompound ||
		len(v.Bytes) == 0 || !utf8.Valid(v.Bytes) {
		return "", &RoleError{RoleEncoding}
	}
	return string(v.Bytes), nil
}

// roleOf returns the role of a client. Only a certificate that was verified against ClientCAs has one.
func roleOf(st *tls.ConnectionState) (string, error) {
	if st == nil || len(st.VerifiedChains) == 0 {
		return "", &RoleError{RoleMissing}
	}
	return CertificateRole(st.PeerCertificates[0])
}

// serverTLS checks cfg.TLS and returns it with what the specification demands.
func serverTLS(cfg ServerConfig) (*tls.Config, error) {
	if cfg.TLS == nil {
		if cfg.RequireRole {
			return nil, errors.New("modbus: RequireRole without TLS: nobody would have a role")
		}
		return nil, nil
	}
	c := cfg.TLS.Clone()
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	if c.ClientAuth == tls.NoClientCert {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if c.ClientAuth >= tls.VerifyClientCertIfGiven && c.ClientCAs == nil && c.GetConfigForClient == nil {
		return nil, errors.New("modbus: TLS without ClientCAs: Modbus/TCP Security verifies client certificates against them")
	}
	return c, nil
}
