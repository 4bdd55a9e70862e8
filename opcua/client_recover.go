package opcua

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// ErrRecovered is what Recover of a client answers whose session another client has already, or which was closed.
var ErrRecovered = errors.New("opcua: the session of this client is gone on with or was closed")

// Recover makes a client that carries on the session of this one, whose connection it ends if it has not ended [OPC 10000-4 6.7]:
//
//	  new connection and channel
//	             │
//	ActivateSession ── refused ──► CreateSession, ActivateSession
//	             │                          │
//	             │                TransferSubscriptions ── refused ──► made anew with their items
//	             ▼                          ▼
//	Republish, from the message behind the last one, until there is none
//	             │
//	what is not there any more: ResendData, or else Read
//
// Subscriptions stay the caller's and come through the new client from then on; each step is an Event. On an error this client keeps what there is to be carried on: Recover may be called again, when and how
// often is for the caller to say. It is called by one goroutine at a time. An error is a *DialError, ErrRecovered, or an *Error.
func (c *Client) Recover(ctx context.Context) (*Client, error) {
	c.mu.Lock()
	gone := c.closed || c.recovered
	c.mu.Unlock()
	if gone {
		return nil, ErrRecovered
	}
	c.Detach()
	n := newClient(c.url, c.cfg)
	n.limits, n.feed, n.session = c.limits, c.feed, c.session
	n.namespaces.Store(c.namespaces.Load())
	if err := n.relogin(ctx, c); err != nil {
		return nil, err
	}
	if err := n.resume(ctx); err != nil {
		n.Detach()
		return nil, err
	}
	c.mu.Lock()
	c.recovered = true
	c.mu.Unlock()
	return n, nil
}

// relogin connects and has the session of old, or another one, all within Config.DialTimeout. When it fails the connection is closed.
func (c *Client) relogin(ctx context.Context, old *Client) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	if err := c.redial(ctx, old.choice); err != nil {
		return err
	}
	old.choice = c.choice
	ctx, stop := context.WithDeadline(ctx, c.conn.handshakeBy)
	defer stop()
	err := c.reactivate(ctx)
	old.session = c.session
	if err == nil {
		err = c.readNamespaces(ctx)
		old.namespaces.Store(c.namespaces.Load())
	}
	if err != nil {
		c.Detach()
	}
	return err
}

// readNamespaces reads limits and namespaces again, and tells when they have changed.
func (c *Client) readNamespaces(ctx context.Context) error {
	before := c.Namespaces()
	if err := c.readLimits(ctx); err != nil {
		return dialFailed(StageLimits, c.url, c.choice, &c.cfg, err)
	}
	if !slices.Equal(before, c.Namespaces()) {
		c.conn.event(Event{Kind: EventNamespacesChanged})
	}
	return nil
}

// redial connects to the endpoint of before, or to what has become of it.
func (c *Client) redial(ctx context.Context, before *clientChoice) error {
	if err := c.dialKnown(ctx, before); err != nil {
		return err
	}
	if !bytes.Equal(uasc.Leaf(c.choice.endpoint.ServerCertificate), uasc.Leaf(before.endpoint.ServerCertificate)) {
		c.conn.event(Event{Kind: EventEndpointChanged})
	}
	c.conn.event(Event{Kind: EventReconnected})
	return nil
}

// resume brings the subscriptions up to date. How long that takes depends on how many there are: each request has its time-out, and ctx bounds them all.
func (c *Client) resume(ctx context.Context) error {
	subs, away := c.feed.adopt(c)
	err := c.transfer(ctx, away)
	for _, s := range subs {
		if err == nil {
			err = s.resume(ctx, c, !slices.Contains(away, s))
		}
	}
	if err == nil {
		c.keep()
	}
	return err
}

// reactivate binds the session to the connection, or makes another where the server does not have it any more.
func (c *Client) reactivate(ctx context.Context) error {
	err := c.session.activate(ctx, c.conn, c.choice)
	switch {
	case err == nil:
		c.conn.event(Event{Kind: EventReactivated})
		return nil
	case !answered(err):
		return dialFailed(StageActivate, c.url, c.choice, &c.cfg, err)
	}
	c.conn.event(Event{Kind: EventSessionLost, Status: statusIn(err)})
	c.conn.token = []byte{0, 0}
	if err := c.makeSession(ctx); err != nil {
		return err
	}
	c.conn.event(Event{Kind: EventSessionMade})
	return nil
}

// adopt makes c the client through which the feed comes, and returns its subscriptions, and those of them that are in another session. What was to be acknowledged with requests that have no answer is acknowledged again.
func (f *clientFeed) adopt(c *Client) (subs, away []*Subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.client = c
	for len(f.requests) > 0 {
		f.giveBack(f.requests[0].tag, true)
	}
	f.publisher = clientPublisher{most: f.publisher.most}
	f.errands = nil
	for _, s := range f.subs {
		s.heard, s.emptied = time.Now(), time.Time{}
		subs = append(subs, s)
	}
	slices.SortFunc(subs, func(a, b *Subscription) int { return cmp.Compare(a.id, b.id) })
	for _, s := range subs {
		if s.session != c.session && !s.dead {
			away = append(away, s)
		}
	}
	return subs, away
}

// transfer takes the subscriptions of a session that is lost into this one. Those that do not come are dead.
func (c *Client) transfer(ctx context.Context, subs []*Subscription) error {
	ids := make([]uint32, len(subs))
	for i, s := range subs {
		ids[i] = s.Id()
	}
	if len(ids) == 0 {
		return nil
	}
	var got ua.TransferSubscriptionsResponse
	err := c.conn.do(ctx, &ua.TransferSubscriptionsRequest{SubscriptionIds: ids, SendInitialValues: true}, &got, len(ids))
	if err != nil && !answered(err) {
		return err
	}
	for i, s := range subs {
		status := statusIn(err)
		switch {
		case err == nil && i < len(got.Results):
			status = got.Results[i].StatusCode
		case err == nil:
			status = ua.BadUnexpectedError
		}
		if status.IsBad() {
			c.conn.event(Event{Kind: EventTransferFailed, Subscription: ids[i], Status: status})
			s.markDead()
			continue
		}
		s.movedTo(c.session)
		c.conn.event(Event{Kind: EventTransferred, Subscription: ids[i]})
	}
	return nil
}

func (s *Subscription) movedTo(x *clientSession) {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.session = x
}

func (s *Subscription) markDead() {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.dead = true
}

// resume brings the subscription up to date: what had not come is republished, and a subscription that the server has lost is made anew. An answer that refuses it costs this subscription alone.
func (s *Subscription) resume(ctx context.Context, c *Client, stayed bool) error {
	if s.Dead() {
		return onlyTransport(s.recreate(ctx, c))
	}
	got, err := s.republish(ctx, c)
	switch {
	case err == nil:
	case errors.Is(err, ua.BadMessageNotAvailable):
		return nil // what comes next tells by its number whether something is missing
	case errors.Is(err, ua.BadSubscriptionIdInvalid), errors.Is(err, ua.BadNoSubscription):
		s.markDead()
		c.conn.event(Event{Kind: EventSubscriptionDead, Subscription: s.Id(), Status: statusIn(err)})
		return onlyTransport(s.recreate(ctx, c))
	case !answered(err):
		return err
	}
	if stayed && (err != nil || got >= mostResumed) { // with a transfer all values come anyway
		return s.refill(ctx, c)
	}
	return nil
}

// mostResumed bounds the messages that are republished one by one; what is beyond is filled by the values as they are now.
const mostResumed = 1000

// republish fetches the messages that had not come, in order, and tells them. It ends with the error that says that there is none.
func (s *Subscription) republish(ctx context.Context, c *Client) (got int, err error) {
	f := s.feed
	defer func() {
		if got > 0 {
			c.conn.event(Event{Kind: EventRepublished, Subscription: s.Id(), Count: got})
		}
	}()
	for got < mostResumed {
		f.mu.Lock()
		id, n := s.id, s.next
		f.mu.Unlock()
		k := c.conn.begin(ServiceRepublish, 0)
		k.out = ua.AppendUInt32(ua.AppendUInt32(k.out, id), n)
		err := c.conn.exchange(ctx, k)
		if err == nil {
			err = s.retold(c, k, n)
		}
		c.conn.release(k)
		if err != nil {
			return got, err
		}
		got++
	}
	return got, nil
}

// retold tells a message that was republished.
func (s *Subscription) retold(c *Client, k *clientCall, n uint32) error {
	m := publishMessage{subscription: s.Id()}
	m.message(&k.d)
	if k.d.Bad() || m.sequence != n {
		return &Error{Service: ServiceRepublish, Status: ua.BadMessageNotAvailable, Answered: true, Sent: true}
	}
	f := s.feed
	f.mu.Lock()
	s.next, s.heard = afterMessage(n), time.Now()
	f.mu.Unlock()
	if m.values > 0 {
		f.tell(c, s, &m, true)
	}
	if m.status != 0 && m.status != ua.GoodSubscriptionTransferred { // that is old: who is answered here has the subscription
		f.statusChanged(c, s, m.status)
	}
	return nil
}

// refill gets the values of all items as they are now, by ResendData or else by Read.
func (s *Subscription) refill(ctx context.Context, c *Client) error {
	id := s.Id()
	c.conn.event(Event{Kind: EventGap, Subscription: id})
	r, err := c.Call(ctx, []ua.CallMethodRequest{resendCall(id)})
	switch {
	case err == nil && !r[0].StatusCode.IsBad():
		c.conn.event(Event{Kind: EventResent, Subscription: id})
		return nil
	case err != nil && !answered(err):
		return err
	}
	return onlyTransport(s.readAll(ctx, c))
}

// onlyTransport returns err unless it is the server that said no.
func onlyTransport(err error) error {
	if answered(err) {
		return nil
	}
	return err
}
