package ua

import "testing"

// doubles returns a ReadResponse of n Doubles with a source time.
func doubles(n int) *ReadResponse {
	m := &ReadResponse{ResponseHeader: ResponseHeader{Timestamp: 133e15, RequestHandle: 7}, Results: make([]DataValue, n)}
	for i := range m.Results {
		m.Results[i] = DataValue{Value: Double(float64(i) * 1.5), SourceTimestamp: 133e15 + DateTime(i), Has: HasValue | HasSourceTimestamp}
	}
	return m
}

func BenchmarkEncodeReadResponse(b *testing.B) {
	m := doubles(1000)
	buf := m.AppendTo(nil)
	b.ReportAllocs()
	for b.Loop() {
		buf = m.AppendTo(buf[:0])
	}
}

func BenchmarkDecodeReadResponse(b *testing.B) {
	in := doubles(1000).AppendTo(nil)
	b.ReportAllocs()
	for b.Loop() {
		d := NewDecoder(in, Limits{})
		var m ReadResponse
		m.DecodeFrom(&d)
		if d.Done() != nil || len(m.Results) != 1000 {
			b.Fatal("bad")
		}
	}
}

func BenchmarkDecodeReadResponseIntoRoom(b *testing.B) {
	in := doubles(1000).AppendTo(nil)
	b.ReportAllocs()
	var m ReadResponse
	for b.Loop() {
		d := NewDecoder(in, Limits{})
		d.Reuse = true
		m.DecodeFrom(&d)
		if d.Done() != nil || len(m.Results) != 1000 {
			b.Fatal("bad")
		}
	}
}

func BenchmarkWalkReadResponse(b *testing.B) {
	in := doubles(1000).AppendTo(nil)
	b.ReportAllocs()
	for b.Loop() {
		d := NewDecoder(in, Limits{})
		var h ResponseHeader
		h.DecodeFrom(&d)
		var w ReadResponseWalk
		var v DataValue
		n := 0
		for w.Start(&d); w.Next(&d, &v); {
			n++
		}
		w.End(&d)
		if d.Done() != nil || n != 1000 {
			b.Fatal("bad")
		}
	}
}
