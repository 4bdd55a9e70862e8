package device

import (
	"slices"
	"time"

	"millrace/internal/tag"
)

// Evidence is what was noticed of a device that is not as it should be, or tells why. It is a copy: the caller keeps it.
type Evidence struct {
	Faults     []Fault     // by when they were there last, the newest first
	Happenings []Happening // changes of state and what the gateway did by itself, the newest first
	RTT        RTTPicture  // of requests
	TCP        TCPSample   // of its connection
	Moved      Movement    // of its values
}

// Happening is an Event as it is remembered.
type Happening struct {
	At       time.Time
	Act      string // "" for a change of state
	From, To State
	Reason   string
}

// mostHappenings are remembered of a device.
const mostHappenings = 12

// notes is what is remembered of a device that had trouble. It is made with the first of it, so that one that is well costs nothing.
type notes struct {
	faults     []Fault // by kind
	happenings []Happening
}

// fault notes that err happened to u at now, when it is a fault. The caller holds u.mu.
func (u *unit) fault(err error, dialling bool, now time.Time) {
	if k, is := FaultOf(err, dialling); is {
		u.noted().fault(k, err, now)
	}
}

func (u *unit) noted() *notes {
	if u.notes == nil {
		u.notes = &notes{}
	}
	return u.notes
}

func (n *notes) fault(k FaultKind, err error, now time.Time) {
	i, ok := slices.BinarySearchFunc(n.faults, k, func(f Fault, k FaultKind) int { return int(f.Kind) - int(k) })
	if !ok {
		n.faults = slices.Insert(n.faults, i, Fault{Kind: k, First: now})
	}
	f := &n.faults[i]
	if now.Sub(f.Last) >= faultPause {
		f.Count, f.First = 0, now
	}
	f.Count++
	f.Total++
	f.Last, f.Err = now, err
}

// happened remembers c. That a device is connected and read at first is no news. The caller holds u.mu.
func (u *unit) happened(c Happening) {
	if u.notes == nil && c.Act == "" && (c.From == Idle || c.From == Opening && c.To == Ready) {
		return
	}
	n := u.noted()
	if len(n.happenings) == mostHappenings {
		n.happenings = slices.Delete(n.happenings, 0, 1)
	}
	n.happenings = append(n.happenings, c)
}

// remember takes over what was noticed of u's predecessor. u does not run yet.
func (u *unit) remember(old *unit) {
	old.mu.Lock()
	defer old.mu.Unlock()
	if old.notes != nil {
		u.notes = &notes{slices.Clone(old.notes.faults), slices.Clone(old.notes.happenings)}
	}
	u.life.asked, u.life.askedWhy = old.life.asked, old.life.askedWhy
	if sameAddr(u.spec.Addr, old.spec.Addr) {
		u.rtts = old.rtts
	}
}

// Evidence returns what is known of a device by name, and whether there is one.
func (r *Runtime) Evidence(name string) (Evidence, bool) {
	u := r.unit(name)
	if u == nil {
		return Evidence{}, false
	}
	ev := Evidence{Moved: u.table.movement(r.clock.look(time.Now()))}
	u.mu.Lock()
	defer u.mu.Unlock()
	ev.RTT, ev.TCP = u.rtts.picture(), u.link.read()
	if u.notes != nil {
		ev.Faults, ev.Happenings = slices.Clone(u.notes.faults), slices.Clone(u.notes.happenings)
		slices.SortStableFunc(ev.Faults, func(a, b Fault) int { return b.Last.Compare(a.Last) })
		slices.Reverse(ev.Happenings)
	}
	return ev, true
}

// Told returns the value of a tag that consumers know: the one that passed its deadband last. It says whether there is one.
func (r *Runtime) Told(id tag.ID) (tag.Value, bool) {
	r.mu.RLock()
	u := r.byTag[id]
	r.mu.RUnlock()
	if u == nil {
		return tag.Value{}, false
	}
	return u.table.toldOf(id)
}

func (t *table) toldOf(id tag.ID) (tag.Value, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	i := t.index(id, 0)
	if i < 0 || !t.cells[i].passed.any {
		return tag.Value{}, false
	}
	c := &t.cells[i]
	return tag.Value{Kind: c.passed.kind, Bits: c.passed.bits, Aux: slices.Clone(c.told())}, true
}

// Movement says how a device's values change. A CPU in STOP answers, and its values stand still.
type Movement struct {
	Changes     uint64 // turns that brought a value other than the one before
	First, Last time.Time
}

// moved counts a turn that brought something new. The caller holds mu.
func (t *table) moved(at int64) {
	if t.changes++; t.changes == 1 {
		t.firstChange = at
	}
	t.lastChange = at
}

func (t *table) movement(wall int64) Movement {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.changes == 0 {
		return Movement{}
	}
	by := wall - t.wall
	return Movement{Changes: t.changes, First: time.Unix(0, t.firstChange+by), Last: time.Unix(0, t.lastChange+by)}
}
