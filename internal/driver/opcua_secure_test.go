package driver

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// secureUA serves with all policies, and trusts whom its own list has.
func secureUA(t *testing.T) (s *uaServer, pki string) {
	t.Helper()
	id, err := uasc.NewIdentity(uasc.IdentityConfig{ApplicationURI: "urn:test", Hosts: []string{"127.0.0.1"}, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	ecc, err := uasc.NewIdentity(uasc.IdentityConfig{ECC: true, ApplicationURI: "urn:test", Hosts: []string{"127.0.0.1"}, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	pki = t.TempDir()
	store, err := uasc.OpenTrustStore(pki, uasc.TrustStoreConfig{})
	if err != nil {
		t.Fatal(err)
	}
	s = newUA(t, func(c *opcua.ServerConfig) {
		c.Identity, c.ECCIdentity, c.Trust = id, ecc, uasc.NewValidator(uasc.ValidatorConfig{Store: store})
		for _, p := range opcuaPolicies[1:] {
			c.Security = append(c.Security, uasc.Security{Policy: p, Mode: ua.MessageSecurityModeSign}, uasc.Security{Policy: p, Mode: ua.MessageSecurityModeSignAndEncrypt})
		}
	})
	return s, pki
}

// accept moves what a trust list has rejected into it.
func accept(t *testing.T, pki string) int {
	t.Helper()
	store, err := uasc.OpenTrustStore(pki, uasc.TrustStoreConfig{})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := store.List()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if e.List == "rejected" {
			n++
			if _, err := store.Accept(e.Thumbprint); err != nil {
				t.Error(err)
			}
		}
	}
	return n
}

// Each side rejects the other until somebody has looked at its certificate; the errors say what to do.
func TestOPCUATrust(t *testing.T) {
	s, theirs := secureUA(t)
	ours := t.TempDir()
	d := OPCUA{PKI: ours}
	a := addrOPCUA(t, s.url(""))
	read := func() (string, error) {
		got, err := ReadOnce(context.Background(), d, a, []string{"nsu=urn:plant;s=level"}, 2*time.Second)
		if err != nil {
			return "", err
		}
		return got[0].Value.String(), nil
	}
	_, err := read()
	if err == nil || !strings.Contains(err.Error(), "millrace trust accept") || accept(t, ours) != 1 {
		t.Fatal(err)
	}
	_, err = read()
	var dial *opcua.DialError
	if !errors.As(err, &dial) || !strings.Contains(err.Error(), "trust fingerprint") || accept(t, theirs) != 1 {
		t.Fatal(err)
	}
	if got, err := read(); err != nil || got != "1.5" {
		t.Fatalf("%s, %v", got, err)
	}
	// Elliptic curves have certificates of their own, on both sides.
	a = addrOPCUA(t, s.url("?security=ECC_nistP256"))
	if _, err := read(); err == nil || !strings.Contains(err.Error(), "millrace trust accept") || accept(t, ours) != 1 {
		t.Fatal(err)
	}
	if _, err := read(); err == nil || !strings.Contains(err.Error(), "trust fingerprint") || accept(t, theirs) != 1 {
		t.Fatal(err)
	}
	if got, err := read(); err != nil || got != "1.5" {
		t.Fatalf("%s, %v", got, err)
	}
	// Every policy and mode, by a certificate of one's own.
	for _, p := range policyNames() {
		cert, key := filepath.Join(ours, ownCert), filepath.Join(ours, ownKey)
		if p == uasc.ECCNistP256.String() {
			cert, key = filepath.Join(ours, ownECCCert), filepath.Join(ours, ownECCKey)
		}
		for _, mode := range []string{"sign", "encrypt"} {
			for _, trust := range []string{"", "&trust=any"} {
				x, err := OPCUA{}.Open(context.Background(), addrOPCUA(t, s.url("?cert="+cert+"&key="+key+"&pki="+ours+"&security="+p+"/"+mode+trust)), device.Limits{}, newWatcher())
				if err != nil {
					t.Errorf("%s/%s: %v", p, mode, err)
					continue
				}
				c := x.(*opcuaSession).client.(*opcua.Client)
				if got := c.Security(); got.Policy.String() != p || (got.Mode == ua.MessageSecurityModeSign) != (mode == "sign") {
					t.Errorf("%s/%s: %v", p, mode, got)
				}
				_ = x.Close()
			}
		}
	}
}

func TestOPCUAPinnedCertificate(t *testing.T) {
	s, theirs := secureUA(t)
	ours := t.TempDir()
	id, ecc, err := EnsureIdentities(ours)
	if err != nil {
		t.Fatal(err)
	}
	if again, curve, err := EnsureIdentities(ours); err != nil || again.Thumbprint != id.Thumbprint || curve.Thumbprint != ecc.Thumbprint {
		t.Error("other certificates each time")
	}
	if ecc.ApplicationURI != id.ApplicationURI || !uasc.ECCNistP256.Takes(ecc.Key) || uasc.ECCNistP256.Takes(id.Key) {
		t.Errorf("the certificates are %s of %q and %s of %q", uasc.KeyName(id.Key), id.ApplicationURI, uasc.KeyName(ecc.Key), ecc.ApplicationURI)
	}
	for _, key := range []string{ownKey, ownECCKey} {
		if info, err := os.Stat(filepath.Join(ours, key)); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s can be read by others: %v, %v", key, info.Mode(), err)
		}
	}
	if err := os.MkdirAll(filepath.Join(theirs, "trusted/certs"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(theirs, "trusted/certs/gateway.der"), id.Raw, 0o600); err != nil {
		t.Fatal(err)
	}
	endpoints, err := opcua.GetEndpoints(context.Background(), s.url(""), opcua.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server := endpoints[0].ServerCertificate
	file := filepath.Join(t.TempDir(), "server.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server}), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(query string) error {
		x, err := OPCUA{PKI: ours}.Open(context.Background(), addrOPCUA(t, s.url(query)), device.Limits{}, newWatcher())
		if err == nil {
			_ = x.Close()
		}
		return err
	}
	if err := open("?server_cert=" + file); err != nil {
		t.Error(err)
	}
	other, err := uasc.NewIdentity(uasc.IdentityConfig{ApplicationURI: "urn:other", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, other.Raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open("?server_cert=" + file); err == nil {
		t.Error("another server was let in")
	}
	for query, want := range map[string]string{
		"?server_cert=" + file + ".missing": "server_cert",
		"?cert=x&key=y":                     "option cert",
		"?security=ECC_nistP256&cert=" + filepath.Join(ours, ownCert) + "&key=" + filepath.Join(ours, ownKey):         "it has an RSA key, and ECC_nistP256 works with a key of NIST P-256",
		"?security=Basic256Sha256&cert=" + filepath.Join(ours, ownECCCert) + "&key=" + filepath.Join(ours, ownECCKey): "it has one of the curve P-256, and Basic256Sha256 works with an RSA key",
		"?user_cert=x&user_key=y": "option user_cert",
		"?security=none":          "", // without security anybody is let in: the server offers none of it
	} {
		err := open(query)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", query, err, want)
		}
	}
	if _, err := x509.ParseCertificate(server); err != nil {
		t.Error(err)
	}
}

func TestOPCUAUsers(t *testing.T) {
	users := userList{"joe": "secret"}
	id, err := uasc.NewIdentity(uasc.IdentityConfig{ApplicationURI: "urn:test", Hosts: []string{"127.0.0.1"}, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	s := newUA(t, func(c *opcua.ServerConfig) { c.Identity, c.Users = id, users })
	for query, want := range map[string]string{"?user=joe&password=secret": "", "?user=joe&password=wrong": "look at name, password", "?user=ann&password=secret": "look at name, password"} {
		x, err := OPCUA{}.Open(context.Background(), addrOPCUA(t, s.url(query)), device.Limits{}, newWatcher())
		if err == nil {
			_ = x.Close()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", query, err)
		}
	}
}

// userList lets in who has the right password.
type userList map[string]string

func (u userList) Authenticate(_ context.Context, c opcua.Credentials) (opcua.Roles, error) {
	if c.User == "" || u[c.User] != string(c.Password) {
		return 0, ua.BadUserAccessDenied
	}
	return opcua.RoleRead, nil
}

// A certificate that nobody trusts yet is accepted, one that is for another host is not: trusting it again would change nothing.
func TestOPCUACertificateHints(t *testing.T) {
	o := &opcuaOptions{pki: "data/pki"}
	for check, want := range map[uasc.Check]string{
		uasc.CheckTrust:    "`millrace trust accept ab12 --pki data/pki`",
		uasc.CheckChain:    "`millrace trust accept --issuer ca.pem --pki data/pki`",
		uasc.CheckHostName: "skip_checks host-name",
		uasc.CheckValidity: "skip_checks validity",
	} {
		got := o.certificateHint(&uasc.CertificateError{Check: check, Thumbprint: "ab12"})
		if !strings.Contains(got, want) || check > uasc.CheckTrust && strings.Contains(got, "trust accept") {
			t.Errorf("%v: %s", check, got)
		}
	}
}

// A session that ends while it is made is explained as well.
func TestOPCUADialHints(t *testing.T) {
	for status, want := range map[ua.StatusCode]string{
		ua.BadSessionIdInvalid:    "forgotten the session",
		ua.BadSecureChannelClosed: "ended the connection",
	} {
		err := explainDial(&opcua.DialError{Stage: opcua.StageLimits, URL: "opc.tcp://plc", Status: status, Err: status}, &opcuaOptions{})
		if !strings.Contains(err.Error(), want) || !errors.Is(err, status) {
			t.Errorf("%v: %v", status, err)
		}
	}
}
