package web

import (
	"fmt"
	"testing"
	"time"
)

// manyDevices is a Source of devices that are all well, whose round trips move all the time.
type manyDevices struct {
	Source
	devices []Device
	round   int
}

func newManyDevices(n int) *manyDevices {
	m := &manyDevices{}
	for i := range n {
		m.devices = append(m.devices, Device{ID: fmt.Sprintf("press-%05d", i), Protocol: "modbus", Endpoint: fmt.Sprintf("modbus://10.%d.%d.%d:502/1", i>>16, i>>8&255, i&255),
			State: StateReady, Since: time.Unix(1000, 0), Groups: []Group{{Name: "all", Interval: time.Second, Tags: 10, Requests: 1}}})
	}
	return m
}

func (m *manyDevices) DeviceChanges(since uint64, also func(int) bool, visit func(int, *Device)) (uint64, bool) {
	m.round++
	for i := range m.devices {
		if since == 0 || also(i) {
			d := m.devices[i]
			d.RTT = time.Duration(1000+m.round%1000) * time.Microsecond
			visit(i, &d)
		}
	}
	return 1, since == 0
}

func (m *manyDevices) Ledger() Ledger  { return Ledger{} }
func (m *manyDevices) Sinks() []Sink   { return nil }
func (m *manyDevices) Alarms() []Alarm { return nil }

// One second of an open page with ten thousand devices: four looks, a summary, and the figures of those whose turn it is.
func BenchmarkPageSecond10000(b *testing.B) {
	f, now := newFeed(newManyDevices(10_000)), time.Unix(2000, 0)
	view := func(states map[string]int) gatewayView { return gatewayView{Devices: states} }
	buf, at := f.appendDevices(nil, 0, now)
	buf, sum := f.appendSummary(buf[:0], time.Time{}, now, view)
	bytes := 0
	b.ReportAllocs()
	for b.Loop() {
		for range 4 {
			now = now.Add(feedEvery)
			buf, at = f.appendDevices(buf[:0], at, now)
			buf, sum = f.appendSummary(buf, sum, now, view)
			bytes += len(buf)
		}
	}
	b.ReportMetric(float64(bytes)/float64(b.N)/1000, "kB/s")
	b.ReportMetric(100*b.Elapsed().Seconds()/float64(b.N), "%core")
}
