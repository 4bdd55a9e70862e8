package opcua

import (
	"slices"
	"sync"
	"time"

	"millrace/opcua/ua"
)

// publishAnswers is where the answers to Publish requests go. They must not block: who answers holds the lock of the session's subscriptions.
type publishAnswers interface {
	begin(l late) *outgoing // a PublishResponse up to and with its header
	send(l late, m *outgoing, turns *sendTurns)
	fault(l late, status ua.StatusCode)
	room(l late) int // bytes that the response may have behind its header
}

// sessionSubscriptions is what a session has to do with subscriptions: which are its own, and the Publish requests that wait until one of those has something to
// say. It outlives its session when that leaves subscriptions behind.
//
//	Publish ──► queue ──► the subscription that is late or was cut; by priority, then who was served longest ago
//	              │
//	 tick ────────┴─────► the subscription whose interval ended, if it has something to say
type sessionSubscriptions struct {
	number  uint64 // order of locks when two are held: the smaller first
	session ua.NodeId
	owner   subscriber
	answers publishAnswers
	limits  *SubscriptionLimits
	totals  *subTotals

	mu      sync.Mutex
	over    bool // the session is
	queue   subPublishQueue
	subs    []*subscription
	changes []statusChange // that wait for a Publish
	turn    uint64         // counts Publish requests that were used
	turns   *sendTurns     // of who has the lock, when he sends himself
}

// subscriber is who subscriptions belong to, for as long as they live. [OPC 10000-4 5.14.7.1]
type subscriber struct {
	user        string // what identifies the user
	anonymous   bool
	application string // ApplicationUri of the client
	signed      bool   // the channel is signed, which is what makes application worth anything
}

// mayTake says whether to may have the subscriptions of who.
func (who *subscriber) mayTake(to *subscriber) bool {
	if who.anonymous || to.anonymous {
		return who.anonymous && to.anonymous && to.signed && who.application == to.application
	}
	return who.user == to.user
}

// statusChange is a StatusChangeNotification. It takes the number that the next message with data would have had: the subscription is gone for this session.
type statusChange struct {
	subscription uint32
	number       uint32
	status       ua.StatusCode
}

// Everything below wants mu held.

// publish takes a Publish: it is answered at once, or waits. Any status but Good is its answer. It shows that the client lives, so that all its
// subscriptions do.
func (o *sessionSubscriptions) publish(r subPublish, now time.Time) ua.StatusCode {
	for _, s := range o.subs {
		s.machine.touch()
	}
	switch {
	case o.over:
		return ua.BadSessionClosed
	case len(o.subs) == 0 && len(o.changes) == 0:
		return ua.BadNoSubscription
	}
	o.queue.put(r)
	o.serve(now)
	if o.queue.n > o.limits.PublishRequests {
		o.answers.fault(o.queue.take().late, ua.BadTooManyPublishRequests)
	}
	return ua.Good
}

// acknowledge answers one acknowledgement of a Publish.
func (o *sessionSubscriptions) acknowledge(id, number uint32) ua.StatusCode {
	s := o.find(id)
	if s == nil {
		return ua.BadSubscriptionIdInvalid
	}
	had := s.sent.bytes
	status := s.sent.acknowledge(number)
	s.budget.give(had - s.sent.bytes)
	return status
}

// republish returns a message that was sent before.
func (o *sessionSubscriptions) republish(id, number uint32) ([]byte, ua.StatusCode) {
	s := o.find(id)
	if s == nil {
		return nil, ua.BadSubscriptionIdInvalid
	}
	s.machine.touch()
	s.counts.republishes++
	i := s.sent.find(number)
	if i < 0 {
		return nil, ua.BadMessageNotAvailable
	}
	s.counts.republished++
	return s.sent.messages[i].body, ua.Good
}

func (o *sessionSubscriptions) find(id uint32) *subscription {
	for _, s := range o.subs {
		if s.id == id {
			return s
		}
	}
	return nil
}

// serve gives the Publish requests that wait to whoever wants one at once.
func (o *sessionSubscriptions) serve(now time.Time) {
	for o.expire(now); o.queue.n > 0 && len(o.changes) > 0; o.expire(now) {
		o.sayChange(o.changes[0], now)
		o.changes = slices.Delete(o.changes, 0, 1)
	}
	for ; o.queue.n > 0; o.expire(now) {
		s, ready := o.next()
		if s == nil {
			return
		}
		o.act(s, s.machine.publish(ready), now)
	}
}

// next returns the subscription that gets the next Publish: of those with the highest priority the one that was served longest ago.
func (o *sessionSubscriptions) next() (best *subscription, ready bool) {
	for _, s := range o.subs {
		if best != nil && s.rank.Load() <= best.rank.Load() {
			continue
		}
		if r := s.isReady(); s.machine.wants(r) {
			best, ready = s, r
		}
	}
	return best, ready
}

// expire answers the Publish requests whose client waits no longer.
func (o *sessionSubscriptions) expire(now time.Time) {
	for o.queue.n > 0 && o.queue.at(0).overdue(now) {
		o.answers.fault(o.queue.take().late, ua.BadTimeout)
	}
}

// tick is the end of the publishing interval of s. ended says that its life is over.
func (o *sessionSubscriptions) tick(s *subscription, now time.Time) (ended bool) {
	o.expire(now)
	was := s.machine.state
	a := s.machine.tick(s.isReady(), o.queue.n > 0)
	if s.machine.state == subLate && was != subLate {
		s.counts.late++
	}
	if a == subLifeEnded {
		o.remove(s)
		o.change(statusChange{s.id, s.machine.next, ua.BadTimeout}, now)
		return true
	}
	o.act(s, a, now)
	o.serve(now)
	return false
}

// act does what the machine of s asks.
func (o *sessionSubscriptions) act(s *subscription, a subAction, now time.Time) {
	switch a {
	case subNotify:
		o.notify(s, now)
	case subSayAlive:
		o.sayAlive(s, now)
	case subWait, subLifeEnded:
	}
}

// take uses the oldest Publish, for s when that is not nil.
func (o *sessionSubscriptions) take(s *subscription) subPublish {
	o.turn++
	if s != nil {
		s.rank.Store(rankOf(s.priority(), o.turn))
		s.counts.publishes++
	}
	return o.queue.take()
}

// notify sends what waits in s.
func (o *sessionSubscriptions) notify(s *subscription, now time.Time) {
	r := o.take(s)
	room := min(o.answers.room(r.late), o.limits.MessageBytes) - publishFixed - 4*(len(s.sent.messages)+1+r.acks.count)
	spare := s.sent.buffer()
	body, told, more := s.message(spare, s.machine.next, ua.DateTimeOf(now), max(room, messageLeast))
	s.budget.give(cap(spare) - cap(body))
	number := s.machine.sentData(more)
	s.counts.notifications += told
	o.totals.messages.Add(1)
	o.totals.values.Add(uint64(told))
	o.keep(s, sentMessage{number, body})
	o.answer(&r, s.id, &s.sent, more, body)
}

// keep holds a message until it is acknowledged.
func (o *sessionSubscriptions) keep(s *subscription, m sentMessage) {
	most := o.limits.Retransmissions
	if !s.budget.allows(0) {
		most = 1
	}
	had := s.sent.bytes + cap(m.body)
	s.counts.dropped += uint32(s.sent.keep(m, most))
	s.budget.give(had - s.sent.bytes)
}

// sayAlive sends a keep-alive: the number of the next message, and nothing in it.
func (o *sessionSubscriptions) sayAlive(s *subscription, now time.Time) {
	r := o.take(s)
	var a [16]byte
	b := ua.AppendUInt32(a[:0], s.machine.next)
	b = ua.AppendDateTime(b, ua.DateTimeOf(now))
	b = ua.AppendInt32(b, 0)
	o.answer(&r, s.id, &s.sent, false, b)
}

// change tells the session that a subscription is not its own any more: now, or with the next Publish.
func (o *sessionSubscriptions) change(c statusChange, now time.Time) {
	if o.over {
		return
	}
	if len(o.changes) == o.limits.PerSession {
		o.changes = slices.Delete(o.changes, 0, 1)
	}
	o.changes = append(o.changes, c)
	o.serve(now)
	o.refuseIdle()
}

func (o *sessionSubscriptions) sayChange(c statusChange, now time.Time) {
	r := o.take(nil)
	var a [40]byte
	b := ua.AppendUInt32(a[:0], c.number)
	b = ua.AppendDateTime(b, ua.DateTimeOf(now))
	b = ua.AppendInt32(b, 1)
	b = appendBodyHead(b, idStatusChangeNotification)
	b = ua.AppendInt32(b, 4+1)
	b = append(ua.AppendStatusCode(b, c.status), 0) // no DiagnosticInfo
	o.answer(&r, c.subscription, &sentQueue{}, false, b)
}

// answer sends a NotificationMessage.
func (o *sessionSubscriptions) answer(r *subPublish, id uint32, sent *sentQueue, more bool, body []byte) {
	m := o.answers.begin(r.late)
	b := ua.AppendUInt32(m.b, id)
	b = sent.appendNumbers(b)
	b = ua.AppendBoolean(b, more)
	b = append(b, body...)
	b = r.acks.appendTo(b)
	m.b = ua.AppendInt32(b, -1)
	o.answers.send(r.late, m, o.turns)
}

// remove takes s out of the session.
func (o *sessionSubscriptions) remove(s *subscription) {
	if i := slices.Index(o.subs, s); i >= 0 {
		o.subs = slices.Delete(o.subs, i, i+1)
	}
	s.owner.Store(nil)
}

// refuseIdle answers all that wait when nothing can ever be said to them.
func (o *sessionSubscriptions) refuseIdle() {
	if len(o.subs) == 0 && len(o.changes) == 0 {
		o.refuse(ua.BadNoSubscription)
	}
}

// refuse answers all that wait.
func (o *sessionSubscriptions) refuse(status ua.StatusCode) {
	for o.queue.n > 0 {
		o.answers.fault(o.queue.take().late, status)
	}
}

// cancel answers those with this RequestHandle, and returns how many there were.
func (o *sessionSubscriptions) cancel(handle uint32) int {
	return o.queue.filter(func(r *subPublish) bool {
		if r.handle != handle {
			return true
		}
		o.answers.fault(r.late, ua.BadRequestCancelledByClient)
		return false
	})
}

// detach forgets those that came over a connection that is gone.
func (o *sessionSubscriptions) detach(from *serverConn) {
	o.queue.filter(func(r *subPublish) bool { return r.conn != from })
}
