package config

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"millrace/internal/device"
	"millrace/internal/heal"
	"millrace/internal/rule"
)

// Heal says what is healed, and how.
type Heal struct {
	Every    time.Duration
	Policies []*heal.Policy // shipped ones that are used, then those of the configuration in its order
	Regions  heal.Regions
}

type healDraft struct {
	every   time.Duration
	use     []string
	files   []placed
	regions heal.Regions
	limit   heal.Limit
	rules   []healRuleDraft
}

type healFile struct{ rules []healRuleDraft }

// healRuleDraft is a rule and where its parts stand.
type healRuleDraft struct {
	heal.Rule
	at                  Place
	each, rollback      string
	when, which, verify conditionDraft
	on                  []placed
	doAt                []Place
	doThere             bool // actions stand there, right or wrong
}

func rulesKey[T any](to func(*T) *[]healRuleDraft) key[T] {
	return named("rules", &healRuleKeys, "Rules, by name.", to, func(r *healRuleDraft, name string, at Place) { r.Name, r.at = name, at })
}

// actionsKey is a list of actions, each a mapping or the name of one.
func actionsKey() key[healRuleDraft] {
	doc := "What is done, in order: names of actions, or mappings. Where one does not apply, as another address for a device that has one only, it is left out."
	return key[healRuleDraft]{facts: facts{name: "do", form: formActions, choices: heal.Actions(), of: &healActionKeys, doc: doc, required: true}, node: func(l *loader, r *healRuleDraft, n *yaml.Node) {
		for _, it := range l.items(n, "do") {
			r.doThere = true
			var a heal.Action
			if l.resolve(it).Kind == yaml.MappingNode {
				before := l.faults
				if !decode(l, &healActionKeys, it, &a) || l.faults > before {
					continue
				}
			} else if !l.namedAction(it, &a) {
				continue
			}
			r.Do, r.doAt = append(r.Do, a), append(r.doAt, l.place(it))
		}
	}}
}

func (l *loader) namedAction(n *yaml.Node, a *heal.Action) bool {
	s, ok := l.scalar(n, "do", formText)
	if ok && !slices.Contains(heal.Actions(), s) {
		l.wrong(l.place(n), "do", unknownChoice(s, heal.Actions()))
		return false
	}
	a.Type = s
	return ok
}

// resolveHeal compiles the rules that are to be used. Where there is no heal there is nothing to pay for.
func (l *loader) resolveHeal() {
	h := &l.doc.heal
	l.cfg.Heal = Heal{Every: h.every, Regions: h.regions}
	for _, f := range h.files {
		h.rules = append(h.rules, l.rulesOf(f)...)
	}
	if len(h.use)+len(h.rules) == 0 {
		return
	}
	c, err := heal.NewCompiler()
	if err != nil {
		l.failf(Place{File: l.path}, "heal: %v", err)
		return
	}
	seen := map[string]Place{}
	for _, r := range heal.Shipped() {
		if slices.Contains(h.use, r.Name) {
			r.Limit = r.Limit.Over(h.limit)
			l.compileRule(c, &healRuleDraft{Rule: r, at: Place{File: l.path}})
			seen[r.Name] = Place{File: l.path}
		}
	}
	for i := range h.rules {
		r := &h.rules[i]
		if first, dup := seen[r.Name]; dup {
			l.failf(r.at, "rules: %s is there twice; first at %v", r.Name, first)
			continue
		}
		seen[r.Name] = r.at
		r.fill(h.limit)
		if r.When != "" { // else that was reported
			l.compileRule(c, r)
		}
	}
}

// rulesOf reads a file of rules.
func (l *loader) rulesOf(f placed) []healRuleDraft {
	path := l.relative(f.text)
	b, err := l.note(path, maxConfigBytes)
	if err != nil {
		l.failf(f.at, "files: %s: %v", path, err)
		return nil
	}
	oldPath, oldRaw := l.path, l.raw
	defer func() { l.path, l.raw = oldPath, oldRaw }()
	l.path, l.raw = path, b
	root, ok := l.parse(b)
	switch {
	case !ok:
		return nil
	case root == nil:
		l.failf(Place{File: path}, "the file is empty; it needs the key rules")
		return nil
	}
	l.maxVisits += aliasFactor * countNodes(root)
	var doc healFile
	decode(l, &healFileKeys, root, &doc)
	return doc.rules
}

// fill makes the rule of what the file says. limit holds where it does not say one.
func (r *healRuleDraft) fill(limit heal.Limit) {
	r.Each, r.Manual = heal.Each(r.each), r.rollback == "manual"
	r.When, r.Which, r.Verify = r.when.text, r.which.text, r.verify.text
	for _, p := range r.on {
		r.On = append(r.On, p.text)
	}
	r.Limit = r.Limit.Over(limit)
}

// compileRule appends the rule to the configuration, or reports what is wrong with it.
func (l *loader) compileRule(c *heal.Compiler, r *healRuleDraft) {
	p, errs := c.Compile(r.Rule)
	for _, e := range errs {
		l.badRule(r, e)
	}
	if len(errs) > 0 {
		return
	}
	if i := slices.IndexFunc(p.Do, func(a heal.Action) bool { return a.Type == heal.Run }); i >= 0 && !l.doc.gateway.AllowCommands {
		l.failf(r.doAt[i], "run: programs run only where gateway.allow_commands is true")
		return
	}
	l.cfg.Heal.Policies = append(l.cfg.Heal.Policies, p)
	l.warnOfNobody(r)
}

// warnOfNobody warns of patterns that are for no device: a misspelt one makes a rule that never acts.
func (l *loader) warnOfNobody(r *healRuleDraft) {
	for _, p := range r.on {
		if !slices.ContainsFunc(l.cfg.Devices, func(d device.Spec) bool { ok, _ := path.Match(p.text, d.Name); return ok }) {
			l.warnf(p.at, "rule %s: on: no device is called %s", r.Name, p.text)
		}
	}
}

// badRule reports what is wrong with a rule, at the place in the file as near as it is known.
func (l *loader) badRule(r *healRuleDraft, e *heal.FieldError) {
	if e.Field == "do" && len(r.Do) == 0 && r.doThere {
		return // each of them was reported
	}
	var faults rule.Errors
	if !errors.As(e.Err, &faults) {
		l.failf(r.place(e), "%s: %v", e.Field, e.Err)
		return
	}
	cond := map[string]conditionDraft{"when": r.when, "which": r.which, "verify": r.verify}[e.Field]
	for _, f := range faults {
		at, exact := cond.place(f)
		if exact {
			l.failf(at, "%s: %s", e.Field, f.Message)
		} else {
			l.failf(cmp.Or(at, r.at), "%s: %v", e.Field, f)
		}
	}
}

func (r *healRuleDraft) place(e *heal.FieldError) Place {
	switch {
	case e.Field == "on" && e.Index < len(r.on):
		return r.on[e.Index].at
	case e.Field == "do" && e.Index < len(r.doAt):
		return r.doAt[e.Index]
	case e.Field == "which":
		return r.which.at
	case e.Field == "verify":
		return r.verify.at
	}
	return r.at
}

// place returns where in the file a fault of the condition is, and whether that is exact. It is not where lines were folded, or something stands for something else.
func (c conditionDraft) place(f rule.Error) (Place, bool) {
	if c.from == (Place{}) || f.Line > 1 && !c.block {
		return c.at, false
	}
	p := c.from
	p.Line += f.Line - 1
	p.Column += f.Column - 1
	return p, true
}

// sameHeal compares what two configurations heal.
func sameHeal(a, b Heal) bool {
	text := func(h Heal) string {
		s := fmt.Sprint(h.Every, h.Regions)
		for _, p := range h.Policies {
			s += fmt.Sprintf("%+v", p.Rule)
		}
		return s
	}
	return text(a) == text(b)
}
