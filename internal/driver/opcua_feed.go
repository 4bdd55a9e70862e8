package driver

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/opcua"
	"millrace/opcua/ua"
)

// opcuaFeed is the subscription of one plan, and what came of it that was not taken yet. The client's goroutines notify it; all else is of whose turn it is.
type opcuaFeed struct {
	plan  *opcuaPlan
	sub   *opcua.Subscription
	every time.Duration // how often the plan was read when it was made
	queue pushQueue[opcua.Receipt]
	types *opcuaTypes

	mu     sync.Mutex
	items  []int32 // node of the plan by the handle of its item
	wake   func()
	dead   error // why nothing comes any more
	heard  bool  // something came
	value  ua.DataValue
	bad    map[int]ua.StatusCode // nodes whose last value has a bad status
	mended []int                 // nodes that were bad since the last take

	garbled []int // nodes of which a value came that could not be decoded, and took with it what stood behind it
}

const (
	// maxUnsafe is how many messages wait to be safe at most; then the server is asked for no more. maxInMessage is how many values one has, so that a feed
	// holds 160,000 or those of a few more that were on their way.
	maxUnsafe    = 16
	maxInMessage = 10_000
	// defaultKeepAlive is how often a server without news says that it is there.
	defaultKeepAlive = 5 * time.Second
	// fastestPublishing is the shortest interval that is asked for without being said: many servers have that or twice that as their least.
	fastestPublishing = 50 * time.Millisecond
	// refusedFor is how long a server that refused a subscription is polled before it is asked for one again.
	refusedFor = time.Minute
	// longestQueue is the longest queue of an item that is asked for without being said.
	longestQueue = 100
	// fastestQueue is the queue of an item that is sampled as fast as the server can.
	fastestQueue = 10
)

// Wake says whom to tell that p has values waiting. Without it the values of p are polled.
func (s *opcuaSession) Wake(p device.Plan, every time.Duration, f func()) {
	plan, ok := p.(*opcuaPlan)
	if !ok {
		return
	}
	st := s.stateOf(plan)
	st.every = every
	st.wake = f
	if st.feed != nil {
		st.feed.mu.Lock()
		st.feed.wake = f
		st.feed.mu.Unlock()
	}
}

// Taken returns what is to be called when the rows that the last Read of p took from its subscription are safe.
func (s *opcuaSession) Taken(p device.Plan) func(error) {
	plan, ok := p.(*opcuaPlan)
	if !ok {
		return nil
	}
	st := s.stateOf(plan)
	f := st.taken
	st.taken = nil
	return f
}

// Resubscribe has the subscription of p made anew by its next Read; one that was refused is asked for again.
func (s *opcuaSession) Resubscribe(p device.Plan) bool {
	plan, ok := p.(*opcuaPlan)
	if !ok || plan.opts.mode == opcuaPoll {
		return false
	}
	st := s.stateOf(plan)
	st.renew, st.pollUntil = true, time.Time{}
	return true
}

// wantsFeed says whether the values of st come by subscription.
func (st *opcuaState) wantsFeed(now time.Time) bool {
	return !st.plan.polls() && st.wake != nil && len(st.ids) > 0 && !now.Before(st.pollUntil)
}

// readFeed takes what came, and makes the subscription when there is none that lives. Nodes that the server does not monitor are polled when they are due.
func (s *opcuaSession) readFeed(ctx context.Context, st *opcuaState, now time.Time) error {
	if st.taken != nil { // nobody asked what to call for the last rows
		st.taken(errNotTaken)
		st.taken = nil
	}
	if st.feed != nil {
		var err error
		st.taken = s.take(st)
		if dead, heard := st.feed.end(); dead != nil && !heard {
			return &SilentError{dead}
		} else if dead != nil && !s.answers(ctx, st, &err) {
			return err
		} else if dead != nil || st.feed.every != st.every || st.renew || st.feed.spoiled(st) {
			st.feed.close(ctx)
			st.feed = nil
		}
	}
	st.renew = false
	if st.feed == nil {
		if err := s.subscribe(ctx, st, now); err != nil {
			return s.notSubscribed(ctx, st, now, err)
		}
	}
	s.denyLost(st)
	if now.Sub(st.polledAt) < st.every-st.every/10 {
		return nil
	}
	return s.poll(ctx, st, now)
}

// answers asks for one node of st, whose subscription is over, and says whether the server is there; why is its silence. A new subscription has ten seconds for each answer, which a server that is
// gone is not to be waited for before anybody hears that it is.
func (s *opcuaSession) answers(ctx context.Context, st *opcuaState, why *error) bool {
	for n := range st.ids {
		if st.isLost(n) {
			continue
		}
		err := s.client.ReadEach(ctx, st.readsOf([]int{n}).plan, func(int, *ua.DataValue) {})
		var e *opcua.Error
		if err == nil || errors.As(err, &e) && e.Answered && s.client.Err() == nil {
			break
		}
		*why = explain(err)
		return false
	}
	return true
}

var errNotTaken = errors.New("opcua: nobody took responsibility for these rows")

// SilentError ends a session that got nothing of a subscription from its beginning to its end: another one over the same connection would get as little.
type SilentError struct{ Err error }

func (e *SilentError) Error() string {
	return "opcua: the subscription stayed silent: " + e.Err.Error()
}

// Unwrap returns why it is over, and net.ErrClosed.
func (e *SilentError) Unwrap() []error { return []error{net.ErrClosed, e.Err} }

// take takes what came of st, and says once more which of its nodes are bad: a server says it once, and what a device refuses is to be seen until it does no more.
func (s *opcuaSession) take(st *opcuaState) (done func(error)) {
	f := st.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	done = f.queue.take(s.into)
	for _, n := range f.mended {
		st.told[n] = 0
	}
	f.mended = f.mended[:0]
	for n, status := range f.bad {
		s.into.Append(f.plan.nodes[n].id, 0, tag.Quality(status), tag.Null, 0)
		s.tell(st, n, status)
	}
	return done
}

// notSubscribed decides what a refused subscription means.
func (s *opcuaSession) notSubscribed(ctx context.Context, st *opcuaState, now time.Time, err error) error {
	var e *opcua.Error
	if !errors.As(err, &e) || !e.Answered || s.client.Err() != nil {
		return explain(err)
	}
	if st.plan.opts.mode == opcuaAuto {
		st.pollUntil = now.Add(refusedFor)
		st.readAll()
		s.denyLost(st)
		return s.poll(ctx, st, now)
	}
	for i := range st.plan.nodes {
		s.into.Append(st.plan.nodes[i].id, 0, tag.Quality(e.Status), tag.Null, 0)
	}
	return nil // why was told as a refusal
}

// subscribe makes the subscription of st, with an item for each of its nodes.
func (s *opcuaSession) subscribe(ctx context.Context, st *opcuaState, now time.Time) error {
	s.setUp.now.Store(true)
	defer s.setUp.now.Store(false)
	f := &opcuaFeed{plan: st.plan, types: &s.structures, every: st.every, wake: st.wake, bad: map[int]ua.StatusCode{}}
	sub, err := s.client.Subscribe(ctx, st.subscription(f))
	if err != nil {
		return err
	}
	f.sub = sub
	st.feed = f
	st.reads = opcuaReads{}
	var nodes []int
	for n := range st.ids {
		if !st.isLost(n) && !slices.Contains(st.garbled, n) {
			nodes = append(nodes, n)
		}
	}
	refused, err := f.add(ctx, st, nodes)
	if err != nil {
		f.close(ctx)
		st.feed = nil
		return err
	}
	for _, n := range st.garbled {
		if !st.isLost(n) {
			refused = append(refused, opcuaLost{n, ua.BadDecodingError})
		}
	}
	s.without(st, refused, now)
	return nil
}

func (st *opcuaState) isLost(n int) bool {
	return slices.ContainsFunc(st.lost, func(l opcuaLost) bool { return l.node == n })
}

// without settles what becomes of nodes that the server does not monitor: those for which it has no room are polled, others are lost.
func (s *opcuaSession) without(st *opcuaState, refused []opcuaLost, now time.Time) {
	var polled []int
	for _, n := range st.reads.nodes {
		polled = append(polled, int(n))
	}
	for _, l := range refused {
		if st.plan.opts.mode == opcuaAuto && noRoom(l.status) {
			polled = append(polled, l.node)
			continue
		}
		st.lost = append(st.lost, l)
	}
	if len(polled) > len(st.reads.nodes) {
		st.reads, st.polledAt = st.readsOf(polled), time.Time{}
	}
	st.tryAt = now.Add(lostAgain)
}

// noRoom says whether a node is not monitored for want of what monitoring takes.
func noRoom(s ua.StatusCode) bool {
	switch s.Code() {
	case ua.BadTooManyMonitoredItems, ua.BadOutOfMemory, ua.BadResourceUnavailable, ua.BadNotSupported, ua.BadNotImplemented, ua.BadServiceUnsupported, ua.BadMonitoringModeInvalid,
		ua.BadDecodingError: // alone in an answer it spoils nothing but itself
		return true
	}
	return false
}

// monitorAgain tries nodes that were lost: which were looked for, and lost are those that still have no id.
func (s *opcuaSession) monitorAgain(ctx context.Context, st *opcuaState, which []int, lost []opcuaLost) error {
	var found []int
	for _, n := range which {
		if !slices.ContainsFunc(lost, func(l opcuaLost) bool { return l.node == n }) {
			found = append(found, n)
		}
	}
	st.lost = lost
	refused, err := st.feed.add(ctx, st, found)
	if err != nil {
		for _, n := range found { // nothing is known of them; the next time tells
			st.lost = append(st.lost, opcuaLost{n, ua.BadNoCommunication})
		}
		return err
	}
	for _, n := range found {
		st.told[n] = 0
	}
	s.without(st, refused, time.Now())
	return nil
}

// subscription returns what the server is asked for.
func (st *opcuaState) subscription(f *opcuaFeed) opcua.SubscriptionConfig {
	o := &st.plan.opts
	alive := o.keepAlive
	if alive == 0 {
		alive = defaultKeepAlive
	}
	every := st.publishing(alive)
	return opcua.SubscriptionConfig{
		Interval: every, KeepAlive: uint32(max(1, alive/every)), MaxNotifications: maxInMessage, Unacknowledged: maxUnsafe,
		Notify: f.notify, Dead: f.died,
	}
}

// publishing returns how often the server is to send: twice as often as the group is read, so that a change is not late by a whole interval more than it was sampled late, and
// not less often than it is to say that it is there. Without changes it sends nothing either way.
func (st *opcuaState) publishing(alive time.Duration) time.Duration {
	switch o := &st.plan.opts; {
	case o.publishing > 0:
		return o.publishing
	case st.every > 0:
		return min(max(st.every/2, min(st.every, fastestPublishing)), alive)
	}
	return min(time.Second, alive)
}

// sampling returns how often the server is to look at a node, and how many values it is to keep until it sends them.
func (st *opcuaState) sampling() (every time.Duration, queue uint32) {
	o := &st.plan.opts
	every = o.sampling
	if every == 0 {
		every = o.publishing
	}
	if every == 0 {
		every = st.every
	}
	send := st.publishing(defaultKeepAlive)
	switch {
	case o.queue > 0:
		return every, uint32(o.queue)
	case every < 0:
		return every, fastestQueue
	case every > 0 && every < send:
		return every, uint32(min((send+every-1)/every, longestQueue))
	}
	return every, 1
}

// add monitors nodes, and returns those that the server does not. One that has no deadband, as texts have none, is monitored without.
func (f *opcuaFeed) add(ctx context.Context, st *opcuaState, nodes []int) (refused []opcuaLost, err error) {
	if len(nodes) == 0 {
		return nil, nil
	}
	items := make([]opcua.Item, len(nodes))
	every, queue := st.sampling()
	for i, n := range nodes {
		node := &st.plan.nodes[n]
		items[i] = opcua.Item{
			Node: st.ids[n], NamespaceUri: node.point.uri, Sampling: every, Queue: queue,
			Deadband: node.deadband, Percent: st.plan.opts.deadband.percent, Stamps: node.every,
		}
	}
	f.expect(nodes)
	if err := f.sub.Add(ctx, items); err != nil && !partly(err) {
		return nil, err
	}
	for i, n := range nodes {
		if items[i].Status.IsBad() {
			refused = append(refused, opcuaLost{n, items[i].Status})
		}
	}
	return refused, nil
}

// partly says whether an error of Add is an answer of the server, which the items have that it is about.
func partly(err error) bool {
	var e *opcua.Error
	return errors.As(err, &e) && e.Answered
}

// expect notes whose the handles of the next items are: values may come before the server's answer has been looked at.
func (f *opcuaFeed) expect(nodes []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range nodes {
		f.items = append(f.items, int32(n))
	}
}

// notify takes what the server sent. It runs in the client's reader.
func (f *opcuaFeed) notify(m *opcua.Notification) {
	f.mu.Lock()
	f.heard = true
	f.queue.push(func(b *tag.Batch) { f.append(b, m) }, m.Receipt())
	wake := f.wake
	f.mu.Unlock()
	if wake != nil {
		wake()
	}
}

// append makes rows of a message. The caller holds the lock.
func (f *opcuaFeed) append(b *tag.Batch, m *opcua.Notification) {
	v := &f.value
	for handle, ok := m.Next(v); ok; handle, ok = m.Next(v) {
		if int(handle) >= len(f.items) {
			continue
		}
		n := int(f.items[handle])
		node := &f.plan.nodes[n]
		f.types.append(b, node.id, v, node.point.isElement())
		if v.Status.IsBad() {
			f.bad[n] = v.Status
		} else if len(f.bad) > 0 && f.bad[n] != 0 {
			delete(f.bad, n)
			f.mended = append(f.mended, n)
		}
	}
	f.value = ua.DataValue{} // it keeps the texts of the message
	if handle, ok := m.Undecoded(); ok && int(handle) < len(f.items) {
		f.garbled = append(f.garbled, int(f.items[handle]))
	}
}

// spoiled says whether values were lost behind one that could not be decoded, and notes its node. The subscription is made anew without that one then, and the server says all others once more.
func (f *opcuaFeed) spoiled(st *opcuaState) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.garbled {
		if !slices.Contains(st.garbled, n) {
			st.garbled = append(st.garbled, n)
		}
	}
	return len(f.garbled) > 0
}

// died takes that nothing comes any more.
func (f *opcuaFeed) died(err error) {
	f.mu.Lock()
	f.dead = err
	wake := f.wake
	f.mu.Unlock()
	if wake != nil {
		wake()
	}
}

// end returns why nothing comes any more, nil while something may, and whether anything came.
func (f *opcuaFeed) end() (dead error, heard bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead, f.heard
}

// close deletes the subscription. A server that is not there any more deletes it by itself.
func (f *opcuaFeed) close(ctx context.Context) {
	f.mu.Lock()
	f.wake = nil
	f.mu.Unlock()
	_ = f.sub.Close(ctx)
}
