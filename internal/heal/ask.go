package heal

import (
	"fmt"
	"iter"
	"strings"

	"millrace/internal/rule"
)

// maxVisits is how many devices the condition of one rule may look at in one look at everything: a second of a core or so. What walks over 10,000 devices for each of 10,000 would
// look at a hundred million.
const maxVisits = 1_000_000

// tooMuchError is a condition that walks over all devices for too many subjects.
type tooMuchError struct{ devices int }

func (e *tooMuchError) Error() string {
	return fmt.Sprintf("it walks over %d devices again and again, which costs too much: ask so for each region or the node, or join it by && with what is seldom true", e.devices)
}

// asking is the condition of a rule, asked for one subject after the other of one World.
type asking struct {
	p      *Policy
	w      *World
	same   []answer // by term, of those that are the same for all subjects
	visits int
}

type answer struct {
	known, held bool
	err         error
}

func ask(p *Policy, w *World) *asking { return &asking{p: p, w: w, same: make([]answer, len(p.terms))} }

// holds says whether the condition does. Where it walks, its terms are asked one by one, those that walk last: most subjects need none of these.
func (a *asking) holds(sc scope) (bool, error) {
	if !a.p.when.Walks() {
		return a.p.when.Eval(sc)
	}
	var failed error
	for _, walking := range []bool{false, true} {
		for i, t := range a.p.terms {
			if t.Walks() != walking {
				continue
			}
			held, err := a.term(i, sc)
			switch {
			case err != nil && failed == nil:
				failed = err
			case err == nil && !held:
				return false, nil // whatever the others are, as && has it
			}
		}
	}
	return failed == nil, failed
}

// term says whether one of the terms of the condition holds.
func (a *asking) term(i int, sc scope) (bool, error) {
	t := a.p.terms[i]
	if !t.Walks() {
		return t.Eval(sc)
	}
	if a.p.Each != EachNode && ofSubject(t) {
		if a.visits += len(a.w.Devices); a.visits > maxVisits {
			return false, &tooMuchError{len(a.w.Devices)}
		}
		return t.Eval(sc)
	}
	if s := &a.same[i]; !s.known {
		s.known = true
		s.held, s.err = t.Eval(sc)
	}
	return a.same[i].held, a.same[i].err
}

// ofSubject says whether t can be another for another subject.
func ofSubject(t *rule.Rule) bool {
	for _, u := range t.Uses() {
		if of, _, _ := strings.Cut(u, "."); of == "device" || of == "region" {
			return true
		}
	}
	return false
}

// scopes goes through what the rule is tried for, by name: devices in service, regions, or the node.
func (e *Engine) scopes(p *Policy, w *World) iter.Seq2[string, scope] {
	if p.Each == EachDevice {
		return func(yield func(string, scope) bool) {
			for i := range w.Devices {
				d := &w.Devices[i]
				if !d.OutOfService && p.matches(d.Name) && !yield(d.Name, scope{e.names, w, d, w.regions[d.Region]}) {
					return
				}
			}
		}
	}
	return func(yield func(string, scope) bool) {
		for _, name := range e.subjects(p, w) {
			if !yield(name, e.scope(w, p.Each, name)) {
				return
			}
		}
	}
}
