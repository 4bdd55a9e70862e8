package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace/internal/listen/listentest"
	"millrace/internal/sim"
)

// asMillrace in the environment makes this test binary the gateway: tests that need a process of its own start it so.
const asMillrace = "MILLRACE_TEST_PROCESS"

func TestMain(m *testing.M) {
	if os.Getenv(asMillrace) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// millrace runs one command line.
func millrace(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = execute(t.Context(), args, &out, &errs)
	return out.String(), errs.String(), code
}

// plant runs a simulator for the test.
func plant(t *testing.T, c sim.ModbusConfig) *sim.Modbus {
	t.Helper()
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	m, err := sim.NewModbus(c)
	if err != nil {
		t.Fatal(err)
	}
	listentest.Run(t, m)
	return m
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadAndWrite(t *testing.T) {
	url := "modbus://" + plant(t, sim.ModbusConfig{}).Addr(1) + "/1"
	out, _, code := millrace(t, "read", url, "holding:100:float32", "coil:6", "40101", "--json")
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, out)
	}
	var got []readingJSON
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || string(got[1].Value) != "true" || got[1].Type != "bool" || got[2].Address != "holding:100:uint16" || string(got[2].Value) != "100" ||
		got[0].Quality != "good" || got[0].Time.IsZero() {
		t.Errorf("%s", out)
	}
	if out, errs, code := millrace(t, "write", url, "holding:5:int16=-42", "coil:7=true"); code != exitOK {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if out, _, _ := millrace(t, "read", url, "holding:5:int16", "coil:7"); !strings.Contains(out, "-42") || !strings.Contains(out, "true") {
		t.Errorf("%s", out)
	}
}

func TestBadInputIsExplained(t *testing.T) {
	dir := t.TempDir()
	bad := write(t, dir, "bad.yaml", "devices:\n  - {id: a, adddress: \"modbus://127.0.0.1/1\"}\n")
	for name, c := range map[string]struct {
		args []string
		code int
		say  string
	}{
		"no such verb":       {[]string{"frobnicate"}, exitUsage, "unknown command"},
		"no such flag":       {[]string{"run", "--frob"}, exitUsage, "unknown flag"},
		"no configuration":   {[]string{"run"}, exitUsage, "-c FILE"},
		"no such file":       {[]string{"run", "-c", filepath.Join(dir, "none.yaml")}, exitUsage, "none.yaml"},
		"typing mistake":     {[]string{"check", "-c", bad}, exitUsage, `bad.yaml:2:13: `},
		"did you mean":       {[]string{"run", "-c", bad}, exitUsage, `did you mean "address"`},
		"bad address":        {[]string{"read", "modbus://127.0.0.1/1", "holdin:5"}, exitUsage, "holding"},
		"bad protocol":       {[]string{"read", "mudbus://127.0.0.1/1", "coil:5"}, exitUsage, "modbus://"},
		"too few arguments":  {[]string{"read", "modbus://127.0.0.1/1"}, exitUsage, "at least 2"},
		"bad value":          {[]string{"write", "modbus://127.0.0.1/1", "holding:5:int16=forty"}, exitUsage, "forty"},
		"bad unit to read":   {[]string{"read", "modbus://127.0.0.1:1/256", "coil:5"}, exitUsage, "unit id"},
		"bad unit to write":  {[]string{"write", "modbus://127.0.0.1:1/1/2", "coil:5=1"}, exitUsage, "unit id"},
		"value too large":    {[]string{"write", "modbus://127.0.0.1:1/1", "coil:5=1", "holding:5=65536"}, exitUsage, "65535"},
		"nothing to write":   {[]string{"write", "modbus://127.0.0.1:1/1", "coil:5=1", "input:5=1"}, exitUsage, "only gives it"},
		"text too long":      {[]string{"write", "modbus://127.0.0.1:1/1", "coil:5=1", "holding:5:string[300]=a"}, exitUsage, "half written"},
		"nobody listens":     {[]string{"read", "modbus://127.0.0.1:1/1", "coil:5"}, exitFailed, "refused"},
		"bad fault":          {[]string{"sim", "modbus", "--fault", "gremlins"}, exitUsage, "gremlins"},
		"fault of another":   {[]string{"sim", "s7", "--fault", "exception:4"}, exitUsage, "exception is of Modbus devices"},
		"unknown model":      {[]string{"sim", "s7", "--model", "1800"}, exitUsage, "300, 400, 1200, 1500"},
		"metrics for others": {[]string{"sim", "s7", "--listen", "127.0.0.1:0", "--metrics", "0.0.0.0:9102"}, exitUsage, "loopback"},
		"sim for strangers":  {[]string{"sim", "modbus", "--listen", "0.0.0.0:1502"}, exitUsage, "127.0.0.0/8"},
		"too short a story":  {[]string{"demo", "--headless", "--duration", "1s"}, exitUsage, "too short"},
		"status of nothing":  {[]string{"status", "--server", "http://127.0.0.1:1"}, exitFailed, "--server"},
		"life of nothing":    {[]string{"status", "--live", "--server", "http://127.0.0.1:1"}, exitFailed, "--server"},
		"out for no reason":  {[]string{"maintenance", "on", "x"}, exitUsage, "--reason"},
		"a word too many":    {[]string{"version", "x"}, exitUsage, "unknown command"},
		"journal what":       {[]string{"journal", "chekc"}, exitUsage, `did you mean "check"`},
		"sink what":          {[]string{"sink", "remember"}, exitUsage, "millrace sink --help"},
		"status, no scheme":  {[]string{"status", "--server", "127.0.0.1:1"}, exitFailed, "refused"},
		"fewer than nothing": {[]string{"journal", "dump", "--limit", "-1"}, exitUsage, "--limit"},
		"too large a value":  {[]string{"write", "modbus://127.0.0.1:1/1", "holding:5=1", "holding:6=70000"}, exitUsage, "65535"},
		"nobody to write to": {[]string{"write", "modbus://127.0.0.1:1/1", "holding:5=1"}, exitFailed, "refused"},
		"neither on nor off": {[]string{"maintenance", "maybe", "x"}, exitUsage, "maybe"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, code := millrace(t, c.args...)
			if code != c.code || !strings.Contains(errs, c.say) {
				t.Errorf("exit %d, want %d with %q:\n%s%s", code, c.code, c.say, out, errs)
			}
		})
	}
}

// A sink that cannot be made is found by check, and a password is in no message.
func TestBadSinksAreFoundEarly(t *testing.T) {
	dir := t.TempDir()
	for _, url := range []string{
		"postgres://me:s3cret@db:notaport/x", "postgres://me:s3cret@[::1/x", "postgres://me:s3c%zzs3cret@db/x", "postgres://m e:s3cret@db/x?sslmode=bogus",
		"host=db password=s3cret sslmode=bogus", "host=db password='s3cret", "mysql://me:s3cret@db/x", "host=db password = s3cret port=x", "password=s3cret host",
		"postgres://me@db:notaport/x?password=s3cret",
	} {
		path := write(t, dir, "bad.yaml", fmt.Sprintf("devices:\n  - {id: a, address: \"modbus://127.0.0.1/1\", groups: {g: {interval: 1s, tags: {t: coil:1}}}}\n"+
			"sinks:\n  - {id: pg, type: postgres, url: %q}\n", url))
		for _, args := range [][]string{{"check", "-c", path}, {"check", "--json", "-c", path}, {"run", "-c", path}} {
			out, errs, code := millrace(t, args...)
			if code != exitUsage || !strings.Contains(out+errs, "sink pg") {
				t.Errorf("%v with %s: exit %d: %s%s", args, url, code, out, errs)
			}
			if strings.Contains(out+errs, "s3cret") {
				t.Errorf("%v with %s tells: %s%s", args, url, out, errs)
			}
		}
	}
}

// What was not sent is not called written.
func TestWriteToNobody(t *testing.T) {
	out, _, code := millrace(t, "write", "--json", "modbus://127.0.0.1:1/1", "holding:5=1")
	var got []resultJSON
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitFailed || len(got) != 1 || got[0].Written || got[0].Error == "" {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
}

// A day-old outage is not of this morning.
func TestClock(t *testing.T) {
	now := time.Date(2026, 3, 9, 12, 0, 0, 0, time.Local)
	for at, want := range map[time.Time]string{now.Add(-time.Hour): "11:00:00", now.AddDate(0, 0, -1): "2026-03-08 12:00:00", now.AddDate(-1, 0, 0): "2025-03-09 12:00:00"} {
		if got := clock(at, now); got != want {
			t.Errorf("%v: %s, want %s", at, got, want)
		}
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	for _, c := range append(newRoot().Commands(), newSimModbusCommand(), newSimS7Command()) {
		if c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		if c.Example == "" || c.Short == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
	}
}

func TestEmittedConfigRuns(t *testing.T) {
	out, errs, code := millrace(t, "sim", "modbus", "--devices", "10000", "--emit-config")
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, errs)
	}
	path := write(t, t.TempDir(), "g.yaml", out)
	if out, errs, code := millrace(t, "check", "-c", path); code != exitOK || !strings.Contains(out, "10000 devices") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	out, errs, code = millrace(t, "plan", "-c", path, "--json")
	var plan struct {
		Total struct {
			Devices int `json:"devices"`
		} `json:"total"`
	}
	if err := json.Unmarshal([]byte(out), &plan); err != nil || code != exitOK || plan.Total.Devices != 10000 {
		t.Errorf("exit %d, %v: %.200s%s", code, err, out, errs)
	}
}

func TestOneCycle(t *testing.T) {
	addr := plant(t, sim.ModbusConfig{}).Addr(1)
	path := write(t, t.TempDir(), "g.yaml", "devices:\n  - id: p\n    address: modbus://"+addr+"/1\n    groups: {g: {interval: 1s, tags: {a: 'holding:7:uint16 scale=2', b: coil:3}}}\n"+
		"  - id: q\n    address: modbus://127.0.0.1:1/1\n    groups: {g: {interval: 1s, tags: {c: coil:3}}}\n")
	out, errs, code := millrace(t, "test", "-c", path, "--json")
	var rows []readingJSON
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	if rows[0].Type != "float64" || rows[2].Type != "bool" || rows[2].Time.IsZero() {
		t.Errorf("a value that is missing has a type and a time too: %s", out)
	}
	if code != exitFailed || len(rows) != 3 || string(rows[0].Value) != "14" || rows[0].Tag != "p/a" || string(rows[1].Value) != "true" || rows[2].Quality == "good" {
		t.Errorf("exit %d: %s", code, out)
	}
	if _, _, code := millrace(t, "test", "-c", path, "--device", "p"); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 12 s; .ci/demo runs it for 30")
	}
	t.Parallel()
	judged(t, func() []string { return demonstrated(t) })
}

// demonstrated runs the demo and returns what is wrong with what it says of itself.
func demonstrated(t *testing.T) (wrong []string) {
	out, errs, code := millrace(t, "demo", "--headless", "--duration", "12s", "--json")
	var doc struct {
		Values  map[string]any
		Residue int
		Sinks   []struct{ Delivered, Waiting int }
		Devices []struct {
			ID, State  string
			Outages    int
			RecoveryMS int `json:"recovery_ms"`
		}
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	if code != exitOK || doc.Residue != 0 || doc.Sinks[0].Delivered == 0 || doc.Sinks[0].Waiting != 0 || len(doc.Devices) != demoPresses+demoOvens+demoFillers {
		wrong = append(wrong, fmt.Sprintf("exit %d: %s%s", code, out, errs))
	}
	for _, d := range doc.Devices {
		if victim := d.ID == fmt.Sprintf("press-%d", demoVictim); victim != (d.Outages == 1) || victim != (d.RecoveryMS > 0) {
			wrong = append(wrong, fmt.Sprintf("%+v", d))
		}
	}
	return wrong
}
