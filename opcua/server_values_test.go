package opcua

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// read reads the Value attribute of a node of namespace 0.
func (p *peer) read(id uint32) ua.DataValue {
	p.t.Helper()
	var resp ua.ReadResponse
	req := &ua.ReadRequest{TimestampsToReturn: ua.TimestampsToReturnBoth, NodesToRead: []ua.ReadValueId{{NodeId: ua.NumericId(0, id), AttributeId: ua.AttributeValue}}}
	if err := p.call(req, &resp); err != nil || len(resp.Results) != 1 {
		p.t.Fatalf("read i=%d: %v", id, err)
	}
	return resp.Results[0]
}

// Every live value is there, with a time, and is what the specification says that it is: the variable of that data type takes it.
func TestServerValues(t *testing.T) {
	s := serveUA(t, ServerConfig{ApplicationName: "Plant", SoftwareVersion: "1.2.3", AnonymousRoles: RoleRead | RoleAdmin})
	p := s.session(plain)
	for id, value := range s.liveValues() {
		v := p.read(id)
		if v.Status != ua.Good || v.SourceTimestamp == 0 || v.ServerTimestamp == 0 {
			t.Errorf("i=%d: %v, times %v %v", id, v.Status, v.SourceTimestamp, v.ServerTimestamp)
		}
		want := value()
		if v.Value.Type() != want.Type() || v.Value.IsArray() != want.IsArray() {
			t.Errorf("i=%d is %v, not %v", id, v.Value.Type(), want.Type())
		}
		var n Node
		if ref, ok := s.space.resolve(nil, ua.NumericId(0, id)); !ok || !s.space.describe(ref, &n) {
			t.Errorf("i=%d is not described", id)
		} else if builtIn, _ := s.space.builtIn(n.DataType); builtIn != v.Value.Type() {
			t.Errorf("i=%d, %s, is %v where its data type says %v", id, n.BrowseName.Name, v.Value.Type(), builtIn)
		}
	}
	status := p.read(ns0.Server_ServerStatus).Value
	var st ua.ServerStatusDataType
	if x, ok := status.ExtensionObject(); !ok || x.Decode(&st, ua.Limits{}) != nil || st.State != ua.ServerStateRunning || st.BuildInfo.SoftwareVersion != "1.2.3" || st.CurrentTime < st.StartTime {
		t.Errorf("status %+v", st)
	}
	if a := p.read(ns0.Server_NamespaceArray).Value.String(); !strings.Contains(a, testURI) {
		t.Errorf("NamespaceArray %s", a)
	}
	if a, _ := ua.ArrayOf[string](p.read(ns0.Server_ServerArray).Value); !slices.Equal(a, []string{testURI}) {
		t.Errorf("ServerArray %v", a)
	}
}

// The diagnostics count sessions, requests and what was refused, and give no secret away.
func TestServerDiagnostics(t *testing.T) {
	cfg := secured(t)
	cfg.AnonymousRoles = RoleRead | RoleAdmin
	s := serveUA(t, cfg)
	p := s.session(plain)
	other := s.session(sealed)
	wantStatus(t, "nonsense", p.receive(p.sendAs(&ua.CancelRequest{}, ua.NumericId(0, 77)), &ua.CancelResponse{}), ua.BadSessionIdInvalid)
	wantStatus(t, "nothing to read", other.call(&ua.ReadRequest{}, &ua.ReadResponse{}), ua.BadNothingToDo)
	subscribe := &ua.CreateSubscriptionRequest{RequestedPublishingInterval: 1e6, RequestedLifetimeCount: 30, RequestedMaxKeepAliveCount: 10}
	wantStatus(t, "subscribe", other.call(subscribe, &ua.CreateSubscriptionResponse{}), ua.Good)
	other.send(&ua.PublishRequest{})
	other.wantAlive() // the Publish is there now
	var sum ua.ServerDiagnosticsSummaryDataType
	v := p.read(ns0.Server_ServerDiagnostics_ServerDiagnosticsSummary).Value
	if x, ok := v.ExtensionObject(); !ok || x.Decode(&sum, ua.Limits{}) != nil || sum.CurrentSessionCount != 2 || sum.CumulatedSessionCount != 2 ||
		sum.RejectedRequestsCount != 2 || sum.SecurityRejectedRequestsCount != 1 || sum.CurrentSubscriptionCount != 1 {
		t.Errorf("summary %+v", sum)
	}
	if n, _ := p.read(ns0.Server_ServerDiagnostics_ServerDiagnosticsSummary_CurrentSessionCount).Value.Uint64(); n != 2 {
		t.Errorf("%d sessions", n)
	}
	v = p.read(ns0.Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionDiagnosticsArray).Value
	list, _ := ua.ArrayOf[ua.ExtensionObject](v)
	if len(list) != 2 {
		t.Fatalf("%d sessions", len(list))
	}
	var d ua.SessionDiagnosticsDataType
	if err := list[1].Decode(&d, ua.Limits{}); err != nil || d.ReadCount.TotalCount != 1 || d.ReadCount.ErrorCount != 1 || d.SessionName != "test" ||
		d.ClientDescription.ApplicationUri != "urn:test:client" || d.ActualSessionTimeout != 60_000 || d.TotalRequestCount.TotalCount != 5 ||
		d.CurrentSubscriptionsCount != 1 || d.CurrentPublishRequestsInQueue != 1 {
		t.Errorf("%v, %+v", err, d)
	}
	for _, x := range list {
		if strings.Contains(string(x.Body), other.token.Text) || strings.Contains(string(x.Body), p.token.Text) {
			t.Error("a token is among the diagnostics")
		}
	}
}

// Who is there, as whom and how, is for admins: others are denied, by reading as by monitoring, and the nodes are where Part 5 has them.
func TestServerDiagnosticsAreForAdmins(t *testing.T) {
	cfg := secured(t)
	cfg.Users, cfg.UserTokens = rolesByName{"": RoleRead | RoleWrite, "anna": RoleRead, "boss": RoleRead | RoleWrite | RoleAdmin}, TokenAnonymous|TokenPassword
	s := serveUA(t, cfg)
	p, boss := s.session(sealed), s.session(plain)
	wantStatus(t, "as anna", p.activate(p.password("anna", "x")), ua.Good)
	wantStatus(t, "as boss", boss.activate(boss.password("boss", "x")), ua.Good)
	var sub ua.CreateSubscriptionResponse
	wantStatus(t, "subscribe", p.ask(&ua.CreateSubscriptionRequest{RequestedPublishingInterval: 10, RequestedLifetimeCount: 1000, RequestedMaxKeepAliveCount: 100, PublishingEnabled: true}, &sub), ua.Good)
	for _, id := range []uint32{diagnosticsOfSessions, diagnosticsOfSecurity} {
		if v := p.read(id); v.Status != ua.BadUserAccessDenied || !v.Value.IsNull() {
			t.Errorf("i=%d for anna: %v %v", id, v.Status, v.Value)
		}
		item := ua.MonitoredItemCreateRequest{ItemToMonitor: ua.ReadValueId{NodeId: stdId(id), AttributeId: ua.AttributeValue}, MonitoringMode: ua.MonitoringModeReporting}
		var r ua.CreateMonitoredItemsResponse
		if err := p.ask(&ua.CreateMonitoredItemsRequest{SubscriptionId: sub.SubscriptionId, ItemsToCreate: []ua.MonitoredItemCreateRequest{item}}, &r); err != nil || r.Results[0].StatusCode == ua.Good && !p.denied() {
			t.Errorf("i=%d monitored by anna: %v %v", id, err, r.Results)
		}
		if v := boss.read(id); v.Status != ua.Good {
			t.Errorf("i=%d for boss: %v", id, v.Status)
		}
	}
	list, _ := ua.ArrayOf[ua.ExtensionObject](boss.read(diagnosticsOfSecurity).Value)
	var d ua.SessionSecurityDiagnosticsDataType
	if len(list) != 2 || list[0].Decode(&d, ua.Limits{}) != nil || d.ClientUserIdOfSession != "anna" || !slices.Equal(d.ClientUserIdHistory, []string{"", "anna"}) || d.AuthenticationMechanism != "UserName" ||
		d.SecurityMode != ua.MessageSecurityModeSignAndEncrypt || d.SecurityPolicyUri != sealed.Policy.URI() || !bytes.Equal(d.ClientCertificate, testIdentity(t, "client").Raw) {
		t.Errorf("%d, %+v", len(list), d)
	}
	for _, x := range list {
		if strings.Contains(string(x.Body), p.token.Text) || strings.Contains(string(x.Body), boss.token.Text) {
			t.Error("a token is among the diagnostics")
		}
	}
	path := pathOf(stdId(ns0.Server), named(0, "ServerDiagnostics"), named(0, "SessionsDiagnosticsSummary"), named(0, "SessionSecurityDiagnosticsArray"))
	var tr ua.TranslateBrowsePathsToNodeIdsResponse
	if err := boss.ask(&ua.TranslateBrowsePathsToNodeIdsRequest{BrowsePaths: []ua.BrowsePath{path}}, &tr); err != nil || len(tr.Results[0].Targets) != 1 || tr.Results[0].Targets[0].TargetId.NodeId != stdId(diagnosticsOfSecurity) {
		t.Errorf("%v, %+v", err, tr.Results)
	}
}

// denied says whether the first value that the session's subscription has is that it may not be read.
func (p *peer) denied() bool {
	p.t.Helper()
	var r ua.PublishResponse
	if err := p.ask(&ua.PublishRequest{}, &r); err != nil || len(r.NotificationMessage.NotificationData) != 1 {
		p.t.Errorf("%v, %+v", err, r)
		return false
	}
	var n ua.DataChangeNotification
	if err := r.NotificationMessage.NotificationData[0].Decode(&n, ua.Limits{}); err != nil || len(n.MonitoredItems) == 0 {
		p.t.Errorf("%v, %+v", err, n)
		return false
	}
	v := n.MonitoredItems[0].Value
	return v.Status == ua.BadUserAccessDenied && v.Value.IsNull()
}
