package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"millrace/internal/config"
	"millrace/internal/device"
	"millrace/internal/listen/listentest"
	"millrace/internal/sim"
	"millrace/internal/web"
	"millrace/internal/why"
	"millrace/modbus"
	"millrace/s7"
)

// ward is a gateway with a device called victim that somebody is about to harm.
type ward struct {
	*rig
	dir string
}

// patientConfig has a victim at a URL, read often, and what follows it in the list of devices.
func patientConfig(dir, url, tags, more string) string {
	return configText(dir) + fmt.Sprintf(`
devices:
  - id: victim
    address: %q
    profile: {base: lan, floor: 150ms, ceiling: 400ms, failures: 2, cap: 300ms}
    groups: {g: {interval: 50ms, tags: {%s}}}
%s
sinks:
  - {id: files, type: file, dir: %q}
`, url, tags, more, filepath.Join(dir, "out"))
}

const modbusTags = "a: 'holding:100:uint16', b: 'holding:101:uint16', c: 'holding:300:uint16', d: 'holding:301:uint16'"

// watch starts a gateway with a victim at url.
func watch(t *testing.T, url, tags string, o rigOptions) *ward {
	t.Helper()
	dir := t.TempDir()
	return &ward{startRig(t, dir, patientConfig(dir, url, tags, ""), o), dir}
}

// explained waits until the first finding about name is cause, and one of its facts names what; it is right, then, by more than its name.
func (w *ward) explained(name, cause, what string) {
	w.t.Helper()
	var e why.Explanation
	if !comes(func() bool {
		var err error
		if e, err = w.Why(name); err != nil {
			w.t.Fatal(err)
		}
		return e.Findings[0].Cause == cause && strings.Contains(strings.Join(e.Findings[0].Evidence, "\n"), what)
	}) {
		var b bytes.Buffer
		_ = printWhy(&b, &e, true)
		w.t.Fatalf("want %s with %q, not\n%s", cause, what, &b)
	}
	if x := e.Findings[0]; x.Title == "" || len(x.Todo) == 0 {
		w.t.Errorf("%+v", x)
	}
}

// modbusPatient is a PLC behind a network of its own.
func modbusPatient(t *testing.T) (*plc, *network, string) {
	t.Helper()
	p := startPLC(t)
	n := startNetwork(t, p.addr)
	return p, n, "modbus://" + n.addr + "/1"
}

func s7Patient(t *testing.T) (*network, string) {
	t.Helper()
	n := startNetwork(t, startS7PLC(t).addr)
	return n, "s7://" + n.addr + "?slot=1"
}

const s7Tags = "a: DB1.DBW200, b: DB1.DBW202"

func simFault(t *testing.T, p sim.Protocol, text string) []sim.Fault {
	t.Helper()
	f, err := p.ParseFault(text)
	if err != nil {
		t.Fatal(err)
	}
	return []sim.Fault{f}
}

// mute takes what comes and says nothing.
func mute(c net.Conn) {
	b := make([]byte, 512)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

// wrongSlot is a CPU that has nothing behind the TSAP.
func wrongSlot(c net.Conn) {
	if _, err := c.Read(make([]byte, 512)); err == nil {
		_, _ = c.Write((&s7.Disconnect{Reason: s7.DisconnectAddressUnknown}).AppendTo(nil))
	}
}

// line is a gateway with units behind it, of which number 3 is not reached.
type line struct{ *plc }

func (l line) ReadRegisters(ctx context.Context, r *modbus.Request, dst []byte) modbus.ExceptionCode {
	if r.Unit == 3 {
		return modbus.GatewayTargetFailed
	}
	return l.plc.ReadRegisters(ctx, r, dst)
}

// startLine serves a line until the test ends, and returns where.
func startLine(t *testing.T) string {
	t.Helper()
	p := &plc{}
	p.hole.Store(1 << 16)
	srv, err := modbus.NewServer(modbus.ServerConfig{Handler: line{p}})
	if err != nil {
		t.Fatal(err)
	}
	return listentest.Serve(t, srv).Addr
}

// Every cause that can be brought about over sockets is found first.
func TestWhyOverSockets(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"all is well": func(t *testing.T) {
			p, _, url := modbusPatient(t)
			w := watch(t, url, modbusTags, rigOptions{})
			until(t, "it is asked", func() bool { return p.requests() > 5 })
			w.explained("victim", "well", "4 good values of 4")
			w.explained("victim/a", "well", "holding:100:uint16 is 100")
		},
		"no such name": func(t *testing.T) {
			w := watch(t, "modbus://no..such..name:502/1", modbusTags, rigOptions{})
			w.explained("victim", "name", "not found true")
		},
		"nothing listens": func(t *testing.T) {
			_, n, url := modbusPatient(t)
			w := watch(t, url, modbusTags, rigOptions{})
			w.reads("victim", 2)
			n.shut()
			n.cut(true)
			w.explained("victim", "port_closed", "ECONNREFUSED")
		},
		"a black hole": func(t *testing.T) {
			if runtime.GOOS != "linux" {
				t.Skip("needs a listener that drops")
			}
			p, n, url := modbusPatient(t)
			w := watch(t, url, modbusTags, rigOptions{})
			w.reads("victim", 2)
			s := &site{t: t, plc: p, net: n}
			deafen(s)
			defer s.end()
			w.explained("victim", "no_answer", "(SYN) had no answer")
		},
		"silence": func(t *testing.T) {
			_, n, url := modbusPatient(t)
			w := watch(t, url, modbusTags, rigOptions{})
			w.reads("victim", 2)
			n.freeze(true)
			w.explained("victim", "silent", "times without an answer so far")
		},
		"hangs up": func(t *testing.T) {
			_, n, url := modbusPatient(t)
			w := watch(t, url, modbusTags, rigOptions{})
			w.reads("victim", 2)
			n.answerBy(func(net.Conn) {})
			n.cut(false)
			w.explained("victim", "hangs_up", "by the other side")
		},
		"slots are taken": func(t *testing.T) {
			m := plant(t, sim.ModbusConfig{Faults: simFault(t, sim.ProtocolModbus, "slots:1")})
			c, err := modbus.Dial(t.Context(), m.Addr(1), modbus.Config{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			w := watch(t, "modbus://"+m.Addr(1)+"/1", modbusTags, rigOptions{})
			w.explained("victim", "hangs_up", "of the 1 connection that it may")
		},
		"no answer to the handshake": func(t *testing.T) {
			n, url := s7Patient(t)
			n.answerBy(mute)
			watch(t, url, s7Tags, rigOptions{}).explained("victim", "handshake_silent", "TSAP 02.01")
		},
		"wrong slot": func(t *testing.T) {
			n, url := s7Patient(t)
			n.answerBy(wrongSlot)
			watch(t, url, s7Tags, rigOptions{}).explained("victim", "handshake_refused", "reason 3")
		},
		"no connection resource": func(t *testing.T) {
			n, url := s7Patient(t)
			n.answerBy(occupied)
			watch(t, url, s7Tags, rigOptions{}).explained("victim", "sessions_full", "reason 129")
		},
		"PUT/GET is off": func(t *testing.T) {
			m := s7Plant(t, sim.S7Config{Faults: simFault(t, sim.ProtocolS7, "refusal:0x8104")})
			watch(t, "s7://"+m.Addr(1)+"?slot=1", "a: DB1.DBW200, b: DB1.DBW202", rigOptions{}).explained("victim", "access_denied", "0x8104")
		},
		"access is denied": func(t *testing.T) {
			m := s7Plant(t, sim.S7Config{Faults: simFault(t, sim.ProtocolS7, "denied:db1")})
			watch(t, "s7://"+m.Addr(1)+"?slot=1", "a: DB1.DBW200, b: DB1.DBW202", rigOptions{}).explained("victim", "access_denied", "return code 0x03")
		},
		"a DB that is not there": func(t *testing.T) {
			m := s7Plant(t, sim.S7Config{})
			w := watch(t, "s7://"+m.Addr(1)+"?slot=1", "a: DB999.DBW0, b: DB999.DBW2", rigOptions{})
			w.explained("victim", "group_refused", "0x0A")
			w.explained("victim/a", "tag_refused", "0x0A")
		},
		"CPU in STOP": func(t *testing.T) {
			m := s7Plant(t, sim.S7Config{Faults: simFault(t, sim.ProtocolS7, "stop:after=4s")})
			watch(t, "s7://"+m.Addr(1)+"?slot=1", "a: 'DB2.DBD0:REAL', b: 'DB2.DBD4:REAL'", rigOptions{}).explained("victim", "plc_stop", "and then no more")
		},
		"an address that is not there": func(t *testing.T) {
			m := plant(t, sim.ModbusConfig{Faults: simFault(t, sim.ProtocolModbus, "unmapped:holding/300-301")})
			w := watch(t, "modbus://"+m.Addr(1)+"/1", modbusTags, rigOptions{})
			w.explained("victim", "address_missing", "victim/c, victim/d")
			w.explained("victim/c", "tag_refused", "2 of the device's 4 tags")
			w.explained("victim/a", "address_missing", "exception 2")
		},
		"nothing of a group": func(t *testing.T) {
			m := plant(t, sim.ModbusConfig{Faults: simFault(t, sim.ProtocolModbus, "unmapped:holding/0-65535")})
			watch(t, "modbus://"+m.Addr(1)+"/1", modbusTags, rigOptions{}).explained("victim", "group_refused", "exception 2")
		},
		"a device that fails": func(t *testing.T) {
			m := plant(t, sim.ModbusConfig{Faults: simFault(t, sim.ProtocolModbus, "exception:4")})
			watch(t, "modbus://"+m.Addr(1)+"/1", modbusTags, rigOptions{}).explained("victim", "device_failure", "exception 4")
		},
		"a device that has become slow": func(t *testing.T) {
			m := plant(t, sim.ModbusConfig{Faults: simFault(t, sim.ProtocolModbus, "latency:250ms,after=3s")})
			watch(t, "modbus://"+m.Addr(1)+"/1", modbusTags, rigOptions{}).explained("victim", "slow_device", "usual were")
		},
		"connections that break": func(t *testing.T) {
			m := plant(t, sim.ModbusConfig{Faults: simFault(t, sim.ProtocolModbus, "rst:every=20")})
			watch(t, "modbus://"+m.Addr(1)+"/1", modbusTags, rigOptions{}).explained("victim", "drops", "connection reset")
		},
		"foreign answers": func(t *testing.T) {
			m := plant(t, sim.ModbusConfig{Faults: simFault(t, sim.ProtocolModbus, "wrong_id:every=7")})
			watch(t, "modbus://"+m.Addr(1)+"/1", modbusTags, rigOptions{}).explained("victim", "foreign_answers", "foreign answer")
		},
		"out of service": func(t *testing.T) {
			_, _, url := modbusPatient(t)
			w := watch(t, url, modbusTags, rigOptions{})
			if err := w.SetMaintenance(t.Context(), web.Maintenance{Device: "victim", On: true, Reason: "valve is changed"}); err != nil {
				t.Fatal(err)
			}
			w.explained("victim", "out_of_service", "valve is changed")
		},
		"a tag out of service": func(t *testing.T) {
			_, _, url := modbusPatient(t)
			w := watch(t, url, modbusTags, rigOptions{})
			if err := w.SetMaintenance(t.Context(), web.Maintenance{Tags: []string{"victim/b"}, On: true, Reason: "sensor is out"}); err != nil {
				t.Fatal(err)
			}
			w.explained("victim/b", "tag_out_of_service", "1 of the device's 4 tags")
			w.explained("victim/a", "well", "3 good values of 4")
		},
		"a deadband": func(t *testing.T) {
			m := plant(t, sim.ModbusConfig{})
			w := watch(t, "modbus://"+m.Addr(1)+"/1", "a: 'holding:60000:float32 deadband=1000000'", rigOptions{})
			w.explained("victim/a", "deadband", "passed on last")
		},
		"a limit of the user's own": func(t *testing.T) {
			_, _, url := modbusPatient(t)
			w := watch(t, url, modbusTags, rigOptions{tweak: func(c *config.Config) { c.Devices[0].RequestsPerSecond = 2 }})
			w.explained("victim", "limited", "polls missed")
		},
		"another configuration": func(t *testing.T) {
			_, _, url := modbusPatient(t)
			w := watch(t, url, modbusTags, rigOptions{})
			w.reads("victim", 2)
			w.gateway.started = w.gateway.started.Add(-60e9) // it has run for a while
			closed := startNetwork(t, "127.0.0.1:1")
			closed.shut()
			if _, err := w.Reload(t.Context(), loadText(t, w.dir, patientConfig(w.dir, "modbus://"+closed.addr+"/1", modbusTags, ""))); err != nil {
				t.Fatal(err)
			}
			w.explained("victim", "config_changed", closed.addr)
		},
		"asked for less at once": func(t *testing.T) {
			_, _, url := modbusPatient(t)
			w := watch(t, url, modbusTags, rigOptions{})
			w.reads("victim", 2)
			if err := w.runtime.Degrade("victim", true, "the line is noisy"); err != nil {
				t.Fatal(err)
			}
			w.explained("victim", "degraded", "level single")
		},
		"stretched by hand": func(t *testing.T) {
			_, _, url := modbusPatient(t)
			w := watch(t, url, modbusTags, rigOptions{})
			w.reads("victim", 2)
			if err := w.runtime.Stretch("victim", 4, "the line stands"); err != nil {
				t.Fatal(err)
			}
			w.explained("victim", "stretched", "every 200ms in place of 50ms")
		},
		"a configuration that was refused": func(t *testing.T) {
			_, _, url := modbusPatient(t)
			w := watch(t, url, modbusTags, rigOptions{})
			write(t, w.dir, "gateway.yaml", "gateway: {name: test, nonsense: 1}\n")
			w.explained("victim", "reload_refused", "nonsense")
		},
		"one unit of several": func(t *testing.T) {
			dir, addr := t.TempDir(), startLine(t)
			more := fmt.Sprintf("  - {id: sibling, address: \"modbus://%s/2\", groups: {g: {interval: 50ms, tags: {a: 'holding:1'}}}}\n", addr)
			w := &ward{startRig(t, dir, patientConfig(dir, "modbus://"+addr+"/3", modbusTags, more), rigOptions{}), dir}
			w.explained("victim", "unit_silent", "exception 11")
			w.explained("sibling", "well", "1 good value")
		},
		"a connection without time": func(t *testing.T) {
			m := plant(t, sim.ModbusConfig{Faults: simFault(t, sim.ProtocolModbus, "latency:120ms")})
			watch(t, "modbus://"+m.Addr(1)+"/1", modbusTags, rigOptions{}).explained("victim", "endpoint_overload", "victim, group g takes")
		},
		"requests without an answer": func(t *testing.T) {
			m := plant(t, sim.ModbusConfig{Faults: simFault(t, sim.ProtocolModbus, "silence:p=0.25")})
			watch(t, "modbus://"+m.Addr(1)+"/1", modbusTags, rigOptions{}).explained("victim", "unanswered", "of the last requests had no answer")
		},
		"a unit that its gateway does not reach": func(t *testing.T) {
			m := plant(t, sim.ModbusConfig{})
			watch(t, "modbus://"+m.Addr(1)+"/250", modbusTags, rigOptions{}).explained("victim", "unit_silent", "exception 10")
		},
		"another server": func(t *testing.T) {
			_, n, url := modbusPatient(t)
			n.answerBy(func(c net.Conn) {
				_, _ = c.Read(make([]byte, 100))
				_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))
			})
			watch(t, url, modbusTags, rigOptions{}).explained("victim", "wrong_protocol", "cannot frame")
		},
		"jitter": func(t *testing.T) {
			m := plant(t, sim.ModbusConfig{Faults: simFault(t, sim.ProtocolModbus, "jitter:140ms")})
			watch(t, "modbus://"+m.Addr(1)+"/1", modbusTags, rigOptions{tweak: func(c *config.Config) { c.Devices[0].Groups[0].Interval = 300e6 }}).explained("victim", "jitter", "deviation")
		},
		"part of a subnet": func(t *testing.T) {
			if runtime.GOOS != "linux" {
				t.Skip("needs 127.0.0.0/8")
			}
			dir := t.TempDir()
			m := plant(t, sim.ModbusConfig{Listen: "127.0.77.1:0", Devices: 4})
			more := ""
			for n := 2; n <= 4; n++ {
				more += fmt.Sprintf("  - {id: d%d, address: \"modbus://%s/1\", profile: {base: lan, floor: 150ms, ceiling: 400ms, failures: 2, cap: 300ms}, groups: {g: {interval: 50ms, tags: {a: 'holding:1'}}}}\n", n, m.Addr(n))
			}
			w := &ward{startRig(t, dir, patientConfig(dir, "modbus://"+m.Addr(1)+"/1", modbusTags, more), rigOptions{}), dir}
			for _, d := range []string{"victim", "d2", "d3", "d4"} {
				w.reads(d, 1)
			}
			for n := 1; n <= 3; n++ {
				if err := m.Stop(n, sim.BlackHole); err != nil {
					t.Fatal(err)
				}
			}
			w.explained("victim", "subnet_down", "d2, d3, victim")
		},
		"a certificate that nobody trusts": func(t *testing.T) {
			dir := t.TempDir()
			other := startRig(t, dir, serveConfig(t, dir, plant(t, sim.ModbusConfig{}), "d"), rigOptions{})
			w := watch(t, other.url("closed")+"?user=shift&password=pass%20word", "a: i=2258", rigOptions{})
			w.explained("victim", "certificate", "the server's certificate has the fingerprint")
		},
		"a sink that takes nothing": func(t *testing.T) {
			_, _, url := modbusPatient(t)
			dir := t.TempDir()
			w := &ward{startRig(t, dir, patientConfig(dir, url, modbusTags, "")+"  - {id: db, type: postgres, url: 'postgres://nobody@127.0.0.1:1/none', from: oldest}\n", rigOptions{}), dir}
			w.explained("victim", "sink_behind", "sink db: 4 values wait")
		},
		"another route": func(t *testing.T) {
			_, n, url := modbusPatient(t)
			_, _, other := modbusPatient(t)
			w := watch(t, url, modbusTags, rigOptions{tweak: func(c *config.Config) {
				_, a, err := dialectOf(other)
				if err != nil {
					t.Fatal(err)
				}
				c.Devices[0].Routes = []device.Route{{Addr: a, Name: "ring"}}
			}})
			w.reads("victim", 2)
			n.shut()
			n.cut(true)
			w.explained("victim", "route_switched", "failed")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// The command asks a running gateway, prints what explains most in full, and passes the API's own JSON on.
func TestWhyCommand(t *testing.T) {
	_, n, url := modbusPatient(t)
	dir := t.TempDir()
	text := strings.Replace(patientConfig(dir, url, modbusTags, ""), "listen: 'off'", "listen: '127.0.0.1:0'", 1)
	text = strings.Replace(text, "interval: 50ms", "interval: 300ms", 1)
	w := &ward{startRig(t, dir, text, rigOptions{}), dir}
	page := w.page()
	w.reads("victim", 2)
	var out string
	var code int
	if !comes(func() bool { // on a machine that is busy with other tests something may be the matter for a moment
		out, _, code = millrace(t, "why", "victim", "--server", page)
		return strings.Contains(out, "All is well with victim") && strings.Contains(out, "4 good values of 4")
	}) || code != exitOK {
		t.Errorf("%d: %s", code, out)
	}
	n.shut()
	n.cut(true)
	w.explained("victim", "port_closed", "ECONNREFUSED")
	out, _, code = millrace(t, "why", "victim/a", "--server", page, "--all")
	if code != exitOK || !strings.Contains(out, "nothing listens on port") || !strings.Contains(out, "layer: TCP; certain; since") || !strings.Contains(out, "What to do:\n  1. ") {
		t.Errorf("%d: %s", code, out)
	}
	out, _, code = millrace(t, "why", "victim", "--server", page, "--json")
	var e why.Explanation
	if err := json.Unmarshal([]byte(out), &e); err != nil || code != exitOK || e.Findings[0].Cause != "port_closed" || len(e.Faults) == 0 {
		t.Errorf("%d, %v: %s", code, err, out)
	}
	for name, near := range map[string]string{"nobody": "", "victim/nothing": "", "nobody/a": "", "victm": "did you mean victim?", "victim/aa": "did you mean victim/a?", "vctim/a": "did you mean victim/a?"} {
		if _, errs, code := millrace(t, "why", name, "--server", page); code != exitFailed || !strings.Contains(errs, name) || !strings.Contains(errs, near) || near == "" && strings.Contains(errs, "did you mean") {
			t.Errorf("%s: %d, %s", name, code, errs)
		}
	}
	if _, _, code := millrace(t, "why", "--server", page); code != exitUsage {
		t.Errorf("without a name: %d", code)
	}
}

// Without a gateway the command tries an address itself, and says how far it came.
func TestWhyURL(t *testing.T) {
	try := func(url string, want ...string) {
		t.Helper()
		var out, errs string
		var code int
		if !comes(func() bool { // what is slow for a moment on a busy machine is quick the next time
			out, errs, code = millrace(t, append([]string{"why", "--timeout", "500ms"}, strings.Fields(url)...)...)
			return code != exitOK || !slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(out, w) })
		}) || code != exitOK {
			t.Errorf("%s: %d, not all of %q\n%s%s", url, code, want, out, errs)
		}
	}
	p, n, url := modbusPatient(t)
	try(url, "ok    connect to "+n.addr, "ok    ask for holding:0:uint16", "1 values of 1", "All is well with modbus://")
	try(url+" holding:100:float32", "All is well", "read once")
	p.download(true)
	try(url+" holding:101 holding:102", "The device has no such address: 1 tag of 2", "exception 2")
	n.freeze(true)
	n.cut(true)
	try(url, "FAIL  ask for", "takes the connection and stays silent")
	n.shut()
	try(url, "FAIL  connect to", "nothing listens on port")
	try("modbus://no..such..name/1", "FAIL  resolve no..such..name", "does not resolve")
	m, s7url := s7Patient(t)
	try(s7url, "connected: PDU", "it answers, and refuses", "All is well")
	try(s7url+" DB1.DBW200 DB7.DBW0", "1 values of 2", "The device has no such address: 1 tag of 2", "return code 0x0A")
	m.answerBy(wrongSlot)
	try(s7url, "FAIL  connect to", "wrong rack, slot or TSAP", "reason 3")
	m.answerBy(mute)
	try(s7url, "does not answer the handshake")
	try(opcuaPlant(t), "ok    ask for i=2258", "All is well")
	out, _, code := millrace(t, "why", s7url, "--json", "--timeout", "500ms")
	var e trialJSON
	if err := json.Unmarshal([]byte(out), &e); err != nil || code != exitOK || len(e.Steps) != 1 || !e.Steps[0].Failed || e.Findings[0].Cause != "handshake_silent" {
		t.Errorf("%v: %s", err, out)
	}
	for _, args := range [][]string{{"why", "mudbus://127.0.0.1/1"}, {"why", url, "holdin:5"}, {"why", "press", "holding:5"}} {
		if _, errs, code := millrace(t, args...); code != exitUsage {
			t.Errorf("%v: %d, %s", args, code, errs)
		}
	}
}
