package opcua

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"millrace/internal/inflight"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// maxUnanswered requests without an answer close the connection: a server that lost sixteen is not coming back on it.
const maxUnanswered = 16

// clientConn is a secure channel on a socket, with requests in flight by their ids.
//
// Three roles, no lock held across I/O: the reader goroutine reads, opens chunks and hands out answers; whoever has put something in turn seals and writes; mu guards
// the table of requests, for moments. A caller copies nothing out of the read buffer: the reader copies an answer into the caller's call, so that one who has given up
// is never written to.
type clientConn struct {
	cfg     *Config
	conn    *inflight.Socket
	channel *uasc.Channel
	token   []byte // encoded AuthenticationToken for request headers; changes only while nobody else calls
	pushed  func(k *clientPush)

	handshakeBy time.Time // what is said before there is a session has to be said by then

	turn    chan struct{} // 1: who has put something in seals and writes
	writeBy time.Time     // the write deadline that is set; belongs to the turn
	window  chan struct{} // a place for each request in flight
	ids     atomic.Uint32
	rtt     atomic.Int64  // smoothed, of answers
	wrote   atomic.Int64  // when a request was sent last, Unix ns
	leaving atomic.Bool   // the session is being closed: its end is no surprise
	ended   chan struct{} // closed when err is set
	done    chan struct{} // closed when the reader has ended
	calls   sync.Pool
	parking []byte      // the timer's: what it sends
	in      clientInbox // the reader's
	push    clientPush  // the reader's

	mu      sync.Mutex // never held across I/O or a hook
	err     error      // why the connection ended; nil while it is open
	slots   []clientSlot
	stats   Stats
	renewAt time.Time
	renewal clientRenewal
}

// clientSlot is one request without an answer.
type clientSlot struct {
	id       uint32
	service  Service
	call     *clientCall // nil when nobody waits for it any more, and when it is parked
	parked   bool        // sent by the timer; the reader takes the answer
	tag      uint64      // of a parked one
	sent     time.Time
	deadline time.Time
}

// clientPush is the answer to a parked request, for as long as the reader is in clientConn.pushed.
type clientPush struct {
	service Service
	d       ua.Decoder // behind the response header; of no use with a bad status
	status  ua.StatusCode
	request uint32
	tag     uint64
	now     time.Time
}

// newClientConn makes a connection of a socket that it owns from then on. The reader is not started yet.
func newClientConn(conn net.Conn, channel *uasc.Channel, cfg *Config) *clientConn {
	c := &clientConn{
		cfg: cfg, channel: channel, token: []byte{0, 0}, turn: make(chan struct{}, 1), window: make(chan struct{}, cfg.Window),
		ended: make(chan struct{}), done: make(chan struct{}),
	}
	c.conn = inflight.NewSocket(conn, c.in.lend, c.in.giveBack)
	return c
}

// start starts the reader.
func (c *clientConn) start() { go c.read() }

// close ends the connection with cause, nil for Close, and waits for the reader.
func (c *clientConn) close(cause error) {
	c.end(cause)
	<-c.done
}

// end fails everything in flight and hangs up.
func (c *clientConn) end(cause error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = &ClosedError{Err: cause}
		c.failAll()
		close(c.ended)
	}
	c.mu.Unlock()
	if first {
		_ = c.conn.Close() // that the peer is gone already is no news
	}
}

// failAll tells all callers that the connection has ended. The caller holds mu.
func (c *clientConn) failAll() {
	for i := range c.slots {
		if k := c.slots[i].call; k != nil {
			k.fail(c.err)
		}
	}
	c.slots = nil
}

// Err returns nil while the connection is open.
func (c *clientConn) error() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *clientConn) count(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

// read is the connection's reader. It ends when the connection does, and then everything that was in flight has failed.
func (c *clientConn) read() {
	defer close(c.done)
	for {
		m, now, err := c.next()
		if err == nil {
			err = c.came(&m, now)
			c.channel.Release()
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}

// came deals with one message. The error ends the connection.
func (c *clientConn) came(m *uasc.Message, now time.Time) error {
	switch m.Kind {
	case uasc.KindMessage:
		return c.answer(m, now)
	case uasc.KindOpen:
		return c.renewed(m, now)
	case uasc.KindError:
		return peerError(m.Body)
	}
	return &ForeignError{RequestId: m.RequestID, Why: "a " + m.Kind.String() + " message"}
}

// peerError returns what a server said that ends the connection.
func peerError(body []byte) error {
	e, err := uasc.DecodeError(body)
	if err != nil {
		return err
	}
	return e
}

// answer finds the request that m is the answer to.
func (c *clientConn) answer(m *uasc.Message, now time.Time) error {
	typ := uint32(0)
	d := ua.NewDecoder(m.Body, c.cfg.Limits)
	if m.Aborted == 0 {
		typ = d.EncodingId()
	}
	slot, why := c.takeSlot(m, typ, now)
	if why != "" {
		if f := c.cfg.Hooks.Foreign; f != nil {
			f()
		}
		return &ForeignError{RequestId: m.RequestID, Type: typ, Why: why}
	}
	switch {
	case slot.parked:
		c.answerParked(&slot, m, &d, typ, now)
	case slot.call != nil:
		slot.call.deliver(m, c.channel.Keep(), now)
	case now.After(slot.deadline) && c.cfg.Hooks.Late != nil:
		c.cfg.Hooks.Late(now.Sub(slot.deadline))
	}
	return nil
}

// takeSlot takes the request of m out of the table, or says what is wrong with m.
func (c *clientConn) takeSlot(m *uasc.Message, typ uint32, now time.Time) (s clientSlot, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.find(m.RequestID)
	switch {
	case i < 0:
		why = "unknown id"
	case m.Aborted == 0 && typ != faultId && typ != c.slots[i].service.response():
		why = "not of the type that answers " + c.slots[i].service.String()
	}
	if why != "" {
		c.stats.Foreign++
		return s, why
	}
	s = c.slots[i]
	c.remove(i)
	switch {
	case s.call != nil || s.parked:
		c.stats.Replied++
	case now.After(s.deadline):
		c.stats.Late++
	default:
		c.stats.Abandoned++
	}
	return s, ""
}

// find returns where the request is in the table, -1 when it is not. The caller holds mu, as with the next ones.
func (c *clientConn) find(id uint32) int {
	for i := range c.slots {
		if c.slots[i].id == id {
			return i
		}
	}
	return -1
}

func (c *clientConn) remove(i int) {
	last := len(c.slots) - 1
	c.slots[i] = c.slots[last]
	c.slots[last] = clientSlot{}
	c.slots = c.slots[:last]
}

// register puts a request into the table. It answers why not when the connection has ended.
func (c *clientConn) register(s clientSlot) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	c.slots = append(c.slots, s)
	c.stats.Sent++
	return nil
}

// unanswered counts the requests that nobody waits for. The caller holds mu.
func (c *clientConn) unanswered() (n int) {
	for i := range c.slots {
		if s := &c.slots[i]; s.call == nil && !s.parked {
			n++
		}
	}
	return n
}

// onlyPublishing says whether nothing but Publish requests is without an answer.
func (c *clientConn) onlyPublishing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.slots {
		if s := &c.slots[i]; !s.parked || s.service != ServicePublish {
			return false
		}
	}
	return true
}

// answerParked hands out the answer to a parked request, in the reader.
func (c *clientConn) answerParked(s *clientSlot, m *uasc.Message, d *ua.Decoder, typ uint32, now time.Time) {
	p := &c.push
	*p = clientPush{service: s.service, d: *d, request: s.id, tag: s.tag, now: now, status: m.Aborted}
	if m.Aborted == 0 {
		var h ua.ResponseHeader
		h.DecodeFrom(&p.d)
		p.status = h.ServiceResult
		switch {
		case p.d.Bad():
			p.status = p.d.Status()
		case typ == faultId && p.status == 0:
			p.status = ua.BadUnexpectedError
		}
	}
	c.pushed(p)
	p.d = ua.Decoder{}
}

// write writes what was sealed; c.turn is the caller's. A socket takes what may be in flight without waiting, so that a deadline is enough to bound it.
func (c *clientConn) write(b []byte, timeout time.Duration) (int, error) {
	now := time.Now()
	if c.writeBy.Sub(now) < timeout { // moved only when it has come closer than that
		c.writeBy = now.Add(2 * timeout)
		if err := c.conn.SetWriteDeadline(c.writeBy); err != nil {
			return 0, err
		}
	}
	n, err := c.conn.Write(b)
	c.count(func(s *Stats) { s.BytesOut += uint64(n) })
	c.wrote.Store(now.UnixNano())
	return n, err
}

// endOfStream names the end of a stream within a handshake.
func endOfStream(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
