package uasc

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"millrace/opcua/ua"
)

// What an OPN is secured with: the keys of the certificates. What encrypts is RSA [OPC 10000-6 6.7.2, 6.7.6]; ecc.go has what only signs.

// sign returns the signature of digest, which is a SHA-256.
func (s *suite) sign(id *Identity, digest []byte) ([]byte, error) {
	switch {
	case s.ecc:
		return signECDSA(id.Signer, digest)
	case s.pss:
		return id.Signer.Sign(rand.Reader, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	}
	return id.Signer.Sign(rand.Reader, digest, crypto.SHA256)
}

// verify reports whether signature is one of digest under a key of the policy's kind.
func (s *suite) verify(key crypto.PublicKey, digest, signature []byte) bool {
	if k, ok := p256(key); ok {
		return s.ecc && verifyECDSA(k, digest, signature)
	}
	k, ok := key.(*rsa.PublicKey)
	switch {
	case !ok || s.ecc:
		return false
	case s.pss:
		return rsa.VerifyPSS(k, crypto.SHA256, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	}
	return rsa.VerifyPKCS1v15(k, crypto.SHA256, digest, signature) == nil
}

// encryptBlocks encrypts plain, which is whole blocks of what key holds, and appends the result to b.
func (s *suite) encryptBlocks(b []byte, key *rsa.PublicKey, plain []byte) ([]byte, error) {
	block := key.Size() - s.oaepOverhead()
	for len(plain) > 0 {
		n := min(block, len(plain))
		out, err := rsa.EncryptOAEP(s.oaepHash(), rand.Reader, key, plain[:n], nil)
		if err != nil {
			return b, err
		}
		b, plain = append(b, out...), plain[n:]
	}
	return b, nil
}

// decryptBlocks decrypts cipher in place, whole blocks of id's key, and returns the plain text, which is shorter. It goes through all of cipher whatever
// is wrong with it, so that the time says nothing about where.
func (s *suite) decryptBlocks(id *Identity, cipher []byte) ([]byte, bool) {
	size := id.rsaKey().Size()
	decrypter, ok := id.Signer.(crypto.Decrypter)
	if !ok || len(cipher) == 0 || len(cipher)%size != 0 {
		return nil, false
	}
	n := 0
	for at := 0; at < len(cipher); at += size {
		plain, err := decrypter.Decrypt(rand.Reader, cipher[at:at+size], &rsa.OAEPOptions{Hash: s.oaep})
		if err != nil {
			ok = false
			continue
		}
		n += copy(cipher[n:], plain)
	}
	return cipher[:n], ok
}

// asymmetricHeader is the security header of an OPN.
type asymmetricHeader struct {
	channel    uint32
	policyURI  string
	sender     []byte // DER, the leaf or a chain
	thumbprint []byte // SHA-1 of the receiver's leaf
	at         int    // where the sequence header begins
}

// maxCertificateBytes is the longest certificate with its chain that is looked at.
const maxCertificateBytes = 32 << 10

// readAsymmetric reads the security header of an OPN.
func readAsymmetric(chunk []byte) (h asymmetricHeader, err error) {
	d := ua.NewDecoder(chunk[channelAt:], ua.Limits{StringLength: maxPolicyURI, ByteStringLength: maxCertificateBytes})
	d.Alias = true
	h.channel = d.U32()
	h.policyURI = d.String()
	h.sender = d.Bytes()
	h.thumbprint = d.Bytes()
	h.at = channelAt + d.At()
	if err := d.Err(); err != nil {
		return h, openCause(ua.BadDecodingError, "the security header is malformed", err)
	}
	if d.Left() < sequenceBytes {
		return h, openError(ua.BadDecodingError, "the sequence header is missing")
	}
	return h, nil
}

// maxSealedOpen is the longest encrypted part of an OPN that is looked at. A real one has two or three blocks; without a limit, 64 KiB with a certificate that
// is trusted, which is no secret, would cost whoever gets it 256 private key operations.
const maxSealedOpen = 4 << 10

// takeOpen opens the chunk of an OPN. Who sent it is judged before anything is decrypted: a stranger does not cost this side a private key operation.
func (c *Channel) takeOpen(chunk []byte, now time.Time) (Message, error) {
	h, err := readAsymmetric(chunk)
	if err != nil {
		return Message{}, err
	}
	policy, err := c.admitPolicy(h)
	if err != nil {
		return Message{}, err
	}
	var sender *Certificate
	if policy != None {
		if len(chunk)-h.at > maxSealedOpen {
			return Message{}, openError(ua.BadTcpMessageTooLarge, "an OPN is longer than any can be")
		}
		if sender, err = c.admitSender(policy, h, now); err != nil {
			return Message{}, err
		}
	}
	body, ok := c.openAsymmetric(policy, sender, chunk, h.at)
	if !ok {
		return Message{}, checksFailed("open channel", errCrypto)
	}
	le := binary.LittleEndian
	c.received.full = policy.suite().ecc
	if !c.received.take(le.Uint32(chunk[h.at:]), c.rule()) {
		return Message{}, checksFailed("open channel", errSequence)
	}
	c.policy, c.sender = policy, sender
	return Message{Kind: KindOpen, RequestID: le.Uint32(chunk[h.at+4:]), Chunks: 1, Body: body}, nil
}

// openAsymmetric decrypts what is behind chunk[at:] in place, verifies it, and returns the body. Everything that may be wrong ends alike.
func (c *Channel) openAsymmetric(policy Policy, sender *Certificate, chunk []byte, at int) ([]byte, bool) {
	if policy == None {
		return chunk[at+sequenceBytes:], true
	}
	s := policy.suite()
	if s.ecc {
		return s.openSigned(sender, chunk, at)
	}
	id, key := c.identity(policy), sender.rsaKey()
	plain, ok := s.decryptBlocks(id, chunk[at:])
	n := len(plain) - key.Size()
	if n < sequenceBytes {
		return nil, false
	}
	digest := sha256.Sum256(chunk[:at+n])
	ok = s.verify(key, digest[:], plain[n:]) && ok
	body, padded := unpad(plain[sequenceBytes:n], paddingSizeBytes(id.rsaKey()))
	return body, ok && padded
}

// paddingSizeBytes returns how many bytes say how long the padding is: two when a cipher block is longer than a byte can count.
func paddingSizeBytes(receiver *rsa.PublicKey) int {
	const extraBeyond = 256
	if receiver.Size() > extraBeyond {
		return 2
	}
	return 1
}

// sealOpen completes the OPN that begins at b[start:] and whose sequence header is at b[at:]: padding, size, signature, encryption.
func (c *Channel) sealOpen(b []byte, start, at int, policy Policy, remote *Certificate) ([]byte, error) {
	if policy == None {
		return endTransport(b, start), nil
	}
	s := policy.suite()
	if s.ecc {
		return s.sealSigned(c.identity(policy), b, start)
	}
	id, key := c.identity(policy), remote.rsaKey()
	block, sizeBytes, signature := key.Size()-s.oaepOverhead(), paddingSizeBytes(key), id.rsaKey().Size()
	plain := len(b) - at + sizeBytes + signature
	padding := (block - plain%block) % block
	b = append(b, bytes.Repeat([]byte{byte(padding)}, padding+1)...)
	if sizeBytes == 2 {
		b = append(b, byte(padding>>8))
	}
	blocks := (plain + padding) / block
	binary.LittleEndian.PutUint32(b[start+sizeAt:], uint32(at-start+blocks*key.Size()))
	digest := sha256.Sum256(b[start:])
	sig, err := s.sign(id, digest[:])
	if err != nil {
		return b[:start], openCause(ua.BadInternalError, "cannot sign", err)
	}
	secret := bytes.Clone(append(b, sig...)[at:])
	if b, err = s.encryptBlocks(b[:at], key, secret); err != nil {
		return b[:start], openCause(ua.BadInternalError, "cannot encrypt", err)
	}
	return b, nil
}

// beginOpen appends the headers of an OPN up to the body, and returns where its sequence header is.
func (c *Channel) beginOpen(b []byte, channel, requestID uint32, policy Policy, remote *Certificate) (out []byte, at int) {
	c.sent.full = policy.suite().ecc
	b = beginTransport(b, KindOpen)
	b = binary.LittleEndian.AppendUint32(b, channel)
	b = appendText(b, policy.URI())
	if policy == None {
		b = appendNull(appendNull(b))
	} else {
		b = appendText(b, string(c.identity(policy).Chain))
		b = appendText(b, string(remote.Thumbprint[:]))
	}
	at = len(b)
	b = binary.LittleEndian.AppendUint32(b, c.sent.next())
	return binary.LittleEndian.AppendUint32(b, requestID), at
}

func appendNull(b []byte) []byte { return append(b, 0xFF, 0xFF, 0xFF, 0xFF) }
