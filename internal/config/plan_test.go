package config

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestPlanText holds the plan of the example plant, and of one that asks too much, against the reviewed tables.
func TestPlanText(t *testing.T) {
	t.Setenv("PG_URL", "postgres://u:secret@h/db")
	plant, err := Load("../../docs/examples/plant.yaml", drivers())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	r := PlanOf(plant, drivers())
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/plan/plant.txt", b.String())

	b.Reset()
	r = PlanOf(mustLoad(t, overloaded), drivers())
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/plan/overloaded.txt", b.String())
}

// Two units behind one slow gateway: 3 requests each of 500 ms, every 3 s and every 10 s.
const overloaded = `
templates:
  unit:
    profile: remote
    groups:
      fast: {interval: 3s, tags: {a: "holding:0:int16", b: "holding:1000:int16", c: "holding:2000:int16"}}
      slow: {interval: 10s, tags: {d: "coil:0", e: "coil:9000", f: "input:0:int16"}}
devices:
  - {id: u1, template: unit, address: "modbus://127.0.0.1:502/1"}
  - {id: u2, template: unit, address: "modbus://127.0.0.1/2"}
`

func TestPlanArithmetic(t *testing.T) {
	r := PlanOf(mustLoad(t, overloaded), drivers())
	if len(r.Endpoints) != 1 || r.Endpoints[0].Devices != 2 || r.Endpoints[0].Connections != 1 {
		t.Fatalf("%+v", r.Endpoints)
	}
	fast, slow := r.Devices[1].Groups[0], r.Devices[1].Groups[1]
	if fast.Requests != 3 || time.Duration(fast.Busy) != 1500*time.Millisecond || fast.RequestsPerSecond != 1 {
		t.Errorf("fast %+v", fast)
	}
	// Both fast groups, and one slow one that has just begun.
	if want := 3 * 1500 * time.Millisecond; time.Duration(fast.Cycle) != want {
		t.Errorf("fast cycle %v, want %v", fast.Cycle, want)
	}
	// Everything.
	if want := 4 * 1500 * time.Millisecond; time.Duration(slow.Cycle) != want {
		t.Errorf("slow cycle %v, want %v", slow.Cycle, want)
	}
	// 2*(1.5/3 + 1.5/10)
	if r.Endpoints[0].Load != 1.3 || r.Total.RequestsPerSecond != 2.6 {
		t.Errorf("load %v, total %+v", r.Endpoints[0].Load, r.Total)
	}
	if len(r.Warnings) != 3 { // two fast groups, the endpoint
		t.Errorf("warnings %q", r.Warnings)
	}
}

func TestPlanRespectsWindowAndPace(t *testing.T) {
	load := func(options string) GroupPlan {
		c := mustLoad(t, strings.ReplaceAll(overloaded, "profile: remote", "profile: site\n    options: {"+options+"}"))
		return PlanOf(c, drivers()).Devices[0].Groups[0]
	}
	for options, want := range map[string]time.Duration{
		"slots: 1":   150 * time.Millisecond,
		"window: 2":  100 * time.Millisecond,
		"window: 16": 60 * time.Millisecond, // three requests at 50 a second
		"window: 16, requests_per_second: 1000000": 50 * time.Millisecond,
		"window: auto":           150 * time.Millisecond,
		"slots: 3, pool: 2":      100 * time.Millisecond,
		"requests_per_second: 2": 1500 * time.Millisecond,
	} {
		if got := load(options); time.Duration(got.Busy) != want {
			t.Errorf("%s: busy %v, want %v", options, got.Busy, want)
		}
	}
}

// The most sparing device of an endpoint says how many connections there are, as it does when it runs, and a host that is several endpoints is named.
func TestPlanCountsConnections(t *testing.T) {
	r := PlanOf(mustLoad(t, `
templates:
  unit: {groups: {g: {tags: {a: "holding:0:int16"}}}}
devices:
  - {id: u1, template: unit, address: "modbus://127.0.0.1:502/1", options: {slots: 4, pool: 4}}
  - {id: u2, template: unit, address: "modbus://127.0.0.1:502/2"}
  - {id: u3, template: unit, address: "modbus://127.0.0.1:502/3?echo_id=false", options: {slots: 2}}
  - id: u4
    template: unit
    address: "modbus://127.0.0.2:502/1"
    routes: [{address: "modbus://127.0.0.1:502/4"}]
`), drivers())
	if e := r.Endpoints[0]; e.Slots != 1 || e.Connections != 1 || e.Devices != 2 {
		t.Errorf("%+v", e)
	}
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "modbus at 127.0.0.1:502 is 2 endpoints") || !strings.Contains(r.Warnings[0], "3 slots") {
		t.Errorf("%q", r.Warnings)
	}
}

func TestPlanJSON(t *testing.T) {
	b, err := json.Marshal(PlanOf(mustLoad(t, strings.ReplaceAll(overloaded, "profile: remote", "profile: remote\n    options: {slots: 3, pool: 2, max_window: 8}")), drivers()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"busy_ms":1000`, `"interval_ms":3000`, `"window":1,"max_window":8`, `"connections":2,"slots":3`, `"op":"read holding","from":1000,"to":1000,"tags":1`, `"load":0.867`, `"rtt_ms":500`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
}

// What a running gateway has measured stands beside the plan: 3 requests of 23 bytes both ways, each 40 ms and 100 µs a byte.
func TestPlanBesideWhatWasMeasured(t *testing.T) {
	r := PlanOf(mustLoad(t, overloaded), drivers())
	known := r.Compare([]MeasuredDevice{
		{ID: "u1", RTTMS: 42.3, RequestMS: 40, ByteUS: 100, Groups: []MeasuredGroup{{Name: "fast", Requests: 2, TookMS: 90, LagMS: 1.5, Missed: 7}, {Name: "gone"}}},
		{ID: "not in the file", RTTMS: 1},
	})
	fast, slow, other := r.Devices[0].Groups[0], r.Devices[0].Groups[1], r.Devices[1]
	if known != 1 || slow.Measured != nil || other.Measured != nil {
		t.Fatalf("%d known; %+v, %+v", known, slow, other)
	}
	if m := *fast.Measured; m != (GroupMeasured{Requests: 2, Busy: millis(90), Lag: millis(1.5), Missed: 7, Expected: millis(3*40 + 3*23*0.1)}) {
		t.Errorf("%+v", m)
	}
	if m := *r.Devices[0].Measured; m != (DeviceMeasured{RTT: millis(42.3), Request: millis(40), ByteUS: 100}) {
		t.Errorf("%+v", m)
	}
	var b bytes.Buffer
	if err := r.WriteMeasured(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"u1", "42.3ms", "40ms", "100.0 µs", "90ms", "1.5s", "126.9ms"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "u2") {
		t.Errorf("u2 was not measured:\n%s", b.String())
	}
}
