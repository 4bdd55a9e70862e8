package driver

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/resilience"
)

// deviceModel is a device whose requests take so long, and each byte of them both ways.
type deviceModel struct {
	name    string
	request time.Duration
	perByte time.Duration
}

func (m deviceModel) takes(p device.Plan) (cycle time.Duration) {
	for _, r := range p.Requests() {
		cycle += m.request + time.Duration(r.BytesOut+r.BytesIn)*m.perByte
	}
	return cycle
}

// learned returns what a request is worth after some cycles of p.
func (m deviceModel) learned(p device.Plan, prior int) int {
	var c resilience.Cost
	for range 50 {
		for _, r := range p.Requests() {
			n := r.BytesOut + r.BytesIn
			c.Sample(1, n, m.request+time.Duration(n)*m.perByte)
		}
	}
	return c.Worth(prior, 4, 4096)
}

// A plan made with what was measured takes no longer on any device than the one before it was known, and much less on some.
func TestPlansByWhatWasMeasured(t *testing.T) {
	const sets = 200
	seed := uint64(11)
	for _, m := range []deviceModel{
		{"serial line, 9600 baud", 8 * time.Millisecond, 1042 * time.Microsecond},
		{"serial line, 115200 baud", 8 * time.Millisecond, 87 * time.Microsecond},
		{"PLC with a cycle of 50 ms", 50 * time.Millisecond, 10 * time.Microsecond},
		{"LAN", time.Millisecond, 500 * time.Nanosecond},
	} {
		for _, d := range []struct {
			name    string
			driver  device.Driver
			prior   int
			addr    device.Addr
			address func(r *rand.Rand) string
		}{
			{"modbus", Modbus{}, Modbus{}.RequestWorth(), testAddr, func(r *rand.Rand) string { return fmt.Sprintf("holding:%d:float32", 2*r.IntN(1500)) }},
			{"s7", S7{}, S7{}.RequestWorth(), testS7Addr, func(r *rand.Rand) string { return fmt.Sprintf("DB1.DBD%d:REAL", 4*r.IntN(4000)) }},
		} {
			r := rand.New(rand.NewPCG(seed, 1))
			var before, after time.Duration
			for set := range sets {
				tags := make([]string, 20+r.IntN(60))
				for i := range tags {
					tags[i] = d.address(r)
				}
				plan := func(lim device.Limits) device.Plan {
					p, err := d.driver.Compile(d.addr, specs(tags...), lim)
					if err != nil {
						t.Fatal(err)
					}
					return p
				}
				first := plan(device.Limits{})
				next := plan(device.Limits{RequestWorth: m.learned(first, d.prior)})
				was, is := m.takes(first), m.takes(next)
				if is > was+was/50 {
					t.Errorf("%s, %s, set %d of seed %d: %v with what was measured, %v without", d.name, m.name, set, seed, is, was)
				}
				before, after = before+was, after+is
			}
			t.Logf("%-7s %-26s a cycle takes %v, by what was measured %v: %.2f", d.name, m.name, (before / sets).Round(time.Microsecond*10), (after / sets).Round(time.Microsecond*10), float64(after)/float64(before))
		}
	}
}
