package sim

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseFault(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"silence:p=0.01", "silence:p=0.01"},
		{"silence,p=0.01", "silence:p=0.01"},
		{"silence", "silence"},
		{"latency:200ms,devices=3-5", "latency:200ms,devices=3-5"},
		{"latency:200ms,devices=3-5+9", "latency:200ms,devices=3-5+9-9"},
		{"refuse:after=10s,for=5s", "refuse:after=10s,for=5s"},
		{"jitter:1m0s", "jitter:1m0s"},
		{"late:2s,every=10", "late:2s,every=10"},
		{"exception", "exception:4"},
		{"exception:6,p=0.5", "exception:6,p=0.5"},
		{"slots:2", "slots:2"},
		{"trickle:10ms", "trickle:10ms"},
		{"unmapped:holding/100-199", "unmapped:holding/100-199"},
		{"unmapped:coil/7", "unmapped:coil/7-7"},
		{"cap:16", "cap:16"},
		{"serial", "serial:1"}, {"serial:2,p=0.5", "serial:2,p=0.5"},
		{"rst:after=1s,for=1s,period=10s", "rst:after=1s,for=1s,period=10s"},
		{"wrong_ref", "wrong_ref"}, {"refusal", "refusal:0x8104"}, {"refusal:0x8500,p=0.1", "refusal:0x8500,p=0.1"}, {"refusal:34048", "refusal:0x8500"},
		{"denied", "denied"}, {"denied:after=1s", "denied:after=1s"}, {"denied:DB1/8-11", "denied:db1/8-11"}, {"unmapped:db2", "unmapped:db2/0-65535"},
		{"unmapped:t/7", "unmapped:t/7-7"}, {"pdu-shrink", "pdu_shrink:240"}, {"pdu_shrink:480,every=2", "pdu_shrink:480,every=2"},
		{"stop:after=1s,for=2s", "stop:after=1s,for=2s"}, {"download", "download:4096"}, {"download:100,after=1s", "download:100,after=1s"}, {"max_items", "max_items:20"},
		{"ignore_write", "ignore_write"}, {"ignore-write:every=2", "ignore_write:every=2"},
		{"wrong_id", "wrong_id"}, {"wrong-id:p=0.5", "wrong_id:p=0.5"}, {"wrong_function", "wrong_function"}, {"cut", "cut"}, {"duplicate", "duplicate"},
	} {
		f, err := ParseFault(c.in)
		if err != nil || f.String() != c.want {
			t.Errorf("%q: %q, %v; want %q", c.in, f, err, c.want)
		}
		if again, err := ParseFault(f.String()); err != nil || again.String() != c.want {
			t.Errorf("%q: %v", f.String(), err)
		}
	}
}

func TestBadFaults(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "there are latency, jitter"},
		{"quiet", "is no fault"},
		{"latency", "needs a time"},
		{"latency:-1s", "no time above 0"},
		{"latency:fast", "no time above 0"},
		{"silence:1", "takes no argument"},
		{"silence:p=0", "not above 0"},
		{"silence:p=1.1", "not above 0"},
		{"silence:p=NaN", "not above 0"},
		{"silence:p=0.1,p=0.2", "twice"},
		{"silence:p=0.1,every=2", "exclude each other"},
		{"silence:p=0.1,x", "not KEY=VALUE"},
		{"silence:q=1", "there are p, every"},
		{"silence:devices=0", "no range from 1"},
		{"silence:devices=5-3", "no range from 1"},
		{"silence:period=5s", "shorter"},
		{"silence:period=5s,for=5s", "shorter"},
		{"slots:0", "number above 0"},
		{"slots", "number above 0"},
		{"serial:0", "number above 0"},
		{"slots:1,p=0.5", "neither p nor every"},
		{"exception:256", "no exception code"},
		{"unmapped:holding", "no range"},
		{"unmapped:regs/1-2", "needs an area"},
		{"unmapped:holding/1-65536", "no range"},
		{"denied:db9", "there are i, q, m"},
		{"refusal:0", "no error code"},
		{"refusal:0x10000", "no error code"},
		{"pdu_shrink:100", "outside 112 to 960"},
		{"download:16385", "1 to 16384"},
		{"max_items:256", "at most 255"},
		{"stop:p=0.5", "neither p nor every"},
	} {
		_, err := ParseFault(c.in)
		var fe *FaultError
		if !errors.As(err, &fe) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v; want %q", c.in, err, c.want)
		}
	}
}

// A fault of one protocol is refused by the other, with what there is in its place.
func TestFaultsOfProtocols(t *testing.T) {
	for _, c := range []struct {
		p        Protocol
		in, want string
	}{
		{ProtocolModbus, "wrong_ref", "wrong_ref is of S7 devices; those of Modbus have latency"},
		{ProtocolS7, "exception:4", "exception is of Modbus devices; those of S7 have latency"},
		{ProtocolS7, "unmapped:holding/1", "holding is an area of Modbus devices; those of S7 have i, q"},
		{ProtocolModbus, "unmapped:db1", "db1 is an area of S7 devices; those of Modbus have coil, discrete, holding, input"},
		{ProtocolModbus, "nothing", "cap, serial"},
		{ProtocolS7, "silence", ""},
		{ProtocolS7, "unmapped:db1", ""},
	} {
		_, err := c.p.ParseFault(c.in)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v %q: %v; want %q", c.p, c.in, err, c.want)
		}
		f, err := ParseFault(c.in)
		if err != nil {
			continue
		}
		if _, err := NewS7(S7Config{Faults: []Fault{f}}); (err == nil) != (f.fits(ProtocolS7) == nil) {
			t.Errorf("NewS7 with %q: %v", c.in, err)
		}
	}
}

func TestSchedule(t *testing.T) {
	f, err := ParseFault("silence:after=10s,for=2s,period=5s")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at   time.Duration
		want bool
	}{{0, false}, {9 * time.Second, false}, {10 * time.Second, true}, {12 * time.Second, false}, {15 * time.Second, true}, {17 * time.Second, false}} {
		if f.active(c.at) != c.want {
			t.Errorf("at %v: %v", c.at, !c.want)
		}
	}
}

func FuzzParseFault(f *testing.F) {
	for _, s := range []string{"silence:p=0.01", "latency:200ms,devices=3-5+9", "unmapped:coil/7-8", "rst:after=1s,for=1s,period=10s", "refusal:0x8500", "denied:db1/8", "stop"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseFault(s)
		if err != nil {
			return
		}
		if b, err := ParseFault(a.String()); err != nil || b.String() != a.String() {
			t.Fatalf("%q: %q, %v", s, a, err)
		}
	})
}

func FuzzParsePlant(f *testing.F) {
	f.Add("modbus:\n  - listen: 127.0.0.1:1502\n    devices: 5\n    by: port\n    faults: [silence:p=0.01]\n")
	f.Add("modbus: &a\n - devices: 1\n - *a")
	f.Add("s7:\n  - model: 1200\n    faults: [stop, pdu_shrink]\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePlant("p", []byte(text))
		if err != nil {
			return
		}
		for _, c := range p.Modbus {
			if _, _, err := c.withDefaults(); err != nil {
				t.Fatalf("%q was accepted: %v", text, err)
			}
		}
		for _, c := range p.S7 {
			if _, _, err := c.withDefaults(); err != nil {
				t.Fatalf("%q was accepted: %v", text, err)
			}
		}
	})
}
