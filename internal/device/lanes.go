package device

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"millrace/internal/resilience"
)

// lane is one of the addresses of a unit that has several.
type lane struct {
	route Route
	key   string // of its endpoint

	// Owned by the shard.
	endpoint *endpoint // held for as long as the unit is there: what is known of its dials outlives the stay
	scout    *unit     // asks the device there while the unit is elsewhere, nil when nobody does
	wanted   string    // why a standby was asked for, "" when it was not

	// Under unit.mu.
	rto   resilience.RTO // as the unit left it
	trips resilience.Predictor
	shown *unit     // scout, for others to see
	since time.Time // when it was left
	cause string    // why it was left, "" when it was not for a failure
}

// makeLanes gives u its addresses, when it has more than one. What cannot be planned for one of them is an error.
func (u *unit) makeLanes() error {
	if len(u.spec.Routes) == 0 {
		return nil
	}
	var errs []error
	for _, r := range u.spec.addresses() {
		l := lane{route: r, key: u.spec.Driver + " " + u.driver.Endpoint(r.Addr), rto: resilience.NewRTO(u.spec.Profile.Floor, u.spec.Profile.Ceiling)}
		u.lanes = append(u.lanes, l)
		for _, g := range u.groups {
			if len(u.lanes) == 1 {
				continue // planned already
			}
			if _, err := u.driver.Compile(r.Addr, u.table.inService(g.spec.Tags), u.limits); err != nil {
				errs = append(errs, fmt.Errorf("device %s: over %v: group %s: %w", u.spec.Name, r, g.spec.Name, err))
			}
		}
	}
	u.machine.choice.routes = len(u.lanes)
	u.life.routeSince = u.life.since
	u.watch = timer{owner: watch{u}, order: uint64(u.spec.Number)<<16 | 1<<15 | 1}
	u.standby = timer{owner: standbyEnd{u}, order: uint64(u.spec.Number)<<16 | 1<<15}
	if t := u.spec.activeTag(); t != nil {
		u.active = t
	}
	return errors.Join(errs...)
}

// follow has a successor be where its predecessor is, nil without one, when that is one of its addresses too. A predecessor that is on the way is where it goes.
func (u *unit) follow(was *unit) {
	if was == nil || len(u.lanes) == 0 || len(was.lanes) == 0 {
		return
	}
	at := was.lanes[was.machine.choice.at].route.Addr
	n := slices.IndexFunc(u.lanes, func(l lane) bool { return sameAddr(l.route.Addr, at) })
	if n <= 0 {
		return
	}
	u.machine.choice.at, u.target = n, n
	u.addr, u.arrived = at, time.Now()
	u.mu.Lock()
	u.key, u.life.route = u.lanes[n].key, n
	u.alter()
	u.mu.Unlock()
	for _, g := range u.groups {
		g.plan, g.planned = nil, 0
	}
}

// hold gives u's addresses their endpoints, which stay until release.
func (s *shard) hold(u *unit) {
	for i := range u.lanes {
		l := &u.lanes[i]
		l.endpoint = s.endpoint(u, l.key)
		l.endpoint.holders++
	}
}

// release is the end of hold. What is idle then is let go at the end of the shard's round.
func (s *shard) release(u *unit) {
	for i := range u.lanes {
		e := u.lanes[i].endpoint
		e.holders--
		s.reapLater(e)
	}
}

// endpoint returns the endpoint of that key, made when there is none.
func (s *shard) endpoint(u *unit, key string) *endpoint {
	if e := s.endpoints[key]; e != nil {
		return e
	}
	return s.newEndpoint(u, key)
}

// takeRoute has u be at its address n from now on. When a job of u runs that is at its end: until then what it touches is the job's.
func (s *shard) takeRoute(u *unit, n int, now time.Time) {
	e := u.endpoint
	u.target, u.waiting = n, false
	if !e.busy || e.job.unit != u {
		s.move(u, now)
		return
	}
	u.moving = true
	s.forgoDial(e)
	if e.job.kind == jobRead && (u.sign == resilience.Silence || !u.machine.failing.IsZero()) {
		s.interrupt(e) // nobody answers it
	}
}

// move is u leaving its endpoint for that of its target. Values, schedule and limits go with it; plans are made anew, since they hold for an address.
func (s *shard) move(u *unit, now time.Time) {
	from, l := u.endpoint, &u.lanes[u.target]
	to := l.endpoint
	u.moving, u.endpoint, u.addr = false, to, l.route.Addr
	if from != to {
		from.units = slices.DeleteFunc(from.units, func(o *unit) bool { return o == u })
		to.units = append(to.units, u)
		for _, j := range from.takeJobs(u) {
			to.push(j)
		}
		u.mu.Lock()
		u.life.load, u.life.loadWhy = 0, "" // which are of the endpoint that it leaves
		u.alter()
		u.mu.Unlock()
		s.forgoDial(from)
		from.settle()
		to.settle()
	}
	u.session, u.lastOK, u.arrived = 0, time.Time{}, now
	u.passive, u.sign = 0, resilience.NoSign
	u.swapRoute(u.target, now, s.rt.age(now))
	u.forgive()
	for _, g := range u.groups {
		g.plan, g.planned = nil, 0
	}
	s.rt.counters.switches.Add(1)
	s.reapLater(from)
	s.tend(u)
	s.next(from, now)
}

// swapRoute keeps what was learned of the round trips over the address that is left, and goes on with that of the other one.
func (u *unit) swapRoute(n int, now time.Time, age time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	was, is := &u.lanes[u.life.route], &u.lanes[n]
	was.trips, u.predictor = u.predictor, is.trips
	u.predictor.Wait(age)
	was.rto, was.since, was.cause = u.rto, now, u.leftFor
	u.key, u.rto, is.cause = is.key, is.rto, ""
	u.link, u.count = &is.endpoint.link, &is.endpoint.count
	u.life.route, u.life.routeSince = n, now
	u.life.switches++
	u.life.suspicion = ""
	u.alter()
}

// moved ends a move that waited for a job of u.
func (s *shard) moved(u *unit, now time.Time) {
	switch state := u.machine.state; {
	case state >= Draining:
		u.moving = false
		return
	case state == Opening:
		s.move(u, now)
		s.want(u, now)
	default:
		s.move(u, now)
	}
	s.next(u.endpoint, now)
}

// takeJobs takes u's jobs out of the queue, but for the turns and dials that have not begun: they are asked for anew.
func (e *endpoint) takeJobs(u *unit) []job {
	e.flush(u)
	var out []job
	e.queue = slices.DeleteFunc(e.queue, func(j job) bool {
		if j.kind == jobMark && j.unit == u {
			out = append(out, j)
			return true
		}
		return false
	})
	return out
}

// routeReason says why u is at another address than before.
func (u *unit) routeReason(ev event) string {
	to := u.lanes[u.machine.choice.at].route
	u.leftFor = ""
	if ev.kind == evRoute {
		return fmt.Sprintf("takes %v: %s", to, ev.why)
	}
	u.leftFor = u.whyLeft()
	return fmt.Sprintf("takes %v: %s", to, u.leftFor)
}

// whyLeft says what failed on the address that was left.
func (u *unit) whyLeft() string {
	if c := &u.machine.choice; timedOut(u.cause) && c.count > 0 {
		return u.saysNothing(c.count)
	}
	return plain(u.cause)
}
