package journal

import (
	"math"
	"sync"
	"testing"

	"millrace/internal/tag"
)

// cycle is one poll of 1,000 Float32.
func cycle() *tag.Batch {
	b := &tag.Batch{Device: 1, Received: testStart.UnixNano()}
	for i := range 1000 {
		b.Append(tag.ID(i+1), b.Received, tag.Good, tag.Float32, uint64(math.Float32bits(float32(i))))
	}
	return b
}

// report gives the figures of what j wrote since before.
func report(b *testing.B, before, after Stats) {
	values, batches := float64(after.Rows-before.Rows), float64(after.Batches-before.Batches)
	b.ReportMetric(values/b.Elapsed().Seconds(), "values/s")
	b.ReportMetric(float64(after.BytesWritten-before.BytesWritten)/values, "B/value")
	b.ReportMetric(float64(after.Syncs-before.Syncs)/batches, "syncs/batch")
}

// BenchmarkAppend has n callers that each wait until their batch of 1,000 is synced.
func BenchmarkAppend(b *testing.B) {
	for name, callers := range map[string]int{"1 caller": 1, "8 callers": 8, "64 callers": 64} {
		b.Run(name, func(b *testing.B) {
			j := started(b, Config{Dir: b.TempDir(), FlushEvery: -1, MaxBytes: 8 * defaultSegmentBytes})
			warm(b, j)
			before := j.Stats()
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for c := range callers {
				wg.Go(func() {
					in := cycle()
					for range share(b.N, callers, c) {
						if _, err := j.Append(b.Context(), in); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			report(b, before, j.Stats())
		})
	}
}

func share(n, of, i int) int { return (n + of - 1 - i) / of }

// BenchmarkOffer hands over batches of 1,000 as fast as the disk takes them, which decides how many share a sync.
func BenchmarkOffer(b *testing.B) {
	j := started(b, Config{Dir: b.TempDir(), MaxBytes: 8 * defaultSegmentBytes})
	warm(b, j)
	before := j.Stats()
	in := cycle()
	b.ReportAllocs()
	for b.Loop() {
		for !j.Offer(in, nil) {
			<-j.queue.roomy()
		}
	}
	if _, err := j.Append(b.Context(), in); err != nil {
		b.Fatal(err)
	}
	report(b, before, j.Stats())
}

// warm waits until the first commit is through.
func warm(b *testing.B, j *Journal) {
	if _, err := j.Append(b.Context(), cycle()); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkRead(b *testing.B) {
	j := started(b, Config{Dir: b.TempDir(), MaxAge: 1 << 62})
	in := cycle()
	for range 2000 {
		if !j.Offer(in, nil) {
			b.Fatal("refused")
		}
	}
	warm(b, j)
	r := j.NewReader(0)
	defer func() { _ = r.Close() }()
	b.ReportAllocs()
	for b.Loop() {
		if r.Offset() >= 2_000_000 {
			_ = r.Close()
			r.next = 0
		}
		if _, err := r.Next(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "values/s")
}
