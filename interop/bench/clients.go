package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"time"
)

// contest is the clients of one protocol, each against our server.
type contest struct {
	title  string
	unit   string
	per    float64 // units in one call of a client
	names  []string
	server string // the child that serves them all
	start  func(ctx context.Context, name, addr, seconds string) (*child, error)
}

var modbusClients = contest{
	title: fmt.Sprintf("Modbus client, %d registers, one connection", registers), unit: "requests", per: 1,
	names: []string{"millrace", "simonvetter", "aldas", "goburrow"}, server: "millrace", start: startClient,
}

// startClient starts this program as the client called name.
func startClient(ctx context.Context, name, addr, seconds string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start(ctx, self, "client", name, addr, seconds)
}

func (m contest) run(ctx context.Context, w io.Writer, set settings) error {
	var all []*series
	for _, n := range m.names {
		all = append(all, &series{name: n})
	}
	srv, addr, err := startSelf(ctx, m.server)
	if err != nil {
		return err
	}
	defer srv.stop()
	for r := range set.rounds {
		for i := range all {
			s := all[(i+r)%len(all)]
			c, err := m.start(ctx, s.name, addr, strconv.FormatFloat(set.each.Seconds(), 'f', -1, 64))
			if err != nil {
				return err
			}
			line, err := c.line()
			if err := errors.Join(err, c.stop()); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			var requests, cpu, wall float64
			if _, err := fmt.Sscan(line, &requests, &cpu, &wall); err != nil {
				return fmt.Errorf("%s: %q: %w", s.name, line, err)
			}
			s.perCPU = append(s.perCPU, m.per*requests/cpu)
			s.rate = append(s.rate, m.per*requests/wall)
		}
	}
	print(w, m.title, m.unit, all)
	return nil
}

// client is the child process whose CPU time counts: it prints requests, CPU seconds, wall seconds and bytes allocated.
func client(ctx context.Context, name, addr, seconds string) error {
	connect, ok := clients[name]
	if !ok {
		return fmt.Errorf("no client %q", name)
	}
	s, err := strconv.ParseFloat(seconds, 64)
	if err != nil {
		return err
	}
	read, err := connect(ctx, addr)
	if err != nil {
		return err
	}
	for warm := time.Now().Add(time.Second); time.Now().Before(warm); {
		if err := read(); err != nil {
			return err
		}
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	allocated := memory.TotalAlloc
	before, begin, n := ownCPU(), time.Now(), 0
	for until := begin.Add(time.Duration(s * float64(time.Second))); time.Now().Before(until); n++ {
		if err := read(); err != nil {
			return err
		}
	}
	wall := time.Since(begin).Seconds()
	spent := ownCPU() - before
	runtime.ReadMemStats(&memory)
	fmt.Println(n, spent.Seconds(), wall, memory.TotalAlloc-allocated)
	return nil
}
