package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much garbage may lie beside what is in use before it is collected. As much again, as Go has it, would double the memory of ten thousand devices for garbage that
// hardly comes: polling makes none. A small heap keeps room, or a busy sink would have the collector run all the time.
const (
	garbageShare = 25       // percent of what is in use, at least
	garbageRoom  = 48 << 20 // bytes, at least, as long as that is not more than what is in use
	usualGarbage = 100      // percent: Go's own

	heapLook = 5 * time.Second
)

// garbagePercent returns the room for garbage beside so many bytes in use, in percent of them.
func garbagePercent(live uint64) int {
	if live <= garbageRoom {
		return usualGarbage
	}
	return max(garbageShare, int(100*garbageRoom/live))
}

// keepHeap sets the collector's pace by what was in use when it ran last, until ctx ends. Whoever sets GOGC knows better.
func keepHeap(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	defer debug.SetGCPercent(usualGarbage)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(heapLook)
	defer tick.Stop()
	for now := usualGarbage; ; {
		metrics.Read(live)
		if next := garbagePercent(live[0].Value.Uint64()); next < now*9/10 || next > now*11/10 { // each change stops the world for a moment
			now = next
			debug.SetGCPercent(now)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
