package s7_test

import (
	"context"
	"net"
	"testing"

	"millrace/s7"
)

// memory is the plant for our server.
func memory(t *testing.T) *s7.Memory {
	t.Helper()
	p := newPlant()
	m := &s7.Memory{}
	for area, name := range map[s7.Area]string{s7.AreaInputs: "I", s7.AreaOutputs: "Q", s7.AreaMarkers: "M", s7.AreaCounter: "C", s7.AreaTimer: "T"} {
		if err := m.SetArea(area, p[name]); err != nil {
			t.Fatal(err)
		}
	}
	for n, name := range map[uint16]string{1: "DB1", 2: "DB2", 3: "DB3"} {
		if err := m.AddDB(n, p[name]); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// ourServer serves on loopback until the test ends.
func ourServer(t *testing.T, cfg s7.ServerConfig) string {
	t.Helper()
	s, err := s7.NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}
