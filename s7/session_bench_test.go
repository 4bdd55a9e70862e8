package s7

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millrace/internal/ring"
)

// BenchmarkEvents puts events from 1, 8 and 64 connections at once to three subscribers: through the workers' rings, and through one queue with a
// mutex. One iteration is one event. p99-put is how long a connection is held up by it.
func BenchmarkEvents(b *testing.B) {
	for _, producers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("producers=%d/rings", producers), func(b *testing.B) { benchEvents(b, producers, newRings()) })
		b.Run(fmt.Sprintf("producers=%d/mutex", producers), func(b *testing.B) { benchEvents(b, producers, newMutexQueue()) })
	}
}

const (
	benchSubscribers = 3
	benchRoom        = defaultEventRoom
)

// eventQueue is what is compared.
type eventQueue interface {
	put(producer int, e SessionEvent) bool
	// take returns when there are events for the subscriber, or none will come any more.
	take(subscriber int, batch []SessionEvent) int
	close()
}

func benchEvents(b *testing.B, producers int, q eventQueue) {
	var taken [benchSubscribers]int
	var subscribers, all sync.WaitGroup
	for i := range taken {
		subscribers.Go(func() {
			batch := make([]SessionEvent, eventBatch)
			for n := q.take(i, batch); n > 0; n = q.take(i, batch) {
				taken[i] += n
			}
		})
	}
	waits := make([][]time.Duration, producers)
	for p := range waits {
		waits[p] = make([]time.Duration, 0, 1<<16)
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	for p := range producers {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				begin := time.Now()
				for !q.put(p, SessionEvent{Session: uint64(p), At: begin, To: SessionActive}) {
					runtime.Gosched()
				}
				if len(waits[p]) < 1<<16 {
					waits[p] = append(waits[p], time.Since(begin))
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	q.close()
	subscribers.Wait()
	for i, n := range taken {
		if n != b.N {
			b.Errorf("subscriber %d took %d events of %d", i, n, b.N)
		}
	}
	put := slices.Concat(waits...)
	slices.Sort(put)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(put[len(put)*99/100]), "p99-put-ns")
}

// rings is the workers of a Server.
type rings struct {
	workers []*sessionWorker
	subs    [benchSubscribers]subscriber
	wake    [benchSubscribers]chan struct{}
	over    atomic.Bool
}

func newRings() *rings {
	q := &rings{}
	for i := range q.wake {
		q.wake[i] = make(chan struct{}, 1)
	}
	for range runtime.GOMAXPROCS(0) {
		w := &sessionWorker{wake: q.wake[:]}
		var cursors []*ring.Cursor[SessionEvent]
		w.ring, cursors = ring.New[SessionEvent](benchRoom, benchSubscribers)
		for i, c := range cursors {
			q.subs[i].cursors = append(q.subs[i].cursors, c)
		}
		q.workers = append(q.workers, w)
	}
	return q
}

func (q *rings) put(producer int, e SessionEvent) bool {
	w := q.workers[producer%len(q.workers)]
	w.seat.Lock()
	defer w.seat.Unlock()
	return w.put(e, 0)
}

func (q *rings) take(subscriber int, batch []SessionEvent) int {
	for {
		over := q.over.Load()
		for _, c := range q.subs[subscriber].cursors {
			if n := c.Take(batch); n > 0 {
				return n
			}
		}
		if over {
			return 0
		}
		<-q.wake[subscriber]
	}
}

func (q *rings) close() {
	q.over.Store(true)
	for _, w := range q.wake {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// mutexQueue is the same with one lock: a buffer round, a place in it for each subscriber, and a condition for those who wait.
type mutexQueue struct {
	mu    sync.Mutex
	some  *sync.Cond
	slots []SessionEvent
	head  int
	at    [benchSubscribers]int
	over  bool
}

func newMutexQueue() *mutexQueue {
	q := &mutexQueue{slots: make([]SessionEvent, benchRoom*runtime.GOMAXPROCS(0))}
	q.some = sync.NewCond(&q.mu)
	return q
}

func (q *mutexQueue) put(_ int, e SessionEvent) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head-slices.Min(q.at[:]) == len(q.slots) {
		return false
	}
	q.slots[q.head%len(q.slots)] = e
	q.head++
	q.some.Broadcast()
	return true
}

func (q *mutexQueue) take(subscriber int, batch []SessionEvent) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.at[subscriber] == q.head {
		if q.over {
			return 0
		}
		q.some.Wait()
	}
	n := 0
	for ; n < len(batch) && q.at[subscriber] < q.head; n++ {
		batch[n] = q.slots[q.at[subscriber]%len(q.slots)]
		q.at[subscriber]++
	}
	return n
}

func (q *mutexQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.over = true
	q.some.Broadcast()
}
