// Package sim plays devices: plants of Modbus devices and S7 CPUs with a documented image, live values, and faults on demand.
package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"time"

	"millrace/internal/listen"
)

// MaxDevices is how many devices one simulator has at most: 127.0.0.1 and what follows, up to 127.255.255.254.
const MaxDevices = 1<<24 - 2

// site is what the configurations of all protocols share: where the devices are, and what is wrong with them.
type site struct {
	Listen  string
	Devices int
	ByPort  bool
	Faults  []Fault
	Seed    uint64
}

// withDefaults checks s for devices that speak p.
func (s site) withDefaults(p Protocol) (site, netip.AddrPort, error) {
	if s.Listen == "" {
		s.Listen = p.listen()
	}
	if s.Devices == 0 {
		s.Devices = 1
	}
	at, err := netip.ParseAddrPort(s.Listen)
	if err != nil {
		return s, at, fmt.Errorf("sim: listen %q is not an address with a port, such as %s", s.Listen, p.listen())
	}
	switch {
	case !at.Addr().Is4() || !at.Addr().IsLoopback():
		return s, at, fmt.Errorf("sim: listen %s is outside 127.0.0.0/8, and simulated devices are not for others", s.Listen)
	case s.Devices < 1 || s.Devices > MaxDevices:
		return s, at, fmt.Errorf("sim: %d devices; there may be 1 to %d", s.Devices, MaxDevices)
	case s.ByPort && at.Port() != 0 && int(at.Port())+s.Devices-1 > 65535:
		return s, at, fmt.Errorf("sim: %d devices by port from %d on go beyond port 65535", s.Devices, at.Port())
	case s.ByPort && s.Devices > 65535:
		return s, at, fmt.Errorf("sim: %d devices by port; there are 65535 ports", s.Devices)
	case !s.ByPort && number(at.Addr())+uint32(s.Devices)-1 > number(lastLoopback):
		return s, at, fmt.Errorf("sim: %d devices from %s on go beyond %s", s.Devices, at.Addr(), lastLoopback)
	}
	return s, at, s.checkFaults(p)
}

func (s site) checkFaults(p Protocol) error {
	for i := range s.Faults {
		f := &s.Faults[i]
		if err := f.fits(p); err != nil {
			return fmt.Errorf("sim: %w", &FaultError{f.String(), err.Error()})
		}
		for _, r := range f.Devices {
			if r.From > s.Devices {
				return fmt.Errorf("sim: fault %s is of devices that are not there; there are %d", f, s.Devices)
			}
		}
	}
	return nil
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

// fleet is the devices of one simulator, whatever they speak: which address is whose, who is let in, and what they count.
type fleet struct {
	protocol Protocol
	site     site
	first    netip.AddrPort
	devices  []device
	started  time.Time

	lns   []net.Listener
	ports map[uint16]int // ByPort: port -> index
	stray strayCount
}

// strayCount counts connections that were reset because they were not for a simulated device.
type strayCount struct {
	mu sync.Mutex
	n  uint64
}

// assemble makes the devices of a site that withDefaults has checked.
func (f *fleet) assemble(p Protocol, s site, first netip.AddrPort) {
	f.protocol, f.site, f.first = p, s, first
	f.devices = make([]device, s.Devices)
	for i := range f.devices {
		f.devices[i].number = i + 1
		f.devices[i].rng.Seed(s.Seed, uint64(i+1))
	}
}

// Protocol returns what the devices speak.
func (f *fleet) Protocol() Protocol { return f.protocol }

// Devices returns how many there are.
func (f *fleet) Devices() int { return len(f.devices) }

// Listen opens the sockets. Schedules of faults count from here.
func (f *fleet) Listen(ctx context.Context) error {
	f.started = time.Now()
	if f.site.ByPort {
		return f.listenByPort(ctx)
	}
	host := f.first.Addr()
	if f.site.Devices > 1 {
		host = netip.IPv4Unspecified()
		if err := checkLoopback(ctx, address(number(f.first.Addr())+1)); err != nil {
			return err
		}
	}
	ln, err := listen.Listen(ctx, netip.AddrPortFrom(host, f.first.Port()).String(), listen.Socket{})
	if err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	f.first = netip.AddrPortFrom(f.first.Addr(), portOf(ln.Addr()))
	f.lns = []net.Listener{ln}
	return nil
}

func (f *fleet) listenByPort(ctx context.Context) error {
	f.ports = make(map[uint16]int, f.site.Devices)
	for i := range f.devices {
		at := f.first
		if at.Port() != 0 {
			at = netip.AddrPortFrom(at.Addr(), at.Port()+uint16(i))
		}
		ln, err := listen.Listen(ctx, at.String(), listen.Socket{})
		if err != nil {
			f.close()
			return fmt.Errorf("sim: device %d: %w", i+1, err)
		}
		f.lns = append(f.lns, ln)
		f.ports[portOf(ln.Addr())] = i
	}
	return nil
}

func (f *fleet) close() {
	for _, ln := range f.lns {
		_ = ln.Close()
	}
	f.lns = nil
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
func (f *fleet) Addr(n int) string {
	if n < 1 || n > len(f.devices) {
		return ""
	}
	if !f.site.ByPort {
		return netip.AddrPortFrom(address(number(f.first.Addr())+uint32(n-1)), f.first.Port()).String()
	}
	if len(f.lns) == len(f.devices) {
		return f.lns[n-1].Addr().String()
	}
	return netip.AddrPortFrom(f.first.Addr(), f.first.Port()+uint16(n-1)).String()
}

// run serves all sockets until ctx ends, and returns when all connections have ended.
func (f *fleet) run(ctx context.Context, serve func(context.Context, net.Listener) error) error {
	if len(f.lns) == 0 {
		return errors.New("sim: Run before Listen")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(f.lns))
	var wg sync.WaitGroup
	for i, ln := range f.lns {
		wg.Go(func() {
			defer cancel() // one socket that fails ends the others
			errs[i] = serve(ctx, &gate{Listener: ln, f: f})
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// elapsed returns the time since the start, by which faults have their schedules.
func (f *fleet) elapsed(now time.Time) time.Duration { return now.Sub(f.started) }

// deviceAt returns the device that has the local address a, nil when none does.
func (f *fleet) deviceAt(a net.Addr) *device {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return nil
	}
	at := t.AddrPort()
	if f.site.ByPort {
		i, ok := f.ports[at.Port()]
		if !ok {
			return nil
		}
		return &f.devices[i]
	}
	ip := at.Addr().Unmap()
	if !ip.Is4() {
		return nil
	}
	i := int64(number(ip)) - int64(number(f.first.Addr()))
	if i < 0 || i >= int64(len(f.devices)) {
		return nil
	}
	return &f.devices[i]
}

// gate is a listener that lets in only connections within 127.0.0.0/8 to devices that take them.
type gate struct {
	net.Listener
	f *fleet
}

// Accept returns the next connection that is let in. The others are reset.
func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		d := g.f.deviceAt(c.LocalAddr())
		if d == nil || !isLoopback(c.LocalAddr()) || !isLoopback(c.RemoteAddr()) {
			g.f.stray.mu.Lock()
			g.f.stray.n++
			g.f.stray.mu.Unlock()
			reset(c)
			continue
		}
		mode, ok := d.admit(c, g.f, g.f.elapsed(time.Now()))
		switch {
		case !ok:
			reset(c)
			continue
		case mode == BlackHole && g.f.protocol == ProtocolS7: // its server would answer the CR before there is anybody to ask
			return &mute{c, d}, nil
		case g.f.protocol == ProtocolOPCUA: // its server sends by itself, too
			return &mute{c, d}, nil
		}
		return c, nil
	}
}

func isLoopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}

// Stop makes device n Refusing or a BlackHole; Start ends that.
func (f *fleet) Stop(n int, mode Mode) error {
	if n < 1 || n > len(f.devices) {
		return &NoDeviceError{n, len(f.devices)}
	}
	f.devices[n-1].become(mode)
	return nil
}

// Start makes device n run again.
func (f *fleet) Start(n int) error { return f.Stop(n, Running) }

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
func (f *fleet) Stats() Stats {
	s := Stats{Devices: len(f.devices)}
	for i := range f.devices {
		d := f.DeviceStats(i + 1)
		s.Connections += d.Connections
		s.Refused += d.Refused
		s.Requests += d.Requests
		for k, n := range d.Faults {
			s.Faults[k] += n
		}
		s.Open += f.devices[i].open()
	}
	f.stray.mu.Lock()
	s.Stray = f.stray.n
	f.stray.mu.Unlock()
	return s
}

// DeviceStats returns what device n did, zeros for one that there is not.
func (f *fleet) DeviceStats(n int) DeviceStats {
	if n < 1 || n > len(f.devices) {
		return DeviceStats{}
	}
	return f.devices[n-1].stats()
}
