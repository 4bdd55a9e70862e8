package opcua

import (
	"runtime"
	"testing"
)

// flatness is how many goroutines there are and how large the heap is before a flood.
type flatness struct {
	goroutines int
	heap       uint64
}

func serverFlatness() flatness {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return flatness{runtime.NumGoroutine(), m.HeapAlloc}
}

// check wants no goroutine more than there were, and no more than slack bytes.
func (f flatness) check(t *testing.T, slack uint64) {
	t.Helper()
	if now := serverFlatness(); now.goroutines > f.goroutines || now.heap > f.heap+slack {
		t.Errorf("%d goroutines and %d bytes before, %d and %d after", f.goroutines, f.heap, now.goroutines, now.heap)
	}
}
