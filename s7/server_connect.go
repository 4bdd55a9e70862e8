package s7

import (
	"errors"
	"math"

	"millrace/internal/listen"
)

// protocolEnd is a reason of this package to end a connection.
type protocolEnd struct{ reason listen.Reason }

func (e *protocolEnd) Error() string { return "s7: " + string(e.reason) }

// The reasons to end a connection besides those of FrameReason and of package listen.
var (
	errEarlyData   = &protocolEnd{"data before connect request"}
	errConnectBad  = &protocolEnd{"malformed connect request"}
	errConnectMore = &protocolEnd{"second connect request"}
	errNoSetup     = &protocolEnd{"no setup"}
	errDisconnect  = &protocolEnd{"disconnect request"}
	errTPDU        = &protocolEnd{"unexpected tpdu"}
	errLate        = &protocolEnd{listen.ReasonIdle} // a job that came when the session was closed already
	errUnasked     = &protocolEnd{"answer to nothing"}
)

// tpduCame serves a TPDU that holds no PDU.
func (c *ServerConn) tpduCame() error {
	switch c.msg.Code {
	case TPDUConnectRequest:
		if c.session.state() != SessionInit {
			return errConnectMore
		}
		return c.connect(c.msg.TPDU)
	case TPDUDisconnectRequest:
		return errDisconnect
	}
	return errTPDU
}

// connect answers the CR.
func (c *ServerConn) connect(tpdu []byte) error {
	var cr Connect
	if err := cr.Decode(tpdu); err != nil {
		return errConnectBad
	}
	c.peerRef, c.ref = cr.SrcRef, uint16(c.number%math.MaxUint16)+1 // never 0
	c.calling, c.call = tsapOf(cr.Calling), tsapOf(cr.Called)
	if err := c.open(); err != nil {
		return err
	}
	cc := cr.Confirm(c.ref, TPDUSizeFor(c.pdu))
	c.tpdu = cc.Size.Bytes()
	c.out = cc.AppendTo(c.out)
	c.worker.move(c, SessionAuthed)
	return nil
}

// open finds out who serves the connection.
func (c *ServerConn) open() error {
	s := c.srv
	var sv Service
	if s.cfg.Open != nil {
		var err error
		if sv, err = s.cfg.Open(c); err != nil {
			return err
		}
	}
	c.closed = sv.Closed
	return c.use(sv)
}

func (c *ServerConn) use(sv Service) error {
	cfg := &c.srv.cfg
	c.faces = c.srv.faces
	if sv.Handler != nil {
		c.faces = facesOf(sv.Handler)
	}
	if c.faces == nil {
		return errors.New("s7: Open named no handler, and there is no other")
	}
	if c.intercept = sv.Intercept; c.intercept == nil {
		c.intercept = cfg.Intercept
	}
	c.pdu, c.window = c.faces.limits(cfg.PDU, cfg.Window)
	if sv.PDU != 0 {
		c.pdu = min(max(sv.PDU, MinPDU), maxServerPDU)
	}
	if sv.Window != 0 {
		c.window = min(max(sv.Window, 1), maxWindow)
	}
	c.session.level.Store(uint32(max(sv.Level, c.faces.protection())))
	return nil
}

// setup answers a Setup. A second one changes nothing: a client that asks for what it was granted is told so again, any other is refused.
func (c *ServerConn) setup(p *PDU) ErrorCode {
	var m SetupRequest
	if code := m.Decode(p); code != 0 {
		return code
	}
	grant, code := m.Grant(uint16(c.pdu), uint16(c.window))
	if code != 0 {
		return code
	}
	again := c.session.state() == SessionActive
	if again && (int(grant.PDU) != c.pdu || grant.Window() != c.window) {
		return ErrSequence
	}
	start := len(c.out)
	b := BeginFrame(c.out)
	c.out = EndFrame(grant.AppendTo(b, p.Ref), start)
	if again {
		return 0
	}
	c.pdu, c.window = int(grant.PDU), grant.Window()
	c.stream.setPDU(c.pdu, DefaultPDU)
	c.conn.Established()
	c.worker.move(c, SessionActive)
	return 0
}
