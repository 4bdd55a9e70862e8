package opcua

import (
	"context"
	"sync"
	"time"

	"millrace/opcua/ua"
)

// gate lets so many through at once. Those that are further on in their set-up go first: what was begun gets done, or a storm would let nobody in. Of the others only
// so many wait as will have their turn within patience, if it goes on as it went: who waits for longer has gone when the answer comes, and all work for him is lost.
type gate struct {
	patience time.Duration
	waiting  int                  // most in then
	clock    func() time.Duration // since whenever

	mu     sync.Mutex
	free   int
	first  []chan struct{} // of channels that are open: sessions, renewals
	then   []chan struct{} // of channels that are not
	coming int             // who were greeted and are expected in then
	pace   time.Duration   // from one turn of then to the next while some wait, on average
	turned time.Duration   // when then had its last turn; 0 when nobody waited behind that one
}

const (
	// firstPace is what a turn is taken to last before one has: three operations with the private key.
	firstPace = 5 * time.Millisecond
	// paceWeight is how much of the average the last turn is: one of so many.
	paceWeight = 16
	// fewest may wait however slow it seems to go: how fast it goes is only seen while some wait.
	fewest = 8
)

func newGate(atOnce int, a Admission, clock func() time.Duration) *gate {
	return &gate{free: atOnce, patience: a.Patience, waiting: a.Waiting, clock: clock, pace: firstPace}
}

// enter takes a place, and waits for one unless that would last too long: BadTcpServerTooBusy. Who is first waits however many there are, because each of them is
// the one request of a connection that was let in. leave gives the place back.
func (g *gate) enter(ctx context.Context, first bool) ua.StatusCode {
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return ua.Good
	}
	if !first && len(g.then) >= g.room() {
		g.mu.Unlock()
		return ua.BadTcpServerTooBusy
	}
	turn := make(chan struct{})
	queue := g.queue(first)
	*queue = append(*queue, turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return ua.Good
	case <-ctx.Done():
		g.giveUp(queue, turn)
		return ua.BadTimeout
	}
}

func (g *gate) queue(first bool) *[]chan struct{} {
	if first {
		return &g.first
	}
	return &g.then
}

// room returns how many may wait in then.
func (g *gate) room() int {
	return min(g.waiting, max(fewest, int(g.patience/g.pace)))
}

// giveUp takes turn out of its queue, or passes it on when it had just come.
func (g *gate) giveUp(queue *[]chan struct{}, turn chan struct{}) {
	g.mu.Lock()
	for i, t := range *queue {
		if t == turn {
			*queue = append((*queue)[:i], (*queue)[i+1:]...)
			g.mu.Unlock()
			return
		}
	}
	g.mu.Unlock()
	g.leave()
}

// leave gives the place to who waits longest.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case len(g.first) > 0:
		pass(&g.first)
	case len(g.then) > 0:
		g.measure()
		pass(&g.then)
	default:
		g.free++
	}
}

func pass(queue *[]chan struct{}) {
	q := *queue
	close(q[0])
	*queue = append(q[:0], q[1:]...)
}

// measure learns from a turn of then how fast it goes.
func (g *gate) measure() {
	now := g.clock()
	if g.turned != 0 {
		g.pace += (now - g.turned - g.pace) / paceWeight
	}
	g.turned = now
	if len(g.then) == 1 {
		g.turned = 0
	}
}

// greet says whether a client that says hello may go on to open its channel, and if so expects it until came: it would calculate for nothing to be told then that it is one
// too many. Those who are expected count as if they waited, but not while a place is free: strangers who say hello and no more make the queue short, and shut nobody out.
func (g *gate) greet() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.free == 0 && len(g.then)+g.coming >= g.room() {
		return false
	}
	g.coming++
	return true
}

// came ends the wait for one who was greeted.
func (g *gate) came() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.coming--
}
