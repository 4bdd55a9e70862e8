package s7

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"millrace/internal/ring"
)

// SessionEvent is one step of one connection, or a change of its protection level: From and To are equal then. The first of a connection goes
// from SessionInit to SessionInit, the last to SessionClosed.
type SessionEvent struct {
	Session  uint64 // counts the server's connections
	At       time.Time
	From, To SessionState
	Level    uint8    // protection level
	Remote   net.Addr // the client's address
	Reason   string   // why it was closed, as it is counted in ServerStats; else empty
}

// FullEvents is what happens to events when the slowest subscriber, that is OnEvents, has left no room for them.
type FullEvents uint8

// The ways.
const (
	EventsDrop   FullEvents = iota // they are left out and counted
	EventsRefuse                   // new connections are refused, so that of each one the first event and the last are told; those between are left out and counted
)

// sessionWorker is what the connections that it serves have in common: who they are, and a ring of their events. The ring has one producer; the
// connections share its seat, which costs them a lock, and they seldom have anything to tell.
type sessionWorker struct {
	full FullEvents

	seat  sync.Mutex // guards ring's end for producers and conns
	ring  *ring.Ring[SessionEvent]
	conns []*ServerConn

	dropped atomic.Uint64
	wake    []chan struct{} // 1 each: there is something to take; the attendants' own
}

// open takes c in. False means that its events cannot be told, and that this is a reason to refuse it.
func (w *sessionWorker) open(c *ServerConn) bool {
	w.seat.Lock()
	defer w.seat.Unlock()
	if w.full == EventsRefuse && !w.put(c.event(SessionInit, SessionInit, ""), len(w.conns)+1) {
		return false
	}
	if w.full == EventsDrop {
		w.tell(c, SessionInit, SessionInit, "")
	}
	c.index = len(w.conns)
	w.conns = append(w.conns, c)
	return true
}

// close ends c's session and forgets it.
func (w *sessionWorker) close(c *ServerConn, reason string) {
	w.seat.Lock()
	defer w.seat.Unlock()
	last := len(w.conns) - 1
	w.conns[c.index] = w.conns[last]
	w.conns[c.index].index = c.index
	w.conns[last] = nil
	w.conns = w.conns[:last]
	if from, moved := c.session.become(SessionClosed); moved {
		w.tell(c, from, SessionClosed, reason)
	}
}

// move takes c along an arrow.
func (w *sessionWorker) move(c *ServerConn, next SessionState) {
	w.seat.Lock()
	defer w.seat.Unlock()
	if from, moved := c.session.become(next); moved {
		w.tell(c, from, next, "")
	}
}

// moved tells that c went from one state to another already, or that its level changed.
func (w *sessionWorker) moved(c *ServerConn, from, to SessionState) {
	w.seat.Lock()
	defer w.seat.Unlock()
	w.tell(c, from, to, "")
}

// tell is for who has the seat.
func (w *sessionWorker) tell(c *ServerConn, from, to SessionState, reason string) {
	keep := 0
	if w.full == EventsRefuse && to != SessionClosed {
		keep = len(w.conns) // the last events of them all
	}
	if !w.put(c.event(from, to, reason), keep) {
		w.dropped.Add(1)
	}
}

func (w *sessionWorker) put(e SessionEvent, keep int) bool {
	ok := w.ring.PutKeeping(e, keep)
	for _, wake := range w.wake {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	return ok
}

func (c *ServerConn) event(from, to SessionState, reason string) SessionEvent {
	return SessionEvent{Session: c.number, At: time.Now(), From: from, To: to, Level: c.Level(), Remote: c.RemoteAddr(), Reason: reason}
}

// subscriber takes all events, with a cursor for each worker's ring.
type subscriber struct {
	take    func(batch []SessionEvent)
	cursors []*ring.Cursor[SessionEvent]
}

const eventBatch = 64

// drain takes what is there. The batch is its caller's to lend.
func (u *subscriber) drain(batch []SessionEvent) {
	for _, c := range u.cursors {
		for n := c.Take(batch); n > 0; n = c.Take(batch) {
			u.take(batch[:n])
		}
	}
}

// sessions is all of a Server's, and the goroutines that attend to them while it serves.
type sessions struct {
	workers  []*sessionWorker
	opened   atomic.Uint64
	reporter *subscriber // nil without OnEvents
	metrics  *subscriber
	sweeper  *subscriber
	moves    [SessionClosed + 1]atomic.Uint64 // by where they went
	sweep    sweep

	mu      sync.Mutex // guards what follows
	serving int        // Serve calls that run
	stop    chan struct{}
	done    sync.WaitGroup
}

// newSessions makes a worker for each processor, with a ring of places for events.
func newSessions(cfg *ServerConfig) *sessions {
	s := &sessions{sweep: newSweep(cfg.IdleAfter, cfg.IdleTimeout)}
	s.metrics = &subscriber{take: s.count}
	s.sweeper = &subscriber{take: s.sweep.heard}
	subscribers := []*subscriber{s.metrics, s.sweeper}
	keeper := make(chan struct{}, 1)
	wake := []chan struct{}{keeper}
	if cfg.OnEvents != nil {
		s.reporter = &subscriber{take: cfg.OnEvents}
		subscribers = append(subscribers, s.reporter)
		wake = append(wake, make(chan struct{}, 1))
	}
	for range runtime.GOMAXPROCS(0) {
		w := &sessionWorker{full: cfg.FullEvents, wake: wake}
		var cursors []*ring.Cursor[SessionEvent]
		w.ring, cursors = ring.New[SessionEvent](cfg.EventRoom, len(subscribers))
		for i, c := range cursors {
			subscribers[i].cursors = append(subscribers[i].cursors, c)
		}
		s.workers = append(s.workers, w)
	}
	return s
}

// assign numbers a new connection and says who its worker is.
func (s *sessions) assign(c *ServerConn) {
	c.number = s.opened.Add(1)
	c.worker = s.workers[c.number%uint64(len(s.workers))]
}

// count is the subscriber of the metrics.
func (s *sessions) count(batch []SessionEvent) {
	for i := range batch {
		if e := &batch[i]; e.From != e.To || e.To == SessionInit {
			s.moves[e.To].Add(1)
		}
	}
}

// dropped returns how many events were left out.
func (s *sessions) dropped() (n uint64) {
	for _, w := range s.workers {
		n += w.dropped.Load()
	}
	return n
}

// now counts the sessions by state.
func (s *sessions) now() map[SessionState]int {
	out := make(map[SessionState]int)
	for _, w := range s.workers {
		w.seat.Lock()
		for _, c := range w.conns {
			out[c.session.state()]++
		}
		w.seat.Unlock()
	}
	return out
}

// begin starts the attendants with the first Serve. The func that it returns ends them with the last, when they have taken everything.
func (s *sessions) begin() (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving++; s.serving == 1 {
		s.stop = make(chan struct{})
		wake := s.workers[0].wake
		s.start(func(stop chan struct{}) { s.keep(stop, wake[0]) })
		if s.reporter != nil {
			s.start(func(stop chan struct{}) { s.report(stop, wake[1]) })
		}
	}
	return s.end
}

func (s *sessions) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving--; s.serving == 0 {
		close(s.stop)
		s.done.Wait()
	}
}

func (s *sessions) start(attend func(stop chan struct{})) {
	stop := s.stop
	s.done.Go(func() { attend(stop) })
}

// report is the goroutine that OnEvents is called from.
func (s *sessions) report(stop, wake chan struct{}) {
	batch := make([]SessionEvent, eventBatch)
	for {
		s.reporter.drain(batch)
		select {
		case <-wake:
		case <-stop:
			s.reporter.drain(batch)
			return
		}
	}
}

// keep is the goroutine that counts and sweeps. It waits for nobody, so a full ring is never its doing.
func (s *sessions) keep(stop, wake chan struct{}) {
	batch := make([]SessionEvent, eventBatch)
	s.sweep.begin()
	defer s.sweep.timer.Stop()
	for {
		s.metrics.drain(batch)
		s.sweeper.drain(batch)
		select {
		case <-wake:
			s.sweep.missed(s.dropped())
		case <-s.sweep.timer.C:
			s.sweep.run(s.workers)
		case <-stop:
			s.metrics.drain(batch)
			s.sweeper.drain(batch)
			return
		}
	}
}
