package s7

import (
	"maps"
	"sync"
	"sync/atomic"
)

// ServerStats is a snapshot of what a Server did. The maps hold no zeros.
type ServerStats struct {
	Accepted     uint64                // connections that came out of the listeners: Open, and all of Refused and Ended
	Open         int                   // connections there now
	Refused      map[string]uint64     // connections turned away before Setup was answered, by reason
	Ended        map[string]uint64     // connections ended later, by reason
	AcceptErrors uint64                // accepts that failed and were tried again
	Requests     map[Function]uint64   // by the function that came, known or not; 0 is Userdata, and a Job without a function
	Refusals     map[ErrorCode]uint64  // requests refused as a whole; what an Interceptor then made of them is not seen
	Pushes       uint64                // of cyclic jobs
	Skipped      uint64                // pushes that were due while the one before them was still on its way
	Items        map[ReturnCode]uint64 // items of reads and writes that were not served, by return code
	Stream       StreamStats           // what all connections' streams met

	Sessions      map[SessionState]int    // sessions there now; those that are closed are on their way out
	Moves         map[SessionState]uint64 // how often a session came into a state
	Pools         map[string]PoolStats    // messages lent, by what they are
	EventsDropped uint64                  // session events that nobody heard of, for want of room
}

// serverCounts is counted into by all connections.
type serverCounts struct {
	requests [256]atomic.Uint64
	items    [256]atomic.Uint64

	resyncs, skipped, empty atomic.Uint64

	mu       sync.Mutex
	refusals map[ErrorCode]uint64
}

func (c *serverCounts) refuse(code ErrorCode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusals == nil {
		c.refusals = make(map[ErrorCode]uint64)
	}
	c.refusals[code]++
}

// stream adds what a connection's stream met since it told last.
func (c *serverCounts) stream(told *StreamStats, now StreamStats) {
	c.resyncs.Add(now.Resyncs - told.Resyncs)
	c.skipped.Add(now.Skipped - told.Skipped)
	c.empty.Add(now.Empty - told.Empty)
	*told = now
}

func (c *serverCounts) allRefusals() map[ErrorCode]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.refusals)
}

// Stats returns a snapshot. Any goroutine may call it.
func (s *Server) Stats() ServerStats {
	l := s.listen.Stats()
	moves := make(map[SessionState]uint64)
	for to := range s.sessions.moves {
		if n := s.sessions.moves[to].Load(); n > 0 {
			moves[SessionState(to)] = n
		}
	}
	return ServerStats{
		Accepted: l.Accepted, Open: l.Open, AcceptErrors: l.AcceptErrors,
		Refused: byName(l.Refused), Ended: byName(l.Ended),
		Requests: nonZero[Function](&s.counts.requests),
		Refusals: s.counts.allRefusals(),
		Items:    nonZero[ReturnCode](&s.counts.items),
		Pushes:   s.pushes.sent.Load(), Skipped: s.pushes.skipped.Load(),
		Stream:   StreamStats{Resyncs: s.counts.resyncs.Load(), Skipped: s.counts.skipped.Load(), Empty: s.counts.empty.Load()},
		Sessions: s.sessions.now(), Moves: moves, Pools: s.pools.stats(), EventsDropped: s.sessions.dropped(),
	}
}

func byName[R ~string](m map[R]uint64) map[string]uint64 {
	out := make(map[string]uint64, len(m))
	for r, n := range m {
		out[string(r)] = n
	}
	return out
}

func nonZero[K ~uint8](counts *[256]atomic.Uint64) map[K]uint64 {
	out := make(map[K]uint64)
	for i := range counts {
		if n := counts[i].Load(); n > 0 {
			out[K(i)] = n
		}
	}
	return out
}
