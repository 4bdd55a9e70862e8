package s7

import (
	"context"
	"math"
)

// maxParted is how many answers in parts a connection may have under way: a client that reads several lists at once gets each of them, and what
// a client leaves unread is bounded. The oldest gives way.
const maxParted = 4

// answerPart is what is left of a Userdata answer that comes in parts. The client asks for the next one by the sequence number of the first.
type answerPart struct {
	group Group
	sub   uint8
	seq   uint8
	turn  uint32 // the higher, the later it was begun

	data []byte // what is left of a system status list

	blocks BlockType // of a list of blocks, which is read anew for each part
	from   uint16    // the next number
}

// firstPart sends the first part of an answer and keeps the rest, if there is one. An answer without anything in it is ErrNoBlock.
func (c *ServerConn) firstPart(ctx context.Context, p *PDU, r *Userdata, part answerPart) ErrorCode {
	r.Data, r.More = c.take(ctx, &part)
	if len(r.Data) == 0 {
		return ErrNoBlock
	}
	if r.More {
		s := c.service()
		part.group, part.sub, part.seq = r.Group, r.Sub, s.newSeq()
		s.keepPart(part)
		r.number(part.seq)
	}
	c.reply(p, r)
	return 0
}

// nextPart answers a follow-up. One that nothing was begun for is out of sequence.
func (c *ServerConn) nextPart(ctx context.Context, p *PDU, u *Userdata) ErrorCode {
	part := c.services.part(u)
	if part == nil {
		return ErrSequence
	}
	r := u.Reply()
	r.Data, r.More = c.take(ctx, part)
	r.number(part.seq)
	if !r.More {
		c.services.dropPart(part)
	}
	c.reply(p, &r)
	return 0
}

// number marks a part. All parts of an answer have the same data unit, which is not 0: by it they are put together.
func (m *Userdata) number(seq uint8) { m.Seq, m.Unit = seq, seq }

// take returns what the next PDU has room for, and whether there is more.
func (c *ServerConn) take(ctx context.Context, part *answerPart) (data []byte, more bool) {
	if part.blocks != 0 {
		return c.takeBlocks(ctx, part)
	}
	n := min(len(part.data), MaxUserdata(c.pdu))
	data, part.data = part.data[:n], part.data[n:]
	return data, len(part.data) > 0
}

func (c *ServerConn) takeBlocks(ctx context.Context, part *answerPart) (data []byte, more bool) {
	fit := MaxUserdata(c.pdu) / blockEntry
	into := make([]BlockEntry, fit+1)
	n := min(max(0, c.faces.blocks.ListBlocks(ctx, &c.req, part.blocks, part.from, into)), fit+1)
	if n > 0 {
		last := into[min(n, fit)-1].Number
		more = n > fit && last < math.MaxUint16
		part.from = last + 1
	}
	return AppendBlockList(nil, into[:min(n, fit)]...), more
}

// keepPart keeps an answer that is under way, in place of the oldest when there are too many.
func (s *connServices) keepPart(part answerPart) {
	s.turn++
	part.turn = s.turn
	if len(s.parts) < maxParted {
		s.parts = append(s.parts, part)
		return
	}
	oldest := &s.parts[0]
	for i := range s.parts {
		if s.turn-s.parts[i].turn > s.turn-oldest.turn {
			oldest = &s.parts[i]
		}
	}
	*oldest = part
}

// part returns the answer that a follow-up asks for, or nil.
func (s *connServices) part(u *Userdata) *answerPart {
	if s == nil {
		return nil
	}
	for i := range s.parts {
		if part := &s.parts[i]; part.group == u.Group && part.sub == u.Sub && part.seq == u.Seq {
			return part
		}
	}
	return nil
}

// dropPart forgets an answer that is complete.
func (s *connServices) dropPart(part *answerPart) {
	last := len(s.parts) - 1
	*part = s.parts[last]
	s.parts[last] = answerPart{}
	s.parts = s.parts[:last]
}
