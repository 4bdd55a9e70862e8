package main

import (
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/sim"
	"millrace/internal/tag"
	"millrace/s7"
)

// site is one device that vanishes and returns, and the way to it.
type site struct {
	t   *testing.T
	plc patient
	net *network
	sim sim.Simulator // device 1 is the neighbour, device 2 a victim of its own
	end func()        // of a black hole
}

// species is the devices of a protocol: a PLC to do things to, the simulator beside it, and how they are read. A program download takes two of the four
// tags away.
type species struct {
	start func(*testing.T) patient
	sim   func(*testing.T) sim.Simulator
	url   string // with the address in it
	tags  string
}

func modbusSpecies() species {
	return species{
		start: func(t *testing.T) patient { return startPLC(t) },
		sim:   func(t *testing.T) sim.Simulator { return plant(t, sim.ModbusConfig{Devices: 2, ByPort: true}) },
		url:   "modbus://%s/1",
		tags:  "a: 'holding:100:uint16', b: 'holding:101:uint16', c: 'holding:102:uint16', d: 'holding:110:float32'",
	}
}

func s7Species() species {
	return species{
		start: func(t *testing.T) patient { return startS7PLC(t) },
		sim:   func(t *testing.T) sim.Simulator { return s7Plant(t, sim.S7Config{Devices: 2, ByPort: true}) },
		url:   "s7://%s?slot=1",
		tags:  "a: DB1.DBW200, b: DB1.DBW202, c: DB1.DBW204, d: 'DB1.DBW1000:INT[300]'", // d is longer than the shortest PDU
	}
}

// disappearance is a way to vanish and return.
type disappearance struct {
	name         string
	vanish, back func(*site)
	away         func(*rig) bool
	silent       bool // no outage: the device answers all the time, though without values
}

// disappearances returns every way to vanish and return that devices of any protocol have.
func disappearances() []disappearance {
	down := func(r *rig) bool { return r.device("victim").Outages > 0 && r.count("victim", notGood) == 4 }
	refused := func(r *rig) bool { return r.count("victim", notGood) == 4 }
	partly := func(r *rig) bool {
		return r.count("victim", isUnknown) == 2 && r.count("victim", tag.Quality.IsGood) == 2
	}
	return []disappearance{
		{"reset, refused", func(s *site) { s.net.shut(); s.net.cut(true) }, func(s *site) { s.net.open() }, down, false},
		{"closed, refused", func(s *site) { s.net.shut(); s.net.cut(false) }, func(s *site) { s.net.open() }, down, false},
		{"black hole on open connections", func(s *site) { s.net.freeze(true) }, func(s *site) { s.net.freeze(false) }, down, false},
		{"black hole for connections", deafen, undeafen, down, false},
		{blackHoleOfSim, func(s *site) { s.mode(sim.BlackHole) }, func(s *site) { s.mode(sim.Running) }, down, false},
		{"reboot", func(s *site) { s.net.shut(); s.net.cut(true) }, func(s *site) { s.plc.busy(); s.net.open(); s.boot() }, down, false},
		{"address reuse", func(s *site) { s.net.answerBy(stranger); s.net.cut(true) }, func(s *site) { s.net.answerBy(nil); s.net.cut(true) }, down, false},
		{"stop and run", func(s *site) { s.plc.fail() }, func(s *site) { s.plc.busy(); s.boot() }, refused, true},
		{"program download", func(s *site) { s.plc.download(true); s.net.cut(true); s.asked(10) }, func(s *site) { s.plc.download(false); s.net.cut(true) }, partly, true},
	}
}

const blackHoleOfSim = "black hole of the simulator"

// s7Disappearances returns those that S7 has beside them.
func s7Disappearances() []disappearance {
	all := disappearances()
	down := all[0].away
	return append(all,
		disappearance{"no connection resource", func(s *site) { s.net.answerBy(occupied); s.net.cut(true) }, func(s *site) { s.net.answerBy(nil); s.net.cut(true) }, down, false},
		disappearance{"back with a shorter PDU", func(s *site) { s.net.shut(); s.net.cut(true) }, func(s *site) { shorten(s.plc); s.net.open() }, down, false},
	)
}

func shorten(p patient) {
	if p, ok := p.(*s7PLC); ok {
		p.pdu.Store(240)
	}
}

// occupied is a CPU without a free connection resource.
func occupied(c net.Conn) {
	if _, err := c.Read(make([]byte, 512)); err == nil {
		_, _ = c.Write((&s7.Disconnect{Reason: s7.DisconnectRemoteCongestion}).AppendTo(nil))
	}
}

// Every way to vanish and return: the device is bad while it is away, and read again with the first try that begins after its return;
// that a try comes within the cap is held by the tests of the device's machine. Its neighbour notices nothing, and nothing is left behind.
func TestVanishAndReturn(t *testing.T) {
	vanishAndReturn(t, modbusSpecies(), disappearances())
}

// The same of S7 CPUs.
func TestVanishAndReturnS7(t *testing.T) { vanishAndReturn(t, s7Species(), s7Disappearances()) }

func vanishAndReturn(t *testing.T, of species, ways []disappearance) {
	for _, c := range ways {
		t.Run(c.name, func(t *testing.T) {
			s := &site{t: t, plc: of.start(t), sim: of.sim(t)}
			s.net = startNetwork(t, s.plc.address())
			victim := s.net.addr
			if c.name == blackHoleOfSim {
				victim = s.sim.Addr(2)
			}
			r := startRig(t, t.TempDir(), of.config(t.TempDir(), victim, s.sim.Addr(1)), rigOptions{})
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

// config reads the victim soon and often, and its neighbour at leisure.
func (of species) config(dir, victim, neighbour string) string {
	return configText(dir) + fmt.Sprintf(`
templates:
  t:
    profile: {base: lan, floor: 150ms, ceiling: 300ms, failures: 2, cap: 250ms}
    groups: {g: {interval: 50ms, tags: {%s}}}
devices:
  - {id: victim, template: t, address: %q}
  - {id: neighbour, template: t, address: %q, groups: {g: {interval: 100ms}}, profile: {floor: 1s, ceiling: 2s, cap: 5s}}
sinks:
  - {id: files, type: file, dir: %q}
`, of.tags, fmt.Sprintf(of.url, victim), fmt.Sprintf(of.url, neighbour), dir)
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
	from := s.plc.requests()
	until(s.t, "the PLC is asked", func() bool { return s.plc.requests() >= from+n })
}

// boot lets the PLC answer "busy" a few times, and then values.
func (s *site) boot() {
	s.t.Helper()
	s.asked(3)
	s.plc.well()
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
