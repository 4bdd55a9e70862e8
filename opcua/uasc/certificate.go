package uasc

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"

	"millrace/opcua/ua"
)

// Certificate is what is kept of an application's certificate: a parsed one takes several times as much, for each of thousands of connections.
type Certificate struct {
	Raw            []byte // DER of the leaf
	Chain          []byte // DER of the leaf and of the issuers that came with it
	Key            crypto.PublicKey
	Thumbprint     [sha1.Size]byte // SHA-1 of Raw: its name on the wire and in trust lists
	ApplicationURI string          // the first URI among the alternative names
	Subject        string
}

// ParseCertificate reads the leaf of a DER certificate with or without its issuers behind it. It looks at no more than 32 KiB and keeps a copy.
func ParseCertificate(chain []byte) (*Certificate, error) {
	if len(chain) > maxCertificateBytes {
		return nil, certificateError(errors.New("longer than 32 KiB"))
	}
	chain = bytes.Clone(chain)
	raw := Leaf(chain)
	parsed, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, certificateError(err)
	}
	c := &Certificate{Raw: raw, Chain: chain, Key: parsed.PublicKey, Thumbprint: sha1.Sum(raw), Subject: parsed.Subject.String()}
	if len(parsed.URIs) > 0 {
		c.ApplicationURI = parsed.URIs[0].String()
	}
	return c, nil
}

func certificateError(err error) error {
	return &Error{Op: "read certificate", Status: ua.BadCertificateInvalid, Reason: "the certificate cannot be read", Err: err}
}

// Leaf returns the first DER certificate of chain, which aliases it; all of chain when it does not begin with one.
func Leaf(chain []byte) []byte {
	var v asn1.RawValue
	rest, err := asn1.Unmarshal(chain, &v)
	if err != nil {
		return chain
	}
	return chain[: len(chain)-len(rest) : len(chain)-len(rest)]
}

// Fingerprint returns the thumbprint in hexadecimal, as trust lists show it.
func (c *Certificate) Fingerprint() string { return hex.EncodeToString(c.Thumbprint[:]) }

// rsaKey returns the key of a certificate that checkKey of a policy with RSA has passed.
func (c *Certificate) rsaKey() *rsa.PublicKey {
	key, ok := c.Key.(*rsa.PublicKey)
	if !ok {
		panic("uasc: a key that was not checked")
	}
	return key
}

// checkKey reports whether the key of c can be used with p at all. Whether it is as long as the policy asks for is a validator's to say, who may be
// told to let a shorter one pass.
func (p Policy) checkKey(c *Certificate) error {
	if err := p.keyKind(c.Key); err != nil {
		return &Error{Op: "read certificate", Status: ua.BadCertificateInvalid, Reason: "the certificate does not go with the security policy", Err: err}
	}
	if p.suite().ecc {
		return nil
	}
	const shortest, longest = 1024, 4096 // what crypto/rsa takes, and what nobody is made to calculate with
	if bits := keyBits(c.Key); bits < shortest || bits > longest || bits%8 != 0 {
		return certificateError(fmt.Errorf("the key has %d bits", bits))
	}
	return nil
}

// keyKind reports whether key is of the kind that p works with. With ECC_nistP256 a certificate of P-384 is
// allowed too [OPC 10000-12 7.8.4.11]; its signatures are longer, open62541 has no room for them, and nor have we.
func (p Policy) keyKind(key crypto.PublicKey) error {
	_, ok := key.(*rsa.PublicKey)
	if p.suite().ecc {
		_, ok = p256(key)
	}
	if !ok {
		return fmt.Errorf("%v works with %s, and the certificate has %s: take a certificate with such a key, or a policy that goes with this one", p, p.KeyName(), KeyName(key))
	}
	return nil
}

// Takes reports whether p works with a key of that kind.
func (p Policy) Takes(key crypto.PublicKey) bool { return p.keyKind(key) == nil }

// KeyName names the kind of key that p works with, for people.
func (p Policy) KeyName() string {
	if p.suite().ecc {
		return "a key of NIST P-256"
	}
	return "an RSA key"
}

// KeyName names what a key is, for people.
func KeyName(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return "an RSA key"
	case *ecdsa.PublicKey:
		return "one of the curve " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "one of Ed25519"
	}
	return "one of a kind that is not known"
}
