package opcua

import (
	"slices"
	"sync"
	"time"

	"millrace/opcua/ua"
)

// clientFeed is the subscriptions of a session, whatever connection it comes through. Recover hands it from one client to the next.
type clientFeed struct {
	// telling is held while a receiver is told: messages come one at a time, from the reader, or while a connection is being recovered or a gap filled, from there.
	telling sync.Mutex
	note    *Notification // what is being told, made with the first one; telling's

	mu        sync.Mutex               // never held across I/O, a hook or a receiver
	client    *Client                  // through whose connection it comes
	subs      map[uint32]*Subscription // nil before there is one
	publisher clientPublisher
	acks      []ua.SubscriptionAcknowledgement // to go with the next Publish request
	requests  []publishRequest                 // in flight
	spare     [][]ua.SubscriptionAcknowledgement
	tag       uint64
	errands   []errand
	counts    feedCounts
}

type feedCounts struct{ published, keptAlive, values, acknowledged, paced uint64 }

// publishRequest is a Publish request in flight with what it acknowledges.
type publishRequest struct {
	tag  uint64
	acks []ua.SubscriptionAcknowledgement
}

// errand is something that the timer is to ask for.
type errand struct {
	sub    *Subscription
	kind   errandKind
	from   uint32 // Republish: first and last sequence number
	to     uint32
	resent bool // fill: ResendData was refused
}

type errandKind uint8

const (
	errandRepublish errandKind = iota
	errandFill
)

const (
	// mostAcks go with one Publish request; more wait for the next.
	mostAcks = 1000
	// mostRepublished are asked for one by one after a gap; a longer one is filled at once.
	mostRepublished = 64
)

// addTo adds to the counts of a connection those of the feed.
func (f *clientFeed) addTo(s *Stats) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.Published, s.KeptAlive, s.Values, s.Acknowledged, s.Paced = f.counts.published, f.counts.keptAlive, f.counts.values, f.counts.acknowledged, f.counts.paced
}

// demand returns what the subscriptions need. The caller holds mu.
func (f *clientFeed) demand() clientDemand {
	d := clientDemand{rtt: time.Duration(f.client.conn.rtt.Load())}
	for _, s := range f.subs {
		if s.dead {
			continue
		}
		d.subscriptions++
		if d.interval == 0 || s.interval < d.interval {
			d.interval = s.interval
		}
		d.blocked = d.blocked || s.unacknowledged >= s.cfg.Unacknowledged
	}
	return d
}

// tick does what is due for the subscriptions, in the timer's goroutine, and returns when the next thing will be.
func (f *clientFeed) tick(c *Client, now time.Time) (next time.Time) {
	f.mu.Lock()
	if f.client != c {
		f.mu.Unlock()
		return time.Time{}
	}
	d := f.demand()
	n, again := f.publisher.due(now, d)
	dead, watch := f.watch(c, now, n > 0)
	errands := f.errands
	f.errands = nil
	f.mu.Unlock()
	for range n {
		if !f.publish(c, false) {
			break
		}
	}
	for _, s := range dead {
		s.died(c, ua.BadTimeout, &TimeoutError{After: s.silence()})
	}
	for _, e := range errands {
		e.run(c)
	}
	return earlier(again, watch)
}

// watch finds the subscriptions of which nothing came for too long, and returns when the next one may be silent for so long. While no Publish request is in flight a server
// cannot say anything. The caller holds mu.
func (f *clientFeed) watch(c *Client, now time.Time, asking bool) (dead []*Subscription, next time.Time) {
	mute := f.publisher.inFlight == 0
	for _, s := range f.subs {
		if s.dead {
			continue
		}
		if mute {
			s.heard = now
		}
		by := s.heard.Add(s.patience() + time.Duration(c.conn.rtt.Load()))
		if now.Before(by) {
			if !mute || asking {
				next = earlier(next, by)
			}
			continue
		}
		s.dead = true
		dead = append(dead, s)
	}
	return dead, next
}

// publishOn sends what is due after the answer to a Publish request, in the reader: a message costs no change of goroutines then. The reader may not wait for the server,
// so it does that only while nothing but Publish requests is on its way, for which a socket has room. All else is left to the timer.
func (c *Client) publishOn() {
	select {
	case c.conn.turn <- struct{}{}:
	default:
		c.keeper.wake()
		return
	}
	done := c.conn.onlyPublishing() && c.feed.publishDue(c)
	<-c.conn.turn
	if !done {
		c.keeper.wake()
	}
}

// publishDue sends the Publish requests that are due; the turn is the caller's. It answers false when the timer has something to do.
func (f *clientFeed) publishDue(c *Client) bool {
	if !c.keeper.begin() {
		return true // it runs, and looks once more
	}
	defer c.keeper.leave()
	f.mu.Lock()
	if f.client != c || len(f.errands) > 0 {
		f.mu.Unlock()
		return false
	}
	n, again := f.publisher.due(time.Now(), f.demand())
	f.mu.Unlock()
	for range n {
		if !f.publish(c, true) {
			break
		}
	}
	return again.IsZero()
}

// publish sends a Publish request with what is to be acknowledged, in the caller's turn or in one of its own. It answers false when the connection has ended.
func (f *clientFeed) publish(c *Client, turn bool) bool {
	f.mu.Lock()
	f.tag++
	r := publishRequest{tag: f.tag, acks: f.takeAcks()}
	f.requests = append(f.requests, r)
	f.publisher.inFlight++
	f.mu.Unlock()
	body := func(b []byte) []byte {
		b = ua.AppendInt32(b, int32(len(r.acks)))
		for i := range r.acks {
			b = r.acks[i].AppendTo(b)
		}
		return b
	}
	sent := false
	if turn { // two calls and no function value, for which body would go to the heap
		sent = c.conn.parkNow(ServicePublish, r.tag, body) != 0
	} else {
		sent = c.conn.park(ServicePublish, r.tag, body) != 0
	}
	if sent {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.giveBack(r.tag, true)
	return false
}

// takeAcks takes what is to be acknowledged next. The caller holds mu.
func (f *clientFeed) takeAcks() (acks []ua.SubscriptionAcknowledgement) {
	if n := len(f.spare); n > 0 {
		acks, f.spare = f.spare[n-1], f.spare[:n-1]
	}
	n := min(len(f.acks), mostAcks)
	acks = append(acks[:0], f.acks[:n]...)
	f.acks = f.acks[:copy(f.acks, f.acks[n:])]
	return acks
}

// giveBack ends a Publish request; what it was to acknowledge goes with another if again. It returns how many that were. The caller holds mu.
func (f *clientFeed) giveBack(tag uint64, again bool) int {
	i := slices.IndexFunc(f.requests, func(r publishRequest) bool { return r.tag == tag })
	if i < 0 {
		return 0
	}
	f.publisher.inFlight--
	acks := f.requests[i].acks
	if again {
		f.acks = append(f.acks, acks...)
	}
	f.spare = append(f.spare, acks)
	last := len(f.requests) - 1
	f.requests[i] = f.requests[last]
	f.requests[last] = publishRequest{}
	f.requests = f.requests[:last]
	return len(acks)
}

// pushed takes the answer to a parked request, in the reader.
func (c *Client) pushed(p *clientPush) {
	switch p.service {
	case ServicePublish:
		c.feed.published(c, p)
	case ServiceRepublish:
		c.feed.republished(c, p)
	case ServiceCall:
		c.feed.resent(c, p)
	}
	if lost(p.status) && !c.conn.leaving.Load() {
		c.conn.end(&SessionLostError{Status: p.status})
	}
}

// published takes the answer to a Publish request.
func (f *clientFeed) published(c *Client, p *clientPush) {
	if p.status.IsBad() {
		f.publishRefused(c, p)
		return
	}
	m, ok := decodePublish(&p.d)
	if !ok {
		c.conn.event(Event{Kind: EventMessageBad, Subscription: m.subscription, Status: p.d.Status()})
	}
	f.mu.Lock()
	acknowledged := f.giveBack(p.tag, false)
	f.counts.acknowledged += uint64(acknowledged)
	s := f.subs[m.subscription]
	paced := f.pace(s, m.values > 0, p.now)
	news := f.sequence(s, &m, p.now)
	f.mu.Unlock()
	if paced {
		c.conn.event(Event{Kind: EventPublishPaced, Subscription: m.subscription})
	}
	if news.missed > 0 {
		c.conn.event(Event{Kind: EventMessageMissed, Subscription: m.subscription, Count: int(news.missed)})
	}
	if news.tell {
		f.tell(c, s, &m, false)
	}
	if m.status != 0 && s != nil {
		f.statusChanged(c, s, m.status)
	}
	c.publishOn()
}

// pace tells the publisher what came. The caller holds mu.
func (f *clientFeed) pace(s *Subscription, values bool, now time.Time) (paused bool) {
	early, interval := true, pauseFloor
	if s != nil {
		early, interval = !s.emptied.IsZero() && now.Sub(s.emptied) < s.interval/2, s.interval
		if !values {
			s.emptied = now
		}
	}
	paused = f.publisher.answered(now, values, early, interval)
	if paused {
		f.counts.paced++
	}
	return paused
}

// news is what a message means.
type news struct {
	tell   bool
	missed uint32 // messages before it
}

// sequence looks where a message stands in its subscription. The caller holds mu.
func (f *clientFeed) sequence(s *Subscription, m *publishMessage, now time.Time) (n news) {
	if s == nil || s.dead && m.blocks == 0 {
		return n
	}
	s.heard = now
	if ahead := m.sequence - s.next; ahead > 0 && ahead < 1<<31 && m.sequence != 0 {
		n.missed = ahead
		f.errands = append(f.errands, errand{sub: s, kind: errandRepublish, from: s.next, to: m.sequence - 1})
		s.next = m.sequence
	}
	switch {
	case m.blocks == 0:
		f.counts.keptAlive++
		return n
	case m.sequence == s.next:
		s.next = afterMessage(s.next)
		n.tell = m.values > 0
	default:
		n.tell = false // it was told: a server that sends it again wants it acknowledged
	}
	if !n.tell {
		f.acks = append(f.acks, ua.SubscriptionAcknowledgement{SubscriptionId: s.id, SequenceNumber: m.sequence})
	}
	return n
}

// afterMessage returns the sequence number behind n: 0 is none.
func afterMessage(n uint32) uint32 { return max(n+1, 1) }

// publishRefused takes a refusal of a Publish request.
func (f *clientFeed) publishRefused(c *Client, p *clientPush) {
	var dead []*Subscription
	f.mu.Lock()
	f.giveBack(p.tag, true)
	most, paced := 0, false
	switch p.status {
	case ua.BadTooManyPublishRequests:
		most = f.publisher.tooMany(p.now)
	case ua.BadNoSubscription:
		for _, s := range f.subs {
			if !s.dead {
				s.dead = true
				dead = append(dead, s)
			}
		}
	default:
		paced = f.publisher.answered(p.now, false, true, pauseFloor)
	}
	f.mu.Unlock()
	if most > 0 {
		c.limits.update(func(l *Learned) { l.Publishing = most })
		c.conn.event(Event{Kind: EventPublishLimited, Count: most})
	}
	if paced {
		c.conn.event(Event{Kind: EventPublishPaced, Status: p.status})
	}
	for _, s := range dead {
		s.died(c, p.status, nil)
	}
	c.keeper.wake()
}

// statusChanged takes what the server says of a subscription as such: that it has ended, or went to another session.
func (f *clientFeed) statusChanged(c *Client, s *Subscription, status ua.StatusCode) {
	f.mu.Lock()
	was := s.dead
	s.dead = true
	f.mu.Unlock()
	if !was {
		s.died(c, status, nil)
	}
}

// tell gives a message to its receiver.
func (f *clientFeed) tell(c *Client, s *Subscription, m *publishMessage, filled bool) {
	f.mu.Lock()
	s.unacknowledged++
	f.counts.published++
	f.counts.values += uint64(m.values)
	items, generation := uint32(len(s.items)), s.generation
	f.mu.Unlock()
	f.telling.Lock()
	defer f.telling.Unlock()
	note := f.noted()
	*note = Notification{
		Subscription: s, Sequence: m.sequence, Published: m.published, Filled: filled, message: m.d, blocks: m.blocks, items: items,
		generation: generation, lim: c.cfg.Limits,
	}
	s.cfg.Notify(note)
	*note = Notification{}
}

// noted returns what is told to a receiver, the same one each time. The caller holds telling.
func (f *clientFeed) noted() *Notification {
	if f.note == nil {
		f.note = new(Notification)
	}
	return f.note
}
