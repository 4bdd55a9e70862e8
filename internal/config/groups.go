package config

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"millrace/internal/device"
)

// merged returns the groups of a template with those of a device put over them: groups of the same name are one, a tag replaces
// the one of the same name in whichever group that is. Neither argument is changed.
func merged(under, over []groupDraft) []groupDraft {
	if len(over) == 0 {
		return under
	}
	replaced := map[string]bool{}
	for i := range over {
		for j := range over[i].tags {
			replaced[over[i].tags[j].name] = true
		}
	}
	out := make([]groupDraft, 0, len(under)+len(over))
	for _, g := range under {
		g.tags = slices.DeleteFunc(slices.Clone(g.tags), func(t tagDraft) bool { return replaced[t.name] })
		out = append(out, g)
	}
	for _, g := range over {
		i := slices.IndexFunc(out, func(o groupDraft) bool { return o.name == g.name })
		if i < 0 {
			out = append(out, g)
			continue
		}
		out[i].at = g.at
		out[i].interval = cmp.Or(g.interval, out[i].interval)
		out[i].tags = append(out[i].tags, g.tags...)
	}
	return out
}

// groups makes the groups of spec from drafts, and has the driver check the addresses.
func (l *loader) groups(spec *device.Spec, drafts []groupDraft, sc *scope, shared bool) bool {
	ok := true
	for i := range drafts {
		d := &drafts[i]
		if len(d.tags) == 0 {
			continue // a template's group whose tags went elsewhere, or one that is reported below
		}
		if l.tags += len(d.tags); l.tags > maxTags {
			l.add(&Error{Place: Place{File: l.path}, Msg: fmt.Sprintf("there are more than %d tags", maxTags)})
			return false
		}
		g := device.Group{Name: d.name, Interval: cmp.Or(d.interval, defaultInterval), Tags: make([]device.TagSpec, len(d.tags))}
		good := true
		for j := range d.tags {
			err := l.fillTag(&g.Tags[j], &d.tags[j], spec.Driver, sc)
			if err != nil {
				l.add(&Error{Place: d.tags[j].at, Msg: err.Error(), Device: spec.Name})
				good = false
			}
		}
		good = good && l.checkGroup(spec, g, d, sc, shared)
		ok = ok && good
		spec.Groups = append(spec.Groups, g)
	}
	return ok
}

// tagFault is what the driver says against tag i of a group, or against the group when i is -1.
type tagFault struct {
	i   int
	msg string
}

// checkGroup has the driver compile the tags of g. Groups that differ only in names are compiled once.
func (l *loader) checkGroup(spec *device.Spec, g device.Group, d *groupDraft, sc *scope, shared bool) bool {
	faults, known := []tagFault(nil), false
	var key [sha256.Size]byte
	if shared {
		key = compileKey(spec, g)
		faults, known = l.compiled[key]
	}
	if !known {
		faults = l.compile(spec, g)
		if shared {
			l.compiled[key] = faults
		}
	}
	for _, f := range faults {
		e := &Error{Place: d.at, Msg: fmt.Sprintf("group %s: %s", g.Name, f.msg)}
		if f.i >= 0 {
			t := &d.tags[f.i]
			e.Place, e.Msg = t.at, fmt.Sprintf("tag %s: address %q: %s", t.name, t.address.fill(sc), f.msg)
		}
		if shared {
			e.Device = spec.Name
		}
		l.add(e)
	}
	return len(faults) == 0
}

// compileKey is equal for groups about which the driver has the same opinion. It is a digest, since a large group's text is large.
func compileKey(spec *device.Spec, g device.Group) [sha256.Size]byte {
	b := make([]byte, 0, 64*(len(g.Tags)+1))
	b = append(b, spec.Addr.Scheme...)
	for _, k := range slices.Sorted(maps.Keys(spec.Addr.Options)) {
		b = append(b, "\x00"+k+"="+spec.Addr.Options[k]...)
	}
	for i := range g.Tags {
		t := &g.Tags[i]
		b = append(append(b, "\x00\x00"...), t.Address...)
		if t.Writable {
			b = append(b, " rw"...)
		}
		if t.Terms().Scale != 0 {
			b = append(b, " scaled"...)
		}
	}
	return sha256.Sum256(b)
}

func (l *loader) compile(spec *device.Spec, g device.Group) []tagFault {
	_, err := l.drivers[spec.Driver].Compile(spec.Addr, g.Tags, spec.Limits)
	if err == nil {
		return nil
	}
	index := make(map[string]int, len(g.Tags))
	for i := range g.Tags {
		index[g.Tags[i].Name] = i
	}
	var out []tagFault
	for _, one := range joined(err) {
		var te *device.TagError
		if !errors.As(one, &te) {
			out = append(out, tagFault{-1, one.Error()})
			continue
		}
		i, ok := index[te.Tag]
		if !ok {
			i = -1
		}
		out = append(out, tagFault{i, te.Err.Error()})
	}
	return out
}

// joined returns the errors that errors.Join put together.
func joined(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range many.Unwrap() {
			out = append(out, joined(e)...)
		}
		return out
	}
	return []error{err}
}
