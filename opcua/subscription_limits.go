package opcua

import (
	"cmp"
	"errors"
	"time"
)

// SubscriptionLimits bounds the subscriptions of a Server and their monitored items; 0 is the default. What a client asks for beyond a limit of time, number of
// cycles or queue is revised, beyond a number of things it is refused.
type SubscriptionLimits struct {
	Subscriptions int // of the server; default 10,000
	PerSession    int // subscriptions; default 100
	PerUser       int // subscriptions; all anonymous clients are one user; default Subscriptions
	PerCall       int // subscriptions that one request names, and acknowledgements in one Publish; default 1000

	Items                int // of the server; default 1,000,000
	ItemsPerSession      int // default 100,000
	ItemsPerSubscription int // default 100,000

	QueueSize       int // values of one item that wait; default 1000
	PublishRequests int // of one session that wait; the oldest is refused for another; default 100
	Retransmissions int // messages of one subscription that are kept until they are acknowledged, in 1 MiB at most; default twice PublishRequests
	Notifications   int // in one message; default 10,000
	MessageBytes    int // of one message; default 1 MiB, or what the client takes if that is less
	QueueBytes      int // that values and messages of all subscriptions may wait in, half of it in equal shares; default 256 MiB. Beyond it values are lost, with their overflow bit or BadOutOfMemory

	MinPublishing time.Duration // interval; default 10 ms
	MaxPublishing time.Duration // default 1 h
	MinSampling   time.Duration // interval, of which all others are multiples; default 10 ms
	MaxSampling   time.Duration // default 1 h

	KeepAliveCount int           // most; default 10,000
	LifetimeCount  int           // most; default 100,000
	MinLifetime    time.Duration // of a subscription whose client is silent, whatever count that is; default 10 s
	MaxLifetime    time.Duration // default 24 h; three intervals if that is more
}

const mostQueue = 1 << 20 // values of an item

func (l SubscriptionLimits) withDefaults() (SubscriptionLimits, error) {
	l.Subscriptions = cmp.Or(l.Subscriptions, 10_000)
	l.PerSession = cmp.Or(l.PerSession, 100)
	l.PerUser = cmp.Or(l.PerUser, l.Subscriptions)
	l.PerCall = cmp.Or(l.PerCall, 1000)
	l.Items = cmp.Or(l.Items, 1_000_000)
	l.ItemsPerSession = cmp.Or(l.ItemsPerSession, 100_000)
	l.ItemsPerSubscription = cmp.Or(l.ItemsPerSubscription, 100_000)
	l.QueueSize = min(cmp.Or(l.QueueSize, 1000), mostQueue)
	l.PublishRequests = cmp.Or(l.PublishRequests, 100)
	l.Retransmissions = cmp.Or(l.Retransmissions, 2*l.PublishRequests)
	l.Notifications = cmp.Or(l.Notifications, 10_000)
	l.MessageBytes = cmp.Or(l.MessageBytes, 1<<20)
	l.QueueBytes = cmp.Or(l.QueueBytes, 256<<20)
	l.MinPublishing = cmp.Or(l.MinPublishing, 10*time.Millisecond)
	l.MaxPublishing = cmp.Or(l.MaxPublishing, time.Hour)
	l.MinSampling = cmp.Or(l.MinSampling, 10*time.Millisecond)
	l.MaxSampling = cmp.Or(l.MaxSampling, time.Hour)
	l.KeepAliveCount = cmp.Or(l.KeepAliveCount, 10_000)
	l.LifetimeCount = cmp.Or(l.LifetimeCount, 100_000)
	l.MinLifetime = cmp.Or(l.MinLifetime, 10*time.Second)
	l.MaxLifetime = cmp.Or(l.MaxLifetime, 24*time.Hour)
	return l, l.check()
}

func (l *SubscriptionLimits) check() error {
	switch {
	case min(l.MinPublishing, l.MinSampling, l.MinLifetime) < 0 || l.MinPublishing > l.MaxPublishing || l.MinSampling > l.MaxSampling || l.MinLifetime > l.MaxLifetime:
		return errors.New("opcua: subscription limits: an interval is negative, or the shortest is longer than the longest")
	case min(l.Subscriptions, l.PerSession, l.PerUser, l.PerCall, l.Items, l.ItemsPerSession, l.ItemsPerSubscription, l.QueueSize, l.PublishRequests,
		l.Retransmissions, l.Notifications, l.MessageBytes, l.QueueBytes, l.KeepAliveCount, l.LifetimeCount) < 0:
		return errors.New("opcua: subscription limits: a number is negative")
	case l.LifetimeCount < 3:
		return errors.New("opcua: subscription limits: LifetimeCount is less than 3, which is a KeepAliveCount of 1")
	}
	return nil
}
