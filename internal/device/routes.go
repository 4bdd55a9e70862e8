package device

import (
	"errors"
	"fmt"
	"math/bits"
	"time"
)

// Route is a further address of a device: the ring's other end, a second CP, a backup gateway.
type Route struct {
	Addr Addr
	Name string // what people call it; may be empty
}

// String returns the address, and the name when there is one.
func (r Route) String() string {
	if r.Name == "" {
		return r.Addr.String()
	}
	return r.Addr.String() + " (" + r.Name + ")"
}

// Routing says how a device uses its addresses. The zero value is a good one. A device leaves an address when its breaker opens, when a connection cannot be had
// there, or when prediction says that it is down; the first address is the one that it goes back to.
type Routing struct {
	Stay    time.Duration // on another address, at least, before it goes back by itself; 0 is a minute
	Probes  int           // in a row that the first address must answer before; 0 is 5, below 0 it never goes back by itself
	Every   time.Duration // between two probes of an address that is not in use; 0 is 5 s
	Standby bool          // a session on another address is kept at all times, not only on suspicion
	Active  Active        // of redundant pairs, where both answer and one is in charge
}

// Active tells the one of a redundant pair that is in charge by a tag that both have. The zero value is no such tag: whoever answers will do.
type Active struct {
	Tag   string  // TagSpec.Name, or what of it stands behind the device's name
	Value float64 // that the tag has at the one in charge; true is 1
}

// maxRoutes is how many addresses a device may have.
const maxRoutes = 8

func (r Routing) withDefaults() Routing {
	if r.Stay == 0 {
		r.Stay = time.Minute
	}
	if r.Probes == 0 {
		r.Probes = 5
	}
	if r.Every == 0 {
		r.Every = 5 * time.Second
	}
	return r
}

// CheckRoutes says what is wrong with the further addresses of the device.
func (s *Spec) CheckRoutes() error {
	r := s.Routing
	switch {
	case len(s.Routes) >= maxRoutes:
		return fmt.Errorf("a device may have %d addresses, not %d", maxRoutes, len(s.Routes)+1)
	case r.Stay < 0 || r.Every < 0:
		return errors.New("how long a device stays on an address and how often it probes must not be below 0")
	case r.Every != 0 && r.Every < minInterval:
		return fmt.Errorf("addresses may be probed every %v at most, not every %v", minInterval, r.Every)
	}
	all := s.addresses()
	for i, a := range all {
		for _, b := range all[:i] {
			if sameAddr(a.Addr, b.Addr) {
				return fmt.Errorf("the address %v is there twice", a.Addr)
			}
		}
	}
	if r.Active.Tag != "" && s.activeTag() == nil {
		return fmt.Errorf("there is no tag %q to tell which address is active", r.Active.Tag)
	}
	return nil
}

// addresses returns all addresses of the device, the first one first.
func (s *Spec) addresses() []Route {
	return append([]Route{{Addr: s.Addr, Name: s.RouteName}}, s.Routes...)
}

// activeTag returns the tag that tells who is in charge, nil when there is none.
func (s *Spec) activeTag() *TagSpec {
	for g := range s.Groups {
		for t := range s.Groups[g].Tags {
			tag := &s.Groups[g].Tags[t]
			if n := s.Routing.Active.Tag; n != "" && (tag.Name == n || tag.Name == s.Name+"/"+n) {
				return tag
			}
		}
	}
	return nil
}

// choice is which of its addresses a device is at, and which are left to try. It is the machine's.
type choice struct {
	routes int  // how many there are; 0 is one
	at     int  // the one in use
	pinned bool // it stays there, whatever happens
	moved  bool // by the Step that was
	tried  uint // bit i: address i failed since the device was read last, or down last
	count  int  // timeouts in a row on the address that was left
	until  time.Time
}

// fail notes that the address in use has failed, and that it may not be dialled before until. It returns the next one to try, -1 when there is none.
func (c *choice) fail(until time.Time) int {
	if c.routes < 2 || c.pinned {
		return -1
	}
	c.tried |= 1 << c.at
	if !until.IsZero() && (c.until.IsZero() || until.Before(c.until)) {
		c.until = until
	}
	for i := range c.routes {
		if c.tried&(1<<i) == 0 {
			return i
		}
	}
	return -1
}

// spare says whether there is an address that was not tried since the device was read last.
func (c *choice) spare() bool {
	return c.routes > 1 && !c.pinned && bits.OnesCount(c.tried|1<<c.at) < c.routes
}

// begin forgets what was tried.
func (c *choice) begin() { c.tried, c.until = 0, time.Time{} }

// giveUp leaves an address that failed for one that was not tried since the device was read last. When there is none the device is down.
func (m *machine) giveUp(ev event) {
	if next := m.choice.fail(ev.until); next >= 0 {
		m.becomeRouted(ev, next)
		return
	}
	m.becomeCooling(ev)
}

// again is the end of Cooling: all addresses are tried anew, the first one first.
func (m *machine) again(ev event) {
	m.choice.begin()
	if m.choice.at != 0 && !m.choice.pinned {
		m.becomeRouted(ev, 0)
		return
	}
	m.becomeOpening(ev)
}

// reroute is a change of address that does not come from a failure.
func (m *machine) reroute(ev event) {
	m.choice.pinned = ev.pin
	switch {
	case ev.route == m.choice.at:
	case m.state == Idle || m.state == OutOfService:
		m.leaveFor(ev.route)
	default:
		m.choice.begin()
		m.becomeRouted(ev, ev.route)
	}
}

// becomeRouted opens a session on another address. What failed on the one before is not charged to it; but when something failed its first read decides.
func (m *machine) becomeRouted(ev event, route int) {
	held := m.state.connected()
	m.become(Opening, ev)
	if held {
		m.do(actClose, time.Time{})
	}
	m.leaveFor(route)
	m.do(actOpen, time.Time{})
}

func (m *machine) leaveFor(route int) {
	m.choice.moved, m.choice.count = true, m.breaker.Count()
	m.breaker.Reset()
	m.retries.Reset()
	m.choice.at = route
	m.actions = append(m.actions, action{kind: actRoute, route: route})
}

// coolUntil returns when a device that is down may be tried again: where one of several addresses may be dialled before, that is soon enough.
func (m *machine) coolUntil(ev event) time.Time {
	if ev.until.IsZero() {
		own := ev.at.Add(m.backoff.Next(m.rand))
		if own.Before(m.choice.until) {
			return m.choice.until
		}
		return own
	}
	if u := m.choice.until; !u.IsZero() && u.Before(ev.until) {
		return u
	}
	return ev.until
}
