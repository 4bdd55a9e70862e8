package device

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// heldPerDevice bounds the live heap of a device with ten tags that is read, with the fakes that stand for its driver, its session and its PLC, without its specification: bytes, a tenth more than there are.
const heldPerDevice = 11_000

func TestMemoryOfADevice(t *testing.T) {
	if raced {
		t.Skip("the race detector has memory of its own for all of it")
	}
	const devices = 500
	synctest.Test(t, func(t *testing.T) {
		r := newBench(t, Config{DialRate: -1})
		r.book.forgetful = true
		rt, err := New(Config{Drivers: r.cfg.Drivers, Output: r.book, Ledger: r.book, DialRate: -1})
		if err != nil {
			t.Fatal(err)
		}
		specs := make([]Spec, devices)
		for i := range specs {
			specs[i] = r.spec(uint32(i+1), time.Second, 10)
			specs[i].FillDefaults()
			r.plc(uint32(i + 1))
		}
		before := liveHeap()
		if _, err := rt.Apply(specs); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- rt.Run(ctx) }()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		held := (liveHeap() - before) / devices
		t.Logf("%d bytes a device", held)
		if held > heldPerDevice || held < heldPerDevice/2 {
			t.Errorf("a device holds %d bytes, not about %d: keep what was made smaller, or say what it is worth", held, heldPerDevice)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		runtime.KeepAlive(specs)
	})
}

// liveHeap returns the bytes that are in use; what pools hold is gone after two collections.
func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
