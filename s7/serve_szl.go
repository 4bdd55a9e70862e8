package s7

import (
	"bytes"
	"context"
)

// SZLReader is a Handler that has system status lists. It appends the whole list, as SZL.AppendTo does, at most 65,536 bytes, or answers why there
// is none, usually ErrNoSZL. The server sends it in as many parts as it takes. Without it every list is refused with ErrNoSZL.
type SZLReader interface {
	ReadSZL(ctx context.Context, r *Request, id, index uint16, dst []byte) (list []byte, code ErrorCode)
}

const (
	szlHead = 8 // id, index, record length, count
	maxSZL  = 1 << 16
)

func (c *ServerConn) serveSZL(ctx context.Context, p *PDU, u *Userdata) ErrorCode {
	if u.IsFollowUp() {
		return c.nextPart(ctx, p, u)
	}
	var m SZLRequest
	if code := m.Decode(u); code != 0 {
		return code
	}
	if c.faces.szl == nil {
		return ErrNoSZL
	}
	r := u.Reply()
	b := r.Begin(BeginFrame(c.out), p.Ref)
	start := len(b)
	b, code := c.faces.szl.ReadSZL(ctx, &c.req, m.ID, m.Index, b)
	n := len(b) - start
	switch {
	case code != 0:
		return code
	case n < szlHead || n > maxSZL:
		return ErrInfoNotNow
	case n <= MaxUserdata(c.pdu):
		c.endReply(b)
		return 0
	}
	return c.firstPart(ctx, p, &r, answerPart{data: bytes.Clone(b[start:])})
}

// endReply completes the Userdata answer that was begun behind c.out.
func (c *ServerConn) endReply(b []byte) {
	start := len(c.out)
	c.out = EndFrame(EndUserdata(b, start+FrameBytes), start)
}

// reply appends a Userdata answer.
func (c *ServerConn) reply(p *PDU, r *Userdata) {
	start := len(c.out)
	c.out = EndFrame(r.AppendTo(BeginFrame(c.out), p.Ref), start)
}
