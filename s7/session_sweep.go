package s7

import (
	"time"

	"millrace/internal/listen"
)

// sweep is how sessions become idle and are closed for it: all of them are looked at every so often, one after the other, so that none needs a timer
// and a job costs no more than to say that it came. While all are idle it sleeps until the first of them is to be closed, or until it hears of one that is not
// any more. It is the keeper's.
type sweep struct {
	every        time.Duration
	idle, closed uint32 // turns without a job until then; 0 is never

	timer   *time.Timer
	last    time.Time // when it swept last
	due     time.Time // when it is to sweep next; zero is never
	dropped uint64    // events that were left out when it last looked
}

const (
	turnsToIdle  = 4 // about so many turns pass until the shorter of the two times is over
	sweepAtLeast = time.Millisecond
	sweepAtMost  = time.Hour
	never        = ^uint32(0)
)

func newSweep(idleAfter, idleTimeout time.Duration) sweep {
	s := sweep{every: sweepAtMost}
	for _, d := range []time.Duration{idleAfter, idleTimeout} {
		if d > 0 {
			s.every = min(s.every, max(d/turnsToIdle, sweepAtLeast))
		}
	}
	s.idle, s.closed = s.turns(idleAfter), s.turns(idleTimeout)
	return s
}

// turns returns how many turns d takes. The first of them may come right behind a job, so there is one more: never too early, and late by a turn at most.
func (s *sweep) turns(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	return uint32((d+s.every-1)/s.every) + 1
}

// begin prepares for the keeper's loop.
func (s *sweep) begin() {
	s.timer, s.due = time.NewTimer(0), time.Time{}
	s.timer.Stop()
}

// heard is a subscriber: a session that became active is one to look at every turn.
func (s *sweep) heard(batch []SessionEvent) {
	for i := range batch {
		if batch[i].To == SessionActive {
			s.hurry()
			return
		}
	}
}

// missed says how many events were left out so far: one of them may have been of a session that became active.
func (s *sweep) missed(dropped uint64) {
	if dropped != s.dropped {
		s.dropped = dropped
		s.hurry()
	}
}

// hurry sweeps within a turn.
func (s *sweep) hurry() {
	now := time.Now()
	if soon := now.Add(s.every); s.idle|s.closed != 0 && (s.due.IsZero() || s.due.After(soon)) {
		if s.due.IsZero() {
			s.last = now
		}
		s.due = soon
		s.timer.Reset(s.every)
	}
}

// run looks at all sessions once.
func (s *sweep) run(workers []*sessionWorker) {
	now := time.Now()
	turn := turn{passed: max(1, uint32(now.Sub(s.last)/s.every)), idle: s.idle, closed: s.closed}
	next := never
	for _, w := range workers {
		next = min(next, w.sweep(turn))
	}
	s.last, s.due = now, time.Time{}
	if next != never {
		s.due = now.Add(time.Duration(next) * s.every)
		s.timer.Reset(time.Duration(next) * s.every)
	}
}

// turn is one look at all sessions.
type turn struct {
	passed       uint32 // turns since the last one
	idle, closed uint32
}

// sweep returns in how many turns there will be something to do if no session becomes active before.
func (w *sessionWorker) sweep(t turn) (next uint32) {
	w.seat.Lock()
	defer w.seat.Unlock()
	next = never
	for _, c := range w.conns {
		from, to, left := c.session.sweep(t)
		if next = min(next, left); from == to {
			continue
		}
		reason := ""
		if to == SessionClosed {
			reason = string(listen.ReasonIdle)
			c.conn.EndIdle()
		}
		w.tell(c, from, to, reason)
	}
	return next
}
