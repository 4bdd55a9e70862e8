package device

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"millrace/internal/tag"
)

// A scout is a unit that asks a device over an address that the device is not at: the same machine, slots, dial bucket and breaker as of any other, with one
// group, whose values go nowhere. While one is there its endpoint has a session, which is what makes it a standby: the device goes there without a handshake.
// Scouts of the first address say when the device may go back to it.
type scout struct {
	of     *unit
	lane   int
	passes int // probes answered in a row
}

// newScout makes the scout of u at its address n, nil when there is nothing to ask.
func (s *shard) newScout(u *unit, n int, now time.Time) *unit {
	g := u.probed()
	if g == nil {
		return nil
	}
	spec := *u.spec
	spec.Addr, spec.Routes, spec.Routing = u.lanes[n].route.Addr, nil, Routing{Active: u.spec.Routing.Active}
	spec.OutOfService = false
	if n > 0 {
		spec.Limits.Connections = 1 // at home it is the session that u goes on with
	}
	u.mu.Lock()
	spec.Learned = u.lessons()
	u.mu.Unlock()
	spec.Groups = []Group{{Name: g.spec.Name, Interval: u.spec.Routing.Every, Tags: u.table.inService(g.spec.Tags)}}
	c, err := newUnit(&spec, u.driver, s.rt)
	if err != nil {
		return nil // it was planned before: the device runs without
	}
	c.scout = scout{of: u, lane: n}
	c.active = u.active
	c.groups[0].stats = new(groupHistograms)
	order := uint64(spec.Number)<<16 | uint64(n+1)<<12
	c.timer.order, c.groups[0].timer.order = order, order|1
	c.machine = newMachine(spec.Profile, rand.New(rand.NewPCG(s.rt.cfg.Seed+uint64(n), uint64(spec.Number))), now)
	return c
}

// probed returns the group that a scout asks for: the one that tells who is in charge, or the one with the fewest requests.
func (u *unit) probed() *group {
	for _, g := range u.groups {
		if g.tellsCharge() {
			return g
		}
	}
	return u.smallest()
}

// tend has the scouts of u looked at when the shard's round is over: they come and go with what u needs.
func (s *shard) tend(u *unit) {
	if len(u.lanes) > 0 && !u.tended {
		u.tended = true
		s.tending = append(s.tending, u)
	}
}

// look sends scouts out and calls them back, and lets go of endpoints that are idle. It is called between two mails, when no Step and no job's end is being dealt with.
func (s *shard) look() {
	now := time.Now()
	for i := 0; i < len(s.tending); i++ {
		u := s.tending[i]
		s.tending[i], u.tended = nil, false
		for n := range u.lanes {
			s.lookAt(u, n, now)
		}
	}
	s.tending = s.tending[:0]
	for i := 0; i < len(s.left); i++ {
		e := s.left[i]
		s.left[i], e.left = nil, false
		s.reap(e)
		s.next(e, now)
	}
	s.left = s.left[:0]
}

func (s *shard) lookAt(u *unit, n int, now time.Time) {
	l := &u.lanes[n]
	switch why := u.needs(n); {
	case why == "" && l.scout != nil:
		s.recall(u, n, now)
	case why != "" && l.scout == nil && !s.draining:
		c := s.newScout(u, n, now)
		if c == nil {
			return
		}
		l.scout = c
		s.attach(c)
		s.settle(c.endpoint)
		s.add(c, now)
		s.stepAll()
		s.showScout(u, n)
	}
}

// recall ends the scout of u at its address n.
func (s *shard) recall(u *unit, n int, now time.Time) {
	c := u.lanes[n].scout
	u.lanes[n].scout = nil
	s.showScout(u, n)
	s.remove(c, now)
}

// needs says what a scout of u is wanted for at address n, "" when none is.
func (u *unit) needs(n int) string {
	m, r := &u.machine, &u.spec.Routing
	switch {
	case m.state >= OutOfService || m.state == Idle:
		return ""
	case u.moving: // nothing changes on the way
		if u.lanes[n].scout != nil {
			return "it is on its way"
		}
		return ""
	case n == m.choice.at:
		return ""
	case n == 0 && r.Probes > 0 && !m.choice.pinned:
		return "it goes back there when that answers"
	case u.passive > 0:
		return "the address in use is not the one in charge"
	case r.Standby && n == u.spare():
		return "a standby is always kept"
	}
	return u.lanes[n].wanted
}

// spare returns the address that u would go to next.
func (u *unit) spare() int {
	if u.machine.choice.at == 0 {
		return 1
	}
	return 0
}

// scouted takes what a scout's machine was told, and has the device change its address when it is time.
func (s *shard) scouted(c *unit, ev event) {
	u, n := c.scout.of, c.scout.lane
	switch ev.kind {
	case evReplied, evPartial:
		c.scout.passes++
		if u.active != nil && (!c.known || c.passive > 0) || s.worse(c, ev) {
			c.scout.passes = 0
		}
	case evTimedOut, evLost, evRefused:
		c.scout.passes = 0
	}
	if u.lanes[n].scout != c || u.machine.choice.pinned || u.moving || ev.kind != evReplied && ev.kind != evPartial {
		return
	}
	if why := u.goes(c, ev.at); why != "" {
		s.post(u, event{kind: evRoute, at: ev.at, route: n, why: why}, nil)
	}
}

// worse says whether what answers at c's address has no value of what it is asked, while the device has some where it is: another PLC, or one without its program.
func (s *shard) worse(c *unit, ev event) bool {
	u, is := c.scout.of, false
	if ev.barren {
		is = u.table.anyGood(c.groups[0].spec.Tags)
	}
	c.mu.Lock()
	was := c.life.barren
	c.life.barren = is
	c.mu.Unlock()
	if is != was {
		s.showScout(u, c.scout.lane)
	}
	return is
}

// leastPassive is how many reads in a row must say that the one in use is not in charge: while a pair changes over both may say so.
const leastPassive = 2

// goes says why u is to go where its scout c is, "" when it is not.
func (u *unit) goes(c *unit, now time.Time) string {
	m, r := &u.machine, &u.spec.Routing
	switch {
	case m.state >= OutOfService || c.scout.passes == 0:
		return ""
	case m.down:
		return "it answers there"
	case u.passive >= leastPassive && c.scout.passes >= leastPassive:
		return fmt.Sprintf("%s says that the other one is in charge", r.Active.Tag)
	case c.scout.lane == 0 && r.Probes > 0 && c.scout.passes >= r.Probes && now.Sub(u.arrived) >= r.Stay && u.passive == 0:
		return fmt.Sprintf("it answered there %d times in a row", c.scout.passes)
	}
	return ""
}

// showScout brings what others see of u's address n up to what its scout knows.
func (s *shard) showScout(u *unit, n int) {
	c := u.lanes[n].scout
	u.mu.Lock()
	u.lanes[n].shown = c
	u.alter()
	u.mu.Unlock()
}

// charge is what a turn said of who is in charge of a redundant pair.
type charge uint8

const (
	chargeUnsaid  charge = iota // the tag was not among what came
	chargeUnknown               // it was, and is bad
	chargeThis
	chargeOther
)

// tellsCharge says whether g has the tag that tells who is in charge.
func (g *group) tellsCharge() bool {
	a := g.unit.active
	return a != nil && slices.ContainsFunc(g.spec.Tags, func(t TagSpec) bool { return t.ID == a.ID })
}

// charge returns what the raw rows of a turn of u say.
func (u *unit) charge(b *tag.Batch) charge {
	if u.active == nil {
		return chargeUnsaid
	}
	i := slices.Index(b.ID, u.active.ID)
	if i < 0 {
		return chargeUnsaid
	}
	v, ok := b.Value(i).Float()
	if !ok || b.Quality[i].IsBad() {
		return chargeUnknown
	}
	if t := u.active.Terms(); t.Scale != 0 {
		v = v*t.Scale + t.Bias
	}
	if v == u.spec.Routing.Active.Value {
		return chargeThis
	}
	return chargeOther
}

// judge takes what a turn of g said. What a device sends by itself is not said again while it holds.
func (s *shard) judge(g *group, said charge) {
	u := g.unit
	was := u.passive
	switch {
	case said == chargeUnknown:
		u.known = false
	case said == chargeThis:
		u.known, u.passive = true, 0
	case said == chargeOther, u.passive > 0 && g.tellsCharge():
		u.known = true
		u.passive++
	}
	if (was == 0) != (u.passive == 0) {
		s.tend(u)
	}
}
