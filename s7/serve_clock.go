package s7

import (
	"context"
	"time"
)

// TimeKeeper is a Handler that has a clock: the PLC's wall clock as UTC, in milliseconds. Without it reading and setting are refused with
// ErrServiceUnknown.
type TimeKeeper interface {
	ReadClock(ctx context.Context, r *Request) (time.Time, ErrorCode)
	// SetClock takes a time within 1990..2089.
	SetClock(ctx context.Context, r *Request, t time.Time) ErrorCode
}

func (c *ServerConn) serveClock(ctx context.Context, p *PDU, u *Userdata) ErrorCode {
	if c.faces.clock == nil {
		return ErrServiceUnknown
	}
	switch u.Sub {
	case SubClockRead, SubClockReadForm:
		return c.readClock(ctx, p, u)
	case SubClockSet, SubClockSetForm:
		return c.setClock(ctx, p, u)
	}
	return ErrServiceUnknown
}

func (c *ServerConn) readClock(ctx context.Context, p *PDU, u *Userdata) ErrorCode {
	t, code := c.faces.clock.ReadClock(ctx, &c.req)
	switch {
	case code != 0:
		return code
	case !inDT(t):
		return ErrInfoNotNow
	}
	r, m := u.Reply(), Clock{t}
	c.endReply(m.AppendTo(r.Begin(BeginFrame(c.out), p.Ref)))
	return 0
}

func (c *ServerConn) setClock(ctx context.Context, p *PDU, u *Userdata) ErrorCode {
	var m SetClockRequest
	if code := m.Decode(u); code != 0 {
		return code
	}
	if c.Level() >= levelWrite {
		return ErrProtected
	}
	if code := c.faces.clock.SetClock(ctx, &c.req, m.Time); code != 0 {
		return code
	}
	c.confirm(p, u)
	return 0
}

// confirm appends the answer that has no data.
func (c *ServerConn) confirm(p *PDU, u *Userdata) {
	r := u.Confirm()
	c.reply(p, &r)
}
