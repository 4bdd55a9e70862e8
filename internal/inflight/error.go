package inflight

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// TimeoutError is the cause when no answer came in time. It satisfies net.Error.
type TimeoutError struct {
	After time.Duration
}

func (e *TimeoutError) Error() string { return "no reply within " + e.After.String() }

// Timeout is true.
func (e *TimeoutError) Timeout() bool { return true }

// Temporary is true; net.Error wants it.
func (e *TimeoutError) Temporary() bool { return true }

// ClosedError is the cause when the connection ended. It unwraps to net.ErrClosed and to why.
type ClosedError struct {
	Err error // what the Protocol said, *UnansweredError, io.EOF, what the socket said; nil when Close was called
}

func (e *ClosedError) Error() string {
	if e.Err == nil {
		return "connection closed"
	}
	return "connection closed: " + e.Err.Error()
}

// Unwrap returns net.ErrClosed and the cause.
func (e *ClosedError) Unwrap() []error {
	if e.Err == nil {
		return []error{net.ErrClosed}
	}
	return []error{net.ErrClosed, e.Err}
}

// UnansweredError closes a connection on which too many requests stay without an answer.
type UnansweredError struct {
	Requests int
}

func (e *UnansweredError) Error() string {
	return fmt.Sprintf("%d requests without a reply", e.Requests)
}

// UnconfirmedError is the end of a connection of which the peer did not let know that it heard of it: it may hold its side for long. It is a net.Error that is a timeout.
type UnconfirmedError struct {
	After time.Duration
}

func (e *UnconfirmedError) Error() string {
	return fmt.Sprintf("connection closed, and the peer has not closed it too within %v", e.After)
}

// Timeout reports that something was waited for in vain.
func (e *UnconfirmedError) Timeout() bool { return true }

// Temporary is of net.Error.
func (e *UnconfirmedError) Temporary() bool { return false }

// Retryable reports that the connection has ended for this side.
func (e *UnconfirmedError) Retryable() bool { return false }

// EndOf returns why ctx ended: its Err, and the cause when somebody gave one.
func EndOf(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
