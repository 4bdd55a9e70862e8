package uasc

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"millrace/opcua/ua"
)

func thumbprintOf(der []byte) string {
	sum := sha1.Sum(der)
	return hex.EncodeToString(sum[:])
}

// structure parses what the peer sent. It is refused whatever the endpoint skips: there is nothing to go on with.
func (j *judgement) structure(chain []byte) *CertificateError {
	broken := func(reason string, err error) *CertificateError {
		return &CertificateError{Check: CheckStructure, Status: ua.BadCertificateInvalid, Reason: reason, Err: err}
	}
	if len(chain) == 0 || len(chain) > j.v.cfg.MaxBytes {
		return broken(fmt.Sprintf("it has %d bytes, at most %d are read", len(chain), j.v.cfg.MaxBytes), nil)
	}
	for len(chain) > 0 {
		if len(j.sent) == j.v.cfg.MaxChain {
			return broken(fmt.Sprintf("more than %d certificates came with it", j.v.cfg.MaxChain), nil)
		}
		der := Leaf(chain)
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return broken("it cannot be read", err)
		}
		j.sent, chain = append(j.sent, cert), chain[len(der):]
	}
	j.path = j.sent[:1:1]
	return nil
}

// chain looks for the issuers, among what came and what is in the lists.
func (j *judgement) chain() *CertificateError {
	for len(j.path) <= j.v.cfg.MaxChain {
		last := j.path[len(j.path)-1]
		if bytes.Equal(last.RawIssuer, last.RawSubject) {
			j.whole = true
			return nil
		}
		issuer := j.issuerOf(last)
		if issuer == nil {
			return j.fail(CheckChain, len(j.path)-1, fmt.Sprintf("its issuer %q is not here", last.Issuer), nil)
		}
		if slices.ContainsFunc(j.path, issuer.Equal) {
			return j.fail(CheckChain, len(j.path)-1, "the issuers are a loop", nil)
		}
		j.path = append(j.path, issuer)
	}
	return j.fail(CheckChain, len(j.path)-1, fmt.Sprintf("there are more than %d issuers", j.v.cfg.MaxChain), nil)
}

// issuerOf returns the certificate of who issued cert: of those with the right name the one whose signature it is, else any.
func (j *judgement) issuerOf(cert *x509.Certificate) *x509.Certificate {
	var named *x509.Certificate
	for _, from := range [...][]*x509.Certificate{j.sent[1:], j.lists.bySubject[string(cert.RawIssuer)]} {
		for _, c := range from {
			if !bytes.Equal(c.RawSubject, cert.RawIssuer) {
				continue
			}
			if verifySignature(c, cert) == nil {
				return c
			}
			if named == nil {
				named = c
			}
		}
	}
	return named
}

// verifySignature reports whether cert is signed with issuer's key. SHA-1 counts here, and fails the policy later: crypto/x509 refuses it unseen.
func verifySignature(issuer, cert *x509.Certificate) error {
	if cert.SignatureAlgorithm == x509.SHA1WithRSA {
		key, ok := issuer.PublicKey.(*rsa.PublicKey)
		if !ok {
			return errors.New("the issuer's key is no RSA key")
		}
		sum := sha1.Sum(cert.RawTBSCertificate)
		return rsa.VerifyPKCS1v15(key, crypto.SHA1, sum[:], cert.Signature)
	}
	return issuer.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature)
}

// signatures verifies each by the next, and the last by itself.
func (j *judgement) signatures() *CertificateError {
	for i, cert := range j.path {
		issuer := cert
		if i+1 < len(j.path) {
			issuer = j.path[i+1]
		} else if !j.whole {
			return nil // its issuer is not here, which the endpoint does not mind
		}
		if err := verifySignature(issuer, cert); err != nil {
			return j.fail(CheckSignature, i, "its signature is not that of its issuer", err)
		}
	}
	return nil
}

// policy compares keys and hashes with what the security policy asks for.
func (j *judgement) policy() *CertificateError {
	if j.use.Policy == None || j.use.Policy == 0 {
		return nil
	}
	leaf := j.path[0]
	s := j.use.Policy.suite()
	if err := j.use.Policy.keyKind(leaf.PublicKey); err != nil {
		e := j.fail(CheckPolicy, 0, "its key is of another kind than the security policy's", err)
		if _, curve := leaf.PublicKey.(*ecdsa.PublicKey); e != nil && !(curve && s.ecc) { // another curve is a key that is too long or too short
			e.Status = ua.BadCertificateInvalid
		}
		return e
	}
	if bits := keyBits(leaf.PublicKey); bits < s.keyMin || bits > s.keyMax {
		return j.fail(CheckPolicy, 0, fmt.Sprintf("its key has %d bits, %v takes %d to %d", bits, j.use.Policy, s.keyMin, s.keyMax), nil)
	}
	for i, cert := range j.path {
		if weakHash(cert.SignatureAlgorithm) {
			return j.fail(CheckPolicy, i, fmt.Sprintf("it is signed with %v, at least SHA-256 is asked for", cert.SignatureAlgorithm), nil)
		}
	}
	return nil
}

func keyBits(key crypto.PublicKey) int {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen()
	case *ecdsa.PublicKey:
		return k.Curve.Params().BitSize
	default:
		return 0
	}
}

func weakHash(a x509.SignatureAlgorithm) bool {
	switch a {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return true
	default:
		return false
	}
}

// trust looks for one that is trusted.
func (j *judgement) trust() *CertificateError {
	for _, cert := range j.path {
		if j.lists.trusted[sha1.Sum(cert.Raw)] {
			return nil
		}
	}
	return j.fail(CheckTrust, 0, "neither it nor an issuer of it is in the list of trusted certificates", nil)
}

func (j *judgement) validity() *CertificateError {
	const day = "2006-01-02"
	for i, cert := range j.path {
		switch {
		case j.now.Before(cert.NotBefore):
			if e := j.fail(CheckValidity, i, "it is not valid before "+cert.NotBefore.UTC().Format(day), nil); e != nil {
				return e
			}
		case j.now.After(cert.NotAfter):
			if e := j.fail(CheckValidity, i, "it was valid until "+cert.NotAfter.UTC().Format(day), nil); e != nil {
				return e
			}
		}
	}
	return nil
}

func (j *judgement) hostName() *CertificateError {
	if j.use.HostName == "" {
		return nil
	}
	if err := j.path[0].VerifyHostname(j.use.HostName); err != nil {
		return j.fail(CheckHostName, 0, "it is for another host", err)
	}
	return nil
}

func (j *judgement) uri() *CertificateError {
	if j.use.ApplicationURI == "" {
		return nil
	}
	for _, u := range j.path[0].URIs {
		if u.String() == j.use.ApplicationURI {
			return nil
		}
	}
	return j.fail(CheckURI, 0, fmt.Sprintf("it is not for the application %q", j.use.ApplicationURI), nil)
}

// The uses that an application's certificate allows, by its key [OPC 10000-6 6.2.2].
const (
	rsaUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment
	ecUsage  = x509.KeyUsageDigitalSignature
)

func (j *judgement) usage() *CertificateError {
	leaf := j.path[0]
	want, uses := rsaUsage, "digital signature, key encipherment or data encipherment"
	if _, ok := leaf.PublicKey.(*rsa.PublicKey); !ok {
		want, uses = ecUsage, "digital signature"
	}
	if leaf.KeyUsage&want != want {
		if e := j.fail(CheckUsage, 0, "its key usage lacks "+uses, nil); e != nil {
			return e
		}
	}
	if !extendedUsage(leaf, j.use.Server) {
		if e := j.fail(CheckUsage, 0, "its extended key usage is another than to be a client's or a server's", nil); e != nil {
			return e
		}
	}
	for i, cert := range j.path[1:] {
		if !cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign == 0 {
			return j.fail(CheckUsage, i+1, "it may not sign certificates", nil)
		}
	}
	return nil
}

// extendedUsage reports whether cert may be a server's or a client's. One that says nothing may be both.
func extendedUsage(cert *x509.Certificate, server bool) bool {
	want := x509.ExtKeyUsageClientAuth
	if server {
		want = x509.ExtKeyUsageServerAuth
	}
	return len(cert.ExtKeyUsage) == 0 || slices.Contains(cert.ExtKeyUsage, want) || slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// revocationFound looks for a list of each issuer that is the issuer's own and has not expired.
func (j *judgement) revocationFound() *CertificateError {
	for i := range j.issued() {
		if j.revocationList(i) == nil {
			if e := j.fail(CheckRevocationFound, i, "there is no revocation list of its issuer here that is still valid", nil); e != nil {
				return e
			}
		}
	}
	return nil
}

func (j *judgement) revoked() *CertificateError {
	for i := range j.issued() {
		list := j.revocationList(i)
		if list == nil || !list.serials[j.path[i].SerialNumber.String()] {
			continue
		}
		if e := j.fail(CheckRevoked, i, "its issuer has revoked it", nil); e != nil {
			return e
		}
	}
	return nil
}

// issued returns how many of the path have another issuer that is in it too.
func (j *judgement) issued() int { return len(j.path) - 1 }

// revocationList returns the newest list of the issuer of path[i].
func (j *judgement) revocationList(i int) *revocations {
	issuer := j.path[i+1]
	var newest *revocations
	for _, list := range j.lists.revocations[string(issuer.RawSubject)] {
		if !list.of(issuer) || !list.NextUpdate.IsZero() && j.now.After(list.NextUpdate) {
			continue
		}
		if newest == nil || list.ThisUpdate.After(newest.ThisUpdate) {
			newest = list
		}
	}
	return newest
}
