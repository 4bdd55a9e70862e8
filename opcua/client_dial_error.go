package opcua

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"net"
	"syscall"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// Stage is how far Dial came.
type Stage uint8

// The stages, in order.
const (
	StageConnect  Stage = iota // to the socket
	StageHello                 // HEL, ACK
	StageOpen                  // OpenSecureChannel
	StageDiscover              // GetEndpoints
	StageChoose                // an endpoint and its certificate
	StageCreate                // CreateSession
	StageActivate              // ActivateSession
	StageLimits                // NamespaceArray and the limits of the server
)

var stageNames = [...]string{
	StageConnect: "connect", StageHello: "hello", StageOpen: "open secure channel", StageDiscover: "get endpoints", StageChoose: "choose endpoint",
	StageCreate: "create session", StageActivate: "activate session", StageLimits: "read limits",
}

// String returns the stage in words.
func (s Stage) String() string {
	if int(s) < len(stageNames) {
		return stageNames[s]
	}
	return fmt.Sprintf("stage %d", uint8(s))
}

// DialError says at which stage Dial, GetEndpoints or Recover came to an end, why, and in Hint what to do about it. It unwraps to its cause.
type DialError struct {
	Stage       Stage
	URL         string
	Security    string // policy/mode of the endpoint; empty before there is one
	User        string // kind of token, with the stages of the session
	Status      ua.StatusCode
	Fingerprint string         // SHA-1 of this client's certificate, where that is what is wrong
	Server      string         // SHA-1 of the server's certificate, where that is what is wrong
	Known       *KnownEndpoint // the endpoint that was chosen; nil before there is one. It spares the next attempt the discovery: Config.Known
	Err         error
}

// Full says whether the server has no connection or session left.
func (e *DialError) Full() bool {
	return e.Status == ua.BadTooManySessions || e.Status == ua.BadTcpServerTooBusy || e.Status == ua.BadTcpNotEnoughResources
}

func (e *DialError) Error() string {
	s := "opcua: " + e.Stage.String() + " " + e.URL
	if e.Security != "" && e.Stage >= StageHello && e.Security != "None/None" {
		s += " (" + e.Security + ")"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if h := e.Hint(); h != "" {
		s += ": " + h
	}
	return s
}

// Unwrap returns the cause.
func (e *DialError) Unwrap() error { return e.Err }

// Timeout reports whether the time was up.
func (e *DialError) Timeout() bool {
	var n net.Error
	return errors.As(e.Err, &n) && n.Timeout()
}

// Temporary is Timeout; net.Error wants it.
func (e *DialError) Temporary() bool { return e.Timeout() }

// Retryable reports whether the same may work later without anybody having done something about it.
func (e *DialError) Retryable() bool {
	var choice *ChoiceError
	var cert *uasc.CertificateError
	var arg *ArgumentError
	switch {
	case errors.As(e.Err, &choice), errors.As(e.Err, &cert), errors.As(e.Err, &arg):
		return false
	case e.Stage == StageChoose:
		return false
	}
	var r interface{ Retryable() bool }
	switch {
	case mended(e.Status):
		return false
	case errors.As(e.Err, &r):
		return r.Retryable()
	}
	return true
}

// mended reports whether a status stays until a person has changed something: certificate, trust list, user, configuration.
func mended(s ua.StatusCode) bool {
	switch s {
	case ua.BadIdentityTokenInvalid, ua.BadIdentityTokenRejected, ua.BadUserAccessDenied, ua.BadUserSignatureInvalid, ua.BadApplicationSignatureInvalid,
		ua.BadCertificateUriInvalid, ua.BadSecurityPolicyRejected, ua.BadSecurityModeRejected, ua.BadSecurityChecksFailed, ua.BadCertificateInvalid,
		ua.BadCertificateUntrusted, ua.BadCertificateTimeInvalid, ua.BadCertificateUseNotAllowed, ua.BadTcpEndpointUrlInvalid, ua.BadServerUriInvalid:
		return true
	}
	return false
}

// Hint says what to do about it, or "" where the error says it all.
func (e *DialError) Hint() string {
	var cert *uasc.CertificateError
	switch {
	case errors.As(e.Err, &cert):
		if cert.Check <= uasc.CheckTrust {
			return "if server certificate " + e.Server + " is the right one, trust it"
		}
		return "" // what is wrong with it is said, and trusting it does not help
	case e.Stage >= StageCreate:
		return e.hintOfSession()
	case e.Stage == StageConnect:
		return e.hintOfSocket()
	case e.Stage == StageOpen && !toldByPeer(e.Err):
		return e.hintOfServer()
	}
	switch e.Status {
	case ua.BadSecurityChecksFailed, ua.BadCertificateUntrusted, ua.BadCertificateInvalid, ua.BadCertificateUseNotAllowed, ua.BadCertificateTimeInvalid:
		return e.askOperator()
	case ua.BadSecurityPolicyRejected, ua.BadSecurityModeRejected:
		return "the server does not take " + e.Security + " on this endpoint: choose another policy or mode"
	case ua.BadTcpEndpointUrlInvalid:
		return "the server knows no endpoint by this URL: try the path that its operator gives"
	case ua.BadTcpServerTooBusy, ua.BadTcpNotEnoughResources, ua.BadTooManySessions:
		return "the server has no room for another client now"
	case ua.BadProtocolVersionUnsupported:
		return "the server speaks another version of the protocol"
	}
	return ""
}

// toldByPeer reports whether it was the server that ended the connection, with an ERR.
func toldByPeer(err error) bool {
	var peer *uasc.PeerError
	return errors.As(err, &peer)
}

// hintOfServer is for what this side found wrong with the server's channel.
func (e *DialError) hintOfServer() string {
	if e.Status != ua.BadCertificateInvalid {
		return ""
	}
	return "it is the server's certificate: its operator has to give it another, or to offer an endpoint with another policy"
}

// hintOfSocket is for connections that are not made.
func (e *DialError) hintOfSocket() string {
	var dns *net.DNSError
	switch {
	case errors.As(e.Err, &dns) && dns.IsNotFound:
		return "no computer has this name here: look at how it is written, or give the server's IP address"
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		return "nothing listens on this port: is the server running, and is this its port? OPC UA servers mostly have 4840"
	case errors.Is(e.Err, syscall.EHOSTUNREACH), errors.Is(e.Err, syscall.ENETUNREACH):
		return "there is no way to this address from here: look at the address, the cable and the router"
	case e.Timeout():
		return "nobody answers at this address: is it the right one, is the machine on, and does a firewall let the port through?"
	}
	return ""
}

// askOperator says what a server's operator is to do about this client's certificate. Servers say little about it on purpose.
func (e *DialError) askOperator() string {
	if e.Fingerprint == "" {
		return ""
	}
	return "the server rejects this client's certificate: ask the server's operator to trust fingerprint " + e.Fingerprint
}

func (e *DialError) hintOfSession() string {
	if !answered(e.Err) {
		return ""
	}
	switch e.Status {
	case ua.BadIdentityTokenRejected, ua.BadUserAccessDenied:
		return "the server does not let this user in (" + e.User + "): look at name, password or user certificate"
	case ua.BadIdentityTokenInvalid:
		return "the server does not understand the user token (" + e.User + ")"
	case ua.BadUserSignatureInvalid:
		return "the user's key does not belong to the user's certificate"
	case ua.BadCertificateUriInvalid:
		return "the application URI is not the one in this client's certificate"
	case ua.BadSecurityChecksFailed, ua.BadCertificateUntrusted, ua.BadCertificateInvalid, ua.BadApplicationSignatureInvalid:
		return e.askOperator()
	case ua.BadTooManySessions:
		return "the server has no room for another session: others may have left theirs behind, which end by themselves"
	}
	return ""
}

// dialFailed makes a DialError.
func dialFailed(stage Stage, url string, ch *clientChoice, cfg *Config, err error) *DialError {
	e := &DialError{Stage: stage, URL: url, Err: err, Status: statusIn(err)}
	if ch != nil {
		e.Security = ch.security.String()
	}
	if stage >= StageCreate {
		e.User = cfg.User.kind().String()
	}
	if ch != nil && ch.secured() {
		if id := cfg.identity(ch.security.Policy); id != nil {
			e.Fingerprint = fmt.Sprintf("%X", id.Thumbprint)
		}
	}
	if ch != nil && ch.found {
		e.Known = &KnownEndpoint{ch}
	}
	if ch != nil && len(ch.endpoint.ServerCertificate) > 0 {
		e.Server = fmt.Sprintf("%X", sha1.Sum(uasc.Leaf(ch.endpoint.ServerCertificate)))
	}
	return e
}

// statusIn returns the status that an error carries.
func statusIn(err error) ua.StatusCode {
	var s ua.StatusCode
	if errors.As(err, &s) {
		return s
	}
	return statusOf(err)
}
