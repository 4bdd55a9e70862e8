package config

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// overridePrefix begins the environment variables that stand for single keys: MILLRACE__GATEWAY__LISTEN is gateway.listen, two underscores
// for each level.
const overridePrefix = "MILLRACE__"

// applyEnvironment puts the values of such variables in place of the file's, as if they stood in it.
func (l *loader) applyEnvironment() {
	vars := slices.DeleteFunc(os.Environ(), func(v string) bool { return !strings.HasPrefix(v, overridePrefix) })
	slices.Sort(vars)
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		section, key, _ := strings.Cut(strings.TrimPrefix(name, overridePrefix), "__")
		switch section {
		case "GATEWAY":
			override(l, &gatewayKeys, &l.doc.gateway, name, key, value)
		case "JOURNAL":
			override(l, &journalKeys, &l.doc.journal, name, key, value)
		default:
			l.add(&Error{Place: fromEnvironment(name), Msg: "only keys of gateway and journal can be set so", Meant: Nearest(name, overrides())})
		}
	}
}

// fromEnvironment is where the value of a variable stands.
func fromEnvironment(name string) Place { return Place{File: "environment variable " + name} }

// override sets the key of m that the variable called name is for.
func override[T any](l *loader, m *mapping[T], dst *T, name, key, value string) {
	at := fromEnvironment(name)
	i := m.index(strings.ToLower(key))
	if i < 0 || key != strings.ToUpper(key) {
		l.add(&Error{Place: at, Msg: fmt.Sprintf("there is no key %q in %s", strings.ToLower(key), m.name), Meant: Nearest(name, overrides())})
		return
	}
	k := &m.keys[i]
	if err := k.set(dst, value); err != nil {
		l.wrong(at, k.name, err)
		return
	}
	if k.at != nil {
		k.at(dst, at)
	}
	l.cfg.Overrides = append(l.cfg.Overrides, name)
}

// overrides returns the names of all variables there can be.
func overrides() []string {
	var out []string
	for _, t := range []table{&gatewayKeys, &journalKeys} {
		section, _ := t.what()
		for _, f := range t.facts() {
			out = append(out, overridePrefix+strings.ToUpper(section+"__"+f.name))
		}
	}
	return out
}
