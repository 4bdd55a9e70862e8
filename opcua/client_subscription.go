package opcua

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"millrace/opcua/ua"
)

// SubscriptionConfig is how a subscription works. Notify must be set; the zero value of the rest is a good default.
type SubscriptionConfig struct {
	// Interval is how often the server is to publish; default 1 s. It revises that.
	Interval time.Duration
	// KeepAlive is the number of intervals without a change after which the server says that it lives; default as many as there are in ten seconds. When nothing comes for that
	// and one interval more, the subscription is dead.
	KeepAlive uint32
	// Lifetime is the number of intervals without a Publish request after which the server gives the subscription up; default as many as there are in five minutes, at least three times
	// KeepAlive. An outage that is shorter loses nothing that the server has room for.
	Lifetime uint32
	// MaxNotifications is the most values in one message; 0 leaves it to the server.
	MaxNotifications uint32
	// Priority among the subscriptions of the session; the higher the earlier.
	Priority uint8
	// Timestamps that come with the values; the zero value is that of the source.
	Timestamps ua.TimestampsToReturn
	// Unacknowledged is how many messages may wait for their Receipt.Done; default 16. Then no more are asked for, and the server keeps what it has room for.
	Unacknowledged int
	// Notify is called with each message that has values, in order, but for those that had to be fetched once more; one at a time for all subscriptions of a session. It must not block nor call the client
	// or the subscription.
	Notify func(m *Notification)
	// Dead, when set, is called when the subscription is dead: the server said so, or said nothing for too long. It must not block nor call the client. What to do is the caller's to decide: Recreate, or Recover of
	// the client.
	Dead func(err error)
}

const (
	keepAliveTime    = 10 * time.Second
	lifetimeTime     = 5 * time.Minute
	intervalFloor    = 10 * time.Millisecond // of what is believed of a server's revised interval
	intervalCeiling  = 24 * time.Hour
	keepAliveCeiling = 100_000
	// silenceFloor is how long a subscription may be silent at least: a server that is busy for a moment is not dead.
	silenceFloor = time.Second
)

func (c SubscriptionConfig) withDefaults() (SubscriptionConfig, error) {
	switch {
	case c.Notify == nil:
		return c, fmt.Errorf("opcua: a subscription without Notify")
	case c.Interval < 0 || c.Unacknowledged < 0:
		return c, fmt.Errorf("opcua: negative interval or number of messages of a subscription")
	}
	c.Interval = cmp.Or(c.Interval, time.Second)
	c.KeepAlive = cmp.Or(c.KeepAlive, intervals(keepAliveTime, c.Interval))
	c.Lifetime = max(cmp.Or(c.Lifetime, intervals(lifetimeTime, c.Interval)), 3*c.KeepAlive)
	c.Unacknowledged = cmp.Or(c.Unacknowledged, 16)
	return c, nil
}

// intervals returns how many of them are in a time, at least one.
func intervals(t, interval time.Duration) uint32 { return uint32(max(t/interval, 1)) }

// Subscription is values that a server sends when they change. It outlives the connection in which it was made: Recover takes it along. Any number of goroutines may use it.
type Subscription struct {
	feed *clientFeed
	cfg  SubscriptionConfig

	// Guarded by feed.mu.
	id             uint32
	session        *clientSession // in which it is
	generation     uint32         // grows when it is made anew
	interval       time.Duration
	keepAlive      uint32
	next           uint32 // sequence number of the next message
	heard          time.Time
	emptied        time.Time // when the last message without values came
	unacknowledged int
	dead           bool
	closed         bool
	off            bool // not publishing
	items          []*clientItem
}

// Subscribe makes a subscription. Items come into it by Add.
func (c *Client) Subscribe(ctx context.Context, cfg SubscriptionConfig) (*Subscription, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Subscription{feed: c.feed, cfg: cfg}
	if err := s.create(ctx, c); err != nil {
		return nil, err
	}
	return s, nil
}

// create makes the subscription on the server, without items.
func (s *Subscription) create(ctx context.Context, c *Client) error {
	f := s.feed
	f.mu.Lock()
	off := s.off
	f.mu.Unlock()
	var got ua.CreateSubscriptionResponse
	err := c.conn.do(ctx, &ua.CreateSubscriptionRequest{
		RequestedPublishingInterval: float64(s.cfg.Interval) / float64(time.Millisecond), RequestedLifetimeCount: s.cfg.Lifetime, RequestedMaxKeepAliveCount: s.cfg.KeepAlive,
		MaxNotificationsPerPublish: s.cfg.MaxNotifications, PublishingEnabled: !off, Priority: s.cfg.Priority,
	}, &got, 0)
	if err != nil {
		return err
	}
	f.mu.Lock()
	if s.generation > 0 {
		delete(f.subs, s.id)
	}
	s.id, s.interval, s.keepAlive = got.SubscriptionId, revisedInterval(got.RevisedPublishingInterval), min(max(got.RevisedMaxKeepAliveCount, 1), keepAliveCeiling)
	s.session = c.session
	s.generation++
	s.next, s.heard, s.emptied, s.unacknowledged, s.dead = 1, time.Now(), time.Time{}, 0, false
	if f.subs == nil {
		f.subs = map[uint32]*Subscription{}
	}
	f.subs[s.id] = s
	f.mu.Unlock()
	c.keeper.wake()
	return nil
}

// revisedInterval bounds what a server says: nothing here is to tick faster than ten milliseconds, or never.
func revisedInterval(ms float64) time.Duration {
	switch {
	case math.IsNaN(ms) || ms < float64(intervalFloor/time.Millisecond):
		return intervalFloor
	case ms > float64(intervalCeiling/time.Millisecond):
		return intervalCeiling
	}
	return time.Duration(ms * float64(time.Millisecond))
}

// patience returns how long nothing may come before the subscription is dead. The caller holds feed.mu.
func (s *Subscription) patience() time.Duration {
	return max(time.Duration(s.keepAlive+1)*s.interval, s.interval+silenceFloor)
}

func (s *Subscription) silence() time.Duration {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	return s.patience()
}

// died tells that the subscription is dead; it is marked so already. The server said the status, or else there is a cause.
func (s *Subscription) died(c *Client, status ua.StatusCode, cause error) {
	kind := EventSubscriptionDead
	if status == ua.GoodSubscriptionTransferred {
		kind = EventTransferredAway
	}
	c.conn.event(Event{Kind: kind, Subscription: s.Id(), Status: status})
	if s.cfg.Dead != nil {
		s.cfg.Dead(&Error{Service: ServicePublish, Status: status, Answered: cause == nil, Sent: true, Err: cause})
	}
}

// Id returns the id by which the server knows the subscription. It changes when the subscription is made anew.
func (s *Subscription) Id() uint32 {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	return s.id
}

// Interval returns the publishing interval that the server granted.
func (s *Subscription) Interval() time.Duration {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	return s.interval
}

// Dead reports whether nothing comes any more.
func (s *Subscription) Dead() bool {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	return s.dead
}

// current returns the client through which the subscription comes now, and its id.
func (s *Subscription) current() (*Client, uint32, error) {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	if s.closed {
		return nil, 0, &Error{Service: ServiceDeleteSubscriptions, Status: ua.BadSubscriptionIdInvalid, Err: &ArgumentError{What: "the subscription was closed"}}
	}
	return s.feed.client, s.id, nil
}

// SetPublishing turns the messages with values off and on again.
func (s *Subscription) SetPublishing(ctx context.Context, on bool) error {
	c, id, err := s.current()
	if err != nil {
		return err
	}
	var got ua.SetPublishingModeResponse
	if err := c.conn.do(ctx, &ua.SetPublishingModeRequest{PublishingEnabled: on, SubscriptionIds: []uint32{id}}, &got, 1); err != nil {
		return err
	}
	if err := onlyStatus(ServiceSetPublishingMode, got.Results); err != nil {
		return err
	}
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.off = !on
	return nil
}

// onlyStatus returns the error of a request with one operation.
func onlyStatus(x Service, results []ua.StatusCode) error {
	switch {
	case len(results) != 1:
		return &Error{Service: x, Status: ua.BadUnexpectedError, Sent: true, Operations: 1, Err: &CountError{Asked: 1, Got: len(results)}}
	case results[0].IsBad():
		return &Error{Service: x, Status: results[0], Answered: true, Sent: true, Operations: 1}
	}
	return nil
}

// Close deletes the subscription. It is the caller's no more, whatever the error is: a server that could not be told gives it up by itself.
func (s *Subscription) Close(ctx context.Context) error {
	c, id, err := s.current()
	if err != nil {
		return nil
	}
	s.feed.mu.Lock()
	s.closed, s.dead = true, true
	s.generation++ // receipts that are still out acknowledge nothing
	if s.feed.subs[id] == s {
		delete(s.feed.subs, id)
	}
	s.feed.mu.Unlock()
	return c.deleteSubscription(ctx, id)
}

func (c *Client) deleteSubscription(ctx context.Context, id uint32) error {
	var got ua.DeleteSubscriptionsResponse
	if err := c.conn.do(ctx, &ua.DeleteSubscriptionsRequest{SubscriptionIds: []uint32{id}}, &got, 1); err != nil {
		return err
	}
	return onlyStatus(ServiceDeleteSubscriptions, got.Results)
}

// Recreate makes a dead subscription anew, with all its items, on the connection as it is. What changed meanwhile and was not told is lost, but the values as they are now come.
func (s *Subscription) Recreate(ctx context.Context) error {
	c, id, err := s.current()
	if err != nil {
		return err
	}
	_ = c.deleteSubscription(ctx, id) // the server has given it up most likely
	return s.recreate(ctx, c)
}

// recreate makes the subscription and its items on the server.
func (s *Subscription) recreate(ctx context.Context, c *Client) error {
	if err := s.create(ctx, c); err != nil {
		c.conn.event(Event{Kind: EventRecreateFailed, Subscription: s.Id(), Status: statusIn(err), Err: err})
		return err
	}
	items := s.live()
	err := s.createItems(ctx, c, items)
	c.conn.event(Event{Kind: EventRecreated, Subscription: s.Id(), Count: len(items), Err: err})
	return err
}
