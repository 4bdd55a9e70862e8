package main

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"millrace/internal/sim"
)

// The page's address and what it serves are contracts: others script them.
func TestPageOfARunningGateway(t *testing.T) {
	dir := t.TempDir()
	m := plant(t, sim.ModbusConfig{Devices: 2, ByPort: true})
	text := strings.Replace(pageConfig(dir, m), "listen: 'off'", "listen: '127.0.0.1:0'", 1)
	r := startRig(t, dir, text, rigOptions{})
	base := r.page()
	r.reads("a", 3)
	if err := m.Stop(2, sim.BlackHole); err != nil {
		t.Fatal(err)
	}
	until(t, "b is down", func() bool { return r.device("b").Outages > 0 })

	// A device that is down is no reason to take the gateway out of use.
	for path, want := range map[string]string{"/livez": "ok", "/readyz": "ready", "/readyz?verbose": "[+] journal"} {
		if status, body := get(t, base+path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	_, metrics := get(t, base+"/metrics")
	for _, name := range []string{
		"millrace_values_read_total ", "millrace_values_journaled_total ", `millrace_sink_delivered_total{sink="files"} `, "millrace_ledger_residue 0\n",
		"millrace_schedule_lag_seconds_bucket{", `millrace_devices{state="ready"} 1`, "millrace_device_rtt_seconds_bucket{", "millrace_late_replies_total ",
		"millrace_foreign_replies_total ", "# TYPE millrace_values_dropped_total counter", `millrace_refused_connections_total{listener="web",reason=`,
	} {
		if !strings.Contains(metrics, name) {
			t.Errorf("/metrics lacks %s", name)
		}
	}
	_, ledger := get(t, base+"/api/v1/ledger")
	holdKeys(t, "ledger", ledger, "values", "sinks", "residue", "devices")
	var doc map[string]json.RawMessage
	if err := json.Unmarshal([]byte(ledger), &doc); err != nil {
		t.Fatal(err)
	}
	holdKeys(t, "values", string(doc["values"]), "read", "filtered", "queued", "journaled", "dropped")
	holdKeys(t, "sinks", first(t, doc["sinks"]), "id", "delivered", "waiting", "dropped")
	holdKeys(t, "devices", first(t, doc["devices"]), "id", "protocol", "state", "outages", "recovery_ms")
	if status, body := get(t, base+"/api/v1/devices"); status != http.StatusOK || !strings.Contains(body, `"id":"b"`) {
		t.Errorf("%d %s", status, body)
	}
	http.DefaultClient.CloseIdleConnections()
}

func pageConfig(dir string, m *sim.Modbus) string {
	s := configText(dir) + "templates: {t: {profile: {floor: 200ms, ceiling: 1s, cap: 1s}, groups: {g: {interval: 50ms, tags: {x: 'holding:100:uint16 every'}}}}}\ndevices:\n"
	for n, name := range []string{"a", "b"} {
		s += "  - {id: " + name + ", template: t, address: \"modbus://" + m.Addr(n+1) + "/1\"}\n"
	}
	return s + "sinks:\n  - {id: files, type: file, dir: " + filepath.ToSlash(filepath.Join(dir, "out")) + "}\n"
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// holdKeys holds that the object has these keys and no others.
func holdKeys(t *testing.T, what, object string, want ...string) {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &m); err != nil {
		t.Fatalf("%s: %v: %s", what, err, object)
	}
	slices.Sort(want)
	if have := slices.Sorted(maps.Keys(m)); !slices.Equal(have, want) {
		t.Errorf("%s has %v, not %v", what, have, want)
	}
}

func first(t *testing.T, list json.RawMessage) string {
	t.Helper()
	var all []json.RawMessage
	if err := json.Unmarshal(list, &all); err != nil || len(all) == 0 {
		t.Fatalf("%v: %s", err, list)
	}
	return string(all[0])
}
