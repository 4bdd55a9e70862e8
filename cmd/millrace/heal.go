package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"millrace/internal/config"
	"millrace/internal/device"
	"millrace/internal/heal"
	"millrace/internal/notify"
	"millrace/internal/store"
	"millrace/internal/telemetry"
	"millrace/internal/web"
)

// healer is the gateway as its healing rules see it: what they look at, what they act on, and where their runs are kept.
type healer struct {
	g *gateway

	mu      sync.Mutex
	sampler *heal.Sampler
	regions heal.Regions
	known   map[string]string // the regions that were worked out, by device and address
	out     map[string]bool   // devices that rules have taken out of service
	devices int               // in the World before
}

// newHealing makes the runner of the rules of cfg, and takes up what an earlier run of the gateway left.
func (g *gateway) newHealing(ctx context.Context, cfg *config.Config) error {
	c, err := heal.NewCompiler()
	if err != nil {
		return err
	}
	g.healer = &healer{g: g, sampler: heal.NewSampler(), out: map[string]bool{}}
	marks, err := g.store.Marks(ctx)
	if err != nil {
		return err
	}
	for _, m := range marks {
		g.healer.marked(m, true)
	}
	g.healing, err = heal.NewRunner(heal.RunnerConfig{
		Compiler: c, Plant: g.healer, History: g.healer, OnEvent: g.healed,
		OnError: func(err error) { g.log.Error("healing: the history could not be written", "error", err) },
	})
	if err != nil {
		return err
	}
	g.setHealing(cfg)
	return g.healing.Load(ctx)
}

// setHealing makes the rules of cfg those that heal.
func (g *gateway) setHealing(cfg *config.Config) {
	g.healer.mu.Lock()
	g.healer.regions, g.healer.known = cfg.Heal.Regions, map[string]string{}
	g.healer.mu.Unlock()
	g.healing.SetPolicies(cfg.Heal.Policies, cfg.Heal.Every)
}

// relabelled has regions be worked out anew: devices may have other labels.
func (h *healer) relabelled() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.known)
}

// healed hears of everything that a rule does.
func (g *gateway) healed(e heal.Event) {
	text := cmp.Or(e.Text, "rule "+e.Rule)
	switch e.Kind {
	case "begun", "undone", "going_on", string(heal.Dry):
		g.log.Info("healing: "+e.Kind, "rule", e.Rule, "subject", e.Subject, "reason", text)
		return
	}
	g.log.Warn("healing: "+e.Kind, "rule", e.Rule, "subject", e.Subject, "reason", text)
	g.notes.send(notify.Healing, e.Device, strings.TrimSpace(fmt.Sprintf("rule %s: %s: %s", e.Rule, e.Kind, text)))
}

// World implements heal.Plant.
func (h *healer) World() heal.World {
	now := time.Now()
	w := heal.World{Node: h.node(now)}
	h.mu.Lock()
	defer h.mu.Unlock()
	w.Devices = make([]heal.Device, 0, h.devices)
	for s := range h.g.runtime.Devices() {
		d := deviceState(s, now)
		d.ByRule, d.Region = h.out[s.Name], h.region(s)
		w.Devices = append(w.Devices, d)
	}
	if h.devices = len(w.Devices); len(h.known) > 2*h.devices {
		clear(h.known) // of devices that are gone, most of them
	}
	return w
}

// region returns the region of a device. That of each address is worked out once. h.mu is held.
func (h *healer) region(s *device.Status) string {
	first := s.Endpoint
	if len(s.Routes) > 0 {
		first = s.Routes[0].Addr // a device stays in its region when it goes to another address
	}
	key := s.Name + " " + first
	r, ok := h.known[key]
	if !ok {
		r = h.regions.Of(s.Name, first, s.Labels)
		h.known[key] = r
	}
	return r
}

func deviceState(s *device.Status, now time.Time) heal.Device {
	d := heal.Device{
		Name: s.Name, Labels: s.Labels, Protocol: s.Protocol, Address: s.Endpoint, State: s.State.String(), Reason: s.Reason, For: now.Sub(s.Since), RTT: s.RTT, Jitter: s.Jitter, Loss: s.Loss, Load: s.Load, Phi: s.Phi, Slowed: s.Stretch,
		Up: s.State == device.Ready || s.State == device.Degraded, Down: !s.DownSince.IsZero() && !s.OutOfService,
		Outages: int64(s.Outages), Timeouts: int64(s.Timeouts), Routes: max(len(s.Routes), 1),
		Topology: heal.Topology{Route: s.Route, Pinned: s.RoutePinned, Stretch: s.Stretched, Degraded: s.Degraded.Level != device.DegradeNone, Standby: s.Standby, OutOfService: s.OutOfService},
	}
	for i := range s.Groups {
		d.Lag = max(d.Lag, s.Groups[i].Lag)
		d.Missed += int64(s.Groups[i].Missed)
	}
	return d
}

// node measures the machine, and how full and how late the gateway is.
func (h *healer) node(now time.Time) heal.Node {
	h.mu.Lock()
	n := h.sampler.Sample(now)
	h.mu.Unlock()
	if most := h.g.config().Journal.QueueBytes; most > 0 {
		n.Queue = float64(h.g.journal.Stats().QueueBytes) / float64(most)
	}
	for _, s := range h.g.sinks.stats() {
		n.Behind = max(n.Behind, behind(s.Stats, now))
	}
	return n
}

// The methods below implement heal.Plant.

func (h *healer) Reconnect(device, reason string) error {
	return h.g.runtime.Reconnect(device, reason)
}

func (h *healer) UseRoute(device string, route int, reason string) error {
	return h.g.runtime.UseRoute(device, route, reason)
}

func (h *healer) OpenStandby(device, reason string) error {
	return h.g.runtime.OpenStandby(device, reason)
}

func (h *healer) Resubscribe(device, reason string) error {
	return h.g.runtime.Resubscribe(device, reason)
}

func (h *healer) Degrade(device string, on bool, reason string) error {
	return h.g.runtime.Degrade(device, on, reason)
}

func (h *healer) Stretch(device string, factor float64, reason string) error {
	return h.g.runtime.Stretch(device, factor, reason)
}

// byHealing is who a mark of the rules is from.
const byHealing = "healing"

// SetOutOfService turns the maintenance switch. What a person has switched since is left as it is.
func (h *healer) SetOutOfService(ctx context.Context, device string, out bool, reason string) error {
	if !out {
		marks, err := h.g.store.Marks(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(marks, func(m store.Mark) bool { return m.Device == device && m.Tag == "" })
		if i >= 0 && marks[i].By != byHealing {
			return fmt.Errorf("somebody has taken it out of service since, from %s: %s", marks[i].By, marks[i].Reason)
		}
	}
	return h.g.SetMaintenance(ctx, web.Maintenance{Device: device, On: out, Reason: reason, By: byHealing})
}

// marked hears of each mark that is set or, when not on, taken away, and keeps whose devices are out by a rule.
func (h *healer) marked(m store.Mark, on bool) {
	if m.Tag != "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if delete(h.out, m.Device); on && m.By == byHealing {
		h.out[m.Device] = true
	}
}

func (h *healer) Notify(device, text string) {
	h.g.log.Info("healing: "+text, "device", device)
	h.g.notes.send(notify.Healing, device, text)
}

// The methods below implement heal.History.

func (h *healer) SaveRuns(ctx context.Context, runs []heal.Record) error {
	kept := make([]store.HealRun, len(runs))
	for i, r := range runs {
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		kept[i] = store.HealRun{ID: r.ID, Rule: r.Rule, Outcome: string(r.Outcome), Open: r.Unfinished(), Record: text}
	}
	return h.g.store.PutHealRuns(ctx, kept)
}

func (h *healer) Unfinished(ctx context.Context) ([]heal.Record, error) {
	return h.records(ctx, "", true, 1<<20)
}

func (h *healer) Recent(ctx context.Context) ([]heal.Record, error) {
	const enough = 500
	return h.records(ctx, "", false, enough)
}

func (h *healer) records(ctx context.Context, rule string, open bool, limit int) ([]heal.Record, error) {
	runs, err := h.g.store.HealRuns(ctx, rule, open, limit)
	if err != nil {
		return nil, err
	}
	out := make([]heal.Record, 0, len(runs))
	for _, x := range runs {
		var r heal.Record
		if err := json.Unmarshal(x.Record, &r); err != nil {
			h.g.log.Warn("healing: a run cannot be read", "run", x.ID, "error", err)
			continue
		}
		out = append(out, r)
	}
	return out, nil
}

func (h *healer) LastRun(ctx context.Context) (uint64, error) { return h.g.store.LastHealRun(ctx) }

func (h *healer) Pause(ctx context.Context) (p heal.Pause, err error) {
	text, err := h.g.store.HealPause(ctx)
	if err != nil || text == nil {
		return p, err
	}
	err = json.Unmarshal(text, &p)
	return p, err
}

func (h *healer) SetPause(ctx context.Context, p heal.Pause) error {
	if p == (heal.Pause{}) {
		return h.g.store.PutHealPause(ctx, nil)
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return h.g.store.PutHealPause(ctx, text)
}

// The methods below implement web.Healer.

func (g *gateway) HealRules() []heal.Summary { return g.healing.Rules() }

func (g *gateway) HealRule(name string) (heal.Explanation, bool) { return g.healing.Explain(name) }

func (g *gateway) HealDryRun(name, subject string) ([]heal.Preview, bool) {
	return g.healing.DryRun(name, subject)
}

func (g *gateway) HealPause() heal.Pause { return g.healing.Paused() }

func (g *gateway) SetHealPause(ctx context.Context, p heal.Pause) error {
	g.log.Warn("healing: pause", "reason", p.Reason, "by", p.By, "until", p.Until)
	return g.healing.SetPause(ctx, p)
}

func (g *gateway) HealHistory(ctx context.Context, name string, limit int) (web.HealHistory, error) {
	runs, err := g.healer.records(ctx, name, false, limit)
	if err != nil {
		return web.HealHistory{}, err
	}
	counts, err := g.store.HealCounts(ctx)
	if err != nil {
		return web.HealHistory{}, err
	}
	out := web.HealHistory{Runs: runs, Rules: []web.HealTotal{}}
	for _, c := range counts { // by rule
		if name != "" && c.Rule != name {
			continue
		}
		if n := len(out.Rules); n == 0 || out.Rules[n-1].Rule != c.Rule {
			out.Rules = append(out.Rules, web.HealTotal{Rule: c.Rule, Runs: map[heal.Outcome]uint64{}})
		}
		t := &out.Rules[len(out.Rules)-1]
		t.Runs[heal.Outcome(c.Outcome)] = c.Runs
		t.Success = heal.Success(t.Runs)
	}
	return out, nil
}

// healAlarms says which rules have stopped.
func (g *gateway) healAlarms() []web.Alarm {
	var out []web.Alarm
	for _, s := range g.healing.Stopped() {
		out = append(out, web.Alarm{
			ID: "heal:" + s.Rule, Severity: web.Warning, Since: s.Since, Text: "healing rule " + s.Rule + " has stopped: " + s.Why,
			Todo: "look for what these devices share: their network, a switch, a power supply; the rule goes on by itself when enough are well",
		})
	}
	return out
}

// healingCounts returns what was counted of each rule since the start.
func (g *gateway) healingCounts() []telemetry.Healing {
	counts, stopped := g.healing.Counts(), g.healing.Stopped()
	var out []telemetry.Healing
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		h := telemetry.Healing{Rule: name, Runs: map[string]uint64{}, Held: counts[name].Held,
			Stopped: slices.ContainsFunc(stopped, func(s heal.Stop) bool { return s.Rule == name })}
		for o, n := range counts[name].Runs {
			h.Runs[string(o)] = n
		}
		out = append(out, h)
	}
	return out
}
