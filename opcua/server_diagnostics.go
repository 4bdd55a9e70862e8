package opcua

import (
	"slices"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// summary is ServerDiagnosticsSummary (i=2275).
func (s *Server) summary() ua.ServerDiagnosticsSummaryDataType {
	now, ever := s.subs.counts()
	p := s.sessions
	p.mu.RLock()
	defer p.mu.RUnlock()
	return ua.ServerDiagnosticsSummaryDataType{
		CurrentSessionCount: uint32(len(p.byToken)), CumulatedSessionCount: p.ever,
		SecurityRejectedSessionCount: p.rejectedSecurity, RejectedSessionCount: p.rejected, SessionTimeoutCount: p.timedOut, SessionAbortCount: p.aborted,
		CurrentSubscriptionCount: now, CumulatedSubscriptionCount: ever,
		SecurityRejectedRequestsCount: uint32(s.counts.security.Load()), RejectedRequestsCount: uint32(s.counts.faults.Load()),
	}
}

// addSummary adds the summary and its parts to the live values.
func (s *Server) addSummary(values map[uint32]func() ua.Variant) {
	values[ns0.Server_ServerDiagnostics_ServerDiagnosticsSummary] = func() ua.Variant {
		sum := s.summary()
		return ua.ExtensionObjectValue(ua.Wrap(&sum))
	}
	part := func(id uint32, of func(*ua.ServerDiagnosticsSummaryDataType) uint32) {
		values[id] = func() ua.Variant {
			sum := s.summary()
			return ua.UInt32(of(&sum))
		}
	}
	type summary = ua.ServerDiagnosticsSummaryDataType
	part(ns0.Server_ServerDiagnostics_ServerDiagnosticsSummary_ServerViewCount, func(m *summary) uint32 { return m.ServerViewCount })
	part(ns0.Server_ServerDiagnostics_ServerDiagnosticsSummary_CurrentSessionCount, func(m *summary) uint32 { return m.CurrentSessionCount })
	part(ns0.Server_ServerDiagnostics_ServerDiagnosticsSummary_CumulatedSessionCount, func(m *summary) uint32 { return m.CumulatedSessionCount })
	part(ns0.Server_ServerDiagnostics_ServerDiagnosticsSummary_SecurityRejectedSessionCount, func(m *summary) uint32 { return m.SecurityRejectedSessionCount })
	part(ns0.Server_ServerDiagnostics_ServerDiagnosticsSummary_RejectedSessionCount, func(m *summary) uint32 { return m.RejectedSessionCount })
	part(ns0.Server_ServerDiagnostics_ServerDiagnosticsSummary_SessionTimeoutCount, func(m *summary) uint32 { return m.SessionTimeoutCount })
	part(ns0.Server_ServerDiagnostics_ServerDiagnosticsSummary_SessionAbortCount, func(m *summary) uint32 { return m.SessionAbortCount })
	part(ns0.Server_ServerDiagnostics_ServerDiagnosticsSummary_CurrentSubscriptionCount, func(m *summary) uint32 { return m.CurrentSubscriptionCount })
	part(ns0.Server_ServerDiagnostics_ServerDiagnosticsSummary_CumulatedSubscriptionCount, func(m *summary) uint32 { return m.CumulatedSubscriptionCount })
	part(ns0.Server_ServerDiagnostics_ServerDiagnosticsSummary_PublishingIntervalCount, func(m *summary) uint32 { return m.PublishingIntervalCount })
	part(ns0.Server_ServerDiagnostics_ServerDiagnosticsSummary_SecurityRejectedRequestsCount, func(m *summary) uint32 { return m.SecurityRejectedRequestsCount })
	part(ns0.Server_ServerDiagnostics_ServerDiagnosticsSummary_RejectedRequestsCount, func(m *summary) uint32 { return m.RejectedRequestsCount })
}

// sessionDiagnostics is SessionDiagnosticsArray (i=3707), for admins.
func (s *Server) sessionDiagnostics() []ua.ExtensionObject {
	list := []ua.ExtensionObject{}
	for _, x := range s.sessions.all() {
		d := s.describe(x)
		list = append(list, ua.Wrap(&d))
	}
	return list
}

// describe says what a session is, did and has.
func (s *Server) describe(x *session) ua.SessionDiagnosticsDataType {
	d := x.diagnostics(s.started)
	s.subs.describeSession(x, &d)
	return d
}

// securityDiagnostics is SessionSecurityDiagnosticsArray (i=3708), for admins: who is there, and how that was proved. Tokens and nonces are nowhere.
func (s *Server) securityDiagnostics() []ua.ExtensionObject {
	list := []ua.ExtensionObject{}
	for _, x := range s.sessions.all() {
		d := x.security()
		list = append(list, ua.Wrap(&d))
	}
	return list
}

// security says who a session is for.
func (x *session) security() ua.SessionSecurityDiagnosticsDataType {
	x.mu.Lock()
	defer x.mu.Unlock()
	d := ua.SessionSecurityDiagnosticsDataType{
		SessionId: x.id, ClientUserIdOfSession: x.user.name, ClientUserIdHistory: slices.Clone(x.users),
		Encoding: "UA Binary", TransportProtocol: "opc.tcp", SecurityMode: x.client.mode, SecurityPolicyUri: x.client.policy.URI(), ClientCertificate: x.client.certificate,
	}
	if x.active.Load() {
		d.AuthenticationMechanism = x.user.kind.String()
	}
	return d
}

// mostUsers is how many users a session remembers.
const mostUsers = 16

// became notes the user that a session is for now; for one who holds mu.
func (x *session) became(user sessionUser) {
	x.user = user
	if n := len(x.users); n > 0 && x.users[n-1] == user.name {
		return
	}
	if x.users = append(x.users, user.name); len(x.users) > mostUsers {
		x.users = slices.Delete(x.users, 0, 1)
	}
}

// diagnostics says what a session is and did.
func (x *session) diagnostics(started time.Time) ua.SessionDiagnosticsDataType {
	c := &x.counts
	of := func(i int) ua.ServiceCounterDataType {
		return ua.ServiceCounterDataType{TotalCount: c.totalOf[i].Load(), ErrorCount: c.errorsOf[i].Load()}
	}
	d := ua.SessionDiagnosticsDataType{
		SessionId: x.id, SessionName: x.name, ClientDescription: x.client.application, ServerUri: x.client.serverURI, EndpointUrl: x.client.endpointURL,
		ActualSessionTimeout: float64(x.timeout) / float64(time.Millisecond), MaxResponseMessageSize: x.maxResponse,
		ClientConnectionTime: ua.DateTimeOf(x.created), ClientLastContactTime: ua.DateTimeOf(started.Add(time.Duration(x.used.Load()))),
		TotalRequestCount:        ua.ServiceCounterDataType{TotalCount: c.total.Load(), ErrorCount: c.errors.Load()},
		UnauthorizedRequestCount: c.unauthorised.Load(),
		ReadCount:                of(countRead), HistoryReadCount: of(countHistoryRead), WriteCount: of(countWrite), HistoryUpdateCount: of(countHistoryUpdate), CallCount: of(countCall),
		CreateMonitoredItemsCount: of(countCreateMonitoredItems), ModifyMonitoredItemsCount: of(countModifyMonitoredItems),
		SetMonitoringModeCount: of(countSetMonitoringMode), SetTriggeringCount: of(countSetTriggering), DeleteMonitoredItemsCount: of(countDeleteMonitoredItems),
		CreateSubscriptionCount: of(countCreateSubscription), ModifySubscriptionCount: of(countModifySubscription), SetPublishingModeCount: of(countSetPublishingMode),
		PublishCount: of(countPublish), RepublishCount: of(countRepublish), TransferSubscriptionsCount: of(countTransferSubscriptions),
		DeleteSubscriptionsCount: of(countDeleteSubscriptions), AddNodesCount: of(countAddNodes), AddReferencesCount: of(countAddReferences),
		DeleteNodesCount: of(countDeleteNodes), DeleteReferencesCount: of(countDeleteReferences), BrowseCount: of(countBrowse), BrowseNextCount: of(countBrowseNext),
		TranslateBrowsePathsToNodeIdsCount: of(countTranslate), QueryFirstCount: of(countQueryFirst), QueryNextCount: of(countQueryNext),
		RegisterNodesCount: of(countRegisterNodes), UnregisterNodesCount: of(countUnregisterNodes),
	}
	x.mu.Lock()
	d.LocaleIds = x.locales
	x.mu.Unlock()
	return d
}
