package main

import (
	"encoding/json"
	"strings"
	"testing"

	"millrace/internal/sim"
)

// Plan shows what a running gateway has measured beside what the file makes it expect.
func TestPlanAsksARunningGateway(t *testing.T) {
	dir := t.TempDir()
	text := strings.Replace(pageConfig(dir, plant(t, sim.ModbusConfig{Devices: 2, ByPort: true})), "listen: 'off'", "listen: '127.0.0.1:0'", 1)
	r := startRig(t, dir, text, rigOptions{})
	base := r.page()
	r.reads("a", 3)
	r.reads("b", 3)
	out, errs, code := millrace(t, "plan", "-c", r.path, "--server", base, "--json")
	var shown struct {
		Devices []struct {
			Measured map[string]float64
			Groups   []struct{ Measured map[string]float64 }
		}
	}
	if err := json.Unmarshal([]byte(out), &shown); err != nil || code != exitOK || len(shown.Devices) != 2 {
		t.Fatalf("%v, exit %d: %s%s", err, code, out, errs)
	}
	for _, d := range shown.Devices {
		if d.Measured["rtt_ms"] <= 0 || d.Measured["request_ms"]+d.Measured["byte_us"] <= 0 || len(d.Groups) == 0 || d.Groups[0].Measured["busy_ms"] <= 0 {
			t.Errorf("%+v", d)
		}
	}
	if out, _, _ = millrace(t, "plan", "-c", r.path, "--server", base); !strings.Contains(out, "measured") || !strings.Contains(out, "round trip") {
		t.Error(out)
	}
	if out, _, _ = millrace(t, "plan", "-c", r.path); strings.Contains(out, "measured") {
		t.Error("a gateway was asked without being named:\n" + out)
	}
	other := write(t, dir, "other.yaml", strings.NewReplacer("id: a", "id: x", "id: b", "id: y").Replace(text))
	if _, errs, code = millrace(t, "plan", "-c", other, "--server", base); code != exitFailed || !strings.Contains(errs, "has none of the devices") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
