package s7

import (
	"time"

	"millrace/internal/listen"
)

// sweep is how sessions become idle and are closed for it: all of them are looked at every so often, one after the other, so that none needs a timer
// and a job costs no more than to say that it came. It is the keeper's.
type sweep struct {
	every        time.Duration
	idle, closed uint32 // sweeps without a job until then; 0 is never
	armed        bool   // there may be something to sweep
	dropped      uint64 // events that were left out when it last looked
}

const (
	sweepsToIdle = 4 // about so many sweeps pass until the shorter of the two times is over
	sweepAtLeast = time.Millisecond
	sweepNever   = time.Hour // when there is nothing to sweep for
)

func newSweep(idleAfter, idleTimeout time.Duration) sweep {
	s := sweep{every: sweepNever}
	for _, d := range []time.Duration{idleAfter, idleTimeout} {
		if d > 0 {
			s.every = min(s.every, max(d/sweepsToIdle, sweepAtLeast))
		}
	}
	s.idle, s.closed = s.after(idleAfter), s.after(idleTimeout)
	return s
}

// after returns the number of sweeps that d takes. The first of them may come right behind a job, so there is one more: never too early, and late by a
// sweep at most.
func (s *sweep) after(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	return uint32((d+s.every-1)/s.every) + 1
}

// heard is a subscriber: a session that tells something is one to look at.
func (s *sweep) heard([]SessionEvent) { s.armed = true }

// missed says how many events were left out so far: one of them may have been the first of a session.
func (s *sweep) missed(dropped uint64) {
	if dropped != s.dropped {
		s.dropped, s.armed = dropped, true
	}
}

// ticks returns the ticker's channel while there is something to sweep.
func (s *sweep) ticks(t *time.Ticker) <-chan time.Time {
	if !s.armed || s.idle == 0 && s.closed == 0 {
		return nil
	}
	return t.C
}

// run looks at all sessions once.
func (s *sweep) run(workers []*sessionWorker) {
	s.armed = false
	for _, w := range workers {
		if w.sweep(s.idle, s.closed) {
			s.armed = true
		}
	}
}

// sweep reports whether there was any session.
func (w *sessionWorker) sweep(idle, closed uint32) bool {
	w.seat.Lock()
	defer w.seat.Unlock()
	for _, c := range w.conns {
		from, next := c.session.sweep(idle, closed)
		if from == next {
			continue
		}
		reason := ""
		if next == SessionClosed {
			reason = string(listen.ReasonIdle)
			c.conn.EndIdle()
		}
		w.tell(c, from, next, reason)
	}
	return len(w.conns) > 0
}
