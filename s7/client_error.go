package s7

import (
	"errors"
	"fmt"
	"net"

	"millrace/internal/inflight"
)

// Error is what became of a variable, or of a service, that the PLC did not answer with what it was asked for. It satisfies net.Error.
type Error struct {
	Function Function // 0 with Userdata
	Group    Group    // of Userdata
	Sub      uint8    // of Userdata
	Item     Item     // of a read or a write: the variable
	Object   string   // of a service: on what, as "DB7"; may be empty

	Code    ReturnCode // what the PLC said of the variable; 0 when it said nothing of it
	Refused ErrorCode  // why the PLC refused the whole request: the variable's own, or one of several when it takes none at all
	Detail  uint8      // of a PI service or a stop that was refused: DetailRunning, DetailStopped
	Sent    bool       // bytes of a request with it may have left
	Written int        // bytes of a variable in several pieces that were written before this happened
	Err     error      // the cause; nil when the PLC said it
}

func (e *Error) Error() string {
	s := "s7: " + e.operation() + ": "
	switch {
	case e.Err != nil:
		return s + e.Err.Error()
	case e.Refused != 0:
		return s + "refused: " + e.Refused.String()
	}
	return s + fmt.Sprintf("%v (0x%02X)", e.Code, uint8(e.Code))
}

// operation returns what was to be done, with what.
func (e *Error) operation() string {
	s := e.Function.String()
	if e.Function == 0 {
		s = userdataWords(e.Group, e.Sub)
	}
	if e.Function == FuncRead || e.Function == FuncWrite {
		return s + " " + e.Item.String()
	}
	if e.Object != "" {
		s += " " + e.Object
	}
	return s
}

// userdataWords returns what a service of the programming device's world does.
func userdataWords(g Group, sub uint8) string {
	switch {
	case g == GroupCPU && sub == SubSZL:
		return "read SZL"
	case g == GroupBlock && sub == SubBlockCounts:
		return "count blocks"
	case g == GroupBlock && sub == SubBlockList:
		return "list blocks"
	case g == GroupBlock && sub == SubBlockInfo:
		return "block info"
	case g == GroupTime && sub == SubClockRead:
		return "read clock"
	case g == GroupTime && sub == SubClockSet:
		return "set clock"
	case g == GroupSecurity && sub == SubPasswordEnter:
		return "enter password"
	case g == GroupSecurity && sub == SubPasswordClear:
		return "clear password"
	}
	return fmt.Sprintf("%v %d", g, sub)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the answer, or room to send the request, did not come in time.
func (e *Error) Timeout() bool {
	var n net.Error
	return errors.As(e.Err, &n) && n.Timeout()
}

// Temporary is Timeout; net.Error wants it.
func (e *Error) Temporary() bool { return e.Timeout() }

// changes reports whether what was asked changes something in the PLC.
func (e *Error) changes() bool {
	switch e.Function {
	case FuncWrite, FuncPIService, FuncStop, FuncDownloadRequest, FuncDownloadBlock, FuncDownloadEnded:
		return true
	case 0:
		return e.Group == GroupTime && (e.Sub == SubClockSet || e.Sub == SubClockSetForm)
	}
	return false
}

// MayHaveHappened reports whether the PLC may have done what changes something. It is false for what only reads, for a request of which no byte left, and for answers
// that say that nothing was done.
func (e *Error) MayHaveHappened() bool {
	switch {
	case !e.changes():
		return false
	case e.Written > 0:
		return true
	case !e.Sent || e.Refused != 0:
		return false
	}
	switch e.Code {
	case ReturnAccess, ReturnAddress, ReturnTypeUnsupported, ReturnTypeMismatch, ReturnBusy, ReturnNoObject:
		return false
	}
	return true
}

// Retryable reports whether the same may be asked again, on another connection if this one ended, without harm and with a chance. Whether the context still
// wants it is the caller's to ask.
func (e *Error) Retryable() bool {
	if e.MayHaveHappened() {
		return false
	}
	switch {
	case e.Err != nil:
		var arg *ArgumentError
		return !errors.As(e.Err, &arg)
	case e.Refused != 0:
		return e.Refused == ErrInfoNotNow || e.Refused>>8 == 0x83 // no resources, for now
	}
	return e.Code == ReturnBusy
}

// ArgumentError is a call that cannot be put on the wire; nothing was sent.
type ArgumentError struct {
	What string // "no elements", ...
}

func (e *ArgumentError) Error() string { return e.What }

// argument refuses an item.
func argument(f Function, it *Item, what string) error {
	return &Error{Function: f, Item: *it, Err: &ArgumentError{What: what}}
}

// TimeoutError is the cause when no answer came in time; it has how long was waited, After. It satisfies net.Error.
type TimeoutError = inflight.TimeoutError

// UnconfirmedError is the end of a connection of which the PLC did not let know that it heard of it: it may count it among its connections for long.
type UnconfirmedError = inflight.UnconfirmedError

// ClosedError is the cause when the connection ended. It unwraps to net.ErrClosed and to why, its Err: *ForeignError, *FrameError, *PDUError, *DisconnectedError,
// *UnexpectedTPDUError, *UnansweredError, io.EOF, what the socket said; nil when Close was called.
type ClosedError = inflight.ClosedError

// UnansweredError closes a connection on which too many requests stay without an answer; it has how many, Requests.
type UnansweredError = inflight.UnansweredError
