package main

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/sim"
	"millrace/internal/tag"
)

// site is one device that vanishes and returns, and the way to it.
type site struct {
	t   *testing.T
	plc *plc
	net *network
	sim *sim.Modbus
	end func() // of a black hole
}

// Every way to vanish and return: the device is bad while it is away, and read again with the first try that begins after its return;
// that a try comes within the cap is held by the tests of the device's machine. Its neighbour notices nothing, and nothing is left behind.
func TestVanishAndReturn(t *testing.T) {
	down := func(r *rig) bool { return r.device("victim").Outages > 0 && r.count("victim", notGood) == 4 }
	refused := func(r *rig) bool { return r.count("victim", notGood) == 4 }
	for _, c := range []struct {
		name         string
		vanish, back func(*site)
		away         func(*rig) bool
		silent       bool // no outage: the device answers all the time, though without values
	}{
		{"reset, refused", func(s *site) { s.net.shut(); s.net.cut(true) }, func(s *site) { s.net.open() }, down, false},
		{"closed, refused", func(s *site) { s.net.shut(); s.net.cut(false) }, func(s *site) { s.net.open() }, down, false},
		{"black hole on open connections", func(s *site) { s.net.freeze(true) }, func(s *site) { s.net.freeze(false) }, down, false},
		{"black hole for connections", deafen, undeafen, down, false},
		{"black hole of the simulator", func(s *site) { s.mode(sim.BlackHole) }, func(s *site) { s.mode(sim.Running) }, down, false},
		{"reboot", func(s *site) { s.net.shut(); s.net.cut(true) }, func(s *site) { s.plc.refuse.Store(6); s.net.open(); s.boot() }, down, false},
		{"address reuse", func(s *site) { s.net.answerBy(stranger); s.net.cut(true) }, func(s *site) { s.net.answerBy(nil); s.net.cut(true) }, down, false},
		{"stop and run", func(s *site) { s.plc.refuse.Store(4) }, func(s *site) { s.plc.refuse.Store(6); s.boot() }, refused, true},
		{"program download", func(s *site) { s.plc.hole.Store(102); s.net.cut(true); s.asked(10) }, func(s *site) { s.plc.hole.Store(1 << 16); s.net.cut(true) },
			func(r *rig) bool {
				return r.count("victim", isUnknown) == 2 && r.count("victim", tag.Quality.IsGood) == 2
			}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &site{t: t, plc: startPLC(t), sim: plant(t, sim.ModbusConfig{Devices: 2, ByPort: true})}
			s.net = startNetwork(t, s.plc.addr)
			victim := s.net.addr
			if c.name == "black hole of the simulator" {
				victim = s.sim.Addr(2)
			}
			r := startRig(t, t.TempDir(), vanishConfig(t.TempDir(), victim, s.sim.Addr(1)), rigOptions{})
			r.reads("victim", 3)
			r.reads("neighbour", 1)
			until(t, "the sink has its file open", func() bool { s := r.sink("files"); return s.Delivered > 0 && s.Waiting == 0 })
			before := atRest()
			mark := r.events.mark()
			c.vanish(s)
			until(t, "the victim is away", func() bool { return c.away(r) })
			if !c.silent {
				until(t, "it was tried a few times", func() bool { return r.events.since(mark, "victim", device.Opening) >= 3 })
			}
			returned, at := r.events.mark(), time.Now()
			c.back(s)
			r.reads("victim", 1)
			took := time.Since(at)
			// One try may have begun before the return and fail behind it; the next one begins behind it.
			if n := r.events.since(returned, "victim", device.Cooling); n > 1 {
				t.Errorf("it was down %d times after its return", n)
			}
			if n := r.device("victim").Outages; c.silent != (n == 0) {
				t.Errorf("%d outages", n)
			}
			r.reads("neighbour", 1)
			if d := r.device("neighbour"); d.Outages != 0 || d.Timeouts != 0 {
				t.Errorf("the neighbour had %d outages and %d timeouts", d.Outages, d.Timeouts)
			}
			held := func() bool { return now() == before }
			if !comes(held) {
				stacks := make([]byte, 1<<20)
				t.Errorf("the process holds %+v, and held %+v before:\n%s\n%s", atRest(), before, openFiles(), stacks[:runtime.Stack(stacks, true)])
			}
			t.Logf("read again %v after the return, %d tries; %+v as before", took.Round(time.Millisecond), r.events.since(returned, "victim", device.Opening), before)
			if t.Failed() {
				t.Log(r.events.list(mark, "victim"))
			}
		})
	}
}

func isUnknown(q tag.Quality) bool { return q == tag.BadNodeIDUnknown }

func vanishConfig(dir, victim, neighbour string) string {
	return configText(dir) + fmt.Sprintf(`
templates:
  t:
    profile: {base: lan, floor: 150ms, ceiling: 300ms, failures: 2, cap: 250ms}
    groups: {g: {interval: 50ms, tags: {a: 'holding:100:uint16', b: 'holding:101:uint16', c: 'holding:102:uint16', d: 'holding:110:float32'}}}
devices:
  - {id: victim, template: t, address: "modbus://%s/1"}
  - {id: neighbour, template: t, address: "modbus://%s/1", groups: {g: {interval: 100ms}}, profile: {floor: 1s, ceiling: 2s, cap: 5s}}
sinks:
  - {id: files, type: file, dir: %q}
`, victim, neighbour, dir)
}

func (s *site) mode(m sim.Mode) {
	s.t.Helper()
	if err := s.sim.Stop(2, m); err != nil {
		s.t.Fatal(err)
	}
}

// asked waits until the PLC was asked n times more.
func (s *site) asked(n uint64) {
	s.t.Helper()
	from := s.plc.requests.Load()
	until(s.t, "the PLC is asked", func() bool { return s.plc.requests.Load() >= from+n })
}

// boot lets the PLC answer "busy" a few times, and then values.
func (s *site) boot() {
	s.t.Helper()
	s.asked(3)
	s.plc.refuse.Store(0)
}

func deafen(s *site) {
	s.net.freeze(true)
	s.net.shut()
	s.end = deafAt(s.t, s.net.addr)
}

func undeafen(s *site) {
	s.net.cut(true)
	s.end()
	s.net.open()
}
