package heal

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Engine decides what to heal and when. It is pure: no socket, no clock, no log; what it knows it was told by Step. One goroutine at a time uses it.
//
//	        holds for For, nothing holds it back
//	(rule, subject) ─────► acting ── all done ──► verifying ── Verify held for Hold ──► healed (undone after Keep)
//	                         │                       │
//	                         │ an error              │ not within Within
//	                         └──────► rolling back ◄─┘ ──► rolled back, or failed
//
// A device is in one run at a time, of whatever rule.
type Engine struct {
	names  *names
	rules  []*ruleState // by name
	runs   []*run       // that have something to do, kept ones too
	hands  hands        // nil when runs are others than when it was made
	nextID uint64
	tried  *World // for which the conditions were looked at
}

// ruleState is a rule with what happened to it.
type ruleState struct {
	*Policy
	subjects  map[string]*subject // those of which something is known
	begun     []time.Time         // runs in the last hour
	stopped   string              // why too many are ill for it to act, "" when they are not
	stoppedAt time.Time
	fault     string // for what, and why, its condition gave no answer last, "" when it did
	told      bool   // that fault is news no more
	counts    Counts
}

// Counts are of one rule since the start of the process.
type Counts struct {
	Runs map[Outcome]uint64 // those that ended
	Held map[string]uint64  // by what held it back: once for each subject and reason, until the reason changes
}

// subject is a device or a region for one rule.
type subject struct {
	since     time.Time // since when the condition holds; zero when it does not
	coolUntil time.Time
	held      string // by what it is held back now: a key of Counts.Held
	text      string // that, in words
}

type phase uint8

const (
	acting phase = iota
	verifying
	undoing
	kept // it helped, and is undone later
	over
)

// run is a Record that is not over.
type run struct {
	Record
	rule    *ruleState
	phase   phase
	rest    [][]Step // still to be begun
	until   time.Time
	holds   time.Time // since when Verify holds
	looked  time.Time // when Verify was asked last
	acted   *World    // in which something was done last: what became of it is in a later one
	resumed bool      // it is of an earlier run of the gateway
	failure string    // why it is undone
	outcome Outcome   // that it has when it is undone
}

// NewEngine returns an Engine without rules, whose runs are numbered from after lastID.
func NewEngine(c *Compiler, lastID uint64) *Engine {
	return &Engine{names: c.names, nextID: lastID + 1}
}

// Out is what a Step wants done: Save first, then Do, whose results go into the next Step.
type Out struct {
	Save   []Record
	Do     []Do
	Events []Event
}

func (o *Out) event(w *World, kind string, r *run, text string) {
	e := Event{At: w.Now, Kind: kind, Rule: r.Rule, Subject: r.Subject, Text: text}
	if r.Each == EachDevice {
		e.Device = r.Subject
	}
	o.Events = append(o.Events, e)
}

// SetPolicies makes these the rules, sorted by name. What is known of a rule that stays the same stays. The runs under way of one that does not are undone with
// the next Step; how often it ran, who rests, and what is undone later stay.
func (e *Engine) SetPolicies(policies []*Policy) {
	old := e.rules
	e.rules = nil
	for _, p := range policies {
		i := slices.IndexFunc(old, func(s *ruleState) bool { return s.same(p) })
		if i >= 0 {
			old[i].Policy = p
			e.rules = append(e.rules, old[i])
			continue
		}
		s := &ruleState{Policy: p, subjects: map[string]*subject{}, counts: Counts{map[Outcome]uint64{}, map[string]uint64{}}}
		if i = slices.IndexFunc(old, func(o *ruleState) bool { return o.Name == p.Name }); i >= 0 {
			s.inherit(old[i])
		}
		e.rules = append(e.rules, s)
	}
	slices.SortFunc(e.rules, func(a, b *ruleState) int { return cmp.Compare(a.Name, b.Name) })
}

// inherit takes over what bounds the rule that s was before it was changed. The runs of that one count to s too when they end.
func (s *ruleState) inherit(old *ruleState) {
	s.subjects, s.begun, s.counts = old.subjects, old.begun, old.counts
	for _, x := range s.subjects {
		x.since, x.held, x.text = time.Time{}, "", ""
	}
}

// same says whether p does what s does.
func (s *ruleState) same(p *Policy) bool {
	a, b := s.Rule, p.Rule
	a.Doc, b.Doc = "", ""
	return fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b)
}

// Remember counts a run that has ended, of an earlier run of the gateway, to its rule's rate and its subject's rest: a gateway that ends again and again heals no more often.
func (e *Engine) Remember(r Record) {
	for _, s := range e.rules {
		if s.Name == r.Rule {
			s.begun = append(s.begun, r.Begun)
			x := s.subject(r.Subject)
			if until := r.Ended.Add(s.Limit.Cooldown); !r.Ended.IsZero() && until.After(x.coolUntil) {
				x.coolUntil = until
			}
		}
	}
}

// Resume takes up a run that was not over when the gateway ended: what of it outlived that is undone, at once, or when it was to be.
func (e *Engine) Resume(r Record) {
	// What undoes was saved before it was done, and may not have been: it is done again.
	r.Steps = slices.DeleteFunc(slices.Clone(r.Steps), func(s Step) bool { return s.Undo })
	x := &run{Record: r, resumed: true, phase: undoing, outcome: Interrupted, failure: "the gateway ended while it ran"}
	if r.Outcome != Running {
		x.phase, x.until, x.outcome, x.failure = kept, r.UndoAt, r.Outcome, ""
		if !slices.ContainsFunc(r.Steps, outlives) {
			x.until, x.failure = time.Time{}, endedWithGateway // its devices are not in the hands of the rule any more
			x.Reason += "; " + endedWithGateway
		}
	}
	for _, s := range e.rules {
		if s.Name == r.Rule {
			x.rule = s
		}
	}
	e.runs, e.hands = append(e.runs, x), nil
	e.nextID = max(e.nextID, r.ID+1)
}

// endedWithGateway is why what helped is undone before its time.
const endedWithGateway = "the gateway ended, and with it what was done"

// Step takes the state of everything and the results of what was to be done, and says what is to be done next. A World that comes again, with results only,
// begins nothing new.
func (e *Engine) Step(w *World, results []Result) Out {
	w.index()
	var out Out
	e.ended(results)
	for _, r := range e.runs {
		e.advance(r, w, &out)
	}
	e.runs, e.hands = slices.DeleteFunc(e.runs, func(r *run) bool { return r.phase == over }), nil
	if e.tried != w {
		e.tried = w
		for _, s := range e.rules {
			e.try(s, w, &out)
		}
	}
	return out
}

// ended notes what became of what was to be done.
func (e *Engine) ended(results []Result) {
	if len(results) == 0 {
		return
	}
	runs := make(map[uint64]*run, len(e.runs))
	for _, r := range e.runs {
		runs[r.ID] = r
	}
	for _, res := range results {
		r := runs[res.Run]
		if r == nil || res.Step >= len(r.Steps) {
			continue
		}
		s := &r.Steps[res.Step]
		s.waiting, s.Output = false, res.Output
		if res.Err != nil {
			s.Error = res.Err.Error()
		}
	}
}

// advance takes r as far as it goes now.
func (e *Engine) advance(r *run, w *World, out *Out) {
	if r.phase == over || slices.ContainsFunc(r.Steps, func(s Step) bool { return s.waiting }) {
		return
	}
	switch {
	case r.phase == undoing, r.phase == kept:
	case !slices.Contains(e.rules, r.rule):
		r.fail(Interrupted, "the rule was changed or taken away while it ran")
	case r.Each == EachDevice && w.Device(r.Subject) == nil:
		r.fail(Interrupted, "the device was taken away while it ran")
	}
	switch r.phase {
	case acting:
		e.act(r, w, out)
	case verifying:
		e.verify(r, w, out)
	case undoing:
		e.undo(r, w, out)
	case kept:
		e.keep(r, w, out)
	case over:
	}
}

// fail makes r one that is undone.
func (r *run) fail(o Outcome, why string) { r.phase, r.outcome, r.failure = undoing, o, why }

// act begins the next action, when the last one went well.
func (e *Engine) act(r *run, w *World, out *Out) {
	if why := firstError(r.Steps, false); why != "" {
		r.fail(RolledBack, why)
		e.undo(r, w, out)
		return
	}
	for len(r.rest) > 0 {
		steps := r.rest[0]
		r.rest = r.rest[1:]
		if e.begin(r, steps, w, out) > 0 {
			return
		}
	}
	if r.rule.verify == nil {
		e.succeed(r, w, out, Done, "everything was done; the rule does not say how to see whether it helped")
		return
	}
	r.phase, r.until, r.looked = verifying, w.Now.Add(r.rule.Within), w.Now
}

// firstError says what went wrong first with steps, of those that undo or of the others.
func firstError(steps []Step, undo bool) string {
	for _, s := range steps {
		switch {
		case s.Error == "" || s.Undo != undo:
		case s.Device == "":
			return s.Action + ": " + s.Error
		default:
			return fmt.Sprintf("%s of %s: %s", s.Action, s.Device, s.Error)
		}
	}
	return ""
}

// begin has steps done, and returns how many that are. They are on the disk before they are done.
func (e *Engine) begin(r *run, steps []Step, w *World, out *Out) int {
	n := 0
	for _, s := range steps {
		s.At = w.Now
		if s.Note == "" {
			s.waiting = true
			s.do.Run, s.do.Step = r.ID, len(r.Steps)
			out.Do = append(out.Do, s.do)
			n++
		}
		r.Steps = append(r.Steps, s)
	}
	if n > 0 {
		r.acted = w
		out.Save = append(out.Save, r.snapshot())
	}
	return n
}

// verify looks whether it helped.
func (e *Engine) verify(r *run, w *World, out *Out) {
	if r.acted == w {
		return // results of other runs bring the same World again: it is how things were before anything was done
	}
	held, err := r.rule.verify.Eval(e.scope(w, r.Each, r.Subject))
	fault := noAnswer(err)
	if err != nil || !held {
		r.holds = time.Time{}
	} else if r.holds.IsZero() {
		r.holds = w.Now
	}
	apart := w.Now.Sub(r.looked)
	r.looked = w.Now
	switch {
	case !r.holds.IsZero() && w.Now.Sub(r.holds) >= r.rule.Hold:
		e.succeed(r, w, out, Healed, fmt.Sprintf("it helped: %s", r.rule.verify.Source()))
	case !r.holds.IsZero() && apart > r.rule.Hold: // looks that are so far apart cannot see it hold for so long before the deadline: the next one decides
	case !w.Now.Before(r.until) && fault != "":
		r.fail(RolledBack, fmt.Sprintf("nothing said within %v whether it helped: %s gives no answer: %s", r.rule.Within, r.rule.verify.Source(), fault))
		e.undo(r, w, out)
	case !w.Now.Before(r.until):
		r.fail(RolledBack, fmt.Sprintf("it did not help within %v: %s", r.rule.Within, e.values(r.rule.verify.Uses(), e.scope(w, r.Each, r.Subject))))
		e.undo(r, w, out)
	}
}

func (e *Engine) succeed(r *run, w *World, out *Out, o Outcome, why string) {
	e.end(r, w, out, o, why)
	if r.rule.Keep > 0 {
		r.phase, r.until, r.UndoAt = kept, w.Now.Add(r.rule.Keep), w.Now.Add(r.rule.Keep)
		older := e.takeOver(r)
		out.Save[len(out.Save)-1] = r.snapshot()
		for _, k := range older {
			k.supersede(r, w, out)
		}
	}
}

// end is the end of what r is counted for.
func (e *Engine) end(r *run, w *World, out *Out, o Outcome, why string) {
	r.phase, r.Outcome, r.Reason, r.Ended = over, o, why, w.Now
	r.After = r.evidenceAfter(w)
	if r.rule != nil {
		r.rule.counts.Runs[o]++
		r.rule.subject(r.Subject).coolUntil = w.Now.Add(r.rule.Limit.Cooldown)
	}
	out.Save = append(out.Save, r.snapshot())
	out.event(w, string(o), r, why)
}

// undo puts back what r did, and ends it when that is done.
func (e *Engine) undo(r *run, w *World, out *Out) {
	began := slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Undo })
	manual := r.rule != nil && r.rule.Manual && !r.resumed
	if !began && !manual && e.begin(r, r.undo(w, r.resumed), w, out) > 0 {
		return
	}
	if why := firstError(r.Steps, true); why != "" {
		e.end(r, w, out, Failed, r.failure+"; and it could not be undone: "+why)
		return
	}
	if manual {
		e.end(r, w, out, Failed, r.failure+"; the rule says to leave what was done")
		return
	}
	e.end(r, w, out, r.outcome, r.failure)
}

// keep undoes what helped when its time is over, but for what something else has changed since.
func (e *Engine) keep(r *run, w *World, out *Out) {
	began := slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Undo })
	if !began && (w.Now.Before(r.until) || slices.ContainsFunc(r.Devices, e.busy)) {
		return // what another run does now may not help: then it is as r left it, and r can undo it
	}
	if !began {
		var steps []Step
		for _, s := range r.undo(w, r.resumed) {
			i := slices.IndexFunc(r.Steps, func(o Step) bool { return o.kind() == s.kind() && o.Device == s.Device && o.Note == "" })
			if !r.resumed && r.Steps[i].changedSince(w.Device(s.Device).Topology) {
				s.Note = "something else has changed it since"
			}
			steps = append(steps, s)
		}
		if e.begin(r, steps, w, out) > 0 {
			return
		}
	}
	r.phase, r.Undone = over, w.Now
	text := "what rule " + r.Rule + " had done is undone: " + cmp.Or(r.failure, "its time is over")
	if why := firstError(r.Steps, true); why != "" {
		text = "what rule " + r.Rule + " had done could not all be undone: " + why
	}
	out.Save = append(out.Save, r.snapshot())
	out.event(w, "undone", r, text)
}

// Counts returns what was counted of each rule.
func (e *Engine) Counts() map[string]Counts {
	out := make(map[string]Counts, len(e.rules))
	for _, s := range e.rules {
		out[s.Name] = Counts{maps.Clone(s.counts.Runs), maps.Clone(s.counts.Held)}
	}
	return out
}

func (e *Engine) facts(uses []string, s scope) []Fact {
	out := make([]Fact, len(uses))
	for i, u := range uses {
		out[i] = Fact{u, s.lookUp(u)}
	}
	return out
}

func (e *Engine) values(uses []string, s scope) string { return factText(e.facts(uses, s)) }

func factText(facts []Fact) string {
	text := ""
	for i, f := range facts {
		if i > 0 {
			text += ", "
		}
		text += f.Name + " is " + f.Value
	}
	return text
}
