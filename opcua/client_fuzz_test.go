package opcua

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"millrace/internal/inflight/memconn"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// fuzzServices are those whose answers the fuzzer makes; the first byte of its input chooses one.
var fuzzServices = [...]Service{
	ServiceRead, ServiceWrite, ServiceBrowse, ServiceBrowseNext, ServiceTranslateBrowsePathsToNodeIds, ServiceRegisterNodes, ServiceCall, ServiceHistoryRead,
	ServiceCreateSubscription, ServiceCreateMonitoredItems, ServicePublish, ServiceRepublish, ServiceGetEndpoints, ServiceCreateSession, ServiceActivateSession,
	ServiceTransferSubscriptions,
}

// FuzzClientAnswers has a server answer one service with any bytes behind the header of the response, and everything else with the truth. The client must not panic, hang or take a wrong number of
// results, and its errors are of the kinds that it promises.
func FuzzClientAnswers(f *testing.F) {
	for i, m := range []ua.Message{
		&ua.ReadResponse{Results: []ua.DataValue{{Value: ua.Double(1)}, {Value: ua.StringArray([]string{"a", "b"}), Status: ua.BadOutOfRange}}},
		&ua.WriteResponse{Results: []ua.StatusCode{0, ua.BadNotWritable}},
		&ua.BrowseResponse{Results: []ua.BrowseResult{{ContinuationPoint: []byte{1}, References: make([]ua.ReferenceDescription, 2)}}},
		&ua.BrowseNextResponse{Results: []ua.BrowseResult{{References: make([]ua.ReferenceDescription, 1)}}},
		&ua.TranslateBrowsePathsToNodeIdsResponse{Results: []ua.BrowsePathResult{{Targets: make([]ua.BrowsePathTarget, 1)}}},
		&ua.RegisterNodesResponse{RegisteredNodeIds: []ua.NodeId{ua.StringId(1, "x"), ua.NumericId(1, 2)}},
		&ua.CallResponse{Results: []ua.CallMethodResult{{OutputArguments: []ua.Variant{ua.Int32(1)}}}},
		&ua.HistoryReadResponse{Results: []ua.HistoryReadResult{{HistoryData: ua.Wrap(&ua.HistoryData{DataValues: make([]ua.DataValue, 2)})}}},
		&ua.CreateSubscriptionResponse{SubscriptionId: 1, RevisedPublishingInterval: 100, RevisedMaxKeepAliveCount: 3},
		&ua.CreateMonitoredItemsResponse{Results: make([]ua.MonitoredItemCreateResult, 2)},
		&ua.PublishResponse{SubscriptionId: 1, NotificationMessage: dataMessage(1, []float64{1, 2})},
		&ua.RepublishResponse{NotificationMessage: dataMessage(1, []float64{1, 2})},
		&ua.GetEndpointsResponse{Endpoints: make([]ua.EndpointDescription, 1)},
		&ua.CreateSessionResponse{AuthenticationToken: ua.NumericId(0, 1)},
		&ua.ActivateSessionResponse{},
		&ua.TransferSubscriptionsResponse{Results: make([]ua.TransferResult, 1)},
	} {
		f.Add(byte(i), m.AppendTo(nil)[zeroResponseBytes:])
		f.Add(byte(i), []byte{0xFF, 0xFF, 0xFF, 0x7F})
	}
	f.Fuzz(func(t *testing.T, which byte, body []byte) {
		x := fuzzServices[int(which)%len(fuzzServices)]
		s := newFake(t)
		s.answer = func(f *fakeConn, r *fakeRequest) bool {
			if r.service != x || s.times(x) > 3 {
				return false
			}
			h := ua.ResponseHeader{RequestHandle: r.header.RequestHandle}
			f.send(r.id, append(h.AppendTo(ua.AppendNodeId(nil, ua.NumericId(0, x.response()))), body...))
			return true
		}
		cfg := s.config()
		cfg.Timeout = 100 * time.Millisecond
		c, err := Dial(t.Context(), fakeURL, cfg)
		if err != nil {
			wantDialError(t, err)
			return
		}
		defer c.Detach()
		exercise(t, c)
		c.Detach()
		if n, err := c.Recover(t.Context()); err == nil {
			n.Detach()
		}
	})
}

// exercise uses every service once.
func exercise(t *testing.T, c *Client) {
	ctx, id := t.Context(), ua.NumericId(1, 1)
	into := make([]ua.DataValue, 2)
	wantError(t, c.Read(ctx, NewReadPlan(numbered(0, 2), ReadOptions{}), into))
	wantError(t, c.Write(ctx, make([]ua.WriteValue, 2), make([]ua.StatusCode, 2)))
	_, err := c.Browse(ctx, []ua.BrowseDescription{Forward(id)}, func(int, *ua.ReferenceDescription) error { return nil })
	wantError(t, err)
	_, err = c.TranslateBrowsePaths(ctx, make([]ua.BrowsePath, 1))
	wantError(t, err)
	_, err = c.RegisterNodes(ctx, make([]ua.NodeId, 2))
	wantError(t, err)
	_, err = c.Call(ctx, make([]ua.CallMethodRequest, 1))
	wantError(t, err)
	_, err = c.HistoryRead(ctx, HistoryRange{Nodes: []ua.NodeId{id}, From: time.Unix(1, 0), To: time.Unix(2, 0)}, func(int, *ua.DataValue) error { return nil })
	wantError(t, err)
	sub, err := c.Subscribe(ctx, SubscriptionConfig{Notify: func(m *Notification) {
		var v ua.DataValue
		for h, ok := m.Next(&v); ok; h, ok = m.Next(&v) {
			if h >= 2 {
				t.Errorf("value of item %d of two", h)
			}
		}
		m.Receipt().Done()
	}})
	if err != nil {
		wantError(t, err)
		return
	}
	wantError(t, sub.Add(ctx, numberedItems(2)))
	select {
	case <-c.Done():
	case <-time.After(time.Millisecond):
	}
}

func wantError(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if err != nil && !errors.As(err, &e) {
		t.Errorf("error of type %T: %v", err, err)
	}
}

func wantDialError(t *testing.T, err error) {
	t.Helper()
	var e *DialError
	if !errors.As(err, &e) {
		t.Errorf("error of type %T: %v", err, err)
	}
}

// FuzzClientStream has a server answer the client's hello with any bytes.
func FuzzClientStream(f *testing.F) {
	f.Add(uasc.AppendAcknowledge(nil, uasc.Acknowledge{Transport: uasc.Transport{ReceiveBufferSize: 65536, SendBufferSize: 65536}}))
	f.Add(uasc.AppendError(nil, ua.BadTcpServerTooBusy, "busy"))
	f.Add([]byte("OPNF\x08\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		near, far := memconn.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = far.Write(in)
			_ = far.Close()
		}()
		cfg := Config{Dialer: func(context.Context, string) (net.Conn, error) { return near, nil }}
		_, err := GetEndpoints(t.Context(), fakeURL, cfg)
		<-done
		if err == nil {
			t.Fatal("endpoints of a server that says so little")
		}
		wantDialError(t, err)
	})
}

// FuzzKnownEndpoint reads what a program may have kept of a server. What is taken is written as it was read.
func FuzzKnownEndpoint(f *testing.F) {
	c := &clientChoice{endpoint: ua.EndpointDescription{
		EndpointUrl: "opc.tcp://h", SecurityMode: ua.MessageSecurityModeNone, SecurityPolicyUri: uasc.None.URI(), UserIdentityTokens: []ua.UserTokenPolicy{{PolicyId: "anonymous"}},
	}}
	f.Add((&KnownEndpoint{c}).AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseKnownEndpoint(b)
		if err != nil {
			return
		}
		again, err := ParseKnownEndpoint(e.AppendTo(nil))
		if err != nil || again.choice.security != e.choice.security || again.choice.offered != e.choice.offered {
			t.Errorf("%v", err)
		}
	})
}
