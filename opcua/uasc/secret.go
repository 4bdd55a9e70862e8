package uasc

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"

	"millrace/opcua/ua"
)

// Sign returns the signature of the parts, one behind the other; nil with None.
func (p Policy) Sign(id *Identity, parts ...[]byte) ([]byte, error) {
	if p == None {
		return nil, nil
	}
	if err := (Security{Policy: p}).checkIdentity(id); err != nil {
		return nil, err
	}
	return p.suite().sign(id, digestOf(parts))
}

// Verify returns nil when signature is that of the parts under the key of c. With None everything is.
func (p Policy) Verify(c *Certificate, signature []byte, parts ...[]byte) error {
	if p == None {
		return nil
	}
	if c == nil {
		return signatureError(errors.New("no certificate to verify it with"))
	}
	if err := p.checkKey(c); err != nil {
		return err
	}
	if !p.suite().verify(c.Key, digestOf(parts), signature) {
		return signatureError(errors.New("not the signature of this under the key of " + c.Fingerprint()))
	}
	return nil
}

func signatureError(err error) error {
	return &Error{Op: "verify", Status: ua.BadApplicationSignatureInvalid, Reason: "the signature is not valid", Err: err}
}

func digestOf(parts [][]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// SignSession signs for CreateSession or ActivateSession: the peer's certificate, of which a chain is cut to the leaf, and the nonce that it sent last
// [OPC 10000-4 5.7.2, 5.7.3].
func (p Policy) SignSession(id *Identity, peerCertificate, peerNonce []byte) ([]byte, error) {
	return p.Sign(id, Leaf(peerCertificate), peerNonce)
}

// VerifySession verifies what the peer's SignSession made: over own leaf and, as some stacks sign, over own with all its issuers.
func (p Policy) VerifySession(peer *Certificate, own *Identity, ownNonce, signature []byte) error {
	if p == None {
		return nil
	}
	if own == nil {
		return signatureError(errors.New("no certificate of our own"))
	}
	err := p.Verify(peer, signature, own.Raw, ownNonce)
	if err != nil && len(own.Chain) > len(own.Raw) && p.Verify(peer, signature, own.Chain, ownNonce) == nil {
		return nil
	}
	return err
}

const secretLengthBytes = 4

// EncryptSecret encrypts a password for the owner of c, bound to the nonce that it sent last: length of both, secret, nonce, block by block
// [OPC 10000-4 7.41.2.2]. With None it returns secret. ECC has SealSecret for it.
func (p Policy) EncryptSecret(c *Certificate, secret, nonce []byte) ([]byte, error) {
	if p == None {
		return secret, nil
	}
	switch {
	case p.Ephemeral():
		return nil, configError(ua.BadSecurityPolicyRejected, "the policy "+p.String()+" encrypts nothing with a certificate")
	case c == nil:
		return nil, configError(ua.BadCertificateInvalid, "there is no certificate to encrypt a secret for")
	}
	if err := p.checkKey(c); err != nil {
		return nil, err
	}
	plain := binary.LittleEndian.AppendUint32(nil, uint32(len(secret)+len(nonce)))
	plain = append(append(plain, secret...), nonce...)
	return p.suite().encryptBlocks(nil, c.rsaKey(), plain)
}

// maxSecretBytes is the longest encrypted secret that is looked at: each 256 bytes of it are a private key operation.
const maxSecretBytes = 4 << 10

// DecryptSecret undoes EncryptSecret. algorithm is the encryptionAlgorithm that came with it, which may be empty. Everything that may be wrong
// is one error, BadIdentityTokenRejected.
func (p Policy) DecryptSecret(id *Identity, algorithm string, cipher, nonce []byte) ([]byte, error) {
	if p == None {
		return cipher, nil
	}
	refused := &Error{Op: "decrypt secret", Status: ua.BadIdentityTokenRejected, Reason: "the secret is not encrypted as the policy asks for"}
	if p.Ephemeral() || (Security{Policy: p}).checkIdentity(id) != nil || algorithm != "" && algorithm != p.EncryptionURI() || len(cipher) > maxSecretBytes {
		return nil, refused
	}
	plain, ok := p.suite().decryptBlocks(id, bytes.Clone(cipher))
	if !ok || len(plain) < secretLengthBytes+len(nonce) {
		return nil, refused
	}
	n := binary.LittleEndian.Uint32(plain)
	plain = plain[secretLengthBytes:]
	if uint64(n) > uint64(len(plain)) || int(n) < len(nonce) {
		return nil, refused
	}
	secret, bound := plain[:int(n)-len(nonce)], plain[int(n)-len(nonce):n]
	if subtle.ConstantTimeCompare(bound, nonce) != 1 {
		return nil, refused
	}
	return secret, nil
}
