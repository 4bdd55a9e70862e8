package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"millrace/internal/config"
	"millrace/internal/device"
	"millrace/internal/journal/vfs"
	"millrace/internal/rule"
	"millrace/internal/tag"
	writing "millrace/internal/write"
	"millrace/internal/write/audit"
)

// auditFolder is the audit log's, in the data directory.
const auditFolder = "audit"

// openWrites opens the audit log and makes the path of writes. What the log says of before is remembered, and what was on its way then gets its end.
func (g *gateway) openWrites() error {
	w := g.cfg.Write
	var before writing.Memory
	var found []audit.Finding
	var err error
	dir := filepath.Join(g.cfg.Gateway.Data, auditFolder)
	g.audit, found, err = audit.Open(audit.Config{Dir: dir, FS: g.seams.audit, FileBytes: w.AuditBytes, Since: time.Now().Add(-w.Keep), Visit: before.Visit})
	if err != nil {
		return err
	}
	for _, f := range found {
		g.log.Error("audit log: " + f.String())
	}
	if len(found) > 0 {
		g.tampered.set(fmt.Sprintf("the audit log is not as the gateway wrote it: %s, and %d more", found[0], len(found)-1), time.Now())
	}
	if g.writes, err = writing.New(writing.Config{Plant: g.runtime, Audit: g.audit, Memory: &before, Keep: w.Keep, RoleOf: g.tokens.roleOf, OnEnd: g.wrote}); err != nil {
		return err
	}
	targets, err := writeTargets(g.cfg)
	if err != nil {
		return err
	}
	g.writes.Set(targets)
	return nil
}

// readAudit reads the audit log as it is by now.
func (g *gateway) readAudit(ctx context.Context, q audit.Query) (audit.Page, error) {
	var fs vfs.FS = vfs.OS{}
	if g.seams.audit != nil {
		fs = g.seams.audit
	}
	return audit.ReadPage(ctx, fs, filepath.Join(g.cfg.Gateway.Data, auditFolder), q)
}

// wrote hears of each write that ended.
func (g *gateway) wrote(o writing.Outcome) {
	attrs := []any{"id", o.ID, "tag", o.Tag, "end", o.End, "by", o.By, "took", o.Took}
	if o.End == writing.Confirmed {
		g.log.Info("write", attrs...)
	} else {
		g.log.Warn("write", append(attrs, "reason", o.Reason)...)
	}
}

// closeWrites takes no more writes, and waits for those under way.
func (g *gateway) closeWrites() {
	if g.writes != nil {
		g.writes.Close()
	}
}

// tagIndex finds the tags of a configuration by their full names.
type tagIndex map[string]indexedTag

type indexedTag struct {
	spec   *device.TagSpec
	device string
	driver string
}

func indexTags(cfg *config.Config) tagIndex {
	x := tagIndex{}
	eachTag(cfg, func(d *device.Spec, t *device.TagSpec) { x[t.Name] = indexedTag{t, d.Name, d.Driver} })
	return x
}

func eachTag(cfg *config.Config, f func(d *device.Spec, t *device.TagSpec)) {
	for i := range cfg.Devices {
		d := &cfg.Devices[i]
		for k := range d.Groups {
			for n := range d.Groups[k].Tags {
				f(d, &d.Groups[k].Tags[n])
			}
		}
	}
}

// compilerOf makes the interlocks of cfg.
func compilerOf(cfg *config.Config) *writing.Compiler {
	known := dialects()
	var x tagIndex
	return &writing.Compiler{Find: func(name string) (writing.Known, bool) {
		if x == nil { // there is an interlock
			x = indexTags(cfg)
		}
		t, ok := x[name]
		if !ok {
			return writing.Known{}, false
		}
		_, k := described(known[t.driver], *t.spec)
		return writing.Known{ID: t.spec.ID, Kind: k, Device: t.device}, true
	}}
}

// writeTargets lists the tags of cfg that may be written. Its errors are of interlocks, each once with the place of its rule.
func writeTargets(cfg *config.Config) ([]*writing.Target, error) {
	known, compiler := dialects(), compilerOf(cfg)
	rules := map[string]*writing.Rule{}
	var bad config.Errors
	var list []*writing.Target
	eachTag(cfg, func(d *device.Spec, t *device.TagSpec) {
		if !t.Writable {
			return
		}
		name := t.Terms().WriteRule
		r := rules[name]
		if r == nil {
			var ok bool
			if r, ok = cfg.Write.Rule(name); !ok {
				return // Load has refused it
			}
			rules[name] = r
		}
		w := &writing.Target{Device: d.Name, Spec: t, Rule: r}
		if p := known[d.Driver]; p != nil {
			w.Kind = rawKind(p, t)
			w.Check = func(raw tag.Value) error { return p.CheckValue(t.Address, raw) }
		}
		var err error
		if w.Interlock, err = compiler.Compile(r, d.Name); err != nil {
			bad = append(bad, interlockError(cfg, r, d.Name, err)...)
		}
		list = append(list, w)
	})
	if bad != nil {
		return nil, firstOfEach(bad)
	}
	return list, nil
}

// roleFor is the role that it takes to write tags of a rule.
func roleFor(cfg *config.Config, name string) writing.Role {
	if r, ok := cfg.Write.Rule(name); ok {
		return r.Role
	}
	return writing.RoleAdmin
}

// rawKind is the kind of t's raw values, Null when only the device knows it.
func rawKind(p protocol, t *device.TagSpec) tag.Kind {
	what, err := p.Describe(t.Address)
	if err != nil {
		return tag.Null
	}
	return what.Kind
}

func interlockError(cfg *config.Config, r *writing.Rule, device string, err error) (out config.Errors) {
	at := config.Place{File: cfg.Path}
	for i := range cfg.Write.Rules {
		if cfg.Write.Rules[i].Name == r.Name {
			at = cfg.Write.Rules[i].InterlockAt
		}
	}
	list, ok := err.(rule.Errors) //nolint:errorlint // Compile says that it is one
	if !ok {
		return config.Errors{{Place: at, Msg: fmt.Sprintf("write rule %s: %v", r.Name, err), Device: device}}
	}
	for _, e := range list {
		out = append(out, &config.Error{Place: at, Msg: fmt.Sprintf("write rule %s: interlock: at %d:%d of it: %s", r.Name, e.Line, e.Column, e.Message), Device: device})
	}
	return out
}

// firstOfEach keeps the first of the errors that stand at one place: the others are the same of other devices.
func firstOfEach(list config.Errors) (out config.Errors) {
	seen := map[config.Place]bool{}
	for _, e := range list {
		if !seen[e.Place] {
			out = append(out, e)
		}
		seen[e.Place] = true
	}
	return out
}
