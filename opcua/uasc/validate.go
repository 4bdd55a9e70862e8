package uasc

import (
	"fmt"
	"time"

	"millrace/opcua/ua"
)

// Validator says whether a certificate may be used.
type Validator interface {
	// Validate returns nil, or a *CertificateError. chain is DER, the leaf first.
	Validate(now time.Time, chain []byte, use Use) error
}

// Use is what a certificate is validated for.
type Use struct {
	Policy         Policy
	By             string // who asks: "server :4840", a device
	Peer           string // whom the certificate came from, an address
	Server         bool   // the certificate is a server's
	HostName       string // under which the server was found; "" is not checked
	ApplicationURI string // that the peer says it has; "" is not checked
}

// Check is a set of checks, a bit each, in the order of [OPC 10000-4 6.1.3].
type Check uint16

// The checks.
const (
	CheckStructure Check = 1 << iota
	CheckChain
	CheckSignature
	CheckPolicy
	CheckTrust
	CheckValidity
	CheckHostName
	CheckURI
	CheckUsage
	CheckRevocationFound
	CheckRevoked
)

// CertificateError is why a certificate is refused.
type CertificateError struct {
	Check      Check         // the one that failed
	Status     ua.StatusCode // of that check
	Issuer     bool          // an issuer failed it, not the certificate itself
	Subject    string
	Thumbprint string // hexadecimal, of the one that failed
	Reason     string
	Err        error // may be nil
}

func (e *CertificateError) Error() string {
	s := fmt.Sprintf("uasc: certificate %s (%s): %v: %s", e.Thumbprint, e.Subject, e.Status, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the status and the cause.
func (e *CertificateError) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Status}
	}
	return []error{e.Status, e.Err}
}

// Retryable reports false: somebody has to mend the certificate or to trust it.
func (e *CertificateError) Retryable() bool { return false }

// Outward returns what a server tells the client: up to the trust list no more than that security checks failed [OPC 10000-4 6.1.3, table 106].
func (e *CertificateError) Outward() ua.StatusCode {
	if e.Check <= CheckTrust {
		return ua.BadSecurityChecksFailed
	}
	return e.Status
}
