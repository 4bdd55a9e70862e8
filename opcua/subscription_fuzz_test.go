package opcua

import (
	"context"
	"math"
	"testing"
	"time"

	"millrace/opcua/ua"
)

// subServices are the services of subscriptions and items, each with a request for the seeds and what it answers with.
func subServices(s *Server) []struct {
	serve    service
	request  ua.Message
	response func() ua.Message
} {
	type row = struct {
		serve    service
		request  ua.Message
		response func() ua.Message
	}
	item := itemOn(1, 0)
	item.RequestedParameters.Filter = ua.Wrap(&ua.DataChangeFilter{Trigger: 1, DeadbandType: 1, DeadbandValue: 2})
	return []row{
		{s.serveCreateSubscription, &ua.CreateSubscriptionRequest{RequestedPublishingInterval: math.Inf(1), RequestedLifetimeCount: 30, RequestedMaxKeepAliveCount: 10, PublishingEnabled: true}, func() ua.Message { return &ua.CreateSubscriptionResponse{} }},
		{s.serveModifySubscription, &ua.ModifySubscriptionRequest{SubscriptionId: 1, MaxNotificationsPerPublish: 1}, func() ua.Message { return &ua.ModifySubscriptionResponse{} }},
		{s.serveSetPublishingMode, &ua.SetPublishingModeRequest{SubscriptionIds: []uint32{1, 2}}, func() ua.Message { return &ua.SetPublishingModeResponse{} }},
		{s.serveRepublish, &ua.RepublishRequest{SubscriptionId: 1, RetransmitSequenceNumber: 1}, func() ua.Message { return &ua.RepublishResponse{} }},
		{s.serveTransferSubscriptions, &ua.TransferSubscriptionsRequest{SubscriptionIds: []uint32{1, 2}, SendInitialValues: true}, func() ua.Message { return &ua.TransferSubscriptionsResponse{} }},
		{s.serveDeleteSubscriptions, &ua.DeleteSubscriptionsRequest{SubscriptionIds: []uint32{1, 1}}, func() ua.Message { return &ua.DeleteSubscriptionsResponse{} }},
		{s.serveCreateMonitoredItems, &ua.CreateMonitoredItemsRequest{SubscriptionId: 1, TimestampsToReturn: 2, ItemsToCreate: []ua.MonitoredItemCreateRequest{item, itemOn(2, -1)}}, func() ua.Message { return &ua.CreateMonitoredItemsResponse{} }},
		{s.serveModifyMonitoredItems, &ua.ModifyMonitoredItemsRequest{SubscriptionId: 1, ItemsToModify: []ua.MonitoredItemModifyRequest{{MonitoredItemId: 1, RequestedParameters: item.RequestedParameters}}}, func() ua.Message { return &ua.ModifyMonitoredItemsResponse{} }},
		{s.serveSetMonitoringMode, &ua.SetMonitoringModeRequest{SubscriptionId: 1, MonitoringMode: 1, MonitoredItemIds: []uint32{1, 2, 3}}, func() ua.Message { return &ua.SetMonitoringModeResponse{} }},
		{s.serveSetTriggering, &ua.SetTriggeringRequest{SubscriptionId: 1, TriggeringItemId: 1, LinksToAdd: []uint32{1, 2}, LinksToRemove: []uint32{2}}, func() ua.Message { return &ua.SetTriggeringResponse{} }},
		{s.serveDeleteMonitoredItems, &ua.DeleteMonitoredItemsRequest{SubscriptionId: 1, MonitoredItemIds: []uint32{1, 1, 9}}, func() ua.Message { return &ua.DeleteMonitoredItemsResponse{} }},
		{func(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
			if status := s.servePublish(ctx, c, d); status != ua.Good {
				return out, status
			}
			return nil, ua.Good
		}, &ua.PublishRequest{SubscriptionAcknowledgements: []ua.SubscriptionAcknowledgement{{SubscriptionId: 1, SequenceNumber: 1}}}, nil},
	}
}

// FuzzSubscriptionServices gives bytes to one service after the other of a session that has a subscription with items and a Publish that waits. Whatever they are,
// answers can be read, intervals end, and nothing is left when the session is over.
func FuzzSubscriptionServices(f *testing.F) {
	var h ua.RequestHeader
	header := len(h.AppendTo(nil))
	for i, x := range subServices(&Server{}) {
		f.Add(uint8(i), x.request.AppendTo(nil)[header:], uint8((i+6)%12), x.request.AppendTo(nil)[header:])
	}
	f.Fuzz(func(t *testing.T, first uint8, a []byte, second uint8, b []byte) {
		k := standingSubDeskOf(t, newMemory(5), SubscriptionLimits{Items: 50, Subscriptions: 10, PublishRequests: 5})
		defer k.end()
		sub := k.subscribe(time.Second)
		k.monitor(sub, itemOn(1, 0))
		k.monitor(sub, itemOn(2, time.Second))
		k.publish(2)
		for i, body := range [][]byte{a, b} {
			k.feed([2]uint8{first, second}[i], body)
			for range 2 {
				k.pass()
			}
		}
	})
}

// feed gives bytes to a service.
func (k *subDesk) feed(which uint8, body []byte) {
	list := subServices(k.server)
	x := list[int(which)%len(list)]
	d := ua.NewDecoder(body, ua.Limits{Message: 1 << 16})
	d.Alias = true
	out, status := x.serve(k.t.Context(), k.call, &d, new(ua.ResponseHeader).AppendTo(nil))
	if status != ua.Good || x.response == nil {
		return
	}
	r := ua.NewDecoder(out, ua.Limits{})
	x.response().DecodeFrom(&r)
	if err := r.Done(); err != nil {
		k.t.Errorf("service %d answers %x: %v", which, out, err)
	}
}

// standingSubDeskOf is a desk whose clock stands, but for pass.
func standingSubDeskOf(t testing.TB, store NodeStore, limits SubscriptionLimits) *subDesk {
	limits, err := limits.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	space := bareSpace(t)
	if _, err := space.Mount("urn:memory", store); err != nil {
		t.Fatal(err)
	}
	k := &subDesk{desk: deskFor(t, space)}
	k.server.cfg.Subscriptions = limits
	k.p = newSubscriptions(k.server)
	k.p.answers, k.p.last, k.server.subs, k.call.server = k, 0, k.p, k.server
	return k
}

// pass ends all intervals.
func (k *subDesk) pass() {
	now := time.Now()
	for _, s := range k.p.all() {
		k.p.tick(s, now, nil)
	}
	var x samplerScratch
	for _, g := range k.p.samplers.groups {
		k.p.samplers.readGroup(k.t.Context(), g, &x)
	}
}

func (k *subDesk) end() {
	k.p.sessionEnded(k.call.session, true)
	k.wantNothing()
}
