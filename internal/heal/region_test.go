package heal

import (
	"net/netip"
	"testing"
)

func TestRegionOf(t *testing.T) {
	specs := []RegionSpec{
		{Name: "hall-a", Subnets: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}},
		{Name: "ovens", Devices: []string{"oven-*"}},
	}
	for _, c := range []struct{ device, address, want string }{
		{"press-1", "modbus://10.1.7.9:502/1", "hall-a"},
		{"oven-1", "s7://10.2.7.9:102", "ovens"},
		{"oven-2", "s7://10.1.7.9:102", "hall-a"},
		{"press-1", "modbus://10.2.7.9:502/1", "10.2.7.0/24"},
		{"press-1", "opc.tcp://[2001:db8:1:2::5]:4840", "2001:db8:1:2::/64"},
		{"press-1", "opc.tcp://plc.example:4840/path", Elsewhere},
		{"oven-3", "opc.tcp://plc.example:4840", "ovens"},
		{"x", "://", Elsewhere},
	} {
		if got := RegionOf(specs, c.device, c.address); got != c.want {
			t.Errorf("%s at %s is in %s, want %s", c.device, c.address, got, c.want)
		}
	}
}
