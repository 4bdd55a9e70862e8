package opcua

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"millrace/opcua/ua"
)

// fakeSubs is what a fake server has of subscriptions. It says nothing by itself: a test has it notify.
type fakeSubs struct {
	mu      sync.Mutex
	last    uint32
	live    map[uint32]uint32               // sequence number of the next message, by subscription
	kept    map[uint32]map[uint32][]float64 // messages to republish
	acked   map[uint32][]uint32             // sequence numbers
	waiting []fakePublish                   // Publish requests, the oldest first
	items   map[uint32][]ua.MonitoredItemCreateRequest
	revise  func(m *ua.CreateSubscriptionResponse)
	create  func(it *ua.MonitoredItemCreateRequest) ua.StatusCode

	transfer, resend ua.StatusCode
}

// fakePublish is a Publish request that waits.
type fakePublish struct {
	f *fakeConn
	r *fakeRequest
}

func (p *fakeSubs) init() {
	p.live, p.kept, p.acked, p.items = map[uint32]uint32{}, map[uint32]map[uint32][]float64{}, map[uint32][]uint32{}, map[uint32][]ua.MonitoredItemCreateRequest{}
}

// serve answers the services of subscriptions. It answers false when r is none of them.
func (p *fakeSubs) serve(f *fakeConn, r *fakeRequest) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m := r.m.(type) {
	case *ua.CreateSubscriptionRequest:
		f.reply(r, p.made(m))
	case *ua.CreateMonitoredItemsRequest:
		f.reply(r, p.itemsMade(m))
	case *ua.DeleteMonitoredItemsRequest:
		f.reply(r, &ua.DeleteMonitoredItemsResponse{Results: make([]ua.StatusCode, len(m.MonitoredItemIds))})
	case *ua.PublishRequest:
		for _, a := range m.SubscriptionAcknowledgements {
			p.acked[a.SubscriptionId] = append(p.acked[a.SubscriptionId], a.SequenceNumber)
			delete(p.kept[a.SubscriptionId], a.SequenceNumber)
		}
		p.waiting = append(p.waiting, fakePublish{f, r})
	case *ua.RepublishRequest:
		p.republish(f, r, m)
	case *ua.TransferSubscriptionsRequest:
		out := &ua.TransferSubscriptionsResponse{}
		for range m.SubscriptionIds {
			out.Results = append(out.Results, ua.TransferResult{StatusCode: p.transfer})
		}
		f.reply(r, out)
	case *ua.DeleteSubscriptionsRequest:
		delete(p.live, m.SubscriptionIds[0])
		f.reply(r, &ua.DeleteSubscriptionsResponse{Results: []ua.StatusCode{0}})
	case *ua.SetPublishingModeRequest:
		f.reply(r, &ua.SetPublishingModeResponse{Results: []ua.StatusCode{0}})
	case *ua.CallRequest:
		f.reply(r, &ua.CallResponse{Results: []ua.CallMethodResult{{StatusCode: p.resend}}})
	default:
		return false
	}
	return true
}

func (p *fakeSubs) made(m *ua.CreateSubscriptionRequest) *ua.CreateSubscriptionResponse {
	p.last++
	p.live[p.last], p.kept[p.last] = 1, map[uint32][]float64{}
	out := &ua.CreateSubscriptionResponse{
		SubscriptionId: p.last, RevisedPublishingInterval: m.RequestedPublishingInterval, RevisedLifetimeCount: m.RequestedLifetimeCount, RevisedMaxKeepAliveCount: m.RequestedMaxKeepAliveCount,
	}
	if p.revise != nil {
		p.revise(out)
	}
	return out
}

func (p *fakeSubs) itemsMade(m *ua.CreateMonitoredItemsRequest) *ua.CreateMonitoredItemsResponse {
	out := &ua.CreateMonitoredItemsResponse{}
	for i := range m.ItemsToCreate {
		it := &m.ItemsToCreate[i]
		res := ua.MonitoredItemCreateResult{MonitoredItemId: uint32(1000 + len(p.items[m.SubscriptionId])), RevisedQueueSize: 1, RevisedSamplingInterval: 100}
		if it.ItemToMonitor.NodeId.Namespace != 1 {
			res.StatusCode = ua.BadNodeIdUnknown
		} else if p.create != nil {
			res.StatusCode = p.create(it)
		}
		if res.StatusCode == 0 {
			p.items[m.SubscriptionId] = append(p.items[m.SubscriptionId], *it)
		}
		out.Results = append(out.Results, res)
	}
	return out
}

func (p *fakeSubs) republish(f *fakeConn, r *fakeRequest, m *ua.RepublishRequest) {
	_, live := p.live[m.SubscriptionId]
	values, ok := p.kept[m.SubscriptionId][m.RetransmitSequenceNumber]
	switch {
	case !live:
		f.fault(r, ua.BadSubscriptionIdInvalid)
	case !ok:
		f.fault(r, ua.BadMessageNotAvailable)
	default:
		f.reply(r, &ua.RepublishResponse{NotificationMessage: dataMessage(m.RetransmitSequenceNumber, values)})
	}
}

// dataMessage is a message with a value for each of items 0, 1, 2 ...
func dataMessage(n uint32, values []float64) ua.NotificationMessage {
	data := &ua.DataChangeNotification{}
	for i, v := range values {
		data.MonitoredItems = append(data.MonitoredItems, ua.MonitoredItemNotification{ClientHandle: uint32(i), Value: ua.DataValue{Value: ua.Double(v)}})
	}
	return ua.NotificationMessage{SequenceNumber: n, NotificationData: []ua.ExtensionObject{ua.Wrap(data)}}
}

// publish answers the oldest Publish request, and reports whether there is one.
func (p *fakeSubs) publish(m *ua.PublishResponse) bool {
	p.mu.Lock()
	if len(p.waiting) == 0 {
		p.mu.Unlock()
		return false
	}
	w := p.waiting[0]
	p.waiting = p.waiting[1:]
	p.mu.Unlock()
	w.f.reply(w.r, m)
	return true
}

// refuse answers the oldest Publish request with a fault.
func (p *fakeSubs) refuse(s ua.StatusCode) {
	p.mu.Lock()
	w := p.waiting[0]
	p.waiting = p.waiting[1:]
	p.mu.Unlock()
	w.f.fault(w.r, s)
}

// lose has a message for which no Publish request is answered; it can be republished unless gone.
func (p *fakeSubs) lose(id uint32, gone bool, values ...float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !gone {
		p.kept[id][p.live[id]] = values
	}
	p.live[id]++
}

// notify sends values of items 0, 1, 2 ... of a subscription.
func (p *fakeSubs) notify(id uint32, values ...float64) bool {
	p.mu.Lock()
	n := p.live[id]
	p.live[id]++
	p.kept[id][n] = values
	p.mu.Unlock()
	return p.publish(&ua.PublishResponse{SubscriptionId: id, NotificationMessage: dataMessage(n, values)})
}

// sayAlive sends a message without values.
func (p *fakeSubs) sayAlive(id uint32) bool {
	p.mu.Lock()
	n := p.live[id]
	p.mu.Unlock()
	return p.publish(&ua.PublishResponse{SubscriptionId: id, NotificationMessage: ua.NotificationMessage{SequenceNumber: n}})
}

// queued returns how many Publish requests wait.
func (p *fakeSubs) queued() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)
}

// forgetPublish has no Publish request any more, as after a cut.
func (p *fakeSubs) forgetPublish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = nil
}

// watched is a client with a subscription to a fake server, and all that came.
type watched struct {
	t      *testing.T
	s      *fakeServer
	c      *Client
	sub    *Subscription
	mu     sync.Mutex
	got    []float64
	filled int
	events []string
	dead   []error
	keep   bool // receipts are kept
	kept   []Receipt
}

// watch subscribes to items 0 to n-1.
func watch(t *testing.T, s *fakeServer, cfg Config, sub SubscriptionConfig, n int) *watched {
	t.Helper()
	w := &watched{t: t, s: s}
	cfg.Hooks.Event = func(e Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, e.String())
	}
	w.c = s.client(cfg)
	sub.Notify, sub.Dead = w.notify, w.died
	var err error
	if w.sub, err = w.c.Subscribe(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	if err := w.sub.Add(t.Context(), numberedItems(n)); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return w
}

func numberedItems(n int) []Item {
	items := make([]Item, n)
	for i := range items {
		items[i].Node.NodeId = ua.NumericId(1, uint32(i))
	}
	return items
}

func (w *watched) notify(m *Notification) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var v ua.DataValue
	for {
		_, ok := m.Next(&v)
		if !ok {
			break
		}
		x, _ := v.Value.Float64()
		w.got = append(w.got, x)
	}
	if m.Filled {
		w.filled++
	}
	if w.keep {
		w.kept = append(w.kept, m.Receipt())
		return
	}
	m.Receipt().Done()
}

func (w *watched) died(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = append(w.dead, err)
}

// keepReceipts has the test say when messages are done.
func (w *watched) keepReceipts() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keep = true
}

// deaths returns what the subscription died of.
func (w *watched) deaths() []error {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.dead)
}

// receipts returns those that were kept.
func (w *watched) receipts() []Receipt {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.kept)
}

// acknowledged returns what the server has heard of.
func (p *fakeSubs) acknowledged(id uint32) []uint32 {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.acked[id])
}

// values returns what came since it was asked last.
func (w *watched) values() []float64 {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	got := w.got
	w.got = nil
	return got
}

// story returns the events since it was asked last.
func (w *watched) story() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.events
	w.events = nil
	return e
}

// recover recovers the client after what f does to the server; the connection is cut first.
func (w *watched) recover(f func()) {
	w.t.Helper()
	w.s.cut()
	synctest.Wait()
	w.s.subs.forgetPublish()
	if f != nil {
		f()
	}
	c, err := w.c.Recover(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.c = c
	w.t.Cleanup(c.Detach)
	synctest.Wait()
}
