package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// form is what a key's value looks like.
type form uint8

const (
	formText     form = iota // text that must not be empty
	formSecret               // text that is never printed
	formDuration             // 250ms, 10s, 1h30m, 7d
	formSize                 // 64MiB
	formInteger
	formNumber
	formBool
	formChoice  // one of facts.choices
	formChoices // a list of them
	formMapping // facts.of
	formList    // of mappings: facts.of
	formNamed   // names of the user's own choice, each with a mapping: facts.of
	formTags    // names, each with a tag in one string
	formParams  // names, each with a scalar or, for a parameter without a default, with nothing
	formOptions // the keys of facts.of and, for the driver, any others
	formFile    // path of a file, relative to the configuration file
	formDeadband
	formParam   // the value of a parameter or an option: text, a number, true or false
	formTag     // the string of a tag
	formProfile // one of facts.choices, or the mapping facts.of
	formTexts   // a list of texts
	formLabels  // names, each with a scalar
	formActions // a list, each one of facts.choices or the mapping facts.of
)

// facts is what is known of a key without its Go type. The loader, the JSON Schema and docs/config.md are made from it.
type facts struct {
	name     string
	form     form
	preset   string // the default as one would write it, "" for none
	late     bool   // the default is filled in when templates and devices have been put together
	required bool
	only     string // the value of the sibling key type with which this key goes, "" for all
	choices  []string
	min, max float64 // bounds of a number, a size in bytes, a duration in seconds; max 0 is no bound
	of       table
	doc      string
}

// table is a mapping without its Go type.
type table interface {
	what() (name, doc string)
	facts() []facts
	either() []string // keys of which exactly one must be there
}

// mapping is one kind of YAML mapping: its keys, and where each goes in a T.
type mapping[T any] struct {
	name string // "group", for messages
	doc  string
	keys []key[T]
	kind func(*T) string // the value of its key type, nil when it has none
	one  []string        // keys of which exactly one must be there
}

// key is one key of a mapping. Exactly one of scalar and node is set.
type key[T any] struct {
	facts
	scalar func(dst *T, text string) error
	node   func(l *loader, dst *T, n *yaml.Node)
	at     func(dst *T, p Place) // told where the value stands; may be nil
}

func (m *mapping[T]) what() (string, string) { return m.name, m.doc }

func (m *mapping[T]) either() []string { return m.one }

func (m *mapping[T]) facts() []facts {
	out := make([]facts, len(m.keys))
	for i := range m.keys {
		out[i] = m.keys[i].facts
	}
	return out
}

func (m *mapping[T]) names() []string {
	out := make([]string, len(m.keys))
	for i := range m.keys {
		out[i] = m.keys[i].name
	}
	return out
}

// The modifiers return a copy of k with one fact more.

func (k key[T]) must() key[T]                 { k.required = true; return k }
func (k key[T]) onlyFor(kind string) key[T]   { k.only = kind; return k }
func (k key[T]) within(lo, hi float64) key[T] { k.min, k.max = lo, hi; return k }
func (k key[T]) afterMerge() key[T]           { k.late = true; return k }
func (k key[T]) checked(f func(string) error) key[T] {
	set := k.scalar
	k.scalar = func(dst *T, s string) error {
		if err := f(s); err != nil {
			return err
		}
		return set(dst, s)
	}
	return k
}
func (k key[T]) placed(f func(*T) *Place) key[T] {
	k.at = func(dst *T, p Place) { *f(dst) = p }
	return k
}

func text[T any](name, preset, doc string, to func(*T) *string) key[T] {
	return key[T]{facts: facts{name: name, form: formText, preset: preset, doc: doc}, scalar: func(dst *T, s string) error {
		if s == "" {
			return fmt.Errorf("it is empty")
		}
		*to(dst) = s
		return nil
	}}
}

func secret[T any](name, doc string, to func(*T) *Secret) key[T] {
	return key[T]{facts: facts{name: name, form: formSecret, doc: doc}, scalar: func(dst *T, s string) error {
		if s == "" {
			return fmt.Errorf("it is empty")
		}
		*to(dst) = NewSecret(s)
		return nil
	}}
}

func duration[T any](name, preset, doc string, to func(*T) *time.Duration) key[T] {
	return key[T]{facts: facts{name: name, form: formDuration, preset: preset, doc: doc}, scalar: func(dst *T, s string) (err error) {
		*to(dst), err = ParseDuration(s)
		return err
	}}
}

func size[T any](name, preset, doc string, to func(*T) *int64) key[T] {
	return key[T]{facts: facts{name: name, form: formSize, preset: preset, doc: doc}, scalar: func(dst *T, s string) (err error) {
		*to(dst), err = ParseSize(s)
		return err
	}}
}

func integer[T any](name, preset, doc string, to func(*T) *int) key[T] {
	return key[T]{facts: facts{name: name, form: formInteger, preset: preset, doc: doc}, scalar: func(dst *T, s string) error {
		n, err := strconv.Atoi(s)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", s)
		}
		*to(dst) = n
		return nil
	}}
}

func number[T any](name, preset, doc string, to func(*T) *float64) key[T] {
	return key[T]{facts: facts{name: name, form: formNumber, preset: preset, doc: doc}, scalar: func(dst *T, s string) (err error) {
		*to(dst), err = parseNumber(s)
		return err
	}}
}

func boolean[T any](name, preset, doc string, to func(*T) *bool) key[T] {
	return key[T]{facts: facts{name: name, form: formBool, preset: preset, doc: doc}, scalar: func(dst *T, s string) (err error) {
		*to(dst), err = parseBool(s)
		return err
	}}
}

func choice[T any](name, preset string, choices []string, doc string, to func(*T) *string) key[T] {
	return key[T]{facts: facts{name: name, form: formChoice, preset: preset, choices: choices, doc: doc}, scalar: func(dst *T, s string) error {
		if !slices.Contains(choices, s) {
			return unknownChoice(s, choices)
		}
		*to(dst) = s
		return nil
	}}
}

// unknownError is a name that is not known; the nearest known one is offered.
type unknownError struct {
	msg   string
	meant string
}

func (e *unknownError) Error() string { return e.msg }

func unknownChoice(s string, choices []string) error {
	return &unknownError{fmt.Sprintf("%q is not one of %s", s, strings.Join(choices, ", ")), Nearest(s, choices)}
}

func choices[T any](name string, preset string, all []string, doc string, to func(*T) *[]string) key[T] {
	return key[T]{facts: facts{name: name, form: formChoices, preset: preset, choices: all, doc: doc}, node: func(l *loader, dst *T, n *yaml.Node) {
		for _, item := range l.items(n, name) {
			s, ok := l.text(item, name)
			switch {
			case !ok:
			case !slices.Contains(all, s):
				l.wrong(l.place(item), name, unknownChoice(s, all))
			case slices.Contains(*to(dst), s):
				l.failf(l.place(item), "%s: %q is there twice", name, s)
			default:
				*to(dst) = append(*to(dst), s)
			}
		}
	}}
}

// sub is a key whose value is one mapping.
func sub[T, U any](name string, m *mapping[U], doc string, to func(*T) *U) key[T] {
	return key[T]{facts: facts{name: name, form: formMapping, of: m, doc: doc}, node: func(l *loader, dst *T, n *yaml.Node) {
		decode(l, m, n, to(dst))
	}}
}

// list is a key whose value is a list of mappings.
func list[T, U any](name string, m *mapping[U], doc string, to func(*T) *[]U) key[T] {
	return key[T]{facts: facts{name: name, form: formList, of: m, doc: doc}, node: func(l *loader, dst *T, n *yaml.Node) {
		items := l.items(n, name)
		out := make([]U, 0, len(items))
		for _, item := range items {
			var u U
			if decode(l, m, item, &u) {
				out = append(out, u)
			}
		}
		*to(dst) = out
	}}
}

// named is a key whose value is a mapping of names to mappings. label gives each its name and place.
func named[T, U any](name string, m *mapping[U], doc string, to func(*T) *[]U, label func(*U, string, Place)) key[T] {
	return key[T]{facts: facts{name: name, form: formNamed, of: m, doc: doc}, node: func(l *loader, dst *T, n *yaml.Node) {
		for _, p := range l.pairs(n, name) {
			if err := checkName(p.name, false); err != nil {
				l.failf(p.at, "%s: %v", name, err)
				continue
			}
			var u U
			label(&u, p.name, p.at)
			if decode(l, m, p.value, &u) {
				*to(dst) = append(*to(dst), u)
			}
		}
	}}
}
