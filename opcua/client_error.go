package opcua

import (
	"errors"
	"fmt"
	"net"

	"millrace/internal/inflight"
	"millrace/opcua/ua"
)

// Error is what became of a request that was not answered with what it asked for. It satisfies net.Error and unwraps to its Status and its cause.
type Error struct {
	Service    Service
	Status     ua.StatusCode // what the server said of the request; BadTimeout, BadConnectionClosed ... when it said nothing
	Answered   bool          // the server said it
	Sent       bool          // bytes of the request may have left
	Operations int           // in the request: nodes, items, calls; 0 where there are none
	Err        error         // the cause; nil when the server said it
}

func (e *Error) Error() string {
	s := "opcua: " + e.Service.String()
	if e.Operations > 1 {
		s += fmt.Sprintf(" of %d", e.Operations)
	}
	if e.Err != nil {
		return s + ": " + e.Err.Error()
	}
	return s + ": " + e.Status.String()
}

// Unwrap returns the status and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Status}
	}
	return []error{e.Status, e.Err}
}

// Timeout reports whether the answer, or room to send the request, did not come in time.
func (e *Error) Timeout() bool {
	var n net.Error
	return e.Answered && e.Status == ua.BadTimeout || errors.As(e.Err, &n) && n.Timeout()
}

// Temporary is Timeout; net.Error wants it.
func (e *Error) Temporary() bool { return e.Timeout() }

// MayHaveHappened reports whether the server may have done what changes something: a write, a call, or a service that the client does not know. It is false for a request
// of which no byte left, and for answers that are given before anything is done.
func (e *Error) MayHaveHappened() bool {
	return !e.Service.reads() && e.Sent && !(e.Answered && refusedUnseen(e.Status))
}

// refusedUnseen reports whether a server says so before it does anything of a request. BadEncodingLimitsExceeded and BadResponseTooLarge are not among them: they
// may be about the answer.
func refusedUnseen(s ua.StatusCode) bool {
	switch s {
	case ua.BadServiceUnsupported, ua.BadNothingToDo, ua.BadTooManyOperations, ua.BadRequestTooLarge, ua.BadRequestTypeInvalid, ua.BadDecodingError,
		ua.BadSessionIdInvalid, ua.BadSessionClosed, ua.BadSessionNotActivated, ua.BadSecureChannelIdInvalid, ua.BadSecureChannelClosed,
		ua.BadUserAccessDenied, ua.BadIdentityTokenInvalid, ua.BadTooManyPublishRequests, ua.BadInvalidTimestamp, ua.BadTcpServerTooBusy, ua.BadServerTooBusy:
		return true
	}
	return false
}

// Retryable reports whether the same may be asked again, on another connection if this one ended, without harm and with a chance. Whether the context still
// wants it is the caller's to ask.
func (e *Error) Retryable() bool {
	if e.MayHaveHappened() {
		return false
	}
	if e.Answered {
		return passes(e.Status)
	}
	var arg *ArgumentError
	return !errors.As(e.Err, &arg)
}

// passes reports whether a status may be another one soon, here or in another session.
func passes(s ua.StatusCode) bool {
	switch s {
	case ua.BadTimeout, ua.BadTcpServerTooBusy, ua.BadServerTooBusy, ua.BadOutOfMemory, ua.BadResourceUnavailable, ua.BadShutdown, ua.BadServerHalted, ua.BadCommunicationError,
		ua.BadSessionIdInvalid, ua.BadSessionClosed, ua.BadSessionNotActivated, ua.BadSecureChannelIdInvalid, ua.BadSecureChannelClosed,
		ua.BadTooManySessions, ua.BadTooManyOperations, ua.BadTooManyPublishRequests, ua.BadNoCommunication, ua.BadTcpNotEnoughResources,
		ua.BadSubscriptionIdInvalid, ua.BadNoSubscription, ua.BadNoContinuationPoints:
		return true
	}
	return false
}

// Hint says in words what a refusal is a sign of and what to try, or "" where the error says it all.
func (e *Error) Hint() string {
	switch {
	case errors.Is(e, ua.BadUserAccessDenied):
		return "the server lets this user not do that: give another user, or the user the right"
	case errors.Is(e, ua.BadTooManyOperations), errors.Is(e, ua.BadResponseTooLarge), errors.Is(e, ua.BadRequestTooLarge), errors.Is(e, ua.BadEncodingLimitsExceeded):
		return "a single operation is more than the server or this client takes: raise the message limits"
	case errors.Is(e, ua.BadServiceUnsupported):
		return "the server does not have this service"
	case errors.Is(e, ua.BadTooManySubscriptions), errors.Is(e, ua.BadTooManyMonitoredItems):
		return "the server keeps no more for its clients: others may have left theirs behind, which end by themselves"
	}
	return ""
}

// ArgumentError is a call that cannot be put on the wire; nothing was sent.
type ArgumentError struct {
	What string // "no room for the results", ...
}

func (e *ArgumentError) Error() string { return e.What }

// ForeignError closes a connection on which an answer came to nothing that was asked.
type ForeignError struct {
	RequestId uint32
	Type      uint32 // encoding id of what came; 0 unknown
	Why       string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("foreign answer of type %d to request %d: %s", e.Type, e.RequestId, e.Why)
}

// SessionLostError closes a connection whose session the server does not know any more. Recover makes another.
type SessionLostError struct {
	Status ua.StatusCode
}

func (e *SessionLostError) Error() string { return "session lost: " + e.Status.String() }

// Unwrap returns the status.
func (e *SessionLostError) Unwrap() error { return e.Status }

// TimeoutError is the cause when no answer came in time; it has how long was waited, After. It satisfies net.Error.
type TimeoutError = inflight.TimeoutError

// ClosedError is the cause when the connection ended. It unwraps to net.ErrClosed and to why, its Err: *ForeignError, *SessionLostError, *UnansweredError, what the secure
// channel said (*uasc.Error, *uasc.PeerError), io.EOF, what the socket said; nil when Close was called.
type ClosedError = inflight.ClosedError

// UnansweredError closes a connection on which too many requests stay without an answer; it has how many, Requests.
type UnansweredError = inflight.UnansweredError

// statusOf returns the status that stands for a cause that the server did not say.
func statusOf(cause error) ua.StatusCode {
	var n net.Error
	var arg *ArgumentError
	var u interface{ Status() ua.StatusCode }
	switch {
	case cause == nil:
		return 0
	case errors.As(cause, &arg):
		return ua.BadInvalidArgument
	case errors.As(cause, &u):
		return u.Status()
	case errors.As(cause, &n) && n.Timeout():
		return ua.BadTimeout
	case errors.Is(cause, net.ErrClosed):
		return ua.BadConnectionClosed
	}
	return ua.BadCommunicationError
}
