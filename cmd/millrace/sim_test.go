package main

import (
	"bufio"
	"context"
	"io"
	"strings"
	"testing"

	"millrace/internal/listen/listentest"
	"millrace/internal/sim"
	"millrace/s7"
)

// s7Plant runs an S7 simulator for the test.
func s7Plant(t *testing.T, c sim.S7Config) *sim.S7 {
	t.Helper()
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	m, err := sim.NewS7(c)
	if err != nil {
		t.Fatal(err)
	}
	listentest.Run(t, m)
	return m
}

// A plant of both protocols runs from one file, and shows what its servers count.
func TestPlantWithMetrics(t *testing.T) {
	plant, err := sim.ParsePlant("p", []byte("modbus:\n  - {listen: '127.0.0.1:0', by: port, devices: 2}\ns7:\n  - {listen: '127.0.0.1:0', by: port, devices: 2, faults: ['refusal:every=2']}\n"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := plant.Simulators()
	if err != nil {
		t.Fatal(err)
	}
	said, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		err := runSims(ctx, all, "127.0.0.1:0", w)
		_ = w.Close()
		done <- err
	}()
	lines := bufio.NewScanner(said)
	url := ""
	for url == "" && lines.Scan() {
		url, _ = strings.CutPrefix(lines.Text(), "metrics at ")
		if url == lines.Text() {
			url = ""
		}
	}
	c, err := s7.Dial(t.Context(), all[1].Addr(2), s7.Config{Slot: 1})
	if err != nil {
		t.Fatal(err)
	}
	vars := []s7.Var{{Item: s7.Bytes(s7.AreaDB, 1, 7, 1)}}
	for i := range 2 { // the second of them is refused
		vars[0] = s7.Var{Item: vars[0].Item}
		if err := c.Read(t.Context(), vars); err != nil || (vars[0].Err == nil) != (i == 0) {
			t.Errorf("%+v, %v", vars, err)
		}
	}
	_, body := get(t, url)
	name := "server=\"s7 " + all[1].Addr(1) + "\""
	for _, want := range []string{
		"millrace_server_sessions{" + name + ",state=\"active\"} 1", "millrace_server_requests_total{function=\"read_var\"," + name + "} 2",
		"millrace_server_refusals_total{code=\"0x8104\"," + name + "} 1", "millrace_server_faults_total{fault=\"refusal\"," + name + "} 1",
		"millrace_server_messages_out{message=\"read_request\"," + name + "} 0", "millrace_server_sessions{server=\"modbus " + all[0].Addr(1) + "\",state=\"open\"} 0",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is missing in\n%s", want, body)
		}
	}
	_ = c.Close()
	cancel()
	for lines.Scan() {
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestReadAndWriteS7AsTyped(t *testing.T) {
	addr := s7Plant(t, sim.S7Config{}).Addr(1)
	out, errs, code := millrace(t, "read", "s7://"+addr+"?slot=1", "DB1.DBD4:REAL", "DB3.DBX0.0", "M10.5")
	if code != exitOK || strings.Join(strings.Fields(out), " ") != "DB1.DBD4:REAL 1.5636842e-36 float32 good DB3.DBX0.0 true bool good M10.5 false bool good" {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	out, errs, code = millrace(t, "write", "s7://"+addr+"/0/1", "DB1.DBB100:STRING[20]=a=b", "M10.5=on")
	if code != exitOK || strings.Count(out, ": written\n") != 2 {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	out, errs, code = millrace(t, "read", "s7://"+addr, "DB1,S100.20", "M10.5", "DB9.DBW0", "--json")
	if code != exitFailed || !strings.Contains(out, `"DB1.DBB100:STRING[20]","value":"a=b"`) || !strings.Contains(out, "bad (no such address)") || !strings.Contains(errs, "there is no DB9") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	for url, want := range map[string]string{"s7://" + addr + "?slto=1": "did you mean slot?", "s7://" + addr + "?slot=9": "wrong slot", "s7://" + addr + "/1": "rack/slot"} {
		if _, errs, code := millrace(t, "read", url, "MW0"); code == exitOK || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d, %s", url, code, errs)
		}
	}
	if _, errs, code = millrace(t, "write", "s7://"+addr, "DB1,ISTRING0.5=x"); code != exitUsage || !strings.Contains(errs, "did you mean DB1,STRING0.5?") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
