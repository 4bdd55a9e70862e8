package opcua

import (
	"context"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// giveKey puts a key into the additional header of the response that out is, when the client asked for one: the next password with ECC is encrypted for it
// [OPC 10000-6 6.8.2]. One that is not asked for anew stays good: the client uses the last that it was given, and the nonce keeps an old password out.
func (s *Server) giveKey(ctx context.Context, c *call, x *session, out []byte) ([]byte, ua.StatusCode) {
	v, asked := keyParameter(&c.header.AdditionalHeader, keyPolicyName, s.cfg.Limits)
	if !asked {
		return out, ua.Good
	}
	p, known := uasc.PolicyByURI(v.Text())
	if !known || !p.Ephemeral() || p != c.conn.channel.Policy() {
		return appendAdditional(out, clipped(v.Text(), maxKeptText), ua.StatusValue(ua.BadSecurityPolicyRejected)), ua.Good
	}
	if status := s.keys.enter(ctx, true); status != ua.Good {
		return out, status
	}
	defer s.keys.leave()
	key, err := uasc.NewEphemeralKey()
	if err != nil {
		return out, ua.BadInternalError
	}
	signature, err := p.Sign(s.cfg.identity(p), key.Public())
	if err != nil {
		return out, ua.BadInternalError
	}
	x.setKey(key)
	return appendAdditional(out, p.URI(), ua.ExtensionObjectValue(ua.Wrap(&ua.EphemeralKeyType{PublicKey: key.Public(), Signature: signature}))), ua.Good
}

// appendAdditional puts the answer to a request for a key at the end of the header that out ends with.
func appendAdditional(out []byte, policyURI string, answer ua.Variant) []byte {
	x := keyParameters(policyURI, ua.KeyValuePair{Key: ua.QualifiedName{Name: keyName}, Value: answer})
	return ua.AppendExtensionObject(out[:len(out)-nullObject], x)
}

// lastKey is what the next password with ECC is encrypted for.
func (x *session) lastKey() *uasc.EphemeralKey {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.key
}

func (x *session) setKey(key *uasc.EphemeralKey) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.key = key
}
