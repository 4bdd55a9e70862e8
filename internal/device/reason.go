package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"millrace/internal/resilience"
)

// Event is a change of a device's state, or something that the gateway did by itself, with Act.
type Event struct {
	Time     time.Time
	Device   string
	Act      string // what was done, in one word: "route", "standby", "degrade"; "" for a change of state. From and To are equal where the state stays
	From, To State
	Reason   string // in plain words
	Down     bool   // an outage runs; while it does, states come and go with every try
	Began    bool   // it began with this change
	Ended    bool   // it ended with this change: the device was read again, or was taken out of service
}

// reason says in plain words why u left was for the state it is in now. It is called once a change.
func (u *unit) reason(was State, ev event) string {
	switch u.machine.state {
	case Opening:
		switch {
		case u.machine.choice.moved:
			return u.routeReason(ev)
		case was.connected():
			return "connecting again: " + u.why()
		case was == Cooling:
			return "trying again: " + u.why()
		}
		return "connecting"
	case Ready:
		switch was {
		case Suspect:
			return "answers again"
		case Degraded:
			return "answers everything again"
		}
		return "connected"
	case Degraded:
		if u.ladder.Level() > resilience.Full {
			return u.degraded()
		}
		return "answers only part of what it is asked: " + u.why()
	case Suspect:
		if was == Opening {
			return "connected again, not read yet"
		}
		return u.why()
	case Cooling:
		return u.why()
	case OutOfService:
		return u.outReason()
	case Draining:
		return "removed, or the gateway stops"
	case Idle, Closed:
	}
	return ""
}

// why says what failed last.
func (u *unit) why() string {
	n := u.machine.breaker.Count()
	if !timedOut(u.cause) || u.machine.state == Opening || n == 0 {
		return plain(u.cause)
	}
	return u.saysNothing(n)
}

// saysNothing says that n requests in a row timed out.
func (u *unit) saysNothing(n int) string {
	u.mu.Lock()
	waited := u.waited
	u.mu.Unlock()
	if waited == 0 {
		return plain(u.cause)
	}
	text := fmt.Sprintf("no answer within %v", waited.Round(time.Millisecond))
	if n > 1 {
		text += fmt.Sprintf(", %d times in a row", n)
	}
	return text
}

// plain says what an error of the transport means. What it does not know it passes on.
func plain(err error) string {
	var dns *net.DNSError
	var hinted interface{ Hint() string }
	var held *heldError
	switch {
	case err == nil:
		return "no failure is known"
	case errors.As(err, &held):
		return (&heldError{held.ago, errors.New(plain(held.err))}).Error()
	case errors.As(err, &hinted) && hinted.Hint() != "":
		return err.Error() // it says what it is a sign of, which is more than the same fault means elsewhere
	case errors.Is(err, syscall.ECONNREFUSED):
		return "it refuses the connection: nothing listens on that port"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "it reset the connection"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no route to it"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it closed the connection"
	case errors.As(err, &dns):
		return "its name " + dns.Name + " does not resolve"
	case errors.Is(err, context.DeadlineExceeded), timedOut(err):
		return "no answer in time: " + err.Error()
	}
	return err.Error()
}

func (u *unit) outReason() string {
	u.mu.Lock()
	out := u.life.outOfService
	text := u.life.outReason
	u.mu.Unlock()
	switch {
	case !out && len(u.table.outOfService()) > 0:
		return "all its tags are out of service"
	case !out:
		return "it has no tags to read"
	case text == "":
		return "out of service"
	}
	return "out of service: " + text
}

func (u *unit) outOfService() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.life.outOfService
}

// outage counts the begin of an outage, recovered its end.
func (u *unit) outage() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.life.outages++
	u.alter()
}

func (u *unit) recovered(after time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.life.lastRecovery = after
	u.life.longestRecovery = max(u.life.longestRecovery, after)
	u.alter()
}
