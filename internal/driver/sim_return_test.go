package driver_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/driver"
	"millrace/internal/sim"
	"millrace/internal/tag"
)

func TestADeviceStopsAndComesBack(t *testing.T) {
	modbus, s7 := plant(t, 2), cpus(t, sim.S7Config{Devices: 2})
	for _, c := range []struct {
		name      string
		driver    device.Driver
		sim       sim.Simulator
		addr      device.Addr
		points    []point
		compile   func(*testing.T, device.Addr, device.Limits, []point) device.Plan
		handshake bool // the driver's own: who refuses is found out at once
	}{
		{"modbus", driver.Modbus{}, modbus, addrOf(modbus, 2, nil), image(), compile, false},
		{"s7", driver.S7{}, s7, s7Addr(s7, 2, nil), s7Image(), compileS7, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &observer{timeout: 50 * time.Millisecond}
			plan := c.compile(t, c.addr, device.Limits{}, c.points)
			open := func() device.Session {
				s, err := c.driver.Open(t.Context(), c.addr, device.Limits{}, o)
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			read := func(s device.Session) (int, error) {
				var b tag.Batch
				err := s.Read(t.Context(), plan, &b)
				return check(t, c.points, &b), err
			}
			turn := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			s := open()
			defer func() { _ = s.Close() }()
			if good, err := read(s); err != nil || good != len(c.points) {
				t.Fatalf("%d good, %v", good, err)
			}
			turn(c.sim.Stop(2, sim.BlackHole))
			var ne net.Error
			if good, err := read(s); good != 0 || !errors.As(err, &ne) || !ne.Timeout() || errors.Is(err, net.ErrClosed) {
				t.Errorf("black hole: %d good, %v", good, err)
			}
			turn(c.sim.Start(2))
			o.timeout = 5 * time.Second
			if good, err := read(s); err != nil || good != len(c.points) {
				t.Errorf("back on the same connection: %d good, %v", good, err)
			}
			turn(c.sim.Stop(2, sim.Refusing))
			if good, err := read(s); good != 0 || !errors.Is(err, net.ErrClosed) {
				t.Errorf("refusing: %d good, %v", good, err)
			}
			if again, err := c.driver.Open(t.Context(), c.addr, device.Limits{}, o); err == nil {
				if good, err := read(again); good != 0 || err == nil || c.handshake {
					t.Errorf("a new connection while refusing: %d good, %v", good, err)
				}
				_ = again.Close()
			}
			turn(c.sim.Start(2))
			_ = s.Close()
			s = open()
			if good, err := read(s); err != nil || good != len(c.points) {
				t.Errorf("back: %d good, %v", good, err)
			}
		})
	}
}
