package driver

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/listen/listentest"
	"millrace/s7"
)

// browsePLC serves h on loopback and returns its address with the options given.
func browsePLC(t *testing.T, h s7.Handler, options map[string]string) device.Addr {
	t.Helper()
	srv, err := s7.NewServer(s7.ServerConfig{Handler: h})
	if err != nil {
		t.Fatal(err)
	}
	return device.Addr{Scheme: "s7", Host: listentest.Serve(t, srv).Addr, Options: options}
}

func TestBrowseCPU(t *testing.T) {
	m := new(s7.Memory)
	for _, n := range [...]uint16{7, 4000} {
		if err := m.AddDB(n, make([]byte, int(n))); err != nil {
			t.Fatal(err)
		}
	}
	cpu, err := s7.NewCPU(s7.CPUConfig{Model: s7.Model300, Memory: m, Identity: s7.Identity{Plant: "Halle\x1b[2J 4"}})
	if err != nil {
		t.Fatal(err)
	}
	a := browsePLC(t, cpu, map[string]string{"diagnostics": "true"})
	s, err := S7{}.Browse(t.Context(), a, 5*time.Second)
	if err != nil || len(s.Refused) > 0 {
		t.Fatalf("%v, refused %q", err, s.Refused)
	}
	for _, want := range []Fact{{"order number", "6ES7 315-2EH14-0AB0"}, {"firmware", "3.2.6"}, {"plant", "Halle[2J 4"}, {"mode", "RUN"}, {"PDU", "240 bytes"}} {
		if !slices.Contains(s.Facts, want) {
			t.Errorf("%v is missing in %v", want, s.Facts)
		}
	}
	if want := []Object{{"DB7", "DB", 7}, {"DB4000", "DB", 4000}}; !slices.Equal(s.Objects, want) {
		t.Errorf("objects %v, want %v", s.Objects, want)
	}
}

// TestBrowseOfWhatSaysLittle asks a PLC without services: what it refuses is named, and what the connection shows is there.
func TestBrowseOfWhatSaysLittle(t *testing.T) {
	a := browsePLC(t, new(s7.Memory), map[string]string{"diagnostics": "true"})
	s, err := S7{}.Browse(t.Context(), a, 5*time.Second)
	if err != nil || len(s.Refused) != 6 || len(s.Objects) > 0 {
		t.Errorf("%v, objects %v, refused %q", err, s.Objects, s.Refused)
	}
	if want := []Fact{{"PDU", "960 bytes"}, {"jobs in flight", "8"}}; !slices.Equal(s.Facts, want) {
		t.Errorf("facts %v, want %v", s.Facts, want)
	}
}

func TestBrowseNeedsLeave(t *testing.T) {
	a := browsePLC(t, new(s7.Memory), nil)
	_, err := S7{}.Browse(t.Context(), a, 5*time.Second)
	var option *OptionError
	if !errors.As(err, &option) || option.Option != "diagnostics" || !strings.Contains(err.Error(), "diagnostics=true") {
		t.Errorf("%v", err)
	}
}
