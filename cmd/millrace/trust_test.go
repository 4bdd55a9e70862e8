package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace/opcua/uasc"
)

// trustRig is a list in which a validator has refused one certificate.
type trustRig struct {
	dir string
	id  *uasc.Identity
	v   *uasc.CertificateValidator
	use uasc.Use
}

func newTrustRig(t *testing.T) *trustRig {
	t.Helper()
	r := &trustRig{dir: filepath.Join(t.TempDir(), "data", pkiFolder), use: uasc.Use{Policy: uasc.Basic256Sha256, By: "server :4840", Peer: "10.0.0.9:50123"}}
	store, err := uasc.OpenTrustStore(r.dir, uasc.TrustStoreConfig{})
	if err != nil {
		t.Fatal(err)
	}
	r.v = uasc.NewValidator(uasc.ValidatorConfig{Store: store})
	if r.id, err = uasc.NewIdentity(uasc.IdentityConfig{ApplicationName: "a \x1b[31mscada", ApplicationURI: "urn:scada", Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if r.validate() == nil {
		t.Fatal("trusted from the start")
	}
	return r
}

func (r *trustRig) validate() error { return r.v.Validate(time.Now(), r.id.Chain, r.use) }

func (r *trustRig) run(t *testing.T, want int, args ...string) string {
	t.Helper()
	out, errs, code := millrace(t, append([]string{"trust"}, args...)...)
	if code != want {
		t.Fatalf("%v: exit code %d, want %d\n%s%s", args, code, want, out, errs)
	}
	return out + errs
}

func TestTrustListAcceptReject(t *testing.T) {
	r := newTrustRig(t)
	out := r.run(t, exitOK, "list", "--pki", r.dir)
	for _, want := range []string{"rejected:", r.id.Fingerprint(), `"server :4840"`, `"10.0.0.9:50123"`, "BadCertificateUntrusted", `"urn:scada"`, "1 times"} {
		if !strings.Contains(out, want) {
			t.Errorf("list lacks %s:\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("a certificate writes to the terminal what it likes")
	}
	r.run(t, exitFailed, "accept", "ffffff", "--pki", r.dir)
	r.run(t, exitOK, "accept", r.id.Fingerprint()[:8], "--pki", r.dir)
	if err := r.validate(); err != nil {
		t.Error(err)
	}
	var entries []uasc.TrustEntry
	if err := json.Unmarshal([]byte(r.run(t, exitOK, "list", "--pki", r.dir, "--json")), &entries); err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].List != uasc.ListTrusted || entries[0].Thumbprint != r.id.Fingerprint() || entries[0].Rejected != nil {
		t.Errorf("%+v", entries)
	}
	out = r.run(t, exitOK, "reject", r.id.Fingerprint(), "--pki", r.dir, "--json")
	if err := json.Unmarshal([]byte(out), &entries); err != nil || len(entries) != 1 || entries[0].List != uasc.ListRejected {
		t.Errorf("%v: %s", err, out)
	}
	if out = r.run(t, exitOK, "list", "--pki", r.dir); !strings.Contains(out, "millrace trust reject") {
		t.Error(out)
	}
}

// What is wrong with a certificate besides that nobody trusts it is not mended by accepting it.
func TestTrustListSaysWhenAcceptingIsNotEnough(t *testing.T) {
	r := newTrustRig(t)
	if out := r.run(t, exitOK, "list", "--pki", r.dir); strings.Contains(out, "skip_checks") {
		t.Error(out)
	}
	r.run(t, exitOK, "accept", r.id.Fingerprint(), "--pki", r.dir)
	r.use.HostName = "elsewhere"
	if r.validate() == nil {
		t.Fatal("taken for another host")
	}
	if out := r.run(t, exitOK, "list", "--pki", r.dir); !strings.Contains(out, "skip_checks=host-name") {
		t.Error(out)
	}
}

func TestTrustAcceptsFiles(t *testing.T) {
	r := newTrustRig(t)
	file := filepath.Join(t.TempDir(), "scada.der")
	if err := os.WriteFile(file, r.id.Raw, 0o600); err != nil {
		t.Fatal(err)
	}
	r.run(t, exitOK, "accept", "--issuer", file, "--pki", r.dir)
	if r.validate() == nil {
		t.Error("an issuer is trusted")
	}
	r.run(t, exitOK, "accept", file, "--pki", r.dir)
	if err := r.validate(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.run(t, exitFailed, "accept", file, "--pki", r.dir)
}

func TestTrustNeedsAPlace(t *testing.T) {
	r := newTrustRig(t)
	for _, args := range [][]string{
		{"list"}, {"list", "--pki", r.dir, "-c", "x.yaml"}, {"list", "--pki", filepath.Join(r.dir, "elsewhere")}, {"list", "more", "--pki", r.dir},
		{"accept", "--pki", r.dir}, {"reject", "--pki", r.dir}, {"accept", "--issuer", "abcdef", "--pki", r.dir}, {"list", "-c", filepath.Join(r.dir, "none.yaml")},
	} {
		r.run(t, exitUsage, args...)
	}
	if _, err := os.Stat(filepath.Join(r.dir, "elsewhere")); err == nil {
		t.Error("a wrong path becomes a list")
	}
}

func TestTrustFindsTheGatewaysList(t *testing.T) {
	r := newTrustRig(t)
	config := filepath.Join(filepath.Dir(filepath.Dir(r.dir)), "gateway.yaml")
	text := "gateway: {data: data}\ndevices:\n  - id: d\n    address: modbus://127.0.0.1:1502/1\n    groups: {g: {tags: {t: 'holding-register:1:INT'}}}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := r.run(t, exitOK, "list", "-c", config); !strings.Contains(out, r.id.Fingerprint()) {
		t.Error(out)
	}
}
