package driver_test

import (
	"context"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/driver"
	"millrace/internal/listen/listentest"
	"millrace/internal/resilience"
	"millrace/internal/sim"
	"millrace/internal/tag"
)

// plc is a simulator of one protocol with two devices, and how to reach and read them.
type plc struct {
	protocol string
	driver   device.Driver
	sim      interface {
		sim.Simulator
		Stop(n int, mode sim.Mode) error
		Start(n int) error
		DeviceStats(n int) sim.DeviceStats
		Addr(n int) string
	}
	scheme, path, tag string
	options           map[string]string
}

// twoOfEach returns a simulator of each protocol.
func twoOfEach(t *testing.T) []plc {
	t.Helper()
	cfg := sim.OPCUAConfig{Listen: "127.0.0.1:0", Devices: 2, Nodes: 5}
	server, err := sim.NewOPCUA(cfg)
	if err != nil {
		t.Fatal(err)
	}
	listentest.Run(t, server)
	return []plc{
		{protocol: "modbus", driver: driver.Modbus{}, sim: plant(t, 2), scheme: "modbus", path: "1", tag: "holding:7"},
		{protocol: "s7", driver: driver.S7{}, sim: cpus(t, sim.S7Config{Devices: 2}), scheme: "s7", tag: "DB1.DBB7"},
		{protocol: "opcua", driver: driver.OPCUA{}, sim: server, scheme: "opc.tcp", tag: "nsu=" + sim.OPCUANamespace + ";s=v0", options: map[string]string{"security": "none", "mode": "poll"}},
	}
}

func (p *plc) addr(n int) device.Addr {
	return device.Addr{Scheme: p.scheme, Host: p.sim.Addr(n), Path: p.path, Options: p.options}
}

// arrivals tells that values came.
type arrivals struct {
	nobody
	some chan struct{} // of size 1
}

func (a arrivals) Offer(*tag.Batch, func(error)) bool {
	select {
	case a.some <- struct{}{}:
	default:
	}
	return true
}

// events runs a gateway's devices with one device until the test ends, and returns what it tells, once values have come.
func (p *plc) events(t *testing.T, spec device.Spec) (*device.Runtime, <-chan device.Event) {
	t.Helper()
	out := arrivals{some: make(chan struct{}, 1)}
	events := make(chan device.Event, 1024)
	rt, err := device.New(device.Config{Drivers: map[string]device.Driver{p.protocol: p.driver}, Output: out, Ledger: nobody{}, OnEvent: func(e device.Event) { events <- e }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rt.Apply([]device.Spec{spec}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- rt.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	<-out.some
	return rt, events
}

// until takes events up to one that ok likes, and fails on one that says that the device is down.
func until(t *testing.T, events <-chan device.Event, ok func(e device.Event) bool) device.Event {
	t.Helper()
	for e := range events {
		if e.Down {
			t.Fatalf("the device is down: %s", e.Reason)
		}
		if ok(e) {
			return e
		}
	}
	return device.Event{}
}

// A device of each protocol goes to its other address when the first one is reset, or goes silent, and back when it answers again, without being down.
func TestRoutesOfAllProtocols(t *testing.T) {
	for _, p := range twoOfEach(t) {
		for _, how := range []sim.Mode{sim.Refusing, sim.BlackHole} {
			t.Run(p.protocol, func(t *testing.T) {
				profile := resilience.LAN()
				profile.Floor, profile.Ceiling, profile.Cap = 100*time.Millisecond, time.Second, 200*time.Millisecond
				rt, events := p.events(t, device.Spec{
					Name: "d", Number: 1, Driver: p.protocol, Profile: profile, Addr: p.addr(1), Routes: []device.Route{{Addr: p.addr(2), Name: "second CP"}},
					Routing: device.Routing{Stay: time.Millisecond, Probes: 2, Every: 10 * time.Millisecond},
					Groups:  []device.Group{{Name: "g", Interval: 10 * time.Millisecond, Tags: []device.TagSpec{{ID: 1, Name: "d/x", Address: p.tag}}}},
				})
				ready := func(e device.Event) bool { return e.To == device.Ready }
				until(t, events, ready)
				before := p.sim.DeviceStats(2)
				if err := p.sim.Stop(1, how); err != nil {
					t.Fatal(err)
				}
				if e := until(t, events, func(e device.Event) bool { return e.Act == "route" }); e.Reason == "" {
					t.Error("no reason is told")
				}
				until(t, events, ready)
				s, _ := rt.Device("d")
				if s.Route != 1 || s.Endpoint != p.addr(2).String() || rt.Last([]tag.ID{1}, nil)[0].Quality.IsBad() {
					t.Errorf("it is on %s", s.Endpoint)
				}
				if err := p.sim.Start(1); err != nil {
					t.Fatal(err)
				}
				until(t, events, func(e device.Event) bool { return e.Act == "route" })
				until(t, events, ready)
				if s, _ = rt.Device("d"); s.Route != 0 || s.Outages != 0 || s.RouteChanges != 2 {
					t.Errorf("it is on %s, %d outages, %d changes", s.Endpoint, s.Outages, s.RouteChanges)
				}
				if n := p.sim.DeviceStats(2).Connections - before.Connections; n != 1 {
					t.Errorf("%d connections to the other address", n)
				}
			})
		}
	}
}
