package heal

import (
	"fmt"
	"slices"
)

// takeOver has r, which is kept from now on, undo also what kept runs did before it to the same parts of its devices, and returns those runs. Each alone
// would find that something else has changed the device, and the last would put back what the one before it had done.
func (e *Engine) takeOver(r *run) []*run {
	var older []*run
	for _, k := range e.runs {
		if k != r && k.phase == kept && !k.resumed && r.takeFrom(k) {
			older = append(older, k)
		}
	}
	return older
}

// takeFrom takes what k did that r did too, and says whether there was anything.
func (r *run) takeFrom(k *run) bool {
	took := false
	for i := range k.Steps {
		s := &k.Steps[i]
		at := slices.IndexFunc(r.Before, func(b Evidence) bool { return b.Device == s.Device })
		if at < 0 || !s.undoable() || !slices.ContainsFunc(r.Steps, func(o Step) bool { return o.undoable() && o.kind() == s.kind() && o.Device == s.Device }) {
			continue
		}
		// What somebody has changed between the two is theirs: r goes back to that.
		if was, ok := k.before(s.Device); ok && !s.changedSince(r.Before[at].Topology) {
			r.Before[at].put(s.kind(), was)
		}
		s.Taken, took = r.ID, true
	}
	return took
}

// undoable says whether s was done and can be put back.
func (s *Step) undoable() bool {
	return !s.Undo && s.Note == "" && s.Error == "" && s.Taken == 0 && slices.Contains([]string{Reroute, Stretch, Degrade, OutOfService}, s.kind())
}

// put sets the part of t that an action of such a kind changes to what it was.
func (t *Topology) put(kind string, was Topology) {
	switch kind {
	case Reroute:
		t.Route, t.Pinned = was.Route, was.Pinned
	case Stretch:
		t.Stretch = was.Stretch
	case Degrade:
		t.Degraded = was.Degraded
	case OutOfService:
		t.OutOfService = was.OutOfService
	}
}

// supersede notes that by undoes what k did, and ends k when by undoes all of it.
func (k *run) supersede(by *run, w *World, out *Out) {
	if !slices.ContainsFunc(k.Steps, func(s Step) bool { return s.undoable() }) {
		k.phase, k.Undone = over, w.Now
		k.Reason += fmt.Sprintf("; run %d goes on from there, and undoes both", by.ID)
	}
	out.Save = append(out.Save, k.snapshot())
}
