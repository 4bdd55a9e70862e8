package device

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// overrun ends a read or a write that takes longer than its profile allows: a device that answers each of many requests just in time would keep its endpoint for
// minutes. It costs a deadline of the shard and no context of its own, which would be an allocation a turn.
type overrun struct {
	timer timer
	cut   atomic.Bool // the job that runs was ended
}

type overrunEnd struct{ e *endpoint }

// operationError is a read or a write that was ended because it took too long. The session is in order: what is not answered is one request.
type operationError struct{ limit time.Duration }

func (e *operationError) Error() string {
	return fmt.Sprintf("not done within %v, the time for a whole operation", e.limit)
}

// Timeout is true: it is the unit's, as a request without an answer is.
func (e *operationError) Timeout() bool { return true }

// Temporary is true; net.Error wants it.
func (e *operationError) Temporary() bool { return true }

// watch arms e's overrun for j.
func (s *shard) watch(e *endpoint, j *job, now time.Time) {
	if j.kind != jobRead && j.kind != jobErrand {
		return
	}
	if limit := j.unit.spec.Profile.Operation; limit > 0 {
		e.overrun.timer.owner, e.overrun.timer.order = overrunEnd{e}, e.timer.order|1<<11
		s.timers.arm(&e.overrun.timer, now.Add(limit))
	}
}

func (o overrunEnd) fire(s *shard, _ time.Time) {
	if o.e.busy {
		o.e.overrun.cut.Store(true)
		s.interrupt(o.e)
	}
}

// unwatch is the end of watch.
func (s *shard) unwatch(e *endpoint) {
	s.timers.disarm(&e.overrun.timer)
	e.overrun.cut.Store(false)
}

// overran returns what the error of u's job is when it was ended for taking too long.
func (e *endpoint) overran(u *unit, err error) error {
	if err != nil && e.overrun.cut.Load() && !errors.Is(err, net.ErrClosed) {
		return &operationError{u.spec.Profile.Operation}
	}
	return err
}

// Connect and Handshake implement Timeouts.
func (e *endpoint) Connect() time.Duration   { return time.Duration(e.connects.Load()) }
func (e *endpoint) Handshake() time.Duration { return time.Duration(e.patience.Load()) }
