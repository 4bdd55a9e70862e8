package modbus

import (
	"errors"
	"fmt"
	"net"

	"millrace/internal/inflight"
)

// Error is what became of a request that was not answered with what it asked for. It satisfies net.Error.
type Error struct {
	Function  Function
	Unit      uint8
	Address   uint16
	Quantity  uint16        // 0 where the function has none
	Exception ExceptionCode // what the device answered; 0 when it answered nothing
	Sent      bool          // bytes of the frame may have left
	Err       error         // the cause; nil with an exception
}

func (e *Error) Error() string {
	s := "modbus: " + e.Function.String()
	switch {
	case e.Function == FuncReadDeviceID:
	case e.Quantity > 0:
		s += fmt.Sprintf(" %d+%d", e.Address, e.Quantity)
	default:
		s += fmt.Sprintf(" %d", e.Address)
	}
	s += fmt.Sprintf(" of unit %d: ", e.Unit)
	if e.Exception != 0 {
		return s + fmt.Sprintf("exception %d (%s)", uint8(e.Exception), e.Exception)
	}
	return s + e.Err.Error()
}

// Unwrap returns the cause: *TimeoutError, *ClosedError, *ArgumentError, what the context ended with, or what the socket said.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the reply, or room to send the request, did not come in time.
func (e *Error) Timeout() bool {
	var n net.Error
	return errors.As(e.Err, &n) && n.Timeout()
}

// Temporary is Timeout; net.Error wants it.
func (e *Error) Temporary() bool { return e.Timeout() }

// MayHaveHappened reports whether the device may have executed a write. It is false for reads, for a frame of which no byte left, and for
// exceptions that say that nothing was done.
func (e *Error) MayHaveHappened() bool {
	if !e.Function.Writes() || !e.Sent {
		return false
	}
	switch e.Exception {
	case IllegalFunction, IllegalDataAddress, IllegalDataValue, ServerDeviceBusy, GatewayPathUnavailable:
		return false
	}
	return true // no answer; or 4 and 8: on the way; 5: under way; 0B: the gateway passed it on
}

// Retryable reports whether the same request may be sent again, on another connection if this one ended, without harm and with a
// chance. Whether the context still wants it is the caller's to ask.
func (e *Error) Retryable() bool {
	if e.MayHaveHappened() {
		return false
	}
	switch e.Exception {
	case ServerDeviceBusy, GatewayPathUnavailable, GatewayTargetFailed:
		return true
	case 0:
		var arg *ArgumentError
		return !errors.As(e.Err, &arg)
	}
	return false
}

// TimeoutError is the cause when no reply came in time; it has how long was waited, After. It satisfies net.Error.
type TimeoutError = inflight.TimeoutError

// UnconfirmedError is the end of a connection of which the device did not let know that it heard of it: it may count it among its connections for long.
type UnconfirmedError = inflight.UnconfirmedError

// ClosedError is the cause when the connection ended. It unwraps to net.ErrClosed and to why, its Err: *ForeignError, *FrameError, *UnansweredError,
// io.EOF, what the socket said; nil when Close was called.
type ClosedError = inflight.ClosedError

// UnansweredError closes a connection on which too many requests stay without a reply; it has how many, Requests.
type UnansweredError = inflight.UnansweredError

// ForeignError is a reply that fits nothing that was asked. What else comes from that peer cannot be trusted: the connection is closed.
type ForeignError struct {
	Transaction uint16
	Unit        uint8
	Function    Function // with the exception bit if it had it
	Length      int      // bytes of the PDU
	Why         string   // "transaction", "unit", "function", "length", "echo", "exception code", "unsolicited"
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("foreign reply (%s): transaction %d, unit %d, function 0x%02X, %d bytes",
		e.Why, e.Transaction, e.Unit, uint8(e.Function), e.Length)
}

// ArgumentError is a call that cannot be put on the wire; nothing was sent.
type ArgumentError struct {
	What string // "quantity 0", ...
}

func (e *ArgumentError) Error() string { return e.What }
