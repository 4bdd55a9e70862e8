package s7

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// Stage is how far a handshake came.
type Stage uint8

// The stages.
const (
	StageDial    Stage = iota // TCP
	StageConnect              // CR was sent, CC did not come
	StageSetup                // Setup was sent
)

// String returns what s does.
func (s Stage) String() string {
	switch s {
	case StageDial:
		return "dial"
	case StageConnect:
		return "connect request"
	case StageSetup:
		return "setup communication"
	}
	return fmt.Sprintf("stage %d", uint8(s))
}

// HandshakeError is why there is no connection. Hint says what that is a sign of.
type HandshakeError struct {
	Stage  Stage
	Addr   string
	Called []byte // the TSAP that was asked for
	Err    error  // *DisconnectedError, *RefusedError, *GrantError, *FrameError, *PDUError, *UnexpectedTPDUError, what the socket or the context said
}

func (e *HandshakeError) Error() string {
	if e.Stage == StageDial {
		return fmt.Sprintf("s7: dial %s: %v", e.Addr, e.Err)
	}
	return fmt.Sprintf("s7: %v to %s, TSAP %s: %v", e.Stage, e.Addr, tsapWords(e.Called), e.Err)
}

// tsapWords returns a TSAP as engineers write it, and what a CPU's means: 02.01 (OP, rack 0, slot 1).
func tsapWords(tsap []byte) string {
	if len(tsap) != 2 {
		return fmt.Sprintf("%X", tsap)
	}
	kind := ""
	switch ConnectionType(tsap[0]) {
	case ConnectPG:
		kind = "PG"
	case ConnectOP:
		kind = "OP"
	case ConnectBasic:
		kind = "basic"
	default:
		return fmt.Sprintf("%02X.%02X", tsap[0], tsap[1])
	}
	return fmt.Sprintf("%02X.%02X (%s, rack %d, slot %d)", tsap[0], tsap[1], kind, tsap[1]>>5, tsap[1]&0x1F)
}

// Unwrap returns the cause.
func (e *HandshakeError) Unwrap() error { return e.Err }

// Timeout reports whether nothing came in time.
func (e *HandshakeError) Timeout() bool {
	var n net.Error
	return errors.As(e.Err, &n) && n.Timeout()
}

// Retryable is true: a PLC that boots refuses too, and connection resources come free.
func (e *HandshakeError) Retryable() bool { return true }

// What to try.
const (
	hintSlot = "S7-300 and S7-400 have slot 2 (400: as plugged), S7-1200 and S7-1500 slot 1 or 0, S7-200 SMART slot 1, drives slot 0; " +
		"LOGO! and CP243 have TSAPs of their own, which are set in the project"
	hintResources = "all connection resources of that type may be taken: end another client, or ask for another type (PG, OP, basic)"
)

// Hint says in words what the error is a sign of and what to try, or "".
func (e *HandshakeError) Hint() string {
	var dr *DisconnectedError
	var frame *FrameError
	switch {
	case errors.As(e.Err, &dr):
		return e.hintOfReason(dr.Reason)
	case errors.As(e.Err, &frame):
		return "what answers there does not speak ISO on TCP: is the port right?"
	}
	switch e.Stage {
	case StageDial:
		return e.hintOfDial()
	case StageConnect:
		return e.hintOfConnect()
	case StageSetup:
		return e.hintOfSetup()
	}
	return ""
}

func (e *HandshakeError) hintOfDial() string {
	switch {
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		return "there is somebody at that address, and nothing listens on that port: is it the PLC, is its ISO on TCP service there (port 102)?"
	case e.Timeout():
		return "nobody answers at that address: is the PLC on and reachable, is there a firewall on TCP port 102?"
	}
	return ""
}

func (e *HandshakeError) hintOfReason(r DisconnectReason) string {
	switch r {
	case DisconnectCongestion, DisconnectRemoteCongestion:
		return hintResources
	case DisconnectNoSession, DisconnectAddressUnknown:
		return "wrong slot: there is nothing behind that TSAP. " + hintSlot
	}
	return "no free connection resource, or the wrong slot: " + hintResources + ". " + hintSlot
}

// hungUp reports whether the peer closed the connection or reset it.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func (e *HandshakeError) hintOfConnect() string {
	switch {
	case hungUp(e.Err):
		return "the PLC hung up on the connect request: the wrong slot, or no free connection resource. " + hintSlot + ". " + hintResources
	case e.Timeout():
		return "TCP stands, and nobody answers the connect request: something else may listen on that port, or the PLC is overloaded"
	}
	return ""
}

func (e *HandshakeError) hintOfSetup() string {
	var grant *GrantError
	var refused *RefusedError
	switch {
	case errors.As(e.Err, &refused):
		return "the PLC refuses S7 communication over this connection: ask for a smaller PDU or window, or for another type of connection"
	case errors.As(e.Err, &grant):
		return "the PLC grants what it may not: a PDU length is at most what was asked for and at least 112"
	case hungUp(e.Err):
		return "the PLC hung up on Setup: no free connection resource, the wrong slot, or S7 communication is switched off there. " + hintResources
	case e.Timeout():
		return "the PLC took the connection and does not answer Setup: it may be overloaded, or the slot is that of a module without S7 communication"
	}
	return ""
}

// GrantError is a PDU length that a PLC may not grant: less than MinPDU, or more than was asked for and than real PLCs have.
type GrantError struct{ Asked, Granted int }

func (e *GrantError) Error() string {
	return fmt.Sprintf("a PDU of %d bytes was granted and %d were asked for", e.Granted, e.Asked)
}
