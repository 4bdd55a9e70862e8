package uasc

import (
	"errors"
	"fmt"

	"millrace/opcua/ua"
)

// Error is what ends a connection, or what a Channel cannot do. Status and Reason may be sent to the peer in an ERR; Err is for this side alone.
type Error struct {
	Op     string        // "read chunk", "open channel"
	Status ua.StatusCode // what the peer is told
	Reason string        // in words, without anything that came over the wire
	Err    error         // what was behind it, may be nil
}

func (e *Error) Error() string {
	s := fmt.Sprintf("uasc: %s: %v: %s", e.Op, e.Status, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the status and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Status}
	}
	return []error{e.Status, e.Err}
}

// Retryable reports whether the same may work on a new connection: all but what a configuration or a person must mend first.
func (e *Error) Retryable() bool { return !needsMending(e.Status) }

// PeerError is the ERR with which the peer ends the connection [OPC 10000-6 7.1.2.5].
type PeerError struct {
	Status ua.StatusCode
	Reason string
}

func (e *PeerError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("uasc: the peer ended the connection: %v", e.Status)
	}
	return fmt.Sprintf("uasc: the peer ended the connection: %v: %s", e.Status, e.Reason)
}

// Unwrap returns the status.
func (e *PeerError) Unwrap() error { return e.Status }

// Retryable reports whether the same may work on a new connection.
func (e *PeerError) Retryable() bool { return !needsMending(e.Status) }

func needsMending(s ua.StatusCode) bool {
	switch s {
	case ua.BadSecurityPolicyRejected, ua.BadSecurityModeRejected, ua.BadSecurityChecksFailed, ua.BadCertificateInvalid, ua.BadCertificateUntrusted,
		ua.BadCertificateTimeInvalid, ua.BadCertificateHostNameInvalid, ua.BadCertificateUriInvalid, ua.BadCertificateUseNotAllowed,
		ua.BadCertificateRevoked, ua.BadTcpEndpointUrlInvalid, ua.BadProtocolVersionUnsupported, ua.BadRequestTooLarge, ua.BadResponseTooLarge,
		ua.BadConfigurationError:
		return true
	default:
		return false
	}
}

func configError(s ua.StatusCode, reason string) error {
	return &Error{Op: "configure", Status: s, Reason: reason}
}

func readError(s ua.StatusCode, reason string) error {
	return &Error{Op: "read chunk", Status: s, Reason: reason}
}

func openError(s ua.StatusCode, reason string) error {
	return &Error{Op: "open channel", Status: s, Reason: reason}
}

func openCause(s ua.StatusCode, reason string, err error) error {
	return &Error{Op: "open channel", Status: s, Reason: reason, Err: err}
}

// errCrypto is the cause of every failed decryption and signature. It does not say which, so that nobody learns it by trying.
var errCrypto = errors.New("not secured with the keys of this channel")

// checksFailed is what a peer is told, whatever about its security was wrong.
func checksFailed(op string, cause error) error {
	return &Error{Op: op, Status: ua.BadSecurityChecksFailed, Reason: "security checks failed", Err: cause}
}
