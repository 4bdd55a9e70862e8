package resilience

import (
	"container/heap"
	"math/rand/v2"
	"testing"
	"time"
)

// storm is 10,000 clients that lost their server at the same time, until all of them have it again.
type storm struct {
	rate     AIMD
	rand     *rand.Rand
	capacity float64       // handshakes that the server does a second, one after the other
	away     time.Duration // before it is back, dials time out
	patience time.Duration // of a client
	events   stormEvents

	now, free, slot time.Duration // free: when the server has done what it has; slot: of the bucket
	waiting         []int
	backoffs        []Backoff
	served, wasted  int
	allBack         time.Duration
}

type stormEvent struct {
	at     time.Duration
	began  time.Duration
	client int
	kind   uint8 // 0 asks for a turn, 1 the turn has come, 2 timed out, 3 served
}

type stormEvents []stormEvent

func (h stormEvents) Len() int           { return len(h) }
func (h stormEvents) Less(i, j int) bool { return h[i].at < h[j].at }
func (h stormEvents) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *stormEvents) Push(x any)        { *h = append(*h, x.(stormEvent)) }
func (h *stormEvents) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

func (s *storm) run(clients int) {
	s.backoffs = make([]Backoff, clients)
	for c := range s.backoffs {
		s.backoffs[c] = NewBackoff(LAN())
		heap.Push(&s.events, stormEvent{client: c})
	}
	for s.served < clients && s.now < time.Hour {
		e := heap.Pop(&s.events).(stormEvent)
		s.now = e.at
		s.step(e)
	}
	s.allBack = s.now - s.away
}

func (s *storm) step(e stormEvent) {
	at := time.Unix(0, 0).Add(s.now)
	switch e.kind {
	case 0:
		if s.waiting = append(s.waiting, e.client); len(s.waiting) == 1 {
			heap.Push(&s.events, stormEvent{at: max(s.now, s.slot), kind: 1})
		}
	case 1:
		c := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.slot = s.now + time.Duration(float64(time.Second)/s.rate.Rate())
		if len(s.waiting) > 0 {
			heap.Push(&s.events, stormEvent{at: s.slot, kind: 1})
		}
		s.dial(c)
	case 2:
		s.rate.TimedOut(time.Unix(0, 0).Add(e.began), at)
		heap.Push(&s.events, stormEvent{at: s.now + s.backoffs[e.client].Next(s.rand), client: e.client})
	case 3:
		s.served++
		s.rate.OK(time.Unix(0, 0).Add(e.began), at, s.now-e.began > s.patience/4)
	}
}

// dial sends a handshake. The server does it even when nobody waits for it any more.
func (s *storm) dial(c int) {
	if s.now < s.away {
		heap.Push(&s.events, stormEvent{at: s.now + s.patience, began: s.now, client: c, kind: 2})
		return
	}
	s.free = max(s.free, s.now) + time.Duration(float64(time.Second)/s.capacity)
	if s.free-s.now > s.patience {
		s.wasted++
		heap.Push(&s.events, stormEvent{at: s.now + s.patience, began: s.now, client: c, kind: 2})
		return
	}
	heap.Push(&s.events, stormEvent{at: s.free, began: s.now, client: c, kind: 3})
}

// The shared bucket brings everybody back about as soon as the server allows, and wastes little of what it does. Its figures are printed; with 500 handshakes a second and a
// bucket of 400 a second the reference is 26 s.
func TestStorm(t *testing.T) {
	const clients = 10_000
	for _, c := range []struct {
		capacity float64
		away     time.Duration
		within   time.Duration
	}{
		{500, 0, 26 * time.Second}, {500, time.Minute, 30 * time.Second}, {200, time.Minute, 80 * time.Second}, {100, time.Minute, 160 * time.Second}, {50, time.Minute, 300 * time.Second},
	} {
		const seed = 5
		s := storm{rate: NewAIMD(400), rand: rand.New(rand.NewPCG(seed, 0)), capacity: c.capacity, away: c.away, patience: 2 * time.Second}
		s.run(clients)
		t.Logf("%d clients, %v/s, away %v: all back %v after it is, %d handshakes wasted, rate halved %d times", clients, c.capacity, c.away, s.allBack, s.wasted, s.rate.Cuts())
		if s.served != clients || s.wasted > clients/10 || s.allBack > c.within {
			t.Errorf("seed %d: %d back in %v, %d wasted", seed, s.served, s.allBack, s.wasted)
		}
	}
}
