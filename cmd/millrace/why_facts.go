package main

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"millrace/internal/config"
	"millrace/internal/device"
	"millrace/internal/heal"
	"millrace/internal/tag"
	"millrace/internal/web"
	"millrace/internal/why"
)

var _ web.Explainer = (*gateway)(nil)

// Why implements web.Explainer.
func (g *gateway) Why(name string) (why.Explanation, error) {
	f, ok := g.facts(name)
	if !ok {
		return why.Explanation{}, &web.UnknownError{What: "device or tag", Name: name, Near: g.near(name)}
	}
	return why.Make(f), nil
}

// near returns the device, or the tag of a device, that was probably meant by name.
func (g *gateway) near(name string) string {
	cfg := g.config()
	of, _, isTag := strings.Cut(name, "/")
	names := make([]string, len(cfg.Devices))
	for i := range cfg.Devices {
		names[i] = cfg.Devices[i].Name
	}
	if !slices.Contains(names, of) {
		of = config.Nearest(of, names)
	}
	i := slices.Index(names, of)
	if i < 0 || !isTag {
		return of
	}
	var tags []string
	for _, group := range cfg.Devices[i].Groups {
		for _, t := range group.Tags {
			tags = append(tags, t.Name)
		}
	}
	return config.Nearest(of+name[strings.IndexByte(name, '/'):], tags)
}

// facts gathers what is known of a device, or of a tag and its device.
func (g *gateway) facts(name string) (why.Facts, bool) {
	of, _, isTag := strings.Cut(name, "/")
	f := why.Facts{Now: time.Now()}
	var ok bool
	if f.Device, ok = g.runtime.Device(of); !ok {
		return f, false
	}
	f.All = g.runtime.Devices()
	f.Evidence, _ = g.runtime.Evidence(of)
	cfg := g.config()
	if i := slices.IndexFunc(cfg.Devices, func(s device.Spec) bool { return s.Name == of }); i >= 0 {
		f.Spec = cfg.Devices[i]
		f.Tags = g.tagStates(&f.Spec)
	}
	f.Gateway = g.gatewayFacts(cfg, f.Now)
	if isTag {
		i := slices.IndexFunc(f.Tags, func(t why.TagState) bool { return t.Name == name })
		if i < 0 {
			return f, false
		}
		f.Tag = &f.Tags[i]
	}
	return f, true
}

// tagStates returns the tags of a device with their last values.
func (g *gateway) tagStates(s *device.Spec) []why.TagState {
	var out []why.TagState
	var ids []tag.ID
	known := dialects()[s.Driver]
	for _, group := range s.Groups {
		for _, t := range group.Tags {
			address, _ := described(known, t)
			out = append(out, why.TagState{Name: t.Name, Group: group.Name, Address: address, Deadband: deadbandWords(t.Terms().Deadband), OutOfService: t.OutOfService})
			ids = append(ids, t.ID)
		}
	}
	for i, l := range g.runtime.Last(ids, make([]device.Last, 0, len(ids))) {
		o := &out[i]
		o.Quality = l.Quality
		if l.Received == 0 {
			continue
		}
		o.Value, o.At = l.Value.String(), time.Unix(0, l.TS)
		o.Told = o.Value
		if v, ok := g.runtime.Told(l.ID); ok {
			o.Told = v.String()
		}
	}
	return out
}

// deadbandWords writes a deadband, "" for none.
func deadbandWords(d device.Deadband) string {
	switch {
	case d.Every, d.Abs == 0 && d.Percent == 0:
		return ""
	case d.Abs > 0:
		return fmt.Sprintf("%g", d.Abs)
	}
	return fmt.Sprintf("%g %%", d.Percent)
}

func (g *gateway) gatewayFacts(cfg *config.Config, now time.Time) why.Gateway {
	stats := g.runtime.Stats()
	w := why.Gateway{Started: g.started, CPU: -1, Clock: stats.ClockSet, ClockBy: stats.ClockSetBy, Journal: g.Gateway().Journal.Reason, Free: freeBytes(cfg.Gateway.Data), Dropped: stats.Dropped,
		Overload: stats.Overload, Late: stats.SchedulerLate, Waiting: stats.DialsWaiting}
	for _, s := range stats.SlowedSubnets {
		w.Slowed = append(w.Slowed, fmt.Sprintf("%s (%.3g a second)", s.Subnet, s.Rate))
	}
	if n := g.load.node.Load(); n != nil {
		w.CPU, w.OwnCPU = n.CPU, n.ProcessCPU
	}
	g.mu.Lock()
	if w.Since = g.disk.since; g.disk.text == "" {
		w.Since = now // it is noticed within a moment
	}
	w.Reload, w.ReloadAt = g.reloads.text, g.reloads.since
	g.mu.Unlock()
	if w.Journal == "" {
		w.Since = time.Time{}
	}
	for _, s := range g.sinks.stats() {
		w.Sinks = append(w.Sinks, why.Sink{ID: s.cfg.ID, Reason: s.Reason, Since: s.Since, Waiting: s.Waiting, Behind: behind(s.Stats, now)})
	}
	return w
}

// loadEvery is how often the machine is asked how busy it is.
const loadEvery = 5 * time.Second

// machineLoad is how busy the machine was lately. One goroutine looks, any reads.
type machineLoad struct {
	sampler *heal.Sampler
	at      time.Time
	node    atomic.Pointer[heal.Node] // nil until there are two looks
}

// look asks when it is time to.
func (l *machineLoad) look(now time.Time) {
	if now.Sub(l.at) < loadEvery {
		return
	}
	first := l.at.IsZero()
	if l.at = now; first {
		l.sampler = heal.NewSampler()
	}
	if n := l.sampler.Sample(now); !first {
		l.node.Store(&n)
	}
}
