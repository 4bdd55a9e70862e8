package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"millrace/internal/config"
	"millrace/internal/device"
	"millrace/internal/heal"
	"millrace/internal/sim"
	"millrace/internal/web"
)

// healText is a configuration of n presses with rules.
func healText(dir string, addresses []string, rules string) string {
	var b strings.Builder
	b.WriteString(strings.Replace(configText(dir), "listen: 'off'", "listen: '127.0.0.1:0'", 1))
	b.WriteString("devices:\n")
	for i, a := range addresses {
		fmt.Fprintf(&b, "  - {id: press-%d, address: \"modbus://%s/1\", groups: {all: {interval: 50ms, tags: {a: \"holding:0\"}}}}\n", i+1, a)
	}
	return b.String() + rules
}

// secondRoute gives each device one address more.
func secondRoute(address string) func(*config.Config) {
	return func(c *config.Config) {
		for i := range c.Devices {
			a := c.Devices[i].Addr
			a.Host = address
			c.Devices[i].Routes = []device.Route{{Addr: a, Name: "second"}}
		}
	}
}

// runs returns the runs that are kept, the oldest first.
func (r *rig) runs() []heal.Record {
	r.t.Helper()
	h, err := r.HealHistory(context.Background(), "", 100)
	if err != nil {
		r.t.Fatal(err)
	}
	slices.Reverse(h.Runs)
	return h.Runs
}

// firstRun waits for the end of the first run.
func (r *rig) firstRun() heal.Record {
	r.t.Helper()
	until(r.t, "the first run ends", func() bool {
		all := r.runs()
		return len(all) > 0 && all[0].Outcome != heal.Running
	})
	return r.runs()[0]
}

const slowRule = `heal:
  every: 100ms
  rules:
    slow:
      doc: Presses that answer slowly.
      when: device.up && device.rtt > duration("100ms")
      for: 300ms
      do: [reroute]
      verify: device.up && device.rtt < duration("60ms")
      within: 20s
`

// TestHealingBySecondAddress: a press answers after 150 ms; at its other address it does at once.
func TestHealingBySecondAddress(t *testing.T) {
	slow := plant(t, sim.ModbusConfig{Faults: simFault(t, sim.ProtocolModbus, "latency:150ms")})
	quick := plant(t, sim.ModbusConfig{})
	dir := t.TempDir()
	text := healText(dir, []string{slow.Addr(1)}, slowRule)
	r := startRig(t, dir, text, rigOptions{tweak: secondRoute(quick.Addr(1))})
	x := r.firstRun()
	if x.Outcome != heal.Healed || x.Subject != "press-1" || len(x.Before) != 1 || len(x.After) != 1 || x.Before[0].Route != 0 || x.After[0].Route != 1 || x.After[0].RTTMS > 60 {
		t.Errorf("%+v", x)
	}
	if s := r.device("press-1"); s.Route != 1 || !s.RoutePinned {
		t.Errorf("it is on route %d", s.Route)
	}
	r.healVerbs(x)
}

// healVerbs asks by the command line for what the rule of slowRule did.
func (r *rig) healVerbs(x heal.Record) {
	t, server := r.t, r.page()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"list"}, `slow\s+device\s+watching\s+1\s+100 %`},
		{[]string{"explain", "slow"}, `reroute to next`},
		{[]string{"explain", "slow"}, `press-1: not true: device.rtt > duration`},
		{[]string{"dry-run", "slow"}, `nothing would be done: no condition holds`},
		{[]string{"dry-run", "--subject", "press-1"}, `press-1: reroute from address 1 to 0`},
		{[]string{"explain", "jitter"}, `rule jitter, for each device: not in use, it acts when heal.use names it`},
		{[]string{"history", "nothing"}, `nothing is kept of a rule nothing`},
		{[]string{"history"}, `slow for press-1: healed: it helped`},
		{[]string{"history", "slow", "--all"}, `before press-1: ready, round trip`},
		{[]string{"history"}, `slow helped: 100 % \(1 healed\)`},
		{[]string{"pause", "--reason", "a test", "--for", "1h"}, `healing is paused until`},
		{[]string{"list"}, `healing is paused since .* until .*: a test`},
		{[]string{"resume"}, `healing goes on`},
	} {
		args := append([]string{"heal"}, c.args...)
		args = append(args, "--server", server)
		if c.args[0] == "pause" || c.args[0] == "resume" {
			args = append(args, "--token-file", filepath.Join(r.config().Gateway.Data, tokenFile))
		}
		out, errs, code := millrace(t, args...)
		if code != 0 || !regexp.MustCompile(c.want).MatchString(out) {
			t.Errorf("%v ended with %d and said\n%s%s\nwant %s", args, code, out, errs, c.want)
		}
	}
	out, _, code := millrace(t, "heal", "history", "--json", "--server", server)
	var h struct{ Runs []heal.Record }
	if err := json.Unmarshal([]byte(out), &h); err != nil || code != 0 || len(h.Runs) != 1 || h.Runs[0].ID != x.ID {
		t.Errorf("%s, %v", out, err)
	}
	if _, errs, code := millrace(t, "heal", "explain", "nothing", "--server", server); code != exitFailed || !strings.Contains(errs, "no healing rule named") {
		t.Errorf("%d, %s", code, errs)
	}
	resp, err := http.Get(server + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), `millrace_heal_runs_total{outcome="healed",rule="slow"} 1`) {
		t.Errorf("the metrics do not count the run: %v", err)
	}
}

// TestHealingThatDoesNotHelp: the other address is as slow, and the press goes back to where it was.
func TestHealingThatDoesNotHelp(t *testing.T) {
	slow := plant(t, sim.ModbusConfig{Faults: simFault(t, sim.ProtocolModbus, "latency:150ms")})
	other := plant(t, sim.ModbusConfig{Faults: simFault(t, sim.ProtocolModbus, "latency:150ms")})
	dir := t.TempDir()
	text := healText(dir, []string{slow.Addr(1)}, strings.Replace(slowRule, "within: 20s", "within: 2s", 1))
	r := startRig(t, dir, text, rigOptions{tweak: secondRoute(other.Addr(1))})
	x := r.firstRun()
	if x.Outcome != heal.RolledBack || !strings.Contains(x.Reason, "it did not help within 2s") {
		t.Errorf("%+v", x)
	}
	until(t, "it is at its first address again", func() bool {
		s := r.device("press-1")
		return s.Route == 0 && !s.RoutePinned && s.State == device.Ready
	})
}

// TestHealingStorm: when most presses are slow it is not the presses, and nothing is done; a reload with another rule does it all the same.
func TestHealingStorm(t *testing.T) {
	m := plant(t, sim.ModbusConfig{Devices: 4, Faults: simFault(t, sim.ProtocolModbus, "latency:150ms,devices=2-4")})
	dir := t.TempDir()
	addresses := make([]string, 4)
	for i := range addresses {
		addresses[i] = m.Addr(i + 1)
	}
	rule := strings.Replace(slowRule, "[reroute]", "[reconnect]", 1)
	r := startRig(t, dir, healText(dir, addresses, rule), rigOptions{})
	until(t, "the rule has stopped", func() bool {
		_, ok := r.alarm("heal:slow")
		return ok
	})
	// One press may be found slow before the others are. That one is no storm.
	if all := r.runs(); len(all) > 1 {
		t.Errorf("%d runs in a storm", len(all))
	}
	if err := os.WriteFile(r.path, []byte(healText(dir, addresses, strings.Replace(rule, "within: 20s", "dry: true\n      limit: {min_healthy: -1, percent: 100, cooldown: 1h}", 1))), 0o600); err != nil {
		t.Fatal(err)
	}
	// One that the rule has acted on before it was changed rests.
	until(t, "the new rule has said what it would do to all three", func() bool {
		subjects, dry := map[string]bool{}, false
		for _, x := range r.runs() {
			subjects[x.Subject] = true
			dry = dry || x.Outcome == heal.Dry
		}
		return dry && len(subjects) == 3
	})
	if _, ok := r.alarm("heal:slow"); ok {
		t.Error("a rule that has no such limit has stopped")
	}
}

// TestHealingOverARestart: the gateway ends while a press is out of service by a rule that waits whether that helps; the next one puts it back.
func TestHealingOverARestart(t *testing.T) {
	m := plant(t, sim.ModbusConfig{Faults: simFault(t, sim.ProtocolModbus, "latency:150ms")})
	dir := t.TempDir()
	rule := strings.NewReplacer("[reroute]", "[out_of_service]", "within: 20s", "within: 1h", "verify: device.up &&", "verify: node.cpu < 0.0 &&").Replace(slowRule)
	text := healText(dir, []string{m.Addr(1)}, rule)
	r := startRig(t, dir, text, rigOptions{})
	until(t, "the press is out of service", func() bool { return r.device("press-1").OutOfService })
	r.stop()
	r = startRig(t, dir, text, rigOptions{})
	x := r.firstRun()
	if x.Outcome != heal.Interrupted || x.Reason != "the gateway ended while it ran" {
		t.Errorf("%+v", x)
	}
	until(t, "the press is in service", func() bool { return !r.device("press-1").OutOfService })
	r.reads("press-1", 1)
}

// TestAPersonGoesBeforeARule: what somebody took out of service since is not put back.
func TestAPersonGoesBeforeARule(t *testing.T) {
	m := plant(t, sim.ModbusConfig{})
	dir := t.TempDir()
	r := startRig(t, dir, healText(dir, []string{m.Addr(1)}, ""), rigOptions{})
	ctx := t.Context()
	if err := r.healer.SetOutOfService(ctx, "press-1", true, "healing: rule slow"); err != nil {
		t.Fatal(err)
	}
	if !r.healer.World().Devices[0].ByRule {
		t.Error("it is not known that a rule has taken it out")
	}
	if err := r.SetMaintenance(ctx, web.Maintenance{Device: "press-1", On: true, Reason: "the valve is changed", By: "10.0.0.9"}); err != nil {
		t.Fatal(err)
	}
	if err := r.healer.SetOutOfService(ctx, "press-1", false, ""); err == nil || !strings.Contains(err.Error(), "the valve is changed") {
		t.Error(err)
	}
	if !r.device("press-1").OutOfService || r.healer.World().Devices[0].ByRule {
		t.Error("a rule has put back what a person has taken out")
	}
	if len(r.HealRules()) != 0 {
		t.Error("rules that nobody wrote")
	}
}

// TestHealingOfTheDocs runs the first example of docs/healing.md against the simulator that it names: the rule acts on the slow press alone, and helps.
func TestHealingOfTheDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/healing.md")
	if err != nil {
		t.Fatal(err)
	}
	fault := regexp.MustCompile(`millrace sim modbus --devices 3 --fault (\S+)`).FindStringSubmatch(string(text))
	if fault == nil {
		t.Fatal("the document starts no simulator")
	}
	m := plant(t, sim.ModbusConfig{Devices: 3, Faults: simFault(t, sim.ProtocolModbus, fault[1])})
	dir := t.TempDir()
	example := strings.Replace(blocks(string(text), "yaml")[0], "data: ./data}", "listen: 'off'}", 1)
	for i := range 3 {
		example = strings.Replace(example, fmt.Sprintf("127.0.0.%d:1502", i+1), m.Addr(i+1), 1)
	}
	r := startRig(t, dir, example, rigOptions{})
	x := r.firstRun()
	if x.Outcome != heal.Healed || x.Subject != "press-3" || x.Before[0].Stretch != 1 || x.After[0].Stretch != 4 || x.UndoAt.IsZero() {
		t.Errorf("%+v", x)
	}
	if !strings.Contains(r.log.String(), "press-3 is busy, and is read every 800 ms for an hour") {
		t.Error("nobody was told")
	}
}

// TestHealingActions does everything that can be done to a device, in one run that helps nothing: afterwards all is as it was.
func TestHealingActions(t *testing.T) {
	m := plant(t, sim.ModbusConfig{Devices: 2})
	const rules = `heal:
  every: 100ms
  rules:
    all:
      when: device.up && device.rtt > duration("0s")
      for: 200ms
      do: [standby, degrade, {type: stretch, factor: 3}, reconnect, reroute, out_of_service]
      verify: node.cpu < 0.0
      within: 2s
      limit: {per_hour: 1}
`
	dir := t.TempDir()
	r := startRig(t, dir, healText(dir, []string{m.Addr(1)}, rules), rigOptions{tweak: secondRoute(m.Addr(2))})
	until(t, "everything is done", func() bool {
		s := r.device("press-1")
		return s.OutOfService && s.Stretched == 3 && s.Route == 1 && s.RoutePinned && s.Degraded.Level == device.DegradeSingle
	})
	x := r.firstRun()
	if x.Outcome != heal.RolledBack || len(x.Steps) != 6+5 {
		t.Errorf("%+v", x)
	}
	for _, s := range x.Steps {
		if s.Error != "" || s.Note != "" {
			t.Errorf("%+v", s)
		}
	}
	until(t, "all is as it was", func() bool {
		s := r.device("press-1")
		return s.State == device.Ready && !s.OutOfService && s.Stretched == 1 && s.Route == 0 && !s.RoutePinned && s.Degraded.Level == device.DegradeNone
	})
	r.reads("press-1", 3)
}

// TestHealingOfSubscriptions makes those of an OPC UA server anew, which a Modbus device cannot have.
func TestHealingOfSubscriptions(t *testing.T) {
	m := plant(t, sim.ModbusConfig{})
	dir := t.TempDir()
	text := healText(dir, []string{m.Addr(1)}, `  - {id: tank, address: "`+opcuaPlant(t)+`", options: {security: none}, groups: {all: {interval: 100ms, tags: {level: "ns=1;s=level"}}}}
heal:
  every: 100ms
  limit: {min_healthy: -1, percent: 100}
  rules:
    anew: {when: device.up && device.rtt > duration("0s"), for: 500ms, do: [resubscribe], limit: {cooldown: 1h}}
`)
	r := startRig(t, dir, text, rigOptions{})
	until(t, "both runs have ended", func() bool {
		all := r.runs()
		return len(all) == 2 && all[0].Outcome != heal.Running && all[1].Outcome != heal.Running
	})
	for _, x := range r.runs() {
		switch {
		case x.Subject == "tank" && x.Outcome != heal.Done, x.Subject == "press-1" && x.Outcome != heal.RolledBack:
			t.Errorf("%+v", x)
		case x.Subject == "press-1" && !strings.Contains(x.Reason, "press-1 has no subscriptions: it is asked for its values"):
			t.Error(x.Reason)
		}
	}
	r.reads("tank", 2)
}
