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
	word  atomic.Uint32 // state, a bit while a job is served, and the sweeps since the last job
	level atomic.Uint32 // protection level
}

const (
	wordState = 0x0F
	wordBusy  = 0x10
	wordQuiet = 0x20 // one sweep; the largest number of them is 2^27-1
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

// sweep counts one sweep more since the last job. After idle of them an active session becomes idle, after closed of them it is closed; 0 is never.
func (s *session) sweep(idle, closed uint32) (from, next SessionState) {
	w := s.word.Load()
	from = stateOf(w)
	if from != SessionActive && from != SessionIdle || w&wordBusy != 0 || w >= 1<<32-wordQuiet {
		return from, from
	}
	next = from
	switch quiet := w/wordQuiet + 1; {
	case closed != 0 && quiet >= closed:
		next = SessionClosed
	case idle != 0 && quiet >= idle:
		next = SessionIdle
	}
	if !s.word.CompareAndSwap(w, w&^wordState+wordQuiet|uint32(next)) {
		return from, from // a job came, or the end
	}
	return from, next
}
