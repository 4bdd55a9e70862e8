package opcua

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace/opcua/ua"
)

// subDesk is a server's services on subscriptions without a socket: a session that uses them, and what its Publish requests were answered.
type subDesk struct {
	*desk
	p *subscriptions

	mu      sync.Mutex
	answers []ua.PublishResponse
	faults  []ua.StatusCode
}

func (k *subDesk) begin(late) *outgoing { return &outgoing{b: new(ua.ResponseHeader).AppendTo(nil)} }

func (k *subDesk) send(_ late, m *outgoing, _ *sendTurns) {
	d := ua.NewDecoder(m.b, ua.Limits{})
	var r ua.PublishResponse
	r.DecodeFrom(&d)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := d.Done(); err != nil {
		k.t.Errorf("PublishResponse %x: %v", m.b, err)
	}
	k.answers = append(k.answers, r)
}

func (k *subDesk) fault(_ late, status ua.StatusCode) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.faults = append(k.faults, status)
}

func (k *subDesk) room(late) int { return 1 << 20 }

// newSubDesk serves a Space with a mounted store, on which the clock of the test's bubble runs until the test ends. Then nothing may be left.
func newSubDesk(t testing.TB, store NodeStore, limits SubscriptionLimits) *subDesk {
	t.Helper()
	k := standingSubDeskOf(t, store, limits)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { k.p.run(ctx) })
	t.Cleanup(func() {
		k.p.sessionEnded(k.call.session, true)
		cancel()
		running.Wait()
		k.wantNothing()
	})
	return k
}

// wantNothing fails the test when something of the subscriptions is still held.
func (k *subDesk) wantNothing() {
	k.t.Helper()
	p := k.p
	if len(p.byID) > 0 || len(p.due) > 0 || len(p.users) > 0 || p.items.Load() != 0 || p.budget.left.Load() != int64(p.limits.QueueBytes) {
		k.t.Errorf("left: %d subscriptions, %d due, %d users, %d items, %d bytes", len(p.byID), len(p.due), len(p.users), p.items.Load(), int64(p.limits.QueueBytes)-p.budget.left.Load())
	}
	if len(p.samplers.all) > 0 || len(p.samplers.due) > 0 {
		k.t.Errorf("left: %d samplers, %d groups due", len(p.samplers.all), len(p.samplers.due))
	}
}

func (k *subDesk) subscribe(interval time.Duration) uint32 {
	k.t.Helper()
	r, status := ask[ua.CreateSubscriptionResponse](k.desk, k.server.serveCreateSubscription, &ua.CreateSubscriptionRequest{
		RequestedPublishingInterval: millis(interval), RequestedLifetimeCount: 1000, RequestedMaxKeepAliveCount: 10, PublishingEnabled: true,
	})
	if status != ua.Good {
		k.t.Fatal(status)
	}
	return r.SubscriptionId
}

// monitor makes one item.
func (k *subDesk) monitor(sub uint32, r ua.MonitoredItemCreateRequest) ua.MonitoredItemCreateResult {
	k.t.Helper()
	resp, status := ask[ua.CreateMonitoredItemsResponse](k.desk, k.server.serveCreateMonitoredItems, &ua.CreateMonitoredItemsRequest{
		SubscriptionId: sub, TimestampsToReturn: ua.TimestampsToReturnBoth, ItemsToCreate: []ua.MonitoredItemCreateRequest{r},
	})
	if status != ua.Good {
		return ua.MonitoredItemCreateResult{StatusCode: status}
	}
	return resp.Results[0]
}

// itemOn is a request for the value of node vN.
func itemOn(n int, sampling time.Duration) ua.MonitoredItemCreateRequest {
	return ua.MonitoredItemCreateRequest{
		ItemToMonitor:  ua.ReadValueId{NodeId: ua.StringId(2, fmt.Sprintf("v%d", n)), AttributeId: ua.AttributeValue},
		MonitoringMode: ua.MonitoringModeReporting,
		RequestedParameters: ua.MonitoringParameters{
			ClientHandle: uint32(n), SamplingInterval: millis(sampling), QueueSize: 10, DiscardOldest: true,
		},
	}
}

// publish queues Publish requests.
func (k *subDesk) publish(n int, acks ...ua.SubscriptionAcknowledgement) {
	k.t.Helper()
	for range n {
		k.call.received = time.Now()
		if status := k.server.servePublish(k.t.Context(), k.call, request(k.t, &ua.PublishRequest{SubscriptionAcknowledgements: acks})); status != ua.Good {
			k.fault(late{}, status)
		}
	}
}

// told returns what was told since, one text a value: handle=value.
func (k *subDesk) told() string {
	k.t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []string
	for _, r := range k.answers {
		for i := range r.NotificationMessage.NotificationData {
			var data ua.DataChangeNotification
			if x := &r.NotificationMessage.NotificationData[i]; x.Is(&data) {
				if err := x.Decode(&data, ua.Limits{}); err != nil {
					k.t.Error(err)
				}
			}
			for j := range data.MonitoredItems {
				n := &data.MonitoredItems[j]
				n.Value.SourceTimestamp, n.Value.ServerTimestamp = 0, 0
				list = append(list, describeNotice(n))
			}
		}
	}
	k.answers = nil
	return strings.Join(list, " ")
}

// teller is a memory that tells everybody who watches of what set sets.
type teller struct {
	*memory
	watching sync.Mutex
	list     map[uint64][]Watcher
}

func (m *teller) Watch(key uint64, w Watcher) bool {
	m.watching.Lock()
	defer m.watching.Unlock()
	m.list[key] = append(m.list[key], w)
	return true
}

func (m *teller) Unwatch(key uint64, w Watcher) {
	m.watching.Lock()
	defer m.watching.Unlock()
	if i := slices.Index(m.list[key], w); i >= 0 {
		m.list[key] = slices.Delete(slices.Clone(m.list[key]), i, i+1)
	}
}

func (m *teller) set(key uint64, x float64) {
	v := ua.DataValue{Value: ua.Double(x), SourceTimestamp: ua.DateTimeOf(time.Now())}
	m.mu.Lock()
	m.values[key] = v
	m.mu.Unlock()
	m.tell(key, v)
}

func (m *teller) tell(key uint64, v ua.DataValue) {
	m.watching.Lock()
	list := m.list[key]
	m.watching.Unlock()
	for _, w := range list {
		w.Changed(&v)
	}
}

// shy is a store that could tell of changes, but not of these.
type shy struct{ *memory }

func (shy) Watch(uint64, Watcher) bool { return false }

func asPushed(m *teller) NodeStore { return m }
func asPolled(m *teller) NodeStore { return struct{ NodeStore }{m} } // which tells nobody
func asShy(m *teller) NodeStore    { return shy{m.memory} }

// bubble runs a test where time passes when all wait.
func bubble(t *testing.T, store func(m *teller) NodeStore, f func(k *subDesk, m *teller)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := &teller{memory: newMemory(20), list: map[uint64][]Watcher{}}
		k := newSubDesk(t, store(m), SubscriptionLimits{MinPublishing: 100 * time.Millisecond})
		f(k, m)
	})
}
