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

// BenchmarkStructure reads a structure by its definition; BenchmarkGenerated a like one by the code that was generated for it.
func BenchmarkStructure(b *testing.B) {
	x := plant()
	s := point(x, 1, 2)
	o, err := x.Wrap(&s)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.Object(o, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGenerated(b *testing.B) {
	o := Wrap(&Range{Low: 1, High: 2})
	b.ReportAllocs()
	for b.Loop() {
		var r Range
		if err := o.Decode(&r, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendMonitoredItems(b *testing.B) {
	m := DataChangeNotification{MonitoredItems: make([]MonitoredItemNotification, 1000)}
	for i := range m.MonitoredItems {
		m.MonitoredItems[i] = MonitoredItemNotification{uint32(i), DataValue{Value: Double(1.5), SourceTimestamp: 133e15, ServerTimestamp: 133e15}}
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = m.AppendTo(buf[:0])
	}
}
