// Package webtest has a plant that exists only in memory: a web.Source for tests, and for working on the page without a gateway.
package webtest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"millrace/internal/tag"
	"millrace/internal/web"
)

// Plant is a web.Source whose values are waves of time. Any goroutine may use it.
type Plant struct {
	mu      sync.Mutex
	started time.Time
	now     time.Time
	seq     uint64
	devices []web.Device
	order   []int    // of devices, by ID
	altered []uint64 // by device, when a fact of it changed
	number  uint64   // of the last change of a fact
	byID    map[string]int
	tags    []web.Tag
	rows    []row // by tag ID - 1
	read    uint64
	filter  uint64
	sinks   []web.Sink
	dropped uint64
	residue int64
	health  []web.Component
}

type row struct {
	sample web.Sample
	seq    uint64
	device int
}

// New returns a plant of devices with tags each, all well, at time now.
func New(devices, tags int, now time.Time) *Plant {
	p := &Plant{started: now, now: now, byID: map[string]int{}}
	for i := range devices {
		p.addDevice(i, tags)
	}
	p.altered, p.number = make([]uint64, devices), 1
	for i := range devices {
		p.order = append(p.order, i)
	}
	slices.SortFunc(p.order, func(a, b int) int { return compare(p.devices[a].ID, p.devices[b].ID) })
	slices.SortFunc(p.tags, func(a, b web.Tag) int { return compare(a.Name, b.Name) })
	p.sinks = []web.Sink{
		{ID: "historian", Kind: "postgres", State: "ok", Since: now},
		{ID: "archive", Kind: "file", State: "ok", Since: now},
	}
	p.health = []web.Component{{Name: "journal", Ready: true, Detail: "synced"}, {Name: "devices", Ready: true, Detail: "all started"}}
	p.Step(now)
	return p
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (p *Plant) addDevice(i, tags int) {
	area := [...]string{"press", "oven", "filler", "pump", "mixer", "boiler"}[i%6]
	id := fmt.Sprintf("%s-%02d", area, i/6+1)
	p.byID[id] = len(p.devices)
	p.devices = append(p.devices, web.Device{
		ID: id, Protocol: "modbus", Endpoint: fmt.Sprintf("modbus://10.20.%d.%d:502/1", i/200, i%200+10),
		State: web.StateReady, Since: p.started, RTT: time.Duration(1200+137*i%2000) * time.Microsecond,
		Groups: []web.Group{{Name: "fast", Interval: time.Second, Tags: tags - tags/4}, {Name: "slow", Interval: 10 * time.Second, Tags: tags / 4}},
	})
	for j := range tags {
		p.tags = append(p.tags, describe(id, len(p.rows)+1, j, j >= tags-tags/4))
		p.rows = append(p.rows, row{device: len(p.devices) - 1})
	}
}

func describe(device string, id, j int, slow bool) web.Tag {
	kinds := [...]struct{ name, typ, unit, address string }{
		{"temperature", "float32", "°C", "holding:%d:float32"}, {"pressure", "float32", "bar", "holding:%d:float32"},
		{"speed", "int16", "rpm", "holding:%d:int16"}, {"running", "bool", "", "coil:%d"},
		{"produced", "uint64", "pcs", "holding:%d:uint64"}, {"level", "float64", "%%", "holding:%d:float64"},
		{"flow", "float32", "m³/h", "input:%d:float32"}, {"recipe", "string", "", "holding:%d:string[16]"},
	}
	k := kinds[j%len(kinds)]
	t := web.Tag{ID: tag.ID(id), Name: fmt.Sprintf("%s/%s_%03d", device, k.name, j), Device: device, Group: "fast",
		Address: fmt.Sprintf(k.address, j*4), Type: k.typ, Unit: k.unit, Writable: j%9 == 2}
	if k.unit == "%%" {
		t.Unit = "%"
	}
	if slow {
		t.Group = "slow"
	}
	return t
}

// valueAt is what tag id of kind j has at t.
func valueAt(id tag.ID, typ string, t time.Time) tag.Value {
	s := float64(t.UnixMilli()) / 1000
	phase := float64(id) * 0.7
	wave := math.Sin(s/300+phase) + 0.12*math.Sin(s/17+2*phase) + 0.02*math.Sin(s*1.7+phase)
	switch typ {
	case "float32":
		return tag.Value{Kind: tag.Float32, Bits: uint64(math.Float32bits(float32(math.Round((60+20*wave)*100) / 100)))}
	case "float64":
		return tag.Value{Kind: tag.Float64, Bits: math.Float64bits(math.Round((50+40*math.Sin(s/700+phase))*1000) / 1000)}
	case "int16":
		return tag.Value{Kind: tag.Int16, Bits: uint64(int64(1480 + 12*wave))}
	case "bool":
		return tag.Value{Kind: tag.Bool, Bits: uint64(int64(s/20+phase)) % 2}
	case "uint64":
		return tag.Value{Kind: tag.Uint64, Bits: 9007199254740993 + uint64(s)%1_000_000}
	}
	names := [...]string{"Mild 250 g", "Dunkel <kräftig>", "Spülen", "Bio & fair"}
	return tag.Value{Kind: tag.String, Aux: []byte(names[int(s/60+phase)%len(names)])}
}

// Step brings the values of all devices that answer to their state at now.
func (p *Plant) Step(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = now
	p.seq++
	for i := range p.tags {
		t := &p.tags[i]
		r := &p.rows[t.ID-1]
		d := &p.devices[r.device]
		if t.OutOfService || d.OutOfService || d.State != web.StateReady && d.State != web.StateDegraded {
			continue
		}
		v := valueAt(t.ID, t.Type, now)
		p.read++
		if r.seq > 0 && r.sample.Quality.IsGood() && same(v, r.sample.Value) {
			p.filter++
			r.sample.TS = now.UnixNano()
			continue
		}
		r.sample = web.Sample{ID: t.ID, Value: v, TS: now.UnixNano()}
		r.seq = p.seq
	}
	for i := range p.sinks {
		s := &p.sinks[i]
		if done := p.read - p.filter - p.dropped; s.State == "ok" {
			s.Delivered, s.Waiting, s.Behind = done, 0, 0
		} else {
			s.Waiting, s.Behind = done-s.Delivered, now.Sub(s.Since)
		}
	}
	for i := range p.devices {
		p.devices[i].RTT = time.Duration(1500+800*math.Sin(float64(now.Unix())/9+float64(i))) * time.Microsecond
	}
}

func same(a, b tag.Value) bool {
	return a.Kind == b.Kind && a.Bits == b.Bits && string(a.Aux) == string(b.Aux)
}

// Run steps every interval until ctx ends.
func (p *Plant) Run(ctx context.Context, interval time.Duration) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			p.Step(now)
		case <-ctx.Done():
			return
		}
	}
}

// SetState puts a device into state for reason. Its values become uncertain when it is no longer read.
func (p *Plant) SetState(device, state, reason string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, ok := p.byID[device]
	if !ok {
		return &web.UnknownError{What: "device", Name: device}
	}
	d := &p.devices[i]
	wasRead := d.State == web.StateReady || d.State == web.StateDegraded
	isRead := state == web.StateReady || state == web.StateDegraded
	if wasRead && !isRead {
		d.Outages++
	}
	if !wasRead && isRead {
		d.Recovery = max(d.Recovery, 740*time.Millisecond)
	}
	d.State, d.Reason, d.Since = state, reason, p.now
	p.alter(i)
	if !isRead {
		p.mark(func(t *web.Tag) bool { return t.Device == device }, tag.UncertainLastUsable)
	}
	return nil
}

// alter notes that a fact of device i has changed.
func (p *Plant) alter(i int) {
	p.number++
	p.altered[i] = p.number
}

// SetSink puts a sink into state for reason.
func (p *Plant) SetSink(id, state, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.sinks {
		if s := &p.sinks[i]; s.ID == id {
			s.State, s.Reason, s.Since = state, reason, p.now
		}
	}
}

// SetHealth makes a component ready or not.
func (p *Plant) SetHealth(name string, ready bool, detail string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.health = slices.Clone(p.health)
	for i := range p.health {
		if c := &p.health[i]; c.Name == name {
			c.Ready, c.Detail = ready, detail
		}
	}
}

// SetResidue makes the ledger not add up.
func (p *Plant) SetResidue(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.residue = n
}

func (p *Plant) mark(of func(*web.Tag) bool, q tag.Quality) {
	p.seq++
	for i := range p.tags {
		if t := &p.tags[i]; of(t) {
			r := &p.rows[t.ID-1]
			r.sample.Quality, r.seq = q, p.seq
		}
	}
}
