package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"millrace/internal/device"
	"millrace/internal/heal"
)

// A label says something of a device: where it stands, what it is. Its value may refer to parameters.

const mostLabel = 100 // bytes of a label's value

func labelsKey[T any](to func(*T) *[]option) key[T] {
	doc := "What else is known of it, such as `site: north`: names with a value each. They are in the API, and [healing](#regions) makes regions of them. A device's go over its template's; {name} stands for a parameter."
	return key[T]{facts: facts{name: "labels", form: formLabels, doc: doc}, node: func(l *loader, dst *T, n *yaml.Node) {
		l.eachLabel(n, func(name, text string, at Place) {
			v, err := parsePattern(text)
			if err != nil {
				l.failf(at, "label %s: %v", name, err)
				return
			}
			*to(dst) = append(*to(dst), option{name, at, v})
		})
	}}
}

// regionLabelsKey are labels that the devices of a region have.
func regionLabelsKey() key[heal.RegionSpec] {
	return key[heal.RegionSpec]{facts: facts{name: "labels", form: formLabels, doc: "Labels of devices: those that have all of them."}, node: func(l *loader, r *heal.RegionSpec, n *yaml.Node) {
		l.eachLabel(n, func(name, text string, at Place) {
			if err := checkLabel(text); err != nil {
				l.failf(at, "label %s: %v", name, err)
				return
			}
			if r.Labels == nil {
				r.Labels = map[string]string{}
			}
			r.Labels[name] = text
		})
	}}
}

// eachLabel reads a mapping of labels.
func (l *loader) eachLabel(n *yaml.Node, visit func(name, text string, at Place)) {
	for _, p := range l.pairs(n, "labels") {
		if err := checkName(p.name, false); err != nil {
			l.failf(p.at, "labels: %v", err)
			continue
		}
		if s, ok := l.scalar(p.value, "label "+p.name, formParam); ok {
			visit(p.name, s, l.place(p.value))
		}
	}
}

func checkLabel(s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return fmt.Errorf("it must not be empty")
	case len(s) > mostLabel:
		return fmt.Errorf("it is longer than %d bytes", mostLabel)
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7F }):
		return fmt.Errorf("%q has characters that cannot be shown", s)
	}
	return nil
}

// labels sets the labels of d, and those of its template that it does not have itself.
func (l *loader) labels(spec *device.Spec, d *deviceDraft, t *templateDraft, sc *scope) bool {
	all, ok := over(d.labels, templateLabels(t)), true
	for i := range all {
		o := &all[i]
		v := o.value.fill(sc)
		if err := checkLabel(v); err != nil {
			l.add(&Error{Place: o.at, Msg: fmt.Sprintf("label %s: %v", o.name, err), Device: who(d, t)})
			ok = false
			continue
		}
		if spec.Labels == nil {
			spec.Labels = make(map[string]string, len(all))
		}
		spec.Labels[o.name] = v
	}
	spec.Labels = l.shared(spec.Labels)
	return ok
}

func templateLabels(t *templateDraft) []option {
	if t == nil {
		return nil
	}
	return t.labels
}

// over returns own, and what of under has another name.
func over(own, under []option) []option {
	if len(own) == 0 {
		return under
	}
	out := slices.Clone(own)
	for _, o := range under {
		if !slices.ContainsFunc(own, func(p option) bool { return p.name == o.name }) {
			out = append(out, o)
		}
	}
	return out
}
