package device

import (
	"testing"
	"time"
)

func newThousands(b *testing.B) *bench {
	r := newBench(b, Config{})
	var specs []Spec
	for i := range uint32(10_000) {
		specs = append(specs, r.spec(i+1, time.Second, 10))
	}
	r.apply(specs...)
	return r
}

// What a page that is looked at asks for four times a second, while all is well.
func BenchmarkAltered10000(b *testing.B) {
	r := newThousands(b)
	number, _ := r.Altered(0, nil, func(int, *Status) {})
	b.ReportAllocs()
	for b.Loop() {
		r.Altered(number, func(int) bool { return false }, func(int, *Status) { b.Fatal("one has changed") })
	}
}

// What healing rules and the list of devices of the API ask for.
func BenchmarkDevices10000(b *testing.B) {
	r := newThousands(b)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for range r.Runtime.Devices() {
			n++
		}
		if n != 10_000 {
			b.Fatal("some are missing")
		}
	}
}
