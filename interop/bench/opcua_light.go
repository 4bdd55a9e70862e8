package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net/url"
	"time"

	"millrace/opcua/uasc"
)

// lightKey is an RSA key of 2,048 bits that costs its owner a third and the other side the same: it has eight primes [RFC 8017 3.2], and nobody who counts its time is kept
// away. Clients of a storm have it that stand for as many machines, on whose processors the server does not run.
type lightKey struct {
	public rsa.PublicKey
	primes []lightPrime
}

// lightPrime is a prime p with what its part of the Chinese remainder takes.
type lightPrime struct{ p, exponent, before, inverse *big.Int } // d mod p-1, the product of the primes before, its inverse mod p

const (
	lightPrimes   = 8
	lightBits     = 2048
	lightExponent = 65537
)

func newLightKey() (*lightKey, error) {
	k := &lightKey{public: rsa.PublicKey{N: big.NewInt(1), E: lightExponent}}
	for k.public.N.BitLen() != lightBits {
		k.primes, k.public.N = nil, big.NewInt(1)
		for len(k.primes) < lightPrimes {
			p, err := rand.Prime(rand.Reader, lightBits/lightPrimes)
			if err != nil {
				return nil, err
			}
			k.add(p)
		}
	}
	return k, nil
}

// add adds a prime, unless it does not go with the exponent.
func (k *lightKey) add(p *big.Int) {
	one := big.NewInt(1)
	d := new(big.Int).ModInverse(big.NewInt(lightExponent), new(big.Int).Sub(p, one))
	inverse := new(big.Int).ModInverse(k.public.N, p)
	if d == nil || inverse == nil {
		return
	}
	k.primes = append(k.primes, lightPrime{p: p, exponent: d, before: new(big.Int).Set(k.public.N), inverse: inverse})
	k.public.N.Mul(k.public.N, p)
}

// private is the operation with the private key, by Garner's formula.
func (k *lightKey) private(c []byte) []byte {
	in, out, part := new(big.Int).SetBytes(c), new(big.Int), new(big.Int)
	for i := range k.primes {
		x := &k.primes[i]
		part.Exp(part.Mod(in, x.p), x.exponent, x.p)
		part.Sub(part, out).Mul(part, x.inverse).Mod(part, x.p)
		out.Add(out, part.Mul(part, x.before))
	}
	return out.FillBytes(make([]byte, k.public.Size()))
}

// Public is of crypto.Signer.
func (k *lightKey) Public() crypto.PublicKey { return &k.public }

// pkcs1SHA256 is what stands in front of a SHA-256 [RFC 8017 9.2].
const pkcs1SHA256 = "\x00\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"

// Sign is of crypto.Signer, for RSASSA-PKCS1-v1_5 with SHA-256.
func (k *lightKey) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	em := make([]byte, k.public.Size())
	for i := range em {
		em[i] = 0xFF
	}
	em[0], em[1] = 0, 1
	copy(em[len(em)-len(pkcs1SHA256)-len(digest):], pkcs1SHA256)
	copy(em[len(em)-len(digest):], digest)
	return k.private(em), nil
}

var errLight = errors.New("not encrypted for this key")

// Decrypt is of crypto.Decrypter, for OAEP with SHA-1 and no label.
func (k *lightKey) Decrypt(_ io.Reader, c []byte, _ crypto.DecrypterOpts) ([]byte, error) {
	em := k.private(c)
	seed, db := em[1:1+sha1.Size], em[1+sha1.Size:]
	mask(seed, db)
	mask(db, seed)
	for i, b := range db[sha1.Size:] {
		if b == 1 {
			return db[sha1.Size+i+1:], nil
		} else if b != 0 {
			break
		}
	}
	return nil, errLight
}

// mask is MGF1 with SHA-1, over b.
func mask(b, seed []byte) {
	for i := 0; i < len(b); i += sha1.Size {
		sum := sha1.Sum(append(append([]byte{}, seed...), 0, 0, 0, byte(i/sha1.Size)))
		for j := 0; j < len(sum) && i+j < len(b); j++ {
			b[i+j] ^= sum[j]
		}
	}
}

// lightIdentity is a certificate with such a key.
func lightIdentity() (*uasc.Identity, error) {
	key, err := newLightKey()
	if err != nil {
		return nil, err
	}
	const uri = "urn:bench:peer"
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: uri}, URIs: []*url.URL{{Scheme: "urn", Opaque: "bench:peer"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), SignatureAlgorithm: x509.SHA256WithRSA,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := uasc.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &uasc.Identity{Certificate: *cert, Signer: key}, nil
}
