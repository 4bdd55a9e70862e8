package sim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"time"

	"millrace/internal/listen"
	"millrace/modbus"
)

// MaxDevices is how many devices one simulator has at most: 127.0.0.1 and what follows, up to 127.255.255.254.
const MaxDevices = 1<<24 - 2

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

func (c ModbusConfig) withDefaults() (ModbusConfig, netip.AddrPort, error) {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:1502"
	}
	if c.Devices == 0 {
		c.Devices = 1
	}
	at, err := netip.ParseAddrPort(c.Listen)
	if err != nil {
		return c, at, fmt.Errorf("sim: listen %q is not an address with a port, such as 127.0.0.1:1502", c.Listen)
	}
	switch {
	case !at.Addr().Is4() || !at.Addr().IsLoopback():
		return c, at, fmt.Errorf("sim: listen %s is outside 127.0.0.0/8, and simulated devices are not for others", c.Listen)
	case c.Devices < 1 || c.Devices > MaxDevices:
		return c, at, fmt.Errorf("sim: %d devices; there may be 1 to %d", c.Devices, MaxDevices)
	case c.ByPort && at.Port() != 0 && int(at.Port())+c.Devices-1 > 65535:
		return c, at, fmt.Errorf("sim: %d devices by port from %d on go beyond port 65535", c.Devices, at.Port())
	case c.ByPort && c.Devices > 65535:
		return c, at, fmt.Errorf("sim: %d devices by port; there are 65535 ports", c.Devices)
	case !c.ByPort && number(at.Addr())+uint32(c.Devices)-1 > number(lastLoopback):
		return c, at, fmt.Errorf("sim: %d devices from %s on go beyond %s", c.Devices, at.Addr(), lastLoopback)
	}
	for i := range c.Faults {
		if k := c.Faults[i].Kind; c.Framing == modbus.FramingRTU && (k == WrongID || k == WrongFunction) {
			return c, at, fmt.Errorf("sim: fault %s: RTU has no id, and its checksum covers the function", c.Faults[i])
		}
		for _, r := range c.Faults[i].Devices {
			if r.From > c.Devices {
				return c, at, fmt.Errorf("sim: fault %s is of devices that are not there; there are %d", c.Faults[i], c.Devices)
			}
		}
	}
	return c, at, nil
}

// lastLoopback is the last address before the broadcast address of 127.0.0.0/8.
var lastLoopback = netip.AddrFrom4([4]byte{127, 255, 255, 254})

func number(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func address(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// Modbus simulates devices. Make it with NewModbus, then Listen, then Run; any goroutine may call the other methods.
type Modbus struct {
	cfg     ModbusConfig
	first   netip.AddrPort
	devices []device
	server  *modbus.Server
	started time.Time

	lns   []net.Listener
	ports map[uint16]int // ByPort: port -> index
	stray strayCount
}

// strayCount counts connections that were reset because they were not for a simulated device.
type strayCount struct {
	mu sync.Mutex
	n  uint64
}

// NewModbus checks cfg. Nothing is open yet.
func NewModbus(cfg ModbusConfig) (*Modbus, error) {
	cfg, first, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	// Idle connections are a simulated device's normal state; half an hour finds those whose end was not seen.
	m := &Modbus{cfg: cfg, first: first, devices: make([]device, cfg.Devices)}
	m.server, err = modbus.NewServer(modbus.ServerConfig{
		Open: m.open, Framing: cfg.Framing, TLS: cfg.TLS, RequireRole: cfg.RequireRole,
		MaxConns: 1 << 20, IdleTimeout: 30 * time.Minute, DrainTimeout: 2 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	for i := range m.devices {
		m.devices[i].mem.device = i + 1
		m.devices[i].rng.Seed(cfg.Seed, uint64(i+1))
	}
	return m, nil
}

// Listen opens the sockets. Schedules of faults count from here.
func (m *Modbus) Listen(ctx context.Context) error {
	m.started = time.Now()
	if m.cfg.ByPort {
		return m.listenByPort(ctx)
	}
	host := m.first.Addr()
	if m.cfg.Devices > 1 {
		host = netip.IPv4Unspecified()
		if err := checkLoopback(ctx, address(number(m.first.Addr())+1)); err != nil {
			return err
		}
	}
	ln, err := listen.Listen(ctx, netip.AddrPortFrom(host, m.first.Port()).String(), listen.Socket{})
	if err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	m.first = netip.AddrPortFrom(m.first.Addr(), portOf(ln.Addr()))
	m.lns = []net.Listener{ln}
	return nil
}

func (m *Modbus) listenByPort(ctx context.Context) error {
	m.ports = make(map[uint16]int, m.cfg.Devices)
	for i := range m.devices {
		at := m.first
		if at.Port() != 0 {
			at = netip.AddrPortFrom(at.Addr(), at.Port()+uint16(i))
		}
		ln, err := listen.Listen(ctx, at.String(), listen.Socket{})
		if err != nil {
			m.close()
			return fmt.Errorf("sim: device %d: %w", i+1, err)
		}
		m.lns = append(m.lns, ln)
		m.ports[portOf(ln.Addr())] = i
	}
	return nil
}

func (m *Modbus) close() {
	for _, ln := range m.lns {
		_ = ln.Close()
	}
	m.lns = nil
}

// checkLoopback says what to do on systems that have only 127.0.0.1. Linux has all of 127.0.0.0/8.
func checkLoopback(ctx context.Context, a netip.Addr) error {
	ln, err := listen.Listen(ctx, netip.AddrPortFrom(a, 0).String(), listen.Socket{})
	if err == nil {
		return ln.Close()
	}
	hint := ""
	if runtime.GOOS == "darwin" {
		hint = fmt.Sprintf(", or add the addresses: sudo ifconfig lo0 alias %s", a)
	}
	return fmt.Errorf("sim: this machine has no address %s: use --by port%s: %w", a, hint, err)
}

func portOf(a net.Addr) uint16 {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Port()
	}
	return 0
}

// Addr returns the address of device n, 1 to the number of devices, "" for another. Port 0 has become a port after Listen.
func (m *Modbus) Addr(n int) string {
	if n < 1 || n > len(m.devices) {
		return ""
	}
	if !m.cfg.ByPort {
		return netip.AddrPortFrom(address(number(m.first.Addr())+uint32(n-1)), m.first.Port()).String()
	}
	if len(m.lns) == len(m.devices) {
		return m.lns[n-1].Addr().String()
	}
	return netip.AddrPortFrom(m.first.Addr(), m.first.Port()+uint16(n-1)).String()
}

// Run serves until ctx ends, then drains: it closes the sockets, lets requests that are being served end, and returns when all connections
// have. Listen comes first.
func (m *Modbus) Run(ctx context.Context) error {
	if len(m.lns) == 0 {
		return errors.New("sim: Run before Listen")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(m.lns))
	var wg sync.WaitGroup
	for i, ln := range m.lns {
		wg.Go(func() {
			defer cancel() // one socket that fails ends the others
			errs[i] = m.server.Serve(ctx, &gate{Listener: ln, m: m})
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// deviceAt returns the device that has the local address a, nil when none does.
func (m *Modbus) deviceAt(a net.Addr) *device {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return nil
	}
	at := t.AddrPort()
	if m.cfg.ByPort {
		i, ok := m.ports[at.Port()]
		if !ok {
			return nil
		}
		return &m.devices[i]
	}
	ip := at.Addr().Unmap()
	if !ip.Is4() {
		return nil
	}
	i := int64(number(ip)) - int64(number(m.first.Addr()))
	if i < 0 || i >= int64(len(m.devices)) {
		return nil
	}
	return &m.devices[i]
}

// gate is a listener that lets in only connections within 127.0.0.0/8 to devices that take them.
type gate struct {
	net.Listener
	m *Modbus
}

// Accept returns the next connection that is let in. The others are reset.
func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		d := g.m.deviceAt(c.LocalAddr())
		if d == nil || !isLoopback(c.LocalAddr()) || !isLoopback(c.RemoteAddr()) {
			g.m.stray.mu.Lock()
			g.m.stray.n++
			g.m.stray.mu.Unlock()
			reset(c)
			continue
		}
		if !d.admit(c, g.m.cfg.Faults, time.Since(g.m.started)) {
			reset(c)
			continue
		}
		return c, nil
	}
}

// unitAt returns where the unit id is in a frame; the function follows it.
func (m *Modbus) unitAt() int {
	if m.cfg.Framing == modbus.FramingRTU {
		return 0
	}
	return 6
}

func isLoopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}

// Stop makes device n Refusing or a BlackHole; Start ends that.
func (m *Modbus) Stop(n int, mode Mode) error {
	if n < 1 || n > len(m.devices) {
		return &NoDeviceError{n, len(m.devices)}
	}
	m.devices[n-1].become(mode)
	return nil
}

// Start makes device n run again.
func (m *Modbus) Start(n int) error { return m.Stop(n, Running) }

// NoDeviceError names a device that there is not.
type NoDeviceError struct{ Device, Devices int }

func (e *NoDeviceError) Error() string {
	return "sim: there is no device " + strconv.Itoa(e.Device) + "; there are 1 to " + strconv.Itoa(e.Devices)
}

// Stats is a snapshot of all devices.
type Stats struct {
	Devices     int
	Open        int    // connections now
	Connections uint64 // accepted
	Refused     uint64 // reset by a fault or a stopped device
	Stray       uint64 // reset because they were for no device or from outside 127.0.0.0/8
	Requests    uint64
	Faults      [Kinds]uint64
}

// Stats adds up all devices.
func (m *Modbus) Stats() Stats {
	s := Stats{Devices: len(m.devices)}
	for i := range m.devices {
		d := m.DeviceStats(i + 1)
		s.Connections += d.Connections
		s.Refused += d.Refused
		s.Requests += d.Requests
		for k, n := range d.Faults {
			s.Faults[k] += n
		}
		m.devices[i].mu.Lock()
		s.Open += len(m.devices[i].conns)
		m.devices[i].mu.Unlock()
	}
	m.stray.mu.Lock()
	s.Stray = m.stray.n
	m.stray.mu.Unlock()
	return s
}

// DeviceStats returns what device n did, zeros for one that there is not.
func (m *Modbus) DeviceStats(n int) DeviceStats {
	if n < 1 || n > len(m.devices) {
		return DeviceStats{}
	}
	d := &m.devices[n-1]
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}
