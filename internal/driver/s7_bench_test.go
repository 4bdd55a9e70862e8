package driver

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"millrace/internal/device"
	"millrace/internal/tag"
)

// BenchmarkS7Decode turns the bytes of 1,000 REAL into rows.
func BenchmarkS7Decode(b *testing.B) {
	addresses := make([]string, 1000)
	for i := range addresses {
		addresses[i] = fmt.Sprintf("DB1.DBD%d:REAL", 4*i)
	}
	p := mustS7Plan(b, testS7Addr, device.Limits{PDU: 960}, addresses...)
	memory := make([]byte, p.bytes)
	var batch tag.Batch
	d := s7Decoder{into: &batch}
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		for i := range p.ranges {
			d.cells(p.ranges[i].cells, memory)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/value")
}

// BenchmarkS7Compile plans 1,000 tags, neighbours and scattered ones.
func BenchmarkS7Compile(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	near, far := make([]string, 1000), make([]string, 1000)
	for i := range near {
		near[i] = fmt.Sprintf("DB1.DBD%d:REAL", 6*i)
		far[i] = fmt.Sprintf("DB%d.DBD%d:REAL", 1+r.IntN(20), r.IntN(60000))
	}
	for name, addresses := range map[string][]string{"near": near, "scattered": far} {
		tags := specs(addresses...)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := (S7{}).Compile(testS7Addr, tags, device.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
