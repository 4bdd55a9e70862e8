// Package inflight is one connection to a device with several requests in flight: whose turn it is to send, which answer belongs to which request, who
// reads, and what became of each request when an answer does not come, comes late, or belongs to nobody. A Protocol says how frames are cut and what
// an answer must have in common with its request; a Work is the requests of one caller.
package inflight

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// MaxWindow is the most requests in flight on one connection.
const MaxWindow = 64

// maxUnanswered ids without an answer close the connection: a device that lost sixteen requests is not coming back on it.
const maxUnanswered = 16

// Head is what a frame says about itself.
type Head struct {
	Kind Kind
	ID   uint16
	Key  Key
}

// Key is what an answer has in common with its request besides the id, as unit and function. Protocol.Fits compares two of them. Of a request it is not 0.
type Key uint32

// Kind is what came.
type Kind uint8

// The kinds.
const (
	Answer  Kind = iota
	Silence      // no answer, and may come: the Protocol has dealt with it
	Stray        // no answer, and may not come, whatever its id
)

// Protocol reads frames. A Conn calls Next with its lock held, from one goroutine at a time.
type Protocol interface {
	// Next cuts the next frame off buf and keeps it until it is called again, for Work.Deliver. It returns how many bytes it took; n = 0 without an error says
	// that the frame is not whole yet. The error ends the connection.
	Next(buf []byte) (h Head, n int, err error)
	// Fits returns "" when an answer of the key got may be the one to a request of the key asked, else what does not fit.
	Fits(asked, got Key) string
	// Foreign returns the error for the last frame, which answers nothing that was asked: UnknownID, Unsolicited, or what Fits or Deliver said. It ends the connection.
	Foreign(h Head, why string) error
	// Partial returns the error for a stream that ended with so many bytes of a frame, or nil when that is as good an end as any.
	Partial(left int) error
}

// Why an answer is foreign, besides what Protocol.Fits and Work.Deliver say.
const (
	UnknownID   = "unknown id"
	Unasked     = "unasked"     // a Stray
	Unsolicited = "unsolicited" // without ids: nobody waits
)

// Work is the requests of one Turn, numbered from 0. Its methods are called by one goroutine at a time: the one that runs the Turn, or the one that reads, with
// the Conn's lock held.
type Work interface {
	Len() int
	// Key returns the key that the answer to request i fits.
	Key(i int) Key
	// AppendTo appends the frame of request i.
	AppendTo(b []byte, i int, id uint16) []byte
	// Repeats reports whether request i may be sent again when no answer came in time.
	Repeats(i int) bool
	// Deliver takes the frame that Protocol.Next cut off last as the answer to request i, and copies what it needs of it. It reports whether the device
	// refused, and "" or what makes the answer foreign.
	Deliver(i int, sent, at time.Time) (refused bool, why string)
	// Fail says what became of request i in place of an answer: *TimeoutError, *ClosedError, or why the context ended. sent says whether bytes of it may have left.
	// A request that is sent again fails first and may be delivered later.
	Fail(i int, cause error, sent bool)
}

// Hooks are called as requests go by; nil ones are not. They must not block. Timeout, Replied, Served and TimedOut are called from the goroutine that runs the Turn, before
// Run returns; Late and Foreign from whichever goroutine reads the connection.
type Hooks struct {
	Timeout func() time.Duration    // how long to wait for the answers to what is sent next; 0 or less is Config.Timeout
	Replied func(rtt time.Duration) // an answer that matched, refusals included
	// Served: so many requests were answered, not refused, in frames of so many bytes both ways, and took the device so long together: what each of them took after it was
	// sent and the one before it was answered.
	Served   func(requests, bytes int, took time.Duration)
	TimedOut func(after time.Duration) // no answer in time
	Late     func(by time.Duration)    // the answer to a request that had timed out; 0 for a duplicate
	Foreign  func()                    // an answer to nothing that was asked
}

// Config is how a Conn works. Every field but Hooks, Retries and Rest must be set.
type Config struct {
	Window  int           // requests in flight at once, 1..MaxWindow
	Timeout time.Duration // for an answer
	Retries int           // of requests that may be repeated
	// NoIDs is for protocols without ids: one request at a time, whose answer is the next frame, and a time-out ends the connection.
	NoIDs bool
	// Inline lets callers read their own answers: right on any connection, quick on one with a buffer. The peer of a pipe waits for a reader while this side
	// writes. Without ids they never do: a duplicate that nobody has read yet would pass for the answer to the next request.
	Inline           bool
	ReadMin, ReadMax int         // bytes of the read buffer at first, and how far it grows while reads fill it; the longest frame has room in ReadMax
	Rest             []byte      // what was read of the stream already
	Goodbye          []byte      // the frame that Close sends first; nil when the protocol has none
	NewWork          func() Work // for a new Turn; the Conn keeps Turns with their Works and uses them again
	Turns            *Turns      // shared with other Conns; nil when this one has its own
	Hooks            Hooks
}

// Conn is one connection. Any number of goroutines may use it; their requests share the window in turn. One that ended stays so.
type Conn struct {
	cfg    Config
	proto  Protocol
	conn   net.Conn
	socket net.Conn      // below TLS
	wired  bool          // a write may wait: its caller's cancellation is wired to the socket
	secret bool          // TLS: how much of a failed write left is not known
	done   chan struct{} // closed when the reader has ended
	resume chan struct{} // 1: the reader is to look at its role

	writeBy time.Time   // the write deadline that is set; belongs to the turn that is sending
	in      inbox       // belongs to the one who has the read role
	x       rawExchange // likewise

	mu          sync.Mutex // never held across I/O or a hook
	err         error      // why the connection ended; nil while it is open
	window      int
	table       table
	foreign     bool // a foreign answer came; not reported yet
	sending     bool
	queue       []*Turn // those that wait for room in the window, first come first served; one entry a calling goroutine
	free        []*Turn
	stats       Stats
	role        readRole
	reader      *Turn           // with roleCaller: whose goroutine reads
	passed      bool            // with roleCaller: the reader has read for it
	listening   int             // those who want the reader to read, whatever is in flight
	leaving     bool            // Close was called: the reader is to end, whatever comes
	heard       time.Time       // the last answer
	brisk       bool            // it came within a lull of the one before
	watched     <-chan struct{} // of the context whose end cuts a caller's read
	stopWatch   func() bool
	unconfirmed error // what became of the farewell
}

// Stats counts what went over a connection.
type Stats struct {
	Sent      uint64 // requests, repeated ones included
	Repeated  uint64 // requests sent again
	Replied   uint64 // answers that matched, refusals included
	Refused   uint64
	TimedOut  uint64
	Late      uint64 // answers to what had timed out
	Duplicate uint64
	Abandoned uint64 // answers to what was cancelled, within its time
	Foreign   uint64
	Overtook  uint64 // answers that came before the one to an older request
	BytesOut  uint64
	BytesIn   uint64
	Inline    uint64 // reads by callers

	Window     int // now
	InFlight   int // now
	Unanswered int // ids that nobody waits for, now
}

// New makes a Conn of a connection that stands, which it owns from then on, and starts its reader.
func New(conn net.Conn, p Protocol, cfg Config) *Conn {
	cfg.Inline = cfg.Inline && !cfg.NoIDs
	c := &Conn{cfg: cfg, proto: p, conn: conn, socket: conn, window: cfg.Window, done: make(chan struct{}), resume: make(chan struct{}, 1)}
	c.in.buf = make([]byte, max(cfg.ReadMin, len(cfg.Rest)))
	c.in.have = copy(c.in.buf, cfg.Rest)
	c.cfg.Rest = nil
	if s, ok := conn.(*tls.Conn); ok {
		c.socket, c.secret = s.NetConn(), true
	}
	_, tcp := conn.(*net.TCPConn)
	c.wired = !tcp
	c.useRaw(conn)
	go c.read()
	return c
}

// Close ends the connection in order, fails what is in flight, and waits for the reader. It may be called more than once. It waits for the peer to close its side too,
// as long as for an answer, a second at most; Unconfirmed says whether that was in vain.
func (c *Conn) Close() {
	c.mu.Lock()
	first, sending := c.err == nil, c.sending
	c.leaving = true
	c.end(nil)
	c.mu.Unlock()
	if first {
		err := c.farewell(sending)
		_ = c.conn.Close() // says goodbye in TLS; that the peer is gone already is no news
		c.mu.Lock()
		c.unconfirmed = err
		c.mu.Unlock()
	}
	<-c.done
}

// Unconfirmed returns, after Close, an *UnconfirmedError when the peer did not close its side too, and nil else.
func (c *Conn) Unconfirmed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unconfirmed
}

// Err returns nil while the connection is open, then the *ClosedError with which it ended.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Done returns a channel that is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// SyscallConn returns the socket, the one below TLS, to look at. A connection without one answers an error.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.socket.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// SetWindow sets how many requests are in flight at once; what is outside 1..MaxWindow is taken as the nearest of them. It takes effect with the next
// request. Without ids the window stays 1.
func (c *Conn) SetWindow(n int) {
	if c.cfg.NoIDs {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.window = min(max(n, 1), MaxWindow)
	c.kick()
}

// Stats returns the counts so far.
func (c *Conn) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Window, s.InFlight = c.window, c.table.inFlight
	_, s.Unanswered = c.table.unanswered(time.Time{})
	return s
}

// Locked calls f with the lock held under which Protocol and Work are called: for what they share with others. f must not block.
func (c *Conn) Locked(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// Listen keeps the reader reading, with nothing in flight too, until it is called with false as often as with true: for who waits for what comes unasked.
func (c *Conn) Listen(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !on {
		c.listening--
		return
	}
	c.listening++
	c.handOver()
}

// end fails everything in flight with the reason cause, nil for Close, and wakes all callers. The caller holds mu and hangs up afterwards. A frame
// whose write has not returned is left to the one who writes it: only that one will know whether it left.
func (c *Conn) end(cause error) {
	if c.err != nil {
		return
	}
	c.err = &ClosedError{Err: cause}
	c.unwatch()
	c.wakeReader()
	for i := range c.table.slots {
		s := &c.table.slots[i]
		if !s.used || s.givenUp() || s.writing {
			continue
		}
		c.lost(s, c.err, true)
	}
	for _, t := range c.queue {
		t.signal()
	}
}

// lost completes the request of s with an error.
func (c *Conn) lost(s *slot, cause error, sent bool) {
	t := s.turn
	t.Work.Fail(s.call, cause, sent)
	t.open--
	t.stop(cause)
	c.table.withdraw(s)
	t.signal()
}

// hangUp closes the socket at once, without a TLS goodbye that the peer might not read.
func (c *Conn) hangUp() { _ = c.socket.Close() }

// timeout returns how long to wait for the answers to what t sends next.
func (c *Conn) timeout(t *Turn) time.Duration {
	return max(c.answerTime(), t.Patience)
}
