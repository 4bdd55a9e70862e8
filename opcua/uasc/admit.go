package uasc

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"slices"
	"time"

	"millrace/opcua/ua"
)

// errChanged is the cause when a renewal is not of the policy, mode or certificate that the channel was opened with.
var errChanged = errors.New("a renewal with another policy, mode or certificate")

// admitPolicy returns the policy of an OPN when it may come on this channel.
func (c *Channel) admitPolicy(h asymmetricHeader) (Policy, error) {
	policy, ok := PolicyByURI(h.policyURI)
	if !ok {
		return 0, openError(ua.BadSecurityPolicyRejected, "the security policy is unknown")
	}
	if c.server == nil || c.state == opened {
		if policy != c.security.Policy {
			return 0, checksFailed("open channel", errChanged)
		}
	} else if !c.server.admits(policy) {
		return 0, openError(ua.BadSecurityPolicyRejected, "the security policy is not let in")
	}
	if c.server != nil && h.channel != c.channelSoFar() {
		return 0, openError(ua.BadTcpSecureChannelUnknown, "the OPN is of another channel")
	}
	return policy, nil
}

// channelSoFar is the id that a client's OPN has: 0 in the first.
func (c *Channel) channelSoFar() uint32 {
	if c.state == opened {
		return c.id
	}
	return 0
}

// admits reports whether some endpoint has the policy.
func (s *Server) admits(p Policy) bool {
	return p == None && s.cfg.Discovery || slices.ContainsFunc(s.cfg.Security, func(has Security) bool { return has.Policy == p })
}

// admitSender returns the certificate that an OPN was sent with, when it is one that may: on a server one that is trusted, and from the second OPN on
// the one of the first; on a client that of the endpoint.
func (c *Channel) admitSender(policy Policy, h asymmetricHeader, now time.Time) (*Certificate, error) {
	if subtle.ConstantTimeCompare(h.thumbprint, c.identity(policy).Thumbprint[:]) != 1 {
		return nil, checksFailed("open channel", errors.New("meant for another certificate than this side's"))
	}
	if c.remote != nil {
		if !bytes.Equal(Leaf(h.sender), c.remote.Raw) {
			return nil, checksFailed("open channel", errChanged)
		}
		if c.server == nil {
			return c.remote, nil
		}
	}
	cert, err := ParseCertificate(h.sender)
	if err != nil {
		return nil, checksFailed("open channel", err)
	}
	if err := policy.checkKey(cert); err != nil {
		return nil, openCause(ua.BadCertificateInvalid, "the policy "+policy.String()+" takes certificates with "+policy.KeyName()+", and this one has another", err)
	}
	if err := c.server.cfg.Trust.Validate(now, cert.Chain, Use{Policy: policy, By: c.server.cfg.Name, Peer: c.peer}); err != nil {
		return nil, refused(err)
	}
	cert.Raw = bytes.Clone(cert.Raw) // the issuers that came with it are not kept as long as the connection is
	cert.Chain = cert.Raw
	return cert, nil
}

// refused is what a client is told about its certificate.
func refused(err error) error {
	var e *CertificateError
	if !errors.As(err, &e) || e.Outward() == ua.BadSecurityChecksFailed {
		return checksFailed("open channel", err)
	}
	return openCause(e.Outward(), "the certificate is refused", err)
}
