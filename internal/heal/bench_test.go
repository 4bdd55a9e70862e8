package heal

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkStep10000 looks at 10,000 devices with the shipped rules, none of which has anything to do.
func BenchmarkStep10000(b *testing.B) {
	c, err := NewCompiler()
	if err != nil {
		b.Fatal(err)
	}
	e := NewEngine(c, 0)
	var all []*Policy
	for _, r := range Shipped() {
		p, errs := c.Compile(r)
		if errs != nil {
			b.Fatal(errs)
		}
		all = append(all, p)
	}
	e.SetPolicies(all)
	devices := make([]Device, 10_000)
	for i := range devices {
		devices[i] = Device{Name: fmt.Sprintf("d%05d", i), Region: fmt.Sprintf("10.0.%d.0/24", i/250), Up: true, RTT: time.Millisecond}
	}
	b.ReportAllocs()
	for b.Loop() {
		e.Step(&World{Now: time.Unix(0, 0), Devices: devices}, nil)
	}
}
