package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"millrace/internal/sim"
	"millrace/internal/telemetry"
	"millrace/modbus"
	"millrace/s7"
)

// simMetrics shows what simulators count, at an address of its own.
type simMetrics struct {
	ln  net.Listener
	srv *http.Server
}

// listenMetrics opens the address, which is on loopback as all of a simulator is.
func listenMetrics(ctx context.Context, addr string, all []sim.Simulator) (*simMetrics, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil || !at.Addr().IsLoopback() {
		return nil, usageError(fmt.Errorf("--metrics %q is not a loopback address with a port, such as 127.0.0.1:9102", addr))
	}
	h, err := telemetry.ServersHandler(telemetry.ServersConfig{Servers: func() []telemetry.Server { return simServers(all) }})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h)
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", at.String())
	if err != nil {
		return nil, err
	}
	return &simMetrics{ln, &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}}, nil
}

// run serves until ctx ends.
func (m *simMetrics) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = m.srv.Close() })()
	if err := m.srv.Serve(m.ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// simServers gathers what the servers of simulators counted.
func simServers(all []sim.Simulator) []telemetry.Server {
	servers := make([]telemetry.Server, 0, len(all))
	for _, m := range all {
		var s telemetry.Server
		name := strings.ToLower(m.Protocol().String()) + " " + m.Addr(1)
		switch m := m.(type) {
		case *sim.Modbus:
			s = modbusServer(m.Server())
		case *sim.S7:
			s = s7Server(m.Server())
		case *sim.OPCUA:
			lives := m.Servers()
			for i, x := range lives[1:] {
				next := opcuaServer(x)
				next.Name = fmt.Sprintf("%s, life %d", name, i+2)
				servers = append(servers, next)
			}
			s = opcuaServer(lives[0])
		}
		s.Name = name
		s.Faults = map[string]uint64{}
		for k, n := range m.Stats().Faults {
			if n > 0 {
				s.Faults[sim.Kind(k).String()] = n
			}
		}
		servers = append(servers, s)
	}
	return servers
}

func modbusServer(x modbus.ServerStats) telemetry.Server {
	return telemetry.Server{
		Sessions: map[string]int{"open": x.Open}, Accepted: x.Accepted, Refused: labels(x.Refused), Ended: labels(x.Ended),
		Requests: named(x.Requests, modbus.Function.String),
		Refusals: named(x.Exceptions, func(e modbus.ExceptionCode) string { return fmt.Sprintf("%d", uint8(e)) }),
	}
}

func s7Server(x s7.ServerStats) telemetry.Server {
	s := telemetry.Server{
		Sessions: map[string]int{}, Accepted: x.Accepted, Refused: labels(x.Refused), Ended: labels(x.Ended), EventsDropped: x.EventsDropped,
		Requests: named(x.Requests, s7.Function.String),
		Refusals: named(x.Refusals, func(e s7.ErrorCode) string { return fmt.Sprintf("0x%04X", uint16(e)) }),
		Messages: map[string]telemetry.Lent{},
	}
	for state := s7.SessionInit; state < s7.SessionClosed; state++ {
		s.Sessions[state.String()] = x.Sessions[state]
	}
	for message, n := range x.Pools {
		s.Messages[label(message)] = telemetry.Lent{Gets: n.Gets, Puts: n.Puts}
	}
	return s
}

// label writes words as the labels of metrics have them.
func label(words string) string { return strings.ReplaceAll(words, " ", "_") }

func labels(counts map[string]uint64) map[string]uint64 {
	return named(counts, func(s string) string { return s })
}

// named returns the counts by the labels of what they are of.
func named[K comparable](counts map[K]uint64, name func(K) string) map[string]uint64 {
	out := make(map[string]uint64, len(counts))
	for k, n := range counts {
		out[label(name(k))] += n
	}
	return out
}
