package s7

import (
	"context"
	"time"
)

// BlockReceiver is a Handler that takes what other PLCs send with BSEND: a whole block at a time, which is valid during the call, for the
// receiver of that R_ID. Without it BSend is refused with ErrServiceUnknown.
type BlockReceiver interface {
	ReceiveBlock(ctx context.Context, r *Request, rid uint32, data []byte) ErrorCode
}

// bsendAssembly is a block that comes in parts.
type bsendAssembly struct {
	rid   uint32
	total int
	unit  uint8 // of the last part
	data  []byte
	until time.Time
}

func (c *ServerConn) serveBSend(ctx context.Context, p *PDU, u *Userdata) ErrorCode {
	switch {
	case c.faces.receiver == nil || u.Sub != SubBSend:
		return ErrServiceUnknown
	case c.Level() >= levelWrite:
		return ErrProtected
	}
	t := c.transfers()
	t.mu.Lock()
	defer t.mu.Unlock()
	var m BSendPart
	if code := m.Decode(u, false); code != 0 { // as a later part, to learn the R_ID
		return code
	}
	switch i := t.send(m.RID); {
	case i >= 0 && u.Unit == nextUnit(t.sends[i].unit):
		return c.nextSend(ctx, p, u, t, i, &m)
	case u.Unit > 1:
		return ErrSequence
	case i >= 0:
		t.dropSend(i) // it begins anew
	}
	return c.firstSend(ctx, p, u, t)
}

// nextUnit returns the data unit behind u: 0 is that of a block in one part.
func nextUnit(u uint8) uint8 { return max(u+1, 1) }

func (c *ServerConn) firstSend(ctx context.Context, p *PDU, u *Userdata, t *transfers) ErrorCode {
	var m BSendPart
	if code := m.Decode(u, true); code != 0 {
		return code
	}
	if !u.More {
		return c.received(ctx, p, u, m.RID, int(m.Total), m.Data)
	}
	if len(t.sends) >= maxSends || !t.budget.take(int(m.Total)) {
		return ErrNoResource
	}
	t.sends = append(t.sends, bsendAssembly{rid: m.RID, total: int(m.Total), unit: u.Unit})
	return c.nextSend(ctx, p, u, t, len(t.sends)-1, &m)
}

// nextSend adds a part to assembly i.
func (c *ServerConn) nextSend(ctx context.Context, p *PDU, u *Userdata, t *transfers, i int, m *BSendPart) ErrorCode {
	s := &t.sends[i]
	if len(s.data)+len(m.Data) > s.total {
		t.dropSend(i)
		return ErrUserdataSyntax
	}
	s.unit, s.data = u.Unit, append(s.data, m.Data...)
	if !u.More {
		rid, total, data := s.rid, s.total, s.data
		t.dropSend(i)
		return c.received(ctx, p, u, rid, total, data)
	}
	s.until = time.Now().Add(transferTime)
	t.watch()
	c.confirm(p, u)
	return 0
}

func (c *ServerConn) received(ctx context.Context, p *PDU, u *Userdata, rid uint32, total int, data []byte) ErrorCode {
	if len(data) != total {
		return ErrUserdataSyntax
	}
	if code := c.faces.receiver.ReceiveBlock(ctx, &c.req, rid, data); code != 0 {
		return code
	}
	c.confirm(p, u)
	return 0
}

// send returns the index of the assembly of an R_ID, -1 if there is none.
func (t *transfers) send(rid uint32) int {
	for i := range t.sends {
		if t.sends[i].rid == rid {
			return i
		}
	}
	return -1
}

func (t *transfers) dropSend(i int) {
	t.budget.give(t.sends[i].total)
	last := len(t.sends) - 1
	t.sends[i] = t.sends[last]
	t.sends[last] = bsendAssembly{}
	t.sends = t.sends[:last]
}
