package opcua

import (
	"math"
	"sync"
	"testing"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// ask sends any request in the session and receives its response.
func (p *peer) ask(req, resp ua.Message) error {
	p.t.Helper()
	return p.askAs(ua.RequestHeader{AuthenticationToken: p.token, Timestamp: ua.DateTimeOf(time.Now()), RequestHandle: p.last + 1}, req, resp)
}

// askAs sends any request with a header of the caller's.
func (p *peer) askAs(h ua.RequestHeader, req, resp ua.Message) error {
	p.t.Helper()
	p.last++
	body := h.AppendTo(ua.AppendNodeId(nil, ua.NumericId(0, req.EncodingId())))
	body = append(body, req.AppendTo(nil)[len((&ua.RequestHeader{}).AppendTo(nil)):]...)
	p.sendBody(p.last, body)
	return p.receive(p.last, resp)
}

// Whatever numbers a client asks for, a live server grants such as make sense: no interval of nothing, and an end to every lifetime.
func TestServerBadSubscriptions(t *testing.T) {
	s := serveUA(t, ServerConfig{})
	p := s.session(plain)
	lim := s.cfg.Subscriptions
	for _, ms := range []float64{0, -1, 5e-324, 1e300, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64} {
		for _, counts := range [][2]uint32{{0, 0}, {0, math.MaxUint32}, {math.MaxUint32, 0}, {1, math.MaxUint32}, {math.MaxUint32, math.MaxUint32}} {
			var r ua.CreateSubscriptionResponse
			req := &ua.CreateSubscriptionRequest{RequestedPublishingInterval: ms, RequestedLifetimeCount: counts[0], RequestedMaxKeepAliveCount: counts[1], PublishingEnabled: true}
			err := p.ask(req, &r)
			if math.IsNaN(ms) {
				wantStatus(t, "publishing every NaN", err, ua.BadInvalidArgument)
				req.RequestedPublishingInterval = 1000
				err = p.ask(req, &r)
			}
			if err != nil {
				t.Fatalf("%v, %v: %v", ms, counts, err)
			}
			interval := time.Duration(r.RevisedPublishingInterval * float64(time.Millisecond))
			life := time.Duration(r.RevisedLifetimeCount) * interval
			if !(interval >= lim.MinPublishing && interval <= lim.MaxPublishing) || r.RevisedMaxKeepAliveCount < 1 || r.RevisedLifetimeCount < 3*r.RevisedMaxKeepAliveCount ||
				life > max(lim.MaxLifetime, 3*interval)+interval {
				t.Errorf("%v, %v: %+v", ms, counts, r)
			}
			item := ua.MonitoredItemCreateRequest{ItemToMonitor: ua.ReadValueId{NodeId: stdId(ns0.Server_ServerStatus_State), AttributeId: ua.AttributeValue}, MonitoringMode: ua.MonitoringModeReporting}
			item.RequestedParameters = ua.MonitoringParameters{SamplingInterval: ms, QueueSize: math.MaxUint32}
			var m ua.CreateMonitoredItemsResponse
			if err := p.ask(&ua.CreateMonitoredItemsRequest{SubscriptionId: r.SubscriptionId, ItemsToCreate: []ua.MonitoredItemCreateRequest{item}}, &m); err != nil {
				t.Fatal(err)
			}
			switch got := m.Results[0]; {
			case math.IsNaN(ms):
				wantStatus(t, "sampling every NaN", got.StatusCode, ua.BadInvalidArgument)
			case got.StatusCode != ua.Good || !(got.RevisedSamplingInterval >= 0 && got.RevisedSamplingInterval <= 3.6e6) || got.RevisedQueueSize > uint32(lim.QueueSize):
				t.Errorf("sampling every %v: %+v", ms, got)
			}
			wantStatus(t, "delete", p.ask(&ua.DeleteSubscriptionsRequest{SubscriptionIds: []uint32{r.SubscriptionId}}, &ua.DeleteSubscriptionsResponse{}), ua.Good)
		}
	}
	p.wantAlive()
}

// Ids that nobody gave out, or somebody else, are errors of the operation, and of the request where that names the subscription.
func TestServerUnknownIds(t *testing.T) {
	s := serveUA(t, ServerConfig{})
	owner, p := s.session(plain), s.session(plain)
	var others, own ua.CreateSubscriptionResponse
	create := &ua.CreateSubscriptionRequest{RequestedPublishingInterval: 1000, RequestedLifetimeCount: 100, RequestedMaxKeepAliveCount: 10}
	wantStatus(t, "the other's", owner.ask(create, &others), ua.Good)
	wantStatus(t, "its own", p.ask(create, &own), ua.Good)
	for _, id := range []uint32{0, others.SubscriptionId, math.MaxUint32} {
		items := []uint32{1, 0, math.MaxUint32}
		var deleted ua.DeleteSubscriptionsResponse
		if err := p.ask(&ua.DeleteSubscriptionsRequest{SubscriptionIds: []uint32{id}}, &deleted); err != nil || deleted.Results[0] != ua.BadSubscriptionIdInvalid {
			t.Errorf("delete subscription %d: %v %v", id, err, deleted.Results)
		}
		wantStatus(t, "delete items", p.ask(&ua.DeleteMonitoredItemsRequest{SubscriptionId: id, MonitoredItemIds: items}, &ua.DeleteMonitoredItemsResponse{}), ua.BadSubscriptionIdInvalid)
		wantStatus(t, "set mode", p.ask(&ua.SetMonitoringModeRequest{SubscriptionId: id, MonitoredItemIds: items}, &ua.SetMonitoringModeResponse{}), ua.BadSubscriptionIdInvalid)
		wantStatus(t, "republish", p.ask(&ua.RepublishRequest{SubscriptionId: id, RetransmitSequenceNumber: 1}, &ua.RepublishResponse{}), ua.BadSubscriptionIdInvalid)
	}
	for _, item := range []uint32{0, 7, math.MaxUint32} {
		var deleted ua.DeleteMonitoredItemsResponse
		if err := p.ask(&ua.DeleteMonitoredItemsRequest{SubscriptionId: own.SubscriptionId, MonitoredItemIds: []uint32{item}}, &deleted); err != nil || deleted.Results[0] != ua.BadMonitoredItemIdInvalid {
			t.Errorf("delete item %d: %v %v", item, err, deleted.Results)
		}
		var set ua.SetMonitoringModeResponse
		if err := p.ask(&ua.SetMonitoringModeRequest{SubscriptionId: own.SubscriptionId, MonitoredItemIds: []uint32{item}}, &set); err != nil || set.Results[0] != ua.BadMonitoredItemIdInvalid {
			t.Errorf("mode of item %d: %v %v", item, err, set.Results)
		}
	}
	stranger := s.open(plain)
	wantStatus(t, "without a session", stranger.ask(&ua.DeleteSubscriptionsRequest{SubscriptionIds: []uint32{others.SubscriptionId}}, &ua.DeleteSubscriptionsResponse{}), ua.BadSessionIdInvalid)
	var kept ua.DeleteSubscriptionsResponse
	if err := owner.ask(&ua.DeleteSubscriptionsRequest{SubscriptionIds: []uint32{others.SubscriptionId}}, &kept); err != nil || kept.Results[0] != ua.Good {
		t.Errorf("the owner's: %v %v", err, kept.Results)
	}
}

// Who leaves subscriptions behind with every session comes to an end, others keep theirs, and what was left goes by its lifetime.
func TestServerSubscriptionsLeftBehind(t *testing.T) {
	before := serverFlatness()
	s := serveUA(t, ServerConfig{Subscriptions: SubscriptionLimits{Subscriptions: 50, PerSession: 10}, Users: rolesByName{"": RoleRead, "anna": RoleRead}, UserTokens: TokenAnonymous | TokenPassword, Identity: testIdentity(t, "server")})
	bystander := s.session(plain)
	create := &ua.CreateSubscriptionRequest{RequestedPublishingInterval: 1000, RequestedLifetimeCount: 100, RequestedMaxKeepAliveCount: 10}
	wantStatus(t, "the bystander's", bystander.ask(create, &ua.CreateSubscriptionResponse{}), ua.Good)
	left, refused := 1, 0
	for range 8 {
		p := s.session(plain)
		for range 12 {
			var r ua.CreateSubscriptionResponse
			switch err := p.ask(create, &r); err {
			case nil:
				left++
			default:
				wantStatus(t, "one too many", err, ua.BadTooManySubscriptions)
				refused++
			}
		}
		wantStatus(t, "close", p.ask(&ua.CloseSessionRequest{}, &ua.CloseSessionResponse{}), ua.Good)
		p.conn.Close()
	}
	if left != 50 || refused != 8*12-49 || s.Stats().Subscriptions != 50 {
		t.Errorf("%d subscriptions, %d refused, %d there", left, refused, s.Stats().Subscriptions)
	}
	bystander.wantAlive()
	bystander.conn.Close()
	s.ended()
	before.check(t, 8<<20)
}

// Browse paths that go back and forth, thousands at once, end by the work that they are.
func TestServerBrowsePathsInCircles(t *testing.T) {
	s := serveUA(t, ServerConfig{})
	bystander, p := s.session(plain), s.session(plain)
	loop := func(n int) ua.BrowsePath {
		b := ua.BrowsePath{StartingNode: stdId(ns0.RootFolder)}
		for i := range n {
			name := [...]string{"Types", "Root"}[i%2]
			b.RelativePath.Elements = append(b.RelativePath.Elements, ua.RelativePathElement{
				ReferenceTypeId: stdId(ns0.References), IncludeSubtypes: true, IsInverse: i%2 == 1, TargetName: named(0, name),
			})
		}
		return b
	}
	var r ua.TranslateBrowsePathsToNodeIdsResponse
	if err := p.ask(&ua.TranslateBrowsePathsToNodeIdsRequest{BrowsePaths: []ua.BrowsePath{loop(3), loop(101), loop(5000)}}, &r); err != nil {
		t.Fatal(err)
	}
	for i, want := range []ua.StatusCode{ua.Good, ua.BadQueryTooComplex, ua.BadQueryTooComplex} {
		if r.Results[i].StatusCode != want {
			t.Errorf("path %d: %v, want %v", i, r.Results[i].StatusCode, want)
		}
	}
	// The widest name there is, from the widest folder, in many paths of one request: the work is the request's.
	var many []ua.BrowsePath
	for range 2000 {
		b := loop(100)
		b.StartingNode = stdId(ns0.BaseDataType)
		for i := range b.RelativePath.Elements {
			b.RelativePath.Elements[i].TargetName = named(0, "BaseDataType")
			b.RelativePath.Elements[i].IsInverse = i%2 == 1
		}
		many = append(many, b)
	}
	err := p.ask(&ua.TranslateBrowsePathsToNodeIdsRequest{BrowsePaths: many}, &r)
	if err != nil || len(r.Results) != 2000 {
		t.Errorf("%v, %d results", err, len(r.Results))
	}
	bystander.wantAlive()
}

// Nodes come and go while clients browse page by page over sockets: what stays each of them sees once.
func TestServerBrowseWhileNodesComeAndGo(t *testing.T) {
	space, err := NewSpace(SpaceConfig{ApplicationURI: testURI})
	if err != nil {
		t.Fatal(err)
	}
	variables(t, space, 50)
	s := serveUA(t, ServerConfig{Space: space})
	var clients, writers sync.WaitGroup
	stop := make(chan struct{})
	for w := range 2 {
		writers.Go(func() { churn(t, space, w, 200) })
	}
	for range 2 {
		p := s.session(plain)
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					p.browseAll(7)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	clients.Wait()
}

// browseAll browses the Objects folder page by page, and wants each of the variables that stay once.
func (p *peer) browseAll(page uint32) {
	var r ua.BrowseResponse
	if err := p.ask(browseOf(page, stdId(ns0.ObjectsFolder)), &r); err != nil {
		p.t.Error(err)
		return
	}
	seen := map[ua.NodeId]int{}
	for result := r.Results[0]; ; {
		for i := range result.References {
			if x := &result.References[i]; x.BrowseName.Name != "churn" && x.NodeId.Namespace == 1 {
				seen[x.NodeId.NodeId]++
			}
		}
		if result.ContinuationPoint == nil {
			break
		}
		var next ua.BrowseNextResponse
		if err := p.ask(&ua.BrowseNextRequest{ContinuationPoints: [][]byte{result.ContinuationPoint}}, &next); err != nil || next.Results[0].StatusCode != ua.Good {
			p.t.Error(err, next.Results)
			return
		}
		result = next.Results[0]
	}
	for id, n := range seen {
		if n != 1 {
			p.t.Errorf("%v was seen %d times", id, n)
		}
	}
	if len(seen) != 50 {
		p.t.Errorf("%d of 50 nodes that stay", len(seen))
	}
}

// Faults say which status, and nothing of how the server is made, whatever is asked for: no diagnostics, no texts, no time in them but the server's.
func TestServerFaultsSayNothing(t *testing.T) {
	s := serveUA(t, ServerConfig{})
	for _, at := range []ua.DateTime{0, 1, math.MinInt64, math.MaxInt64, ua.DateTimeOf(time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC))} {
		p := s.session(plain)
		h := ua.RequestHeader{AuthenticationToken: p.token, Timestamp: at, ReturnDiagnostics: math.MaxUint32, RequestHandle: 9, AuditEntryId: "who"}
		for id := uint32(421); id < 848; id++ {
			if needOf(id) != needSession || id == idPublish {
				continue
			}
			m, _ := ua.NewMessage(id)
			response, _ := ua.NewMessage(responseTo(id))
			_ = p.askAs(h, m, response) // which looks at what came: see peer.decode
		}
		wantStatus(t, "close", p.askAs(h, &ua.CloseSessionRequest{}, &ua.CloseSessionResponse{}), ua.Good)
		wantStatus(t, "close again", p.askAs(h, &ua.CloseSessionRequest{}, &ua.CloseSessionResponse{}), ua.BadSessionIdInvalid)
	}
	if n := s.Stats().Faults; n < 100 {
		t.Errorf("%d faults were looked at", n)
	}
}
