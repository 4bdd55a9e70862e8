package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much garbage may lie beside what is in use before it is collected. As much again, as Go has it, would double the memory of ten thousand devices for garbage that
// hardly comes: polling makes none.
const (
	garbageTime  = 10 * time.Second // what is made in that time
	garbageRoom  = 16 << 20         // bytes, at least: what comes all at once
	usualGarbage = 100              // percent, at most: Go's own

	heapLook   = time.Second
	heapMemory = 30 // looks over which the rate is smoothed
)

// garbagePercent returns the room for garbage beside so many bytes in use, in percent of them, when so many bytes are allocated a second.
func garbagePercent(live, perSecond uint64) int {
	room := max(garbageRoom, perSecond*uint64(garbageTime/time.Second))
	if live <= room {
		return usualGarbage
	}
	return int(100 * room / live)
}

// keepHeap sets the collector's pace by what is in use and how fast garbage comes, until ctx ends. What the start has left behind goes at once. Whoever sets GOGC knows better.
func keepHeap(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	defer debug.SetGCPercent(usualGarbage)
	debug.FreeOSMemory()
	heap := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	tick := time.NewTicker(heapLook)
	defer tick.Stop()
	metrics.Read(heap)
	rate := uint64(0)
	for percent, was := usualGarbage, heap[1].Value.Uint64(); ; {
		metrics.Read(heap)
		live, made := heap[0].Value.Uint64(), heap[1].Value.Uint64()
		rate = (rate*(heapMemory-1) + made - was) / heapMemory
		if next := garbagePercent(live, rate); next < percent*8/10 || next > percent*12/10 { // each change stops the world for a moment
			percent = next
			debug.SetGCPercent(percent)
		}
		was = made
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
