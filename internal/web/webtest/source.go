package webtest

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"millrace/internal/tag"
	"millrace/internal/web"
)

var _ web.Source = (*Plant)(nil)

// Gateway is part of web.Source, as are all methods below.
func (p *Plant) Gateway() web.Gateway {
	p.mu.Lock()
	defer p.mu.Unlock()
	return web.Gateway{
		Name: "Plant 7", Version: "0.1.0", Started: p.started, Demo: true,
		Journal: web.Journal{Bytes: 3_400_000_000 + int64(p.read)*4, MaxBytes: 20 << 30, FreeBytes: 71_000_000_000, Oldest: p.started.Add(-40 * time.Hour), State: "ok"},
	}
}

func (p *Plant) Devices() iter.Seq[*web.Device] {
	return func(yield func(*web.Device) bool) {
		for _, i := range p.order {
			p.mu.Lock()
			d := p.devices[i]
			p.mu.Unlock()
			if !yield(&d) {
				return
			}
		}
	}
}

func (p *Plant) Device(id string) (web.Device, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, ok := p.byID[id]
	if !ok {
		return web.Device{}, false
	}
	return p.devices[i], true
}

func (p *Plant) DeviceChanges(since uint64, also func(int) bool, visit func(int, *web.Device)) (uint64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	whole := since == 0
	for place, i := range p.order {
		if whole || p.altered[i] > since || also != nil && also(place) {
			d := p.devices[i]
			visit(place, &d)
		}
	}
	return p.number, whole
}

func (p *Plant) DeviceStates() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := map[string]int{}
	for i := range p.devices {
		if d := &p.devices[i]; d.OutOfService {
			n[web.StateOutOfService]++
		} else {
			n[d.State]++
		}
	}
	return n
}

func (p *Plant) Tags() []web.Tag {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tags
}

func (p *Plant) Values(ids []tag.ID, dst []web.Sample) []web.Sample {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		if id == 0 || int(id) > len(p.rows) || p.rows[id-1].seq == 0 {
			dst = append(dst, web.Sample{ID: id, Quality: tag.BadWaitingForInitialData})
			continue
		}
		dst = append(dst, p.rows[id-1].sample)
	}
	return dst
}

func (p *Plant) Changes(since uint64, ids []tag.ID, dst []web.Sample) ([]web.Sample, uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		if id > 0 && int(id) <= len(p.rows) && p.rows[id-1].seq > since {
			dst = append(dst, p.rows[id-1].sample)
		}
	}
	return dst, p.seq
}

// History computes a value a second, with a gap of a minute twenty minutes before the plant started.
func (p *Plant) History(ctx context.Context, ids []tag.ID, from, to time.Time, visit func(web.Sample) bool) error {
	types := map[tag.ID]string{}
	for _, t := range p.Tags() {
		types[t.ID] = t.Type
	}
	p.mu.Lock()
	end, gap := p.now, p.started.Add(-20*time.Minute)
	p.mu.Unlock()
	if to.After(end) {
		to = end
	}
	for t := from.Truncate(time.Second); t.Before(to); t = t.Add(time.Second) {
		for _, id := range ids {
			s := web.Sample{ID: id, TS: t.UnixNano(), Value: valueAt(id, types[id], t)}
			if t.After(gap) && t.Before(gap.Add(time.Minute)) {
				s.Value, s.Quality = tag.Value{}, tag.BadCommunicationError
			}
			if !visit(s) {
				return nil
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (p *Plant) Ledger() web.Ledger {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := web.Ledger{Values: web.LedgerValues{Read: p.read, Filtered: p.filter, Journaled: p.read - p.filter - p.dropped}, Residue: p.residue}
	for _, s := range p.sinks {
		l.Sinks = append(l.Sinks, web.LedgerSink{ID: s.ID, Delivered: s.Delivered, Waiting: s.Waiting})
	}
	return l
}

func (p *Plant) Sinks() []web.Sink {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sinks)
}

func (p *Plant) Alarms() []web.Alarm {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []web.Alarm
	if p.residue != 0 {
		all = append(all, web.Alarm{ID: "residue", Severity: web.Critical, Since: p.now,
			Text: fmt.Sprintf("The ledger does not add up: %d values are unaccounted for.", p.residue), Todo: "Keep the log and the journal, and report this as a bug of the gateway."})
	}
	for _, s := range p.sinks {
		if s.State != "ok" {
			all = append(all, web.Alarm{ID: "sink:" + s.ID, Severity: web.Warning, Since: s.Since, Sink: s.ID,
				Text: fmt.Sprintf("Sink %s takes no values: %s", s.ID, s.Reason), Todo: "Values wait in the journal and follow when it is back. Check that the database runs."})
		}
	}
	for _, d := range p.devices {
		if d.State == web.StateCooling && !d.OutOfService {
			all = append(all, web.Alarm{ID: "device:" + d.ID, Severity: web.Warning, Since: d.Since, Device: d.ID,
				Text: fmt.Sprintf("Device %s is not being read: %s", d.ID, d.Reason), Todo: "Check its power and network cable; it is tried again by itself."})
		}
	}
	return all
}

func (p *Plant) Health() []web.Component {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.health
}

func (p *Plant) SetMaintenance(_ context.Context, m web.Maintenance) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.Device != "" {
		return p.switchDevice(m)
	}
	names := map[string]bool{}
	for _, n := range m.Tags {
		if !slices.ContainsFunc(p.tags, func(t web.Tag) bool { return t.Name == n }) {
			return &web.UnknownError{What: "tag", Name: n}
		}
		names[n] = true
	}
	p.tags = slices.Clone(p.tags)
	for i := range p.tags {
		if names[p.tags[i].Name] {
			p.tags[i].OutOfService = m.On
		}
	}
	p.mark(func(t *web.Tag) bool { return names[t.Name] }, serviceQuality(m.On))
	return nil
}

func (p *Plant) switchDevice(m web.Maintenance) error {
	i, ok := p.byID[m.Device]
	if !ok {
		return &web.UnknownError{What: "device", Name: m.Device}
	}
	d := &p.devices[i]
	d.OutOfService, d.Since, d.Reason = m.On, p.now, ""
	p.alter(i)
	if m.On {
		d.Reason = "out of service: " + m.Reason
	}
	p.mark(func(t *web.Tag) bool { return t.Device == m.Device }, serviceQuality(m.On))
	return nil
}

func serviceQuality(on bool) tag.Quality {
	if on {
		return tag.BadOutOfService
	}
	return tag.BadWaitingForInitialData
}
