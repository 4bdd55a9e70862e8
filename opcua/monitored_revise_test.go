package opcua

import (
	"math"
	"slices"
	"testing"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

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
		k.call.session.maxResponse = 10 * itemResult
		if _, status := ask[ua.CreateMonitoredItemsResponse](k.desk, k.server.serveCreateMonitoredItems, &ua.CreateMonitoredItemsRequest{SubscriptionId: sub, ItemsToCreate: make([]ua.MonitoredItemCreateRequest, 11)}); status != ua.BadResponseTooLarge {
			k.t.Errorf("a response that the client does not take: %v", status)
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
