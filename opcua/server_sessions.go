package opcua

import (
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"millrace/opcua/ua"
)

// sessionToken is the AuthenticationToken: an opaque NodeId of 32 random bytes. Who knows it, on the channel that the session is on, is the client.
type sessionToken [32]byte

func newSessionToken() (t sessionToken) {
	_, _ = rand.Read(t[:]) // never fails
	return t
}

// nodeID returns the token as it goes over the wire.
func (t *sessionToken) nodeID() ua.NodeId { return ua.OpaqueId(0, t[:]) }

// sessions are a server's.
type sessions struct {
	mu      sync.RWMutex // taken before session.mu; guards serverConn.sessions too
	byToken map[sessionToken]*session
	next    uint32 // numbers sessions
	max     int

	// of the diagnostics, under mu
	ever, timedOut, aborted    uint32
	rejected, rejectedSecurity uint32
}

func newSessions(max int) *sessions {
	return &sessions{byToken: make(map[sessionToken]*session), max: max}
}

// find returns the session of a token, nil if there is none. The map's hash is seeded at random, so how long it takes tells nothing of the tokens there are.
func (p *sessions) find(t *sessionToken) *session {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.byToken[*t]
}

// add takes in a session that was created on c. When there are too many it returns one that was never activated and could make room, if there is any.
func (p *sessions) add(x *session, c *serverConn, perChannel int) (idle *session, status ua.StatusCode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(c.sessions) >= perChannel {
		return nil, ua.BadTooManySessions
	}
	if len(p.byToken) >= p.max {
		return p.oldestIdle(), ua.BadTooManySessions
	}
	p.next++
	p.ever++
	x.number = p.next
	x.id = ua.NumericId(1, x.number)
	p.byToken[x.token] = x
	c.sessions = append(c.sessions, x)
	x.conn.Store(c)
	x.work.Store(&work{conn: c})
	return nil, ua.Good
}

// oldestIdle returns the session that waits longest for its activation.
func (p *sessions) oldestIdle() (oldest *session) {
	for _, x := range p.byToken {
		if !x.active.Load() && (oldest == nil || x.number < oldest.number) {
			oldest = x
		}
	}
	return oldest
}

// move puts the session on c, and returns where it was, and what it had under way there.
func (p *sessions) move(x *session, c *serverConn) (from *serverConn, left *work) {
	p.mu.Lock()
	defer p.mu.Unlock()
	from = x.conn.Swap(c)
	if from == c {
		return c, nil
	}
	from.lose(x)
	c.sessions = append(c.sessions, x)
	return from, x.work.Swap(&work{conn: c})
}

// remove takes the session out. False means that it was out already.
func (p *sessions) remove(x *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	x.conn.Swap(nil).lose(x)
	if p.byToken[x.token] != x {
		return false
	}
	delete(p.byToken, x.token)
	return true
}

// lose takes x out of the connection's sessions; for one who holds sessions.mu. c may be nil.
func (c *serverConn) lose(x *session) {
	if c == nil {
		return
	}
	if i := slices.Index(c.sessions, x); i >= 0 {
		c.sessions = slices.Delete(c.sessions, i, i+1)
	}
}

// leave takes all sessions off a connection that is over.
func (p *sessions) leave(c *serverConn) []*session {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := c.sessions
	c.sessions = nil
	for _, x := range left {
		x.conn.CompareAndSwap(c, nil)
	}
	return left
}

// all returns the sessions in the order in which they were created.
func (p *sessions) all() []*session {
	p.mu.RLock()
	defer p.mu.RUnlock()
	list := make([]*session, 0, len(p.byToken))
	for _, x := range p.byToken {
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b *session) int { return int(a.number) - int(b.number) })
	return list
}

// overdue appends the sessions that have timed out at now.
func (p *sessions) overdue(to []*session, now, activateWithin time.Duration) []*session {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, x := range p.byToken {
		limit := x.timeout
		if !x.active.Load() {
			limit = activateWithin
		}
		if limit >= 0 && now-time.Duration(x.used.Load()) >= limit {
			to = append(to, x)
		}
	}
	return to
}

func (p *sessions) count(n *uint32) {
	p.mu.Lock()
	*n++
	p.mu.Unlock()
}
