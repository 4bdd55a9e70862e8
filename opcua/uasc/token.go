package uasc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"time"

	"millrace/opcua/ua"
)

// token is a security token with its keys [OPC 10000-6 6.7.4]. receive belongs to the reader, send to the sender.
type token struct {
	channel, id   uint32
	expires       time.Time
	grace         time.Duration // for which this side takes chunks under it after that
	send, receive *keys         // nil without security
}

// dead reports whether chunks under t are taken no more.
func (t *token) dead(now time.Time) bool { return !now.Before(t.expires.Add(t.grace)) }

// keys secure one direction of a token. Their states are made once and used for every chunk.
type keys struct {
	mac hash.Hash
	cbc cbcMode // nil with Sign alone
	iv  [blockBytes]byte
	sum [macBytes]byte
}

// cbcMode is a CBC cipher that begins anew without being made anew: the IV of OPC UA is the derived one for every chunk.
type cbcMode interface {
	cipher.BlockMode
	SetIV(iv []byte)
}

// newKeys makes the keys of one direction from what was derived for it: for signatures, encryption, and the IV [OPC 10000-6 6.7.5].
func (s *suite) newKeys(raw []byte, mode ua.MessageSecurityMode, seal bool) *keys {
	k := &keys{mac: hmac.New(sha256.New, raw[:s.signKey])}
	if mode != ua.MessageSecurityModeSignAndEncrypt {
		return k
	}
	copy(k.iv[:], raw[s.signKey+s.key:])
	k.cbc = newCBC(raw[s.signKey:s.signKey+s.key], k.iv[:], seal)
	return k
}

// newCBC returns AES in CBC for one direction. key has a length that AES has.
func newCBC(key, iv []byte, seal bool) cbcMode {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("uasc: " + err.Error()) // the lengths stand in suites
	}
	mode := cipher.NewCBCDecrypter(block, iv)
	if seal {
		mode = cipher.NewCBCEncrypter(block, iv)
	}
	if m, ok := mode.(cbcMode); ok {
		return m
	}
	return &remadeCBC{block: block, seal: seal, BlockMode: mode}
}

// remadeCBC is for an implementation of AES whose CBC cannot be set back: nothing promises that it can. It is made anew for each chunk.
type remadeCBC struct {
	cipher.BlockMode
	block cipher.Block
	seal  bool
}

func (m *remadeCBC) SetIV(iv []byte) {
	if m.seal {
		m.BlockMode = cipher.NewCBCEncrypter(m.block, iv)
		return
	}
	m.BlockMode = cipher.NewCBCDecrypter(m.block, iv)
}

// pSHA256 returns n bytes of P_SHA256 [RFC 5246 5]: A(0) = seed, A(i) = HMAC(secret, A(i-1)), out = HMAC(secret, A(1) | seed) | HMAC(secret, A(2) | seed) ...
func pSHA256(secret, seed []byte, n int) []byte {
	mac := hmac.New(sha256.New, secret)
	sum := func(parts ...[]byte) []byte {
		mac.Reset()
		for _, p := range parts {
			mac.Write(p)
		}
		return mac.Sum(nil)
	}
	var out []byte
	for a := sum(seed); len(out) < n; a = sum(a) {
		out = append(out, sum(a, seed)...)
	}
	return out[:n]
}

// sign puts the signature into the last bytes of chunk, of everything before them.
func (k *keys) sign(chunk []byte) {
	n := len(chunk) - macBytes
	k.mac.Reset()
	k.mac.Write(chunk[:n])
	k.mac.Sum(chunk[:n])
}

// verify reports whether the last bytes of chunk are its signature.
func (k *keys) verify(chunk []byte) bool {
	n := len(chunk) - macBytes
	k.mac.Reset()
	k.mac.Write(chunk[:n])
	return hmac.Equal(k.mac.Sum(k.sum[:0]), chunk[n:])
}

// encrypt works in place, on whole blocks.
func (k *keys) crypt(blocks []byte) {
	k.cbc.SetIV(k.iv[:])
	k.cbc.CryptBlocks(blocks, blocks)
}
