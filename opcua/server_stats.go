package opcua

// ServerStats is a snapshot of what a Server did. The maps hold no zeros.
type ServerStats struct {
	Accepted     uint64            // connections that came out of the listeners: Open, and all of Refused and Ended
	Open         int               // connections there now
	Refused      map[string]uint64 // connections turned away before their channel was open, by reason; StatusCodes are what an ERR said
	Ended        map[string]uint64 // connections ended later, by reason
	AcceptErrors uint64            // accepts that failed and were tried again

	Channels uint64 // opened
	Renewals uint64 // of channels' tokens
	Sessions int    // there now
	Created  uint64 // sessions ever made
	TimedOut uint64 // sessions that ended by their timeout
	Rejected uint64 // sessions that were not made
	Requests uint64 // that came in a session
	Faults   uint64 // requests answered with a ServiceFault

	Subscriptions int    // there now
	Items         int    // monitored items there now
	Messages      uint64 // with values that were published
	Values        uint64 // in them
	WaitingBytes  int    // that queues and messages take which wait for their clients, of SubscriptionLimits.QueueBytes
}

// Stats returns a snapshot. Any goroutine may call it.
func (s *Server) Stats() ServerStats {
	l := s.listen.Stats()
	st := ServerStats{
		Accepted: l.Accepted, Open: l.Open, AcceptErrors: l.AcceptErrors, Refused: byName(l.Refused), Ended: byName(l.Ended),
		Channels: s.counts.issued.Load(), Renewals: s.counts.renewed.Load(), Requests: s.counts.requests.Load(), Faults: s.counts.faults.Load(),
	}
	s.subs.stats(&st)
	p := s.sessions
	p.mu.RLock()
	defer p.mu.RUnlock()
	st.Sessions, st.Created, st.TimedOut, st.Rejected = len(p.byToken), uint64(p.ever), uint64(p.timedOut), uint64(p.rejected)
	return st
}

func byName[R ~string](m map[R]uint64) map[string]uint64 {
	out := make(map[string]uint64, len(m))
	for r, n := range m {
		out[string(r)] = n
	}
	return out
}
