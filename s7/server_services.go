package s7

import (
	"context"
	"sync/atomic"
)

// serviceFaces are the faces of a Handler that serve more than memory.
type serviceFaces struct {
	szl      SZLReader
	blocks   BlockKeeper
	writer   BlockWriter
	clock    TimeKeeper
	guard    Guard
	control  Controller
	receiver BlockReceiver
	limiter  Limiter
}

// Limiter is a Handler that grants less than its server would: the longest PDU and the most jobs in flight. What Open says goes before it.
type Limiter interface {
	Limits() (pdu, window int)
}

// limits returns what is granted on a server that grants so much.
func (f *serviceFaces) limits(pdu, window int) (int, int) {
	if f.limiter == nil {
		return pdu, window
	}
	p, w := f.limiter.Limits()
	return max(MinPDU, min(p, pdu)), max(1, min(w, window))
}

func serviceFacesOf(h Handler) (f serviceFaces) {
	f.szl, _ = h.(SZLReader)
	f.blocks, _ = h.(BlockKeeper)
	f.writer, _ = h.(BlockWriter)
	f.clock, _ = h.(TimeKeeper)
	f.guard, _ = h.(Guard)
	f.control, _ = h.(Controller)
	f.receiver, _ = h.(BlockReceiver)
	f.limiter, _ = h.(Limiter)
	return f
}

// connServices is what services keep of a connection; nil until one needs it.
type connServices struct {
	seq    uint8 // the last that was given
	locked uint8 // the level before the password was given; 0 when it was not
	turn   uint32
	parts  []answerPart

	blocks *transfers
	cyclic *cyclicJobs
}

// pushCounts counts the pushes of all connections.
type pushCounts struct{ sent, skipped atomic.Uint64 }

func (c *ServerConn) service() *connServices {
	if c.services == nil {
		c.services = new(connServices)
	}
	return c.services
}

// transfers returns the blocks that are under way.
func (c *ServerConn) transfers() *transfers {
	s := c.service()
	if s.blocks == nil {
		s.blocks = &transfers{budget: &c.srv.transfers}
	}
	return s.blocks
}

// cyclicJobs returns the cyclic jobs, whose pushes end with ctx.
func (c *ServerConn) cyclicJobs(ctx context.Context) *cyclicJobs {
	s := c.service()
	if s.cyclic == nil {
		j := &cyclicJobs{c: c}
		ctx, j.cancel = context.WithCancel(ctx)
		j.ring = func() { j.push(ctx) }
		s.cyclic = j
	}
	return s.cyclic
}

// newSeq returns a sequence number that no answer in parts and no cyclic job has. It is never 0.
func (s *connServices) newSeq() uint8 {
	for {
		s.seq++
		if s.seq != 0 && !s.taken(s.seq) {
			return s.seq
		}
	}
}

func (s *connServices) taken(seq uint8) bool {
	for i := range s.parts {
		if s.parts[i].seq == seq {
			return true
		}
	}
	return s.cyclic != nil && s.cyclic.has(seq)
}

// serveUserdata serves a Userdata PDU: it appends whole frames to c.out.
func (c *ServerConn) serveUserdata(ctx context.Context, p *PDU) {
	var u Userdata
	code := ErrFrame
	if u.Decode(p) == nil {
		code = c.userdata(ctx, p, &u)
	}
	if code != 0 {
		c.refuseUserdata(p, code)
	}
}

// userdata serves a request, or answers why not. Answers and pushes are not a client's to send.
func (c *ServerConn) userdata(ctx context.Context, p *PDU, u *Userdata) ErrorCode {
	if u.Type != UserdataRequest {
		return ErrServiceUnknown
	}
	switch u.Group {
	case GroupCyclic:
		return c.serveCyclic(ctx, p, u)
	case GroupBlock:
		return c.serveBlocks(ctx, p, u)
	case GroupCPU:
		if u.Sub == SubSZL {
			return c.serveSZL(ctx, p, u)
		}
	case GroupSecurity:
		return c.servePassword(ctx, p, u)
	case GroupBSend:
		return c.serveBSend(ctx, p, u)
	case GroupTime:
		return c.serveClock(ctx, p, u)
	}
	return ErrServiceUnknown
}

// serveJob serves a Job that is no Setup, read or write. It appends whole frames to c.out and answers 0, or why it refuses.
func (c *ServerConn) serveJob(ctx context.Context, p *PDU) ErrorCode {
	switch p.Function() {
	case FuncDownloadRequest:
		return c.startDownload(ctx, p)
	case FuncUploadStart:
		return c.startUpload(ctx, p)
	case FuncUpload:
		return c.upload(p)
	case FuncUploadEnd:
		return c.endUpload(p)
	case FuncPIService:
		return c.servePI(ctx, p)
	case FuncStop:
		return c.serveStop(ctx, p)
	}
	return ErrServiceUnknown
}

// serveAnswer takes an Ack or Ack_Data of the client, which answers a Job of ours. An error ends the connection.
func (c *ServerConn) serveAnswer(ctx context.Context, p *PDU) error {
	if c.services == nil || c.services.blocks == nil {
		return errUnasked
	}
	return c.downloadAnswer(ctx, p)
}

// endServices is called once when the connection is over. It waits for what timers have begun.
func (c *ServerConn) endServices() {
	s := c.services
	if s == nil {
		return
	}
	if s.cyclic != nil {
		s.cyclic.end()
	}
	if s.blocks != nil {
		s.blocks.end()
	}
}
