package opcua

import (
	"runtime"
	"testing"
)

// A gateway has thousands of clients, and a server of sessions: what the two ends of one occupy on the heap when nothing is going on is bounded. Stacks, and what the kernel has, are not in it.
func TestAnIdleClientIsSmall(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	const clients = 40
	for name, test := range map[string]struct {
		cfg  Config
		most int64
	}{
		"None":           {Config{}, 11_500},
		"SignAndEncrypt": {Config{Identity: testIdentity(t, "client"), AnyServer: true, Policy: "Basic256Sha256"}, 19_500},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveUA(t, secured(t))
			enter := func(n int) {
				for range n {
					c, err := Dial(t.Context(), s.url(), test.cfg)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(c.Detach)
				}
			}
			enter(1) // what the first one needs, the others share
			before := heapBytes()
			enter(clients)
			each := (heapBytes() - before) / clients
			t.Logf("%d bytes", each)
			if each > test.most {
				t.Errorf("a client and its session occupy %d bytes, at most %d", each, test.most)
			}
		})
	}
}

// heapBytes returns what is on the heap. Pools let go of what they have with the second collection.
func heapBytes() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
