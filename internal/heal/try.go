package heal

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"millrace/internal/rule"
)

// try begins the runs of a rule that are due.
func (e *Engine) try(s *ruleState, w *World, out *Out) {
	firing := e.firing(s, w)
	if s.fault != "" && !s.told {
		s.told = true
		out.Events = append(out.Events, Event{At: w.Now, Kind: "no_answer", Rule: s.Name, Text: "its condition gives no answer for " + s.fault})
	}
	var due []string
	for _, name := range firing {
		if x := s.subject(name); w.Now.Sub(x.since) >= s.For {
			due = append(due, name)
		}
	}
	s.forget(w, firing)
	stopped := s.stopped != ""
	if !e.healthy(s, w, firing, len(due) > 0, out) {
		for _, name := range due {
			s.hold(name, "min_healthy", s.stopped)
		}
		return
	}
	if stopped {
		due = s.afresh(firing, w)
	}
	if len(due) == 0 {
		return
	}
	b := e.room(s, w)
	for _, name := range due {
		e.start(s, name, w, &b, out)
	}
}

// afresh has the condition hold for For anew, now that a storm is over: who comes back a little later than the others is coming back all the same. It returns the subjects that are due.
func (s *ruleState) afresh(firing []string, w *World) []string {
	for _, name := range firing {
		s.subject(name).since = w.Now
	}
	if s.For > 0 {
		return nil
	}
	return firing
}

// firing returns the subjects for which the condition holds, and notes since when it does.
func (e *Engine) firing(s *ruleState, w *World) []string {
	var out []string
	s.fault = ""
	a := ask(s.Policy, w)
	for name, sc := range e.scopes(s.Policy, w) {
		held, err := a.holds(sc)
		if errors.As(err, new(*tooMuchError)) {
			s.fault = name + ": " + err.Error()
			return nil // of the others it is not known whether they are well
		}
		if text := noAnswer(err); text != "" {
			s.fault = name + ": " + text
		}
		if !held {
			continue
		}
		if x := s.subject(name); x.since.IsZero() {
			x.since = w.Now
		}
		out = append(out, name)
	}
	return out
}

// noAnswer says why a condition gave no answer. What is not known now is no fault of it.
func noAnswer(err error) string {
	var missing *rule.MissingError
	var bad *rule.EvalError
	switch {
	case err == nil, errors.As(err, &missing):
		return ""
	case errors.As(err, &bad):
		return bad.Err.Error()
	}
	return err.Error()
}

// subjects returns the regions that a rule for regions is tried for, or the node.
func (e *Engine) subjects(p *Policy, w *World) []string {
	if p.Each == EachNode {
		return []string{string(EachNode)}
	}
	names := w.regionNames()
	return slices.DeleteFunc(names, func(n string) bool {
		r := w.regions[n]
		return r.Devices == 0 || !w.has(r, p.matches)
	})
}

func (e *Engine) scope(w *World, each Each, subject string) scope {
	s := scope{n: e.names, w: w}
	switch each {
	case EachRegion:
		s.region = w.regions[subject]
	case EachDevice:
		if s.device = w.Device(subject); s.device != nil {
			s.region = w.regions[s.device.Region]
		}
	}
	return s
}

func (s *ruleState) subject(name string) *subject {
	x := s.subjects[name]
	if x == nil {
		x = &subject{}
		s.subjects[name] = x
	}
	return x
}

// forget drops what need not be known of subjects for which the condition does not hold.
func (s *ruleState) forget(w *World, firing []string) {
	holds := make(map[string]bool, len(firing))
	for _, name := range firing {
		holds[name] = true
	}
	for name, x := range s.subjects {
		if holds[name] {
			continue
		}
		x.since, x.held, x.text = time.Time{}, "", ""
		if !w.Now.Before(x.coolUntil) {
			delete(s.subjects, name)
		}
	}
}

// hold notes that a subject that is due is held back.
func (s *ruleState) hold(name, by, text string) {
	x := s.subject(name)
	if x.held != by {
		s.counts.Held[by]++
	}
	x.held, x.text = by, text
}

// healthy says whether enough is well for the rule to act. One that is ill is no storm, however few there are.
func (e *Engine) healthy(s *ruleState, w *World, firing []string, due bool, out *Out) bool {
	if s.Limit.MinHealthy < 0 || !due && s.stopped == "" {
		return true
	}
	total, ill := e.ill(s, w, firing)
	was := s.stopped
	s.stopped = ""
	if ill > 1 && float64(total-ill)*100 < s.Limit.MinHealthy*float64(total) {
		s.stopped = fmt.Sprintf("%d of %d are ill, and it acts only while %g %% are well", ill, total, s.Limit.MinHealthy)
	}
	if (was == "") != (s.stopped == "") {
		s.stoppedAt = w.Now
		ev := Event{At: w.Now, Kind: "stopped", Rule: s.Name, Text: s.stopped}
		if s.stopped == "" {
			ev.Kind, ev.Text = "going_on", fmt.Sprintf("going on: %d of %d are well again", total-ill, total)
		}
		out.Events = append(out.Events, ev)
	}
	return s.stopped == ""
}

// ill counts the subjects that a rule is for, and those that are ill: the condition holds for them, or they are down, or out of service by a rule. Of a region all of it must be. A rule for the node
// counts devices.
func (e *Engine) ill(s *ruleState, w *World, firing []string) (total, ill int) {
	if s.Each == EachRegion {
		return s.illRegions(w, firing)
	}
	for i := range w.Devices {
		d := &w.Devices[i]
		if !d.counts() || !s.matches(d.Name) {
			continue
		}
		total++
		if d.Down || d.OutOfService {
			ill++
		} else if _, ok := slices.BinarySearch(firing, d.Name); ok && s.Each == EachDevice {
			ill++
		}
	}
	return total, ill
}

// illRegions is ill of a rule for regions. One of which a person has taken all out of service is not there.
func (s *ruleState) illRegions(w *World, firing []string) (total, ill int) {
	for _, r := range w.regions {
		if r.Counted == 0 || !w.has(r, s.matches) {
			continue
		}
		total++
		if _, fires := slices.BinarySearch(firing, r.Name); fires || r.gone() {
			ill++
		}
	}
	return total, ill
}

// start begins a run, unless something holds it back.
func (e *Engine) start(s *ruleState, name string, w *World, b *bounds, out *Out) {
	by, text, pl := e.against(s, name, w, *b)
	if by == "running" {
		return
	}
	if by != "" {
		s.hold(name, by, text)
		return
	}
	x := s.subject(name)
	x.held, x.text = "", ""
	sc := e.scope(w, s.Each, name)
	r := &run{rule: s, rest: pl.steps, Record: Record{
		ID: e.nextID, Rule: s.Name, Each: s.Each, Subject: name, Begun: w.Now, Outcome: Running, Reason: "the condition held for " + w.Now.Sub(x.since).Round(time.Second).String(),
		Because: e.facts(s.when.Uses(), sc), Devices: pl.devices, Left: pl.left, Before: w.evidence(pl.devices),
	}}
	e.nextID++
	s.begun = append(s.begun, w.Now)
	if s.Dry {
		r.Steps, r.rest = slices.Concat(pl.steps...), nil
		e.end(r, w, out, Dry, "the rule is dry: nothing was done")
		return
	}
	e.runs = append(e.runs, r)
	e.hands.add(r) // against has looked at them
	b.room -= len(r.Devices)
	out.event(w, "begun", r, r.summary())
	e.act(r, w, out)
}

// summary says what a run is about to do.
func (r *run) summary() string {
	text := ""
	for i, steps := range r.rest {
		if i > 0 {
			text += ", "
		}
		if len(steps) > 0 {
			text += r.rule.Do[i].String()
		}
	}
	return fmt.Sprintf("rule %s acts on %s: %s, because %s", r.Rule, r.Subject, text, factText(r.Because))
}

// against says what is against a run of the rule for a subject now, in a word and in words, and what it would do if nothing was.
func (e *Engine) against(s *ruleState, name string, w *World, b bounds) (by, text string, pl plan) {
	sc := e.scope(w, s.Each, name)
	if r := e.holder(held{s.Name, name}); r != nil {
		return "running", fmt.Sprintf("run %d is under way since %v", r.ID, r.Begun.Format(time.TimeOnly)), pl
	}
	x := s.subjects[name]
	switch {
	case w.Paused != "":
		return "paused", "healing is paused: " + w.Paused, pl
	case x != nil && w.Now.Before(x.coolUntil):
		return "cooldown", fmt.Sprintf("it rests until %s after its last run", x.coolUntil.Format(time.TimeOnly)), pl
	case len(s.begun) >= s.Limit.PerHour:
		return "rate", fmt.Sprintf("the rule ran %d times in the last hour, and may no more often", len(s.begun)), pl
	case sc.device != nil && e.busy(name):
		return "busy", "another rule has it in its hands", pl
	}
	full := fmt.Sprintf("the rule has as many devices in its hands as it may at once: %d", b.most)
	if b.room <= 0 && sc.device != nil {
		return "devices", full, pl
	}
	pl = s.plan(sc, name, b.room, e.busy)
	switch {
	case b.room <= 0 && pl.left > 0:
		return "devices", full, pl
	case pl.empty():
		return "nothing", pl.why(), pl
	}
	return "", "", pl
}

// bounds is how many devices more a rule may touch, and how many it may in all.
type bounds struct{ room, most int }

// room works out the bounds of a rule, and forgets the runs that its rate does not count any more. It walks all devices: it is done once for all of its subjects.
func (e *Engine) room(s *ruleState, w *World) bounds {
	total := 0
	for i := range w.Devices {
		if d := &w.Devices[i]; s.matches(d.Name) && d.counts() {
			total++
		}
	}
	hour := w.Now.Add(-time.Hour)
	s.begun = slices.DeleteFunc(s.begun, func(t time.Time) bool { return !t.After(hour) })
	most := min(s.Limit.Devices, max(1, int(s.Limit.Percent*float64(total)/100)))
	room := most
	for _, r := range e.runs {
		if r.Rule == s.Name {
			room -= len(r.Devices)
		}
	}
	return bounds{room, most}
}

// active says whether r is neither over nor only kept.
func (r *run) active() bool { return r.phase != kept && r.phase != over }
