package heal

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"millrace/internal/rule"
)

// mostTold is how many subjects an explanation speaks of.
const mostTold = 20

// Summary is a rule at a glance.
type Summary struct {
	Name    string             `json:"name"`
	Doc     string             `json:"doc"`
	Each    Each               `json:"each"`
	Dry     bool               `json:"dry"`
	State   string             `json:"state"`           // watching, acting, stopped, paused; not in use
	Why     string             `json:"why"`             // in plain words
	Fault   string             `json:"fault,omitempty"` // for what, and why, its condition gave no answer last
	Firing  int                `json:"firing"`
	Active  int                `json:"active"`          // runs under way
	Resting int                `json:"resting"`         // subjects that rest after a run
	Rested  time.Time          `json:"rested,omitzero"` // when the last of them has rested
	Runs    map[Outcome]uint64 `json:"runs"`            // since the gateway's start
	Held    map[string]uint64  `json:"held"`
	Success float64            `json:"success"` // share of the runs that ended well, -1 without any
}

// Explanation says of a rule what it does, and why it does or does not do it now.
type Explanation struct {
	Summary
	When    string   `json:"when"`
	For     string   `json:"for"`
	On      []string `json:"on"`
	Do      []string `json:"do"`
	Verify  string   `json:"verify"`
	After   string   `json:"after"` // what happens afterwards, in words
	Limit   string   `json:"limit"` // in words
	Terms   []Term   `json:"terms"`
	Told    []Told   `json:"subjects"` // those for which the condition holds, or comes closest to it
	Untold  int      `json:"more"`     // that it holds for too
	Watched int      `json:"watched"`  // subjects that it is tried for
}

// Term is one of the conditions of which all must hold.
type Term struct {
	Source string `json:"source"`
	Holds  int    `json:"holds"` // for so many subjects
}

// Told is one subject of an Explanation.
type Told struct {
	Subject string `json:"subject"`
	Holds   bool   `json:"holds"`
	Why     string `json:"why"` // why nothing is done for it now, or what is
	Values  []Fact `json:"values"`
}

// Summaries returns all rules.
func (e *Engine) Summaries(w *World) []Summary {
	w.index()
	out := make([]Summary, len(e.rules))
	for i, s := range e.rules {
		out[i] = e.summary(s, w)
	}
	return out
}

func (e *Engine) summary(s *ruleState, w *World) Summary {
	x := Summary{Name: s.Name, Doc: s.Doc, Each: s.Each, Dry: s.Dry, Runs: maps.Clone(s.counts.Runs), Held: maps.Clone(s.counts.Held), Success: Success(s.counts.Runs), State: "watching", Fault: s.fault}
	for _, r := range e.runs {
		if r.Rule == s.Name && r.active() {
			x.Active++
		}
	}
	for _, y := range s.subjects {
		if !y.since.IsZero() {
			x.Firing++
		}
		if w.Now.Before(y.coolUntil) {
			x.Resting++
			if y.coolUntil.After(x.Rested) {
				x.Rested = y.coolUntil
			}
		}
	}
	switch {
	case w.Paused != "":
		x.State, x.Why = "paused", w.Paused
	case s.stopped != "":
		x.State, x.Why = "stopped", s.stopped
	case x.Active > 0:
		x.State, x.Why = "acting", fmt.Sprintf("runs under way: %d", x.Active)
	case x.Firing == 0:
		x.Why = "its condition holds for nothing"
	default:
		x.Why = fmt.Sprintf("its condition holds for %d", x.Firing)
	}
	if s.fault != "" && x.State == "watching" {
		x.Why += ", and gives no answer for " + s.fault
	}
	return x
}

// Success returns the share of runs that ended well, -1 when none ended.
func Success(runs map[Outcome]uint64) float64 {
	good := runs[Healed] + runs[Done]
	all := good + runs[RolledBack] + runs[Failed]
	if all == 0 {
		return -1
	}
	return float64(good) / float64(all)
}

// Explain explains the rule called name, and whether there is one.
func (e *Engine) Explain(name string, w *World) (Explanation, bool) {
	i := slices.IndexFunc(e.rules, func(s *ruleState) bool { return s.Name == name })
	if i < 0 {
		return Explanation{}, false
	}
	return e.explain(e.rules[i], w), true
}

// ExplainUnused explains a rule that is not one of e's, as if it was.
func (e *Engine) ExplainUnused(p *Policy, w *World) Explanation {
	x := e.explain(&ruleState{Policy: p, counts: Counts{map[Outcome]uint64{}, map[string]uint64{}}}, w)
	x.State, x.Why = "not in use", "it acts when heal.use names it"
	return x
}

func (e *Engine) explain(s *ruleState, w *World) Explanation {
	w.index()
	x := Explanation{Summary: e.summary(s, w), When: s.When, For: s.For.String(), On: s.On, Limit: s.Limit.String()}
	for _, a := range s.Do {
		x.Do = append(x.Do, a.String())
	}
	x.Verify, x.After = s.verification(), s.afterwards()
	e.tell(&x, s, w)
	return x
}

func (p *Policy) verification() string {
	switch {
	case p.verify == nil:
		return "nothing says whether it helped"
	case p.Hold > 0:
		return fmt.Sprintf("it helped when within %v this holds for %v: %s", p.Within, p.Hold, p.Rule.Verify)
	}
	return fmt.Sprintf("it helped when within %v this holds: %s", p.Within, p.Rule.Verify)
}

func (p *Policy) afterwards() string {
	text := "what did not help is undone"
	if p.Manual {
		text = "what did not help stays"
	}
	if p.Keep > 0 {
		return fmt.Sprintf("%s; what helped is undone after %v", text, p.Keep)
	}
	return text + "; what helped stays"
}

// String returns l in words.
func (l Limit) String() string {
	text := fmt.Sprintf("at most %d devices or %g %% at once, whichever is fewer, %d runs an hour, rest of %v", l.Devices, l.Percent, l.PerHour, l.Cooldown)
	if l.MinHealthy < 0 {
		return text
	}
	return fmt.Sprintf("%s, stops unless %g %% are well", text, l.MinHealthy)
}

// nearness is how close the condition is to holding for a subject.
type nearness struct {
	name  string
	terms int
}

// tell says of each term for how many it holds, and of the subjects for which all do why nothing is done, or else of those that come closest.
func (e *Engine) tell(x *Explanation, s *ruleState, w *World) {
	x.Terms = make([]Term, len(s.terms))
	for k, t := range s.terms {
		x.Terms[k].Source = t.Source()
	}
	var near []nearness
	a := ask(s.Policy, w)
	for name, sc := range e.scopes(s.Policy, w) {
		n := nearness{name: name}
		for k := range s.terms {
			if held, err := a.term(k, sc); err == nil && held {
				x.Terms[k].Holds++
				n.terms++
			}
		}
		near = append(near, n)
	}
	x.Watched = len(near)
	b := e.room(s, w)
	slices.SortStableFunc(near, func(a, b nearness) int { return cmp.Compare(b.terms, a.terms) })
	for i, n := range near {
		holds := n.terms == len(s.terms)
		if i >= mostTold && holds {
			x.Untold++
		}
		if i >= mostTold || !holds && i > 0 && n.terms < near[0].terms || !holds && i >= 3 {
			continue
		}
		x.Told = append(x.Told, Told{n.name, holds, e.why(s, n.name, holds, w, b), e.facts(s.when.Uses(), e.scope(w, s.Each, n.name))})
	}
}

// why says why nothing is done for a subject now.
func (e *Engine) why(s *ruleState, name string, holds bool, w *World, b bounds) string {
	if !holds {
		return "not true: " + strings.Join(falseTerms(s.terms, e.scope(w, s.Each, name)), "; ")
	}
	by, text, _ := e.against(s, name, w, b)
	x := s.subjects[name]
	switch {
	case by == "running":
		return text
	case x == nil || x.since.IsZero():
		return "it holds since this moment"
	case w.Now.Sub(x.since) < s.For:
		return fmt.Sprintf("it holds since %v, and must for %v", w.Now.Sub(x.since).Round(time.Second), s.For)
	case s.stopped != "":
		return "the rule has stopped: " + s.stopped
	case by != "":
		return text
	}
	return "it is due"
}

func falseTerms(terms []*rule.Rule, sc scope) []string {
	var out []string
	for _, t := range terms {
		held, err := t.Eval(sc)
		switch {
		case err != nil:
			out = append(out, fmt.Sprintf("%s (%v)", t.Source(), errors.Unwrap(err)))
		case !held:
			out = append(out, t.Source())
		}
	}
	return out
}

// Preview is what a rule would do.
type Preview struct {
	Rule    string   `json:"rule"`
	Subject string   `json:"subject"`
	Holds   bool     `json:"holds"`   // the condition does, now
	Against string   `json:"against"` // why nothing is done now; "" when it would be
	Values  []Fact   `json:"values"`
	Devices []string `json:"devices"`
	Left    int      `json:"left"` // devices beyond the limit
	Steps   []Step   `json:"steps"`
	Undo    []string `json:"undo"` // in case that it does not help
	Verify  string   `json:"verify"`
	More    int      `json:"more,omitempty"` // of the last one of a rule: subjects that the condition holds for too, and that are not shown
}

// DryRun returns what the rule called name, or every one when it is "", would do now. With a subject it is shown for that one, whether or not the condition holds;
// without, for those for which it does, mostTold of each rule.
func (e *Engine) DryRun(name, subject string, w *World) []Preview {
	w.index()
	var out []Preview
	for _, s := range e.rules {
		if name != "" && s.Name != name {
			continue
		}
		b, told, a := e.room(s, w), 0, ask(s.Policy, w)
		for x, sc := range e.scopes(s.Policy, w) {
			if subject != "" && x != subject {
				continue
			}
			held, err := a.holds(sc)
			switch {
			case (err != nil || !held) && subject == "":
			case told == mostTold:
				out[len(out)-1].More++
			default:
				told++
				out = append(out, e.preview(s, x, held && err == nil, w, b))
			}
		}
	}
	return out
}

func (e *Engine) preview(s *ruleState, subject string, holds bool, w *World, b bounds) Preview {
	sc := e.scope(w, s.Each, subject)
	pl := s.plan(sc, subject, b.room, e.busy)
	p := Preview{Rule: s.Name, Subject: subject, Holds: holds, Values: e.facts(s.when.Uses(), sc), Devices: pl.devices, Left: pl.left,
		Steps: slices.Concat(pl.steps...), Verify: s.verification()}
	if p.Against = e.why(s, subject, holds, w, b); p.Against == "it is due" {
		p.Against = ""
	}
	r := Record{Rule: s.Name, Steps: p.Steps, Before: w.evidence(pl.devices)}
	for _, u := range r.undo(w, false) {
		p.Undo = append(p.Undo, u.Device+": "+u.Action)
	}
	if s.Manual {
		p.Undo = nil
	}
	return p
}

// HasRule says whether there is a rule called name.
func (e *Engine) HasRule(name string) bool {
	return slices.ContainsFunc(e.rules, func(s *ruleState) bool { return s.Name == name })
}
