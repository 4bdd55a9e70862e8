package opcua

import (
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// With ECC a password is encrypted for a key that the server makes for it. A client asks for one in the header of CreateSession and ActivateSession, and the server
// gives it in that of the response, with the signature of its certificate; the last one counts [OPC 10000-6 6.8.2].
const (
	keyPolicyName = "ECDHPolicyUri" // the policy: a String
	keyName       = "ECDHKey"       // the key: an EphemeralKeyType, or a StatusCode why there is none
)

// keyParameters is the additional header with which keys are asked for and given.
func keyParameters(policyURI string, more ...ua.KeyValuePair) ua.ExtensionObject {
	m := ua.AdditionalParametersType{Parameters: append([]ua.KeyValuePair{{Key: ua.QualifiedName{Name: keyPolicyName}, Value: ua.String(policyURI)}}, more...)}
	return ua.Wrap(&m)
}

// keyParameter returns a parameter of an additional header; false when it has none of that name.
func keyParameter(header *ua.ExtensionObject, name string, lim ua.Limits) (ua.Variant, bool) {
	var m ua.AdditionalParametersType
	if !header.Is(&m) || header.Decode(&m, lim) != nil {
		return ua.Variant{}, false
	}
	for i := range m.Parameters {
		if p := &m.Parameters[i]; p.Key.NamespaceIndex == 0 && p.Key.Name == name {
			return p.Value, true
		}
	}
	return ua.Variant{}, false
}

// identity returns that of the certificate which the session is made with, nil without: the channel's, or on one without security that of the user's token.
func (c *clientChoice) identity(cfg *Config) *uasc.Identity {
	if c.secured() {
		return cfg.identity(c.security.Policy)
	}
	if p, ok := c.tokenSecurity(); ok && p != uasc.None {
		return cfg.identity(p)
	}
	return nil
}

// keyRequest returns the additional header that asks for a key, null when u needs none.
func (c *clientChoice) keyRequest(u *User) ua.ExtensionObject {
	p, ok := c.tokenSecurity()
	if !ok || !p.Ephemeral() || u.kind() != ua.UserTokenTypeUserName {
		return ua.ExtensionObject{}
	}
	return keyParameters(p.URI())
}

// takeKey keeps the key that the server gave, which has to be the server's. A header without one leaves the last as it is.
func (s *clientSession) takeKey(header *ua.ExtensionObject, c *clientConn, ch *clientChoice) error {
	p, ok := ch.tokenSecurity()
	if !ok || !p.Ephemeral() {
		return nil
	}
	v, ok := keyParameter(header, keyName, c.cfg.Limits)
	if !ok {
		return nil
	}
	if status, ok := v.Any().(ua.StatusCode); ok {
		return &SessionError{Status: status, What: "the server gives no key to encrypt the password for: " + status.String()}
	}
	var k ua.EphemeralKeyType
	x, ok := v.Any().(ua.ExtensionObject)
	if !ok || !x.Is(&k) || x.Decode(&k, c.cfg.Limits) != nil {
		return &SessionError{Status: ua.BadDecodingError, What: "the server's key to encrypt the password for is malformed"}
	}
	if err := p.Verify(c.channel.Remote(), k.Signature, k.PublicKey); err != nil {
		return &SessionError{Status: ua.BadApplicationSignatureInvalid, What: "the key to encrypt the password for is not the server's: " + err.Error()}
	}
	s.key = k.PublicKey
	return nil
}

// sealPassword encrypts the user's password for the server's last key.
func (s *clientSession) sealPassword(cfg *Config, p uasc.Policy) ([]byte, error) {
	if s.key == nil {
		return nil, &SessionError{Status: ua.BadSecurityPolicyRejected, What: "the server gave no key to encrypt the password for (" + keyName + "), as " + p.String() + " asks of it"}
	}
	return p.SealSecret(cfg.identity(p), s.key, s.nonce, []byte(cfg.User.Password), time.Now())
}
