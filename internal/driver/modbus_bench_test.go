package driver

import (
	"fmt"
	"testing"

	"millrace/internal/device"
	"millrace/internal/tag"
)

// BenchmarkDecode turns the replies to 1,000 float32 into rows.
func BenchmarkDecode(b *testing.B) {
	addresses := make([]string, 1000)
	for i := range addresses {
		addresses[i] = fmt.Sprintf("holding:%d:float32", 2*i)
	}
	compiled, err := Modbus{}.Compile(testAddr, specs(addresses...), device.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	p, m := compiled.(*modbusPlan), &memory{}
	replies := make([][]byte, len(p.reqs))
	for i, r := range p.reqs {
		replies[i] = m.reply(r.area, int(r.from), int(r.count))
	}
	var batch tag.Batch
	d, a := decoder{into: &batch}, assembly{}
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		a.reset(p)
		for i := range p.reqs {
			d.cells(p, &a, p.reqs[i].area, p.reqs[i].cells, replies[i], 0)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/value")
}

// BenchmarkCompile plans 1,000 tags.
func BenchmarkCompile(b *testing.B) {
	addresses := make([]string, 1000)
	for i := range addresses {
		addresses[i] = fmt.Sprintf("holding:%d:float32", 3*i)
	}
	tags := specs(addresses...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (Modbus{}).Compile(testAddr, tags, device.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
