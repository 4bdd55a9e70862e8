package inflight

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// Each request is charged with the time since the one before it was answered, however many are on their way at once; a refusal is charged with nothing.
func TestServedIsWhatEachRequestAdded(t *testing.T) {
	for _, window := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			var requests, bytes int
			var took time.Duration
			cfg := toyConfig()
			cfg.Window = window
			cfg.Hooks.Served = func(n, b int, d time.Duration) { requests, bytes, took = requests+n, bytes+b, took+d }
			c := newToy(t, cfg, func(far net.Conn) {
				frames(far, func(frame []byte) bool {
					time.Sleep(10 * time.Millisecond) // one after the other
					_, err := far.Write(frame)
					return err == nil
				})
			})
			asked := []byte{1, 2, 3, toyRefusal, 5, 6}
			if _, err := asking(t, c, asked...); err != nil {
				t.Fatal(err)
			}
			if requests != 5 || bytes != 5*2*toyBytes || took != 50*time.Millisecond {
				t.Errorf("window %d: %d requests of %d bytes took %v, want 5 of 50 and 50ms", window, requests, bytes, took)
			}
		})
	}
}
