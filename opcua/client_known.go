package opcua

import (
	"crypto/sha256"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// KnownEndpoint is an endpoint of a server as a client has chosen it, for Config.Known. It does not change, and clients may share it.
type KnownEndpoint struct{ choice *clientChoice }

// fits returns the endpoint as cfg would choose it, or nil when cfg does not permit it.
func (e *KnownEndpoint) fits(cfg *Config) *clientChoice {
	if e == nil {
		return nil
	}
	c, ok := consider(&e.choice.endpoint, cfg)
	if !ok {
		return nil
	}
	c.offered, c.found, c.server = e.choice.offered, true, e.choice.server
	return c
}

const (
	knownForm  = 1 // the first byte of what AppendTo writes
	knownBytes = 1 + sha256.Size
)

// AppendTo appends the endpoint as ParseKnownEndpoint reads it, in a later run of the program, say: the form of the bytes, the digest of what discovery returned, and the
// EndpointDescription. Nothing of it is secret.
func (e *KnownEndpoint) AppendTo(b []byte) []byte {
	b = append(append(b, knownForm), e.choice.offered[:]...)
	return e.choice.endpoint.AppendTo(b)
}

// ParseKnownEndpoint reads what AppendTo wrote. Whoever can change that chooses the endpoint, but not whom the client trusts: the certificate is judged as one from discovery is.
func ParseKnownEndpoint(b []byte) (*KnownEndpoint, error) {
	if len(b) < knownBytes || b[0] != knownForm {
		return nil, &ArgumentError{What: "not an endpoint that was kept"}
	}
	c := &clientChoice{found: true}
	copy(c.offered[:], b[1:])
	d := ua.NewDecoder(b[knownBytes:], ua.Limits{})
	c.endpoint.DecodeFrom(&d)
	if err := d.Done(); err != nil {
		return nil, err
	}
	policy, ok := uasc.PolicyByURI(c.endpoint.SecurityPolicyUri)
	c.security = uasc.Security{Policy: policy, Mode: c.endpoint.SecurityMode}
	if !ok || c.security.Check() != nil {
		return nil, &ArgumentError{What: "an endpoint was kept with a security that there is not"}
	}
	c.keep()
	return &KnownEndpoint{c}, nil
}
