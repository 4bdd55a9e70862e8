package uasc

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"time"

	"millrace/opcua/ua"
)

// A secret with ECC is an EccEncryptedSecret [OPC 10000-4 7.40.2.3, 7.40.2.5, OPC 10000-6 6.8.3]:
//
//	type id, mask 1, length of what follows(4), policy URI, sender's certificate, signing time(8), length of the keys(2)
//	keys: sender's ephemeral public key, receiver's               each a ByteString
//	encrypted: nonce, secret                                      each a ByteString; padding, its size(2)
//	signature of all that, with the key of the certificate        64 bytes
//
// The receiver has given its ephemeral key before: a server in the header of the responses to CreateSession and ActivateSession.
const (
	secretType    = 17546 // the DataType EccEncryptedSecret, not an encoding of it
	secretMask    = 1     // a binary body
	secretLengths = 4
	// maxSealedSecret is the longest that is looked at: a secret, and a certificate with its issuers.
	maxSealedSecret = maxSecretBytes + maxCertificateBytes
)

// Ephemeral reports whether secrets are exchanged with SealSecret and OpenSecret, for which the receiver gives an ephemeral key, and not with EncryptSecret and DecryptSecret.
func (p Policy) Ephemeral() bool { return p.suite().ecc }

// SealSecret encrypts a secret for the owner of the ephemeral key receiver, bound to the nonce that it sent last, and signs it with id.
func (p Policy) SealSecret(id *Identity, receiver, nonce, secret []byte, now time.Time) ([]byte, error) {
	if !p.Ephemeral() {
		return nil, configError(ua.BadSecurityPolicyRejected, "the policy "+p.String()+" has no ephemeral keys")
	}
	if err := (Security{Policy: p}).checkIdentity(id); err != nil {
		return nil, err
	}
	own, err := NewEphemeralKey()
	if err != nil {
		return nil, err
	}
	b := appendSecretHeader(nil, p, id, own.public, receiver, now)
	at := len(b)
	b = padSecret(ua.AppendByteString(ua.AppendByteString(b, nonce), secret), at, len(secret))
	if err := cryptSecret(p.suite(), own, receiver, own.public, receiver, b[at:], true); err != nil {
		return nil, &Error{Op: "encrypt secret", Status: ua.BadNonceInvalid, Reason: "the receiver's ephemeral key is none", Err: err}
	}
	return p.signSecret(id, b)
}

// appendSecretHeader appends what is not encrypted, with a length that is not known yet.
func appendSecretHeader(b []byte, p Policy, id *Identity, sender, receiver []byte, now time.Time) []byte {
	b = ua.AppendNodeId(b, ua.NumericId(0, secretType))
	b = append(b, secretMask)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = ua.AppendString(b, p.URI())
	b = ua.AppendByteString(b, id.Chain) // might be left out on a channel that was opened with it, but not every server looks there
	b = ua.AppendDateTime(b, ua.DateTimeOf(now))
	b = binary.LittleEndian.AppendUint16(b, uint16(2*secretLengths+len(sender)+len(receiver)))
	return ua.AppendByteString(ua.AppendByteString(b, sender), receiver)
}

// padSecret fills b[at:] up to whole blocks, with one more when otherwise the length would tell that of a short secret.
func padSecret(b []byte, at, secret int) []byte {
	const size = 2
	padding := -(len(b) - at + size) & (blockBytes - 1)
	if secret+padding < blockBytes {
		padding += blockBytes
	}
	b = append(b, bytes.Repeat([]byte{byte(padding)}, padding)...)
	return binary.LittleEndian.AppendUint16(b, uint16(padding))
}

// cryptSecret encrypts or decrypts blocks in place with the key that own and peer agree on.
func cryptSecret(s *suite, own *EphemeralKey, peer, sender, receiver, blocks []byte, seal bool) error {
	shared, err := own.agree(peer)
	if err != nil {
		return err
	}
	raw, err := derive(shared, labelSecret, sender, receiver, s.key+blockBytes)
	if err != nil {
		return err
	}
	newCBC(raw[:s.key], raw[s.key:], seal).CryptBlocks(blocks, blocks)
	return nil
}

// signSecret puts in the length and appends the signature.
func (p Policy) signSecret(id *Identity, b []byte) ([]byte, error) {
	d := ua.NewDecoder(b, ua.Limits{})
	d.NodeId()
	d.U8()
	binary.LittleEndian.PutUint32(b[d.At():], uint32(len(b)-d.At()-secretLengths+eccSignatureBytes))
	digest := sha256.Sum256(b)
	sig, err := p.suite().sign(id, digest[:])
	if err != nil {
		return nil, &Error{Op: "encrypt secret", Status: ua.BadInternalError, Reason: "cannot sign", Err: err}
	}
	return append(b, sig...), nil
}

// sealedSecret is an EccEncryptedSecret, taken apart.
type sealedSecret struct {
	policyURI        string
	certificate      []byte
	sender, receiver []byte
	at               int // where the encrypted part begins
}

// readSecret takes b apart. ok is false when it cannot be one.
func readSecret(b []byte) (x sealedSecret, ok bool) {
	d := ua.NewDecoder(b, ua.Limits{StringLength: maxPolicyURI, ByteStringLength: maxCertificateBytes})
	d.Alias = true
	id, mask := d.NodeId(), d.U8()
	length := int64(d.U32())
	follows := int64(d.Left())
	x.policyURI = d.String()
	x.certificate = d.Bytes()
	d.DateTime() // SigningTime: the nonce says that it is not an old one, without a clock
	keys := int(d.U16())
	at := d.At()
	x.sender, x.receiver = d.Bytes(), d.Bytes()
	x.at = d.At()
	// Stacks disagree whether the length counts what follows it, as an ExtensionObject's does, or all of it: open62541 before 1.5.5 wrote the second. That of the
	// whole stands beside it anyway.
	whole := length == follows || length == int64(len(b))
	ok = !d.Bad() && id == ua.NumericId(0, secretType) && mask == secretMask && whole && keys == x.at-at
	sealed := len(b) - eccSignatureBytes - x.at
	return x, ok && sealed > 0 && sealed%blockBytes == 0
}

// OpenSecret undoes SealSecret. sender is whose secret it must be, own the key that was given last. sealed is not changed. Everything that may be wrong is one
// error, BadIdentityTokenRejected; who signed is found out before anything is decrypted.
func (p Policy) OpenSecret(sender *Certificate, own *EphemeralKey, sealed, nonce []byte) ([]byte, error) {
	refused := &Error{Op: "decrypt secret", Status: ua.BadIdentityTokenRejected, Reason: "the secret is not encrypted as the policy asks for"}
	if !p.Ephemeral() || sender == nil || own == nil || len(sealed) > maxSealedSecret || p.checkKey(sender) != nil {
		return nil, refused
	}
	x, ok := readSecret(sealed)
	if !ok || x.policyURI != p.URI() || len(x.certificate) > 0 && !bytes.Equal(Leaf(x.certificate), sender.Raw) {
		return nil, refused
	}
	n := len(sealed) - eccSignatureBytes
	digest := sha256.Sum256(sealed[:n])
	if !p.suite().verify(sender.Key, digest[:], sealed[n:]) || !own.sameKey(x.receiver) {
		return nil, refused
	}
	plain := bytes.Clone(sealed[x.at:n])
	if cryptSecret(p.suite(), own, x.sender, x.sender, x.receiver, plain, false) != nil {
		return nil, refused
	}
	secret, ok := unpadSecret(plain, nonce)
	if !ok {
		return nil, refused
	}
	return secret, nil
}

// unpadSecret returns the secret of an encrypted part, when it is bound to nonce and padded as it should be.
func unpadSecret(plain, nonce []byte) ([]byte, bool) {
	n := len(plain) - 2
	padding := int(binary.LittleEndian.Uint16(plain[n:]))
	d := ua.NewDecoder(plain[:n], ua.Limits{})
	d.Alias = true
	bound, secret := d.Bytes(), d.Bytes()
	if d.Bad() || d.Left() != padding || subtle.ConstantTimeCompare(bound, nonce) != 1 {
		return nil, false
	}
	wrong := byte(0)
	for _, v := range d.Rest() {
		wrong |= v ^ byte(padding)
	}
	return secret, wrong == 0
}
