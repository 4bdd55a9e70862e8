package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"millrace/internal/listen/listentest"
	"millrace/internal/sim"
)

// TestBrowse asks simulated devices of both protocols.
func TestBrowse(t *testing.T) {
	plc, err := sim.NewS7(sim.S7Config{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	unit, err := sim.NewModbus(sim.ModbusConfig{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	listentest.Run(t, plc)
	listentest.Run(t, unit)
	for _, c := range []struct {
		args  []string
		code  int
		out   string
		error string
	}{
		{[]string{"s7://" + plc.Addr(1) + "?slot=1&diagnostics=true"}, exitOK, "8192 bytes", ""},
		{[]string{"s7://" + plc.Addr(1) + "?slot=1"}, exitUsage, "", "diagnostics=true"},
		{[]string{"modbus://" + unit.Addr(1) + "/1"}, exitOK, "Millrace", ""},
		{[]string{"modbus://" + unit.Addr(1) + "/250", "--json"}, exitFailed, `"refused":["modbus: `, ""},
		{[]string{"modbus://" + unit.Addr(1) + "/1?x=1"}, exitUsage, "", "no such option"},
	} {
		var stdout, stderr bytes.Buffer
		code := execute(t.Context(), append([]string{"browse"}, c.args...), &stdout, &stderr)
		if code != c.code || !strings.Contains(stdout.String(), c.out) || !strings.Contains(stderr.String(), c.error) {
			t.Errorf("%q: exit code %d, %s%s", c.args, code, &stdout, &stderr)
		}
	}
	var stdout, stderr bytes.Buffer
	execute(t.Context(), []string{"browse", "s7://" + plc.Addr(1) + "?slot=1&diagnostics=true", "--json"}, &stdout, &stderr)
	var doc surveyJSON
	if err := json.Unmarshal(stdout.Bytes(), &doc); err != nil || len(doc.Facts) < 10 || len(doc.Objects) != 3 || doc.Objects[0].Bytes == nil {
		t.Errorf("%v: %s", err, &stdout)
	}
}
