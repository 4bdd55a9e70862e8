package device

import (
	"fmt"
	"slices"
	"time"

	"millrace/internal/resilience"
)

// RouteStatus is one address of a device at this moment.
type RouteStatus struct {
	Addr  string // as a URL
	Name  string
	State string        // "in use"; "standby": a session is open and answers; "trying": it is asked, and does not answer yet, or gives no value; "failed": it was left for a failure; "idle"
	Cause string        // what failed there last, in words, "" when nothing did or it answers again
	Since time.Time     // of the state, as far as it is known
	RTT   time.Duration // smoothed, 0 when unknown
}

// The states of a route.
const (
	RouteInUse   = "in use"
	RouteStandby = "standby"
	RouteTrying  = "trying"
	RouteFailed  = "failed"
	RouteIdle    = "idle"
)

// RouteError is a route that cannot be taken.
type RouteError struct {
	Device string
	Route  int
	Why    string
}

func (e *RouteError) Error() string {
	return fmt.Sprintf("device: route %d of %s: %s", e.Route, e.Device, e.Why)
}

// Retryable reports that asking again does not help.
func (e *RouteError) Retryable() bool { return false }

// UseRoute has a device use one of its addresses from now on, whether it answers there or not: 0 is Spec.Addr, 1 the first of Spec.Routes. It stays there until it is told
// otherwise or its configuration changes. -1 leaves it to its own rules again. An unknown name is an *UnknownError, a route that it does not have a *RouteError.
func (r *Runtime) UseRoute(device string, route int, reason string) error {
	u, err := r.routed(device, route)
	if err != nil || len(u.lanes) == 0 {
		return err
	}
	r.mail.call(func(s *shard) {
		ev := event{kind: evRoute, at: time.Now(), route: route, pin: true, why: reason}
		if route < 0 {
			ev.route, ev.pin = u.machine.choice.at, false
		}
		was := u.machine.choice
		s.post(u, ev, nil)
		s.stepAll()
		s.tend(u)
		s.pinned(u, was, reason, ev.at)
	})
	return nil
}

// pinned tells of a UseRoute that changed who decides, and not the address.
func (s *shard) pinned(u *unit, was choice, reason string, now time.Time) {
	is := u.machine.choice
	u.mu.Lock()
	u.life.pinned = is.pinned
	u.alter()
	u.mu.Unlock()
	switch {
	case was.pinned == is.pinned || was.at != is.at:
	case is.pinned:
		s.note(u, "route", fmt.Sprintf("stays on %v: %s", u.lanes[is.at].route, reason), now)
	default:
		s.note(u, "route", "chooses its address by itself again: "+reason, now)
	}
}

// OpenStandby has a session of a device be kept on another of its addresses, so that a change costs no handshake: on the one that it would go to. It is let go after the
// stay of its Routing without the device having gone there. Nothing happens when all slots of that address are taken. An unknown name is an *UnknownError, a device with one
// address a *RouteError.
func (r *Runtime) OpenStandby(device, reason string) error {
	u, err := r.routed(device, 0)
	if err != nil {
		return err
	}
	if len(u.lanes) < 2 {
		return &RouteError{device, 1, "it has one address only"}
	}
	r.mail.call(func(s *shard) { s.wantStandby(u, reason, time.Now()) })
	return nil
}

func (r *Runtime) routed(device string, route int) (*unit, error) {
	u := r.unit(device)
	switch {
	case u == nil:
		return nil, &UnknownError{Name: device}
	case route < -1 || route >= max(len(u.lanes), 1):
		return nil, &RouteError{device, route, fmt.Sprintf("it has %d", max(len(u.lanes), 1))}
	}
	return u, nil
}

// wantStandby has a scout sent to the address that u would go to next.
func (s *shard) wantStandby(u *unit, reason string, now time.Time) {
	if len(u.lanes) == 0 || u.machine.state >= OutOfService {
		return
	}
	l := &u.lanes[u.spare()]
	if l.wanted == "" && l.scout == nil {
		s.rt.counters.standbys.Add(1)
		s.note(u, "standby", fmt.Sprintf("opens a standby on %v: %s", l.route, reason), now)
	}
	l.wanted = reason
	s.tend(u)
	s.timers.arm(&u.standby, now.Add(u.spec.Routing.Stay))
}

// standbyEnd is when a standby has been kept for long enough.
type standbyEnd struct{ unit *unit }

func (e standbyEnd) fire(s *shard, now time.Time) {
	u := e.unit
	if u.sign != resilience.NoSign && u.machine.state.connected() && !u.machine.choice.pinned {
		s.timers.arm(&u.standby, now.Add(u.spec.Routing.Stay)) // it is still needed
		return
	}
	for i := range u.lanes {
		u.lanes[i].wanted = ""
	}
	s.tend(u)
}

// routes appends what others see of u's addresses. The caller holds u.mu.
func (u *unit) routes(out []RouteStatus) []RouteStatus {
	if len(u.lanes) == 0 {
		return append(out, RouteStatus{Addr: u.spec.Addr.String(), Name: u.spec.RouteName, State: RouteInUse, Since: u.life.since, RTT: u.rto.SRTT()})
	}
	for i := range u.lanes {
		l := &u.lanes[i]
		r := RouteStatus{Addr: l.route.Addr.String(), Name: l.route.Name, State: RouteIdle, Since: l.since, RTT: l.rto.SRTT(), Cause: l.cause}
		switch {
		case i == u.life.route:
			r.State, r.RTT, r.Cause, r.Since = RouteInUse, u.rto.SRTT(), "", u.life.routeSince
		case l.shown != nil:
			l.shown.show(&r)
		case l.cause != "":
			r.State = RouteFailed
		}
		out = append(out, r)
	}
	return out
}

// show fills in what a scout knows of its address.
func (u *unit) show(r *RouteStatus) {
	u.mu.Lock()
	defer u.mu.Unlock()
	r.Since = u.life.since
	switch s := u.life.state; {
	case s.polled() && u.life.barren:
		r.State, r.Cause = RouteTrying, "it answers, and has no value of what it is asked: another device, or one without its program"
	case s.polled():
		r.State, r.Cause, r.RTT = RouteStandby, "", u.rto.SRTT()
	case s == Cooling:
		r.State, r.Cause = RouteFailed, u.life.reason
	default:
		r.State = RouteTrying
	}
}

// standing says whether a session stands by on another address.
func standing(routes []RouteStatus) bool {
	return slices.ContainsFunc(routes, func(r RouteStatus) bool { return r.State == RouteStandby })
}
