package main

import (
	"bytes"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"millrace/internal/sim"
)

// Whoever looks at a profile sees whose each goroutine is.
func TestGoroutinesSayTheirRole(t *testing.T) {
	dir := t.TempDir()
	m := plant(t, sim.ModbusConfig{Devices: 2})
	var text bytes.Buffer
	if err := m.EmitConfig(&text, sim.EmitOptions{Interval: 100 * time.Millisecond, Profile: "lan", Data: filepath.Join(dir, "data"), Sink: filepath.Join(dir, "out")}); err != nil {
		t.Fatal(err)
	}
	r := startRig(t, dir, strings.Replace(text.String(), "127.0.0.1:8080", "127.0.0.1:0", 1), rigOptions{})
	r.reads("sim-00001", 3)
	r.reads("sim-00002", 3)
	var stacks bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&stacks, 1); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"role":"scheduler"`, `"device":"sim-00001", "role":"device"`, `"device":"sim-00002", "role":"device"`, `"role":"sink", "sink":"files"`, `"role":"journal"`, `"role":"page"`,
		`"role":"events"`, `"role":"reload"`, `"role":"ledger"`,
	} {
		if !strings.Contains(stacks.String(), want) {
			t.Errorf("no goroutine with %s", want)
		}
	}
	ours := regexp.MustCompile(`millrace/internal/|main\.\(\*gateway\)`)
	for _, stack := range strings.Split(stacks.String(), "\n\n") {
		if ours.MatchString(stack) && !strings.Contains(stack, "# labels:") && !strings.Contains(stack, "_test.go") && !strings.Contains(stack, "/sim.") && !strings.Contains(stack, "listen.") {
			t.Errorf("without a label:\n%s", stack)
		}
	}
}
