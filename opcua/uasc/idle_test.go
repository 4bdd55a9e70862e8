package uasc

import (
	"runtime"
	"testing"
)

// A server holds thousands of channels: what one occupies when nothing is going on is bounded.
func TestAnIdleChannelIsSmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const channels = 40
	for _, test := range []struct {
		security Security
		most     int64
	}{{allSecurity[0], 700}, {allSecurity[1], 4000}, {allSecurity[2], 5000}, {allSecurity[8], 5000}} {
		p := newPair(t, pairConfig{security: test.security})
		p.client.state = agreed
		opn, err := p.client.AppendOpen(nil, 1, false, 0, p.now)
		if err != nil {
			t.Fatal(err)
		}
		held := make([]*Channel, 0, channels)
		before := heap()
		for range channels {
			c := p.server.server.NewChannel(1, "")
			c.state, c.limits.ReceiveChunk = agreed, 1<<16
			if _, _, err := c.AcceptOpen(nil, p.one(c, append([]byte(nil), opn...)), p.now); err != nil {
				t.Fatal(err)
			}
			held = append(held, c)
		}
		each := (heap() - before) / channels
		t.Logf("%v: %d bytes", test.security, each)
		if each > test.most {
			t.Errorf("%v: a channel occupies %d bytes, at most %d", test.security, each, test.most)
		}
		runtime.KeepAlive(held)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
