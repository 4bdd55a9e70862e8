package ctxguard

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

// shards is a power of two; more of them than CPUs keeps goroutines that make contexts out of each other's way.
const shards = 16

// shard is a part of what a Guard looks after: a flat list, so that a look for what is overdue runs through memory in order.
type shard struct {
	mu    sync.Mutex
	slots []slot
	seen  uint64   // entries that ever were here
	_     [24]byte // a cache line each
}

// slot repeats the entry's due, so that the entry itself need not be fetched. A due of 0 is never.
type slot struct {
	due int64
	e   *entry
}

// dropped is what the collector has found since the last look.
type dropped struct {
	mu   sync.Mutex
	list []*entry
}

// counts are since the start.
type counts struct {
	dropped, overdue, excess, left, healed atomic.Uint64
	lapsed                                 atomic.Uint64 // collected uncancelled, after their deadline or their parent had ended them
}

// remember adds e to a shard.
func (c *core) remember(e *entry) {
	e.shard = uint8(rand.Uint32() % shards)
	s := &c.shards[e.shard]
	s.mu.Lock()
	s.seen++
	e.index = len(s.slots)
	s.slots = append(s.slots, slot{e.due, e})
	s.mu.Unlock()
}

// letGo takes away what keeps the context alive, and returns what cancels it, nil if there is nothing.
func (c *core) letGo(e *entry) (heal context.CancelFunc) {
	if e.rare == nil {
		return nil
	}
	s := &c.shards[e.shard]
	s.mu.Lock()
	heal, healCause := e.rare.heal, e.rare.healCause
	e.rare.heal, e.rare.healCause = nil, nil
	s.mu.Unlock()
	if healCause != nil {
		return func() { healCause(ErrDropped) }
	}
	return heal
}

// forget takes e out of its shard, if it is still there, and lets go of what it held.
func (c *core) forget(e *entry) {
	s := &c.shards[e.shard]
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.rare != nil {
		e.rare.heal, e.rare.healCause = nil, nil
	}
	if e.index < 0 {
		return
	}
	last := len(s.slots) - 1
	moved := s.slots[last]
	s.slots[e.index] = moved
	moved.e.index = e.index
	s.slots[last] = slot{}
	s.slots = s.slots[:last]
	e.index = -1
	if cap(s.slots) > 1024 && len(s.slots) < cap(s.slots)/4 {
		s.slots = append(make([]slot, 0, cap(s.slots)/2), s.slots...) // a burst is over; its memory is not ours to keep
	}
}

// tracked is how many contexts were looked after since the start.
func (c *core) tracked() uint64 {
	var n uint64
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += s.seen
		s.mu.Unlock()
	}
	return n
}

// collected is what the collector calls when nobody holds a guarded context any more. It must be quick: all cleanups of the process share
// few goroutines.
func collected(e *entry) {
	if e.state.Load()&stateEnded != 0 {
		return
	}
	c := e.scope.core
	c.lost.mu.Lock()
	c.lost.list = append(c.lost.list, e)
	c.lost.mu.Unlock()
}

// live calls visit for every entry that is not over by now. visit is called without a lock.
func (c *core) live(now int64, visit func(*entry)) {
	var some []slot
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		some = append(some[:0], s.slots...)
		s.mu.Unlock()
		for _, x := range some {
			if !x.e.over(now) {
				visit(x.e)
			}
		}
	}
}

// overdue takes out of the shards what is due, and returns it. It is not looked at again.
func (c *core) overdue(now int64) []*entry {
	var out []*entry
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for k := range s.slots {
			if x := &s.slots[k]; x.due != 0 && x.due <= now {
				x.due = 0
				out = append(out, x.e)
			}
		}
		s.mu.Unlock()
	}
	return out
}
