package opcua

import (
	"errors"
	"sync"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// sender is the turn to seal and send on one connection. Sequence numbers must leave in the order in which they were given, so whoever seals a message sends it
// before anybody else seals one.
//
//	connection's goroutine: free ─► seals into the loop's buffer ─► the loop sends it ─► Sent: free, or sendQueue if something waits
//	                        taken ─► its response is queued; when the queue is full it waits
//	others (Publish):       queue ─► free: sendQueue in a goroutine, which seals and writes until the queue is empty, or sendNow by one who collects turns
//	                              └► taken: who has the turn sees to it. When the queue is full the connection is ended
type sender struct {
	mu    sync.Mutex // a leaf
	taken bool
	over  bool        // the connection has ended: what comes is dropped
	queue []*outgoing // nil while nothing waits
	bytes int         // in queue
	moved *sync.Cond  // the turn was given back, or the queue has become shorter; nil until somebody waited
}

// outgoing is a response that waits to be sealed. The channel's header is reserved in it.
type outgoing struct {
	b      []byte
	id     uint32 // request id
	handle uint32
	limit  uint32 // bytes of a response that the session takes; 0 no limit
}

// keepOutgoing is the largest buffer that goes back into the pool.
const keepOutgoing = 64 << 10

func (s *Server) putOutgoing(m *outgoing) {
	if cap(m.b) <= keepOutgoing {
		m.b = m.b[:0]
		s.outgoings.Put(m)
	}
}

// begin returns a buffer with everything in it up to the ResponseHeader, for the rest of the response to be appended: m.b = append(m.b, ...). It goes to send,
// once. Any goroutine may call it.
func (l late) begin(response uint32) *outgoing {
	m := l.conn.srv.outgoings.Get().(*outgoing)
	m.id, m.handle, m.limit = l.id, l.handle, l.limit
	m.b = l.conn.channel.Begin(m.b[:0], l.id)
	m.b = appendResponseHeader(m.b, response, l.handle, ua.Good, time.Now())
	return m
}

// send sends the response, in order behind what waits. It does not block: false means that the connection is over, or was ended here because it does not take
// what it is sent. turns, if not nil, gets the turn to send when nobody has it. Any goroutine may call it, with locks held.
func (l late) send(m *outgoing, turns *sendTurns) bool {
	if p, ok := l.conn.srv.cfg.Intercept.(PublishInterceptor); ok && !p.Publishing(l.conn.conn.LocalAddr()) {
		l.hollow(m)
	}
	return l.conn.enqueue(m, turns)
}

// fault sends a ServiceFault.
func (l late) fault(status ua.StatusCode) bool {
	m := l.begin(idServiceFault)
	m.b = appendResponseHeader(l.conn.channel.Begin(m.b[:0], l.id), idServiceFault, l.handle, status, time.Now())
	return l.send(m, nil)
}

// room returns how many bytes a response may have behind its ResponseHeader. A longer one becomes a ServiceFault with BadResponseTooLarge.
func (l late) room() int {
	const most = 1 << 30
	lim := l.conn.channel.Limits()
	room := most
	if lim.SendMessage > 0 {
		room = min(room, lim.SendMessage)
	}
	if lim.SendChunks > 0 {
		room = min(room, lim.SendChunks*(lim.SendChunk-chunkOverhead))
	}
	if l.limit > 0 {
		room = min(room, int(l.limit))
	}
	return max(room-responseHeaderBytes, 0)
}

// chunkOverhead is more than the headers, padding and signature of a chunk of any policy: 24 + 16 + 1 + 32 bytes, and what a chunk size that is no multiple of 16 leaves.
const chunkOverhead = 96

// enqueue is send.
func (c *serverConn) enqueue(m *outgoing, turns *sendTurns) bool {
	q := &c.send
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.over && q.full(c) {
		c.srv.putOutgoing(m)
		c.conn.End(errSlow)
		return false
	}
	return c.put(m, turns)
}

// put queues m unless the connection is over; for one who holds send.mu.
func (c *serverConn) put(m *outgoing, turns *sendTurns) bool {
	q := &c.send
	if q.over {
		c.srv.putOutgoing(m)
		return false
	}
	q.push(m)
	switch {
	case q.taken:
	case turns != nil:
		q.taken = true
		turns.conns = append(turns.conns, c)
	default:
		q.taken = true
		c.startSending(nil, 0)
	}
	return true
}

// startSending starts the goroutine to which the turn is handed, with a message that is sealed and sent up to sent, or nil. It ends when nothing waits any more; closeSend waits
// for it.
func (c *serverConn) startSending(m *outgoing, sent int) { go c.sendQueue(m, sent) }

// sendTurns collects the turns to send of connections for one who sends himself, after he has let go of his locks: for a few messages that is cheaper than to wake
// somebody for each. It is one goroutine's.
type sendTurns struct{ conns []*serverConn }

// send sends what waits on the connections whose turn was collected. It does not block.
func (t *sendTurns) send() {
	for i, c := range t.conns {
		c.sendNow()
		t.conns[i] = nil
	}
	t.conns = t.conns[:0]
}

// sendNow has the turn and sends what waits, up to what the socket takes at once: with the rest the turn goes to a goroutine.
func (c *serverConn) sendNow() {
	for m := c.sealNext(); m != nil; m = c.sealNext() {
		if n := c.conn.TryWrite(m.b); n < len(m.b) {
			c.startSending(m, n)
			return
		}
		c.srv.putOutgoing(m)
	}
}

func (q *sender) full(c *serverConn) bool { return q.bytes > c.srv.cfg.Quotas.SendBytes }

func (q *sender) push(m *outgoing) {
	q.queue = append(q.queue, m)
	q.bytes += len(m.b)
}

// pop returns what waits longest. With nothing there it gives the turn back and returns nil.
func (q *sender) pop() *outgoing {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) == 0 || q.over {
		q.giveBack()
		return nil
	}
	m := q.queue[0]
	q.queue = append(q.queue[:0], q.queue[1:]...)
	q.bytes -= len(m.b)
	q.tell()
	return m
}

// giveBack ends the turn; for one who holds mu.
func (q *sender) giveBack() {
	q.taken = false
	if len(q.queue) == 0 {
		q.queue = nil
	}
	q.tell()
}

func (q *sender) tell() {
	if q.moved != nil {
		q.moved.Broadcast()
	}
}

// wait waits until something has moved; for one who holds mu.
func (q *sender) wait() {
	if q.moved == nil {
		q.moved = sync.NewCond(&q.mu)
	}
	q.moved.Wait()
}

// sendQueue has the turn and sends what waits until nothing does. m, if not nil, is sealed already, and sent up to sent.
func (c *serverConn) sendQueue(m *outgoing, sent int) {
	if m == nil {
		m = c.sealNext()
	}
	for ; m != nil; m, sent = c.sealNext(), 0 {
		_, err := c.conn.Write(m.b[sent:]) // which ends the connection when it fails
		c.srv.putOutgoing(m)
		if err != nil {
			c.abandon()
			return
		}
	}
}

// sealNext returns what waits longest, sealed. With nothing there, or when it cannot be sealed, it gives the turn back and returns nil.
func (c *serverConn) sealNext() *outgoing {
	m := c.send.pop()
	if m != nil && c.sealOutgoing(m) != nil {
		c.srv.putOutgoing(m)
		c.abandon()
		return nil
	}
	return m
}

// sealOutgoing seals m in its buffer; for one who has the turn.
func (c *serverConn) sealOutgoing(m *outgoing) (err error) {
	m.b, err = c.seal(m.b, 0, m.id, m.handle, m.limit, time.Now())
	return err
}

// seal seals the response that begins with its reserved header at b[start:]. One that is too long for the client becomes a fault.
func (c *serverConn) seal(b []byte, start int, id, handle, limit uint32, now time.Time) ([]byte, error) {
	if limit == 0 || len(b)-start <= int(limit) {
		sealed, err := c.channel.End(b, start, uasc.KindMessage, now)
		if err == nil || !errors.Is(err, ua.BadResponseTooLarge) {
			return sealed, err
		}
	}
	b = c.channel.Begin(b[:start], id)
	b = appendResponseHeader(b, idServiceFault, handle, ua.BadResponseTooLarge, now)
	return c.channel.End(b, start, uasc.KindMessage, now)
}

// abandon gives up what waits, since nothing can be sent any more.
func (c *serverConn) abandon() {
	q := &c.send
	q.mu.Lock()
	defer q.mu.Unlock()
	q.over = true
	c.dropQueue()
	q.giveBack()
}

// dropQueue gives the buffers back; for one who holds send.mu.
func (c *serverConn) dropQueue() {
	for _, m := range c.send.queue {
		c.srv.putOutgoing(m)
	}
	c.send.queue, c.send.bytes = nil, 0
}

// respond seals the response at c.out[start:], or queues it when somebody else is sending.
func (c *serverConn) respond(start int, limit uint32) (err error) {
	k := &c.call
	if c.takeTurn() {
		now := k.received // the clock is not asked twice for what takes no time
		if takesLong(k.service) {
			now = time.Now()
		}
		c.out, err = c.seal(c.out, start, k.id, k.header.RequestHandle, limit, now)
		return err
	}
	m := c.srv.outgoings.Get().(*outgoing)
	m.b = append(m.b[:0], c.out[start:]...)
	m.id, m.handle, m.limit = k.id, k.header.RequestHandle, limit
	c.out = c.out[:start]
	c.enqueueOwn(m)
	return nil
}

// enqueueOwn is enqueue for the connection's goroutine and those that do the sessions' work. They may wait: they would only go on with more requests of the same client.
func (c *serverConn) enqueueOwn(m *outgoing) {
	q := &c.send
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.full(c) && q.taken && !q.over {
		q.wait()
	}
	c.put(m, nil)
}

// takeTurn takes the turn for the connection's goroutine if it has it already or nobody has.
func (c *serverConn) takeTurn() bool {
	if c.sealing {
		return true
	}
	q := &c.send
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.taken {
		return false
	}
	q.taken, c.sealing = true, true
	return true
}

// waitTurn is takeTurn that waits.
func (c *serverConn) waitTurn() {
	if c.sealing {
		return
	}
	q := &c.send
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.taken {
		q.wait()
	}
	q.taken, c.sealing = true, true
}

// releaseTurn gives the turn of the connection's goroutine back. What was queued meanwhile is sent by another, so that requests are served on.
func (c *serverConn) releaseTurn() {
	if !c.sealing {
		return
	}
	c.sealing = false
	q := &c.send
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) == 0 {
		q.giveBack()
		return
	}
	c.startSending(nil, 0)
}

// flush sends what is sealed, before something that takes long.
func (c *serverConn) flush() error {
	if !c.sealing {
		return nil
	}
	var err error
	if len(c.out) > 0 {
		_, err = c.conn.Write(c.out)
		c.out = c.out[:0]
	}
	c.releaseTurn()
	return err
}

// closeSend drops what waits, and waits for who is sending: the write deadline bounds that.
func (c *serverConn) closeSend() {
	q := &c.send
	q.mu.Lock()
	defer q.mu.Unlock()
	q.over = true
	c.dropQueue()
	if c.sealing {
		c.sealing = false
		q.giveBack()
	}
	for q.taken {
		q.wait()
	}
}
