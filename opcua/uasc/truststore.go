package uasc

import (
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// TrustStore is a folder of certificates [OPC 10000-12 F.1]: trusted/certs, trusted/crl, issuers/certs, issuers/crl and rejected. Files are DER or PEM,
// whatever they are called. Who changes a file need not tell: the folders are looked at again. Any goroutine may use it.
type TrustStore struct {
	dir string
	max int

	loaded atomic.Pointer[trustLists]
	look   sync.Mutex // who looks at the folders, one at a time; the others go on with what was there before

	mu   sync.Mutex // of the files in rejected
	room int        // records that may be written now
	last time.Time  // when room grew last
}

// TrustStoreConfig is how a TrustStore works. The zero value is a good default.
type TrustStoreConfig struct {
	MaxRejected int // certificates kept in rejected, the one that was seen longest ago makes room; default 100
}

// The folders.
const (
	trustedFolder    = "trusted/certs"
	trustedCRLFolder = "trusted/crl"
	issuersFolder    = "issuers/certs"
	issuersCRLFolder = "issuers/crl"
	rejectedFolder   = "rejected"

	defaultMaxRejected = 100
	refreshEvery       = time.Second
	maxTrustFile       = 4 << 20 // bytes of a file that is read: a revocation list may be long
	maxTrustFiles      = 10_000  // of a folder
)

// OpenTrustStore makes the folders under dir that are not there.
func OpenTrustStore(dir string, cfg TrustStoreConfig) (*TrustStore, error) {
	const private = 0o700
	for _, f := range [...]string{trustedFolder, trustedCRLFolder, issuersFolder, issuersCRLFolder, rejectedFolder} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(f)), private); err != nil {
			return nil, fmt.Errorf("uasc: trust list: %w", err)
		}
	}
	return &TrustStore{dir: dir, max: orDefault(cfg.MaxRejected, defaultMaxRejected), room: keepBurst}, nil
}

// folder returns the path of one of the folders.
func (s *TrustStore) folder(name string) string {
	return filepath.Join(s.dir, filepath.FromSlash(name))
}

// trustLists is what was in the folders when they were looked at.
type trustLists struct {
	trusted     map[[sha1.Size]byte]bool
	bySubject   map[string][]*x509.Certificate // trusted ones and issuers, by RawSubject
	revocations map[string][]*revocations      // by RawIssuer
	state       string                         // names, sizes and times of the files
	looked      time.Time
}

// lists returns what is in the folders. It looks at them when it did not for a second, or at once when urgent.
func (s *TrustStore) lists(now time.Time, urgent bool) *trustLists {
	have := s.loaded.Load()
	if have != nil && !urgent && now.Sub(have.looked) < refreshEvery && !now.Before(have.looked) {
		return have
	}
	if have == nil || urgent {
		s.look.Lock()
	} else if !s.look.TryLock() {
		return have
	}
	defer s.look.Unlock()
	state := s.state()
	if have = s.loaded.Load(); have != nil && have.state == state {
		same := *have
		same.looked = now
		s.loaded.Store(&same)
		return &same
	}
	fresh := s.load()
	fresh.state, fresh.looked = state, now
	s.loaded.Store(fresh)
	return fresh
}

// state describes the files in the folders that matter.
func (s *TrustStore) state() string {
	var b []byte
	for _, f := range [...]string{trustedFolder, trustedCRLFolder, issuersFolder, issuersCRLFolder} {
		b = append(append(b, f...), '\n')
		for _, e := range s.files(f) {
			if info, err := e.Info(); err == nil {
				b = fmt.Appendf(b, "%s %d %d\n", e.Name(), info.Size(), info.ModTime().UnixNano())
			}
		}
	}
	return string(b)
}

// files returns the regular files of a folder, by name. One that cannot be read has none: then nothing in it is trusted.
func (s *TrustStore) files(folder string) []os.DirEntry {
	entries, err := os.ReadDir(s.folder(folder))
	if err != nil {
		return nil
	}
	var files []os.DirEntry
	for _, e := range entries {
		if e.Type().IsRegular() && e.Name()[0] != '.' && len(files) < maxTrustFiles {
			files = append(files, e)
		}
	}
	return files
}

// load reads the folders. Files that hold nothing of the kind are passed over; List tells about them.
func (s *TrustStore) load() *trustLists {
	l := &trustLists{trusted: map[[sha1.Size]byte]bool{}, bySubject: map[string][]*x509.Certificate{}, revocations: map[string][]*revocations{}}
	for _, folder := range [...]string{trustedFolder, issuersFolder} {
		for _, e := range s.files(folder) {
			certs, _ := readCertificates(filepath.Join(s.folder(folder), e.Name()))
			for _, c := range certs {
				l.bySubject[string(c.RawSubject)] = append(l.bySubject[string(c.RawSubject)], c)
				if folder == trustedFolder {
					l.trusted[sha1.Sum(c.Raw)] = true
				}
			}
		}
	}
	for _, folder := range [...]string{trustedCRLFolder, issuersCRLFolder} {
		for _, e := range s.files(folder) {
			if list, err := readRevocations(filepath.Join(s.folder(folder), e.Name())); err == nil {
				l.revocations[string(list.RawIssuer)] = append(l.revocations[string(list.RawIssuer)], newRevocations(list))
			}
		}
	}
	return l
}

// readCertificates returns the certificates in a file.
func readCertificates(name string) ([]*x509.Certificate, error) {
	b, err := readBounded(name)
	if err != nil {
		return nil, err
	}
	certs, err := x509.ParseCertificates(derOf(b, certificateType))
	if err == nil && len(certs) == 0 {
		err = errors.New("there is no certificate in it")
	}
	return certs, err
}

func readRevocations(name string) (*x509.RevocationList, error) {
	const revocationType = "X509 CRL"
	b, err := readBounded(name)
	if err != nil {
		return nil, err
	}
	return x509.ParseRevocationList(derOf(b, revocationType))
}

// revocations is a revocation list that is asked often: a long one is not gone through, and its signature is not verified, for each connection anew.
type revocations struct {
	*x509.RevocationList
	serials map[string]bool
	signed  sync.Map // the keys that it is signed with
}

func newRevocations(list *x509.RevocationList) *revocations {
	r := &revocations{RevocationList: list, serials: make(map[string]bool, len(list.RevokedCertificateEntries))}
	for _, e := range list.RevokedCertificateEntries {
		r.serials[e.SerialNumber.String()] = true
	}
	return r
}

// of reports whether the list is signed with issuer's key. What was verified is remembered by the key: there are few with which it is.
func (r *revocations) of(issuer *x509.Certificate) bool {
	key := sha1.Sum(issuer.RawSubjectPublicKeyInfo)
	if _, known := r.signed.Load(key); known {
		return true
	}
	if r.CheckSignatureFrom(issuer) != nil {
		return false
	}
	r.signed.Store(key, true)
	return true
}

// readBounded reads a file of a sane length.
func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxTrustFile+1))
	if err == nil && len(b) > maxTrustFile {
		err = fmt.Errorf("longer than %d bytes", maxTrustFile)
	}
	return b, err
}
