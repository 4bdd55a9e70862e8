package opcua

import (
	"crypto/rand"
	"slices"
	"sort"
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
	inOrder []*session // as they were created
	next    uint32     // numbers sessions
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
	p.next = max(p.next+1, firstSession)
	p.ever++
	x.number = p.next
	x.id = sessionPartId(x.number, partSession)
	p.byToken[x.token] = x
	p.inOrder = append(p.inOrder, x)
	c.sessions = append(c.sessions, x)
	x.conn.Store(c)
	x.work.Store(&work{conn: c})
	return nil, ua.Good
}

// firstSession is where sessions are numbered from, and again after the last number that there is: ids of nodes of the host in the same namespace are smaller, as a rule.
const firstSession = 1 << 31

// place returns where the session with this number is in inOrder, or would be; for one who holds mu. Numbers may have begun anew meanwhile.
func (p *sessions) place(number uint32) int {
	age := func(n uint32) uint32 { return (n - p.inOrder[0].number) % firstSession }
	return sort.Search(len(p.inOrder), func(i int) bool { return age(p.inOrder[i].number) >= age(number) })
}

// numbered returns the session with this number, nil if there is none.
func (p *sessions) numbered(number uint32) *session {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if i := p.place(number); i < len(p.inOrder) && p.inOrder[i].number == number {
		return p.inOrder[i]
	}
	return nil
}

// numbers returns the numbers of at most n sessions, the oldest first, without the first from.
func (p *sessions) numbers(from, n int) []uint32 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	list := p.inOrder[min(from, len(p.inOrder)):]
	numbers := make([]uint32, min(n, len(list)))
	for i := range numbers {
		numbers[i] = list[i].number
	}
	return numbers
}

// oldestIdle returns the session that waits longest for its activation.
func (p *sessions) oldestIdle() *session {
	for _, x := range p.inOrder {
		if !x.active.Load() {
			return x
		}
	}
	return nil
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
	i := p.place(x.number)
	p.inOrder = slices.Delete(p.inOrder, i, i+1)
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
	return slices.Clone(p.inOrder)
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
