package opcua

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"millrace/internal/listen"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// serverConn is one connection with its channel. It belongs to the connection's goroutine but for what its fields say.
//
//	accepted ── HEL/ACK ──► greeted ── OPN ──► open ── MSG, OPN(renew) ──► CLO or the socket's end
//	    └───────── HandshakeTimeout ─────────────┘
type serverConn struct {
	srv     *Server
	conn    *listen.Conn
	channel *uasc.Channel
	url     string // that the client dialled, by its HEL

	open     bool
	greeted  bool // its first OpenSecureChannel is expected
	renewals bucket
	held     int      // bytes of requests that are half here, counted in Server.held
	last     *session // that the request before was of; nil before the first activation here

	sessions []*session // guarded by Server.sessions.mu

	workers sync.WaitGroup // what does the sessions' work
	owed    atomic.Int32   // requests that are work; any goroutine

	call    call   // the request at hand
	out     []byte // sealed responses, and behind them the one at hand; valid within Serve
	sealing bool   // this goroutine has the turn to send, and something sealed in out
	send    sender // any goroutine
}

// gatherBytes ends the gathering of responses: what is there is sent before the next request is served.
const gatherBytes = 64 << 10

func (s *Server) serveConn(ctx context.Context, nc *listen.Conn) error {
	c := s.newConn(nc)
	err := nc.Loop(ctx, protocol{c})
	if drained(err) {
		c.finish()
	}
	c.over()
	return err
}

func (s *Server) newConn(nc *listen.Conn) *serverConn {
	return &serverConn{
		srv: s, conn: nc, renewals: bucket{level: renewBurst}, channel: s.channels.NewChannel(s.channelID(), nc.RemoteAddr().String()),
	}
}

// drained says whether the server ended the connection because it stops.
func drained(err error) bool {
	var e *listen.Error
	return errors.As(err, &e) && e.Reason == listen.ReasonDrained
}

// finish waits for the answers to what was asked before the server began to stop. Its context ends them when that takes too long.
func (c *serverConn) finish() {
	c.workers.Wait()
	c.waitTurn()
}

// over is the end of the connection.
func (c *serverConn) over() {
	c.srv.held.Add(int64(-c.held))
	c.came()
	c.closeSend()
	c.srv.detach(c)
	c.workers.Wait()
}

// remoteAddr returns the client's address.
func (c *serverConn) remoteAddr() net.Addr { return c.conn.RemoteAddr() }

// protocol is the face of a serverConn to listen.Conn.Loop.
type protocol struct{ *serverConn }

// Pending returns which message is half there.
func (c protocol) Pending() uint64 { return c.channel.Pending() }

// Owes says whether a method is under way, whose context ends with the connection.
func (c protocol) Owes() bool { return c.owed.Load() > 0 }

// Sent gives the turn to send back.
func (c protocol) Sent() { c.releaseTurn() }

// Serve answers the whole messages in in.
func (c protocol) Serve(ctx context.Context, in, out []byte) (used int, answers []byte, err error) {
	c.out = out
	used, err = c.gather(ctx, in)
	if err != nil {
		err = c.ending(err)
	}
	answers, c.out, c.call = c.out, nil, call{} // the buffers are lent
	if len(answers) == 0 {
		c.releaseTurn()
	}
	return used, answers, err
}

func (c *serverConn) gather(ctx context.Context, in []byte) (used int, err error) {
	for len(c.out) < gatherBytes && used < len(in) {
		n, more, err := c.one(ctx, in[used:])
		used += n
		if err != nil || !more {
			return used, err
		}
	}
	return used, nil
}

// one takes the next message and serves it. more is false when there was no whole one.
func (c *serverConn) one(ctx context.Context, in []byte) (used int, more bool, err error) {
	secured := false
	if isOpen(in) {
		if secured, err = c.admit(ctx, in); err != nil {
			return 0, false, err
		}
	}
	if secured {
		defer c.srv.keys.leave()
	}
	now := time.Now()
	used, m, err := c.channel.Next(in, now)
	if err == nil {
		err = c.hold(used)
	}
	if err != nil || m.Kind == 0 {
		return used, false, err
	}
	err = c.message(ctx, m, now)
	c.channel.Release()
	return used, true, err
}

// maxStranger is how long a request may be on a connection without a session: CreateSession with a certificate and its issuers fits twice.
const maxStranger = 128 << 10

// hold accounts for the bytes of requests that are half here: few for strangers, and for all connections together no more than the server has for them.
func (c *serverConn) hold(used int) error {
	s := c.srv
	if c.channel.Pending() == 0 {
		if c.held != 0 { // most requests are one chunk, and leave the counter that all share alone
			s.held.Add(int64(-c.held))
			c.held = 0
		}
		return nil
	}
	c.held += used
	switch all := s.held.Add(int64(used)); {
	case c.last == nil && c.held > maxStranger:
		return &uasc.Error{Op: "serve", Status: ua.BadTcpMessageTooLarge, Reason: "a long request without a session"}
	case all > int64(s.cfg.Quotas.ReceiveBytes):
		return &uasc.Error{Op: "serve", Status: ua.BadTcpNotEnoughResources, Reason: "too many long requests at once"}
	}
	return nil
}

func (c *serverConn) message(ctx context.Context, m uasc.Message, now time.Time) (err error) {
	switch m.Kind {
	case uasc.KindHello:
		return c.hello(m)
	case uasc.KindOpen:
		return c.openChannel(m, now)
	case uasc.KindMessage:
		return c.request(ctx, m, now)
	case uasc.KindClose:
		return errChannelClosed
	}
	return &uasc.Error{Op: "serve", Status: ua.BadTcpMessageTypeInvalid, Reason: "a message of a server"}
}

var (
	errChannelClosed = &listen.Error{Reason: "channel closed"}
	errSlow          = &listen.Error{Reason: "slow reader", Reset: true}
)

// hello answers HEL. While openings would have to wait for too long, the client is told at once, before either side has calculated anything.
func (c *serverConn) hello(m uasc.Message) error {
	if c.greeted = c.srv.keys.greet(); !c.greeted {
		return errBusy
	}
	out, h, err := c.channel.AcceptHello(c.out, m)
	if err != nil {
		return err
	}
	c.out, c.url = out, h.EndpointURL
	return nil
}

// came ends the wait for the client's OpenSecureChannel, if there is one.
func (c *serverConn) came() {
	if c.greeted {
		c.srv.keys.came()
		c.greeted = false
	}
}

var errBusy = &uasc.Error{Op: "serve", Status: ua.BadTcpServerTooBusy, Reason: "too many channels are being opened, come again"}

// A channel is renewed at three quarters of its token's life, which is 10 s at least.
const (
	renewRate  = 0.5
	renewBurst = 5
)

// isOpen says whether in begins with a whole OpenSecureChannel.
func isOpen(in []byte) bool {
	return len(in) >= 12 && string(in[:3]) == "OPN" && int64(binary.LittleEndian.Uint32(in[4:])) <= int64(len(in))
}

// admit takes a place for an OpenSecureChannel before anything is calculated for it. secured says that one was taken among those who use the private key.
func (c *serverConn) admit(ctx context.Context, in []byte) (secured bool, err error) {
	s := c.srv
	c.came()
	if c.open && !c.renewals.take(s.now(), renewRate, renewBurst) || !s.openings.take(c.remoteAddr(), s.now()) {
		return false, errBusy
	}
	if !namesSecurity(in[12:]) {
		return false, nil
	}
	if status := s.keys.enter(ctx, c.open); status != ua.Good {
		return false, errBusy
	}
	return true, nil
}

var noneURI = []byte(uasc.None.URI())

// namesSecurity says whether a policy other than None is named where the security header begins.
func namesSecurity(header []byte) bool {
	if len(header) < 4 {
		return false
	}
	n := int64(int32(binary.LittleEndian.Uint32(header)))
	return n > 0 && (n != int64(len(noneURI)) || !bytes.HasPrefix(header[4:], noneURI))
}

// openChannel answers OpenSecureChannel. The response must not come between a message that is being sealed and its place on the wire.
func (c *serverConn) openChannel(m uasc.Message, now time.Time) error {
	c.waitTurn()
	out, opened, err := c.channel.AcceptOpen(c.out, m, now)
	if err != nil {
		return err
	}
	c.out = out
	c.srv.counts.opened(opened.Renewed)
	if !c.open {
		c.open = true
		c.conn.Established()
	}
	return nil
}

// ending appends the ERR that goes with err, and says under which reason it is counted.
func (c *serverConn) ending(err error) error {
	var ue *uasc.Error
	var hangUp *HangUpError
	switch {
	case errors.As(err, &ue):
		c.out = uasc.AppendError(c.out, ue.Status, ue.Reason)
		return &listen.Error{Reason: listen.Reason(ue.Status.String()), Refused: !c.open, Err: err}
	case errors.As(err, &hangUp):
		if hangUp.Status != 0 {
			c.out = uasc.AppendError(c.out, hangUp.Status, "")
		}
		return &listen.Error{Reason: listen.Reason(hangUp.Reason), Reset: hangUp.Reset, Refused: !c.open, Err: err}
	}
	return err
}
