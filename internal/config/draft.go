package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"millrace/internal/device"
)

// The drafts are what the file says, before templates and devices are put together.

type document struct {
	gateway   Gateway
	journal   journalDraft
	templates []templateDraft
	devices   []deviceDraft
	sinks     []sinkDraft
	notify    []notifyDraft
	serve     []serveDraft
	heal      healDraft
	write     Write
}

type journalDraft struct {
	Journal
	maxBytesAt Place
}

type templateDraft struct {
	name       string
	place      Place
	params     []param
	protocol   string
	protocolAt Place
	profile    profileDraft
	routing    routingDraft
	predict    predictDraft
	options    []option
	labels     []option
	groups     []groupDraft
	used       bool // a device is made from it
	broken     bool // it refers to parameters that it does not have
}

type deviceDraft struct {
	id         string
	idAt       Place
	csv        string
	csvAt      Place
	template   string
	templateAt Place
	address    string
	addressAt  Place
	params     []param
	profile    profileDraft
	routes     []routeDraft
	routing    routingDraft
	predict    predictDraft
	options    []option
	labels     []option
	groups     []groupDraft
	groupsAt   Place
	fromCSV    bool
}

// at is where the device stands, as near as is known.
func (d *deviceDraft) at() Place {
	for _, p := range []Place{d.idAt, d.csvAt, d.addressAt, d.templateAt} {
		if p != (Place{}) {
			return p
		}
	}
	return Place{}
}

type groupDraft struct {
	name     string
	at       Place
	interval time.Duration // 0 when not said
	csv      string
	csvAt    Place
	written  bool // tags stand there, right or wrong
	tags     []tagDraft
}

type sinkDraft struct {
	Sink
	at Place
}

type notifyDraft struct {
	Notify
	at Place
}

type serveDraft struct {
	Serve
	at    Place
	trust string
}

// param is a template's parameter with its default, or a device's value for one.
type param struct {
	name  string
	at    Place
	value string
	given bool // a value stands there
	used  bool // of a template: something refers to it
}

// option is one option as written; its value may refer to parameters.
type option struct {
	name  string
	at    Place
	value pattern
}

type profileDraft struct {
	at       Place
	base     string
	floor    time.Duration
	ceiling  time.Duration
	failures int
	window   time.Duration
	cap      time.Duration

	connect, handshake, write, operation, slowCall time.Duration
	failureRate, slowRate                          float64
	minCalls, probes                               int
	degrade                                        string // on, off, or not said
}

func paramsKey[T any](doc string, to func(*T) *[]param) key[T] {
	return key[T]{facts: facts{name: "params", form: formParams, doc: doc}, node: func(l *loader, dst *T, n *yaml.Node) {
		for _, p := range l.pairs(n, "params") {
			if err := checkParamName(p.name); err != nil {
				l.failf(p.at, "params: %v", err)
				continue
			}
			one := param{name: p.name, at: l.place(p.value)}
			if !isNull(l.resolve(p.value)) {
				one.value, one.given = l.scalar(p.value, "parameter "+p.name, formParam)
				if !one.given {
					continue
				}
			} else {
				one.at = p.at
			}
			*to(dst) = append(*to(dst), one)
		}
	}}
}

func checkParamName(s string) error {
	for i, r := range s {
		if !(r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || i > 0 && r >= '0' && r <= '9') {
			return fmt.Errorf("%q is not the name of a parameter; letters, digits and _ may stand in it", s)
		}
	}
	switch s {
	case "":
		return fmt.Errorf("a parameter needs a name")
	case "id":
		return fmt.Errorf("id is the device's own id and no parameter")
	}
	return nil
}

func optionsKey[T any](to func(*T) *[]option) key[T] {
	return key[T]{facts: facts{name: "options", form: formOptions, of: &optionKeys, doc: "Limits of the device, and options of its driver."}, node: func(l *loader, dst *T, n *yaml.Node) {
		for _, p := range l.pairs(n, "options") {
			s, ok := l.scalar(p.value, "option "+p.name, formParam)
			if !ok {
				continue
			}
			v, err := parsePattern(s)
			if err != nil {
				l.failf(l.place(p.value), "option %s: %v", p.name, err)
				continue
			}
			*to(dst) = append(*to(dst), option{p.name, l.place(p.value), v})
		}
	}}
}

// passed is an option that the driver reads and checks. f serves the schema and the reference.
func passed(name string, f form, doc string) key[device.Spec] {
	return key[device.Spec]{facts: facts{name: name, form: f, doc: doc}, scalar: func(s *device.Spec, text string) error {
		s.Addr.Options[name] = text
		return nil
	}}
}

func profileKey[T any](to func(*T) *profileDraft) key[T] {
	return key[T]{facts: facts{name: "profile", form: formProfile, choices: profileNames, of: &profileKeys, doc: "How patient the gateway is: the name of a profile, or a mapping that overrides single fields of one."},
		node: func(l *loader, dst *T, n *yaml.Node) {
			p := to(dst)
			if l.resolve(n).Kind == yaml.MappingNode {
				decode(l, &profileKeys, n, p)
			} else if s, ok := l.scalar(n, "profile", formProfile); ok {
				if p.base = s; !slices.Contains(profileNames, s) {
					l.wrong(l.place(n), "profile", unknownChoice(s, profileNames))
					return
				}
			}
			p.at = l.place(n)
		}}
}

func groupsKey[T any](to func(*T) *[]groupDraft) key[T] {
	return named("groups", &groupKeys, "Sets of tags, each with an interval of its own.", to,
		func(g *groupDraft, name string, at Place) { g.name, g.at = name, at })
}

func tagsKey(doc string) key[groupDraft] {
	return key[groupDraft]{facts: facts{name: "tags", form: formTags, of: &tagKeys, doc: doc}, node: func(l *loader, g *groupDraft, n *yaml.Node) {
		pairs := l.pairs(n, "tags")
		g.written = len(pairs) > 0
		g.tags = slices.Grow(g.tags, len(pairs))
		for _, p := range pairs {
			if err := checkName(p.name, true); err != nil {
				l.failf(p.at, "tags: %v", err)
				continue
			}
			if s, ok := l.scalar(p.value, "tag "+p.name, formTag); ok {
				if t, ok := l.tagFromString(p, s); ok {
					g.tags = append(g.tags, t)
				}
			}
		}
	}}
}

func checkWebhook(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || !strings.HasPrefix(u.Scheme, "http") {
		return fmt.Errorf("it is not an http:// or https:// URL")
	}
	return nil
}
