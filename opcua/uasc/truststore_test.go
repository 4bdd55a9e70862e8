package uasc

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace/opcua/ua"
)

func lists(t *testing.T, s *TrustStore) map[string][]TrustEntry {
	t.Helper()
	all, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	by := map[string][]TrustEntry{}
	for _, e := range all {
		by[e.List] = append(by[e.List], e)
	}
	return by
}

func TestARefusedCertificateCanBeAccepted(t *testing.T) {
	p := newPlant(t)
	cert := p.self(p.leafKey, nil)
	var heard []Rejection
	v := NewValidator(ValidatorConfig{Store: p.store, OnReject: func(r Rejection) { heard = append(heard, r) }})
	for range 3 {
		if err := v.Validate(p.now, cert.Raw, plantUse); !errors.Is(err, ua.BadCertificateUntrusted) {
			t.Fatal(err)
		}
		p.now = p.now.Add(time.Minute)
	}
	if len(heard) != 3 || len(heard[0].Thumbprint) != 40 {
		t.Errorf("heard of %d: %+v", len(heard), heard)
	}
	got := lists(t, p.store)
	if len(got[ListRejected]) != 1 || len(got[ListTrusted]) != 0 {
		t.Fatalf("%+v", got)
	}
	e := got[ListRejected][0]
	r := e.Rejected
	if r == nil || r.By != "server" || r.Peer != "10.0.0.9:1" || r.Check != "trust" || r.Status != "BadCertificateUntrusted" || r.Count != 3 ||
		!r.First.Equal(testNow) || !r.Last.Equal(testNow.Add(2*time.Minute)) {
		t.Errorf("record %+v", r)
	}
	if e.ApplicationURI != "urn:plant:press" || e.Thumbprint != thumbprintOf(cert.Raw) {
		t.Errorf("entry %+v", e)
	}
	colons := strings.ToUpper(e.SHA256[:2] + ":" + e.SHA256[2:4] + ":" + e.SHA256[4:8])
	if _, err := p.store.Accept(colons); err != nil {
		t.Fatal(err)
	}
	// The same instant: nobody waits until the folders are looked at again.
	if err := v.Validate(p.now, cert.Raw, plantUse); err != nil {
		t.Errorf("after it was accepted: %v", err)
	}
	if _, err := p.store.Reject(e.Thumbprint, "somebody", p.now); err != nil {
		t.Fatal(err)
	}
	p.now = p.now.Add(2 * time.Second)
	if err := v.Validate(p.now, cert.Raw, plantUse); !errors.Is(err, ua.BadCertificateUntrusted) {
		t.Errorf("after it was rejected: %v", err)
	}
	got = lists(t, p.store)
	if len(got[ListRejected]) != 1 || len(got[ListTrusted]) != 0 {
		t.Fatalf("%+v", got)
	}
}

func TestAcceptNamesOneCertificate(t *testing.T) {
	p := newPlant(t)
	for _, thumbprint := range []string{"", "abc", "0123456789"} {
		var e *TrustError
		if _, err := p.store.Accept(thumbprint); !errors.As(err, &e) || e.Op != "accept" || e.Retryable() {
			t.Errorf("accept %q: %v", thumbprint, err)
		}
	}
	p.put("trusted/certs", "two.pem", bytes.Join([][]byte{pemOf(p.root.Raw), pemOf(p.issuer.Raw)}, nil))
	if got := lists(t, p.store)[ListTrusted]; len(got) != 2 || got[0].Subject != "CN=root" {
		t.Errorf("two in a file: %+v", got)
	}
	var e *TrustError
	if _, err := p.store.Reject(thumbprintOf(p.root.Raw), "x", p.now); !errors.As(err, &e) || !strings.Contains(e.Reason, "by hand") {
		t.Errorf("reject one of two in a file: %v", err)
	}
}

func TestAddTakesFiles(t *testing.T) {
	p := newPlant(t)
	file := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(file, pemOf(p.root.Raw), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.store.Add(file, false); err != nil {
		t.Fatal(err)
	}
	if _, err := p.store.Add(file, true); err != nil {
		t.Fatal(err)
	}
	got := lists(t, p.store)
	if len(got[ListTrusted]) != 1 || len(got[ListIssuer]) != 1 {
		t.Errorf("%+v", got)
	}
	var e *TrustError
	if _, err := p.store.Add(filepath.Join(p.dir, "none"), false); !errors.As(err, &e) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("add nothing: %v", err)
	}
}

func TestOurOwnCertificateIsListed(t *testing.T) {
	p := newPlant(t)
	id := testIdentity(t, "server", 2048)
	if err := id.Save(filepath.Join(p.dir, "own", "cert.der"), filepath.Join(p.dir, "own", "key.pem")); err != nil {
		t.Fatal(err)
	}
	all, err := p.store.List()
	if err != nil || len(all) != 1 || all[0].List != ListOwn || all[0].Thumbprint != id.Fingerprint() {
		t.Fatalf("%+v, %v", all, err)
	}
	// It is in no list: nobody trusts it for that, and it cannot be rejected.
	if err := NewValidator(ValidatorConfig{Store: p.store}).Validate(p.now, id.Raw, Use{Policy: Basic256Sha256}); !errors.Is(err, ua.BadCertificateUntrusted) {
		t.Error(err)
	}
	if _, err := p.store.Reject(id.Fingerprint(), "x", p.now); err == nil {
		t.Error("rejected")
	}
}

func TestRejectedCertificatesAreBounded(t *testing.T) {
	p := newPlant(t)
	v := NewValidator(ValidatorConfig{Store: p.store})
	refuse := func(n int) {
		t.Helper()
		for range n {
			if err := v.Validate(p.now, p.self(p.rootKey, nil).Raw, plantUse); err == nil {
				t.Fatal("accepted")
			}
		}
	}
	refuse(keepBurst + 5)
	if n := len(lists(t, p.store)[ListRejected]); n != 5 {
		t.Errorf("%d rejected ones are kept, want 5", n)
	}
	// The burst is used up: what comes now is counted and not written.
	before := names(t, p.dir)
	refuse(1)
	if after := names(t, p.dir); after != before {
		t.Errorf("written within the same second: %s, before %s", after, before)
	}
	p.now = p.now.Add(time.Second)
	refuse(1)
	if after := names(t, p.dir); after == before {
		t.Error("not written a second later")
	}
	if n := v.Stats().Failed["policy"]; n != keepBurst+7 {
		t.Errorf("counted %d", n)
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(dir, rejectedFolder))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range files {
		all = append(all, f.Name())
	}
	return strings.Join(all, " ")
}

func TestFilesThatAreNoneDoNoHarm(t *testing.T) {
	p := newPlant(t)
	p.good()
	for _, folder := range []string{trustedFolder, issuersFolder, trustedCRLFolder, issuersCRLFolder} {
		p.put(folder, "garbage.der", []byte("garbage"))
		p.put(folder, "empty", nil)
		p.put(folder, ".hidden", p.root.Raw)
		if err := os.Mkdir(filepath.Join(p.dir, folder, "folder.der"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	v := NewValidator(ValidatorConfig{Store: p.store})
	if err := v.Validate(p.now, p.leaf(nil).Raw, plantUse); err != nil {
		t.Error(err)
	}
	problems := 0
	for _, e := range lists(t, p.store)[ListTrusted] {
		if e.Problem != "" {
			problems++
		}
	}
	if problems != 2 {
		t.Errorf("%d files with a problem, want 2", problems)
	}
}

func TestChangedFilesAreRead(t *testing.T) {
	p := newPlant(t)
	p.good()
	v := NewValidator(ValidatorConfig{Store: p.store})
	leaf := p.leaf(nil).Raw
	if err := v.Validate(p.now, leaf, plantUse); err != nil {
		t.Fatal(err)
	}
	p.revoke(testNow.AddDate(0, 1, 0), nil, []int64{42})
	if err := v.Validate(p.now.Add(refreshEvery-1), leaf, plantUse); err != nil {
		t.Errorf("looked at the folders twice within a second: %v", err)
	}
	if err := v.Validate(p.now.Add(refreshEvery), leaf, plantUse); !errors.Is(err, ua.BadCertificateRevoked) {
		t.Errorf("a second later: %v", err)
	}
}
