package heal

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// manyDevices is a World of n devices, of which three lose requests.
func manyDevices(n int) *World {
	w := &World{Now: time.Unix(1000, 0), Devices: make([]Device, n)}
	for i := range w.Devices {
		w.Devices[i] = Device{Name: fmt.Sprintf("d%05d", i), Region: fmt.Sprintf("10.0.%d.0/24", i/250), Up: true, RTT: time.Millisecond}
		w.Devices[i].Stretch = 1
		if i%(n/3) == 1 {
			w.Devices[i].Loss = 0.1
		}
	}
	return w
}

// TestWalksAreBounded holds how many devices a condition may look at that walks over all of them, for each of them or once.
func TestWalksAreBounded(t *testing.T) {
	c, err := NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		each   Each
		when   string
		visits int // in a look at 3000 devices, those that would be one too many included
		fires  int
		fault  string
	}{
		{EachDevice, `devices.exists(d, d.loss > 0.05 && d.name != device.name)`, maxVisits + 2000, 0, "d00333: it walks over 3000 devices again and again"},
		{EachDevice, `devices.exists(d, d.loss > 0.9 && d.region == device.region) && device.loss > 0.05`, 3 * 3000, 0, ""},
		{EachDevice, `device.loss > 0.05 && devices.exists(d, d.loss == 0.0 && d.region == device.region)`, 3 * 3000, 3, ""},
		{EachDevice, `devices.exists(d, d.loss > 0.05)`, 0, 3000, ""}, // is the same for all
		{EachDevice, `device.loss > 0.05 && devices.size() > 5 && 1 / device.outages > 1 && devices.exists(d, d.loss > 0.05)`, 0, 0, "division by zero"},
		{EachDevice, `1 / device.outages > 1 && devices.exists(d, d.loss > 0.9)`, 0, 0, ""}, // as && has it: false, whatever the other is
		{EachRegion, `devices.exists(d, d.loss > 0.05 && d.region == region.name)`, 12 * 3000, 3, ""},
		{EachNode, `devices.exists(d, d.loss > 0.05)`, 0, 1, ""},
	} {
		p, errs := c.Compile(Rule{Name: "r", Each: x.each, When: x.when, Do: []Action{{Type: Notify}}, Limit: Limit{MinHealthy: -1}})
		if errs != nil {
			t.Fatal(errs)
		}
		e, w := NewEngine(c, 0), manyDevices(3000)
		e.SetPolicies([]*Policy{p})
		w.index()
		s, a := e.rules[0], ask(p, w)
		for _, sc := range e.scopes(p, w) {
			if _, err := a.holds(sc); a.visits > maxVisits != (err != nil && strings.Contains(err.Error(), "walks over")) {
				t.Errorf("%s: %d, %v", x.when, a.visits, err)
			}
			if a.visits > maxVisits {
				break
			}
		}
		if fires := e.firing(s, w); a.visits != x.visits || len(fires) != x.fires || !strings.Contains(s.fault, x.fault) || x.fault == "" && s.fault != "" {
			t.Errorf("%s: looks at %d, fires for %d, %q", x.when, a.visits, len(fires), s.fault)
		}
	}
}
