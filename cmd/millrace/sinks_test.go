//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace/internal/config"
	"millrace/internal/sim"
)

// loadText writes text as the configuration and loads it.
func loadText(t *testing.T, dir, text string) *config.Config {
	t.Helper()
	cfg, err := config.Load(write(t, dir, "gateway.yaml", text), drivers())
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// withSink adds a file sink that writes below dir.
func withSink(text, dir, id string) string {
	return strings.TrimSuffix(text, "\n") + fmt.Sprintf("\n  - {id: %s, type: file, dir: %q, from: oldest, rotate_bytes: 1MiB}\n", id, filepath.Join(dir, id))
}

// Sinks come, change and go while values flow, and a reload may come before the gateway runs: each value is delivered once.
func TestSinksComeAndGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := plant(t, sim.ModbusConfig{Devices: killDevices, ByPort: true})
	one := killConfig(dir, m, nil)
	two := withSink(one, dir, "second")
	r := startRig(t, dir, one, rigOptions{early: func(g *gateway) {
		if _, err := g.Reload(t.Context(), loadText(t, dir, two)); err != nil {
			t.Error(err)
		}
	}})
	until(t, "both sinks have values", func() bool { return r.sink("files").Delivered > 100 && r.sink("second").Delivered > 100 })
	for _, text := range []string{one, two, strings.Replace(two, "rotate_bytes: 1MiB", "rotate_bytes: 2MiB", 2), two} {
		if _, err := r.Reload(t.Context(), loadText(t, dir, text)); err != nil {
			t.Fatal(err)
		}
		if s := r.Sinks(); len(s) != strings.Count(text, "type: file") || s[0].ID != "files" {
			t.Errorf("sinks %+v", s)
		}
		r.reads("d1", 2)
	}
	r.stop()
	r.sinks.change(t.Context(), nil, config.Changes{}, []*runningSink{{}})                             // would run nothing
	files, second := fileRows(t, filepath.Join(dir, "out")), fileRows(t, filepath.Join(dir, "second")) // both hold that offsets grow
	if len(files) != len(second) || len(files) == 0 {
		t.Errorf("%d rows in one, %d in the other", len(files), len(second))
	}
}

// Without the names that its numbers stand for, the journal's values would be delivered under those of other tags.
func TestStateIsLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := killConfig(dir, plant(t, sim.ModbusConfig{Devices: killDevices, ByPort: true}), nil)
	r := startRig(t, dir, text, rigOptions{})
	r.reads("d1", 2)
	r.stop()
	if err := os.Remove(filepath.Join(dir, "data", "state.db")); err != nil {
		t.Fatal(err)
	}
	if _, err := openGateway(t.Context(), loadText(t, dir, text), r.gateway.log); err == nil || !strings.Contains(err.Error(), "put the file back") {
		t.Errorf("opened: %v", err)
	}
}
