package main

import (
	"encoding/json"
	"strings"
	"testing"

	"millrace/internal/sim"
)

func TestReadAndWriteS7(t *testing.T) {
	url := "s7://" + s7Plant(t, sim.S7Config{}).Addr(1) + "?slot=1"
	out, errs, code := millrace(t, "read", url, "DB1.DBD4:REAL", "DB3.DBX0.0", "M10.5", "DB3.DBB62:STRING[20]", "T200", "--json")
	var rows []readingJSON
	if err := json.Unmarshal([]byte(out), &rows); err != nil || code != exitOK || len(rows) != 5 {
		t.Fatalf("exit %d, %v: %s%s", code, err, out, errs)
	}
	for i, want := range []string{"1.5636842e-36", "true", "false", `"Millrace"`, "2000"} {
		if string(rows[i].Value) != want || rows[i].Quality != "good" {
			t.Errorf("%s: %s, want %s", rows[i].Address, rows[i].Value, want)
		}
	}
	if out, errs, code := millrace(t, "write", url, "M10.5=true", "DB1.DBW0:INT=-7"); code != exitOK {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if out, errs, _ := millrace(t, "read", url, "M10.5", "M10.4", "DB1.DBW0:INT"); !strings.Contains(out, "true") || !strings.Contains(out, "false") || !strings.Contains(out, "-7") {
		t.Errorf("%s%s", out, errs)
	}
	if out, errs, code := millrace(t, "write", url, "IB0=1"); code == exitOK {
		t.Errorf("an input was written: %s%s", out, errs)
	}
	out, errs, code = millrace(t, "read", strings.Replace(url, "slot=1", "slot=2", 1), "M10.5")
	if code == exitOK || !strings.Contains(out+errs, "wrong slot") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

// What the simulator emits is a configuration that reads it, without a hole.
func TestEmittedS7Configuration(t *testing.T) {
	m := s7Plant(t, sim.S7Config{Devices: 2, ByPort: true, Model: "300"})
	dir := t.TempDir()
	var b strings.Builder
	if err := m.EmitConfig(&b, sim.EmitOptions{Waves: 256, Statics: 2048, Data: dir, Sink: dir}); err != nil {
		t.Fatal(err)
	}
	path := write(t, dir, "g.yaml", b.String())
	if out, errs, code := millrace(t, "check", "-c", path); code != exitOK || !strings.Contains(out, "2 devices") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	out, errs, code := millrace(t, "test", "-c", path, "--json")
	var rows []readingJSON
	if err := json.Unmarshal([]byte(out), &rows); err != nil || code != exitOK || len(rows) != 2*(256+2048) {
		t.Fatalf("exit %d, %v: %d rows: %s", code, err, len(rows), errs)
	}
	for _, r := range rows {
		if r.Quality != "good" {
			t.Errorf("%s: %s", r.Tag, r.Quality)
		}
	}
	if out, errs, code := millrace(t, "sim", "s7", "--devices", "3", "--emit-config", "--model", "300"); code != exitOK || strings.Count(out, "?slot=2\"") != 3 {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}
