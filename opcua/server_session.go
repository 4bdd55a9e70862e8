package opcua

import (
	"sync"
	"sync/atomic"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// session is one client's session. It outlives the connection that it was made on, up to its timeout.
//
//	            ActivateSession                connection ends
//	created ───────────────────► attached ─────────────────────► detached
//	   │                            ▲  │ CloseSession, timeout      │
//	   │ 10 s, connection ends      └──┼──── ActivateSession ───────┤
//	   ▼                               ▼                            ▼ timeout
//	 ended                           ended                        ended
type session struct {
	id      ua.NodeId // ns=1, numeric, of its object below SessionsDiagnosticsSummary; no secret
	number  uint32    // the numeric part of id
	token   sessionToken
	name    string
	created time.Time
	timeout time.Duration
	client  sessionClient

	maxResponse uint32 // bytes of a response that the client takes; 0 no limit

	conn   atomic.Pointer[serverConn] // nil while detached; set under sessions.mu
	work   atomic.Pointer[work]       // on conn, or where it was last; set under sessions.mu
	active atomic.Bool                // activated once
	used   atomic.Int64               // when the last request came, as distance from the server's start
	roles  atomic.Uint32              // Roles of its user; 0 before activation

	// turn is held while a service of the session runs, Publish excepted, but not while the host's code does what work is for: when the session moves to another
	// connection, a service of the old one may still run. It guards ended and caller. Outermost of all locks.
	turn  sync.Mutex
	ended bool

	mu      sync.Mutex // guards what follows; a leaf: nothing is called while it is held
	user    sessionUser
	users   []string // names of those it was for, the last mostUsers of them, each once for as long as it was
	locales []string
	nonce   []byte             // that the next ActivateSession signs
	key     *uasc.EphemeralKey // for the next password with ECC; nil until the client asked for one

	caller  *Caller // who the services act for; guarded by turn and never changed, but replaced by ActivateSession
	browse  browsePoints
	aliases nodeAliases

	subs   *sessionSubscriptions // nil until the first CreateSubscription or Publish; guarded as the subscriptions say
	counts sessionCounts
}

// sessionClient is what CreateSession said about the client.
type sessionClient struct {
	application ua.ApplicationDescription
	serverURI   string
	endpointURL string
	certificate []byte // DER of the leaf; nil on policy None
	policy      uasc.Policy
	mode        ua.MessageSecurityMode
}

// signed says that the client proved who it is: its ApplicationUri is that of its certificate.
func (c *sessionClient) signed() bool { return c.mode != ua.MessageSecurityModeNone }

// sessionUser is who a session acts for.
type sessionUser struct {
	kind  ua.UserTokenType
	name  string // user name; of a certificate its subject; "" for anonymous
	key   string // what two tokens of one user have in common
	roles Roles
}

// who returns the session's user. Any goroutine may call it.
func (x *session) who() sessionUser {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.user
}

// attached returns the connection that the session is on, nil when there is none. Any goroutine may call it.
func (x *session) attached() *serverConn { return x.conn.Load() }

// allows says whether the session's user has all roles of r. Any goroutine may call it.
func (x *session) allows(r Roles) bool { return Roles(x.roles.Load())&r == r }

// touch begins the timeout anew.
func (x *session) touch(now time.Duration) { x.used.Store(int64(now)) }

// endSession ends x for good, once; x.turn must be held. It returns false when x had ended before.
func (s *Server) endSession(x *session, deleteSubscriptions bool) bool {
	if x.ended {
		return false
	}
	x.ended = true
	s.sessions.remove(x)
	x.work.Load().stop(ua.BadSessionClosed)
	s.subs.sessionEnded(x, deleteSubscriptions)
	x.browse.clear()
	return true
}

// endIdle is endSession for one who is no service: the sweep and the end of a connection. A session in use is left alone; it was used just now. One that waits for a method
// is not in use: its client has said nothing for so long.
func (s *Server) endIdle(x *session, deleteSubscriptions bool) bool {
	if !x.turn.TryLock() {
		return false
	}
	defer x.turn.Unlock()
	return s.endSession(x, deleteSubscriptions)
}

// sweep ends the sessions that have timed out.
func (s *Server) sweep() {
	for _, x := range s.sessions.overdue(nil, s.now(), s.cfg.ActivateWithin) {
		if s.endIdle(x, false) {
			s.sessions.count(&s.sessions.timedOut)
		}
	}
}

// detach is the end of c for its sessions: those that were never activated end with it.
func (s *Server) detach(c *serverConn) {
	for _, x := range s.sessions.leave(c) {
		if w := x.work.Load(); w.conn == c {
			w.stop(ua.BadSecureChannelClosed)
		}
		if !x.active.Load() {
			s.endIdle(x, true)
			continue
		}
		s.subs.detach(x, c)
		s.sessions.count(&s.sessions.aborted)
	}
}
