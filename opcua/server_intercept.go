package opcua

import (
	"context"
	"net"
	"time"

	"millrace/opcua/ua"
)

// ServerInterceptor sees the requests of all connections before their services: it is how a simulation has faults. Several goroutines call it.
type ServerInterceptor interface {
	// Request decides what becomes of r: ua.Good that it is served, NoAnswer that nothing happens, any other status that it is refused with a ServiceFault. An
	// error ends the connection; a *HangUpError says how.
	Request(ctx context.Context, r *ServerRequest) (ua.StatusCode, error)
}

// PublishInterceptor is a ServerInterceptor that sees the responses to Publish requests, too. It is called by the goroutine that all subscriptions share, and must
// not block.
type PublishInterceptor interface {
	// Publishing says whether the notifications in the response to a client that connected to that address are sent. Otherwise a keep-alive goes out in
	// their place, whose sequence number tells the client what it has not got; Republish has it.
	Publishing(local net.Addr) bool
}

// hollow makes m, the response to a Publish, the keep-alive that follows its notifications.
func (l late) hollow(m *outgoing) {
	header := len(l.conn.channel.Begin(nil, l.id))
	d := ua.NewDecoder(m.b[header:], ua.Limits{})
	var r ua.PublishResponse
	if d.EncodingId() != r.EncodingId() {
		return
	}
	if r.DecodeFrom(&d); d.Bad() || len(r.NotificationMessage.NotificationData) == 0 {
		return
	}
	r.NotificationMessage.NotificationData, r.MoreNotifications = nil, false
	if r.NotificationMessage.SequenceNumber++; r.NotificationMessage.SequenceNumber == 0 {
		r.NotificationMessage.SequenceNumber = 1
	}
	m.b = ua.AppendMessage(m.b[:header], &r)
}

// ServerRequest is a request that was let in. It is valid during the call only.
type ServerRequest struct {
	Service uint32    // encoding id of the request, as ns0.ReadRequest_Encoding_DefaultBinary
	Session ua.NodeId // null for services without a session
	Handle  uint32
	Body    []byte // what is behind the RequestHeader, not looked at yet; it is not to be changed
	conn    *serverConn
}

// NoAnswer is what an interceptor returns to have a request go unanswered.
const NoAnswer ua.StatusCode = 0xFFFFFFFF

const noAnswer = NoAnswer

// HangUpError is how an interceptor ends a connection.
type HangUpError struct {
	Reason string        // under which it is counted; a constant: each new one is a new counter
	Status ua.StatusCode // not 0: an ERR with it goes out first
	Reset  bool          // with a TCP reset; default in order, behind the responses that were sent
}

func (e *HangUpError) Error() string { return "opcua: hung up: " + e.Reason }

// LocalAddr returns the address that the client connected to.
func (r *ServerRequest) LocalAddr() net.Addr { return r.conn.conn.LocalAddr() }

// RemoteAddr returns the client's address.
func (r *ServerRequest) RemoteAddr() net.Addr { return r.conn.remoteAddr() }

// Pause sends what there is to send and then waits for d, or until the connection is dropped.
func (r *ServerRequest) Pause(ctx context.Context, d time.Duration) error {
	if err := r.conn.flush(); err != nil {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// EndSession ends the request's session, as a server does that has lost its memory. The request is then refused with BadSessionIdInvalid.
func (r *ServerRequest) EndSession() {
	x := r.conn.call.session
	if x == nil {
		return
	}
	x.turn.Lock()
	defer x.turn.Unlock()
	r.conn.srv.endSession(x, true)
}

// Answer sends a response of the interceptor's own, its ResponseHeader included. Request then returns NoAnswer.
func (r *ServerRequest) Answer(response ua.Message) {
	k := &r.conn.call
	m := late{conn: r.conn, id: k.id, handle: k.header.RequestHandle}.begin(response.EncodingId())
	m.b = ua.AppendMessage(r.conn.channel.Begin(m.b[:0], k.id), response)
	r.conn.enqueue(m, nil)
}

func (c *serverConn) intercept(ctx context.Context, body []byte) (ua.StatusCode, error) {
	k := &c.call
	r := ServerRequest{Service: k.service, Handle: k.header.RequestHandle, Body: body, conn: c}
	if k.session != nil {
		r.Session = k.session.id
	}
	return c.srv.cfg.Intercept.Request(ctx, &r)
}
