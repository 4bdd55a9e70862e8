package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// What a file may come to when its aliases are followed is bounded, by freeVisits and aliasFactor times its own nodes: a few lines of
// aliases to aliases would otherwise stand for billions.
const (
	freeVisits  = 1 << 20
	aliasFactor = 8
)

// maxFaults bounds the errors that are gathered, one that comes back through an alias each time.
const maxFaults = 20_000

// maxMerges bounds how deep merge keys may lie in one another.
const maxMerges = 4

// mergeVisits is what a merged mapping costs beyond its nodes.
const mergeVisits = 64

// pair is one key of a YAML mapping with its value. at is the key's place.
type pair struct {
	name  string
	at    Place
	value *yaml.Node
}

// decode reads n, which must be a mapping of m's keys, into dst and fills in the defaults of keys that are absent. A nil n and a
// null stand for an empty mapping. It answers false when n is no mapping at all; what is wrong inside is reported and skipped.
func decode[T any](l *loader, m *mapping[T], n *yaml.Node, dst *T) bool {
	if n != nil && l.resolve(n).Kind != yaml.MappingNode && !isNull(l.resolve(n)) {
		l.failf(l.place(n), "%s is %s, not a mapping of keys (%s)", m.name, describe(l.resolve(n)), strings.Join(m.names(), ", "))
		return false
	}
	present := make([]Place, len(m.keys))
	for _, p := range l.pairs(n, m.name) {
		i := m.index(p.name)
		if i < 0 {
			l.add(&Error{Place: p.at, Msg: fmt.Sprintf("unknown key %q in %s", p.name, m.name), Meant: Nearest(p.name, m.names())})
			continue
		}
		present[i] = p.at
		m.keys[i].read(l, dst, p.value)
	}
	if !l.gaveUp {
		m.finish(l, present, n, dst)
	}
	return true
}

// finish sets the defaults of the keys that are not present, and reports those that must be and those that do not go with the kind
// of mapping that this one is. The kind is what the key type says.
func (m *mapping[T]) finish(l *loader, present []Place, n *yaml.Node, dst *T) {
	kind := ""
	if m.kind != nil {
		kind = m.kind(dst)
	}
	m.finishOne(l, present, n)
	for i := range m.keys {
		k := &m.keys[i]
		there := present[i] != Place{}
		fits := k.only == "" || k.only == kind
		switch {
		case there && !fits && kind != "":
			l.failf(present[i], "key %q does not go with type %s, only with %s", k.name, kind, k.only)
		case there || !fits:
		case k.required:
			l.failf(l.place(n), "%s needs the key %q", m.name, k.name)
		case k.form == formMapping:
			k.node(l, dst, nil) // for the defaults inside
		case k.preset != "" && k.scalar != nil && !k.late:
			if err := k.scalar(dst, k.preset); err != nil {
				l.failf(l.place(n), "%s: default of %s: %v", m.name, k.name, err)
			}
		}
	}
}

// finishOne reports when not exactly one of m.one is present.
func (m *mapping[T]) finishOne(l *loader, present []Place, n *yaml.Node) {
	var there []string
	for _, name := range m.one {
		if present[m.index(name)] != (Place{}) {
			there = append(there, name)
		}
	}
	switch {
	case len(m.one) == 0:
	case len(there) == 0:
		l.failf(l.place(n), "%s needs the key %s", m.name, strings.Join(m.one, " or "))
	case len(there) > 1:
		l.failf(l.place(n), "%s has the keys %s; one of them is to be there", m.name, strings.Join(there, " and "))
	}
}

func (m *mapping[T]) index(name string) int {
	for i := range m.keys {
		if m.keys[i].name == name {
			return i
		}
	}
	return -1
}

// read reads the value n of key k into dst.
func (k *key[T]) read(l *loader, dst *T, n *yaml.Node) {
	if k.at != nil {
		k.at(dst, l.place(n))
	}
	if k.node != nil {
		k.node(l, dst, n)
		return
	}
	s, ok := l.scalar(n, k.name, k.form)
	if !ok {
		return
	}
	if err := k.set(dst, s); err != nil {
		l.wrong(l.place(n), k.name, err)
	}
}

// set puts the text s into dst when it is of the key's form and within its bounds.
func (k *key[T]) set(dst *T, s string) error {
	if err := k.scalar(dst, s); err != nil {
		return err
	}
	return k.inBounds(s)
}

// inBounds checks a value that parsed against the key's bounds.
func (f *facts) inBounds(s string) error {
	if f.min == 0 && f.max == 0 {
		return nil
	}
	var v float64
	switch f.form {
	case formDuration:
		d, _ := ParseDuration(s)
		v = d.Seconds()
	case formSize:
		n, _ := ParseSize(s)
		v = float64(n)
	default:
		v, _ = parseNumber(s)
	}
	switch {
	case v < f.min:
		return fmt.Errorf("%s is too small; at least %s", s, f.bound(f.min))
	case f.max != 0 && v > f.max:
		return fmt.Errorf("%s is too large; at most %s", s, f.bound(f.max))
	}
	return nil
}

// pairs returns the keys of mapping n in their order, merge keys followed, or none when n is absent, null, or no mapping. A key that
// is there twice is reported.
func (l *loader) pairs(n *yaml.Node, what string) []pair {
	if n == nil {
		return nil
	}
	n = l.resolve(n)
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		l.failf(l.place(n), "%s is %s, not a mapping", what, describe(n))
		return nil
	}
	out := make([]pair, 0, len(n.Content)/2)
	return l.gather(out, n, what, 0)
}

// gather appends the pairs of mapping n to out. Pairs that a merge key brings give way to the mapping's own.
func (l *loader) gather(out []pair, n *yaml.Node, what string, depth int) []pair {
	own, lines := len(out), map[string]int(nil)
	if len(n.Content) > 32 { // below that, looking through the list is quicker
		lines = make(map[string]int, len(n.Content)/2)
	}
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content) && l.visit(n.Content[i]); i += 2 {
		k, v := l.resolve(n.Content[i]), n.Content[i+1]
		at := l.place(n.Content[i])
		switch {
		case k.Kind != yaml.ScalarNode:
			l.failf(at, "a key of %s is %s, not a name", what, describe(k))
		case k.Tag == "!!merge":
			merges = append(merges, v)
		default:
			if first, dup := find(out[own:], lines, k.Value); dup {
				l.failf(at, "key %q of %s is there twice; first in line %d", k.Value, what, first)
				continue
			}
			if lines != nil {
				lines[k.Value] = at.Line
			}
			out = append(out, pair{k.Value, at, v})
		}
	}
	for _, m := range merges {
		out = l.merge(out, m, what, depth)
	}
	return out
}

func find(pairs []pair, lines map[string]int, name string) (line int, ok bool) {
	if lines != nil {
		line, ok = lines[name]
		return line, ok
	}
	for _, p := range pairs {
		if p.name == name {
			return p.at.Line, true
		}
	}
	return 0, false
}

// merge adds to out the pairs of the value of a merge key, a mapping or a list of them, whose names are not in out yet.
func (l *loader) merge(out []pair, n *yaml.Node, what string, depth int) []pair {
	if depth >= maxMerges {
		l.failf(l.place(n), "merge keys (<<) lie more than %d deep in one another", maxMerges)
		return out
	}
	sources := []*yaml.Node{n}
	if r := l.resolve(n); r.Kind == yaml.SequenceNode {
		sources = r.Content
	}
	for _, src := range sources {
		if l.visits += mergeVisits; !l.visit(src) {
			return out
		}
		r := l.resolve(src)
		if r.Kind != yaml.MappingNode {
			l.failf(l.place(src), "a merge key (<<) takes a mapping, not %s", describe(r))
			continue
		}
		have := make(map[string]bool, len(out))
		for _, p := range out {
			have[p.name] = true
		}
		for _, p := range l.gather(nil, r, what, depth+1) {
			if !have[p.name] {
				out = append(out, p)
			}
		}
	}
	return out
}

// items returns the elements of list n, none when n is null or, which is reported, no list.
func (l *loader) items(n *yaml.Node, what string) []*yaml.Node {
	r := l.resolve(n)
	if isNull(r) {
		return nil
	}
	if r.Kind != yaml.SequenceNode {
		l.failf(l.place(n), "%s is %s, not a list", what, describe(r))
		return nil
	}
	for i, item := range r.Content {
		if !l.visit(item) {
			return r.Content[:i]
		}
	}
	return r.Content
}

// scalar returns the text of scalar n, references to the environment and to files followed, when it is of the right form.
func (l *loader) scalar(n *yaml.Node, what string, f form) (string, bool) {
	r := l.resolve(n)
	if r.Kind != yaml.ScalarNode || isNull(r) {
		l.failf(l.place(n), "%s is %s, not %s", what, describe(r), f.article())
		return "", false
	}
	if !plainTag(r.Tag) {
		l.failf(l.place(n), "%s has the YAML tag %s; no such tags are used here", what, r.Tag)
		return "", false
	}
	if r.Tag == "!!bool" && f != formBool && f != formParam {
		l.failf(l.place(n), "%s is the truth value %s, not %s; put it in quotes if it is meant as text", what, r.Value, f.article())
		return "", false
	}
	if f == formBool && r.Tag != "!!bool" && r.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 {
		if _, err := parseBool(r.Value); err != nil && !hasReference(r.Value) {
			l.failf(l.place(n), "%s is %s, not true or false", what, describe(r))
			return "", false
		}
	}
	return l.expand(r.Value, l.place(n))
}

// text returns the text of a scalar that is a name or a string.
func (l *loader) text(n *yaml.Node, what string) (string, bool) { return l.scalar(n, what, formText) }

// plainTag says whether t is one of the tags that YAML itself gives to scalars.
func plainTag(t string) bool {
	switch t {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!merge", "!!null":
		return true
	}
	return false
}

// resolve follows an alias to what it stands for.
func (l *loader) resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// visit counts a node, and answers false when there have been too many.
func (l *loader) visit(n *yaml.Node) bool {
	l.visits++
	switch {
	case l.gaveUp:
	case l.visits > l.maxVisits:
		l.failf(l.place(n), "with its aliases followed the file has more than %d nodes", l.maxVisits)
		l.gaveUp = true
	case l.faults > maxFaults:
		l.failf(l.place(n), "there are more than %d errors; what follows was not looked at", maxFaults)
		l.gaveUp = true
	}
	return !l.gaveUp
}

// countNodes returns the nodes of n and below, aliases not followed.
func countNodes(n *yaml.Node) int {
	count := 1
	for _, c := range n.Content {
		count += countNodes(c)
	}
	return count
}

func (l *loader) place(n *yaml.Node) Place {
	if n == nil {
		return Place{File: l.path}
	}
	return Place{File: l.path, Line: n.Line, Column: n.Column}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// describe says what n is, for "X is ..., not ...".
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	if isNull(n) {
		return "empty"
	}
	if len(n.Value) > 60 {
		return fmt.Sprintf("%.60q...", n.Value)
	}
	return fmt.Sprintf("%q", n.Value)
}
