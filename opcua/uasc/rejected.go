package uasc

import (
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Rejection is the record of a certificate that was refused: who refused whom, when and why.
type Rejection struct {
	Thumbprint string    `json:"thumbprint"` // of the leaf, SHA-1, hexadecimal; "" when it could not be read
	By         string    `json:"by"`         // Use.By: the server or the device
	Peer       string    `json:"peer"`       // Use.Peer: the address
	Check      string    `json:"check"`      // the check that failed
	Status     string    `json:"status"`     // its status
	Reason     string    `json:"reason"`
	First      time.Time `json:"first"`
	Last       time.Time `json:"last"`
	Count      uint64    `json:"count"` // times, as far as they were written down
}

func rejectionOf(e *CertificateError, use Use, now time.Time) Rejection {
	return Rejection{By: use.By, Peer: use.Peer, Check: e.Check.String(), Status: e.Status.String(), Reason: e.why(), First: now, Last: now, Count: 1}
}

// why returns the reason without the name of the certificate, which the record has beside it.
func (e *CertificateError) why() string {
	s := e.Reason
	if e.Issuer {
		s = "its issuer " + e.Thumbprint + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// A flood of strange certificates may not become a flood of files: so many records at once, and one a second from then on. The others are counted by the
// validator all the same.
const (
	keepBurst = 20
	keepEvery = time.Second

	recordSuffix      = ".json"
	certificateSuffix = ".der"
)

// keep saves a refused certificate and the record of it, if it can be read. Errors of the disk are passed over: the certificate is refused anyway,
// and OnReject has told.
func (s *TrustStore) keep(der []byte, r Rejection) {
	if len(der) == 0 || len(der) > maxCertificateBytes {
		return
	}
	if !s.mu.TryLock() {
		return // nobody waits for a disk here
	}
	defer s.mu.Unlock()
	if !s.mayKeep(r.Last) {
		return
	}
	if before, err := s.record(r.Thumbprint); err == nil {
		r.First, r.Count = before.First, before.Count+1
	} else if _, err := x509.ParseCertificate(der); err != nil {
		return // nobody can accept what cannot be read
	} else {
		s.makeRoom()
	}
	s.write(der, r)
}

// mayKeep takes one of the records that may be written now.
func (s *TrustStore) mayKeep(now time.Time) bool {
	if grown := now.Sub(s.last) / keepEvery; grown > 0 {
		s.room = int(min(time.Duration(s.room)+grown, keepBurst))
		s.last = now
	}
	if s.room == 0 {
		return false
	}
	s.room--
	return true
}

func (s *TrustStore) record(thumbprint string) (Rejection, error) {
	var r Rejection
	b, err := readBounded(filepath.Join(s.folder(rejectedFolder), thumbprint+recordSuffix))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(b, &r)
}

// write puts the certificate and its record into rejected.
func (s *TrustStore) write(der []byte, r Rejection) {
	const mode = 0o600
	base := filepath.Join(s.folder(rejectedFolder), r.Thumbprint)
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return
	}
	if os.WriteFile(base+certificateSuffix, der, mode) == nil {
		_ = os.WriteFile(base+recordSuffix, append(b, '\n'), mode)
	}
}

// makeRoom removes what was seen longest ago until one more fits.
func (s *TrustStore) makeRoom() {
	type seen struct {
		name string
		at   time.Time
	}
	var all []seen
	for _, e := range s.files(rejectedFolder) {
		if name, ok := strings.CutSuffix(e.Name(), certificateSuffix); ok {
			if info, err := e.Info(); err == nil {
				all = append(all, seen{name, info.ModTime()})
			}
		}
	}
	for len(all) >= s.max {
		oldest := 0
		for i := range all {
			if all[i].at.Before(all[oldest].at) {
				oldest = i
			}
		}
		s.forget(all[oldest].name)
		all = append(all[:oldest], all[oldest+1:]...)
	}
}

// forget removes a certificate from rejected.
func (s *TrustStore) forget(thumbprint string) {
	base := filepath.Join(s.folder(rejectedFolder), thumbprint)
	os.Remove(base + certificateSuffix)
	os.Remove(base + recordSuffix)
}
