package modbus

import "sync/atomic"

// ServerStats is a snapshot of what a Server did. The maps hold no zeros.
type ServerStats struct {
	Accepted     uint64                   // connections that came out of the listeners: Open, and all of Refused and Ended
	Open         int                      // connections there now
	Refused      map[string]uint64        // connections turned away before a request was served, by reason
	Ended        map[string]uint64        // connections ended later, by reason
	AcceptErrors uint64                   // accepts that failed and were tried again
	Requests     map[Function]uint64      // by the function code that came, known or not
	Exceptions   map[ExceptionCode]uint64 // answered; what an Interceptor then made of them is not seen
}

// serverCounts is counted into by all connections. Codes are bytes, so arrays hold them all.
type serverCounts struct {
	requests   [256]atomic.Uint64
	exceptions [256]atomic.Uint64
}

// Stats returns a snapshot. Any goroutine may call it.
func (s *Server) Stats() ServerStats {
	l := s.listen.Stats()
	return ServerStats{
		Accepted: l.Accepted, Open: l.Open, AcceptErrors: l.AcceptErrors,
		Refused: byName(l.Refused), Ended: byName(l.Ended),
		Requests:   nonZero[Function](&s.counts.requests),
		Exceptions: nonZero[ExceptionCode](&s.counts.exceptions),
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
