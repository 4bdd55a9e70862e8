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
	garbageRoom  = 8 << 20          // bytes, at least: what comes all at once
	usualGarbage = 100              // percent, at most: Go's own
	startGarbage = 10               // percent, while a configuration is loaded and connections are made: what stays lies among what does not, and the holes stay, too
	startLooks   = 60               // that the start takes

	heapLook   = time.Second
	heapMemory = 8  // looks over which the rate is smoothed: that of a start, a reload or an outage is soon forgotten
	heapIdle   = 10 // looks between two times at which what lies idle is given back
)

// garbagePercent returns the room for garbage beside so many bytes in use, in percent of them, when so many bytes are allocated a second.
func garbagePercent(live, perSecond uint64) int {
	room := max(garbageRoom, perSecond*uint64(garbageTime/time.Second))
	if live <= room {
		return usualGarbage
	}
	return int(100 * room / live)
}

// heapKeeper sets the collector's pace by what is in use and how fast garbage comes.
type heapKeeper struct {
	samples [3]metrics.Sample // in use at the last collection, allocated so far, free and not given back
	percent int
	made    uint64
	rate    uint64 // bytes a second
	looks   int    // since what lay idle was given back
	starts  int    // looks that the start still takes
}

// sparingHeap sets the collector's pace for the start.
func sparingHeap() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(startGarbage)
	}
}

func newHeapKeeper() *heapKeeper {
	k := &heapKeeper{percent: startGarbage, starts: startLooks}
	debug.SetGCPercent(k.percent)
	for i, name := range []string{"/gc/heap/live:bytes", "/gc/heap/allocs:bytes", "/memory/classes/heap/free:bytes"} {
		k.samples[i].Name = name
	}
	metrics.Read(k.samples[:])
	k.made = k.samples[1].Value.Uint64()
	return k
}

// look is called each heapLook.
func (k *heapKeeper) look() {
	metrics.Read(k.samples[:])
	live, made, free := k.samples[0].Value.Uint64(), k.samples[1].Value.Uint64(), k.samples[2].Value.Uint64()
	k.rate = (k.rate*(heapMemory-1) + made - k.made) / heapMemory
	k.made = made
	next := garbagePercent(live, k.rate)
	if k.starts > 0 {
		k.starts--
		next = min(next, max(startGarbage, garbagePercent(live, 0)))
	}
	if next < k.percent*8/10 || next > k.percent*12/10 { // each change stops the world for a moment
		k.percent = next
		debug.SetGCPercent(next)
	}
	if k.looks++; k.looks >= heapIdle && free > max(garbageRoom, k.rate*uint64(garbageTime/time.Second))*3/2 {
		k.looks = 0
		debug.FreeOSMemory() // what a start, a reload or an outage took for a while
	}
}

// keepHeap keeps the heap small until ctx ends. What the start has left behind goes at once. Whoever sets GOGC knows better.
func keepHeap(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	defer debug.SetGCPercent(usualGarbage)
	debug.FreeOSMemory()
	tick := time.NewTicker(heapLook)
	defer tick.Stop()
	for k := newHeapKeeper(); ; k.look() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
