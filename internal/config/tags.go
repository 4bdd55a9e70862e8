package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"millrace/internal/device"
)

// tagDraft is a tag as written.
type tagDraft struct {
	name    string
	at      Place // of its address
	address pattern
	attrs   []attr   // those that refer to parameters
	said    tagAttrs // by those that do not
}

// tagAttrs is what stands behind the address of a tag.
type tagAttrs struct {
	device.Terms
	writable bool
}

// attr is key=value behind the address of a tag.
type attr struct {
	key   string
	value pattern
	at    Place
}

func tagAttrNames() string { return strings.Join(tagKeys.names(), ", ") }

// tagFromString reads "address key=value ...".
func (l *loader) tagFromString(p pair, s string) (tagDraft, bool) {
	words, err := splitWords(s)
	if err != nil {
		l.failf(l.place(p.value), "tag %s: %v", p.name, err)
		return tagDraft{}, false
	}
	if len(words) == 0 {
		l.failf(l.place(p.value), "tag %s: the address is missing", p.name)
		return tagDraft{}, false
	}
	t := tagDraft{name: p.name, at: l.inside(p.value, s, words[0].offset)}
	if t.address, err = parsePattern(words[0].text); err != nil {
		l.failf(t.at, "tag %s: %v", p.name, err)
		return t, false
	}
	var attrs []attr
	ok := true
	for _, w := range words[1:] {
		a, good := l.attr(p.name, w.text, l.inside(p.value, s, w.offset))
		attrs, ok = append(attrs, a), ok && good
	}
	return t, ok && l.setAttrs(&t, attrs)
}

// attr reads one key=value, or a key alone for one that is true or false.
func (l *loader) attr(tagName, word string, at Place) (attr, bool) {
	name, value, assigned := strings.Cut(word, "=")
	i := tagKeys.index(name)
	switch {
	case i < 0:
		l.add(&Error{Place: at, Msg: fmt.Sprintf("tag %s: unknown %q behind the address; known are %s", tagName, name, tagAttrNames()), Meant: Nearest(name, tagKeys.names())})
		return attr{}, false
	case !assigned && tagKeys.keys[i].form != formBool:
		l.failf(at, "tag %s: %s needs a value: %s=...", tagName, name, name)
		return attr{}, false
	case !assigned:
		value = "true"
	}
	v, err := parsePattern(value)
	if err != nil {
		l.failf(at, "tag %s: %s: %v", tagName, name, err)
		return attr{}, false
	}
	return attr{name, v, at}, true
}

// setAttrs puts what does not depend on parameters into t.said, checks it, and keeps the rest in t.attrs.
func (l *loader) setAttrs(t *tagDraft, attrs []attr) bool {
	for i, a := range attrs {
		for _, other := range attrs[:i] {
			if other.key == a.key {
				l.failf(a.at, "tag %s: %s is there twice", t.name, a.key)
				return false
			}
		}
		if !a.value.constant() {
			t.attrs = append(t.attrs, a)
			continue
		}
		if err := setAttr(&t.said, a.key, a.value.text); err != nil {
			l.failf(a.at, "tag %s: %s: %v", t.name, a.key, err)
			return false
		}
	}
	if len(t.attrs) > 0 {
		return true
	}
	if err := checkTag(&t.said); err != nil {
		l.failf(t.at, "tag %s: %v", t.name, err)
		return false
	}
	return true
}

func setAttr(t *tagAttrs, name, value string) error {
	return tagKeys.keys[tagKeys.index(name)].set(t, value)
}

// checkTag checks what the attributes of a tag say together.
func checkTag(t *tagAttrs) error {
	d := t.Deadband
	switch {
	case d.Every && (d.Abs != 0 || d.Percent != 0):
		return errors.New("every keeps all values, a deadband does not; take one of them")
	case (d.Low != 0 || d.High != 0) && d.Percent == 0 && !t.writable:
		return errors.New("low and high are the range of a deadband in percent, and there is none, or of what may be written, and the tag is read-only")
	case (d.Low != 0 || d.High != 0) && d.Low >= d.High:
		return fmt.Errorf("low=%g is not below high=%g", d.Low, d.High)
	}
	return nil
}

func deadbandKey() key[tagAttrs] {
	return key[tagAttrs]{
		facts: facts{name: "deadband", form: formDeadband, doc: "Keep a value only when it is further from the last one kept than this: `0.5` in the engineering unit, or `2%` of the range from low to high. A change of quality is always kept."},
		scalar: func(t *tagAttrs, s string) error {
			digits, percent := strings.CutSuffix(s, "%")
			v, err := parseNumber(digits)
			if err != nil || v < 0 || percent && v > 100 {
				return fmt.Errorf("%q is not a deadband; write 0.5, or 2%% of the range from low= to high=", s)
			}
			if percent {
				t.Deadband.Percent = v
			} else {
				t.Deadband.Abs = v
			}
			return nil
		},
	}
}

// fill returns what is said of the tag of a device.
func (t *tagDraft) fill(s *scope) (tagAttrs, error) {
	said := t.said
	for _, a := range t.attrs {
		v := a.value.fill(s)
		if err := setAttr(&said, a.key, v); err != nil {
			return said, fmt.Errorf("tag %s: %s: %w", t.name, a.key, err)
		}
	}
	if len(t.attrs) > 0 {
		if err := checkTag(&said); err != nil {
			return said, fmt.Errorf("tag %s: %w", t.name, err)
		}
	}
	return said, nil
}

// word is one word of a tag's string; offset is where it begins, in bytes.
type word struct {
	text   string
	offset int
}

// splitWords cuts s at spaces. A word that begins with a double quote goes on to the next one, and two of them inside it are one:
// "ns=2;s=Main Tank", "ns=3;s=""Main Tank"".Level".
func splitWords(s string) ([]word, error) {
	var out []word
	for i := 0; i < len(s); {
		if s[i] == ' ' || s[i] == '\t' || s[i] == '\n' || s[i] == '\r' {
			i++
			continue
		}
		if s[i] == '"' {
			text, length, ok := quoted(s[i:])
			switch {
			case !ok:
				return nil, errors.New("a quote is not closed")
			case i+length < len(s) && !strings.ContainsRune(" \t\n\r", rune(s[i+length])):
				return nil, fmt.Errorf("behind the closing quote of %q stands %q: put a space between them, or write a quote of the address twice", text, s[i+length:])
			}
			out = append(out, word{text, i + 1})
			i += length
			continue
		}
		end := strings.IndexAny(s[i:], " \t\n\r")
		if end < 0 {
			end = len(s) - i
		}
		out = append(out, word{s[i : i+end], i})
		i += end
	}
	return out, nil
}

// quoted reads the quoted word that s begins with, and returns how long it is with its quotes.
func quoted(s string) (text string, length int, ok bool) {
	for i := 1; ; {
		end := strings.IndexByte(s[i:], '"')
		if end < 0 {
			return "", 0, false
		}
		text += s[i : i+end]
		if i += end + 1; i == len(s) || s[i] != '"' {
			return text, i, true
		}
		text += `"`
		i++
	}
}

// inside returns the place of byte offset of s, the text of scalar n. Where the text is not in the file as it is (escapes, several
// lines, text from elsewhere), it is the place of the scalar.
func (l *loader) inside(n *yaml.Node, s string, offset int) Place {
	p := l.place(n)
	r := l.resolve(n)
	if r != n || r.Value != s || strings.ContainsAny(s, "\n\\\"'") {
		return p
	}
	switch r.Style &^ yaml.TaggedStyle {
	case yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle:
		p.Column++
	case 0:
	default:
		return p
	}
	p.Column += utf8.RuneCountInString(s[:offset])
	return p
}
