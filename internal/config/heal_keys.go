package config

import (
	"fmt"
	"net/netip"
	"path"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"millrace/internal/heal"
)

var healKeys = mapping[healDraft]{
	name: "heal",
	doc:  "Rules that bring devices back: see [healing.md](healing.md). None acts unless it stands here.",
	keys: []key[healDraft]{
		choices("use", "", shippedNames(), "Rules that come with the gateway; `millrace heal explain NAME` says what each does. Without it, none.", func(h *healDraft) *[]string { return &h.use }),
		duration("every", "1s", "How often the conditions are looked at; more seldom where that would cost more than a hundredth of a core.",
			func(h *healDraft) *time.Duration { return &h.every }).within(0.1, 3600),
		sub("limit", &healLimitKeys, "What rules may do that do not say it themselves.", func(h *healDraft) *heal.Limit { return &h.limit }),
		named("regions", &healRegionKeys, "Names for sets of devices. A device that is in none is in the region that region_label says, else in that of its subnet: 24 bits of an IPv4 address, 64 of IPv6; one with a host name is `elsewhere`.",
			func(h *healDraft) *[]heal.RegionSpec { return &h.regions.Named }, func(r *heal.RegionSpec, name string, _ Place) { r.Name = name }),
		text("region_label", "", "A label of devices whose value is their region: with `site`, a device with `labels: {site: north}` is in the region `north`.", func(h *healDraft) *string { return &h.regions.Label }).checked(func(s string) error { return checkName(s, false) }),
		texts("files", "Further files of rules, each with the key rules. Relative to the configuration file.", nil, func(h *healDraft) *[]placed { return &h.files }),
		rulesKey(func(h *healDraft) *[]healRuleDraft { return &h.rules }),
	},
}

// healFileKeys are those of a file of rules.
var healFileKeys = mapping[healFile]{
	name: "file of rules",
	keys: []key[healFile]{rulesKey(func(f *healFile) *[]healRuleDraft { return &f.rules }).must()},
}

var healRegionKeys = mapping[heal.RegionSpec]{
	name: "region",
	doc:  "Devices that are near one another.",
	keys: []key[heal.RegionSpec]{
		texts("subnets", "Addresses, such as 10.1.0.0/16.", checkSubnet, func(r *heal.RegionSpec) *[]netip.Prefix { return &r.Subnets }),
		texts("devices", "Names of devices, with `*` for anything.", checkGlob, func(r *heal.RegionSpec) *[]string { return &r.Devices }),
		regionLabelsKey(),
	},
}

var healRuleKeys = mapping[healRuleDraft]{
	name: "rule",
	doc:  "When a condition held for long enough, something is done; when that did not help, it is undone. Conditions are CEL; what they can ask for is in [healing.md](healing.md#what-conditions-can-ask).",
	keys: []key[healRuleDraft]{
		text("doc", "", "What it is for, in a sentence.", func(r *healRuleDraft) *string { return &r.Doc }),
		choice("each", "device", heal.Eaches(), "What it is tried for: each device, each region, or the node that the gateway runs on.", func(r *healRuleDraft) *string { return &r.each }),
		texts("on", "Names of the devices that it is for, with `*` for anything; all without it.", nil, func(r *healRuleDraft) *[]placed { return &r.on }),
		condition("when", "The condition.", func(r *healRuleDraft) *conditionDraft { return &r.when }).must(),
		condition("which", "For each region or the node: the devices that the actions are for, as a condition over each device; all without it.", func(r *healRuleDraft) *conditionDraft { return &r.which }),
		duration("for", "0s", "How long `when` must hold.", func(r *healRuleDraft) *time.Duration { return &r.For }).within(0, 7*24*3600),
		actionsKey(),
		condition("verify", "The condition that says whether it helped. Without it a run is believed to have helped when everything was done.", func(r *healRuleDraft) *conditionDraft { return &r.verify }),
		duration("within", "1m", "The deadline for `verify`.", func(r *healRuleDraft) *time.Duration { return &r.Within }).within(1, 24*3600),
		duration("hold", "0s", "How long `verify` must hold within that.", func(r *healRuleDraft) *time.Duration { return &r.Hold }).within(0, 24*3600),
		duration("keep", "0s", "What helped is undone after so long; with 0s it stays until the gateway ends, and out of service for good.", func(r *healRuleDraft) *time.Duration { return &r.Keep }).within(0, 30*24*3600),
		choice("rollback", "automatic", []string{"automatic", "manual"}, "What did not help is undone, or stays.", func(r *healRuleDraft) *string { return &r.rollback }),
		sub("limit", &healLimitKeys, "What it may do.", func(r *healRuleDraft) *heal.Limit { return &r.Limit }),
		boolean("dry", "false", "Only say, in the history and the log, what would be done.", func(r *healRuleDraft) *bool { return &r.Dry }),
	},
}

// healLimitKeys have no defaults here: those of a rule are heal.limit's, and those are heal.DefaultLimit.
var healLimitKeys = mapping[heal.Limit]{
	name: "healing limit",
	doc:  "How far healing goes. Without a key it is 5 devices, 10 percent, 51 percent well, 6 runs an hour and 15m of rest.",
	keys: []key[heal.Limit]{
		integer("devices", "", "Most devices in the hands of the rule at once.", func(l *heal.Limit) *int { return &l.Devices }).within(1, 1e6),
		number("percent", "", "And most of those it is for, in percent; one it may always.", func(l *heal.Limit) *float64 { return &l.Percent }).within(0.001, 100),
		number("min_healthy", "", "How many of them must be well, in percent, or the rule stops: then it is not the devices. One that is ill stops nothing; -1 is no such limit.",
			func(l *heal.Limit) *float64 { return &l.MinHealthy }).within(-1, 100).checked(notZero),
		integer("per_hour", "", "Most runs in an hour.", func(l *heal.Limit) *int { return &l.PerHour }).within(1, 3600),
		duration("cooldown", "", "Rest of a device, or region, after a run.", func(l *heal.Limit) *time.Duration { return &l.Cooldown }).within(0.001, 30*24*3600),
	},
}

var healActionKeys = mapping[heal.Action]{
	name: "action",
	doc:  "One thing to do. An action without keys of its own can be written as its name alone. In `text` and `argv`, {rule}, {subject}, {device}, {address}, {region} and {devices} stand for what they say.",
	kind: func(a *heal.Action) string { return a.Type },
	keys: []key[heal.Action]{
		choice("type", "", heal.Actions(), "What is done: another address is used (`reroute`); the connection is ended in order and made again (`reconnect`); intervals grow (`stretch`); it is asked in small parts (`degrade`); a session is opened on another address (`standby`); subscriptions are made anew (`resubscribe`); it is not polled (`out_of_service`); somebody is told (`notify`); a program is run (`run`). The last four are names for what a fleet of gateways will do; until there is one they are errors.",
			func(a *heal.Action) *string { return &a.Type }).must(),
		text("route", "next", "`next`, or the number of the address, 0 for the first.", func(a *heal.Action) *string { return &a.Route }).onlyFor(heal.Reroute),
		number("factor", "2", "Intervals are so many times what is configured.", func(a *heal.Action) *float64 { return &a.Factor }).onlyFor(heal.Stretch).within(1, 1000),
		text("text", "", "What is said, to those who want to hear of `healing`.", func(a *heal.Action) *string { return &a.Text }).onlyFor(heal.Notify),
		texts("argv", "The program and its arguments. There is no shell. It runs only where gateway.allow_commands is true.", nil, func(a *heal.Action) *[]string { return &a.Argv }).onlyFor(heal.Run).must(),
		duration("timeout", "30s", "The program is ended after so long.", func(a *heal.Action) *time.Duration { return &a.Timeout }).onlyFor(heal.Run).within(0.001, 3600),
		text("from", "", "Of what.", func(a *heal.Action) *string { return &a.From }).onlyFor(heal.RerouteTraffic),
		text("to", "", "Where to.", func(a *heal.Action) *string { return &a.To }).onlyFor(heal.RerouteTraffic),
		text("via", "", "By which way.", func(a *heal.Action) *string { return &a.Via }).onlyFor(heal.RerouteTraffic),
		text("service", "", "Of what there are replicas.", func(a *heal.Action) *string { return &a.Service }).onlyFor(heal.ScaleReplicas),
		text("target", "", "How many.", func(a *heal.Action) *string { return &a.Target }).onlyFor(heal.ScaleReplicas),
		text("on", "", "Where.", func(a *heal.Action) *string { return &a.Host }).onlyFor(heal.ScaleReplicas),
	},
}

func shippedNames() []string {
	var names []string
	for _, r := range heal.Shipped() {
		names = append(names, r.Name)
	}
	return names
}

// placed is a text with the place where it stands.
type placed struct {
	text string
	at   Place
}

func checkSubnet(s string) error {
	if _, err := netip.ParsePrefix(s); err != nil {
		return fmt.Errorf("%q is no subnet, such as 10.1.0.0/16", s)
	}
	return nil
}

func checkGlob(s string) error {
	_, err := path.Match(s, "")
	return err
}

// item makes what a list holds of a text.
type item interface{ string | placed | netip.Prefix }

func itemOf[I item](s string, at Place) (out I) {
	switch p := any(&out).(type) {
	case *string:
		*p = s
	case *placed:
		*p = placed{s, at}
	case *netip.Prefix:
		*p, _ = netip.ParsePrefix(s) // checked
	}
	return out
}

// texts is a key whose value is a list of texts. check may be nil.
func texts[T any, I item](name, doc string, check func(string) error, to func(*T) *[]I) key[T] {
	return key[T]{facts: facts{name: name, form: formTexts, doc: doc}, node: func(l *loader, dst *T, n *yaml.Node) {
		if n == nil {
			return
		}
		for _, it := range l.items(n, name) {
			s, ok := l.text(it, name)
			if !ok {
				continue
			}
			if check != nil {
				if err := check(s); err != nil {
					l.failf(l.place(it), "%s: %v", name, err)
					continue
				}
			}
			*to(dst) = append(*to(dst), itemOf[I](s, l.place(it)))
		}
	}}
}

// conditionDraft is a condition as it stands in the file.
type conditionDraft struct {
	text string
	at   Place
	// from is where its first character stands, when every line of it stands in a line of the file as it is; else the zero Place.
	from  Place
	block bool // lines behind the first begin where the first does, else where the line of the file does
}

// condition is a key whose value is a condition in CEL, which is compiled when all is read.
func condition[T any](name, doc string, to func(*T) *conditionDraft) key[T] {
	return key[T]{facts: facts{name: name, form: formText, doc: doc}, node: func(l *loader, dst *T, n *yaml.Node) {
		if r := l.resolve(n); r.Kind == yaml.ScalarNode && !plainTag(r.Tag) {
			l.failf(l.place(n), "%s: YAML takes %s for a tag; a condition that begins with ! stands in quotes", name, r.Tag)
			return
		}
		s, ok := l.text(n, name)
		if !ok {
			return
		}
		c := conditionDraft{text: s, at: l.place(n)}
		if r := l.resolve(n); s == r.Value {
			c.from, c.block = l.startOf(r)
		}
		if strings.TrimSpace(s) == "" {
			l.failf(c.at, "%s: it is empty", name)
			return
		}
		*to(dst) = c
	}}
}

// startOf returns where the text of scalar n begins in the file, when its characters stand there as they are.
func (l *loader) startOf(n *yaml.Node) (from Place, block bool) {
	from = l.place(n)
	lines := strings.Split(string(l.raw), "\n")
	switch n.Style &^ yaml.TaggedStyle {
	case 0:
		if n.Line > len(lines) || !strings.HasPrefix(skip(lines[n.Line-1], n.Column-1), n.Value) {
			return Place{}, false // it goes on in the next line
		}
	case yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle:
		if from.Column++; n.Line > len(lines) || !strings.HasPrefix(skip(lines[n.Line-1], n.Column), n.Value) {
			return Place{}, false // it goes on there, or has an escape in it
		}
	case yaml.LiteralStyle:
		if n.Line >= len(lines) {
			return Place{}, false
		}
		first, _, _ := strings.Cut(n.Value, "\n")
		i := strings.Index(lines[n.Line], first)
		if i < 0 {
			return Place{}, false
		}
		from.Line, from.Column = n.Line+1, i+1
		return from, true
	default:
		return Place{}, false
	}
	return from, false
}

// skip returns s without its first n characters.
func skip(s string, n int) string {
	r := []rune(s)
	return string(r[min(n, len(r)):])
}
