//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"millrace/internal/device"
	"millrace/internal/sim"
	"millrace/internal/web"
)

// reloadConfig has a device a line of names, "b=2" with another interval, and a sink for each of sinks.
func reloadConfig(dir string, m *sim.Modbus, names, sinks string) string {
	s := configText(dir) + "templates: {t: {profile: {floor: 1s, ceiling: 5s, cap: 5s}, groups: {g: {interval: 50ms, tags: {x: 'holding:100:uint16 every'}}}}}\ndevices:\n"
	for _, n := range strings.Fields(names) {
		name, k, other := strings.Cut(n, "=")
		group := ""
		if other {
			group = ", groups: {g: {interval: " + k + "0ms}}"
		}
		s += fmt.Sprintf("  - {id: %s, template: t, address: \"modbus://%s/1\"%s}\n", name, m.Addr(int(name[0]-'a')+1), group)
	}
	s += "sinks:\n"
	for _, id := range strings.Fields(sinks) {
		s += fmt.Sprintf("  - {id: %s, type: file, dir: %q, from: oldest}\n", id, filepath.Join(dir, id))
	}
	return s
}

// A reload touches what changed and nothing else; a bad file changes nothing and raises an alarm, which a good one takes back.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	m := plant(t, sim.ModbusConfig{Devices: 3, ByPort: true})
	r := startRig(t, dir, reloadConfig(dir, m, "a b", "one"), rigOptions{})
	r.reads("a", 3)
	r.reads("b", 3)
	before := r.device("a")
	untouched := func() {
		t.Helper()
		if d := r.device("a"); d.Reads < before.Reads || !d.Since.Equal(before.Since) || d.Outages != 0 {
			t.Errorf("a was touched: %+v, before %+v", d, before)
		}
		if s := m.DeviceStats(1); s.Connections != 1 {
			t.Errorf("a was connected %d times", s.Connections)
		}
		before = r.device("a")
	}
	rewrite := func(text string) { write(t, dir, "gateway.yaml", text) }

	// SIGHUP, and nothing has changed.
	until(t, "SIGHUP is heard", func() bool {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		return r.log.find("reload: ") != ""
	})
	untouched()

	// One changes, one comes, and a sink.
	rewrite(reloadConfig(dir, m, "a b=20 c", "one two"))
	until(t, "c is there", func() bool { _, there := r.runtime.Device("c"); return there })
	r.reads("b", 2)
	r.reads("c", 3)
	if d := r.device("b"); d.Groups[0].Interval.Milliseconds() != 200 || m.DeviceStats(2).Connections != 1 {
		t.Errorf("b: %+v, %d connections", d, m.DeviceStats(2).Connections)
	}
	until(t, "the new sink delivers from the oldest value on", func() bool { return r.sink("two").Delivered > 10 })
	untouched()

	// A mistake.
	rewrite(strings.Replace(reloadConfig(dir, m, "a", "one"), "interval:", "intervall:", 1))
	until(t, "the alarm", func() bool { _, ok := r.alarm("reload"); return ok })
	if a, _ := r.alarm("reload"); a.Severity != web.Warning || !strings.Contains(a.Text, `did you mean "interval"`) {
		t.Errorf("%+v", a)
	}
	r.reads("b", 2)
	r.reads("c", 2)
	untouched()

	// Mended: c goes, and a sink.
	rewrite(reloadConfig(dir, m, "a b=20", "one"))
	until(t, "the alarm is taken back", func() bool { _, ok := r.alarm("reload"); return !ok })
	until(t, "c is gone", func() bool { _, there := r.runtime.Device("c"); return !there })
	until(t, "its connection too", func() bool { return m.Stats().Open == 2 })
	if l := r.Ledger(); len(l.Sinks) != 1 || l.Residue != 0 || r.sink("two").ID != "" {
		t.Errorf("%+v", l)
	}
	r.reads("b", 2)
	untouched()

	// And back: the sink goes on where it was.
	rewrite(reloadConfig(dir, m, "a b=20", "one two"))
	until(t, "the sink is back", func() bool { return r.sink("two").Delivered > 10 })
	untouched()
	r.stop()
	one, two := fileRows(t, filepath.Join(dir, "one")), fileRows(t, filepath.Join(dir, "two")) // which hold that nothing is there twice
	if len(one) != len(two) || uint64(len(one)) != r.Ledger().Values.Journaled {
		t.Errorf("%d and %d lines, %d journaled", len(one), len(two), r.Ledger().Values.Journaled)
	}
}

// A sink that cannot be made is refused with everything that came with it, and its password is told to nobody.
func TestReloadIsAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	m := plant(t, sim.ModbusConfig{Devices: 2, ByPort: true})
	r := startRig(t, dir, reloadConfig(dir, m, "a", "one"), rigOptions{})
	r.reads("a", 2)
	bad := strings.Replace(reloadConfig(dir, m, "a=20 b", ""), "sinks:\n", "sinks:\n  - {id: one, type: postgres, url: 'postgres://me:s3cret@db:notaport/x'}\n", 1)
	write(t, dir, "gateway.yaml", bad)
	until(t, "the alarm", func() bool { _, ok := r.alarm("reload"); return ok })
	if a, _ := r.alarm("reload"); !strings.Contains(a.Text, "sink one") || strings.Contains(a.Text, "s3cret") {
		t.Errorf("%+v", a)
	}
	if _, there := r.runtime.Device("b"); there || r.device("a").Groups[0].Interval.Milliseconds() != 50 || r.sink("one").Kind != "file" {
		t.Errorf("a part was applied: %+v, %+v", statuses(r), r.Sinks())
	}
	r.stop()
	late, err := load(write(t, dir, "late.yaml", reloadConfig(dir, m, "a", "one two")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reload(t.Context(), late); err == nil || len(r.Sinks()) != 1 {
		t.Errorf("a gateway that has stopped took a configuration: %v, %+v", err, r.Sinks())
	}
}

// What is out of service stays so over a reload and a restart, and is not polled.
func TestMaintenanceOutlivesRestart(t *testing.T) {
	dir := t.TempDir()
	m := plant(t, sim.ModbusConfig{Devices: 2, ByPort: true})
	text := reloadConfig(dir, m, "a b", "one")
	r := startRig(t, dir, text, rigOptions{})
	r.reads("a", 2)
	r.reads("b", 2)
	if err := r.SetMaintenance(t.Context(), web.Maintenance{Device: "b", On: true, Reason: "the valve is changed", By: "me"}); err != nil {
		t.Fatal(err)
	}
	out := func() bool {
		d := r.device("b")
		return d.State == device.OutOfService && d.OutOfService && strings.Contains(d.Reason, "valve")
	}
	until(t, "b is out of service", out)
	r.stop()
	requests := m.DeviceStats(2).Requests
	r = startRig(t, dir, text, rigOptions{})
	r.reads("a", 5)
	if !out() {
		t.Errorf("after the restart: %+v", r.device("b"))
	}
	if n := m.DeviceStats(2).Requests; n != requests {
		t.Errorf("it was asked %d times", n-requests)
	}
	if a, ok := r.alarm("device:b"); ok {
		t.Errorf("an alarm of what is out of service: %+v", a)
	}
	if err := r.SetMaintenance(t.Context(), web.Maintenance{Device: "b"}); err != nil {
		t.Fatal(err)
	}
	r.reads("b", 2)
}

// The second gateway on a data directory says that there is a first one.
func TestOneGatewayADirectory(t *testing.T) {
	dir := t.TempDir()
	m := plant(t, sim.ModbusConfig{})
	r := startRig(t, dir, reloadConfig(dir, m, "a", "one"), rigOptions{})
	defer r.stop()
	if _, errs, code := millrace(t, "run", "-c", filepath.Join(dir, "gateway.yaml")); code != exitFailed || !strings.Contains(errs, "another gateway") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// A device that a reload gives another label is in another region, keeps its connection, and says so in the API.
func TestReloadOfLabels(t *testing.T) {
	dir := t.TempDir()
	m := plant(t, sim.ModbusConfig{Devices: 1, ByPort: true})
	text := strings.Replace(reloadConfig(dir, m, "a", "one"), "id: a,", "id: a, labels: {site: north},", 1) + "heal: {region_label: site}\n"
	r := startRig(t, dir, text, rigOptions{})
	r.reads("a", 2)
	if w := r.healer.World(); len(w.Devices) != 1 || w.Devices[0].Region != "north" {
		t.Fatalf("%+v", w.Devices)
	}
	write(t, dir, "gateway.yaml", strings.Replace(text, "north", "south", 1))
	until(t, "its region is another one", func() bool { return r.healer.World().Devices[0].Region == "south" })
	if d, _ := r.Device("a"); d.Labels["site"] != "south" {
		t.Errorf("%+v", d)
	}
	r.reads("a", 2)
	if s := m.DeviceStats(1); s.Connections != 1 {
		t.Errorf("it was connected %d times", s.Connections)
	}
}
