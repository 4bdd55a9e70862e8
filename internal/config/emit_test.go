package config

import (
	"testing"
)

// Whatever a device calls its nodes, what is written down is read back as it was.
func TestWhatIsEmittedIsRead(t *testing.T) {
	addresses := []string{"ns=2;s=Tank", "ns=2;s=Main Tank", `ns=3;s="DB 1"."x"[3]`, `ns=3;s="a""b"`, "ns=2;s={x}", "ns=2;s=${env:HOME}", "ns=2;s=a${b}c", "nsu=http://x/?a=b;s=ü: #, 'x'", `ns=2;s=\n`, "ns=2;s=yes", "/Objects/2:a b",
		"ns=2;s=tab\tin"}
	d := EmitDevice{ID: "Server 7/a", Address: "opc.tcp://127.0.0.1:4840/x", Options: map[string]string{"mode": "poll", "session": "hall {7}"}}
	for i, a := range addresses {
		d.Tags = append(d.Tags, EmitTag{Name: []string{"a/b", "a b", "", "/x/", "yes", "5"}[i%6], Address: a, Writable: i%2 == 0})
	}
	c := mustLoad(t, string(Emit(d)))
	got := c.Devices[0]
	if got.Name != "Server_7_a" || got.Addr.Options["session"] != "hall {7}" || got.Addr.String() != d.Address || len(got.Groups[0].Tags) != len(addresses) {
		t.Errorf("%s", Emit(d))
	}
	if len(c.Sinks) != 1 {
		t.Errorf("%d sinks: the gateway would keep values for nobody", len(c.Sinks))
	}
	for i, tag := range got.Groups[0].Tags {
		if tag.Address != addresses[i] || tag.Writable != (i%2 == 0) {
			t.Errorf("%s is %q (rw %v), not %q", tag.Name, tag.Address, tag.Writable, addresses[i])
		}
	}
}
