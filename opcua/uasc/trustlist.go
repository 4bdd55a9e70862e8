package uasc

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// TrustEntry is a certificate or a revocation list in a TrustStore, or a file that is neither.
type TrustEntry struct {
	List           string     `json:"list"` // "own", "trusted", "issuer", "rejected"
	Thumbprint     string     `json:"thumbprint,omitempty"`
	SHA256         string     `json:"sha256,omitempty"`
	Subject        string     `json:"subject,omitempty"`
	Issuer         string     `json:"issuer,omitempty"`
	ApplicationURI string     `json:"application_uri,omitempty"`
	NotBefore      time.Time  `json:"not_before,omitzero"`
	NotAfter       time.Time  `json:"not_after,omitzero"`
	File           string     `json:"file"`
	Problem        string     `json:"problem,omitempty"`  // why the file cannot be used
	Rejected       *Rejection `json:"rejected,omitempty"` // the record of a rejected one
}

// The lists of a TrustEntry.
const (
	ListOwn      = "own" // the application's, when it keeps them in own/cert.der and own/cert-ecc.der beside the lists
	ListTrusted  = "trusted"
	ListIssuer   = "issuer"
	ListRejected = "rejected"
)

var listFolders = [...]struct{ list, folder string }{
	{ListTrusted, trustedFolder}, {ListIssuer, issuersFolder}, {ListRejected, rejectedFolder},
}

// ownFiles are where an application keeps its certificates, for others to compare fingerprints with.
var ownFiles = [...]string{"own/cert.der", "own/cert-ecc.der"}

// List returns the application's own certificates that are there, and those in all folders, by list and file.
func (s *TrustStore) List() ([]TrustEntry, error) {
	var all []TrustEntry
	for _, name := range ownFiles {
		if own := s.folder(name); exists(own) {
			all = append(all, s.entries(ListOwn, own)...)
		}
	}
	for _, l := range listFolders {
		if _, err := os.ReadDir(s.folder(l.folder)); err != nil {
			return nil, fmt.Errorf("uasc: trust list: %w", err)
		}
		for _, e := range s.files(l.folder) {
			if l.list == ListRejected && strings.HasSuffix(e.Name(), recordSuffix) {
				continue
			}
			all = append(all, s.entries(l.list, filepath.Join(s.folder(l.folder), e.Name()))...)
		}
	}
	return all, nil
}

// entries describes what is in a file.
func (s *TrustStore) entries(list, file string) []TrustEntry {
	certs, err := readCertificates(file)
	if err != nil {
		return []TrustEntry{{List: list, File: file, Problem: err.Error()}}
	}
	var all []TrustEntry
	for _, c := range certs {
		e := entryOf(c, list, file)
		if list == ListRejected {
			if r, err := s.record(e.Thumbprint); err == nil {
				e.Rejected = &r
			}
		}
		all = append(all, e)
	}
	return all
}

func entryOf(c *x509.Certificate, list, file string) TrustEntry {
	sum := sha256.Sum256(c.Raw)
	e := TrustEntry{
		List: list, Thumbprint: thumbprintOf(c.Raw), SHA256: hex.EncodeToString(sum[:]), Subject: c.Subject.String(), Issuer: c.Issuer.String(),
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), File: file,
	}
	if len(c.URIs) > 0 {
		e.ApplicationURI = c.URIs[0].String()
	}
	return e
}

// TrustError is why a certificate cannot be accepted or rejected.
type TrustError struct {
	Op         string // "accept", "reject"
	Thumbprint string // as it was given
	Reason     string
	Err        error // may be nil
}

func (e *TrustError) Error() string {
	s := fmt.Sprintf("uasc: %s %s: %s", e.Op, e.Thumbprint, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *TrustError) Unwrap() error { return e.Err }

// Retryable reports false.
func (e *TrustError) Retryable() bool { return false }

// Accept moves a rejected certificate into the trusted ones. thumbprint is the hexadecimal SHA-1 or SHA-256, or the first digits of either when no other
// certificate begins so, at least 6; colons and case do not count.
func (s *TrustStore) Accept(thumbprint string) (TrustEntry, error) {
	e, err := s.pick("accept", thumbprint, ListRejected)
	if err != nil {
		return e, err
	}
	return s.move("accept", e, ListTrusted, nil)
}

// Reject moves a trusted certificate, or an issuer, into the rejected ones; by says who does it and at when. A channel that is open with it goes on
// until it has to be renewed.
func (s *TrustStore) Reject(thumbprint, by string, at time.Time) (TrustEntry, error) {
	e, err := s.pick("reject", thumbprint, ListTrusted, ListIssuer)
	if err != nil {
		return e, err
	}
	return s.move("reject", e, ListRejected, &Rejection{
		Thumbprint: e.Thumbprint, By: by, Check: CheckTrust.String(), Reason: "taken out of the list", First: at, Last: at, Count: 1,
	})
}

// Add puts the first certificate of a file into the trusted ones, or among the issuers, who are not trusted themselves.
func (s *TrustStore) Add(file string, issuer bool) (TrustEntry, error) {
	certs, err := readCertificates(file)
	if err != nil {
		return TrustEntry{}, &TrustError{Op: "accept", Thumbprint: file, Reason: "it holds no certificate", Err: err}
	}
	list := ListTrusted
	if issuer {
		list = ListIssuer
	}
	e := entryOf(certs[0], ListRejected, "")
	return s.put("accept", e, certs[0].Raw, list, nil)
}

// pick returns the one certificate in some lists that a thumbprint means.
func (s *TrustStore) pick(op, thumbprint string, lists ...string) (TrustEntry, error) {
	const fewest = 6
	want := strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(thumbprint))
	if len(want) < fewest {
		return TrustEntry{}, &TrustError{Op: op, Thumbprint: thumbprint, Reason: "give at least 6 digits of it"}
	}
	all, err := s.List()
	if err != nil {
		return TrustEntry{}, &TrustError{Op: op, Thumbprint: thumbprint, Reason: "the list cannot be read", Err: err}
	}
	found := slices.DeleteFunc(all, func(e TrustEntry) bool {
		return !slices.Contains(lists, e.List) || !strings.HasPrefix(e.Thumbprint, want) && !strings.HasPrefix(e.SHA256, want)
	})
	switch len(found) {
	case 0:
		return TrustEntry{}, &TrustError{Op: op, Thumbprint: thumbprint, Reason: "no such certificate is " + strings.Join(lists, " or ")}
	case 1:
		return found[0], nil
	default:
		return TrustEntry{}, &TrustError{Op: op, Thumbprint: thumbprint, Reason: fmt.Sprintf("%d certificates begin so", len(found))}
	}
}

// move takes e out of its list and puts it into another. It is there twice for a moment, never not at all.
func (s *TrustStore) move(op string, e TrustEntry, list string, r *Rejection) (TrustEntry, error) {
	certs, err := readCertificates(e.File)
	if err != nil {
		return e, &TrustError{Op: op, Thumbprint: e.Thumbprint, Reason: "it cannot be read", Err: err}
	}
	if len(certs) != 1 {
		return e, &TrustError{Op: op, Thumbprint: e.Thumbprint, Reason: e.File + " holds other certificates too; take it apart by hand"}
	}
	moved, err := s.put(op, e, certs[0].Raw, list, r)
	if err != nil {
		return e, err
	}
	if err := os.Remove(e.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return e, &TrustError{Op: op, Thumbprint: e.Thumbprint, Reason: "it is still where it was", Err: err}
	}
	if e.List == ListRejected {
		s.forget(e.Thumbprint)
	}
	return moved, nil
}

// put writes a certificate into a list.
func (s *TrustStore) put(op string, e TrustEntry, der []byte, list string, r *Rejection) (TrustEntry, error) {
	const mode = 0o600
	at := slices.IndexFunc(listFolders[:], func(l struct{ list, folder string }) bool { return l.list == list })
	e.List, e.File, e.Rejected = list, filepath.Join(s.folder(listFolders[at].folder), e.Thumbprint+certificateSuffix), r
	if err := writeFile(e.File, der, mode); err != nil {
		return e, &TrustError{Op: op, Thumbprint: e.Thumbprint, Reason: "it cannot be written", Err: err}
	}
	if r != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.write(der, *r)
	}
	return e, nil
}
