package device

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"millrace/internal/tag"
)

// Change says what an Apply did, by the names of devices.
type Change struct {
	Added, Changed, Removed []string
	Unchanged               int
}

// UnknownError reports a name that is no device and no tag.
type UnknownError struct{ Name string }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("device: there is no device or tag %q", e.Name)
}

// Apply makes specs the devices that run. It checks and compiles everything first: with an error nothing has changed. A device whose
// spec is equal, Learned apart, is not touched. One that changed is drained and its successor takes over its last values and, on the
// same endpoint, its session. Apply may be called before Run, and during it. The tags of specs are kept, not copied, and so are specs that have their defaults: they must not change. In place of a
// spec that is equal to one that runs specs has that one afterwards, with its own Learned, so that a configuration that was loaded again is in memory once.
func (r *Runtime) Apply(specs []Spec) (Change, error) {
	r.apply.Lock()
	defer r.apply.Unlock()
	next, err := r.prepare(specs)
	if err != nil {
		return Change{}, err
	}
	next.unify(specs)
	return r.commit(next), nil
}

// unify has specs lead to what runs already where that is equal.
func (p prepared) unify(specs []Spec) {
	for i := range specs {
		name := specs[i].Name
		if runs := p.specs[name]; p.fresh[name] == nil && runs != &specs[i] {
			learned := specs[i].Learned
			specs[i] = *runs
			specs[i].Learned = learned
		}
	}
}

// prepared is a set of devices that is checked and compiled.
type prepared struct {
	specs map[string]*Spec // those that run go on with theirs
	fresh map[string]*unit // new ones and successors
}

func (r *Runtime) prepare(specs []Spec) (prepared, error) {
	p := prepared{specs: make(map[string]*Spec, len(specs)), fresh: map[string]*unit{}}
	var errs []error
	seen := uniqueness{numbers: map[uint32]string{}, tags: map[tag.ID]string{}}
	for i := range specs {
		s, err := specs[i].withDefaults()
		if err == nil {
			err = seen.check(s)
		}
		if _, twice := p.specs[s.Name]; err == nil && twice {
			err = fmt.Errorf("device %s: there are two of that name", s.Name)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if old, runs := r.specs[s.Name]; runs && sameSpec(old, &s) {
			p.specs[s.Name] = old
			continue
		}
		own := &specs[i]
		if len(r.specs) > 0 || !s.hasDefaults(own) {
			filled := s
			own = &filled // of a reload, too: one device that changed would keep the specs of all of its configuration in memory
		}
		p.specs[s.Name] = own
		if p.fresh[s.Name], err = r.newUnit(own); err != nil {
			errs = append(errs, err)
		}
	}
	return p, errors.Join(errs...)
}

func (r *Runtime) newUnit(s *Spec) (*unit, error) {
	d := r.cfg.Drivers[s.Driver]
	if d == nil {
		return nil, fmt.Errorf("device %s: there is no driver %q, there are %v", s.Name, s.Driver, slices.Sorted(maps.Keys(r.cfg.Drivers)))
	}
	return newUnit(s, d, r)
}

// sameSpec says whether a and b need the same device.
func sameSpec(a, b *Spec) bool {
	return a.Name == b.Name && a.Number == b.Number && a.Driver == b.Driver && a.Profile == b.Profile && sameAddr(a.Addr, b.Addr) &&
		a.Limits.equal(b.Limits) && a.OutOfService == b.OutOfService && a.Reason == b.Reason && a.Slots == b.Slots &&
		a.RequestsPerSecond == b.RequestsPerSecond && a.PauseAfterConnect == b.PauseAfterConnect && slices.EqualFunc(a.Groups, b.Groups, sameGroup) &&
		a.Prediction == b.Prediction && a.Routing == b.Routing && maps.Equal(a.Labels, b.Labels) && a.RouteName == b.RouteName && slices.EqualFunc(a.Routes, b.Routes, sameRoute)
}

func sameRoute(a, b Route) bool { return a.Name == b.Name && sameAddr(a.Addr, b.Addr) }

func sameAddr(a, b Addr) bool {
	return a.Scheme == b.Scheme && a.Host == b.Host && a.Path == b.Path && maps.Equal(a.Options, b.Options)
}

func sameGroup(a, b Group) bool {
	return a.Name == b.Name && a.Interval == b.Interval && slices.EqualFunc(a.Tags, b.Tags, TagSpec.Equal)
}

// uniqueness holds what may be there only once in a gateway.
type uniqueness struct {
	numbers map[uint32]string
	tags    map[tag.ID]string
}

func (q uniqueness) check(s Spec) error {
	if other, taken := q.numbers[s.Number]; taken {
		return fmt.Errorf("device %s: number %d is that of %s", s.Name, s.Number, other)
	}
	q.numbers[s.Number] = s.Name
	for _, g := range s.Groups {
		for _, t := range g.Tags {
			if other, taken := q.tags[t.ID]; taken {
				return fmt.Errorf("device %s: tag %s: id %d is that of a tag of %s", s.Name, t.Name, t.ID, other)
			}
			q.tags[t.ID] = s.Name
		}
	}
	return nil
}

// commit puts p in the place of what runs. Successors start before their predecessors go, so that a shared endpoint stays open.
func (r *Runtime) commit(p prepared) Change {
	var c Change
	var gone []*unit
	units := make(map[string]*unit, len(p.specs))
	r.mu.RLock()
	for name := range p.specs {
		old, fresh := r.units[name], p.fresh[name]
		switch {
		case fresh == nil:
			units[name] = old
			c.Unchanged++
			continue
		case old == nil:
			c.Added = append(c.Added, name)
		default:
			c.Changed = append(c.Changed, name)
			gone = append(gone, old)
			fresh.table.inherit(old.table)
			fresh.remember(old)
		}
		units[name] = fresh
	}
	for name, old := range r.units {
		if units[name] == nil {
			c.Removed = append(c.Removed, name)
			gone = append(gone, old)
		}
	}
	r.mu.RUnlock()
	slices.Sort(c.Added)
	slices.Sort(c.Changed)
	slices.Sort(c.Removed)
	r.replace(p.specs, units)
	r.hire(p.fresh, gone)
	return c
}

// replace makes units the devices that callers see.
func (r *Runtime) replace(specs map[string]*Spec, units map[string]*unit) {
	n := 0
	for _, u := range units {
		n += len(u.table.tags)
	}
	byTag := make(map[tag.ID]*unit, n)
	for _, u := range units {
		for i := range u.table.tags {
			byTag[u.table.tags[i].id] = u
		}
	}
	r.specs = specs
	r.mu.Lock()
	defer r.mu.Unlock()
	r.units, r.byTag = units, byTag
	r.sortUnits()
}

// hire starts fresh in the order of their numbers and lets gone go.
func (r *Runtime) hire(fresh map[string]*unit, gone []*unit) {
	order := slices.SortedFunc(maps.Values(fresh), func(a, b *unit) int { return int(int64(a.spec.Number) - int64(b.spec.Number)) })
	before := make(map[string]*unit, len(gone))
	for _, u := range gone {
		before[u.spec.Name] = u
	}
	r.mail.call(func(s *shard) {
		now := time.Now()
		for _, u := range order {
			u.follow(before[u.spec.Name])
			s.attach(u)
		}
		for _, u := range order {
			s.settle(u.endpoint)
		}
		for _, u := range order {
			s.add(u, now)
			s.stepAll()
		}
		for _, u := range gone {
			s.remove(u, now)
		}
	})
}

// SetOutOfService takes a device, or a tag by its full name, out of service, or puts it back. It is what a reload finds in Spec and TagSpec when the
// caller keeps it. A name that is neither is an *UnknownError.
func (r *Runtime) SetOutOfService(name string, out bool, reason string) error {
	r.apply.Lock()
	defer r.apply.Unlock()
	if old, ok := r.specs[name]; ok {
		s := *old
		s.OutOfService, s.Reason = out, reason
		if !out {
			s.Reason = ""
		}
		r.specs[name] = &s
		r.setDeviceOut(r.unit(name), out, s.Reason)
		return nil
	}
	for device, s := range r.specs {
		for g := range s.Groups {
			if t := slices.IndexFunc(s.Groups[g].Tags, func(t TagSpec) bool { return t.Name == name }); t >= 0 {
				r.specs[device] = withTagOut(s, g, t, out)
				r.setTagOut(r.unit(device), g, s.Groups[g].Tags[t].ID, out)
				return nil
			}
		}
	}
	return &UnknownError{Name: name}
}

func (r *Runtime) unit(name string) *unit {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.units[name]
}

// withTagOut returns s with that tag's switch set, without touching what s shares with the caller of Apply.
func withTagOut(old *Spec, g, t int, out bool) *Spec {
	s := *old
	s.Groups = slices.Clone(s.Groups)
	s.Groups[g].Tags = slices.Clone(s.Groups[g].Tags)
	s.Groups[g].Tags[t].OutOfService = out
	return &s
}

func (r *Runtime) setDeviceOut(u *unit, out bool, reason string) {
	u.mu.Lock()
	u.life.outOfService, u.life.outReason = out, reason
	u.alter()
	u.mu.Unlock()
	r.mail.call(func(s *shard) { s.service(u, time.Now()) })
}

// setTagOut takes tag id of u's group g out, or puts it back.
func (r *Runtime) setTagOut(u *unit, g int, id tag.ID, out bool) {
	if !u.table.setOut(id, out) {
		return
	}
	u.replanLater()
	mark := job{kind: jobMark, unit: u, mark: markTagsOut}
	if !out {
		mark.group = u.groups[g]
	}
	r.mail.call(func(s *shard) {
		if u.machine.state < Draining {
			u.endpoint.push(mark)
			s.next(u.endpoint, time.Now())
		}
	})
}
