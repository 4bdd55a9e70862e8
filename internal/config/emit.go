package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// EmitDevice is a device to write down.
type EmitDevice struct {
	ID      string // made to fit
	Address string
	Options map[string]string
	Tags    []EmitTag
}

// EmitTag is a tag to write down. The name is made to fit, and is another one where it was there before.
type EmitTag struct {
	Name     string
	Address  string
	Writable bool
}

// Emit writes a configuration of one device that Load reads and that runs as it is, with all tags in one group, and what comes of them in files.
func Emit(d EmitDevice) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "devices:\n  - id: %s\n    address: %s\n", yamlText(fitName(d.ID, false)), yamlText(braced(d.Address)))
	if len(d.Options) > 0 {
		b.WriteString("    options:\n")
		for _, name := range slices.Sorted(maps.Keys(d.Options)) {
			fmt.Fprintf(&b, "      %s: %s\n", name, yamlText(braced(d.Options[name])))
		}
	}
	b.WriteString("    groups:\n      all:\n        interval: 1s\n        tags:\n")
	taken := map[string]bool{}
	for _, t := range d.Tags {
		name := unusedName(fitName(t.Name, true), taken)
		text := quoteWord(braced(t.Address))
		if t.Writable {
			text += " rw"
		}
		fmt.Fprintf(&b, "          %s: %s\n", yamlText(name), yamlText(text))
	}
	b.WriteString("sinks:\n  - {id: files, type: file, dir: ./out, from: oldest}\n")
	return b.Bytes()
}

// fitName returns s with _ for what a name cannot have.
func fitName(s string, slash bool) string {
	s = strings.Map(func(r rune) rune {
		if nameRune(r) || slash && r == '/' {
			return r
		}
		return '_'
	}, s)
	s = strings.Trim(s, "/")
	const longest = 180 // with room for a number
	for len(s) > longest {
		r := []rune(s)
		s = strings.Trim(string(r[1:]), "/")
	}
	if s == "" {
		return "_"
	}
	return s
}

// unusedName returns name, or name_2 and so on, and takes it.
func unusedName(name string, taken map[string]bool) string {
	out := name
	for n := 2; taken[out]; n++ {
		out = fmt.Sprintf("%s_%d", name, n)
	}
	taken[out] = true
	return out
}

// braced writes s so that nothing in it is a parameter or a reference.
func braced(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "{", "{{"), "}", "}}")
	return strings.ReplaceAll(s, "${{", "$${{")
}

// quoteWord writes an address as one word of a tag's string.
func quoteWord(s string) string {
	if s != "" && !strings.HasPrefix(s, `"`) && !strings.ContainsAny(s, " \t\r\n") {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// yamlText writes s as a text, whatever is in it: a JSON string is one.
func yamlText(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}
