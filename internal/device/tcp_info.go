package device

import (
	"sync"
	"time"
)

// Inspector is a Session that can tell what the system knows of its connection.
type Inspector interface {
	// TCPInfo returns it as it is now, and whether it is known; of a pool it is that of one of its connections. Who has the turn calls it; it asks the
	// system, not the device, takes about a microsecond, and allocates nothing after the first time.
	TCPInfo() (TCPInfo, bool)
}

// TCPInfo is what the system knows of a connection, below everything that a device says or does not say itself: a device that is slow and a network
// that is look alike in the round trips of requests, and differ here.
type TCPInfo struct {
	RTT     time.Duration // smoothed, of segments and their acknowledgements
	RTTVar  time.Duration // smoothed mean deviation of it
	MinRTT  time.Duration // the least that was seen, 0 unknown
	Timeout time.Duration // after which a segment is sent again

	Segments    uint32 // with data, sent since the connection stands, repeated ones included
	Retransmits uint32 // of them, those that were sent again
	Backoff     uint8  // how often the segment that waits now was sent again in a row
	Unacked     uint32 // segments that wait for their acknowledgement
	Unsent      uint32 // bytes that wait to be sent

	LastSent     time.Duration // how long ago data was sent
	LastReceived time.Duration // how long ago data came
	LastAck      time.Duration // how long ago an acknowledgement came
}

// TCPSample is a TCPInfo that was taken some time ago, with what happened since the one that began its window.
type TCPSample struct {
	At time.Time // zero: nothing is known of the connection
	TCPInfo
	Window time.Duration // tcpWindow to twice that, less on a young connection
	Sent   uint32        // segments with data in the window, repeated ones included
	Resent uint32        // of them, those that were sent again
}

// Loss returns the share of the window's segments that had to be sent again, 0 when none was sent.
func (t *TCPSample) Loss() float64 {
	if t.Sent == 0 {
		return 0
	}
	return float64(t.Resent) / float64(t.Sent)
}

const (
	// tcpEvery is how often a connection is looked at: 10,000 of them cost 0.3 % of a core.
	tcpEvery = 5 * time.Second
	// tcpEverySick is how often one is looked at whose last turn failed, or whose segments are not acknowledged.
	tcpEverySick = time.Second
	// tcpWindow is the time over which segments that were sent again are counted.
	tcpWindow = 30 * time.Second
)

// link is what is known of an endpoint's connection. The endpoint's turns write it; all its devices have it.
type link struct {
	mu       sync.Mutex // after unit.mu; held for a few instructions
	session  uint64
	sample   TCPSample
	previous counts // where the window began
	current  counts // where the next one does
}

// counts are those of a connection at one moment.
type counts struct {
	at             time.Time
	sent, repeated uint32
}

// inspect looks at the connection of e when that is due. err is what the turn ended with.
func (e *endpoint) inspect(err error) {
	s, ok := e.session.(Inspector)
	if !ok {
		return
	}
	now, l := time.Now(), &e.link
	if !l.due(now, e.number, err != nil) {
		return
	}
	if info, known := s.TCPInfo(); known {
		sent, resent := l.take(info, now, e.number)
		e.rt.counters.segments.Add(uint64(sent))
		e.rt.counters.resent.Add(uint64(resent))
	}
}

// due says whether it is time to look at a connection, the session's number session, again.
func (l *link) due(now time.Time, session uint64, failed bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	age := now.Sub(l.sample.At)
	return session != l.session || age >= tcpEvery || age >= tcpEverySick && (failed || l.sample.Backoff > 0)
}

// take takes a sample, and returns how many segments were sent, and sent again, since the one before.
func (l *link) take(info TCPInfo, now time.Time, session uint64) (sent, resent uint32) {
	is := counts{at: now, sent: info.Segments, repeated: info.Retransmits}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case session != l.session || l.sample.Segments > is.sent || l.sample.Retransmits > is.repeated: // another connection, or another one of a pool
		l.session, l.previous, l.current = session, is, is
		sent, resent = is.sent, is.repeated
	case now.Sub(l.current.at) >= tcpWindow:
		l.previous, l.current = l.current, is
		fallthrough
	default:
		sent, resent = is.sent-l.sample.Segments, is.repeated-l.sample.Retransmits
	}
	l.sample = TCPSample{At: now, TCPInfo: info, Window: now.Sub(l.previous.at), Sent: is.sent - l.previous.sent, Resent: is.repeated - l.previous.repeated}
	return sent, resent
}

// read returns the last sample.
func (l *link) read() TCPSample {
	if l == nil {
		return TCPSample{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sample
}
