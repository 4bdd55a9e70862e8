package uasc

import (
	"crypto/x509"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"millrace/opcua/ua"
)

// Validator says whether a certificate may be used.
type Validator interface {
	// Validate returns nil, or a *CertificateError. chain is DER, the leaf first. Many goroutines may call it at a time.
	Validate(now time.Time, chain []byte, use Use) error
}

// Use is what a certificate is validated for.
type Use struct {
	Policy         Policy
	By             string // who asks: "server :4840", a device
	Peer           string // whom the certificate came from, an address
	Server         bool   // the certificate is a server's
	HostName       string // name or IP address under which the server was found; "" is not checked
	ApplicationURI string // that the peer says it has; "" is not checked
}

// Check is a set of checks, a bit each, in the order of [OPC 10000-4 6.1.3].
type Check uint16

// The checks, with the status of each. Those that an issuer can fail have another status then.
const (
	CheckStructure       Check = 1 << iota // BadCertificateInvalid: it can be read; what cannot is refused even when this is skipped
	CheckChain                             // BadCertificateChainIncomplete: all its issuers are here, up to one that signed itself
	CheckSignature                         // BadCertificateInvalid: each is signed by the next
	CheckPolicy                            // BadCertificatePolicyCheckFailed: its key, the key's curve and the hash of its signature are what the security policy asks for; BadCertificateInvalid: the key is of another kind
	CheckTrust                             // BadCertificateUntrusted: it or one of its issuers is in the list of trusted certificates
	CheckValidity                          // BadCertificateTimeInvalid, BadCertificateIssuerTimeInvalid
	CheckHostName                          // BadCertificateHostNameInvalid
	CheckURI                               // BadCertificateUriInvalid: the application has the URI that it says
	CheckUsage                             // BadCertificateUseNotAllowed, BadCertificateIssuerUseNotAllowed
	CheckRevocationFound                   // BadCertificateRevocationUnknown, BadCertificateIssuerRevocationUnknown: each issuer has a revocation list here
	CheckRevoked                           // BadCertificateRevoked, BadCertificateIssuerRevoked

	checkEnd
)

// checkNames are the names of the checks, in the order of their bits.
var checkNames = [...]string{
	"structure", "chain", "signature", "policy", "trust", "validity", "host-name", "uri", "usage", "revocation-found", "revoked",
}

// checkStatus are the statuses of the checks: of the certificate, and of an issuer.
var checkStatus = [...][2]ua.StatusCode{
	{ua.BadCertificateInvalid, ua.BadCertificateInvalid},
	{ua.BadCertificateChainIncomplete, ua.BadCertificateChainIncomplete},
	{ua.BadCertificateInvalid, ua.BadCertificateInvalid},
	{ua.BadCertificatePolicyCheckFailed, ua.BadCertificatePolicyCheckFailed},
	{ua.BadCertificateUntrusted, ua.BadCertificateUntrusted},
	{ua.BadCertificateTimeInvalid, ua.BadCertificateIssuerTimeInvalid},
	{ua.BadCertificateHostNameInvalid, ua.BadCertificateHostNameInvalid},
	{ua.BadCertificateUriInvalid, ua.BadCertificateUriInvalid},
	{ua.BadCertificateUseNotAllowed, ua.BadCertificateIssuerUseNotAllowed},
	{ua.BadCertificateRevocationUnknown, ua.BadCertificateIssuerRevocationUnknown},
	{ua.BadCertificateRevoked, ua.BadCertificateIssuerRevoked},
}

// String returns the names of the checks in k with commas between them, as ParseCheck reads each.
func (k Check) String() string {
	var names []string
	for i, name := range checkNames {
		if k&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// ParseCheck returns the check of a name: structure, chain, signature, policy, trust, validity, host-name, uri, usage, revocation-found, revoked.
func ParseCheck(name string) (Check, bool) {
	for i, has := range checkNames {
		if has == name {
			return 1 << i, true
		}
	}
	return 0, false
}

// CertificateError is why a certificate is refused.
type CertificateError struct {
	Check      Check         // the one that failed
	Status     ua.StatusCode // of that check
	Issuer     bool          // an issuer failed it, not the certificate itself
	Subject    string        // of the one that failed, as it says itself
	Thumbprint string        // of the one that failed, hexadecimal; "" when it could not be read
	Reason     string
	Err        error // may be nil
}

func (e *CertificateError) Error() string {
	s := fmt.Sprintf("uasc: certificate %s %q: %v: %s", e.Thumbprint, e.Subject, e.Status, e.Reason)
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

// ValidatorConfig is how certificates are validated at an endpoint.
type ValidatorConfig struct {
	Store    *TrustStore // must be set
	Skip     Check       // checks that may fail: they are made and counted, and nothing is refused for them
	MaxChain int         // certificates in a chain; default 8
	MaxBytes int         // of what a peer sends as its certificate; default and most 32 KiB
	// OnReject hears of every certificate that is refused. It is called from many goroutines and must not block.
	OnReject func(Rejection)
}

const defaultMaxChain = 8

// CertificateValidator is the Validator of an endpoint, or of several that ask for the same. Endpoints share a TrustStore.
type CertificateValidator struct {
	cfg      ValidatorConfig
	accepted atomic.Uint64
	failed   [len(checkNames)]atomic.Uint64
	waived   [len(checkNames)]atomic.Uint64
}

// NewValidator returns a CertificateValidator.
func NewValidator(cfg ValidatorConfig) *CertificateValidator {
	cfg.MaxChain = orDefault(cfg.MaxChain, defaultMaxChain)
	cfg.MaxBytes = min(orDefault(cfg.MaxBytes, maxCertificateBytes), maxCertificateBytes)
	return &CertificateValidator{cfg: cfg}
}

// ValidatorStats counts what a CertificateValidator did.
type ValidatorStats struct {
	Accepted uint64
	Failed   map[string]uint64 // certificates refused, by the check that they failed first
	Waived   map[string]uint64 // checks that failed and were skipped
}

// Stats returns the counts so far.
func (v *CertificateValidator) Stats() ValidatorStats {
	s := ValidatorStats{Accepted: v.accepted.Load(), Failed: map[string]uint64{}, Waived: map[string]uint64{}}
	for i, name := range checkNames {
		s.Failed[name] = v.failed[i].Load()
		s.Waived[name] = v.waived[i].Load()
	}
	return s
}

// Validate makes the checks one after the other and stops at the first that fails and is not skipped. A certificate that is refused is kept in the
// store's folder of rejected ones, where a person can look at it and accept it.
func (v *CertificateValidator) Validate(now time.Time, chain []byte, use Use) error {
	j := judgement{v: v, use: use, now: now, lists: v.cfg.Store.lists(now, false)}
	err := j.judge(chain)
	if err != nil && err.Check == CheckTrust {
		// Perhaps somebody has accepted it since the folders were looked at.
		j = judgement{v: v, use: use, now: now, lists: v.cfg.Store.lists(now, true)}
		err = j.judge(chain)
	}
	v.count(&j, err)
	if err == nil {
		return nil
	}
	r := rejectionOf(err, use, now)
	leaf := Leaf(chain)
	if len(leaf) > 0 {
		r.Thumbprint = thumbprintOf(leaf)
	}
	v.cfg.Store.keep(leaf, r)
	if v.cfg.OnReject != nil {
		v.cfg.OnReject(r)
	}
	return err
}

func (v *CertificateValidator) count(j *judgement, err *CertificateError) {
	for i := range checkNames {
		if j.waived&(1<<i) != 0 {
			v.waived[i].Add(1)
		}
		if err != nil && err.Check == 1<<i {
			v.failed[i].Add(1)
		}
	}
	if err == nil {
		v.accepted.Add(1)
	}
}

// judgement is one Validate.
type judgement struct {
	v      *CertificateValidator
	use    Use
	now    time.Time
	lists  *trustLists
	path   []*x509.Certificate // the leaf, its issuer, and so on
	sent   []*x509.Certificate // what came with the leaf
	whole  bool                // path ends with one that signed itself
	waived Check
}

// fail returns the error of a check, or nil when the endpoint skips it. at is the place in the path of the one that failed.
func (j *judgement) fail(check Check, at int, reason string, err error) *CertificateError {
	if check&j.v.cfg.Skip != 0 {
		j.waived |= check
		return nil
	}
	which := 0
	if at > 0 {
		which = 1
	}
	e := &CertificateError{Check: check, Status: checkStatus[check.index()][which], Issuer: at > 0, Reason: reason, Err: err}
	if at < len(j.path) {
		e.Subject, e.Thumbprint = j.path[at].Subject.String(), thumbprintOf(j.path[at].Raw)
	}
	return e
}

// index returns the place of a single check in the tables.
func (k Check) index() int {
	for i := range checkNames {
		if k == 1<<i {
			return i
		}
	}
	return 0
}

// judge makes all checks in their order.
func (j *judgement) judge(chain []byte) *CertificateError {
	if err := j.structure(chain); err != nil {
		return err
	}
	for _, check := range [...]func() *CertificateError{
		j.chain, j.signatures, j.policy, j.trust, j.validity, j.hostName, j.uri, j.usage, j.revocationFound, j.revoked,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}
