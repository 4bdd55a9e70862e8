package opcua

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// What the server itself asks of its subscriptions.

func newSubscriptions(s *Server) *subscriptions {
	p := newSubscriptionRegistry(s.cfg.Subscriptions, connAnswers{})
	p.server = s
	p.samplers.init(s.space, p.limits.MinSampling, p.started)
	return p
}

// subscriptionValues adds what the Server object says of limits.
func (s *Server) subscriptionValues(values map[uint32]func() ua.Variant) {
	l := &s.cfg.Subscriptions
	for id, n := range map[uint32]int{
		ns0.Server_ServerCapabilities_MaxSubscriptions:                 l.Subscriptions,
		ns0.Server_ServerCapabilities_MaxSubscriptionsPerSession:       l.PerSession,
		ns0.Server_ServerCapabilities_MaxMonitoredItems:                l.Items,
		ns0.Server_ServerCapabilities_MaxMonitoredItemsPerSubscription: l.ItemsPerSubscription,
		ns0.Server_ServerCapabilities_MaxMonitoredItemsQueueSize:       l.QueueSize,
	} {
		values[id] = func() ua.Variant { return ua.UInt32(uint32(n)) }
	}
	values[ns0.Server_ServerCapabilities_MinSupportedSampleRate] = func() ua.Variant { return ua.Double(millis(l.MinSampling)) }
}

// connAnswers sends answers over the connections that the requests came from.
type connAnswers struct{}

func (connAnswers) begin(l late) *outgoing                     { return l.begin(responseTo(idPublish)) }
func (connAnswers) send(l late, m *outgoing, turns *sendTurns) { l.send(m, turns) }
func (connAnswers) fault(l late, status ua.StatusCode)         { l.fault(status) }
func (connAnswers) room(l late) int                            { return l.room() }

// run keeps the times of all subscriptions and samplers until ctx ends: two goroutines, of which it is one and waits for the other. Subscriptions without a session end
// with it.
func (p *subscriptions) run(ctx context.Context) {
	var other sync.WaitGroup
	other.Add(1)
	go func() {
		defer other.Done()
		p.samplers.run(ctx)
	}()
	p.keepTimes(ctx)
	other.Wait()
	for _, s := range p.all() {
		if o := s.lockOwner(); o != nil {
			o.remove(s)
			o.mu.Unlock()
			p.forget(s)
		}
	}
}

// all returns all subscriptions by id.
func (p *subscriptions) all() []*subscription {
	p.mu.Lock()
	list := make([]*subscription, 0, len(p.byID))
	for _, s := range p.byID {
		list = append(list, s)
	}
	p.mu.Unlock()
	slices.SortFunc(list, func(a, b *subscription) int { return cmp.Compare(a.id, b.id) })
	return list
}

// has returns what a session has to do with subscriptions, nil if nothing.
func (p *subscriptions) has(x *session) *sessionSubscriptions {
	p.mu.Lock()
	defer p.mu.Unlock()
	return x.subs
}

// detach forgets the Publish requests that came over a connection which the session has left: they cannot be answered any more. Any goroutine may call it, without
// locks.
func (p *subscriptions) detach(x *session, from *serverConn) {
	if o := p.has(x); o != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.detach(from)
	}
}

// sessionEnded is the end of a session, by CloseSession, its timeout or the server's end.
func (p *subscriptions) sessionEnded(x *session, deleteSubscriptions bool) {
	p.end(p.of(x), deleteSubscriptions)
}

// cancel answers the session's Publish requests that have this RequestHandle with BadRequestCancelledByClient, and returns how many there were.
func (p *subscriptions) cancel(x *session, handle uint32) uint32 {
	o := p.has(x)
	if o == nil {
		return 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return uint32(o.cancel(handle))
}

// stats adds what is counted of subscriptions.
func (p *subscriptions) stats(st *ServerStats) {
	now, _ := p.counts()
	st.Subscriptions, st.Items, st.Messages, st.Values = int(now), int(p.items.Load()), p.totals.messages.Load(), p.totals.values.Load()
	st.WaitingBytes = p.limits.QueueBytes - int(p.budget.left.Load())
}

// counts returns how many subscriptions there are and how many there ever were.
func (p *subscriptions) counts() (now, ever uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return uint32(len(p.byID)), p.ever
}

// diagnostics appends a SubscriptionDiagnosticsDataType for each subscription. [OPC 10000-5 12.15]
func (p *subscriptions) diagnostics(to []ua.ExtensionObject) []ua.ExtensionObject {
	for _, s := range p.all() {
		if o := s.lockOwner(); o != nil {
			d := p.diagnose(o, s)
			o.mu.Unlock()
			to = append(to, ua.Wrap(&d))
		}
	}
	return to
}

// diagnosticsOf is SubscriptionDiagnosticsArray of one session.
func (p *subscriptions) diagnosticsOf(x *session) ua.Variant {
	list := []ua.ExtensionObject{}
	if o := p.has(x); o != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, s := range o.subs {
			d := p.diagnose(o, s)
			list = append(list, ua.Wrap(&d))
		}
	}
	return ua.ExtensionObjectArray(list)
}

// describeSession adds what a session has of subscriptions to its diagnostics.
func (p *subscriptions) describeSession(x *session, d *ua.SessionDiagnosticsDataType) {
	o := p.has(x)
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	d.CurrentSubscriptionsCount, d.CurrentPublishRequestsInQueue = uint32(len(o.subs)), uint32(o.queue.n)
	for _, s := range o.subs {
		s.mu.Lock()
		d.CurrentMonitoredItemsCount += uint32(len(s.items))
		s.mu.Unlock()
	}
}

// diagnose describes a subscription of o, which is locked.
func (p *subscriptions) diagnose(o *sessionSubscriptions, s *subscription) ua.SubscriptionDiagnosticsDataType {
	m, c := &s.machine, &s.counts
	d := ua.SubscriptionDiagnosticsDataType{
		SessionId: o.session, SubscriptionId: s.id, Priority: s.priority(),
		MaxKeepAliveCount: m.keepAliveCount, MaxLifetimeCount: m.lifetimeCount, PublishingEnabled: m.enabled,
		ModifyCount: c.modified, EnableCount: c.enabled, DisableCount: c.disabled,
		RepublishRequestCount: c.republishes, RepublishMessageRequestCount: c.republishes, RepublishMessageCount: c.republished,
		TransferRequestCount: c.transferAsked, TransferredToAltClientCount: c.toOther, TransferredToSameClientCount: c.toSame,
		PublishRequestCount: c.publishes, DataChangeNotificationsCount: c.notifications, NotificationsCount: c.notifications,
		LatePublishRequestCount: c.late, CurrentKeepAliveCount: m.keepAliveCount - min(m.keepAliveLeft, m.keepAliveCount),
		CurrentLifetimeCount: m.lifetimeCount - m.lifetimeLeft, UnacknowledgedMessageCount: uint32(len(s.sent.messages)), DiscardedMessageCount: c.dropped,
		NextSequenceNumber: m.next,
	}
	p.mu.Lock()
	d.PublishingInterval = millis(s.interval)
	p.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	d.MaxNotificationsPerPublish, d.MonitoredItemCount, d.MonitoringQueueOverflowCount = s.most, uint32(len(s.items)), s.overflows
	for _, it := range s.items {
		if it.mode == ua.MonitoringModeDisabled {
			d.DisabledMonitoredItemCount++
		}
	}
	return d
}
