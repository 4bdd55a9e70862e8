package driver

import (
	"fmt"
	"testing"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/opcua/ua"
)

// BenchmarkOPCUADecode turns 1,000 values of type Double into rows, and hands them on through a queue.
func BenchmarkOPCUADecode(b *testing.B) {
	v := ua.DataValue{Value: ua.Double(1.5), SourceTimestamp: ua.DateTimeOfUnixNano(stamp)}
	var types opcuaTypes
	b.Run("poll", func(b *testing.B) {
		var batch tag.Batch
		b.ReportAllocs()
		for b.Loop() {
			batch.Reset()
			for i := range 1000 {
				types.append(&batch, tag.ID(i), &v, false)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/value")
	})
	b.Run("push", func(b *testing.B) {
		var q pushQueue[slip]
		var done []int
		var batch tag.Batch
		b.ReportAllocs()
		for b.Loop() {
			q.push(func(rows *tag.Batch) {
				for i := range 1000 {
					types.append(rows, tag.ID(i), &v, false)
				}
			}, slip{1, &done})
			batch.Reset()
			q.take(&batch)(nil)
			done = done[:0]
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/value")
	})
}

// BenchmarkOPCUACompile plans 1,000 tags.
func BenchmarkOPCUACompile(b *testing.B) {
	addresses := make([]string, 1000)
	for i := range addresses {
		addresses[i] = fmt.Sprintf("nsu=urn:vendor:plc;s=Hall.Line%d.Speed", i)
	}
	tags, a := specs(addresses...), addrOPCUA(b, "opc.tcp://h")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (OPCUA{}).Compile(a, tags, device.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
