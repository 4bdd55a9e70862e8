package heal

import (
	"net/netip"
	"testing"
)

func TestRegionOf(t *testing.T) {
	regions := Regions{Label: "line", Named: []RegionSpec{
		{Name: "hall-a", Subnets: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}},
		{Name: "ovens", Devices: []string{"oven-*"}},
		{Name: "north", Labels: map[string]string{"site": "north", "kind": "pump"}},
	}}
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
		if got := regions.Of(c.device, c.address, nil); got != c.want {
			t.Errorf("%s at %s is in %s, want %s", c.device, c.address, got, c.want)
		}
	}
}

func TestRegionByLabels(t *testing.T) {
	regions := Regions{Label: "line", Named: []RegionSpec{
		{Name: "ovens", Devices: []string{"oven-*"}},
		{Name: "north", Labels: map[string]string{"site": "north", "kind": "pump"}},
		{Name: "nothing"},
	}}
	for _, c := range []struct {
		device string
		labels map[string]string
		want   string
	}{
		{"pump-1", map[string]string{"site": "north", "kind": "pump", "line": "7"}, "north"},
		{"oven-1", map[string]string{"site": "north", "kind": "pump"}, "ovens"},
		{"press-1", map[string]string{"site": "north", "line": "7"}, "7"},
		{"press-1", map[string]string{"site": "north"}, "10.2.7.0/24"},
		{"press-1", map[string]string{"line": ""}, "10.2.7.0/24"},
		{"press-1", nil, "10.2.7.0/24"},
	} {
		if got := regions.Of(c.device, "modbus://10.2.7.9:502/1", c.labels); got != c.want {
			t.Errorf("%s with %v is in %s, want %s", c.device, c.labels, got, c.want)
		}
	}
	none := Regions{}
	if got := none.Of("d", "s7://plc.example:102", map[string]string{"": "x"}); got != Elsewhere {
		t.Errorf("without regions by label it is in %s", got)
	}
}
