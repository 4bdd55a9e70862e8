package device

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseAddr(t *testing.T) {
	ports := map[string]int{"modbus": 502, "modbus+tls": 802, "modbus+rtu": 0}
	for _, c := range []struct {
		in   string
		want Addr
		err  string
	}{
		{in: "modbus://10.0.0.5", want: Addr{Scheme: "modbus", Host: "10.0.0.5:502"}},
		{in: "modbus://10.0.0.5:1502/3", want: Addr{Scheme: "modbus", Host: "10.0.0.5:1502", Path: "3"}},
		{in: "MODBUS+tls://plc.example/1/", want: Addr{Scheme: "modbus+tls", Host: "plc.example:802", Path: "1"}},
		{in: "modbus://[fe80::1]/1?order=cdab&window=4", want: Addr{Scheme: "modbus", Host: "[fe80::1]:502", Path: "1",
			Options: map[string]string{"order": "cdab", "window": "4"}}},
		{in: "modbus://PLC.Example./1", want: Addr{Scheme: "modbus", Host: "plc.example.:502", Path: "1"}},
		{in: "modbus://[FE80:0:0::01%25eth0]:0502/1", want: Addr{Scheme: "modbus", Host: "[fe80::1%eth0]:502", Path: "1"}},
		{in: "modbus://me:secret@h:x/1", err: "invalid port"},
		{in: "modbus+rtu://10.0.0.5/1", err: "the port is missing"},
		{in: "modbus:///1", err: "the host is missing"},
		{in: "modbus://:502/1", err: "the host is missing"},
		{in: "modbus://h:0/1", err: "port 0 is not 1 to 65535"},
		{in: "modbus://h:70000/1", err: "port 70000 is not 1 to 65535"},
		{in: "modbus://h:x/1", err: "invalid port"},
		{in: "10.0.0.5:502", err: "first path segment"},
		{in: "plc/1", err: "it must begin with one of modbus://, modbus+rtu://, modbus+tls://"},
		{in: "localhost:502", err: "it must begin with one of"},
		{in: "s7://h", err: `unknown scheme "s7", known are modbus://`},
		{in: "modbus://me:secret@h", err: "names and passwords"},
		{in: "modbus://h/1#x", err: "nothing may follow a #"},
		{in: "modbus://h/1?a=1&a=2", err: "option a is there 2 times"},
		{in: "modbus://h/1?a=%zz", err: "invalid URL escape"},
	} {
		got, err := ParseAddr(c.in, ports)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.in, err, c.err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: the error shows the password: %v", c.in, err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v; want %+v", c.in, got, err, c.want)
		}
	}
}
