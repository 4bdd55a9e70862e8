package config

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"millrace/internal/device"
)

// porter is a driver that takes several schemes, or one with a default port. A driver that is none takes its own name as its only
// scheme, and its addresses must have a port.
type porter interface {
	Ports() map[string]int
}

// loader holds the state of one Load.
type loader struct {
	path    string
	raw     []byte // of the file that is read now
	dir     string
	drivers map[string]device.Driver
	ports   map[string]int    // default port by scheme
	schemes map[string]string // driver by scheme

	problems problems
	later    problems // reported when there are no others: they may be consequences of those
	warnings problems

	visits    int // nodes looked at, those behind aliases each time
	maxVisits int
	faults    int
	gaveUp    bool

	read   map[string][]byte
	noted  map[string]bool
	files  []File
	hidden []hidden

	doc  document
	cfg  *Config
	ids  map[string]Place // devices
	tags int

	sharedOptions map[string]map[string]string // of addresses, by what is in them
	compiled      map[[sha256.Size]byte][]tagFault
	csvTags       map[string][]tagDraft
	terms         map[device.Terms]*device.Terms

	spellings map[spelling]string // canonical addresses
}

// Load reads and checks the configuration in the file at path. drivers are all drivers by protocol name; they check addresses and
// options, and are not kept. The error is Errors, all of them, when the file could be read.
//
// When there is an error the configuration is nil but for its Path and Files: what to watch for a better one.
func Load(path string, drivers map[string]device.Driver) (*Config, error) {
	l := newLoader(path, drivers)
	b, err := l.note(path, maxConfigBytes)
	if err != nil {
		return &Config{Path: path, Files: l.files}, fmt.Errorf("config: %s: %w", path, err)
	}
	l.load(b)
	if len(l.problems.list) == 0 {
		l.problems = l.later
	}
	if errs := l.problems.sorted(path); len(errs) > 0 {
		return &Config{Path: path, Files: l.files}, errs
	}
	l.cfg.Warnings = l.warnings.sorted(path)
	l.cfg.Files = l.files
	return l.cfg, nil
}

func newLoader(path string, drivers map[string]device.Driver) *loader {
	l := &loader{
		path: path, dir: filepath.Dir(path), drivers: drivers,
		ports: map[string]int{}, schemes: map[string]string{},
		read: map[string][]byte{}, noted: map[string]bool{},
		ids: map[string]Place{}, compiled: map[[sha256.Size]byte][]tagFault{}, csvTags: map[string][]tagDraft{}, terms: map[device.Terms]*device.Terms{},
		spellings: map[spelling]string{},
		cfg:       &Config{Path: path},
	}
	for _, name := range slices.Sorted(maps.Keys(drivers)) {
		ports := map[string]int{name: 0}
		if p, ok := drivers[name].(porter); ok {
			ports = p.Ports()
		}
		for scheme, port := range ports {
			l.ports[scheme], l.schemes[scheme] = port, name
		}
	}
	return l
}

func (l *loader) load(b []byte) {
	l.raw = b
	root, ok := l.parse(b)
	switch {
	case !ok:
		return
	case root == nil || isNull(root):
		l.failf(Place{File: l.path}, "the file is empty; at least one device is needed")
		return
	}
	l.maxVisits = freeVisits + aliasFactor*countNodes(root)
	if !decode(l, &rootKeys, root, &l.doc) || l.gaveUp {
		return
	}
	l.applyEnvironment()
	l.resolveGateway()
	l.resolveWrite()
	l.resolveTemplates()
	l.resolveDevices()
	l.resolveSinks()
	l.resolveServe()
	l.resolveNotify()
	l.resolveHeal()
}

// parse returns the only document of b, nil when it is empty.
func (l *loader) parse(b []byte) (*yaml.Node, bool) {
	dec := yaml.NewDecoder(bytes.NewReader(b))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, true
	case err != nil:
		l.badYAML(err)
		return nil, false
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		l.failf(l.place(&second), "the file has a second document; a configuration is one")
		return nil, false
	case !errors.Is(err, io.EOF):
		l.badYAML(err)
		return nil, false
	}
	if len(doc.Content) == 0 {
		return nil, true
	}
	return doc.Content[0], true
}

// badYAML reports an error of the parser. It knows its line only as text: "yaml: line 3: what".
func (l *loader) badYAML(err error) {
	msg, at := strings.TrimPrefix(err.Error(), "yaml: "), Place{File: l.path}
	if rest, ok := strings.CutPrefix(msg, "line "); ok {
		if n, what, ok := strings.Cut(rest, ": "); ok {
			if line, err := strconv.Atoi(n); err == nil {
				at.Line, msg = line, what
			}
		}
	}
	l.failf(at, "not YAML: %s", msg)
}

// add reports e, with secrets concealed.
func (l *loader) add(e *Error) {
	e.Msg = l.conceal(e.Msg)
	l.faults++
	l.problems.add(e)
}

func (l *loader) failf(at Place, format string, args ...any) {
	l.add(&Error{Place: at, Msg: fmt.Sprintf(format, args...)})
}

// wrong reports that the value of key name is wrong.
func (l *loader) wrong(at Place, name string, err error) {
	e := &Error{Place: at, Msg: name + ": " + err.Error()}
	var unknown *unknownError
	if errors.As(err, &unknown) {
		e.Meant = unknown.meant
	}
	l.add(e)
}

func (l *loader) warnf(at Place, format string, args ...any) {
	l.warnings.add(&Error{Place: at, Msg: fmt.Sprintf(format, args...)})
}

func (l *loader) resolveGateway() {
	g, j := l.doc.gateway, l.doc.journal
	g.Data = l.relative(g.Data)
	if g.Listen == "off" {
		g.Listen = ""
	}
	if least := 4 * j.SegmentBytes; j.MaxBytes < least {
		l.failf(cmp.Or(j.maxBytesAt, Place{File: l.path}), "max_bytes: %s is less than 4 segments of %s", FormatSize(j.MaxBytes), FormatSize(j.SegmentBytes))
	}
	l.cfg.Gateway, l.cfg.Journal = g, j.Journal
}

func (l *loader) resolveSinks() {
	seen := map[string]Place{}
	for _, s := range l.doc.sinks {
		if l.unique("sink", s.ID, s.at, seen) {
			s.Dir = l.relative(s.Dir)
			l.cfg.Sinks = append(l.cfg.Sinks, s.Sink)
		}
	}
	if len(l.cfg.Sinks) == 0 {
		l.warnf(Place{File: l.path}, "there are no sinks: values are kept in the journal and delivered nowhere")
	}
}

func (l *loader) resolveNotify() {
	seen := map[string]Place{}
	for _, n := range l.doc.notify {
		if len(n.On) == 0 {
			n.On = events
		}
		if l.unique("notify", n.ID, n.at, seen) {
			l.cfg.Notify = append(l.cfg.Notify, n.Notify)
		}
	}
}

func (l *loader) resolveServe() {
	seen := map[string]Place{}
	addresses := map[string]Place{}
	for _, s := range l.doc.serve {
		if !l.unique("serve", s.ID, s.at, seen) {
			continue
		}
		if len(s.Security) == 0 {
			s.Security = usualPolicies
		}
		s.Users, s.AnyClient = l.relative(s.Users), s.trust == "any"
		if !s.Anonymous && s.Users == "" {
			l.failf(s.at, "serve %q: nobody can log in: it needs users, or anonymous: true", s.ID)
		}
		if first, dup := addresses[s.Listen]; dup {
			l.failf(s.at, "serve %q: listen: %s is taken by the server at %v", s.ID, s.Listen, first)
		}
		addresses[s.Listen] = s.at
		l.cfg.Serve = append(l.cfg.Serve, s.Serve)
	}
}

// unique checks the id of one of a list; an id that is missing was reported already.
func (l *loader) unique(what, id string, at Place, seen map[string]Place) bool {
	if id == "" {
		return false
	}
	if err := checkName(id, false); err != nil {
		l.failf(at, "%s: id: %v", what, err)
		return false
	}
	if first, dup := seen[id]; dup {
		l.failf(at, "%s %q is there twice; first at %v", what, id, first)
		return false
	}
	seen[id] = at
	return true
}
