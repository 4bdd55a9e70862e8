package sim

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"time"

	"millrace/modbus"
)

// ModbusConfig says which Modbus devices to simulate.
type ModbusConfig struct {
	Listen  string  // address of the first device, in 127.0.0.0/8, with a port; default 127.0.0.1:1502. Port 0 takes a free one
	Devices int     // default 1, at most MaxDevices, or with ByPort as many as there are ports
	ByPort  bool    // device i is at the same address and i ports higher, where 127.0.0.0/8 has only one address
	Faults  []Fault // in order
	Seed    uint64  // of the faults' dice

	Framing     modbus.Framing // default Modbus TCP
	TLS         *tls.Config    // Modbus/TCP Security, default plain
	RequireRole bool           // refuse certificates without a role
}

func (c ModbusConfig) site() site { return site{c.Listen, c.Devices, c.ByPort, c.Faults, c.Seed} }

func (c ModbusConfig) withDefaults() (ModbusConfig, netip.AddrPort, error) {
	s, at, err := c.site().withDefaults(ProtocolModbus)
	c.Listen, c.Devices = s.Listen, s.Devices
	if err != nil {
		return c, at, err
	}
	for i := range c.Faults {
		if k := c.Faults[i].Kind; c.Framing == modbus.FramingRTU && (k == WrongID || k == WrongFunction) {
			return c, at, fmt.Errorf("sim: fault %s: RTU has no id, and its checksum covers the function", c.Faults[i])
		}
	}
	return c, at, nil
}

// Modbus simulates devices. Make it with NewModbus, then Listen, then Run; any goroutine may call the other methods.
type Modbus struct {
	fleet
	cfg      ModbusConfig
	memories []memory // of the devices, each under its device's lock
	server   *modbus.Server
}

// NewModbus checks cfg. Nothing is open yet.
func NewModbus(cfg ModbusConfig) (*Modbus, error) {
	cfg, first, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &Modbus{cfg: cfg, memories: make([]memory, cfg.Devices)}
	// Idle connections are a simulated device's normal state; half an hour finds those whose end was not seen.
	m.server, err = modbus.NewServer(modbus.ServerConfig{
		Open: m.open, Framing: cfg.Framing, TLS: cfg.TLS, RequireRole: cfg.RequireRole,
		MaxConns: 1 << 20, IdleTimeout: 30 * time.Minute, DrainTimeout: 2 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	m.assemble(ProtocolModbus, cfg.site(), first)
	return m, nil
}

// Run serves until ctx ends, then drains: it closes the sockets, lets requests that are being served end, and returns when all connections
// have. Listen comes first.
func (m *Modbus) Run(ctx context.Context) error { return m.run(ctx, m.server.Serve) }

// Server returns what the server of all devices counted.
func (m *Modbus) Server() modbus.ServerStats { return m.server.Stats() }

// unitAt returns where the unit id is in a frame; the function follows it.
func (m *Modbus) unitAt() int {
	if m.cfg.Framing == modbus.FramingRTU {
		return 0
	}
	return 6
}
