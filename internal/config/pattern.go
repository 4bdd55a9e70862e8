package config

import (
	"fmt"
	"slices"
	"strings"
)

// pattern is text in which {name} and ${param.name} stand for parameters and {{ and }} for braces.
type pattern struct {
	raw    string
	pieces []piece // nil when the text is constant; then it is text
	text   string
}

// piece is literal text, or a parameter when name is not empty.
type piece struct {
	text string
	name string
}

// constant says whether p is the same for every device.
func (p *pattern) constant() bool { return p.pieces == nil }

// parsePattern reads a pattern. Which parameters there are is not known yet.
func parsePattern(s string) (pattern, error) {
	p := pattern{raw: s, text: s}
	if !strings.ContainsAny(s, "{}") {
		return p, nil
	}
	var lit strings.Builder
	for i := 0; i < len(s); {
		skip, prefix := 1, ""
		switch {
		case strings.HasPrefix(s[i:], "{{"), strings.HasPrefix(s[i:], "}}"):
			lit.WriteByte(s[i])
			i += 2
			continue
		case strings.HasPrefix(s[i:], "${{"): // a dollar sign before a brace
			lit.WriteByte('$')
			i++
			continue
		case s[i] == '}':
			return p, fmt.Errorf("%q has a } without a {; write }} for a brace", s)
		case strings.HasPrefix(s[i:], "${"):
			skip, prefix = 2, "param."
		case s[i] != '{':
			lit.WriteByte(s[i])
			i++
			continue
		}
		end := strings.IndexByte(s[i:], '}')
		if end < 0 {
			return p, fmt.Errorf("%q has a { without a }; write {{ for a brace", s)
		}
		name, ok := strings.CutPrefix(s[i+skip:i+end], prefix)
		if !ok || checkParamName(name) != nil && name != "id" {
			return p, fmt.Errorf("%s is not a reference to a parameter; write {name}, and {{ for a brace", s[i:i+end+1])
		}
		p.pieces = append(p.pieces, piece{text: lit.String()}, piece{name: name})
		lit.Reset()
		i += end + 1
	}
	if p.pieces == nil {
		p.text = lit.String()
		return p, nil
	}
	p.pieces = append(p.pieces, piece{text: lit.String()})
	return p, nil
}

// params calls f with each parameter that p refers to.
func (p *pattern) params(f func(name string)) {
	for _, part := range p.pieces {
		if part.name != "" {
			f(part.name)
		}
	}
}

// scope is what the parameters of one device stand for.
type scope struct {
	id     string
	params []param
}

func (s *scope) value(name string) string {
	if name == "id" {
		return s.id
	}
	if i := slices.IndexFunc(s.params, func(p param) bool { return p.name == name }); i >= 0 {
		return s.params[i].value
	}
	return "" // checked before: every reference was looked up
}

// fill returns the text of p for a device.
func (p *pattern) fill(s *scope) string {
	if p.constant() {
		return p.text
	}
	n := 0
	for _, part := range p.pieces {
		n += len(part.text)
		if part.name != "" {
			n += len(s.value(part.name))
		}
	}
	out := make([]byte, 0, n)
	for _, part := range p.pieces {
		out = append(out, part.text...)
		if part.name != "" {
			out = append(out, s.value(part.name)...)
		}
	}
	return string(out)
}
