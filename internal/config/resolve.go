package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"millrace/internal/device"
	"millrace/internal/resilience"
)

// defaultInterval is that of a group for which neither device nor template says one. It is the preset in groupKeys.
const defaultInterval = time.Second

// resolveTemplates reads what the groups of templates include, and checks which parameters they refer to.
func (l *loader) resolveTemplates() {
	for i := range l.doc.templates {
		t := &l.doc.templates[i]
		l.include(t.groups, nil)
		if t.protocol != "" && l.drivers[t.protocol] == nil {
			l.wrong(t.protocolAt, "protocol", unknownChoice(t.protocol, slices.Sorted(maps.Keys(l.drivers))))
		}
		t.broken = !l.checkReferences(t.groups, slices.Concat(t.options, t.labels), t, "template "+t.name)
	}
}

// include reads the CSV files of groups, and reports tags that are there twice and groups without any, unless they change one of
// the template under them.
func (l *loader) include(groups []groupDraft, under *templateDraft) {
	seen := map[string]Place{}
	for i := range groups {
		g := &groups[i]
		if !g.written && g.csv == "" && !under.has(g.name) {
			l.failf(g.at, "group %s has no tags", g.name)
		}
		if g.csv != "" {
			tags, ok := l.csvTags[g.csv]
			if !ok {
				tags = l.tagsFromCSV(g.csv, g.csvAt)
				l.csvTags[g.csv] = tags
			}
			g.tags = slices.Concat(g.tags, tags)
		}
		g.tags = slices.DeleteFunc(g.tags, func(t tagDraft) bool {
			first, dup := seen[t.name]
			if dup {
				l.failf(t.at, "tag %s is there twice; first at %v", t.name, first)
			}
			seen[t.name] = t.at
			return dup
		})
	}
}

// has says whether the template, which may be nil, has a group of that name.
func (t *templateDraft) has(group string) bool {
	return t != nil && slices.ContainsFunc(t.groups, func(g groupDraft) bool { return g.name == group })
}

// checkReferences reports references to parameters that owner does not have, and marks those that are there as used. A nil owner
// has none.
func (l *loader) checkReferences(groups []groupDraft, options []option, owner *templateDraft, what string) bool {
	ok := true
	check := func(p *pattern, at Place) { ok = l.checkPattern(p, at, owner, what) && ok }
	for i := range options {
		check(&options[i].value, options[i].at)
	}
	for i := range groups {
		for j := range groups[i].tags {
			t := &groups[i].tags[j]
			check(&t.address, t.at)
			for k := range t.attrs {
				check(&t.attrs[k].value, t.attrs[k].at)
			}
		}
	}
	return ok
}

func (l *loader) checkPattern(p *pattern, at Place, owner *templateDraft, what string) bool {
	ok := true
	p.params(func(name string) {
		if name == "id" {
			return
		}
		if owner == nil {
			l.failf(at, "{%s}: %s has no parameters, since it is made from no template; write {{ for a brace", name, what)
			ok = false
			return
		}
		if i := paramIndex(owner.params, name); i >= 0 {
			owner.params[i].used = true
			return
		}
		l.add(&Error{Place: at, Msg: fmt.Sprintf("{%s}: template %s has no such parameter", name, owner.name), Meant: Nearest(name, paramNames(owner.params))})
		ok = false
	})
	return ok
}

func paramIndex(params []param, name string) int {
	return slices.IndexFunc(params, func(p param) bool { return p.name == name })
}

func paramNames(params []param) []string {
	out := make([]string, len(params))
	for i := range params {
		out[i] = params[i].name
	}
	return out
}

func (l *loader) resolveDevices() {
	l.cfg.Devices = slices.Grow(l.cfg.Devices, len(l.doc.devices))
	for i := range l.doc.devices {
		d := &l.doc.devices[i]
		t, ok := l.templateOf(d)
		if !ok || d.id != "" && d.csv != "" { // both were reported
			continue
		}
		l.include(d.groups, t)
		if !l.checkReferences(d.groups, slices.Concat(d.options, d.labels), t, "device "+d.id) {
			continue
		}
		if d.csv == "" {
			l.resolveDevice(d, t)
			continue
		}
		var params []param
		if t != nil {
			params = t.params
		}
		for _, row := range l.devicesFromCSV(d, params) {
			l.resolveDevice(&row, t)
		}
	}
	l.afterDevices()
}

// afterDevices says what only all devices together show.
func (l *loader) afterDevices() {
	if len(l.cfg.Devices) == 0 && len(l.problems.list) == 0 {
		l.failf(Place{File: l.path}, "there are no devices; at least one is needed")
	}
	l.warnOfTwins()
	for i := range l.doc.templates {
		t := &l.doc.templates[i]
		if !t.used {
			l.warnf(t.place, "template %s is used by no device", t.name)
		}
		for _, p := range t.params {
			if t.used && !p.used {
				l.failf(p.at, "template %s: nothing refers to the parameter %s", t.name, p.name)
			}
		}
	}
}

// warnOfTwins warns of devices with the same address: one PLC would be read twice.
func (l *loader) warnOfTwins() {
	seen := make(map[string]string, len(l.cfg.Devices))
	for i := range l.cfg.Devices {
		d := &l.cfg.Devices[i]
		address := d.Addr.String()
		if first, ok := seen[address]; ok {
			l.warnf(l.ids[d.Name], "device %s has the address of device %s, %s", d.Name, first, address)
			continue
		}
		seen[address] = d.Name
	}
}

// templateOf returns the template of d, nil when it has none, and false when it names one that does not exist.
func (l *loader) templateOf(d *deviceDraft) (*templateDraft, bool) {
	if d.template == "" {
		return nil, true
	}
	names := make([]string, len(l.doc.templates))
	for i := range l.doc.templates {
		if names[i] = l.doc.templates[i].name; names[i] == d.template {
			l.doc.templates[i].used = true
			return &l.doc.templates[i], true
		}
	}
	l.add(&Error{Place: d.templateAt, Msg: fmt.Sprintf("there is no template %q", d.template), Meant: Nearest(d.template, names)})
	return nil, false
}

// resolveDevice makes the Spec of d and appends it to the configuration, unless something is wrong with it.
func (l *loader) resolveDevice(d *deviceDraft, t *templateDraft) {
	if d.id == "" && d.fromCSV {
		l.failf(d.idAt, "the id is missing")
	}
	if !l.unique("device", d.id, d.idAt, l.ids) {
		return
	}
	sc, ok := l.scope(d, t)
	if !ok || t != nil && t.broken {
		return
	}
	spec := device.Spec{Name: d.id}
	if spec.Addr, spec.Driver, ok = l.address(d, t, sc); !ok {
		return
	}
	if spec.Profile, ok = l.profile(d, t); !ok {
		return
	}
	if !l.applyOptions(&spec, d, t, sc) || !l.labels(&spec, d, t, sc) {
		return
	}
	if s, ok := l.drivers[spec.Driver].(device.Sparing); ok && spec.RequestsPerSecond == 0 {
		spec.RequestsPerSecond = s.RequestsPerSecond(spec.Addr, spec.Profile)
	}
	spec.Prediction = d.prediction(t)
	if !l.routes(&spec, d, t, sc) {
		return
	}
	if err := spec.CheckConnections(); err != nil {
		l.failf(d.at(), "device %s: %v", d.id, err)
		return
	}
	drafts := d.groups
	if t != nil {
		drafts = merged(t.groups, d.groups)
	}
	if !l.groups(&spec, drafts, sc, t != nil) {
		return
	}
	if len(spec.Groups) == 0 {
		l.noTags(d, t)
		return
	}
	if !l.checkRoutes(&spec, d) {
		return
	}
	spec.Addr.Options = l.shared(spec.Addr.Options)
	spec.FillDefaults()
	l.cfg.Devices = append(l.cfg.Devices, spec)
}

// noTags reports a device that reads nothing. Where groups stand it is perhaps since all that is in them is wrong.
func (l *loader) noTags(d *deviceDraft, t *templateDraft) {
	e := &Error{Place: d.idAt, Msg: fmt.Sprintf("device %s has no tags", d.id)}
	if t == nil && d.groupsAt == (Place{}) {
		l.add(e)
	} else {
		l.later.add(e)
	}
}

// scope gives the parameters of template t their values for device d.
func (l *loader) scope(d *deviceDraft, t *templateDraft) (*scope, bool) {
	sc, ok := &scope{id: d.id}, true
	if t != nil {
		sc.params = slices.Clone(t.params)
	}
	for _, p := range d.params {
		i := paramIndex(sc.params, p.name)
		switch {
		case t == nil:
			l.failf(p.at, "parameter %s: the device is made from no template", p.name)
			ok = false
		case i < 0:
			l.add(&Error{Place: p.at, Msg: fmt.Sprintf("template %s has no parameter %q", t.name, p.name), Meant: Nearest(p.name, paramNames(t.params))})
			ok = false
		case p.given:
			sc.params[i].value, sc.params[i].given = p.value, true
		}
	}
	for _, p := range sc.params {
		if !p.given {
			l.failf(d.at(), "device %s: template %s needs a value for the parameter %s", d.id, t.name, p.name)
			ok = false
		}
	}
	return sc, ok
}

func (l *loader) address(d *deviceDraft, t *templateDraft, sc *scope) (device.Addr, string, bool) {
	if d.address == "" {
		if d.addressAt == (Place{}) { // else it was reported
			l.failf(d.at(), "device %s needs the key %q", d.id, "address")
		}
		return device.Addr{}, "", false
	}
	p, err := parsePattern(d.address)
	if err != nil {
		l.failf(d.addressAt, "%v", err)
		return device.Addr{}, "", false
	}
	if !l.checkPattern(&p, d.addressAt, t, "device "+d.id) {
		return device.Addr{}, "", false
	}
	text := p.fill(sc)
	a, err := device.ParseAddr(text, l.ports)
	if err != nil {
		l.add(l.badAddress(d.addressAt, text, err))
		return a, "", false
	}
	driver := l.schemes[a.Scheme]
	if t != nil && t.protocol != "" && t.protocol != driver && l.drivers[t.protocol] != nil {
		l.failf(d.addressAt, "address %q is for %s, and template %s is for %s", a.String(), driver, t.name, t.protocol)
		return a, driver, false
	}
	return a, driver, true
}

// shared returns options as they are there once for all devices with the same: ten thousand of a kind differ in their host alone. Nobody changes them any more.
func (l *loader) shared(options map[string]string) map[string]string {
	if len(options) == 0 {
		return nil
	}
	var key strings.Builder
	for _, k := range slices.Sorted(maps.Keys(options)) {
		fmt.Fprintf(&key, "%q=%q ", k, options[k])
	}
	same, ok := l.sharedOptions[key.String()]
	if !ok {
		if l.sharedOptions == nil {
			l.sharedOptions = map[string]map[string]string{}
		}
		same = options
		l.sharedOptions[key.String()] = options
	}
	return same
}

// badAddress says what is wrong with an address that does not parse, and what was probably meant.
func (l *loader) badAddress(at Place, address string, err error) *Error {
	e := &Error{Place: at, Msg: err.Error()}
	scheme, _, ok := strings.Cut(address, "://")
	known := slices.Sorted(maps.Keys(l.schemes))
	if !ok {
		e.Msg = fmt.Sprintf("address %q has no scheme; known are %s", address, strings.Join(known, ", "))
		if len(known) > 0 {
			e.Meant = known[0] + "://" + address
		}
	} else if m := Nearest(scheme, known); m != "" && m != scheme {
		e.Meant = m + "://"
	}
	return e
}

// profile puts the fields that the device says over those of its template over those of the base.
func (l *loader) profile(d *deviceDraft, t *templateDraft) (resilience.Profile, bool) {
	own, under := d.profile, profileDraft{}
	if t != nil {
		under = t.profile
	}
	if own.base != "" {
		under = profileDraft{} // a base of one's own replaces all of the template's
	}
	p, ok := resilience.ProfileNamed(cmp.Or(own.base, under.base, profileNames[0]))
	if !ok {
		return p, false // reported where it stands
	}
	p.Floor = cmp.Or(own.floor, under.floor, p.Floor)
	p.Ceiling = cmp.Or(own.ceiling, under.ceiling, p.Ceiling)
	p.Failures = cmp.Or(own.failures, under.failures, p.Failures)
	p.Window = cmp.Or(own.window, under.window, p.Window)
	p.Cap = cmp.Or(own.cap, under.cap, p.Cap)
	p.Connect = cmp.Or(own.connect, under.connect)
	p.Handshake = cmp.Or(own.handshake, under.handshake)
	p.Write = cmp.Or(own.write, under.write)
	p.Operation = cmp.Or(own.operation, under.operation)
	p.FailureRate = cmp.Or(own.failureRate, under.failureRate)
	p.MinCalls = cmp.Or(own.minCalls, under.minCalls)
	p.SlowCall = cmp.Or(own.slowCall, under.slowCall)
	p.SlowRate = cmp.Or(own.slowRate, under.slowRate)
	p.Probes = cmp.Or(own.probes, under.probes)
	p.NoDegrade = cmp.Or(own.degrade, under.degrade) == "off"
	if err := p.Check(); err != nil {
		l.failf(cmp.Or(own.at, under.at), "%v", err)
		return p, false
	}
	return p, true
}

// options returns the options of the template with the device's in place of those of the same name.
func (l *loader) options(d *deviceDraft, t *templateDraft) []option {
	if t == nil {
		return d.options
	}
	return over(d.options, t.options)
}

// applyOptions sets the options of device d on spec, and has its driver check those that are its own, and the address.
func (l *loader) applyOptions(spec *device.Spec, d *deviceDraft, t *templateDraft, sc *scope) bool {
	options, ok := l.options(d, t), true
	if len(options) > 0 && spec.Addr.Options == nil {
		spec.Addr.Options = map[string]string{}
	}
	for i := range options {
		o := &options[i]
		v := o.value.fill(sc)
		k := optionKeys.index(o.name)
		if k < 0 {
			spec.Addr.Options[o.name] = v
			continue
		}
		key := &optionKeys.keys[k]
		if key.form == formFile {
			v = l.relative(v)
		}
		if err := key.set(spec, v); err != nil {
			l.add(&Error{Place: o.at, Msg: fmt.Sprintf("option %s: %v", o.name, err), Device: who(d, t)})
			ok = false
		}
	}
	return l.checkAddr(spec, options, d, t) && ok
}

// who is the device to name in a message about a text that several devices may share.
func who(d *deviceDraft, t *templateDraft) string {
	if t == nil {
		return ""
	}
	return d.id
}

// checkAddr has the driver check the address and its options. The driver does not say which option is wrong in a way that is
// the same for all drivers; the one that makes the same complaint alone is it.
func (l *loader) checkAddr(spec *device.Spec, options []option, d *deviceDraft, t *templateDraft) bool {
	driver := l.drivers[spec.Driver]
	_, err := driver.Compile(spec.Addr, nil, spec.Limits)
	if err == nil {
		return true
	}
	e := &Error{Place: d.addressAt, Msg: err.Error()}
	for _, o := range options {
		alone := spec.Addr
		v, passed := spec.Addr.Options[o.name]
		alone.Options = map[string]string{o.name: v}
		if _, err2 := driver.Compile(alone, nil, spec.Limits); passed && err2 != nil && err2.Error() == err.Error() {
			e.Place, e.Device = o.at, who(d, t)
			break
		}
	}
	l.add(e)
	return false
}
