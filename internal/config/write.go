package config

import (
	"cmp"
	"fmt"
	"time"

	"millrace/internal/write"
)

// Write says how tags may be written.
type Write struct {
	Keep       time.Duration // how long an idempotency key is remembered
	AuditBytes int64         // size of one file of the audit log
	Rules      []WriteRule
}

// WriteRule is a rule with the places of what can only be checked when all is known. Rules compare with ==.
type WriteRule struct {
	write.Rule
	Place       Place
	InterlockAt Place // where its condition begins

	roleName string
}

// Rule returns the rule of that name; of "" the one that tags have that name none.
func (w *Write) Rule(name string) (*write.Rule, bool) {
	if name == "" {
		r := write.Default()
		return &r, true
	}
	for i := range w.Rules {
		if w.Rules[i].Name == name {
			return &w.Rules[i].Rule, true
		}
	}
	return nil, false
}

var writeKeys = mapping[Write]{
	name: "write",
	keys: []key[Write]{
		duration("keep", "24h", "How long the gateway remembers an idempotency key with what became of its write; over restarts too. Beyond 100,000 writes the oldest are forgotten earlier.",
			func(w *Write) *time.Duration { return &w.Keep }).within(1, 30*24*3600),
		size("audit_file_bytes", "16MiB", "A new file of the audit log begins when one is as large. No file is ever removed.", func(w *Write) *int64 { return &w.AuditBytes }).within(4<<10, 1<<30),
		named("rules", &writeRuleKeys, "Rules for writing, each used by any number of tags (`write=NAME`). A tag that names none has the defaults.",
			func(w *Write) *[]WriteRule { return &w.Rules },
			func(r *WriteRule, name string, at Place) { r.Name, r.Place = name, at }),
	},
}

var writeRuleKeys = mapping[WriteRule]{
	name: "write rule",
	keys: []key[WriteRule]{
		bound("min", "Least value that may be written, in the engineering unit. The tag's own low= counts too.", func(r *WriteRule) (*float64, *bool) { return &r.Min, &r.HasMin }),
		bound("max", "Greatest value that may be written. The tag's own high= counts too.", func(r *WriteRule) (*float64, *bool) { return &r.Max, &r.HasMax }),
		choice("role", "write", []string{"write", "admin"}, "The role that it takes to write, and to approve. An admin may do what takes write.",
			func(r *WriteRule) *string { return &r.roleName }),
		choice("verify", write.Readback, []string{write.Readback, write.Ack}, "`readback`: the tag is read back, and has to have the value; `ack`: the device's answer is enough.",
			func(r *WriteRule) *string { return &r.Verify }),
		duration("delay", "0s", "From the device's answer to the first look at the tag.", func(r *WriteRule) *time.Duration { return &r.Delay }).within(0, 60),
		duration("within", "1s", "How long the tag is looked at again while it has another value.", func(r *WriteRule) *time.Duration { return &r.Within }).within(0, 60),
		number("tolerance", "0", "By how much what is read back may differ, in the engineering unit.", func(r *WriteRule) *float64 { return &r.Tolerance }),
		integer("per_minute", "60", "Most writes of a tag in a minute; 0 is no limit.", func(r *WriteRule) *int { return &r.PerMinute }).within(0, 60_000),
		integer("burst", "10", "How many of these may come at once.", func(r *WriteRule) *int { return &r.Burst }).within(1, 60_000),
		duration("expire", "", "How long a write may wait to leave; 10s without it. Of a desired value: how long it is wished for; 60s without it.", func(r *WriteRule) *time.Duration { return &r.Expire }).within(0.01, 3600),
		choice("mode", write.Once, []string{write.Once, write.Desired}, "`once`: each value is written, once; `desired`: the newest value is written at the next poll, and again when it may have been lost.",
			func(r *WriteRule) *string { return &r.Mode }),
		text("interlock", "", "A condition in CEL over current values that has to hold: `tag(\"press1/door\") == false && value < 80.0`. `tag(\"./door\")` is a tag of the device that is written. An input that is not good, or is no number (NaN), refuses the write, and so does one that is older than max_age and cannot be read anew.",
			func(r *WriteRule) *string { return &r.Interlock }).placed(func(r *WriteRule) *Place { return &r.InterlockAt }),
		duration("max_age", "5s", "How old the values may be that the interlock looks at. Older ones are read anew before the write.", func(r *WriteRule) *time.Duration { return &r.MaxAge }).within(0.01, 24*3600),
		boolean("approve", "false", "Somebody else has to approve each write (`millrace approve`).", func(r *WriteRule) *bool { return &r.Approve }),
		duration("approve_within", "10m", "How long a write waits to be approved.", func(r *WriteRule) *time.Duration { return &r.ApproveWithin }).within(1, 7*24*3600),
	},
}

// bound is a number that need not be there.
func bound(name, doc string, to func(*WriteRule) (*float64, *bool)) key[WriteRule] {
	return key[WriteRule]{facts: facts{name: name, form: formNumber, doc: doc}, scalar: func(r *WriteRule, s string) (err error) {
		v, has := to(r)
		*v, err = parseNumber(s)
		*has = err == nil
		return err
	}}
}

// resolveWrite checks the rules, and fills in what depends on the mode.
func (l *loader) resolveWrite() {
	for i := range l.doc.write.Rules {
		r := &l.doc.write.Rules[i]
		r.Role = write.RoleWrite
		if r.roleName == "admin" {
			r.Role = write.RoleAdmin
		}
		expire := write.Default().Expire
		if r.Mode == write.Desired {
			expire = write.DesiredExpire
		}
		r.Expire = cmp.Or(r.Expire, expire)
		if err := r.Check(); err != nil {
			l.failf(r.Place, "write rule %s: %v", r.Name, err)
		}
	}
	l.cfg.Write = l.doc.write
}

// checkRule says what is wrong with the rule that a tag names.
func (l *loader) checkRule(t *tagAttrs) error {
	switch _, ok := l.doc.write.Rule(t.WriteRule); {
	case t.WriteRule == "":
		return nil
	case !t.writable:
		return fmt.Errorf("write=%s is a rule for writing, and the tag is read-only; add rw", t.WriteRule)
	case !ok:
		names := make([]string, len(l.doc.write.Rules))
		for i := range names {
			names[i] = l.doc.write.Rules[i].Name
		}
		return unknownRule(t.WriteRule, names)
	}
	return nil
}

func unknownRule(name string, names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("there is no write rule %q; the rules are those of write.rules", name)
	}
	return &unknownError{fmt.Sprintf("there is no write rule %q", name), Nearest(name, names)}
}
