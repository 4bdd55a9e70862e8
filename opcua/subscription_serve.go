package opcua

import (
	"context"
	"time"

	"millrace/opcua/ua"
)

// The services of subscriptions [OPC 10000-4 5.14]. Each decodes its request from behind the header on and appends its response from behind the header on.

// of returns what a session has to do with subscriptions, made now if need be.
func (p *subscriptions) of(x *session) *sessionSubscriptions {
	if o := p.has(x); o != nil {
		return o
	}
	fresh := p.newOwner(x.id, subscriberOf(x))
	p.mu.Lock()
	defer p.mu.Unlock()
	if x.subs == nil {
		x.subs = fresh
	}
	return x.subs
}

// subscriberOf says who the session acts for now.
func subscriberOf(x *session) subscriber {
	user := x.who()
	return subscriber{
		user: user.key, anonymous: user.kind == ua.UserTokenTypeAnonymous,
		application: x.client.application.ApplicationUri, signed: x.client.signed(),
	}
}

// lockFor locks what the session has of subscriptions and notes for whom it acts, which may have changed.
func (p *subscriptions) lockFor(x *session) *sessionSubscriptions {
	o, who := p.of(x), subscriberOf(x)
	o.mu.Lock()
	o.owner = who
	return o
}

func (s *Server) serveCreateSubscription(_ context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	ms, lifetime, keepAlive := d.F64(), d.U32(), d.U32()
	most, enabled, priority := d.U32(), d.Bool(), d.U8()
	if d.Bad() {
		return out, d.Status()
	}
	p := s.subs
	interval, status := p.limits.reviseInterval(ms)
	if status != ua.Good {
		return out, status
	}
	lifetime, keepAlive = p.limits.reviseCounts(interval, lifetime, keepAlive)
	sub := &subscription{budget: subBudget{all: &p.budget}, machine: newSubMachine(keepAlive, lifetime, enabled), most: p.limits.reviseMost(most)}
	sub.rank.Store(rankOf(priority, 0))
	o := p.lockFor(c.session)
	status = p.add(o, sub)
	o.mu.Unlock()
	if status != ua.Good {
		return out, status
	}
	p.schedule(sub, interval)
	out = ua.AppendUInt32(out, sub.id)
	return appendRevised(out, interval, lifetime, keepAlive), ua.Good
}

func appendRevised(out []byte, interval time.Duration, lifetime, keepAlive uint32) []byte {
	out = ua.AppendDouble(out, millis(interval))
	out = ua.AppendUInt32(out, lifetime)
	return ua.AppendUInt32(out, keepAlive)
}

func (s *Server) serveModifySubscription(_ context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	id, ms, lifetime, keepAlive := d.U32(), d.F64(), d.U32(), d.U32()
	most, priority := d.U32(), d.U8()
	if d.Bad() {
		return out, d.Status()
	}
	p := s.subs
	o := p.lockFor(c.session)
	sub := o.find(id)
	interval, status := p.limits.reviseInterval(ms)
	if sub == nil {
		status = ua.BadSubscriptionIdInvalid
	}
	if status != ua.Good {
		o.mu.Unlock()
		return out, status
	}
	lifetime, keepAlive = p.limits.reviseCounts(interval, lifetime, keepAlive)
	sub.machine.modify(keepAlive, lifetime)
	sub.counts.modified++
	sub.setMost(p.limits.reviseMost(most))
	sub.rank.Store(uint64(priority)<<56 | sub.rank.Load()&rankTurns)
	o.mu.Unlock()
	p.schedule(sub, interval)
	return appendRevised(out, interval, lifetime, keepAlive), ua.Good
}

func (s *Server) serveSetPublishingMode(_ context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	enabled := d.Bool()
	n, status := operationCount(d, 4, s.subs.limits.PerCall)
	if status != ua.Good {
		return out, status
	}
	o := s.subs.lockFor(c.session)
	defer o.mu.Unlock()
	out = ua.AppendInt32(out, int32(n))
	for range n {
		status := ua.BadSubscriptionIdInvalid
		if sub := o.find(d.U32()); sub != nil {
			sub.enable(enabled)
			status = ua.Good
		}
		out = ua.AppendStatusCode(out, status)
	}
	return ua.AppendInt32(out, -1), ua.Good
}

// enable is for who holds the lock of the session.
func (s *subscription) enable(enabled bool) {
	s.machine.enable(enabled)
	if enabled {
		s.counts.enabled++
	} else {
		s.counts.disabled++
	}
}

func (s *Server) serveDeleteSubscriptions(_ context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	n, status := operationCount(d, 4, s.subs.limits.PerCall)
	if status != ua.Good {
		return out, status
	}
	o := s.subs.of(c.session)
	out = ua.AppendInt32(out, int32(n))
	for range n {
		out = ua.AppendStatusCode(out, s.subs.remove(o, d.U32()))
	}
	o.mu.Lock()
	o.refuseIdle()
	o.mu.Unlock()
	return ua.AppendInt32(out, -1), ua.Good
}

// remove ends a subscription of the session o.
func (p *subscriptions) remove(o *sessionSubscriptions, id uint32) ua.StatusCode {
	o.mu.Lock()
	sub := o.find(id)
	if sub != nil {
		o.remove(sub)
	}
	o.mu.Unlock()
	if sub == nil {
		return ua.BadSubscriptionIdInvalid
	}
	p.forget(sub)
	return ua.Good
}

// servePublish takes a Publish: what it acknowledges first. It is answered later, or at once with a bad status. [OPC 10000-4 5.14.5]
func (s *Server) servePublish(_ context.Context, c *call, d *ua.Decoder) ua.StatusCode {
	n := d.Count(8)
	switch {
	case d.Bad():
		return d.Status()
	case n > s.subs.limits.PerCall:
		return ua.BadTooManyOperations
	}
	r := subPublish{late: c.late()}
	o := s.subs.of(c.session)
	o.mu.Lock()
	defer o.mu.Unlock()
	for range n {
		id, number := d.U32(), d.U32()
		r.acks.add(o.acknowledge(id, number))
	}
	return o.publish(r, c.received)
}

func (s *Server) serveRepublish(_ context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	id, number := d.U32(), d.U32()
	if d.Bad() {
		return out, d.Status()
	}
	o := s.subs.lockFor(c.session)
	defer o.mu.Unlock()
	body, status := o.republish(id, number)
	return append(out, body...), status
}

func (s *Server) serveTransferSubscriptions(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	n, status := operationCount(d, 4, s.subs.limits.PerCall)
	if status != ua.Good {
		return out, status
	}
	var few [16]uint32
	ids := few[:0]
	for range n {
		ids = append(ids, d.U32())
	}
	initial := d.Bool()
	if d.Bad() {
		return out, d.Status()
	}
	to := s.subs.lockFor(c.session)
	to.mu.Unlock()
	out = ua.AppendInt32(out, int32(n))
	for _, id := range ids {
		out = s.subs.transfer(out, id, to, initial)
	}
	return ua.AppendInt32(out, -1), ua.Good
}

// transfer appends a TransferResult.
func (p *subscriptions) transfer(out []byte, id uint32, to *sessionSubscriptions, initial bool) []byte {
	at := len(out)
	out = ua.AppendStatusCode(out, ua.Good)
	sub, numbers, status := p.move(out, id, to, time.Now())
	if status != ua.Good {
		putUint32(out[at:], uint32(status))
		return ua.AppendInt32(out, 0)
	}
	if initial {
		p.resend(sub)
	}
	return numbers
}
