package device

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// slotCount is what others see of an endpoint's slots. The shard writes it.
type slotCount struct {
	used, limit, halfOpen atomic.Int32
	ended                 atomic.Int64 // age of the Runtime at which the last of halfOpen did
}

// halfOpenSince returns when the last connection ended that the device may count still, the zero time without one.
func (c *slotCount) halfOpenSince(rt *Runtime) time.Time {
	if c.halfOpen.Load() == 0 {
		return time.Time{}
	}
	return rt.clock.start.Add(time.Duration(c.ended.Load()))
}

// heldError is a dial that was turned away by a device that may count a connection of ours still that has ended.
type heldError struct {
	ago time.Duration // since it ended
	err error
}

func (e *heldError) Error() string {
	return fmt.Sprintf("a connection of ours that ended %v ago, of which it has not heard, may hold its place there still: %v", e.ago.Round(time.Second), e.err)
}
func (e *heldError) Unwrap() error { return e.err }

// whose is the error of a dial with what is known of our own connections there.
func (e *endpoint) whose(cause error, now time.Time) error {
	ago := now.Sub(e.count.halfOpenSince(e.rt))
	if e.halfOpen == 0 || ago > heldFor || !turnedAway(cause) {
		return cause
	}
	return &heldError{ago, cause}
}

// heldFor is how long a device counts a connection that is dead: TCP's own keep-alive ends one after two hours and eleven minutes.
const heldFor = 2*time.Hour + 11*time.Minute

// turnedAway says whether a dial ended as where there is no room for it.
func turnedAway(err error) bool {
	k, is := FaultOf(err, true)
	return is && (k == FaultRefused || k == FaultHungUp) || full(err)
}

// full says whether the device said that it has no connection left.
func full(err error) bool {
	var e interface{ Full() bool }
	return errors.As(err, &e) && e.Full()
}

// showSlots brings the counts of e's slots up to date.
func (e *endpoint) showSlots() {
	c := &e.rt.counters
	show := func(all *atomic.Int64, own *atomic.Int32, n int) {
		all.Add(int64(n) - int64(own.Swap(int32(n))))
	}
	show(&c.slotsUsed, &e.count.used, e.slots.Used())
	show(&c.slotsLimit, &e.count.limit, e.slots.Limit())
	if int(e.count.halfOpen.Load()) != e.halfOpen {
		show(&c.halfOpen, &e.count.halfOpen, e.halfOpen)
		for _, u := range e.units {
			u.mu.Lock()
			u.alter()
			u.mu.Unlock()
		}
	}
}

// takeSlots takes a slot for each connection of e's next session, fewer when the gateway has no more, and says whether there was one.
func (s *shard) takeSlots(e *endpoint) bool {
	for e.held < e.pool && s.sockets.Take() {
		e.slots.Take() // there is one: the close of the session before has ended, jobs do not overlap
		e.held++
	}
	e.showSlots()
	return e.held > 0
}

// mayGrow takes further slots for the session of e when it may have more connections than it was opened with, and returns how many it may have then; 0 is as it has. Their dials have their turn
// as others have. A standby has one connection, and is the session of its device from one moment to the next.
func (s *shard) mayGrow(e *endpoint, now time.Time) int {
	if e.held >= e.pool || !e.proven {
		return 0
	}
	if _, ok := e.session.(Grower); !ok {
		return 0
	}
	if e.growAt.IsZero() {
		e.growAt = s.dials.bucket.Reserve(e.subnet.bucket.Reserve(now, e.pool-e.held), e.pool-e.held)
	}
	if e.growAt.After(now) {
		return 0
	}
	e.growAt = time.Time{}
	was := e.held
	if s.takeSlots(e); e.held == was {
		e.growAt = now.Add(growAgain) // the gateway has no more
		return 0
	}
	return e.held
}

// growAgain is how long a session that cannot grow waits before it tries again.
const growAgain = 10 * time.Second

// grow lets the session have what the shard took slots for. The turn calls it.
func (e *endpoint) grow(ctx context.Context, u *unit) {
	if e.job.grow == 0 {
		return
	}
	u.mu.Lock()
	lim := u.limits
	u.mu.Unlock()
	lim.Connections = e.job.grow
	_ = e.session.(Grower).Grow(ctx, u.addr, lim) // what it cannot have it does without
}

func (s *shard) giveSlots(e *endpoint) {
	for ; e.held > 0; e.held-- {
		e.slots.Give()
		s.sockets.Give()
	}
	e.showSlots()
}

// closed takes the end of e's session. A device that did not confirm it may count the connections as open still: they are half open. Its slots are free for all that, since our side has
// ended, and our system goes on telling the device.
func (s *shard) closed(e *endpoint) {
	if e.outcome.unconfirmed || e.unheardOf {
		e.halfOpen += e.held
		e.count.ended.Store(int64(s.rt.age(e.outcome.ended)))
	}
	e.unheardOf = false
	s.giveSlots(e)
}

// reached forgets the half open connections of e: the device was read over a new one, and by then has heard of the end of the others, or has refused what was sent of it.
func (e *endpoint) reached() {
	if e.halfOpen > 0 {
		e.halfOpen = 0
		e.showSlots()
	}
}

// hosts returns the units whose words count for e's slots, pool, rate and pause: those that are at home here. Where there are none, its guests.
func (e *endpoint) hosts() []*unit {
	if !slices.ContainsFunc(e.units, (*unit).isGuest) || !slices.ContainsFunc(e.units, func(u *unit) bool { return !u.isGuest() }) {
		return e.units
	}
	return slices.DeleteFunc(slices.Clone(e.units), (*unit).isGuest)
}

// isGuest says whether u is at another than its first address.
func (u *unit) isGuest() bool {
	if u.scout.of != nil {
		return u.scout.lane != 0
	}
	return len(u.lanes) > 0 && u.endpoint == u.lanes[u.target].endpoint && u.target != 0
}
