//go:build unix

package main

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/journal/vfs"
	"millrace/internal/listen/listentest"
	"millrace/internal/sim"
	"millrace/internal/tag"
	writing "millrace/internal/write"
	"millrace/internal/write/audit"
)

// faultyConfig has one device that is soon given up, with an array of writable tags.
func faultyConfig(dir, address, tagAddress string) string {
	text := configText(dir) + fmt.Sprintf(`devices:
  - id: press
    address: %q
    profile: {floor: 60ms, ceiling: 250ms, failures: 4, cap: 200ms}
    groups:
      g:
        interval: 100ms
        tags:
`, address)
	for i := range 4 {
		text += fmt.Sprintf("          t%d: %q\n", i, fmt.Sprintf(tagAddress, 2*i)+" rw write=fast")
	}
	return text + "write:\n  rules:\n    fast: {per_minute: 0, within: 100ms, expire: 2s}\n"
}

// counted is a simulator that counts what it was given.
type counted interface {
	sim.Simulator
	DeviceStats(n int) sim.DeviceStats
}

// Between a gateway and its devices answers are lost, late and doubled, and connections break. Nothing that left is sent again: what the device executed is what was confirmed, and as much of the
// rest as may have happened.
func TestNoDoubleWriteUnderFaults(t *testing.T) {
	for name, c := range map[string]struct {
		faults []string
		make   func(faults []sim.Fault) (counted, error)
		proto  sim.Protocol
		url    string // with the device's host and port
		tag    string
	}{
		"modbus": {[]string{"silence:p=0.08", "rst:p=0.05", "cut:p=0.05", "late:150ms,p=0.05", "duplicate:p=0.05"},
			func(f []sim.Fault) (counted, error) {
				return sim.NewModbus(sim.ModbusConfig{Listen: "127.0.0.1:0", Faults: f, Seed: 7})
			}, sim.ProtocolModbus, "modbus://%s/1", "holding:%d:int16"},
		"s7": {[]string{"silence:p=0.08", "rst:p=0.05", "cut:p=0.05", "late:150ms,p=0.05", "duplicate:p=0.05"},
			func(f []sim.Fault) (counted, error) {
				return sim.NewS7(sim.S7Config{Listen: "127.0.0.1:0", Faults: f, Seed: 7})
			}, sim.ProtocolS7, "s7://%s/0/1", "MW%d:INT"},
	} {
		t.Run(name, func(t *testing.T) {
			var faults []sim.Fault
			for _, f := range c.faults {
				faults = append(faults, simFault(t, c.proto, f)...)
			}
			m, err := c.make(faults)
			if err != nil {
				t.Fatal(err)
			}
			listentest.Run(t, m)
			dir := t.TempDir()
			r := startRig(t, dir, faultyConfig(dir, fmt.Sprintf(c.url, m.(interface{ Addr(int) string }).Addr(1)), c.tag), rigOptions{})
			r.reads("press", 1)
			ends := map[writing.End]int{}
			for i := range 60 {
				out := r.writes.Submit(t.Context(), writing.Order{Tag: fmt.Sprintf("press/t%d", i%4), Value: tag.Value{Kind: tag.Int64, Bits: uint64(i + 1)},
					Caller: writing.Caller{User: "test", Role: writing.RoleWrite, Via: "api"}})
				ends[out.End]++
				if out.End == writing.Refused {
					until(t, "the device is back", func() bool { s, _ := r.runtime.Device("press"); return s.State.String() == "ready" })
				}
			}
			executed := int(m.DeviceStats(1).Writes)
			least, most := ends[writing.Confirmed]+ends[writing.Differs], ends[writing.Confirmed]+ends[writing.Differs]+ends[writing.Unknown]
			t.Logf("%v, %d executed", ends, executed)
			if executed < least || executed > most || ends[writing.Confirmed] < 10 || ends[writing.Unknown] == 0 {
				t.Errorf("%d were executed; the ends were %v", executed, ends)
			}
			r.stop()
			report, err := audit.Verify(vfs.OS{}, filepath.Join(dir, "data", auditFolder), nil)
			if err != nil || len(report.Found) > 0 {
				t.Errorf("%+v, %v", report, err)
			}
		})
	}
}

// An OPC UA tag that comes by subscription is written and read back at once, and its subscription goes on. Its type is the server's to say.
func TestWritesBesideASubscription(t *testing.T) {
	dir := t.TempDir()
	text := configText(dir) + fmt.Sprintf(`devices:
  - id: tank
    address: %q
    options: {security: none}
    groups: {g: {interval: 2s, tags: {level: "ns=1;s=level rw write=level", set: '"nsu=urn:plant;s=""DB 1"".""set""" rw', gated: '"nsu=urn:plant;s=""DB 1"".""set""" rw write=gated'}}}
write: {rules: {level: {max: 50}, gated: {interlock: 'tag("./level") < 50.0', max_age: 500ms, per_minute: 0}}}
`, opcuaPlant(t))
	r := startRig(t, dir, text, rigOptions{})
	r.reads("tank", 1)
	put := func(name string, v tag.Value) writing.Outcome {
		return r.writes.Submit(t.Context(), writing.Order{Tag: "tank/" + name, Value: v, Caller: writing.Caller{User: "test", Role: writing.RoleWrite, Via: "api"}})
	}
	until(t, "the level is known", func() bool { return r.value("tank/level") == "1.5" })
	for i := range 5 {
		want := fmt.Sprint(10 + i)
		if out := put("level", tag.Value{Kind: tag.Int64, Bits: uint64(10 + i)}); out.End != writing.Confirmed || out.Read.String() != want || r.value("tank/level") != want {
			t.Errorf("%+v, the tag has %s", out, r.value("tank/level"))
		}
	}
	if out := put("set", tag.Float64Value(1.5)); out.End == writing.Confirmed {
		t.Errorf("%+v", out)
	}
	if out := put("set", tag.Value{Kind: tag.Int64, Bits: 9}); out.End != writing.Confirmed || out.Read.Kind != tag.Int16 {
		t.Errorf("%+v", out)
	}
	if out := put("level", tag.Float64Value(51)); out.End != writing.Refused || out.Cause != writing.OutOfRange {
		t.Errorf("%+v", out)
	}
	until(t, "the level has not changed for longer than the interlock believes it", func() bool {
		w, _ := r.writes.Target("tank/level")
		return time.Since(time.Unix(0, r.runtime.Last([]tag.ID{w.Spec.ID}, nil)[0].Received)) > 500*time.Millisecond
	})
	until(t, "it is read anew for the interlock", func() bool {
		return put("gated", tag.Value{Kind: tag.Int64, Bits: 7}).End == writing.Confirmed
	})
	r.reads("tank", 2) // what the server had sent before does not come behind it
	if v := r.value("tank/level"); v != "14" {
		t.Errorf("then the level is %s", v)
	}
	if s, _ := r.runtime.Device("tank"); s.State != device.Ready || s.Outages != 0 {
		t.Errorf("%v, %d outages", s.State, s.Outages)
	}
}

// value returns the last value of a tag, "" while it is not good.
func (r *rig) value(name string) string {
	w, ok := r.writes.Target(name)
	if !ok {
		r.t.Fatalf("%s is not writable", name)
	}
	l := r.runtime.Last([]tag.ID{w.Spec.ID}, nil)[0]
	if !l.Quality.IsGood() {
		return ""
	}
	return l.Value.String()
}
