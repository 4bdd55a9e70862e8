package opcua

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Random lives of a machine against what can be said of each of them without a state.
func TestSubMachine(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for life := range 2000 {
		alive := r.Uint32N(5) + 1
		m := newSubMachine(alive, 3*alive+r.Uint32N(5), r.IntN(4) > 0)
		m.next = math.MaxUint32 - r.Uint32N(3)
		silent, idle := uint32(0), uint32(0) // cycles since the client did something, and since it was told something while a Publish waited all the time
		do := func(a subAction) {
			if a == subNotify {
				if n := m.sentData(r.IntN(2) == 0); n == 0 {
					t.Fatalf("seed %d life %d: a message has number 0", seed, life)
				}
			}
			if a == subNotify || a == subSayAlive {
				silent, idle = 0, 0
			}
		}
		for m.state != subClosed {
			ready := r.IntN(3) == 0
			switch r.IntN(6) {
			case 0:
				m.touch()
				silent = 0
				do(m.publish(ready))
			case 1:
				m.enable(r.IntN(2) == 0)
				silent = 0
			default:
				queued := r.IntN(3) == 0
				if idle++; !queued {
					idle = 0
				}
				silent++
				was := m
				a := m.tick(ready, queued)
				if (a == subLifeEnded) != (silent == m.lifetimeCount) {
					t.Fatalf("seed %d life %d: %v after %d silent cycles of %d: %+v", seed, life, a, silent, m.lifetimeCount, was)
				}
				if (a == subNotify || a == subSayAlive) && !queued || a == subNotify && !(ready && m.enabled) {
					t.Fatalf("seed %d life %d: %v with ready %v, queued %v: %+v", seed, life, a, ready, queued, was)
				}
				do(a)
				if idle > alive && m.state != subLate && m.state != subClosed {
					t.Fatalf("seed %d life %d: silent for %d cycles with a Publish, and not late: %+v", seed, life, idle, m)
				}
			}
		}
		if m.tick(true, true) != subWait || m.publish(true) != subWait {
			t.Fatalf("seed %d life %d: goes on after its end", seed, life)
		}
	}
}
