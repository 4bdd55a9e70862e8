package opcua

import (
	"context"
	"encoding/binary"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// responseHeaderBytes is the length of what appendResponseHeader appends: 4 for the encoding, 8 time, 4 handle, 4 result, 1 no diagnostics, 4 no strings, 3 no additional header.
const responseHeaderBytes = 28

// appendResponseHeader appends the encoding id of a response and its ResponseHeader.
func appendResponseHeader(b []byte, response, handle uint32, result ua.StatusCode, now time.Time) []byte {
	b = append(b, 1, 0, byte(response), byte(response>>8))
	b = ua.AppendDateTime(b, ua.DateTimeOf(now))
	b = binary.LittleEndian.AppendUint32(b, handle)
	b = binary.LittleEndian.AppendUint32(b, uint32(result))
	return append(b, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0)
}

// tokenHead is what a sessionToken begins with on the wire: an opaque NodeId of namespace 0 with 32 bytes.
const tokenHead = "\x05\x00\x00\x20\x00\x00\x00"

// request serves a MSG.
//
//	encoding id, token ─► needs ─► session, channel ─► Intercept ─┬► service ─► response or ServiceFault
//	                                                              └► work: Call, Write, HistoryRead
//
// The body is looked at when it is certain that somebody may ask for the service at all.
func (c *serverConn) request(ctx context.Context, m uasc.Message, now time.Time) error {
	k := &c.call
	*k = call{server: c.srv, conn: c, id: m.RequestID, received: now}
	if m.Aborted != 0 {
		return c.aborted(m)
	}
	d := ua.NewDecoder(m.Body, c.srv.cfg.Limits)
	k.service = d.EncodingId()
	token, sent := c.decodeHeader(&d, m.Body)
	if takesLong(k.service) {
		if err := c.flush(); err != nil {
			return err
		}
	}
	status := ua.BadDecodingError
	if !d.Bad() {
		status = c.authorise(token, sent)
	} else {
		k.service = 0
	}
	if status == ua.Good && c.srv.cfg.Intercept != nil {
		var err error
		if status, err = c.intercept(ctx, m.Body[len(m.Body)-d.Left():]); err != nil || status == noAnswer {
			return err
		}
	}
	if status == ua.Good && hosted(k.service) {
		if status = c.host(ctx, m, &d); status == ua.Good {
			return nil
		}
	}
	return c.answer(ctx, &d, status)
}

// aborted answers a request that was longer than what is taken. One that the client gave up itself gets no answer.
func (c *serverConn) aborted(m uasc.Message) error {
	if m.Aborted != ua.BadRequestTooLarge {
		return nil
	}
	return c.fault(ua.BadRequestTooLarge)
}

// decodeHeader reads the RequestHeader; sent says that there was a token, whatever it was. It reads the token by itself, because NodeId would make a string of it.
func (c *serverConn) decodeHeader(d *ua.Decoder, body []byte) (token sessionToken, sent bool) {
	if rest := body[min(d.At(), len(body)):]; len(rest) > len(tokenHead)+len(token) && string(rest[:len(tokenHead)]) == tokenHead {
		sent = true
		copy(token[:], rest[len(tokenHead):])
		d.Skip(len(tokenHead) + len(token))
	} else {
		id := d.NodeId()
		sent = !id.IsNull()
	}
	d.Alias = true
	h := &c.call.header
	h.Timestamp = d.DateTime()
	h.RequestHandle = d.U32()
	h.ReturnDiagnostics = d.U32()
	_ = d.String() // AuditEntryId
	h.TimeoutHint = d.U32()
	if x := d.ExtensionObject(); takesLong(c.call.service) {
		h.AdditionalHeader = x
	}
	if h.TimeoutHint != 0 {
		c.call.deadline = c.call.received.Add(time.Duration(h.TimeoutHint) * time.Millisecond)
	}
	return token, sent
}

// authorise finds the session and says whether the service may be asked for at all.
func (c *serverConn) authorise(token sessionToken, sent bool) ua.StatusCode {
	k := &c.call
	n := needOf(k.service)
	switch {
	case n == needUnknown:
		return ua.BadServiceUnsupported
	case c.channel.DiscoveryOnly() && (n != needNothing || k.service == idCreateSession):
		return ua.BadSecurityPolicyRejected
	case n == needNothing:
		return ua.Good
	}
	x := c.last
	if x == nil || x.token != token || x.conn.Load() != c {
		if x = c.srv.sessions.find(&token); x == nil || !sent {
			return ua.BadSessionIdInvalid
		}
	}
	k.session = x
	if n == needToken {
		return ua.Good
	}
	switch {
	case x.conn.Load() != c:
		return ua.BadSecureChannelIdInvalid
	case !x.active.Load():
		return ua.BadSessionNotActivated
	}
	c.last = x
	return ua.Good
}

// answer calls the service, unless status refuses it already, and seals what becomes of it.
func (c *serverConn) answer(ctx context.Context, d *ua.Decoder, status ua.StatusCode) error {
	k := &c.call
	if status == ua.Good && k.service == idPublish {
		status = c.publish(ctx, d)
		if status == ua.Good {
			return nil
		}
	} else if status == ua.Good {
		start := len(c.out)
		c.out = c.channel.Begin(c.out, k.id)
		c.out = appendResponseHeader(c.out, responseTo(k.service), k.header.RequestHandle, ua.Good, k.received)
		c.out, status = c.run(ctx, k, d, c.out)
		if status == ua.Good {
			return c.respond(start, k.limit())
		}
		c.out = c.out[:start]
	}
	return c.fault(status)
}

// fault answers the request at hand with a ServiceFault.
func (c *serverConn) fault(status ua.StatusCode) error {
	k := &c.call
	c.srv.counts.fault(status)
	start := len(c.out)
	c.out = appendResponseHeader(c.channel.Begin(c.out, k.id), idServiceFault, k.header.RequestHandle, status, k.received)
	return c.respond(start, 0)
}

// limit returns how long a response the session takes.
func (c *call) limit() uint32 {
	if c.session == nil {
		return 0
	}
	return c.session.maxResponse
}

// run calls the service with its session's turn. What is done as work was in use when it came, and is no sign of its client afterwards.
func (c *serverConn) run(ctx context.Context, k *call, d *ua.Decoder, out []byte) (b []byte, status ua.StatusCode) {
	s, x := c.srv, k.session
	if x == nil {
		return s.serve(ctx, k, d, out)
	}
	x.turn.Lock()
	defer x.turn.Unlock()
	if x.ended {
		return out, ua.BadSessionClosed
	}
	s.counts.requests.Add(1)
	if k.hosted {
		b, status = s.serve(ctx, k, d, out)
	} else {
		k.caller = x.caller
		x.touch(s.now())
		b, status = s.serve(ctx, k, d, out)
		if k.service != idRead { // which takes no time that counts
			x.touch(s.now())
		}
	}
	x.counts.count(k.service, status)
	return b, status
}

// publish takes a Publish request, which is answered later. It does not wait for the session's turn.
func (c *serverConn) publish(ctx context.Context, d *ua.Decoder) ua.StatusCode {
	k := &c.call
	c.srv.counts.requests.Add(1)
	k.session.touch(c.srv.now())
	status := c.srv.servePublish(ctx, k, d)
	k.session.counts.count(k.service, status)
	return status
}
