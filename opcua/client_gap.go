package opcua

import (
	"context"
	"slices"
	"time"

	"millrace/opcua/ua"
)

// The method with which a server sends the values of all items once more [OPC 10000-5 9.2].
const (
	nodeServer     = 2253
	nodeResendData = 12873
)

// run asks for what is missing, in the timer's goroutine.
func (e *errand) run(c *Client) {
	switch {
	case e.kind == errandFill && e.resent:
		_ = e.sub.readAll(unending{}, c) // an end of the connection, for which there is Recover
	case e.kind == errandFill || e.to-e.from >= mostRepublished:
		c.askResend(e.sub.Id())
	default:
		id := e.sub.Id()
		for n := e.from; n != afterMessage(e.to); n = afterMessage(n) {
			c.conn.park(ServiceRepublish, uint64(id)<<32|uint64(n), func(b []byte) []byte { return ua.AppendUInt32(ua.AppendUInt32(b, id), n) })
		}
	}
}

// askResend asks a server to send the values of all items of a subscription once more.
func (c *Client) askResend(id uint32) {
	m := resendCall(id)
	c.conn.park(ServiceCall, uint64(id), func(b []byte) []byte {
		b = ua.AppendInt32(b, 1)
		return m.AppendTo(b)
	})
}

func resendCall(id uint32) ua.CallMethodRequest {
	return ua.CallMethodRequest{ObjectId: ua.NumericId(0, nodeServer), MethodId: ua.NumericId(0, nodeResendData), InputArguments: []ua.Variant{ua.UInt32(id)}}
}

// republished takes the answer to a Republish, in the reader.
func (f *clientFeed) republished(c *Client, p *clientPush) {
	id := uint32(p.tag >> 32)
	m := publishMessage{subscription: id}
	if !p.status.IsBad() {
		m.message(&p.d)
	}
	f.mu.Lock()
	s := f.subs[id]
	lost := s != nil && (p.status.IsBad() || m.blocks == 0)
	if lost {
		f.fill(errand{sub: s, kind: errandFill})
	}
	f.mu.Unlock()
	switch {
	case lost:
		c.conn.event(Event{Kind: EventGap, Subscription: id, Count: 1, Status: p.status})
		c.keeper.wake()
	case s != nil:
		c.conn.event(Event{Kind: EventRepublished, Subscription: id, Count: 1})
		f.tell(c, s, &m, true)
	}
}

// fill adds an errand, if the subscription has none of the kind. The caller holds mu.
func (f *clientFeed) fill(e errand) {
	if !slices.ContainsFunc(f.errands, func(o errand) bool { return o.sub == e.sub && o.kind == e.kind }) {
		f.errands = append(f.errands, e)
	}
}

// resent takes the answer to a call of ResendData, in the reader.
func (f *clientFeed) resent(c *Client, p *clientPush) {
	status, id := p.status, uint32(p.tag)
	if !status.IsBad() {
		if p.d.Count(12) != 1 {
			status = ua.BadUnexpectedError
		} else {
			status = p.d.StatusCode()
		}
	}
	if !status.IsBad() {
		c.conn.event(Event{Kind: EventResent, Subscription: id})
		return
	}
	f.mu.Lock()
	if s := f.subs[id]; s != nil {
		f.fill(errand{sub: s, kind: errandFill, resent: true})
	}
	f.mu.Unlock()
	c.keeper.wake()
}

// readAll reads the values of all items and tells them.
func (s *Subscription) readAll(ctx context.Context, c *Client) error {
	items := s.live()
	if len(items) == 0 {
		return nil
	}
	s.feed.mu.Lock()
	nodes, values := make([]ua.ReadValueId, len(items)), make([]ua.DataValue, len(s.items))
	for i, it := range items {
		nodes[i] = it.Node
	}
	generation := s.generation
	s.feed.mu.Unlock()
	got := make([]ua.DataValue, len(items))
	if err := c.Read(ctx, NewReadPlan(nodes, ReadOptions{Timestamps: s.cfg.Timestamps}), got); err != nil {
		return err
	}
	for i, it := range items {
		if got[i].Has == 0 {
			got[i].Has = ua.HasStatus
		}
		values[it.Handle] = got[i]
	}
	c.conn.event(Event{Kind: EventRead, Subscription: s.Id(), Count: len(items)})
	f := s.feed
	f.mu.Lock()
	f.counts.values += uint64(len(items))
	f.mu.Unlock()
	f.telling.Lock()
	defer f.telling.Unlock()
	note := f.noted()
	*note = Notification{Subscription: s, Published: ua.DateTimeOf(time.Now()), Filled: true, generation: generation, read: values}
	s.cfg.Notify(note)
	*note = Notification{}
	return nil
}
