package opcua

import (
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

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
				if count["1"] != 8 || count["2"] < 3 || count["2"] > 5 || count["3"] < 1 || count["3"] > 2 {
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
