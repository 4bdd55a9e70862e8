package uasc

import (
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"hash"
	"strings"

	"millrace/opcua/ua"
)

// Policy is a security policy [OPC 10000-7 6.6.161 ff]. The zero value is none at all, not even None.
type Policy uint8

// The policies. What was deprecated for SHA-1 signatures (Basic128Rsa15, Basic256) is not here.
const (
	None Policy = iota + 1
	Basic256Sha256
	Aes128Sha256RsaOaep
	Aes256Sha256RsaPss
	ECCNistP256 // signs with P-256 and agrees on keys for each token anew, so that who gets the certificate's key later reads nothing that was recorded
)

// suite is what a policy consists of. Lengths are bytes but for the certificates' keys' bits.
type suite struct {
	name, uri     string
	level         uint8
	nonce         int
	signKey, key  int  // symmetric; the IV is a block long
	keyMin        int  // bits of the certificate's key
	keyMax        int  // likewise
	ecc           bool // the key is one of P-256, else RSA; nothing of what follows has ECC
	pss           bool // signatures are PSS, else PKCS #1 v1.5; both of SHA-256
	oaep          crypto.Hash
	signatureURI  string
	encryptionURI string
}

const (
	policyPrefix = "http://opcfoundation.org/UA/SecurityPolicy#"
	maxPolicyURI = 255
	macBytes     = sha256.Size // HMAC-SHA256 is the symmetric signature of every policy here
	blockBytes   = 16          // AES

	uriRSASHA256  = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
	uriPSSSHA256  = "http://opcfoundation.org/UA/security/rsa-pss-sha2-256"
	uriOAEP       = "http://www.w3.org/2001/04/xmlenc#rsa-oaep"
	uriOAEPSHA256 = "http://opcfoundation.org/UA/security/rsa-oaep-sha2-256"
)

var suites = [...]suite{
	None: {name: "None", uri: policyPrefix + "None"},
	Basic256Sha256: {
		name: "Basic256Sha256", uri: policyPrefix + "Basic256Sha256", level: 20, nonce: 32, signKey: 32, key: 32,
		keyMin: 2048, keyMax: 4096, oaep: crypto.SHA1, signatureURI: uriRSASHA256, encryptionURI: uriOAEP,
	},
	Aes128Sha256RsaOaep: {
		name: "Aes128_Sha256_RsaOaep", uri: policyPrefix + "Aes128_Sha256_RsaOaep", level: 30, nonce: 32, signKey: 32, key: 16,
		keyMin: 2048, keyMax: 4096, oaep: crypto.SHA1, signatureURI: uriRSASHA256, encryptionURI: uriOAEP,
	},
	Aes256Sha256RsaPss: {
		name: "Aes256_Sha256_RsaPss", uri: policyPrefix + "Aes256_Sha256_RsaPss", level: 40, nonce: 32, signKey: 32, key: 32,
		keyMin: 2048, keyMax: 4096, pss: true, oaep: crypto.SHA256, signatureURI: uriPSSSHA256, encryptionURI: uriOAEPSHA256,
	},
	// The level is below all others: peers trust a certificate, and who was trusted with that of RSA would otherwise come with another one the day both sides can. It
	// names no algorithms in signatures and secrets, where RSA does: the policy says them all, and some servers refuse any name there.
	ECCNistP256: {
		name: "ECC_nistP256", uri: policyPrefix + "ECC_nistP256", level: 10, nonce: pointBytes, signKey: 32, key: 16, keyMin: 256, keyMax: 256, ecc: true,
	},
}

// known reports whether p is one of the policies.
func (p Policy) known() bool { return p >= None && int(p) < len(suites) }

// suite returns what p consists of; of an unknown policy that is nothing.
func (p Policy) suite() *suite {
	if !p.known() {
		return &suites[0]
	}
	return &suites[p]
}

// PolicyByURI returns the policy that goes by uri on the wire. An empty one means None, as some stacks write it.
func PolicyByURI(uri string) (Policy, bool) {
	if uri == "" {
		return None, true
	}
	for p := None; int(p) < len(suites); p++ {
		if suites[p].uri == uri {
			return p, true
		}
	}
	return 0, false
}

// ParsePolicy reads a name as in configurations, Basic256Sha256 or Aes128_Sha256_RsaOaep, in any case and without regard to underscores, or a URI.
func ParsePolicy(name string) (Policy, bool) {
	if strings.HasPrefix(name, "http:") {
		return PolicyByURI(name)
	}
	plain := strings.ReplaceAll(name, "_", "")
	for p := None; int(p) < len(suites); p++ {
		if strings.EqualFold(strings.ReplaceAll(suites[p].name, "_", ""), plain) {
			return p, true
		}
	}
	return 0, false
}

// String returns the name of p as its URI ends.
func (p Policy) String() string {
	if !p.known() {
		return "unknown policy"
	}
	return suites[p].name
}

// URI returns the name of p on the wire.
func (p Policy) URI() string { return p.suite().uri }

// Level returns the securityLevel of an endpoint with p and mode: the higher the better, 0 when nothing is secured [OPC 10000-4 7.14].
func (p Policy) Level(mode ua.MessageSecurityMode) uint8 {
	switch mode {
	case ua.MessageSecurityModeSign:
		return p.suite().level
	case ua.MessageSecurityModeSignAndEncrypt:
		return p.suite().level + 5
	default:
		return 0
	}
}

// NonceBytes returns the length of the nonces in an OpenSecureChannel, which are public keys with ECC; 0 for None.
func (p Policy) NonceBytes() int { return p.suite().nonce }

// SignatureURI returns the algorithm of a SignatureData, "" for None and ECC.
func (p Policy) SignatureURI() string { return p.suite().signatureURI }

// EncryptionURI returns the encryptionAlgorithm of a UserNameIdentityToken, "" for None and ECC.
func (p Policy) EncryptionURI() string { return p.suite().encryptionURI }

// oaepHash returns a new hash of the one that the policy's OAEP uses, both for the label and for the mask.
func (s *suite) oaepHash() hash.Hash {
	if s.oaep == crypto.SHA256 {
		return sha256.New()
	}
	return sha1.New()
}

// oaepOverhead returns how many bytes OAEP takes of a block [RFC 8017 7.1.1].
func (s *suite) oaepOverhead() int { return 2*s.oaep.Size() + 2 }

// NewNonce returns n random bytes, nil when n is 0.
func NewNonce(n int) []byte {
	if n <= 0 {
		return nil
	}
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process when the system has no random bytes
	return b
}

// Security is what an endpoint asks for.
type Security struct {
	Policy Policy
	Mode   ua.MessageSecurityMode
}

// Check reports whether s is something that exists: None without security, every other policy with Sign or SignAndEncrypt.
func (s Security) Check() error {
	none := s.Mode == ua.MessageSecurityModeNone
	secured := s.Mode == ua.MessageSecurityModeSign || s.Mode == ua.MessageSecurityModeSignAndEncrypt
	switch {
	case !s.Policy.known():
		return configError(ua.BadSecurityPolicyRejected, "unknown security policy")
	case s.Policy == None && !none, s.Policy != None && !secured:
		return configError(ua.BadSecurityModeRejected, "the security mode does not go with the policy "+s.Policy.String())
	}
	return nil
}

// String returns the policy and the mode, as Basic256Sha256/Sign.
func (s Security) String() string { return s.Policy.String() + "/" + modeName(s.Mode) }

func modeName(m ua.MessageSecurityMode) string {
	switch m {
	case ua.MessageSecurityModeNone:
		return "None"
	case ua.MessageSecurityModeSign:
		return "Sign"
	case ua.MessageSecurityModeSignAndEncrypt:
		return "SignAndEncrypt"
	default:
		return "Invalid"
	}
}
