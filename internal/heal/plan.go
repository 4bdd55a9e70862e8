package heal

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// plan is what a rule would do for one subject.
type plan struct {
	devices []string
	left    int // devices beyond the limit
	steps   [][]Step
}

// route returns the address that a means for a device that is on one of so many.
func (a *Action) route(now, routes int) (int, error) {
	if a.Route == "next" {
		return (now + 1) % max(routes, 1), nil
	}
	n, err := strconv.Atoi(a.Route)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("route %q is neither next nor the number of an address, 0 the first", a.Route)
	}
	return n, nil
}

// plan works out the steps of a run that begins now. room is how many devices it may touch.
func (p *Policy) plan(s scope, subject string, room int, busy func(string) bool) plan {
	var pl plan
	pl.devices, pl.left = p.targets(s, room, busy)
	for i := range p.Do {
		a := &p.Do[i]
		if !a.onDevice() {
			pl.steps = append(pl.steps, []Step{p.single(a, s, subject, pl.devices)})
			continue
		}
		var steps []Step
		for _, name := range pl.devices {
			steps = append(steps, p.step(a, s.w.Device(name), subject))
		}
		pl.steps = append(pl.steps, steps)
	}
	return pl
}

// targets returns the devices that a run is for: the subject, or those of it that Which picks, the slowest first, as many as there is room for.
func (p *Policy) targets(s scope, room int, busy func(string) bool) (names []string, left int) {
	if s.device != nil {
		return []string{s.device.Name}, 0
	}
	if !slices.ContainsFunc(p.Do, Action.onDevice) {
		return nil, 0
	}
	of := s.w.all
	if s.region != nil {
		of = s.region // so that all regions together are one walk
	}
	if p.which != nil && p.which.Walks() && len(of.members)*len(s.w.Devices) > maxVisits {
		return nil, 0
	}
	var picked []*Device
	for _, i := range of.members {
		d := &s.w.Devices[i]
		if d.OutOfService || !p.matches(d.Name) || busy(d.Name) {
			continue
		}
		if p.which != nil {
			if ok, err := p.which.Eval(scope{s.n, s.w, d, s.w.regions[d.Region]}); err != nil || !ok {
				continue
			}
		}
		picked = append(picked, d)
	}
	slices.SortStableFunc(picked, func(a, b *Device) int { return cmp.Compare(b.RTT, a.RTT) })
	for i, d := range picked {
		if i >= room {
			return names, len(picked) - i
		}
		names = append(names, d.Name)
	}
	return names, 0
}

// step is a done to d. Where there is nothing to do, Note says why.
func (p *Policy) step(a *Action, d *Device, subject string) Step {
	s := Step{Action: a.String(), Device: d.Name, do: Do{Type: a.Type, Device: d.Name, Reason: "healing: rule " + p.Name}}
	if subject != d.Name {
		s.do.Reason += " for " + subject
	}
	switch a.Type {
	case Reroute:
		s.do.Route, _ = a.route(d.Route, d.Routes)
		s.Action = fmt.Sprintf("reroute from address %d to %d", d.Route, s.do.Route)
		switch {
		case d.Routes < 2:
			s.Note = "it has one address only"
		case s.do.Route >= d.Routes:
			s.Note = fmt.Sprintf("it has no address %d", s.do.Route)
		case s.do.Route == d.Route:
			s.Note = "it is there already"
		}
	case Stretch:
		if s.do.Factor = a.Factor; d.Stretch >= a.Factor {
			s.Note = fmt.Sprintf("its intervals are stretched by %g already", d.Stretch)
		}
	case Degrade:
		if s.do.On = true; d.Degraded {
			s.Note = "it is degraded already"
		}
	case Standby:
		switch {
		case d.Standby:
			s.Note = "its standby session is open already"
		case d.Routes < 2:
			s.Note = "it has one address only"
		}
	case OutOfService:
		if s.do.On = true; d.OutOfService {
			s.Note = "it is out of service already"
		}
	}
	return s
}

// single is a done once, whatever the devices are.
func (p *Policy) single(a *Action, s scope, subject string, devices []string) Step {
	fill := p.filler(s, subject, devices)
	st := Step{do: Do{Type: a.Type, Reason: "healing: rule " + p.Name + " for " + subject}}
	if s.device != nil {
		st.Device, st.do.Device = s.device.Name, s.device.Name
	}
	shown := *a
	if a.Type == Notify {
		shown.Text = fill.Replace(a.Text)
		st.do.Text = shown.Text
		st.Action = shown.String()
		return st
	}
	shown.Argv = slices.Clone(a.Argv)
	for i := range shown.Argv {
		shown.Argv[i] = fill.Replace(shown.Argv[i])
	}
	st.do.Argv, st.do.Timeout, st.do.Env = shown.Argv, a.Timeout, p.environment(s, subject, devices)
	st.Action = shown.String()
	return st
}

// filler puts values in place of {rule}, {subject}, {device}, {address}, {region} and {devices} in texts and arguments.
func (p *Policy) filler(s scope, subject string, devices []string) *strings.Replacer {
	device, address, region := "", "", ""
	if s.device != nil {
		device, address, region = s.device.Name, s.device.Address, s.device.Region
	} else if s.region != nil {
		region = s.region.Name
	}
	return strings.NewReplacer("{rule}", p.Name, "{subject}", subject, "{device}", device, "{address}", address, "{region}", region, "{devices}", strings.Join(devices, ","))
}

// environment is what a program finds in its environment beside what the gateway's own has.
func (p *Policy) environment(s scope, subject string, devices []string) []string {
	f := p.filler(s, subject, devices)
	return []string{"MILLRACE_RULE=" + p.Name, "MILLRACE_SUBJECT=" + subject, f.Replace("MILLRACE_DEVICE={device}"), f.Replace("MILLRACE_ADDRESS={address}"),
		f.Replace("MILLRACE_REGION={region}"), f.Replace("MILLRACE_DEVICES={devices}")}
}

// empty says whether nothing of pl is to be done.
func (pl *plan) empty() bool {
	for _, steps := range pl.steps {
		if slices.ContainsFunc(steps, func(s Step) bool { return s.Note == "" }) {
			return false
		}
	}
	return true
}

// why says of what is to be left out why, when nothing is left.
func (pl *plan) why() string {
	for _, steps := range pl.steps {
		for _, s := range steps {
			if s.Note != "" {
				return fmt.Sprintf("there is nothing to do: %s: %s", s.Action, s.Note)
			}
		}
	}
	return "there is nothing to do: no device is meant"
}

// undo returns the steps that put the devices of r back to what it found, newest first. survived leaves out what a restart of the gateway has undone.
func (r *Record) undo(w *World, survived bool) []Step {
	var out []Step
	did := map[[2]string]bool{}
	for _, s := range slices.Backward(r.Steps) {
		key := [2]string{s.kind(), s.Device}
		before, ok := r.before(s.Device)
		if s.Undo || s.Note != "" || s.Error != "" || s.Taken != 0 || did[key] || !ok || survived && !outlives(s) || w.Device(s.Device) == nil {
			continue
		}
		did[key] = true
		u := Step{Device: s.Device, Undo: true, do: Do{Type: s.kind(), Device: s.Device, Undo: true, Reason: "healing: what rule " + r.Rule + " did is undone"}}
		switch s.kind() {
		case Reroute:
			u.do.Route, u.Action = before.Route, fmt.Sprintf("back to address %d", before.Route)
			if !before.Pinned { // it is told to go there, and then that it may go where it likes
				out = append(out, u)
				u.do.Route, u.Action = -1, "its own rules choose the address again"
			}
		case Stretch:
			u.do.Factor = max(before.Stretch, 1)
			u.Action = fmt.Sprintf("intervals back to %g times what is configured", u.do.Factor)
		case Degrade:
			u.do.On, u.Action = before.Degraded, "back to full requests"
		case OutOfService:
			u.do.On, u.Action = before.OutOfService, "back in service"
		default:
			continue // a connection, a subscription or a message cannot be taken back, and needs not
		}
		out = append(out, u)
	}
	return out
}

// outlives says whether what s did is still there when the gateway has ended.
func outlives(s Step) bool { return s.kind() == OutOfService && s.undoable() }

// kind returns the Type of the action. A step that was read from the disk has its words only.
func (s *Step) kind() string {
	if s.do.Type != "" {
		return s.do.Type
	}
	word, _, _ := strings.Cut(s.Action, " ")
	return word
}

// changedSince says whether something else has changed what r set of a device, so that undoing it would undo that.
func (s *Step) changedSince(d Topology) bool {
	switch s.do.Type {
	case Stretch:
		return d.Stretch != s.do.Factor
	case Reroute:
		return d.Route != s.do.Route
	}
	return false
}
