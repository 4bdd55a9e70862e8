package device

import (
	"testing"
	"time"
)

// What a page that is looked at asks for four times a second.
func BenchmarkDevices10000(b *testing.B) {
	r := newBench(b, Config{})
	var specs []Spec
	for i := range uint32(10_000) {
		specs = append(specs, r.spec(i+1, time.Second, 10))
	}
	r.apply(specs...)
	b.ReportAllocs()
	for b.Loop() {
		if len(r.Devices()) != 10_000 {
			b.Fatal("some are missing")
		}
	}
}
