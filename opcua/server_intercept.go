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

// ServerRequest is a request that was let in. It is valid during the call only.
type ServerRequest struct {
	Service uint32    // encoding id of the request, as ns0.ReadRequest_Encoding_DefaultBinary
	Session ua.NodeId // null for services without a session
	Handle  uint32
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

func (c *serverConn) intercept(ctx context.Context) (ua.StatusCode, error) {
	k := &c.call
	r := ServerRequest{Service: k.service, Handle: k.header.RequestHandle, conn: c}
	if k.session != nil {
		r.Session = k.session.id
	}
	return c.srv.cfg.Intercept.Request(ctx, &r)
}
