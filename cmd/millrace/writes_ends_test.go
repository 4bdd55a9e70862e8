//go:build unix

package main

import (
	"fmt"
	"strings"
	"testing"

	"millrace/internal/listen/listentest"
	"millrace/internal/sim"
	"millrace/internal/tag"
	writing "millrace/internal/write"
)

// endsConfig has two devices with a tag that is written at once, and one for which the newest value is wished.
func endsConfig(dir string, address [2]string, tags [2]string) string {
	var b strings.Builder
	b.WriteString(configText(dir) + "devices:\n")
	for i, name := range [...]string{"press", "deaf"} {
		fmt.Fprintf(&b, "  - id: %s\n    address: %q\n", name, address[i])
		if strings.HasPrefix(address[i], "opc.tcp") {
			b.WriteString("    options: {security: none}\n")
		}
		fmt.Fprintf(&b, "    groups: {g: {interval: 100ms, tags: {set: %q, slider: %q}}}\n", tags[0]+" rw write=once", tags[1]+" rw write=slider")
	}
	return b.String() + "write:\n  rules:\n    once: {per_minute: 0, within: 200ms}\n    slider: {per_minute: 0, within: 200ms, mode: desired}\n"
}

// A device that takes a value and keeps another one is told apart from one that has it, whether the value is written at once or wished for. Of values that are wished for the newest is what the
// device has in the end, and what was overtaken was never sent.
func TestEndsOfWritesToSimulators(t *testing.T) {
	for name, c := range map[string]struct {
		make  func(f []sim.Fault) (counted, error)
		proto sim.Protocol
		url   string // with the device's host and port
		tags  [2]string
	}{
		"modbus": {func(f []sim.Fault) (counted, error) {
			return sim.NewModbus(sim.ModbusConfig{Listen: "127.0.0.1:0", Devices: 2, Faults: f})
		}, sim.ProtocolModbus, "modbus://%s/1", [2]string{"holding:10:int16", "holding:20:int16"}},
		"s7": {func(f []sim.Fault) (counted, error) {
			return sim.NewS7(sim.S7Config{Listen: "127.0.0.1:0", Devices: 2, Faults: f})
		}, sim.ProtocolS7, "s7://%s/0/1", [2]string{"MW10:INT", "MW20:INT"}},
		"opcua": {func(f []sim.Fault) (counted, error) {
			return sim.NewOPCUA(sim.OPCUAConfig{Listen: "127.0.0.1:0", Devices: 2, Nodes: 1, Faults: f})
		}, sim.ProtocolOPCUA, "opc.tcp://%s", [2]string{"nsu=" + sim.OPCUANamespace + ";s=rw.Int16", "nsu=" + sim.OPCUANamespace + ";s=rw.Int32"}},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := c.make(simFault(t, c.proto, "ignore_write:devices=2"))
			if err != nil {
				t.Fatal(err)
			}
			listentest.Run(t, m)
			dir, at := t.TempDir(), m.(interface{ Addr(int) string }).Addr
			r := startRig(t, dir, endsConfig(dir, [2]string{fmt.Sprintf(c.url, at(1)), fmt.Sprintf(c.url, at(2))}, c.tags), rigOptions{})
			r.reads("press", 1)
			r.reads("deaf", 1)
			until(t, "all values are known", func() bool {
				return r.value("press/slider") != "" && r.value("deaf/set") != "" && r.value("deaf/slider") != ""
			})
			put := func(name string, n int) writing.Outcome {
				return r.writes.Submit(t.Context(), writing.Order{Tag: name, Value: tag.Value{Kind: tag.Int64, Bits: uint64(n)}, Caller: writing.Caller{User: "test", Role: writing.RoleWrite, Via: "api"}})
			}
			for _, name := range [...]string{"set", "slider"} {
				if out := put("press/"+name, 77); out.End != writing.Confirmed || out.Read.String() != "77" {
					t.Errorf("%s: %s, %q, it has %v", name, out.End, out.Reason, out.Read)
				}
				if c.proto == sim.ProtocolOPCUA {
					until(t, "the other server has it too", func() bool { return r.value("deaf/"+name) == "77" })
				}
				was := r.value("deaf/" + name)
				out := put("deaf/"+name, 78)
				if out.End != writing.Differs || out.Read.String() != was || out.Old.String() != was || out.Reason != "the device took it, and has "+was {
					t.Errorf("%s: %s, %q, it had %v and has %v, want %s", name, out.End, out.Reason, out.Old, out.Read, was)
				}
			}
			if out := put("press/set", 70_000); out.End != writing.Refused || out.Cause != writing.OutOfRange {
				t.Errorf("70000 into 16 bits: %s, %q", out.End, out.Reason)
			}
			r.sliders(put)
			r.stop()
		})
	}
}

// sliders moves a slider as fast as can be.
func (r *rig) sliders(put func(name string, n int) writing.Outcome) {
	const moves = 20
	outs := make(chan writing.Outcome, moves)
	for i := range moves {
		go func() { outs <- put("press/slider", 100+i) }()
	}
	confirmed := map[string]bool{}
	for range moves {
		switch out := <-outs; {
		case out.End == writing.Confirmed:
			confirmed[out.Read.String()] = true
		case out.End != writing.Refused || out.Cause != writing.Overtaken || !strings.Contains(out.Reason, "newer value"):
			r.t.Errorf("%s, %q", out.End, out.Reason)
		}
	}
	if is := r.value("press/slider"); !confirmed[is] {
		r.t.Errorf("in the end it is %s, and confirmed are %v", is, confirmed)
	}
}
