package device

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"syscall"
	"time"
)

// FaultKind says how far a device was got at when something failed, and how it did. The order is that of the way there.
type FaultKind uint8

// The kinds.
const (
	FaultOwn       FaultKind = iota // the gateway had no slot, or no session, left for it
	FaultName                       // its name does not resolve
	FaultRoute                      // there is no route to it, or a router said so
	FaultNoAnswer                   // nothing answers the request for a connection
	FaultRefused                    // the request for a connection is refused: nothing listens
	FaultHungUp                     // the connection ended before the handshake was over
	FaultMute                       // the connection stands, and the handshake has no answer
	FaultHandshake                  // the handshake was answered and failed: Err says why
	FaultTimeout                    // a request had no answer in time
	FaultUnheard                    // not even the system of the device acknowledges what was sent
	FaultReset                      // the device reset the connection
	FaultClosed                     // the device closed the connection
	FaultOther                      // the connection ended for another reason: Err says which
	FaultRefusal                    // the device answered, and refused
	FaultLate                       // an answer came too late, or twice
	FaultForeign                    // an answer to nothing that was asked
	faultKinds
)

var faultNames = [faultKinds]string{"own_limit", "name", "route", "no_answer", "refused", "hung_up", "mute", "handshake", "timeout", "unheard", "reset", "closed", "other", "refusal", "late",
	"foreign"}

// String returns the kind as the API writes it.
func (k FaultKind) String() string {
	if k < faultKinds {
		return faultNames[k]
	}
	return "fault " + strconv.Itoa(int(k))
}

// Dialling says whether faults of kind k are those of attempts to connect.
func (k FaultKind) Dialling() bool { return k <= FaultHandshake }

// Fault is what failed in one way, again and again or once.
type Fault struct {
	Kind        FaultKind
	Count       uint64 // since First
	Total       uint64 // since the device runs
	First, Last time.Time
	Err         error // of the last; nil for answers that came late or were foreign
}

// faultPause is how long a fault must not have happened to begin anew: Count and First are of what goes on now.
const faultPause = 10 * time.Minute

// FaultOf says what kind of fault err is, and whether it is one. dialling says that it ended an attempt to connect.
func FaultOf(err error, dialling bool) (k FaultKind, is bool) {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, errSilent), // which follows from timeouts that were counted
		errors.As(err, new(*errReconnect)): // which is nobody's
		return 0, false
	case errors.Is(err, errSlots), errors.Is(err, errSessions):
		return FaultOwn, true
	case errors.As(err, new(*net.DNSError)):
		return FaultName, true
	case errors.Is(err, syscall.ECONNREFUSED):
		return FaultRefused, true
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.ENETDOWN), errors.Is(err, syscall.EHOSTDOWN):
		return FaultRoute, true
	case dialling:
		return dialFault(err), true
	}
	return turnFault(err), true
}

// dialFault is of an attempt to connect that got as far as the device's port.
func dialFault(err error) FaultKind {
	var op *net.OpError
	late := timedOut(err) || errors.Is(err, context.DeadlineExceeded)
	switch {
	case late && errors.As(err, &op) && op.Op == "dial":
		return FaultNoAnswer
	case late:
		return FaultMute
	case hungUp(err):
		return FaultHungUp
	}
	return FaultHandshake
}

// turnFault is of a connection that stood.
func turnFault(err error) FaultKind {
	switch {
	case errors.Is(err, syscall.ETIMEDOUT):
		return FaultUnheard // TCP_USER_TIMEOUT, or keepalive
	case timedOut(err):
		return FaultTimeout
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return FaultReset
	case hungUp(err):
		return FaultClosed
	}
	return FaultOther
}

func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// timedOut says whether err is a reply that did not come, rather than a connection that ended.
func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
