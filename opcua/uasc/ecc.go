package uasc

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"math/big"

	"millrace/opcua/ua"
)

// Policies of elliptic curves sign with the key of the certificate and encrypt nothing with it. What keys are derived from is agreed on with keys that are made for
// one OPN, whose public halves are the nonces [OPC 10000-6 6.8.1].

const (
	coordinateBytes   = 32 // of a point of P-256
	pointBytes        = 2 * coordinateBytes
	eccSignatureBytes = 2 * coordinateBytes // r and s
	uncompressed      = 4                   // what a point begins with in SEC 1, and does not on the wire here
)

// EphemeralKey is a key of P-256 that is made for one exchange. It does not change; any goroutine may use it.
type EphemeralKey struct {
	key    *ecdh.PrivateKey
	public []byte
}

// NewEphemeralKey makes one.
func NewEphemeralKey() (*EphemeralKey, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, &Error{Op: "make a key", Status: ua.BadInternalError, Reason: "cannot make a key", Err: err}
	}
	return newEphemeralKey(key), nil
}

func newEphemeralKey(key *ecdh.PrivateKey) *EphemeralKey {
	return &EphemeralKey{key, key.PublicKey().Bytes()[1:]}
}

// Public returns the public half as it is on the wire: x and y, 32 bytes each, most significant first. It belongs to k.
func (k *EphemeralKey) Public() []byte { return k.public }

// errPoint is the cause when a peer's public key is none.
var errPoint = errors.New("not a point of P-256 in 64 bytes")

// agree returns the secret that k shares with the owner of the public key peer. A point that is not on the curve would tell about k bit by bit, and is refused.
func (k *EphemeralKey) agree(peer []byte) ([]byte, error) {
	if len(peer) != pointBytes {
		return nil, errPoint
	}
	public, err := ecdh.P256().NewPublicKey(append([]byte{uncompressed}, peer...))
	if err != nil {
		return nil, errPoint
	}
	return k.key.ECDH(public)
}

// The labels of what is derived. The salt is also the info of HKDF.
const (
	labelClient = "opcua-client"
	labelServer = "opcua-server"
	labelSecret = "opcua-secret"
)

// derive returns n bytes of key material out of a shared secret: HKDF-SHA256 with salt and info length | label | sender's public key | receiver's, where the
// length is 16 bits, the lower ones first [OPC 10000-6 6.8.1, 6.8.3].
func derive(shared []byte, label string, sender, receiver []byte, n int) ([]byte, error) {
	salt := binary.LittleEndian.AppendUint16(nil, uint16(n))
	salt = append(append(append(salt, label...), sender...), receiver...)
	return hkdf.Key(sha256.New, shared, salt, string(salt), n)
}

// signECDSA returns the signature of digest as r and s, 32 bytes each, most significant first: not the ASN.1 that crypto.Signer returns, and X.509 has.
func signECDSA(signer crypto.Signer, digest []byte) ([]byte, error) {
	der, err := signer.Sign(rand.Reader, digest, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var sig struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &sig); err != nil || len(rest) > 0 || sig.R.BitLen() > 8*coordinateBytes || sig.S.BitLen() > 8*coordinateBytes {
		return nil, errors.New("the signer returned no signature of P-256")
	}
	raw := make([]byte, eccSignatureBytes)
	sig.R.FillBytes(raw[:coordinateBytes])
	sig.S.FillBytes(raw[coordinateBytes:])
	return raw, nil
}

// verifyECDSA reports whether signature, r and s, is one of digest. Of the two s that fit a digest both are taken: nobody asks signers for the smaller one, and
// OpenSSL, which most peers sign with, does not look. A signature is never used as a name of anything here, so that a second one for the same bytes changes nothing.
func verifyECDSA(key *ecdsa.PublicKey, digest, signature []byte) bool {
	if len(signature) != eccSignatureBytes {
		return false
	}
	r, s := new(big.Int).SetBytes(signature[:coordinateBytes]), new(big.Int).SetBytes(signature[coordinateBytes:])
	return ecdsa.Verify(key, digest, r, s)
}

// p256 returns key when it is one of P-256.
func p256(key crypto.PublicKey) (*ecdsa.PublicKey, bool) {
	k, ok := key.(*ecdsa.PublicKey)
	return k, ok && k.Curve == elliptic.P256()
}

// ownNonce is what one side gives for the keys of a token: random bytes, or the public half of a key.
type ownNonce struct {
	public []byte
	key    *EphemeralKey // nil with RSA
}

// newNonce returns a nonce of the policy.
func (s *suite) newNonce() (ownNonce, error) {
	if !s.ecc {
		return ownNonce{public: NewNonce(s.nonce)}, nil
	}
	key, err := NewEphemeralKey()
	if err != nil {
		return ownNonce{}, err
	}
	return ownNonce{key.public, key}, nil
}

// material is what the keys of a token are derived from: the nonces of both sides, and with ECC the secret that they share.
type material struct{ client, server, shared []byte }

// material puts the nonces together. It fails when the peer's is no public key.
func (s *suite) material(own ownNonce, peer []byte, server bool) (m material, err error) {
	m = material{client: own.public, server: peer}
	if server {
		m.client, m.server = peer, own.public
	}
	if s.ecc {
		m.shared, err = own.key.agree(peer)
	}
	return m, err
}

// raw returns the keys of one direction one behind the other.
func (m *material) raw(s *suite, fromServer bool) []byte {
	n := s.signKey + s.key + blockBytes
	sender, receiver, label := m.client, m.server, labelClient
	if fromServer {
		sender, receiver, label = m.server, m.client, labelServer
	}
	if !s.ecc {
		return pSHA256(receiver, sender, n)
	}
	b, err := derive(m.shared, label, sender, receiver, n)
	if err != nil {
		panic("uasc: " + err.Error()) // only of a length that HKDF does not have
	}
	return b
}

// openSigned verifies an OPN that is signed and not encrypted, and returns the body.
func (s *suite) openSigned(sender *Certificate, chunk []byte, at int) ([]byte, bool) {
	n := len(chunk) - eccSignatureBytes
	if n < at+sequenceBytes {
		return nil, false
	}
	digest := sha256.Sum256(chunk[:n])
	return chunk[at+sequenceBytes : n], s.verify(sender.Key, digest[:], chunk[n:])
}

// sealSigned completes an OPN that is signed and not encrypted: it has no padding either.
func (s *suite) sealSigned(id *Identity, b []byte, start int) ([]byte, error) {
	binary.LittleEndian.PutUint32(b[start+sizeAt:], uint32(len(b)-start+eccSignatureBytes))
	digest := sha256.Sum256(b[start:])
	sig, err := s.sign(id, digest[:])
	if err != nil {
		return b[:start], openCause(ua.BadInternalError, "cannot sign", err)
	}
	return append(b, sig...), nil
}

// sameKey reports whether a public key on the wire is that of k.
func (k *EphemeralKey) sameKey(public []byte) bool { return bytes.Equal(k.public, public) }
