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

// routeDraft is a further address of a device as it is written.
type routeDraft struct {
	address   string
	addressAt Place
	name      string
}

// routingDraft is how a device uses its addresses. Zero values are not said.
type routingDraft struct {
	name     string
	stay     time.Duration
	probes   int
	every    time.Duration
	back     string
	standby  string
	active   string
	activeAt Place
}

// predictDraft is what makes a device suspected.
type predictDraft struct {
	use       string
	deviation time.Duration
	decay     time.Duration
	phi       float64
	pause     time.Duration
}

var routeKeys = mapping[routeDraft]{
	name: "route",
	doc:  "A further address of the same device. Options of the device hold for it too, but for those that stand in it.",
	keys: []key[routeDraft]{
		text("address", "", "Where the device is also to be had, in the protocol of its address: the ring's other end, a second CP, a backup gateway.",
			func(r *routeDraft) *string { return &r.address }).must().placed(func(r *routeDraft) *Place { return &r.addressAt }),
		text("name", "", "What people call it: `ring`, `second CP`.", func(r *routeDraft) *string { return &r.name }),
	},
}

const yes, never = "yes", "never"

var routingKeys = mapping[routingDraft]{
	name: "routing",
	doc:  "How a device with several addresses uses them. What is not said here is as in the template, else as the defaults say.",
	keys: []key[routingDraft]{
		text("name", "", "What people call the device's own address.", func(r *routingDraft) *string { return &r.name }),
		duration("stay", "1m", "How long it stays on another address, at least, before it goes back to its own by itself; and how long a standby is kept that nobody needed.",
			func(r *routingDraft) *time.Duration { return &r.stay }).within(0.001, 7*24*3600).afterMerge(),
		integer("probes", "5", "Probes of its own address that must be answered in a row before it goes back there.",
			func(r *routingDraft) *int { return &r.probes }).within(1, 1000).afterMerge(),
		duration("every", "5s", "Time between two probes of an address that is not in use.",
			func(r *routingDraft) *time.Duration { return &r.every }).within(0.001, 24*3600).afterMerge(),
		choice("return", yes, []string{yes, never}, "Whether it goes back to its own address by itself. `never` suits pairs of equals.",
			func(r *routingDraft) *string { return &r.back }).afterMerge(),
		choice("standby", "suspicion", []string{"suspicion", "always"}, "When a session is kept ready on another address: while the device is suspected of going away, or always.",
			func(r *routingDraft) *string { return &r.standby }).afterMerge(),
		text("active", "", "Of redundant pairs: a tag, and the value that it has at the one in charge: `mode=8`, `master=true`. Without it whoever answers will do.",
			func(r *routingDraft) *string { return &r.active }).placed(func(r *routingDraft) *Place { return &r.activeAt }),
	},
}

var predictKeys = mapping[predictDraft]{
	name: "predict",
	doc:  "What makes the gateway suspect that a device is about to go away. A suspicion makes no value bad; it has a standby opened where the device has another address.",
	keys: []key[predictDraft]{
		choice("use", yes, []string{yes, "no"}, "Whether devices are suspected at all.", func(p *predictDraft) *string { return &p.use }).afterMerge(),
		duration("deviation", "80ms", "How far the last round trips may stray from what is usual. What always varies as much is not suspected, up to three times of what it does.",
			func(p *predictDraft) *time.Duration { return &p.deviation }).within(0.001, 3600).afterMerge(),
		duration("decay", "15ms", "By how much round trips may grow in a second.", func(p *predictDraft) *time.Duration { return &p.decay }).within(0.001, 3600).afterMerge(),
		number("phi", "8", "How unlikely a silence may be (phi accrual): 8 is one in a hundred million, if silences were normally distributed.",
			func(p *predictDraft) *float64 { return &p.phi }).within(0.1, 300).afterMerge(),
		duration("pause", "", "Silence that is acceptable on top of what is usual. The interval of the fastest group without it.",
			func(p *predictDraft) *time.Duration { return &p.pause }).within(0.001, 24*3600),
	},
}

func routingKey[T any](to func(*T) *routingDraft) key[T] {
	return sub("routing", &routingKeys, "How a device with several addresses uses them.", to)
}

func predictKey[T any](to func(*T) *predictDraft) key[T] {
	return sub("predict", &predictKeys, "What makes the gateway suspect that a device is about to go away.", to)
}

// routes sets the further addresses of spec, which has its options already, and how it uses them.
func (l *loader) routes(spec *device.Spec, d *deviceDraft, t *templateDraft, sc *scope) bool {
	under := routingDraft{}
	if t != nil {
		under = t.routing
	}
	own := d.routing
	spec.RouteName = cmp.Or(own.name, under.name)
	spec.Routing = device.Routing{
		Stay: cmp.Or(own.stay, under.stay), Probes: cmp.Or(own.probes, under.probes), Every: cmp.Or(own.every, under.every),
		Standby: cmp.Or(own.standby, under.standby) == "always",
	}
	if cmp.Or(own.back, under.back) == never {
		spec.Routing.Probes = -1
	}
	at := own.activeAt
	if own.active == "" {
		at = under.activeAt
	}
	var err error
	if spec.Routing.Active, err = parseActive(cmp.Or(own.active, under.active)); err != nil {
		l.failf(at, "active: %v", err)
		return false
	}
	ok := true
	for i := range d.routes {
		ok = l.route(spec, d, &d.routes[i], t, sc) && ok
	}
	return ok
}

// parseActive reads tag=value.
func parseActive(s string) (a device.Active, err error) {
	if s == "" {
		return a, nil
	}
	tag, value, ok := strings.Cut(s, "=")
	a.Tag = strings.TrimSpace(tag)
	switch value = strings.TrimSpace(value); {
	case !ok || a.Tag == "" || value == "":
		return a, fmt.Errorf("%q is not a tag and its value, like mode=8", s)
	case value == "true":
		a.Value = 1
	case value != "false":
		a.Value, err = parseNumber(value)
	}
	return a, err
}

func (l *loader) route(spec *device.Spec, d *deviceDraft, r *routeDraft, t *templateDraft, sc *scope) bool {
	if r.address == "" {
		return false // it was reported
	}
	one := *d
	one.address, one.addressAt = r.address, r.addressAt
	a, driver, ok := l.address(&one, t, sc)
	if !ok {
		return false
	}
	if driver != spec.Driver {
		l.failf(r.addressAt, "address %q is for %s, and the device is one of %s: its tags would mean nothing there", a.String(), driver, spec.Driver)
		return false
	}
	// What the device's options say holds here too; its own address may say more, which does not.
	for _, o := range l.options(d, t) {
		v, passed := spec.Addr.Options[o.name]
		if _, own := a.Options[o.name]; passed && !own {
			if a.Options == nil {
				a.Options = map[string]string{}
			}
			a.Options[o.name] = v
		}
	}
	if _, err := l.drivers[driver].Compile(a, nil, spec.Limits); err != nil {
		l.failf(r.addressAt, "%v", err)
		return false
	}
	spec.Routes = append(spec.Routes, device.Route{Addr: a, Name: r.name})
	return true
}

// checkRoutes says what is wrong with the addresses of a device whose groups are known. An address whose options make other tags impossible is found here.
func (l *loader) checkRoutes(spec *device.Spec, d *deviceDraft) bool {
	at := d.at()
	if len(d.routes) > 0 {
		at = d.routes[0].addressAt
	}
	if err := spec.CheckRoutes(); err != nil {
		l.failf(cmp.Or(d.routing.activeAt, at), "device %s: %v", spec.Name, err)
		return false
	}
	for i, r := range spec.Routes {
		for _, g := range spec.Groups {
			if _, err := l.drivers[spec.Driver].Compile(r.Addr, g.Tags, spec.Limits); err != nil {
				l.failf(d.routes[i].addressAt, "device %s: over %s: group %s: %v", spec.Name, r.Addr.String(), g.Name, joined(err)[0])
				return false
			}
		}
	}
	return true
}

// prediction puts what the device says over what its template says.
func (d *deviceDraft) prediction(t *templateDraft) resilience.Prediction {
	own, under := d.predict, predictDraft{}
	if t != nil {
		under = t.predict
	}
	return resilience.Prediction{
		Off: cmp.Or(own.use, under.use) == "no", Deviation: cmp.Or(own.deviation, under.deviation), Decay: cmp.Or(own.decay, under.decay),
		Phi: cmp.Or(own.phi, under.phi), Pause: cmp.Or(own.pause, under.pause),
	}
}

func sameRoute(a, b device.Route) bool {
	return a.Name == b.Name && a.Addr.String() == b.Addr.String() && maps.Equal(a.Addr.Options, b.Addr.Options)
}

// sameRoutes says whether two devices have the same addresses and use them in the same way.
func sameRoutes(a, b *device.Spec) bool {
	return a.RouteName == b.RouteName && a.Routing == b.Routing && a.Prediction == b.Prediction && slices.EqualFunc(a.Routes, b.Routes, sameRoute)
}
