package device

import (
	"fmt"
	"strconv"
	"time"
)

// DegradeLevel says in how small parts a device is asked.
type DegradeLevel uint8

// The levels, each a lesser way than the one before: those of resilience.Ladder.
const (
	DegradeNone   DegradeLevel = iota // batches as large as its limits allow
	DegradeHalved                     // half of that, one request at a time
	DegradeSingle                     // a request a tag, and polls in place of subscriptions
	DegradeCached                     // one tag in each turn; the others keep their last value, uncertain and with its own time
)

var degradeNames = [...]string{"none", "halved", "single", "cached"}

// String returns the level as the API writes it.
func (l DegradeLevel) String() string {
	if int(l) < len(degradeNames) {
		return degradeNames[l]
	}
	return "level " + strconv.Itoa(int(l))
}

// What pauses writes to a unit: so many timeouts with no reply between them, and so long a wait for them together. Whoever is as silent would
// leave a write unknown.
const (
	silentTimeouts = 3
	silentFor      = 1500 * time.Millisecond
)

// silence is the requests since a unit's last reply that had none.
type silence struct {
	timeouts int
	waited   time.Duration // for all of them: a time at which several were on their way counts once
	until    time.Duration // age of the Runtime at the last of them
}

// add takes a request that had waited so long when it was given up at that age of the Runtime.
func (s *silence) add(waited, at time.Duration) {
	if s.timeouts > 0 {
		waited = max(min(waited, at-s.until), 0)
	}
	s.timeouts++
	s.waited += waited
	s.until = at
}

func (s silence) quiet() bool { return s.timeouts >= silentTimeouts && s.waited > silentFor }

// paused says whether writes are refused, and why.
func (s silence) paused() string {
	if !s.quiet() {
		return ""
	}
	return fmt.Sprintf("writes are paused: the last %d requests had no answer in %v; they go on with its next one", s.timeouts, s.waited.Round(time.Millisecond))
}

// writesPaused says why a write to u is refused at now, "" when it is not.
func (u *unit) writesPaused() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.pausedNow()
}

// pausedNow is writesPaused for one who holds u.mu.
func (u *unit) pausedNow() string { return u.health.silence.paused() }

// errReconnect is why a session ends that somebody wanted to be opened anew.
type errReconnect struct{ reason string }

func (e *errReconnect) Error() string { return "it was asked for: " + e.reason }

// Reconnect ends the session of a device in order and opens one again at once, for all devices on it. A device that is down is tried at once. An unknown
// name is an *UnknownError.
func (r *Runtime) Reconnect(device, reason string) error {
	u := r.unit(device)
	if u == nil {
		return &UnknownError{Name: device}
	}
	r.mail.call(func(s *shard) { s.reconnect(u, reason, time.Now()) })
	return nil
}

func (s *shard) reconnect(u *unit, reason string, now time.Time) {
	e := u.endpoint
	if e.open {
		s.hangUp(e, &errReconnect{reason}, now, false)
	}
	if u.machine.state == Cooling && !e.dialling { // also one that was silent alone on a session of others
		e.retryAt = now
		s.post(u, event{kind: evTick, at: now}, &errReconnect{reason})
	}
	s.next(e, now)
}
