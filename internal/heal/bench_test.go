package heal

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkStep10000 looks at 10,000 devices with the shipped rules, none of which has anything to do.
func BenchmarkStep10000(b *testing.B) { benchmarkStep(b, 0, Shipped()...) }

// BenchmarkStepDue10000 looks at 10,000 devices for all of which a rule is due that has its hands full.
func BenchmarkStepDue10000(b *testing.B) {
	benchmarkStep(b, 0.1, Rule{Name: "slow", When: "device.loss > 0.05", Do: []Action{{Type: Stretch, Factor: 2}}, Verify: "false", Within: time.Hour,
		Limit: Limit{MinHealthy: -1, Percent: 0.01}})
}

func benchmarkStep(b *testing.B, loss float64, rules ...Rule) {
	e, devices := benchEngine(b, rules...), benchDevices(10_000, loss)
	b.ReportAllocs()
	for b.Loop() {
		e.Step(&World{Now: time.Unix(0, 0), Devices: devices}, nil)
	}
}

func benchEngine(b *testing.B, rules ...Rule) *Engine {
	c, err := NewCompiler()
	if err != nil {
		b.Fatal(err)
	}
	e := NewEngine(c, 0)
	var all []*Policy
	for _, r := range rules {
		p, errs := c.Compile(r)
		if errs != nil {
			b.Fatal(errs)
		}
		all = append(all, p)
	}
	e.SetPolicies(all)
	return e
}

func benchDevices(n int, loss float64) []Device {
	devices := make([]Device, n)
	for i := range devices {
		devices[i] = Device{Name: fmt.Sprintf("d%05d", i), Region: fmt.Sprintf("10.0.%d.0/24", i/250), Up: true, RTT: time.Millisecond, Loss: loss}
	}
	return devices
}

// BenchmarkStepRegions10000 looks at 10,000 devices in 40 regions, for all of which a rule is due that has its hands full.
func BenchmarkStepRegions10000(b *testing.B) {
	benchmarkStep(b, 0.1, Rule{Name: "slow", Each: EachRegion, When: "region.loss > 0.05", Do: []Action{{Type: Stretch, Factor: 2}}, Verify: "false", Within: time.Hour,
		Limit: Limit{MinHealthy: -1, Percent: 0.01}})
}

// BenchmarkStepAllDue10000 begins a run for each of 10,000 devices.
func BenchmarkStepAllDue10000(b *testing.B) {
	devices := benchDevices(10_000, 0.1)
	for b.Loop() {
		e := benchEngine(b, Rule{Name: "slow", When: "device.loss > 0.05", Do: []Action{{Type: Stretch, Factor: 2}}, Verify: "false", Within: time.Hour,
			Limit: Limit{Devices: len(devices), Percent: 100, MinHealthy: -1, PerHour: len(devices)}})
		if out := e.Step(&World{Now: time.Unix(0, 0), Devices: devices}, nil); len(out.Do) != len(devices) {
			b.Fatal(len(out.Do))
		}
	}
}
