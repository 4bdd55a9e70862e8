package driver

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// NodeRefusedError is a node that a server does not give, or does not monitor, and why.
type NodeRefusedError struct {
	Address string // canonical
	Status  ua.StatusCode
}

func (e *NodeRefusedError) Error() string {
	s := fmt.Sprintf("%s: %s", e.Address, e.Status)
	if h := statusHint(e.Status); h != "" {
		s += " (" + h + ")"
	}
	return s
}

// Unwrap returns the status.
func (e *NodeRefusedError) Unwrap() error { return e.Status }

// statusHint says in words what the status of a node is a sign of, "" where its name says it all.
func statusHint(s ua.StatusCode) string {
	switch s.Code() {
	case ua.BadNodeIdUnknown:
		return "the server has no such node, or not such a namespace: `millrace browse` lists what it has"
	case ua.BadNodeIdInvalid:
		return "the server does not take ids of this kind"
	case ua.BadAttributeIdInvalid:
		return "the node has no such attribute: is it an object or a folder?"
	case ua.BadIndexRangeNoData, ua.BadIndexRangeInvalid:
		return "the array has no such elements"
	case ua.BadUserAccessDenied:
		return "the user of this session may not do that"
	case ua.BadNotReadable:
		return "the server gives it to nobody"
	case ua.BadNotWritable:
		return "the server lets nobody write it"
	case ua.BadWriteNotSupported:
		return "the server does not write parts of it, or no status and time"
	case ua.BadTypeMismatch:
		return "it is of another type: say which behind the address, as in ;Int16"
	case ua.BadOutOfRange:
		return "the server refuses this value"
	case ua.BadSecurityModeInsufficient:
		return "the server gives it over an encrypted channel only: security encrypt"
	case ua.BadTooManyMonitoredItems:
		return "the server monitors no more items: mode poll, or fewer tags"
	case ua.BadWaitingForInitialData:
		return "the server has no value of it yet"
	case ua.BadNotConnected, ua.BadNoCommunication, ua.BadDeviceFailure:
		return "the server itself does not reach what is behind it"
	}
	return ""
}

// explainDial adds to why there is no session which option can change that. What the server or the user is to do is in the error already.
func explainDial(err error, o *opcuaOptions) error {
	var dial *opcua.DialError
	if !errors.As(err, &dial) {
		return explain(err)
	}
	var choice *opcua.ChoiceError
	var cert *uasc.CertificateError
	switch {
	case errors.As(err, &choice):
		return hinted(err, o.choiceHint(choice))
	case errors.As(err, &cert):
		return hinted(err, o.certificateHint(cert))
	case errors.Is(err, ua.BadSessionIdInvalid), errors.Is(err, ua.BadSessionClosed):
		return hinted(err, "the server has forgotten the session that it had just made: is it being restarted, or short of sessions?")
	case errors.Is(err, ua.BadSecureChannelClosed):
		return hinted(err, "the server ended the connection; its log may say why")
	}
	return err
}

// certificateHint says how a server is let in whose certificate failed a check. A check that comes after trust is not passed by trusting.
func (o *opcuaOptions) certificateHint(e *uasc.CertificateError) string {
	switch {
	case o.pki == "" || o.server != "":
		return ""
	case e.Check > uasc.CheckTrust:
		return "give the server a certificate that is right, or skip_checks " + e.Check.String() + " when it is the server all the same"
	case e.Check == uasc.CheckChain:
		return "`millrace trust accept --issuer ca.pem --pki " + o.pki + "` with the certificate of who issued it"
	}
	return "`millrace trust accept " + e.Thumbprint + " --pki " + o.pki + "`, when that is the server's certificate; or server_cert, or trust any"
}

func hinted(err error, hint string) error {
	if hint == "" {
		return err
	}
	return &HintError{err, hint}
}

// choiceHint says which option would find an endpoint among those that the server offers.
func (o *opcuaOptions) choiceHint(e *opcua.ChoiceError) string {
	offers := func(what string) bool {
		return slices.ContainsFunc(e.Offered, func(s string) bool { return strings.Contains(s, what) })
	}
	own := o.cert != "" || o.pki != ""
	switch {
	case o.user != "" && !offers("UserName"), o.userCert != "" && !offers("Certificate"), o.user == "" && o.userCert == "" && !offers("Anonymous"):
		return "look at user and password, or user_cert and user_key: the server lets in nobody who comes so"
	case !own && o.policy == "":
		return "security takes a certificate of our own: add the option pki, a folder where it and the trust list are kept"
	case own && o.policy == "" && o.security == 0 && offers("None/None") && !offers("Sign"):
		return "when no security is meant, say security none"
	}
	return "look at the option security"
}
