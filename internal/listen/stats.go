package listen

import (
	"maps"
	"sync"
)

// Reason says in a few words why a connection was turned away or ended. Protocols add their own; reasons are constants, never made from
// what came over the wire, so that their number stays bounded.
type Reason string

// The reasons of this package.
const (
	ReasonGlobalLimit      Reason = "global limit"
	ReasonAddressLimit     Reason = "address limit"
	ReasonHandshakeTimeout Reason = "handshake timeout"
	ReasonNotTLS           Reason = "not tls"         // the first bytes on a TLS port were something else
	ReasonCertificate      Reason = "tls certificate" // missing, expired, or signed by nobody we trust
	ReasonTLS              Reason = "tls"             // any other failure of the handshake
	ReasonPartialFrame     Reason = "partial frame timeout"
	ReasonFrameTooLong     Reason = "frame too long"
	ReasonIdle             Reason = "idle"
	ReasonWriteTimeout     Reason = "write timeout"
	ReasonPeer             Reason = "peer closed"
	ReasonCut              Reason = "peer closed within a frame"
	ReasonReset            Reason = "peer reset"
	ReasonDrained          Reason = "drained"
	ReasonDropped          Reason = "drain timeout"
	ReasonOther            Reason = "error"
)

// Error is how a Handler ends a connection for a reason of its own.
type Error struct {
	Reason  Reason
	Refused bool // count it as turned away, not as ended
	Reset   bool // end it with a TCP reset, not in order
	Err     error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return "listen: " + string(e.Reason)
	}
	return "listen: " + string(e.Reason) + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Stats is a snapshot of what a Server did. Accepted = Open + all of Refused + all of Ended.
type Stats struct {
	Accepted     uint64            // connections that came out of the listeners
	Open         int               // connections there now
	Refused      map[Reason]uint64 // turned away before the protocol served them
	Ended        map[Reason]uint64 // ended later
	AcceptErrors uint64            // accepts that failed and were tried again, for want of descriptors in most cases
}

// Stats returns a snapshot. Any goroutine may call it.
func (s *Server) Stats() Stats { return s.stats.snapshot() }

type counters struct {
	mu           sync.Mutex
	accepted     uint64
	refused      map[Reason]uint64
	ended        map[Reason]uint64
	over         uint64 // sum of refused and ended
	acceptErrors uint64
}

func (c *counters) accept() {
	c.mu.Lock()
	c.accepted++
	c.mu.Unlock()
}

func (c *counters) acceptError() {
	c.mu.Lock()
	c.acceptErrors++
	c.mu.Unlock()
}

func (c *counters) add(r Reason, refused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &c.ended
	if refused {
		m = &c.refused
	}
	if *m == nil {
		*m = make(map[Reason]uint64)
	}
	(*m)[r]++
	c.over++
}

func (c *counters) snapshot() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{
		Accepted:     c.accepted,
		Open:         int(c.accepted - c.over),
		Refused:      maps.Clone(c.refused),
		Ended:        maps.Clone(c.ended),
		AcceptErrors: c.acceptErrors,
	}
}
