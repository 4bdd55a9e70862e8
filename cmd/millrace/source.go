package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"millrace/internal/config"
	"millrace/internal/device"
	"millrace/internal/journal"
	"millrace/internal/store"
	"millrace/internal/tag"
	"millrace/internal/web"
)

// The gateway is the web.Source of its page.
var _ web.Source = (*gateway)(nil)

// view is what the page shows of a configuration: it changes with a reload or a turn of the maintenance switch, and is then made anew. Its list
// is made when somebody asks first: for a hundred thousand tags it is 13 MB that a gateway without a page does without.
type view struct {
	tags func() []web.Tag // by name
}

// newView lists the tags of cfg with their canonical addresses and types.
func newView(cfg *config.Config) *view {
	return &view{tags: sync.OnceValue(func() []web.Tag { return listTags(cfg) })}
}

func listTags(cfg *config.Config) []web.Tag {
	known := dialects()
	var list []web.Tag
	for _, d := range cfg.Devices {
		for _, g := range d.Groups {
			for _, t := range g.Tags {
				w := web.Tag{ID: t.ID, Name: t.Name, Device: d.Name, Group: g.Name, Unit: t.Terms().Unit, Writable: t.Writable, OutOfService: t.OutOfService}
				var k tag.Kind
				if w.Address, k = described(known[d.Driver], t); k != tag.Null {
					w.Type = k.String()
				}
				list = append(list, w)
			}
		}
	}
	slices.SortFunc(list, func(a, b web.Tag) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// described returns the canonical address of t and the kind of its engineering value, Null when only the device knows that.
func described(p protocol, t device.TagSpec) (address string, k tag.Kind) {
	address = t.Address
	if p != nil {
		if what, err := p.Describe(address); err == nil {
			address, k = what.Address, what.Kind
		}
	}
	switch {
	case t.Terms().Scale == 0:
	case k.IsArray():
		k = tag.Float64 | tag.Array
	default:
		k = tag.Float64
	}
	return address, k
}

// Gateway implements web.Source.
func (g *gateway) Gateway() web.Gateway {
	c, s := g.config(), g.journal.Stats()
	j := web.Journal{Bytes: s.Bytes, MaxBytes: c.Journal.MaxBytes, FreeBytes: freeBytes(c.Gateway.Data), Oldest: s.Oldest, State: "ok"}
	switch {
	case s.Failing:
		j.State, j.Reason = "failed", fmt.Sprintf("the disk does not take what is written: %v", s.LastError)
	case s.Full:
		j.State, j.Reason = "full", "the disk is full; the oldest data is dropped to make room"
	}
	return web.Gateway{Name: c.Gateway.Name, Version: version, Started: g.started, Demo: g.demo, Journal: j, Overload: g.runtime.Overload()}
}

// Tags implements web.Source.
func (g *gateway) Tags() []web.Tag {
	g.mu.Lock()
	v := g.view
	g.mu.Unlock()
	return v.tags()
}

func sampleOf(l device.Last) web.Sample {
	return web.Sample{ID: l.ID, Value: l.Value, Quality: l.Quality, TS: l.TS}
}

// Values implements web.Source.
func (g *gateway) Values(ids []tag.ID, dst []web.Sample) []web.Sample {
	for _, l := range g.runtime.Last(ids, make([]device.Last, 0, len(ids))) {
		dst = append(dst, sampleOf(l))
	}
	return dst
}

// Changes implements web.Source.
func (g *gateway) Changes(since uint64, ids []tag.ID, dst []web.Sample) ([]web.Sample, uint64) {
	changed, next := g.runtime.ChangesOf(ids, since, nil)
	for _, l := range changed {
		dst = append(dst, sampleOf(l))
	}
	return dst, next
}

// History implements web.Source from the journal.
func (g *gateway) History(ctx context.Context, ids []tag.ID, from, to time.Time, visit func(web.Sample) bool) error {
	want := make(map[tag.ID]bool, len(ids))
	for _, id := range ids {
		want[id] = true
	}
	return g.journal.Scan(ctx, from, to, func(r journal.Record) bool {
		for i, id := range r.Batch.ID {
			ts := r.Batch.TS[i]
			if !want[id] || ts < from.UnixNano() || ts >= to.UnixNano() {
				continue
			}
			if !visit(web.Sample{ID: id, Value: r.Batch.Value(i), Quality: r.Batch.Quality[i], TS: ts}) {
				return false
			}
		}
		return true
	})
}

// Ledger implements web.Source.
func (g *gateway) Ledger() web.Ledger {
	s := g.ledger.Snapshot()
	l := web.Ledger{
		Values:  web.LedgerValues{Read: s.Values.Read, Filtered: s.Values.Filtered, Queued: s.Values.Queued, Journaled: s.Values.Journaled, Dropped: s.Values.Dropped},
		Residue: s.Residue,
	}
	for _, k := range s.Sinks {
		l.Sinks = append(l.Sinks, web.LedgerSink{ID: k.ID, Delivered: k.Delivered, Waiting: k.Waiting, Dropped: k.Dropped})
	}
	return l
}

// Sinks implements web.Source.
func (g *gateway) Sinks() []web.Sink {
	var out []web.Sink
	for _, s := range g.sinks.stats() {
		w := web.Sink{
			ID: s.cfg.ID, Kind: s.cfg.Type, State: string(s.State), Reason: s.Reason, Since: s.Since,
			Waiting: s.Waiting, Delivered: s.Delivered, Dropped: s.Dropped, Behind: behind(s.Stats, time.Now()),
		}
		out = append(out, w)
	}
	return out
}

// Health implements web.Source.
func (g *gateway) Health() []web.Component {
	j := g.Gateway().Journal
	journal := web.Component{Name: "journal", Ready: j.State != "failed", Detail: j.Reason}
	devices := web.Component{Name: "devices", Ready: true, Detail: g.countStates()}
	out := []web.Component{journal, devices}
	for _, s := range g.sinks.stats() {
		// A sink that cannot deliver is no reason to take the gateway out of use: the journal keeps what waits.
		out = append(out, web.Component{Name: "sink " + s.cfg.ID, Ready: true, Detail: s.Stats.String()})
	}
	return out
}

func (g *gateway) countStates() string {
	s := g.runtime.Stats()
	var parts []string
	for _, state := range device.States() {
		if n := s.States[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	return strings.Join(parts, ", ")
}

// SetMaintenance implements web.Source: the store keeps the mark, the devices obey it.
func (g *gateway) SetMaintenance(ctx context.Context, m web.Maintenance) error {
	g.reload.Lock()
	defer g.reload.Unlock()
	names, what := m.Tags, "tag"
	if m.Device != "" {
		names, what = []string{m.Device}, "device"
	}
	for _, n := range names {
		if !g.exists(what, n) {
			return &web.UnknownError{What: what, Name: n}
		}
	}
	for _, n := range names {
		if err := g.mark(ctx, what, n, m); err != nil {
			return err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.view = g.view.marked(what, names, m.On)
	return nil
}

// exists says whether there is a device, or a tag, of that name.
func (g *gateway) exists(what, name string) bool {
	if what == "device" {
		_, ok := g.runtime.Device(name)
		return ok
	}
	_, ok := slices.BinarySearchFunc(g.Tags(), name, func(t web.Tag, n string) int { return cmp.Compare(t.Name, n) })
	return ok
}

// mark keeps a mark, or takes it away, and has the devices obey.
func (g *gateway) mark(ctx context.Context, what, name string, m web.Maintenance) error {
	k := store.Mark{Device: name, Reason: m.Reason, By: m.By, Since: time.Now()}
	if what == "tag" {
		k.Device, _, _ = strings.Cut(name, "/")
		k.Tag = name
	}
	var err error
	if m.On {
		err = g.store.SetMark(ctx, k)
	} else {
		_, err = g.store.ClearMark(ctx, k.Device, k.Tag)
	}
	if err != nil {
		return err
	}
	g.healer.marked(k, m.On)
	return g.runtime.SetOutOfService(name, m.On, m.Reason)
}

// marked returns v with the switch of some tags turned.
func (v *view) marked(what string, names []string, on bool) *view {
	if what != "tag" {
		return v
	}
	list := slices.Clone(v.tags())
	for i := range list {
		if slices.Contains(names, list[i].Name) {
			list[i].OutOfService = on
		}
	}
	return &view{tags: func() []web.Tag { return list }}
}
