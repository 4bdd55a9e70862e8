package s7

import (
	"context"

	"millrace/wire"
)

// one serves the message at hand, which came in frame, and gathers its answer.
func (c *ServerConn) one(ctx context.Context, frame []byte) error {
	if c.msg.Code != TPDUData {
		return c.tpduCame()
	}
	p := &c.msg.PDU
	switch from := c.enter(); {
	case from == SessionInit:
		return errEarlyData
	case from == SessionAuthed && (p.Kind != KindJob || p.Function() != FuncSetup):
		return errNoSetup
	case from == SessionClosed:
		return errLate
	}
	c.srv.counts.requests[p.Function()].Add(1)
	var code ErrorCode
	if c.intercept != nil {
		if c.copied == nil {
			c.copied = c.srv.pools.copy.get()
		}
		frame = c.whole(frame)
		var err error
		if code, err = c.intercept.Request(ctx, c, frame); err != nil {
			return err
		}
	}
	if code == 0 && p.size() > c.pdu { // PLC4X packs a write of one long array beyond the granted length: an answer keeps the connection
		code = ErrFrame
	}
	start := len(c.out)
	if err := c.respond(ctx, p, code); err != nil {
		return err
	}
	c.settle(p, start)
	if c.intercept == nil || len(c.out) == start {
		return nil
	}
	return c.answerThrough(ctx, frame, start)
}

// answerThrough gives the answer at c.out[start:] to the Interceptor.
func (c *ServerConn) answerThrough(ctx context.Context, request []byte, start int) error {
	n := len(c.copied.b)
	c.copied.b = append(c.copied.b, c.out[start:]...)
	c.out = c.out[:start]
	return c.intercept.Answer(ctx, c, request, c.copied.b[n:])
}

// whole returns the frame of the message at hand: as it came, or put together when it came in fragments.
func (c *ServerConn) whole(frame []byte) []byte {
	c.copied.b = c.copied.b[:0]
	p := &c.msg.PDU
	if p.size()+FrameBytes != len(frame) {
		c.copied.b = EndFrame(appendPDU(BeginFrame(c.copied.b), p), 0)
		return c.copied.b
	}
	return frame
}

// appendPDU appends what p was decoded from.
func appendPDU(b []byte, p *PDU) []byte {
	start := len(b)
	b = endParam(append(beginPDU(b, p.Kind, p.Ref, p.Err), p.Param...), start)
	return endData(append(b, p.Data...), start)
}

// respond appends the answer to c.out. code is a refusal that was decided on already.
func (c *ServerConn) respond(ctx context.Context, p *PDU, code ErrorCode) error {
	c.req = Request{Conn: c, Function: p.Function(), Ref: p.Ref}
	switch p.Kind {
	case KindJob:
		if code == 0 {
			code = c.job(ctx, p)
		}
		if code != 0 {
			c.refuse(p, code)
		}
	case KindUserdata:
		if code != 0 {
			c.refuseUserdata(p, code)
			return nil
		}
		c.serveUserdata(ctx, p)
	case KindAck, KindAckData:
		return c.serveAnswer(ctx, p)
	}
	return nil
}

// job serves a Job: 0, or why it is refused as a whole.
func (c *ServerConn) job(ctx context.Context, p *PDU) ErrorCode {
	switch c.req.Function {
	case FuncRead:
		return c.serveRead(ctx, p)
	case FuncWrite:
		return c.serveWrite(ctx, p)
	case FuncSetup:
		return c.setup(p)
	}
	return c.serveJob(ctx, p)
}

// refuse appends the answer to a Job that is refused as a whole.
func (c *ServerConn) refuse(p *PDU, code ErrorCode) {
	c.srv.counts.refuse(code)
	start := len(c.out)
	c.out = EndFrame(AppendRefusal(BeginFrame(c.out), p.Ref, code), start)
}

// refuseUserdata appends the answer to a Userdata PDU that is refused. One whose parameters cannot be decoded is refused under group and
// subfunction 0.
func (c *ServerConn) refuseUserdata(p *PDU, code ErrorCode) {
	c.srv.counts.refuse(code)
	var u Userdata
	_ = u.decodeParam(p) // leaves the zeros that are wanted then
	r := u.Refuse(code)
	start := len(c.out)
	c.out = EndFrame(r.AppendTo(BeginFrame(c.out), p.Ref), start)
}

// settle holds the answer at c.out[start:] to what the client can take: its PDU length, beyond which the whole answer is a refusal, and its TPDU
// size, beyond which it comes in fragments.
func (c *ServerConn) settle(p *PDU, start int) {
	longest := longestFrame(c.out[start:])
	if longest > c.pdu+FrameBytes {
		c.out = c.out[:start]
		if p.Kind == KindUserdata {
			c.refuseUserdata(p, ErrFrame)
		} else {
			c.refuse(p, ErrFrame)
		}
		longest = longestFrame(c.out[start:])
	}
	if longest > c.tpdu+tpktBytes {
		c.out = refragment(c.out, start, c.tpdu)
	}
}

// longestFrame returns the length of the longest of the whole frames in b.
func longestFrame(b []byte) (n int) {
	for len(b) >= FrameBytes {
		c := wire.Over(b[tpktLengthAt:])
		frame := int(c.U16())
		n = max(n, frame)
		b = b[min(max(frame, FrameBytes), len(b)):]
	}
	return n
}

// refragment cuts the whole frames at b[start:] to TPDUs of size bytes.
func refragment(b []byte, start, size int) []byte {
	frames := append([]byte(nil), b[start:]...) // seldom: clients have TPDUs that are long enough
	b = b[:start]
	for len(frames) > 0 {
		n := longestFrame(frames[:FrameBytes])
		b = AppendFragments(b, frames[FrameBytes:n], size)
		frames = frames[n:]
	}
	return b
}

// Protection levels.
const (
	levelWrite = 2 // changes need the password from here on
	levelRead  = 3 // reading does
)

func (c *ServerConn) serveRead(ctx context.Context, p *PDU) ErrorCode {
	if c.read == nil {
		c.read = c.srv.pools.read.get()
	}
	m := c.read
	if code := m.Decode(p); code != 0 {
		return code
	}
	c.req.Items = len(m.Items)
	b := BeginFrame(c.out)
	start := len(b)
	b = BeginReadResponse(b, p.Ref, len(m.Items))
	for i := range m.Items {
		c.req.Index = i
		var code ErrorCode
		if b, code = c.readItem(ctx, &m.Items[i], b, start); code != 0 {
			return code
		}
	}
	c.out = EndFrame(EndReadResponse(b, start), len(c.out))
	return 0
}

// readItem appends the item's data to the answer at b[start:]. The code refuses the whole answer: it has no room for the item.
func (c *ServerConn) readItem(ctx context.Context, it *Item, b []byte, start int) ([]byte, ErrorCode) {
	code := it.Check()
	if code == ReturnOK && c.Level() >= levelRead {
		code = ReturnAccess
	}
	room := c.pdu - (len(b) - start) - (len(b)-start)%2 - dataHeader // behind the item's head; the fill before it counts
	if code == ReturnOK && it.Len() > room {
		if code = c.checkItem(ctx, it); code == ReturnOK {
			return b, ErrFrame
		}
	}
	if code == ReturnOK {
		grown, dst := GrowReadItem(b, start, dataSize(it), it.Len())
		clear(dst) // what another client was answered stays with it, whatever the handler leaves out
		if code = c.faces.ReadItem(ctx, &c.req, it, dst); code == ReturnOK {
			return grown, 0
		}
	}
	if room < 0 {
		return b, ErrFrame
	}
	c.srv.counts.items[code].Add(1)
	return AppendReadItem(b, start, DataItem{Code: code}), 0
}

// dataSize returns how the data of an item are marked. A length that counts bits holds 8,191 bytes; longer ones come in octets.
func dataSize(it *Item) DataSize {
	const mostInBits = 0xFFFF / 8
	if s := it.Size.Data(); !s.countsBits() || it.Len() <= mostInBits {
		return s
	}
	return DataOctet
}

// checkItem asks the handler about an item that will not be served.
func (c *ServerConn) checkItem(ctx context.Context, it *Item) ReturnCode {
	if c.faces.check == nil {
		return ReturnOK
	}
	return c.faces.check.CheckItem(ctx, &c.req, it)
}

func (c *ServerConn) serveWrite(ctx context.Context, p *PDU) ErrorCode {
	if c.write == nil {
		c.write = c.srv.pools.write.get()
	}
	m := c.write
	if code := m.Decode(p); code != 0 {
		return code
	}
	c.req.Items = len(m.Items)
	b := BeginFrame(c.out)
	start := len(b)
	b = endParam(append(beginPDU(b, KindAckData, p.Ref, 0), byte(FuncWrite), byte(len(m.Items))), start)
	for i := range m.Items {
		c.req.Index = i
		b = append(b, byte(c.writeItem(ctx, &m.Items[i], &m.Data[i])))
	}
	c.out = EndFrame(endData(b, start), len(c.out))
	return 0
}

func (c *ServerConn) writeItem(ctx context.Context, it *Item, d *DataItem) ReturnCode {
	code := it.Check()
	if code == ReturnOK && c.Level() >= levelWrite {
		code = ReturnAccess
	}
	if code == ReturnOK {
		if code = it.CheckWrite(d); code == ReturnOK {
			code = c.faces.WriteItem(ctx, &c.req, it, d.Data)
		} else if missing := c.checkItem(ctx, it); missing != ReturnOK {
			code = missing
		}
	}
	if code != ReturnOK {
		c.srv.counts.items[code].Add(1)
	}
	return code
}
