package main

import (
	"reflect"
	"runtime"
	"testing"
	"time"

	"millrace/internal/config"
	"millrace/internal/device"
)

// TestLimitsComeBackFromTheStore: every field that can be learned, and none is left out here.
func TestLimitsComeBackFromTheStore(t *testing.T) {
	want := device.Limits{Of: "modbus 10.0.0.5:502/3", Window: 3, WindowTried: time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC), CapsLearned: time.Date(2025, 1, 2, 3, 4, 6, 0, time.UTC), MaxRegisters: 60, MaxBits: 500, MaxWrite: 30, MaxItems: 20, PDU: 240, Gap: 4, RequestWorth: 300, Server: "a driver's own",
		Holes: []device.Span{{Area: 0x84, From: 1<<16 | 7, To: 1<<16 | 9}}}
	v := reflect.ValueOf(want)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "Connections" && name != "Generation" && name != "MaxTags" { // configured, and of a run
			t.Errorf("%s has no value", name)
		}
	}
	text, err := formatLimits(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parseLimits(text); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

// The clients that the gateway serves take descriptors, too.
func TestServedClientsCountAsDescriptors(t *testing.T) {
	limit := int(descriptorLimit())
	if limit == 0 && runtime.GOOS == "linux" {
		t.Fatal("the limit of descriptors is not known")
	}
	if limit == 0 {
		t.Skip("this system has no descriptor limit to speak of")
	}
	cfg := &config.Config{Serve: []config.Serve{{MaxSessions: 10}, {MaxSessions: 5}}}
	if n := mostSessions(&config.Config{}) - mostSessions(cfg); n != 30 {
		t.Errorf("two servers of 10 and 5 sessions leave %d fewer for devices", n)
	}
	if err := checkDescriptors(cfg); err != nil {
		t.Error(err)
	}
	cfg.Serve[0].MaxSessions = limit
	if err := checkDescriptors(cfg); err == nil {
		t.Error("more clients than descriptors were allowed")
	}
}
