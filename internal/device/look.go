package device

import (
	"iter"
	"sync"
	"time"
)

// Devices goes through all devices by name. The Status is filled anew for each of them: it, its Groups and its Routes are valid until the next one.
func (r *Runtime) Devices() iter.Seq[*Status] {
	return func(yield func(*Status) bool) {
		var s Status
		now := time.Now()
		for _, u := range r.all() {
			u.status(&s, r, now)
			if !yield(&s) {
				return
			}
		}
	}
}

// all returns all units by name. Nobody changes it: it is replaced.
func (r *Runtime) all() []*unit {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.sorted
}

// Device returns one device by name, and whether there is one.
func (r *Runtime) Device(name string) (s Status, ok bool) {
	u := r.unit(name)
	if u == nil {
		return s, false
	}
	u.status(&s, r, time.Now())
	return s, true
}

// Altered calls visit for each device of which a fact changed after number since, with its place in the order of names, and returns the number to ask with next. A fact is all of a Status that a
// person must hear of: the state and why, since when, outages, addresses in use, what is degraded, stretched, paused or refused. Round trips, loads, lags and counts are none, as they move with
// each read: a device that is read on time is not visited, and costs a few nanoseconds. also, when it is not nil, names further places to visit.
//
// all says that devices came, went or were configured anew meanwhile, or that since is 0: then every device is visited. A change that happens during the call may come now and again the next time;
// none is lost. The Status is valid until visit returns.
func (r *Runtime) Altered(since uint64, also func(place int) bool, visit func(place int, s *Status)) (number uint64, all bool) {
	units, number, listed := r.listed()
	if all = since < listed; !all && also == nil && since == number {
		return number, false
	}
	var s *Status // made when the first is visited: as a rule none is
	now := time.Now()
	for i, u := range units {
		if !all && u.altered.Load() <= since && (also == nil || !also(i)) {
			continue
		}
		if s == nil {
			s = new(Status)
		}
		u.status(s, r, now)
		visit(i, s)
	}
	return number, all
}

// listed returns all units by name, the number of the last change of a fact, and that of the last change of the list.
func (r *Runtime) listed() (units []*unit, number, list uint64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	r.facts.mu.Lock()
	defer r.facts.mu.Unlock()
	return r.sorted, r.facts.number, r.facts.list
}

// facts numbers the changes of facts of all devices.
type facts struct {
	mu     sync.Mutex // innermost of all; held for two instructions
	number uint64
	list   uint64 // of the last change of which devices there are
}

// alter notes that a fact of u has changed; of a scout, which is a part of another device, one of that. Who calls it holds u.mu since before the change: whoever then finds the number finds the
// change too.
func (u *unit) alter() {
	if u.scout.of != nil {
		u = u.scout.of
	}
	f := u.facts
	f.mu.Lock()
	f.number++
	u.altered.Store(f.number) // in here, so that who has read a number finds all of those before it stored
	f.mu.Unlock()
}

// relisted notes that the list of devices is another one. The caller holds Runtime.mu.
func (f *facts) relisted() {
	f.mu.Lock()
	f.number++
	f.list = f.number
	f.mu.Unlock()
}

// States counts the devices by State. Those whose switch is on count as out, whatever their state still is.
func (r *Runtime) States() (by [states]int, out int) {
	for _, u := range r.all() {
		u.mu.Lock()
		if u.life.outOfService {
			out++
		} else {
			by[u.life.state]++
		}
		u.mu.Unlock()
	}
	return by, out
}
