package s7

import (
	"strconv"
	"sync/atomic"
)

// SessionState is how far a client's connection has come.
//
//	       CR, CC            Setup             no job for IdleAfter
//	INIT ──────────► AUTHED ──────────► ACTIVE ────────────────────► IDLE
//	 │                 │                 │  ▲          a job           │
//	 │                 │                 │  └─────────────────◄────────┤
//	 └─────────────────┴────────┬────────┴─────────────────────────────┘
//	                            ▼   the end, or no job for IdleTimeout
//	                          CLOSED
//
// The protection level is no state: the password comes after Setup, and may be taken back. See ServerConn.Level.
type SessionState uint8

// The states.
const (
	SessionInit   SessionState = iota // accepted
	SessionAuthed                     // known by its TSAPs and let in: CR and CC are done
	SessionActive                     // Setup is done
	SessionIdle                       // the same, and silent for a while
	SessionClosed                     // over, or about to be
)

// String names s, or returns its number.
func (s SessionState) String() string {
	switch s {
	case SessionInit:
		return "init"
	case SessionAuthed:
		return "authed"
	case SessionActive:
		return "active"
	case SessionIdle:
		return "idle"
	case SessionClosed:
		return "closed"
	}
	return "state " + strconv.Itoa(int(s))
}

// leadsTo reports whether there is an arrow from s to next.
func (s SessionState) leadsTo(next SessionState) bool {
	switch s {
	case SessionInit:
		return next == SessionAuthed || next == SessionClosed
	case SessionAuthed:
		return next == SessionActive || next == SessionClosed
	case SessionActive:
		return next == SessionIdle || next == SessionClosed
	case SessionIdle:
		return next == SessionActive || next == SessionClosed
	}
	return false
}

// session is the two words of a connection that other goroutines look at. Every change of the first is one compare-and-swap along an arrow.
type session struct {
	word  atomic.Uint32 // state, a bit while a job is served, and the turns of the sweep since the last job
	level atomic.Uint32 // protection level
}

const (
	wordState = 0x0F
	wordBusy  = 0x10
	wordQuiet = 0x20 // one turn of the sweep
	mostQuiet = 1<<27 - 1
)

func stateOf(word uint32) SessionState { return SessionState(word & wordState) }

func (s *session) state() SessionState { return stateOf(s.word.Load()) }

// become takes the session along an arrow. It returns the state before and whether it moved: not when it is there already, nor when there is no such
// arrow from where it is.
func (s *session) become(next SessionState) (from SessionState, moved bool) {
	for {
		w := s.word.Load()
		if from = stateOf(w); !from.leadsTo(next) {
			return from, false
		}
		if s.word.CompareAndSwap(w, uint32(next)) {
			return from, true
		}
	}
}

// enter says that a job came, which makes an idle session active and keeps it from being swept until leave. It returns the state before;
// SessionClosed means that the job came too late.
func (s *session) enter() (from SessionState) {
	for {
		w := s.word.Load()
		from = stateOf(w)
		if from != SessionActive && from != SessionIdle {
			return from
		}
		if s.word.CompareAndSwap(w, uint32(SessionActive)|wordBusy) {
			return from
		}
	}
}

// leave ends what enter began, unless the session was closed meanwhile.
func (s *session) leave() {
	s.word.CompareAndSwap(uint32(SessionActive)|wordBusy, uint32(SessionActive))
}

// touch begins the silence of a session anew, whose state stays: we had something to tell it.
func (s *session) touch() {
	w := s.word.Load()
	if st := stateOf(w); w&wordBusy == 0 && (st == SessionActive || st == SessionIdle) {
		s.word.CompareAndSwap(w, uint32(st)) // if not, somebody else has
	}
}

// sweep counts the turns without a job. After idle of them an active session becomes idle, after closed of them it is closed; 0 is never. left is in how
// many turns the session must be looked at again.
func (s *session) sweep(t turn) (from, next SessionState, left uint32) {
	w := s.word.Load()
	from = stateOf(w)
	switch {
	case from != SessionActive && from != SessionIdle:
		return from, from, never
	case w&wordBusy != 0:
		return from, from, 1
	}
	quiet := w / wordQuiet
	if quiet == 0 {
		quiet = 1 // there was a job since the last turn, however many passed
	} else {
		quiet = min(quiet+t.passed, mostQuiet)
	}
	next, left = t.judge(from, quiet)
	if !s.word.CompareAndSwap(w, uint32(next)|quiet*wordQuiet) {
		return from, from, 1 // a job came, or the end
	}
	return from, next, left
}

// judge says what becomes of a session that has been quiet for so many turns.
func (t turn) judge(from SessionState, quiet uint32) (next SessionState, left uint32) {
	switch {
	case t.closed != 0 && quiet >= t.closed:
		return SessionClosed, never
	case from == SessionActive && (t.idle == 0 || quiet < t.idle):
		return from, 1
	}
	from = SessionIdle
	if t.closed == 0 {
		return from, never
	}
	return from, t.closed - quiet
}
