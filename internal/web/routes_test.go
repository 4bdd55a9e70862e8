package web

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestRoutesInJSON(t *testing.T) {
	d := Device{ID: "d", Routes: Routes{InUse: 1, Pinned: true, Changes: 3, Phi: 9.87, Suspicion: `it has been "silent"`, Slots: 2, SlotsUsed: 1, HalfOpen: 1, All: []Route{
		{Addr: "s7://10.0.0.1:102", State: "failed", Cause: "no answer", Since: time.Unix(0, 0)}, {Addr: "s7://10.0.0.2:102", Name: "second CP", State: "in use", RTT: 1500 * time.Microsecond},
	}}}
	b := appendDevice(nil, &d)
	if !json.Valid(b) {
		t.Fatalf("%s", b)
	}
	want := `"slots":2,"slots_used":1,"half_open":1,"phi":9.9,"suspicion":"it has been \"silent\"","route":1,"route_changes":3,"route_pinned":true,"routes":[` +
		`{"address":"s7://10.0.0.1:102","state":"failed","cause":"no answer","since":"1970-01-01T00:00:00.000Z","rtt_ms":0},` +
		`{"address":"s7://10.0.0.2:102","name":"second CP","state":"in use","since":null,"rtt_ms":1.5}]`
	if !strings.Contains(string(b), want) {
		t.Errorf("got %s\nwant %s", b, want)
	}
	plain := Device{ID: "d", Routes: Routes{Slots: 1, SlotsUsed: 1}}
	if b := appendDevice(nil, &plain); !json.Valid(b) || strings.Contains(string(b), "route") || strings.Contains(string(b), "phi") {
		t.Errorf("a device with one address: %s", b)
	}
}

func TestLabelsInJSON(t *testing.T) {
	d := Device{ID: "d", Endpoint: "e", Labels: map[string]string{"site": "north", "kind": `a "pump"`}}
	if b := appendDevice(nil, &d); !json.Valid(b) || !strings.Contains(string(b), `"endpoint":"e","labels":{"kind":"a \"pump\"","site":"north"},"state"`) {
		t.Errorf("got %s", b)
	}
	d.Labels = nil
	if b := appendDevice(nil, &d); strings.Contains(string(b), "labels") {
		t.Errorf("without: %s", b)
	}
}
