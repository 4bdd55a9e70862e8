package opcua

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"millrace/opcua/ua"
)

// samplerKey says what a sampler looks at, and how often. Items with the same key share one.
type samplerKey struct {
	ref       nodeRef
	attribute uint32
	interval  time.Duration // 0: every change is seen
	part      string        // index range and data encoding as they were asked for; "" for the whole value
}

// sampler looks at one attribute of one node for all items that ask for it equally often. A value is encoded once, when it has changed, and its bytes are copied
// into the queue of each item.
//
//	source tells of changes, interval 0      Changed ──► take
//	source tells of changes                  Changed ──► dirty ──► read with its group, at most once an interval ──► take
//	it does not                                                    read with its group, every interval ──► take
//
// What a value touches comes first and together.
type sampler struct {
	mu     *samplerLock      // guards what follows
	items  []*monitoredItem  // those that listen
	one    [1]*monitoredItem // where items lies as long as one does: the next thing that a value touches is beside the last
	last   sample
	seen   bool   // last is of this run of listening
	pushes uint32 // counts what the source told

	gone  atomic.Bool             // the node is, and is looked for
	dirty atomic.Bool             // the source told of a change since the group was read
	told  bool                    // it tells of changes; samplers.edit guards it
	moved atomic.Pointer[nodeRef] // where the node is now, if it came back; set with samplers.edit
	place int                     // in the group's list, from 1; 0 is not in it; samplers.mu guards it

	key  samplerKey
	all  *samplers
	id   ua.NodeId // of the node, to find it again when it comes back as another one
	read *readItem // how to read what is not simply a value; nil for those
	refs int       // items that have it, whether they listen or not; samplers.edit guards it
}

// samplerLock is the lock of one sampler whose source tells it every change, or of all that are read at the same interval: who reads them takes it once for many.
type samplerLock struct {
	sync.Mutex
	samplers int // that have it; samplers.edit guards it
}

// Changed implements Watcher. Any goroutine may call it; it does not block.
func (s *sampler) Changed(v *ua.DataValue) {
	if s.key.interval > 0 {
		if !s.dirty.Swap(true) {
			s.all.soil(s)
		}
		return
	}
	now := v.ServerTimestamp
	if now == 0 {
		now = ua.DateTimeOf(time.Now())
	}
	s.mu.Lock()
	s.pushes++
	var l subLock
	s.take(v, now, &l)
	l.unlock()
	s.mu.Unlock()
}

// take takes a value in, and gives it to all items if it differs from the one before. now is its server time if it has none. s is locked; what l has locked afterwards is
// the caller's to unlock.
func (s *sampler) take(v *ua.DataValue, now ua.DateTime, l *subLock) {
	c := s.last.set(v)
	if s.last.server == 0 {
		s.last.server = now
	}
	if v.Status == ua.BadNodeIdUnknown && !s.gone.Swap(true) {
		s.all.lookFor(s)
	}
	if s.seen && c == 0 {
		return
	}
	s.seen = true
	for _, it := range s.items {
		l.lock(it.sub)
		it.offer(&s.last, c)
	}
}

// subLock is the lock of one subscription, which stays locked from one value to the next of the same subscription.
type subLock struct{ sub *subscription }

func (l *subLock) lock(s *subscription) {
	if l.sub == s {
		return
	}
	l.unlock()
	s.mu.Lock()
	l.sub = s
}

func (l *subLock) unlock() {
	if l.sub != nil {
		l.sub.mu.Unlock()
		l.sub = nil
	}
}

// first takes the value that was read for items that have just begun to listen, unless the source told of a newer one since pushes were what they are said to be.
func (s *sampler) first(v *ua.DataValue, pushes uint32, now ua.DateTime) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.seen || s.pushes == pushes {
		var l subLock
		s.take(v, now, &l)
		l.unlock()
	}
	for _, it := range s.items {
		it.sub.mu.Lock()
		if !it.primed {
			it.offer(&s.last, 0)
		}
		it.sub.mu.Unlock()
	}
}

// snapshot returns a copy of the last value, if there is one.
func (s *sampler) snapshot() (last sample, seen bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last = s.last
	last.value = bytes.Clone(s.last.value)
	return last, s.seen
}

// adopt has an item that came from another sampler go on from what that had seen, so that it is told of nothing twice and of every change.
func (s *sampler) adopt(it *monitoredItem, was *sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.seen {
		s.last, s.seen = *was, true
		return
	}
	if c := was.differs(&s.last); c != 0 {
		it.sub.mu.Lock()
		it.offer(&s.last, c)
		it.sub.mu.Unlock()
	}
}

// resend tells the last value once more to an item that reports and has nothing waiting. [OPC 10000-5 9.2]
func (s *sampler) resend(it *monitoredItem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it.sub.mu.Lock()
	defer it.sub.mu.Unlock()
	if s.seen && !it.dead && it.mode == ua.MonitoringModeReporting && it.queue.n == 0 {
		it.tell(&s.last)
	}
}

// ref is where the node is.
func (s *sampler) ref() nodeRef {
	if r := s.moved.Load(); r != nil {
		return *r
	}
	return s.key.ref
}

// every is how often the sampler reads when its source does not tell: not as often as a client can think of.
func (s *sampler) every() time.Duration { return max(s.key.interval, s.all.least) }

// shaped says whether a value is read by itself, not with many others.
func (s *sampler) shaped() bool { return s.read != nil }

// samplers are all of a server's.
type samplers struct {
	space *Space
	least time.Duration // between two readings
	wake  chan struct{} // 1: a group is due before the one that run waits for

	scratch sync.Pool // *samplerScratch, for prime

	edit  sync.Mutex // taken before sampler.mu; guards who has and who listens to what
	all   map[samplerKey]*sampler
	locks map[time.Duration]*samplerLock // of those that are read

	mu      sync.Mutex // a leaf; guards the groups
	started time.Time
	groups  map[time.Duration]*samplerGroup
	lost    *samplerGroup // those whose node is gone, in dirty
	due     dueHeap
}

func (p *samplers) init(space *Space, least time.Duration, started time.Time) {
	p.space, p.least, p.started, p.wake = space, least, started, make(chan struct{}, 1)
	p.all, p.locks, p.groups = make(map[samplerKey]*sampler), make(map[time.Duration]*samplerLock), make(map[time.Duration]*samplerGroup)
	p.lost = &samplerGroup{interval: lookEvery}
	p.lost.due.group = p.lost
	p.scratch.New = func() any { return new(samplerScratch) }
}

// acquire returns the sampler of a key; id is the node's, read says how to read what is no plain value. It goes to release, once for each time.
func (p *samplers) acquire(key samplerKey, id ua.NodeId, read *readItem) *sampler {
	p.edit.Lock()
	defer p.edit.Unlock()
	s := p.all[key]
	if s == nil {
		s = &sampler{mu: p.lockOf(key.interval), key: key, all: p, id: id, read: read}
		s.mu.samplers++
		p.all[key] = s
	}
	s.refs++
	return s
}

// lockOf returns the lock of a new sampler. edit is held.
func (p *samplers) lockOf(interval time.Duration) *samplerLock {
	l := p.locks[interval]
	if l == nil {
		l = new(samplerLock)
		if interval > 0 {
			p.locks[interval] = l
		}
	}
	return l
}

func (p *samplers) release(s *sampler) {
	p.edit.Lock()
	defer p.edit.Unlock()
	if s.refs--; s.refs > 0 {
		return
	}
	delete(p.all, s.key)
	if s.mu.samplers--; s.mu.samplers == 0 {
		delete(p.locks, s.key.interval)
	}
}

// join makes an item listen, unless it has ended. Its first value comes with prime.
func (p *samplers) join(s *sampler, it *monitoredItem) {
	p.edit.Lock()
	defer p.edit.Unlock()
	s.mu.Lock()
	it.sub.mu.Lock()
	joins := !it.dead && it.place < 0
	it.sub.mu.Unlock()
	if joins {
		if s.items == nil {
			s.items = s.one[:0]
		}
		it.place = len(s.items)
		s.items = append(s.items, it)
		if len(s.items) > 1 {
			s.one[0] = nil
		}
	}
	begins := joins && len(s.items) == 1
	s.mu.Unlock()
	if begins {
		p.begin(s)
	}
}

// leave makes an item listen no more.
func (p *samplers) leave(s *sampler, it *monitoredItem) {
	p.edit.Lock()
	defer p.edit.Unlock()
	s.mu.Lock()
	left := it.place >= 0
	if left {
		last := len(s.items) - 1
		s.items[it.place] = s.items[last]
		s.items[it.place].place = it.place
		s.items[last] = nil
		s.items, it.place = s.items[:last], -1
	}
	ends := left && len(s.items) == 0
	if ends {
		s.seen, s.last.value, s.items = false, nil, nil
	}
	s.mu.Unlock()
	if ends {
		p.end(s)
	}
}

// begin has the first item listen: the source tells, or the group reads. edit is held.
func (p *samplers) begin(s *sampler) {
	p.enter(s)
	s.dirty.Store(false)
	s.told = s.key.attribute == ua.AttributeValue && p.space.watch(s.ref(), s)
	if !s.told {
		p.enlist(s)
	}
}

func (p *samplers) end(s *sampler) {
	if s.told {
		p.space.unwatch(s.ref(), s)
	}
	p.strike(s)
}

// prime reads the first values of items that have begun to listen to list.
func (p *samplers) prime(ctx context.Context, list []*sampler) {
	x := p.scratch.Get().(*samplerScratch)
	defer p.scratch.Put(x)
	for len(list) > 0 {
		n := copy(x.list[:], list)
		for i, s := range x.list[:n] {
			s.mu.Lock()
			x.pushes[i] = s.pushes
			s.mu.Unlock()
			x.from[i] = p.sourceOf(s)
		}
		p.readAll(ctx, x, n)
		now := ua.DateTimeOf(time.Now())
		for i, s := range x.list[:n] {
			s.first(&x.values[i], x.pushes[i], now)
		}
		x.done(n)
		list = list[n:]
	}
}
