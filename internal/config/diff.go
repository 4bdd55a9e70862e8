package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"millrace/internal/device"
)

// Changes is what differs between two configurations. Names are in the order of the newer one, those removed in that of the older.
type Changes struct {
	Added   []string // devices
	Changed []string
	Removed []string

	SinksAdded   []string
	SinksChanged []string
	SinksRemoved []string

	Notify  bool     // the receivers of notifications differ
	Heal    bool     // what is healed, or how, differs
	Write   bool     // the rules for writing differ
	Restart []string // what takes effect only when the gateway starts anew, each with the reason
}

// Diff returns what must be done to get from old to new. A device whose address, profile, options, groups and tags are equal is not
// mentioned, wherever it stands in the file.
func Diff(old, new *Config) Changes {
	var c Changes
	c.Added, c.Changed, c.Removed = compare(old.Devices, new.Devices, func(s device.Spec) string { return s.Name }, sameSpec)
	c.SinksAdded, c.SinksChanged, c.SinksRemoved = compare(old.Sinks, new.Sinks, func(s Sink) string { return s.ID }, func(a, b Sink) bool { return a == b })
	c.Notify = !slices.EqualFunc(old.Notify, new.Notify, func(a, b Notify) bool {
		return a.ID == b.ID && a.Type == b.Type && a.URL == b.URL && slices.Equal(a.On, b.On)
	})
	c.Heal = !sameHeal(old.Heal, new.Heal)
	c.Write = !slices.EqualFunc(old.Write.Rules, new.Write.Rules, func(a, b WriteRule) bool { return a.Rule == b.Rule })
	c.Restart = restarts(old, new)
	return c
}

func compare[T any](old, new []T, name func(T) string, same func(a, b T) bool) (added, changed, removed []string) {
	before := make(map[string]T, len(old))
	for _, o := range old {
		before[name(o)] = o
	}
	for _, n := range new {
		o, ok := before[name(n)]
		switch {
		case !ok:
			added = append(added, name(n))
		case !same(o, n):
			changed = append(changed, name(n))
		}
		delete(before, name(n))
	}
	for _, o := range old {
		if _, gone := before[name(o)]; gone {
			removed = append(removed, name(o))
		}
	}
	return added, changed, removed
}

// sameSpec compares what a configuration says of a device. Numbers and IDs come from the catalog, and the rest from the run.
func sameSpec(a, b device.Spec) bool {
	return a.Addr.String() == b.Addr.String() && maps.Equal(a.Addr.Options, b.Addr.Options) &&
		a.Driver == b.Driver && a.Profile == b.Profile && a.Slots == b.Slots && a.Limits.Connections == b.Limits.Connections &&
		a.RequestsPerSecond == b.RequestsPerSecond && a.PauseAfterConnect == b.PauseAfterConnect &&
		sameRoutes(&a, &b) && maps.Equal(a.Labels, b.Labels) && slices.EqualFunc(a.Groups, b.Groups, sameGroup)
}

func sameGroup(a, b device.Group) bool {
	return a.Name == b.Name && a.Interval == b.Interval && slices.EqualFunc(a.Tags, b.Tags, func(x, y device.TagSpec) bool {
		x.ID, y.ID = 0, 0
		return x.Equal(y)
	})
}

// restarts names the settings of the process that differ. They are read once, at start.
func restarts(old, new *Config) []string {
	var out []string
	differs := func(key string, was, is any, why string) {
		if was != is {
			out = append(out, fmt.Sprintf("%s changed from %v to %v: %s", key, was, is, why))
		}
	}
	g, h := old.Gateway, new.Gateway
	differs("gateway.name", g.Name, h.Name, "metrics and notifications carry the name given at start")
	differs("gateway.data", g.Data, h.Data, "journal and state are open in the old directory")
	differs("gateway.listen", orOff(g.Listen), orOff(h.Listen), "the listener is opened at start")
	differs("gateway.dial_rate", g.DialRate, h.DialRate, "all devices share the bucket made at start")
	differs("gateway.shedding", g.Shedding, h.Shedding, "the scheduler goes by what was said at start")
	j, k := old.Journal, new.Journal
	const open = "the journal is open with the old value"
	differs("journal.max_bytes", FormatSize(j.MaxBytes), FormatSize(k.MaxBytes), open)
	differs("journal.max_age", j.MaxAge, k.MaxAge, open)
	differs("journal.flush_every", j.FlushEvery, k.FlushEvery, open)
	differs("journal.segment_bytes", FormatSize(j.SegmentBytes), FormatSize(k.SegmentBytes), open)
	differs("journal.queue_bytes", FormatSize(j.QueueBytes), FormatSize(k.QueueBytes), open)
	differs("write.keep", old.Write.Keep, new.Write.Keep, "what is remembered is so since the start")
	differs("write.audit_file_bytes", FormatSize(old.Write.AuditBytes), FormatSize(new.Write.AuditBytes), "the audit log is open with the old value")
	if !slices.EqualFunc(old.Serve, new.Serve, sameServe) {
		out = append(out, "serve changed: its listeners are opened at start")
	}
	return out
}

func sameServe(a, b Serve) bool {
	return a.ID == b.ID && a.Type == b.Type && a.Listen == b.Listen && slices.Equal(a.Security, b.Security) && a.Anonymous == b.Anonymous &&
		a.Users == b.Users && a.AnyClient == b.AnyClient && a.MaxSessions == b.MaxSessions
}

func orOff(s string) string {
	if s == "" {
		return "off"
	}
	return s
}

// Empty says that nothing differs.
func (c Changes) Empty() bool {
	return len(c.Added)+len(c.Changed)+len(c.Removed)+len(c.SinksAdded)+len(c.SinksChanged)+len(c.SinksRemoved)+len(c.Restart) == 0 && !c.Notify && !c.Heal && !c.Write
}

// String says what differs in one line, and a further one for each setting that needs a restart.
func (c Changes) String() string {
	if c.Empty() {
		return "nothing changed"
	}
	var parts []string
	add := func(what string, names []string) {
		if len(names) > 0 {
			parts = append(parts, what+" "+few(names))
		}
	}
	add("devices added:", c.Added)
	add("devices changed:", c.Changed)
	add("devices removed:", c.Removed)
	add("sinks added:", c.SinksAdded)
	add("sinks changed:", c.SinksChanged)
	add("sinks removed:", c.SinksRemoved)
	if c.Notify {
		parts = append(parts, "notifications changed")
	}
	if c.Heal {
		parts = append(parts, "healing rules changed")
	}
	if c.Write {
		parts = append(parts, "rules for writing changed")
	}
	var lines []string
	if len(parts) > 0 {
		lines = append(lines, strings.Join(parts, "; "))
	}
	for _, r := range c.Restart {
		lines = append(lines, "needs a restart: "+r)
	}
	return strings.Join(lines, "\n")
}

// few names the first five.
func few(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
