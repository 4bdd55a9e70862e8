package opcua

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// subDesk is a server's services on subscriptions without a socket: a session that uses them, and what its Publish requests were answered.
type subDesk struct {
	*desk
	p *subscriptions

	mu       sync.Mutex
	answers  []ua.PublishResponse
	faults   []ua.StatusCode
	requests uint32
}

func (k *subDesk) begin(late) *outgoing { return &outgoing{b: new(ua.ResponseHeader).AppendTo(nil)} }

func (k *subDesk) send(_ late, m *outgoing) {
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
	space := bareSpace(t)
	if _, err := space.Mount("urn:memory", store); err != nil {
		t.Fatal(err)
	}
	limits, err := limits.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	k := &subDesk{desk: deskFor(t, space)}
	k.server.cfg.Subscriptions = limits
	k.p = newSubscriptions(k.server)
	k.p.answers, k.p.last, k.server.subs, k.call.server = k, 0, k.p, k.server
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

// What clients ask of a subscription is revised: class 16 of the bad inputs.
func TestCreateSubscriptionRevises(t *testing.T) {
	bubble(t, asPushed, func(k *subDesk, _ *teller) {
		for _, tc := range []struct {
			interval            float64
			life, alive         uint32
			wantInterval        float64
			wantLife, wantAlive uint32
		}{
			{1000, 100, 10, 1000, 100, 10},
			{0, 0, 0, 100, 100, 1}, // at least 10 s
			{-1, 100, 10, 100, 100, 10},
			{math.Inf(-1), 1, 1, 100, 100, 1},
			{math.Inf(1), 1, 1, 3_600_000, 3, 1},
			{1e300, math.MaxUint32, math.MaxUint32, 3_600_000, 24, 8},
			{1000, 10, 10, 1000, 30, 10},
			{1000, math.MaxUint32, math.MaxUint32, 1000, 86_400, 10_000},
			{1000, 0, 0, 1000, 10, 1},
			{math.SmallestNonzeroFloat64, 1000, 1, 100, 1000, 1},
		} {
			r, status := ask[ua.CreateSubscriptionResponse](k.desk, k.server.serveCreateSubscription, &ua.CreateSubscriptionRequest{
				RequestedPublishingInterval: tc.interval, RequestedLifetimeCount: tc.life, RequestedMaxKeepAliveCount: tc.alive,
			})
			if status != ua.Good || r.RevisedPublishingInterval != tc.wantInterval || r.RevisedLifetimeCount != tc.wantLife || r.RevisedMaxKeepAliveCount != tc.wantAlive {
				k.t.Errorf("%v, %d, %d: %v, %v %d %d", tc.interval, tc.life, tc.alive, status, r.RevisedPublishingInterval, r.RevisedLifetimeCount, r.RevisedMaxKeepAliveCount)
			}
			m, status := ask[ua.ModifySubscriptionResponse](k.desk, k.server.serveModifySubscription, &ua.ModifySubscriptionRequest{
				SubscriptionId: r.SubscriptionId, RequestedPublishingInterval: tc.interval, RequestedLifetimeCount: tc.life, RequestedMaxKeepAliveCount: tc.alive,
			})
			if status != ua.Good || m.RevisedPublishingInterval != tc.wantInterval || m.RevisedLifetimeCount != tc.wantLife || m.RevisedMaxKeepAliveCount != tc.wantAlive {
				k.t.Errorf("modify %v, %d, %d: %v, %+v", tc.interval, tc.life, tc.alive, status, m)
			}
		}
		_, status := ask[ua.CreateSubscriptionResponse](k.desk, k.server.serveCreateSubscription, &ua.CreateSubscriptionRequest{RequestedPublishingInterval: math.NaN()})
		_, status2 := ask[ua.ModifySubscriptionResponse](k.desk, k.server.serveModifySubscription, &ua.ModifySubscriptionRequest{SubscriptionId: 1, RequestedPublishingInterval: math.NaN()})
		_, status3 := ask[ua.ModifySubscriptionResponse](k.desk, k.server.serveModifySubscription, &ua.ModifySubscriptionRequest{SubscriptionId: 99})
		if status != ua.BadInvalidArgument || status2 != ua.BadInvalidArgument || status3 != ua.BadSubscriptionIdInvalid {
			k.t.Errorf("%v, %v, %v", status, status2, status3)
		}
	})
}

// Unknown ids are an error of their operation alone: class 17.
func TestSubscriptionUnknownIds(t *testing.T) {
	bubble(t, asPushed, func(k *subDesk, _ *teller) {
		sub := k.subscribe(time.Second)
		item := k.monitor(sub, itemOn(1, 0)).MonitoredItemId
		check := func(what string, got []ua.StatusCode, status ua.StatusCode, want ...ua.StatusCode) {
			k.t.Helper()
			if status != ua.Good || !slices.Equal(got, want) {
				k.t.Errorf("%s: %v, %v", what, status, got)
			}
		}
		mode, status := ask[ua.SetMonitoringModeResponse](k.desk, k.server.serveSetMonitoringMode, &ua.SetMonitoringModeRequest{SubscriptionId: sub, MonitoredItemIds: []uint32{0, item, 99}})
		check("SetMonitoringMode", mode.Results, status, ua.BadMonitoredItemIdInvalid, ua.Good, ua.BadMonitoredItemIdInvalid)
		trigger, status := ask[ua.SetTriggeringResponse](k.desk, k.server.serveSetTriggering, &ua.SetTriggeringRequest{SubscriptionId: sub, TriggeringItemId: item, LinksToAdd: []uint32{item, 99}, LinksToRemove: []uint32{item}})
		check("SetTriggering add", trigger.AddResults, status, ua.Good, ua.BadMonitoredItemIdInvalid)
		check("SetTriggering remove", trigger.RemoveResults, status, ua.BadMonitoredItemIdInvalid)
		del, status := ask[ua.DeleteMonitoredItemsResponse](k.desk, k.server.serveDeleteMonitoredItems, &ua.DeleteMonitoredItemsRequest{SubscriptionId: sub, MonitoredItemIds: []uint32{99, item, item}})
		check("DeleteMonitoredItems", del.Results, status, ua.BadMonitoredItemIdInvalid, ua.Good, ua.BadMonitoredItemIdInvalid)
		pub, status := ask[ua.SetPublishingModeResponse](k.desk, k.server.serveSetPublishingMode, &ua.SetPublishingModeRequest{SubscriptionIds: []uint32{99, sub}})
		check("SetPublishingMode", pub.Results, status, ua.BadSubscriptionIdInvalid, ua.Good)
		gone, status := ask[ua.DeleteSubscriptionsResponse](k.desk, k.server.serveDeleteSubscriptions, &ua.DeleteSubscriptionsRequest{SubscriptionIds: []uint32{99, sub, sub}})
		check("DeleteSubscriptions", gone.Results, status, ua.BadSubscriptionIdInvalid, ua.Good, ua.BadSubscriptionIdInvalid)
		move, status := ask[ua.TransferSubscriptionsResponse](k.desk, k.server.serveTransferSubscriptions, &ua.TransferSubscriptionsRequest{SubscriptionIds: []uint32{sub}})
		if status != ua.Good || len(move.Results) != 1 || move.Results[0].StatusCode != ua.BadSubscriptionIdInvalid {
			k.t.Errorf("TransferSubscriptions: %v, %v", status, move.Results)
		}
		for what, got := range map[string]func() ua.StatusCode{
			"SetMonitoringMode": func() ua.StatusCode {
				_, s := ask[ua.SetMonitoringModeResponse](k.desk, k.server.serveSetMonitoringMode, &ua.SetMonitoringModeRequest{SubscriptionId: sub, MonitoredItemIds: []uint32{1}})
				return s
			},
			"SetTriggering": func() ua.StatusCode {
				_, s := ask[ua.SetTriggeringResponse](k.desk, k.server.serveSetTriggering, &ua.SetTriggeringRequest{SubscriptionId: sub, LinksToAdd: []uint32{1}})
				return s
			},
			"DeleteMonitoredItems": func() ua.StatusCode {
				_, s := ask[ua.DeleteMonitoredItemsResponse](k.desk, k.server.serveDeleteMonitoredItems, &ua.DeleteMonitoredItemsRequest{SubscriptionId: sub, MonitoredItemIds: []uint32{1}})
				return s
			},
			"Republish": func() ua.StatusCode {
				_, s := ask[ua.RepublishResponse](k.desk, k.server.serveRepublish, &ua.RepublishRequest{SubscriptionId: sub, RetransmitSequenceNumber: 1})
				return s
			},
			"CreateMonitoredItems": func() ua.StatusCode { return k.monitor(sub, itemOn(1, 0)).StatusCode },
		} {
			if status := got(); status != ua.BadSubscriptionIdInvalid {
				k.t.Errorf("%s of a subscription that is gone: %v", what, status)
			}
		}
	})
}

// What an item can be refused for.
func TestCreateMonitoredItemsRefuses(t *testing.T) {
	bubble(t, asPushed, func(k *subDesk, _ *teller) {
		if err := k.server.space.Add(ua.NumericId(0, ns0.ObjectsFolder), ua.NumericId(0, ns0.Organizes),
			Node{Id: ua.StringId(1, "text"), Class: ua.NodeClassVariable, BrowseName: ua.QualifiedName{Name: "text"}, DataType: ua.NumericId(0, 12), ValueRank: -1, Value: ua.DataValue{Value: ua.String("x")}},
			Node{Id: ua.StringId(1, "ranged"), Class: ua.NodeClassVariable, BrowseName: ua.QualifiedName{Name: "ranged"}, DataType: ua.NumericId(0, 11), ValueRank: -1, Value: ua.DataValue{Value: ua.Double(1)}},
		); err != nil {
			k.t.Fatal(err)
		}
		if err := k.server.space.Add(ua.StringId(1, "ranged"), ua.NumericId(0, ns0.HasProperty), Node{
			Id: ua.StringId(1, "range"), Class: ua.NodeClassVariable, BrowseName: ua.QualifiedName{Name: "EURange"}, DataType: ua.NumericId(0, 884), ValueRank: -1,
			Value: ua.DataValue{Value: ua.StructureValue(&ua.Range{Low: -100, High: 100})},
		}); err != nil {
			k.t.Fatal(err)
		}
		sub := k.subscribe(time.Second)
		filter := func(trigger ua.DataChangeTrigger, kind uint32, v float64) func(r *ua.MonitoredItemCreateRequest) {
			return func(r *ua.MonitoredItemCreateRequest) {
				r.RequestedParameters.Filter = ua.Wrap(&ua.DataChangeFilter{Trigger: trigger, DeadbandType: kind, DeadbandValue: v})
			}
		}
		on := func(node string, f func(r *ua.MonitoredItemCreateRequest)) func(r *ua.MonitoredItemCreateRequest) {
			return func(r *ua.MonitoredItemCreateRequest) { r.ItemToMonitor.NodeId = ua.StringId(1, node); f(r) }
		}
		attribute := func(a uint32, f func(r *ua.MonitoredItemCreateRequest)) func(r *ua.MonitoredItemCreateRequest) {
			return func(r *ua.MonitoredItemCreateRequest) { r.ItemToMonitor.AttributeId = a; f(r) }
		}
		none := func(*ua.MonitoredItemCreateRequest) {}
		for what, tc := range map[string]struct {
			change func(r *ua.MonitoredItemCreateRequest)
			want   ua.StatusCode
		}{
			"nothing":                   {none, ua.Good},
			"an unknown node":           {func(r *ua.MonitoredItemCreateRequest) { r.ItemToMonitor.NodeId = ua.StringId(2, "v99") }, ua.BadNodeIdUnknown},
			"attribute 0":               {attribute(0, none), ua.BadAttributeIdInvalid},
			"attribute 28":              {attribute(28, none), ua.BadAttributeIdInvalid},
			"an attribute of others":    {attribute(ua.AttributeInverseName, none), ua.BadAttributeIdInvalid},
			"another attribute":         {attribute(ua.AttributeDisplayName, none), ua.Good},
			"events":                    {attribute(ua.AttributeEventNotifier, none), ua.BadMonitoredItemFilterUnsupported},
			"an index range":            {func(r *ua.MonitoredItemCreateRequest) { r.ItemToMonitor.IndexRange = "5:2" }, ua.BadIndexRangeInvalid},
			"an encoding":               {func(r *ua.MonitoredItemCreateRequest) { r.ItemToMonitor.DataEncoding.Name = "x" }, ua.BadDataEncodingInvalid},
			"mode 3":                    {func(r *ua.MonitoredItemCreateRequest) { r.MonitoringMode = 3 }, ua.BadMonitoringModeInvalid},
			"mode -1":                   {func(r *ua.MonitoredItemCreateRequest) { r.MonitoringMode = -1 }, ua.BadMonitoringModeInvalid},
			"a sampling interval NaN":   {func(r *ua.MonitoredItemCreateRequest) { r.RequestedParameters.SamplingInterval = math.NaN() }, ua.BadInvalidArgument},
			"a filter":                  {filter(1, 0, 0), ua.Good},
			"trigger 3":                 {filter(3, 0, 0), ua.BadMonitoredItemFilterInvalid},
			"trigger -1":                {filter(-1, 0, 0), ua.BadMonitoredItemFilterInvalid},
			"deadband type 3":           {filter(1, 3, 0), ua.BadMonitoredItemFilterInvalid},
			"an absolute deadband":      {filter(1, 1, 5), ua.Good},
			"a negative deadband":       {filter(1, 1, -5), ua.BadDeadbandFilterInvalid},
			"a deadband NaN":            {filter(1, 1, math.NaN()), ua.BadDeadbandFilterInvalid},
			"an infinite deadband":      {filter(1, 1, math.Inf(1)), ua.BadDeadbandFilterInvalid},
			"percent without a range":   {filter(1, 2, 5), ua.BadMonitoredItemFilterUnsupported},
			"percent of a range":        {on("ranged", filter(1, 2, 5)), ua.Good},
			"101 percent":               {on("ranged", filter(1, 2, 101)), ua.BadDeadbandFilterInvalid},
			"a deadband of texts":       {on("text", filter(1, 1, 5)), ua.BadFilterNotAllowed},
			"a filter of an attribute":  {attribute(ua.AttributeDisplayName, filter(1, 0, 0)), ua.BadFilterNotAllowed},
			"an aggregate":              {func(r *ua.MonitoredItemCreateRequest) { r.RequestedParameters.Filter = ua.Wrap(&ua.AggregateFilter{}) }, ua.BadMonitoredItemFilterUnsupported},
			"an event filter of values": {func(r *ua.MonitoredItemCreateRequest) { r.RequestedParameters.Filter = ua.Wrap(&ua.EventFilter{}) }, ua.BadFilterNotAllowed},
			"some other structure":      {func(r *ua.MonitoredItemCreateRequest) { r.RequestedParameters.Filter = ua.Wrap(&ua.Range{}) }, ua.BadMonitoredItemFilterInvalid},
			"a filter that is cut": {func(r *ua.MonitoredItemCreateRequest) {
				r.RequestedParameters.Filter = ua.Wrap(&ua.DataChangeFilter{})
				r.RequestedParameters.Filter.Body = r.RequestedParameters.Filter.Body[:5]
			}, ua.BadMonitoredItemFilterInvalid},
		} {
			r := itemOn(1, 0)
			tc.change(&r)
			if got := k.monitor(sub, r); got.StatusCode != tc.want || (got.MonitoredItemId != 0) != (tc.want == ua.Good) {
				k.t.Errorf("%s: %v, want %v", what, got.StatusCode, tc.want)
			}
		}
		for _, tc := range []struct {
			req  ua.CreateMonitoredItemsRequest
			want ua.StatusCode
		}{
			{ua.CreateMonitoredItemsRequest{SubscriptionId: sub}, ua.BadNothingToDo},
			{ua.CreateMonitoredItemsRequest{SubscriptionId: sub, TimestampsToReturn: 4, ItemsToCreate: []ua.MonitoredItemCreateRequest{itemOn(1, 0)}}, ua.BadTimestampsToReturnInvalid},
			{ua.CreateMonitoredItemsRequest{SubscriptionId: sub, TimestampsToReturn: -1, ItemsToCreate: []ua.MonitoredItemCreateRequest{itemOn(1, 0)}}, ua.BadTimestampsToReturnInvalid},
			{ua.CreateMonitoredItemsRequest{SubscriptionId: sub, ItemsToCreate: make([]ua.MonitoredItemCreateRequest, 10_001)}, ua.BadTooManyOperations},
		} {
			if _, status := ask[ua.CreateMonitoredItemsResponse](k.desk, k.server.serveCreateMonitoredItems, &tc.req); status != tc.want {
				k.t.Errorf("%d items: %v, want %v", len(tc.req.ItemsToCreate), status, tc.want)
			}
		}
	})
}

// Sampling intervals and queue sizes are revised.
func TestCreateMonitoredItemsRevises(t *testing.T) {
	for what, store := range map[string]func(*teller) NodeStore{"pushed": asPushed, "polled": asPolled, "shy": asShy} {
		t.Run(what, func(t *testing.T) {
			bubble(t, store, func(k *subDesk, _ *teller) {
				sub := k.subscribe(time.Second)
				fastest := map[string]float64{"polled": 10}[what]
				for asked, want := range map[float64]float64{0: fastest, -1: 1000, -5: 1000, 1: 10, 10: 10, 11: 20, 250: 250, 1e300: 3_600_000, math.Inf(1): 3_600_000, math.Inf(-1): 1000} {
					r := itemOn(1, 0)
					r.RequestedParameters.SamplingInterval = asked
					if got := k.monitor(sub, r); got.StatusCode != ua.Good || got.RevisedSamplingInterval != want {
						k.t.Errorf("%v: %v, %v; want %v", asked, got.StatusCode, got.RevisedSamplingInterval, want)
					}
				}
				for asked, want := range map[uint32]uint32{0: 1, 1: 1, 7: 7, 5000: 1000, math.MaxUint32: 1000} {
					r := itemOn(1, 0)
					r.RequestedParameters.QueueSize = asked
					if got := k.monitor(sub, r); got.RevisedQueueSize != want {
						k.t.Errorf("queue %d: %d, want %d", asked, got.RevisedQueueSize, want)
					}
				}
			})
		})
	}
}

// Values come, whether the source tells of them or is sampled: the first at once, then the changes, as often as was asked for.
func TestMonitoredValues(t *testing.T) {
	for what, store := range map[string]func(*teller) NodeStore{"pushed": asPushed, "polled": asPolled, "shy": asShy} {
		t.Run(what, func(t *testing.T) {
			bubble(t, store, func(k *subDesk, m *teller) {
				sub := k.subscribe(time.Second)
				k.monitor(sub, itemOn(1, 0))
				k.monitor(sub, itemOn(2, 250*time.Millisecond))
				k.monitor(sub, itemOn(3, -1))
				k.publish(9)
				time.Sleep(1050 * time.Millisecond)
				if got := k.told(); got != "1=1 2=2 3=3" {
					k.t.Fatalf("first: %s", got)
				}
				for i := range 8 { // every 100 ms, from 1.05 s on
					m.set(1, float64(100+i))
					m.set(2, float64(200+i))
					m.set(3, float64(300+i))
					time.Sleep(100 * time.Millisecond)
				}
				time.Sleep(2 * time.Second)
				got := strings.Fields(k.told())
				count := map[string]int{}
				for _, x := range got {
					handle, _, _ := strings.Cut(x, "=")
					count[handle]++
				}
				if count["1"] != 8 || count["2"] < 3 || count["2"] > 5 || count["3"] != 1 {
					k.t.Errorf("changes: %v", got)
				}
				for _, want := range []string{"1=107", "2=207", "3=307"} {
					if !slices.Contains(got, want) {
						k.t.Errorf("%s is missing in %v", want, got)
					}
				}
			})
		})
	}
}

// Items of the same node and interval share a sampler, which goes with the last of them.
func TestSamplersAreShared(t *testing.T) {
	bubble(t, asPolled, func(k *subDesk, m *teller) {
		var subs []uint32
		for range 3 {
			sub := k.subscribe(time.Second)
			subs = append(subs, sub)
			for range 4 {
				k.monitor(sub, itemOn(1, time.Second))
				k.monitor(sub, itemOn(1, 2*time.Second))
			}
		}
		if n := len(k.p.samplers.all); n != 2 {
			k.t.Errorf("%d samplers, not 2", n)
		}
		m.mu.Lock()
		before := m.batches
		m.mu.Unlock()
		time.Sleep(4*time.Second + time.Millisecond)
		m.mu.Lock()
		if n := m.batches - before; n != 4+2 {
			k.t.Errorf("%d reads in 4 s, not 6", n)
		}
		m.mu.Unlock()
		if _, status := ask[ua.DeleteSubscriptionsResponse](k.desk, k.server.serveDeleteSubscriptions, &ua.DeleteSubscriptionsRequest{SubscriptionIds: subs}); status != ua.Good {
			k.t.Error(status)
		}
		k.wantNothing()
	})
}

// Modify changes interval, queue and filter; what waits stays.
func TestModifyMonitoredItems(t *testing.T) {
	bubble(t, asPushed, func(k *subDesk, m *teller) {
		sub := k.subscribe(time.Second)
		item := k.monitor(sub, itemOn(1, 0)).MonitoredItemId
		modify := func(id uint32, p ua.MonitoringParameters) ua.MonitoredItemModifyResult {
			r, status := ask[ua.ModifyMonitoredItemsResponse](k.desk, k.server.serveModifyMonitoredItems, &ua.ModifyMonitoredItemsRequest{
				SubscriptionId: sub, TimestampsToReturn: ua.TimestampsToReturnNeither, ItemsToModify: []ua.MonitoredItemModifyRequest{{MonitoredItemId: id, RequestedParameters: p}},
			})
			if status != ua.Good {
				k.t.Fatal(status)
			}
			return r.Results[0]
		}
		m.set(1, 10)
		m.set(1, 11)
		if r := modify(item, ua.MonitoringParameters{ClientHandle: 77, SamplingInterval: 500, QueueSize: 2, DiscardOldest: true}); r.StatusCode != ua.Good || r.RevisedSamplingInterval != 500 || r.RevisedQueueSize != 2 {
			k.t.Errorf("%+v", r)
		}
		k.publish(5)
		time.Sleep(1100 * time.Millisecond)
		if got := k.told(); got != "77=10!overflow 77=11" {
			k.t.Errorf("after modify: %s", got)
		}
		if r := modify(item, ua.MonitoringParameters{ClientHandle: 78, Filter: ua.Wrap(&ua.DataChangeFilter{Trigger: 1, DeadbandType: 1, DeadbandValue: 5}), QueueSize: 10}); r.StatusCode != ua.Good || r.RevisedSamplingInterval != 0 {
			k.t.Errorf("%+v", r)
		}
		for _, v := range []float64{20, 24, 26, 25} {
			m.set(1, v)
		}
		time.Sleep(1100 * time.Millisecond)
		if got := k.told(); got != "78=20 78=26" {
			k.t.Errorf("with a deadband: %s", got)
		}
		if r := modify(99, ua.MonitoringParameters{}); r.StatusCode != ua.BadMonitoredItemIdInvalid {
			k.t.Errorf("%+v", r)
		}
		if r := modify(item, ua.MonitoringParameters{SamplingInterval: math.NaN()}); r.StatusCode != ua.BadInvalidArgument {
			k.t.Errorf("%+v", r)
		}
	})
}

// A user who may not read a value gets an item that says so.
func TestMonitoredItemDenied(t *testing.T) {
	bubble(t, asPushed, func(k *subDesk, _ *teller) {
		k.call.session.caller = &Caller{}
		sub := k.subscribe(time.Second)
		r := k.monitor(sub, itemOn(1, 0))
		k.publish(3)
		time.Sleep(1100 * time.Millisecond)
		if got := k.told(); r.StatusCode != ua.Good || got != "1=null!BadUserAccessDenied" {
			k.t.Errorf("%v: %s", r.StatusCode, got)
		}
	})
}

// Parts of values and other attributes are monitored as well.
func TestMonitoredParts(t *testing.T) {
	bubble(t, asPushed, func(k *subDesk, m *teller) {
		id := ua.StringId(1, "array")
		if err := k.server.space.Add(ua.NumericId(0, ns0.ObjectsFolder), ua.NumericId(0, ns0.Organizes), Node{
			Id: id, Class: ua.NodeClassVariable, BrowseName: ua.QualifiedName{Name: "array"}, DataType: ua.NumericId(0, 11), ValueRank: 1,
			Value: ua.DataValue{Value: ua.DoubleArray([]float64{1, 2, 3, 4})},
		}); err != nil {
			k.t.Fatal(err)
		}
		sub := k.subscribe(time.Second)
		part, name := itemOn(1, 0), itemOn(2, 0)
		part.ItemToMonitor = ua.ReadValueId{NodeId: id, AttributeId: ua.AttributeValue, IndexRange: "1:2"}
		name.ItemToMonitor = ua.ReadValueId{NodeId: id, AttributeId: ua.AttributeBrowseName}
		for _, r := range []ua.MonitoredItemCreateRequest{part, name} {
			if got := k.monitor(sub, r); got.StatusCode != ua.Good {
				k.t.Fatal(got.StatusCode)
			}
		}
		k.publish(5)
		time.Sleep(1100 * time.Millisecond)
		if got := k.told(); !strings.HasPrefix(got, "1=[2 3] 2=") {
			k.t.Errorf("first: %s", got)
		}
		for _, v := range [][]float64{{9, 2, 3, 9}, {9, 2, 5, 9}} {
			if err := k.server.space.SetValue(id, ua.DataValue{Value: ua.DoubleArray(v)}); err != nil {
				k.t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Second)
		if got := k.told(); got != "1=[2 5]" {
			k.t.Errorf("then: %s", got)
		}
	})
}

// The methods of the Server object on subscriptions.
func TestSubscriptionMethods(t *testing.T) {
	bubble(t, asPushed, func(k *subDesk, _ *teller) {
		sub := k.subscribe(time.Second)
		a, b := k.monitor(sub, itemOn(7, 0)).MonitoredItemId, k.monitor(sub, itemOn(8, 0)).MonitoredItemId
		server, client, status := k.server.callGetMonitoredItems(k.call, sub)
		if status != ua.Good || !slices.Equal(server, []uint32{a, b}) || !slices.Equal(client, []uint32{7, 8}) {
			k.t.Errorf("%v %v %v", status, server, client)
		}
		k.publish(5)
		time.Sleep(1100 * time.Millisecond)
		if got := k.told(); got != "7=7 8=8" {
			k.t.Errorf("first: %s", got)
		}
		if status := k.server.callResendData(k.call, sub); status != ua.Good {
			k.t.Error(status)
		}
		time.Sleep(1100 * time.Millisecond)
		if got := k.told(); got != "7=7 8=8" {
			k.t.Errorf("resent: %s", got)
		}
		mine := k.call.session
		k.call.session = &session{caller: mine.caller}
		_, _, status = k.server.callGetMonitoredItems(k.call, sub)
		if other := k.server.callResendData(k.call, 99); status != ua.BadUserAccessDenied || other != ua.BadSubscriptionIdInvalid {
			k.t.Errorf("%v, %v", status, other)
		}
		k.call.session = mine
	})
}

// A subscription goes from session to session with what waits, and with its current values when they are asked for.
func TestTransferSubscriptions(t *testing.T) {
	bubble(t, asPushed, func(k *subDesk, m *teller) {
		old := k.call.session
		old.user.kind, old.user.key = ua.UserTokenTypeUserName, "u"
		sub := k.subscribe(time.Second)
		k.monitor(sub, itemOn(1, 0))
		k.publish(1)
		time.Sleep(1100 * time.Millisecond)
		if got := k.told(); got != "1=1" {
			k.t.Fatalf("first: %s", got)
		}
		k.p.sessionEnded(old, false)
		k.call.session = &session{caller: old.caller, user: old.user}
		r, status := ask[ua.TransferSubscriptionsResponse](k.desk, k.server.serveTransferSubscriptions, &ua.TransferSubscriptionsRequest{SubscriptionIds: []uint32{sub, 99}, SendInitialValues: true})
		if status != ua.Good || len(r.Results) != 2 || r.Results[0].StatusCode != ua.Good || !slices.Equal(r.Results[0].AvailableSequenceNumbers, []uint32{1}) ||
			r.Results[1].StatusCode != ua.BadSubscriptionIdInvalid {
			k.t.Fatalf("%v, %+v", status, r.Results)
		}
		again, status := ask[ua.RepublishResponse](k.desk, k.server.serveRepublish, &ua.RepublishRequest{SubscriptionId: sub, RetransmitSequenceNumber: 1})
		if status != ua.Good || again.NotificationMessage.SequenceNumber != 1 || len(again.NotificationMessage.NotificationData) != 1 {
			k.t.Errorf("%v, %+v", status, again)
		}
		k.publish(2)
		time.Sleep(1100 * time.Millisecond)
		if got := k.told(); got != "1=1" {
			k.t.Errorf("initial values: %s", got)
		}
	})
}

// Quotas of items: of a subscription, of a session, of the server.
func TestMonitoredItemQuotas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newSubDesk(t, newMemory(20), SubscriptionLimits{ItemsPerSubscription: 3, ItemsPerSession: 5, Items: 7, MinPublishing: time.Second})
		count := func(sub uint32) (n int) {
			for k.monitor(sub, itemOn(1, 0)).StatusCode == ua.Good {
				n++
			}
			return n
		}
		a, b := count(k.subscribe(0)), count(k.subscribe(0))
		mine := k.call.session
		k.call.session = &session{caller: mine.caller}
		c := count(k.subscribe(0))
		if a != 3 || b != 2 || c != 2 {
			t.Errorf("%d, %d and %d items, not 3, 2 and 2", a, b, c)
		}
		k.p.sessionEnded(k.call.session, true)
		if d := count(1); d != 0 {
			t.Errorf("%d items in a subscription of another session", d)
		}
		k.call.session = mine
	})
}

// What one service call may do, bounded by the clock: an item that triggers many, each linked again and again.
func TestTriggeringLinksAreBounded(t *testing.T) {
	bubble(t, asPushed, func(k *subDesk, _ *teller) {
		sub := k.subscribe(time.Second)
		list := make([]ua.MonitoredItemCreateRequest, 2000)
		ids := make([]uint32, len(list))
		for i := range list {
			list[i], ids[i] = itemOn(i%20, 0), uint32(i+1)
		}
		if _, status := ask[ua.CreateMonitoredItemsResponse](k.desk, k.server.serveCreateMonitoredItems, &ua.CreateMonitoredItemsRequest{SubscriptionId: sub, ItemsToCreate: list}); status != ua.Good {
			k.t.Fatal(status)
		}
		r, status := ask[ua.SetTriggeringResponse](k.desk, k.server.serveSetTriggering, &ua.SetTriggeringRequest{SubscriptionId: sub, TriggeringItemId: 1, LinksToAdd: ids})
		if status != ua.Good || r.AddResults[mostLinks-1] != ua.Good || r.AddResults[mostLinks] != ua.BadTooManyOperations {
			k.t.Errorf("%v, %v", status, r.AddResults[mostLinks-1:mostLinks+1])
		}
	})
}
