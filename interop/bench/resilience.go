package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"millrace/internal/resilience"
)

// benchResilience measures what all rules about trouble cost a poll that goes well: its turn in the bucket, its timeout, its round trip in the estimator and in the watch for
// jitter, breaker and ladder.
func benchResilience(_ context.Context, w io.Writer, set settings) error {
	const title = "Resilience on the poll path: bucket, timeout, jitter rule, breaker, ladder"
	fmt.Fprintf(w, "\n%s\n%s\n", title, strings.Repeat("-", len(title)))
	const polls = 2_000_000
	fmt.Fprintf(w, "%10s %12s\n", "ns/poll", "allocations, of all polls")
	pollPath(polls / 10) // what the process allocates for itself while it starts is none of theirs
	for range set.rounds {
		took, allocs := pollPath(polls)
		fmt.Fprintf(w, "%10.0f %12d\n", float64(took)/polls, allocs)
	}
	fmt.Fprintf(w, "target: <= 600 ns, 0 allocations; known: 1.3-2.2 us, 26 allocations\n")
	fmt.Fprintf(w, "bytes a device: timeout %d, jitter %d, breaker %d, ladder %d, back-off %d\n", unsafe.Sizeof(resilience.RTO{}), unsafe.Sizeof(resilience.Jitter{}),
		unsafe.Sizeof(resilience.Breaker{}), unsafe.Sizeof(resilience.Ladder{}), unsafe.Sizeof(resilience.Backoff{}))
	return nil
}

// pollPath does what n polls do, and returns how much processor time that took and how often memory was asked for.
func pollPath(n int) (took time.Duration, allocs uint64) {
	p := resilience.LAN()
	rto, breaker, ladder, bucket := resilience.NewRTO(p.Floor, p.Ceiling), resilience.NewBreaker(p), resilience.NewLadder(p), resilience.NewBucket(1e9, 1)
	var jitter resilience.Jitter
	var before, after runtime.MemStats
	now := time.Now()
	runtime.ReadMemStats(&before)
	began := ownCPU()
	for i := range n {
		now = now.Add(time.Millisecond)
		at := bucket.Reserve(now, 1)
		rtt := rto.Timeout()/100 + time.Duration(i%64)*time.Microsecond
		rto.Sample(rtt, false)
		jitter.Replied(rtt)
		rto.Quick(jitter.On())
		breaker.OK(at, rtt >= p.Ceiling, false)
		ladder.Whole(at, true)
	}
	took = ownCPU() - began
	runtime.ReadMemStats(&after)
	return took, after.Mallocs - before.Mallocs
}
