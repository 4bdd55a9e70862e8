package opcua

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"millrace/opcua/ua"
)

// subscriptions are all of a server's.
//
//	connection's goroutine                the sweep (run)             the sampler's goroutine, and whoever changes a value
//	Publish, Create..., Modify...         takes what is due           samplers.run, watchers
//	      │                                     │                               │
//	      ▼                                     ▼                               ▼
//	sessionSubscriptions.mu ◄───────── tick of a subscription             sampler.mu: encode once
//	  machine, queue of Publish               │                                 │
//	      │                                   ▼                                 ▼
//	      └──────────────────────────► subscription.mu ◄────────────── a copy into each item's queue
//	order of locks: sessionSubscriptions.mu (two by number), sampler.mu, subscription.mu, then subscriptions.mu and samplers.mu, which are leaves
type subscriptions struct {
	server   *Server
	answers  publishAnswers
	limits   SubscriptionLimits
	started  time.Time
	budget   byteBudget
	items    atomic.Int64
	totals   subTotals
	samplers samplers
	wake     chan struct{} // 1: an interval ends before the one that the sweep waits for
	turns    sendTurns     // the sweep's

	mu     sync.Mutex
	byID   map[uint32]*subscription
	users  map[string]int // subscriptions by user
	last   uint32         // id of the last one made
	ever   uint32
	owners uint64
	due    dueHeap
}

// subTotals counts what was published.
type subTotals struct{ messages, values atomic.Uint64 }

func newSubscriptionRegistry(limits SubscriptionLimits, answers publishAnswers) *subscriptions {
	p := &subscriptions{
		answers: answers, limits: limits, started: time.Now(), wake: make(chan struct{}, 1),
		byID: make(map[uint32]*subscription), users: make(map[string]int),
		last: rand.Uint32(), // a client that comes back after a restart shall not find somebody else's under its number
	}
	p.budget.init(limits.QueueBytes)
	return p
}

// reviseInterval returns the publishing interval for what a client asked for, in milliseconds. [OPC 10000-4 5.14.2.2]
func (l *SubscriptionLimits) reviseInterval(ms float64) (time.Duration, ua.StatusCode) {
	return reviseMillis(ms, l.MinPublishing, l.MaxPublishing)
}

// reviseMillis clamps; 0 and less is the fastest there is, what is no number is refused.
func reviseMillis(ms float64, least, most time.Duration) (time.Duration, ua.StatusCode) {
	switch {
	case math.IsNaN(ms):
		return 0, ua.BadInvalidArgument
	case ms >= millis(most):
		return most, ua.Good
	}
	return max(least, time.Duration(ms*float64(time.Millisecond))), ua.Good
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// reviseCounts returns the counts of a subscription. A lifetime is at least three times the keep-alive count, and in time neither so short that a lost connection
// ends it, nor so long that it stays for ever once its client is gone.
func (l *SubscriptionLimits) reviseCounts(interval time.Duration, lifetime, keepAlive uint32) (life, alive uint32) {
	longest := uint32(max(3, min(l.MaxLifetime/interval, time.Duration(l.LifetimeCount))))
	shortest := uint32(min((l.MinLifetime+interval-1)/interval, time.Duration(longest)))
	alive = max(1, min(keepAlive, uint32(l.KeepAliveCount), longest/3))
	return min(max(lifetime, 3*alive, shortest), longest), alive
}

// reviseMost returns how many notifications a message has at most; a client's 0 is no limit of its own.
func (l *SubscriptionLimits) reviseMost(most uint32) uint32 {
	if n := uint32(l.Notifications); most == 0 || most > n {
		return n
	}
	return most
}

// add makes a subscription for the session o, which is locked.
func (p *subscriptions) add(o *sessionSubscriptions, s *subscription) ua.StatusCode {
	if o.over {
		return ua.BadSessionClosed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(o.subs) >= p.limits.PerSession || len(p.byID) >= p.limits.Subscriptions || p.users[o.owner.user] >= p.limits.PerUser {
		return ua.BadTooManySubscriptions
	}
	for s.id = 0; s.id == 0 || p.byID[s.id] != nil; {
		p.last++
		s.id = p.last
	}
	p.ever++
	p.byID[s.id] = s
	s.user, s.due.sub = o.owner.user, s
	p.users[s.user]++
	o.subs = append(o.subs, s)
	s.owner.Store(o)
	p.budget.subs.Add(1)
	return ua.Good
}

// forget ends a subscription that its session has let go of: nothing of it is left.
func (p *subscriptions) forget(s *subscription) {
	p.mu.Lock()
	if p.byID[s.id] == s {
		delete(p.byID, s.id)
		p.budget.subs.Add(-1)
		p.due.remove(&s.due)
		if p.users[s.user]--; p.users[s.user] == 0 {
			delete(p.users, s.user)
		}
	}
	p.mu.Unlock()
	s.mu.Lock()
	items := s.items
	s.items, s.closed = nil, true
	for _, it := range items {
		it.end()
	}
	s.budget.give(s.sent.bytes)
	s.sent = sentQueue{}
	s.mu.Unlock()
	p.release(items)
}

// release lets go of what monitored items that have ended.
func (p *subscriptions) release(items []*monitoredItem) {
	for _, it := range items {
		if it.sampler != nil {
			p.samplers.leave(it.sampler, it)
			p.samplers.release(it.sampler)
		}
	}
	p.items.Add(-int64(len(items)))
}

// find returns the subscription with this id, whoever it belongs to.
func (p *subscriptions) find(id uint32) *subscription {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byID[id]
}

// newOwner makes what a session needs to have subscriptions.
func (p *subscriptions) newOwner(session ua.NodeId, who subscriber) *sessionSubscriptions {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owners++
	return &sessionSubscriptions{number: p.owners, session: session, owner: who, answers: p.answers, limits: &p.limits, totals: &p.totals}
}

// end is the end of a session: its subscriptions go with it, or stay until their lifetime is over or somebody takes them.
func (p *subscriptions) end(o *sessionSubscriptions, deleteAll bool) {
	o.mu.Lock()
	o.over = true
	o.refuse(ua.BadSessionClosed)
	o.queue, o.changes = subPublishQueue{}, nil
	var gone []*subscription
	if deleteAll {
		gone = slices.Clone(o.subs)
		for _, s := range gone {
			o.remove(s)
		}
	}
	o.mu.Unlock()
	for _, s := range gone {
		p.forget(s)
	}
}

// move gives a subscription to the session to, and appends the numbers of the messages that can be asked for. [OPC 10000-4 5.14.7]
func (p *subscriptions) move(out []byte, id uint32, to *sessionSubscriptions, now time.Time) (*subscription, []byte, ua.StatusCode) {
	s := p.find(id)
	if s == nil {
		return nil, out, ua.BadSubscriptionIdInvalid
	}
	from := lockBoth(s, to)
	if from == nil {
		return nil, out, ua.BadSubscriptionIdInvalid
	}
	defer unlockBoth(from, to)
	switch {
	case to.over:
		return nil, out, ua.BadSessionClosed
	case from == to:
		return nil, out, ua.BadNothingToDo
	case !from.owner.mayTake(&to.owner):
		s.counts.transferAsked++
		return nil, out, ua.BadUserAccessDenied
	case len(to.subs) >= p.limits.PerSession:
		return nil, out, ua.BadTooManySubscriptions
	}
	from.remove(s)
	to.subs = append(to.subs, s)
	s.owner.Store(to)
	s.machine.touch()
	s.rank.Store(rankOf(s.priority(), to.turn))
	s.counts.moved(from.owner.application == to.owner.application)
	from.change(statusChange{s.id, s.machine.next, ua.GoodSubscriptionTransferred}, now)
	return s, s.sent.appendNumbers(out), ua.Good
}

// resend has the next messages tell the current values of all items that report. [OPC 10000-5 9.2]
func (p *subscriptions) resend(s *subscription) {
	s.mu.Lock()
	items := slices.Clone(s.items)
	s.mu.Unlock()
	for _, it := range items {
		if m := it.source(); m != nil {
			m.resend(it)
		}
	}
}

// lockBoth locks the session that s belongs to, which it returns, and to: the one that was made first, first. It returns nil without any lock when s has been
// deleted.
func lockBoth(s *subscription, to *sessionSubscriptions) *sessionSubscriptions {
	for {
		from := s.owner.Load()
		if from == nil {
			return nil
		}
		if from.number < to.number {
			from.mu.Lock()
		}
		to.mu.Lock()
		if from.number > to.number {
			from.mu.Lock()
		}
		if s.owner.Load() == from {
			return from
		}
		unlockBoth(from, to)
	}
}

func unlockBoth(from, to *sessionSubscriptions) {
	to.mu.Unlock()
	if from != to {
		from.mu.Unlock()
	}
}
