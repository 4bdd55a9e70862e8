package sim

import (
	"context"
	"net/netip"
	"time"

	"millrace/s7"
)

// S7Config says which S7 CPUs to simulate.
type S7Config struct {
	Listen  string  // address of the first device, in 127.0.0.0/8, with a port; default 127.0.0.1:1102. Port 0 takes a free one
	Devices int     // default 1, at most MaxDevices, or with ByPort as many as there are ports
	ByPort  bool    // device i is at the same address and i ports higher, where 127.0.0.0/8 has only one address
	Faults  []Fault // in order
	Seed    uint64  // of the faults' dice

	Model string // 300, 400, 1200 or 1500, the default: PDU length, jobs in flight, connection resources, slots
}

func (c S7Config) site() site { return site{c.Listen, c.Devices, c.ByPort, c.Faults, c.Seed} }

func (c S7Config) withDefaults() (S7Config, netip.AddrPort, error) {
	s, at, err := c.site().withDefaults(ProtocolS7)
	c.Listen, c.Devices = s.Listen, s.Devices
	if err == nil {
		_, err = modelNamed(c.Model)
	}
	return c, at, err
}

// S7 simulates CPUs. Make it with NewS7, then Listen, then Run; any goroutine may call the other methods.
type S7 struct {
	fleet
	model  *s7Model
	cpus   []s7CPU // of the devices, each under its device's lock
	server *s7.Server
}

// s7CPU is what a CPU has beside its device.
type s7CPU struct {
	s7Memory
	services *s7.CPU   // clock, mode, status lists; nil until somebody connects
	stopped  time.Time // by a client; zero in RUN
	taken    int       // connection resources
	served   uint64    // connections that had one
}

// NewS7 checks cfg. Nothing is open yet.
func NewS7(cfg S7Config) (*S7, error) {
	cfg, first, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &S7{cpus: make([]s7CPU, cfg.Devices)}
	if m.model, err = modelNamed(cfg.Model); err != nil {
		return nil, err
	}
	// Idle connections are a simulated device's normal state; half an hour finds those whose end was not seen.
	m.server, err = s7.NewServer(s7.ServerConfig{
		Open: m.open, PDU: m.model.pdu, Window: m.model.window,
		MaxConns: 1 << 20, IdleTimeout: 30 * time.Minute, DrainTimeout: 2 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	m.assemble(ProtocolS7, cfg.site(), first)
	_, err = m.newServices(1) // what is wrong with the model
	return m, err
}

// Run serves until ctx ends, then drains: it closes the sockets, lets requests that are being served end, and returns when all connections
// have. Listen comes first.
func (m *S7) Run(ctx context.Context) error {
	defer m.downloads()()
	return m.run(ctx, m.server.Serve)
}

// Server returns what the server of all devices counted.
func (m *S7) Server() s7.ServerStats { return m.server.Stats() }
