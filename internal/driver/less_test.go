package driver

import (
	"fmt"
	"testing"

	"millrace/internal/device"
	"millrace/internal/tag"
)

// However many tags there are, no request of a plan has more than MaxTags, and none is left out.
func TestPlansOfLessAtOnce(t *testing.T) {
	for _, c := range []struct {
		driver  device.Driver
		url     string
		address func(i int) string
	}{
		{Modbus{}, "modbus://127.0.0.1:502/1", func(i int) string { return fmt.Sprintf("holding:%d:float32", 10+2*i) }},
		{Modbus{}, "modbus+rtu://127.0.0.1:502/1", func(i int) string { return fmt.Sprintf("coil:%d", i) }},
		{S7{}, "s7://127.0.0.1?slot=1", func(i int) string { return fmt.Sprintf("DB1.DBD%d:REAL", 4*i) }},
		{OPCUA{}, "opc.tcp://127.0.0.1", func(i int) string { return fmt.Sprintf("ns=2;i=%d", i+1) }},
	} {
		ports := map[string]int{}
		for _, p := range []interface{ Ports() map[string]int }{Modbus{}, S7{}, OPCUA{}} {
			for scheme, port := range p.Ports() {
				ports[scheme] = port
			}
		}
		a, err := device.ParseAddr(c.url, ports)
		if err != nil {
			t.Fatal(err)
		}
		var tags []device.TagSpec
		for i := range 20 {
			tags = append(tags, device.TagSpec{ID: tag.ID(i + 1), Name: fmt.Sprint(i), Address: c.address(i)})
		}
		for _, most := range []int{0, 10, 3, 1} {
			plan, err := c.driver.Compile(a, tags, device.Limits{MaxTags: most})
			if err != nil {
				t.Fatal(err)
			}
			all := 0
			for _, r := range plan.Requests() {
				if all += r.Tags; most > 0 && r.Tags > most {
					t.Errorf("%s: a request of %d tags, want %d at most", c.url, r.Tags, most)
				}
			}
			if all != len(tags) || most == 0 && len(plan.Requests()) != 1 {
				t.Errorf("%s, at most %d: %d tags in %d requests", c.url, most, all, len(plan.Requests()))
			}
			if p, ok := plan.(*opcuaPlan); ok && p.polls() != (most > 0) {
				t.Errorf("at most %d: polls %v", most, p.polls())
			}
		}
	}
}
