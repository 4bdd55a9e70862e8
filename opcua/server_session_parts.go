package opcua

import (
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// sessionPart is one of the nodes that each session has [OPC 10000-5 6.3.5]. Its place in sessionParts is its part of a key.
type sessionPart struct {
	parent   int // place of the node that it is a component of
	name     string
	kind     uint32 // its type definition
	dataType uint32
	rank     int32
	value    func(f *sessionFacts) ua.Variant
}

const baseVariable = ns0.BaseDataVariableType

// Places in sessionParts.
const (
	partSession = iota
	partGeneral
	partSecurity
	partSubscriptions
)

// sessionFacts is what is told of a session.
type sessionFacts struct {
	server   *Server
	session  *session
	general  ua.SessionDiagnosticsDataType
	security ua.SessionSecurityDiagnosticsDataType
}

// factsOf looks at a session as it is now.
func (s *Server) factsOf(x *session) *sessionFacts {
	return &sessionFacts{server: s, session: x, general: s.describe(x), security: x.security()}
}

func structure(m ua.Message) ua.Variant { return ua.ExtensionObjectValue(ua.Wrap(m)) }

// sessionParts are the object of a session, its three variables, and the fields of the first two, in the order of their structures. It is never changed.
var sessionParts = [...]sessionPart{
	partSession:       {kind: ns0.SessionDiagnosticsObjectType},
	partGeneral:       {partSession, "SessionDiagnostics", ns0.SessionDiagnosticsVariableType, ns0.SessionDiagnosticsDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general) }},
	partSecurity:      {partSession, "SessionSecurityDiagnostics", ns0.SessionSecurityDiagnosticsType, ns0.SessionSecurityDiagnosticsDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.security) }},
	partSubscriptions: {partSession, "SubscriptionDiagnosticsArray", ns0.SubscriptionDiagnosticsArrayType, ns0.SubscriptionDiagnosticsDataType, 1, func(f *sessionFacts) ua.Variant { return f.server.subs.diagnosticsOf(f.session) }},
	{partGeneral, "SessionId", baseVariable, ns0.NodeId, -1, func(f *sessionFacts) ua.Variant { return ua.NodeIdValue(f.general.SessionId) }},
	{partGeneral, "SessionName", baseVariable, ns0.String, -1, func(f *sessionFacts) ua.Variant { return ua.String(f.general.SessionName) }},
	{partGeneral, "ClientDescription", baseVariable, ns0.ApplicationDescription, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.ClientDescription) }},
	{partGeneral, "ServerUri", baseVariable, ns0.String, -1, func(f *sessionFacts) ua.Variant { return ua.String(f.general.ServerUri) }},
	{partGeneral, "EndpointUrl", baseVariable, ns0.String, -1, func(f *sessionFacts) ua.Variant { return ua.String(f.general.EndpointUrl) }},
	{partGeneral, "LocaleIds", baseVariable, ns0.LocaleId, 1, func(f *sessionFacts) ua.Variant { return ua.StringArray(f.general.LocaleIds) }},
	{partGeneral, "ActualSessionTimeout", baseVariable, ns0.Duration, -1, func(f *sessionFacts) ua.Variant { return ua.Double(f.general.ActualSessionTimeout) }},
	{partGeneral, "MaxResponseMessageSize", baseVariable, ns0.UInt32, -1, func(f *sessionFacts) ua.Variant { return ua.UInt32(f.general.MaxResponseMessageSize) }},
	{partGeneral, "ClientConnectionTime", baseVariable, ns0.UtcTime, -1, func(f *sessionFacts) ua.Variant { return ua.DateTimeValue(f.general.ClientConnectionTime) }},
	{partGeneral, "ClientLastContactTime", baseVariable, ns0.UtcTime, -1, func(f *sessionFacts) ua.Variant { return ua.DateTimeValue(f.general.ClientLastContactTime) }},
	{partGeneral, "CurrentSubscriptionsCount", baseVariable, ns0.UInt32, -1, func(f *sessionFacts) ua.Variant { return ua.UInt32(f.general.CurrentSubscriptionsCount) }},
	{partGeneral, "CurrentMonitoredItemsCount", baseVariable, ns0.UInt32, -1, func(f *sessionFacts) ua.Variant { return ua.UInt32(f.general.CurrentMonitoredItemsCount) }},
	{partGeneral, "CurrentPublishRequestsInQueue", baseVariable, ns0.UInt32, -1, func(f *sessionFacts) ua.Variant { return ua.UInt32(f.general.CurrentPublishRequestsInQueue) }},
	{partGeneral, "TotalRequestCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.TotalRequestCount) }},
	{partGeneral, "UnauthorizedRequestCount", baseVariable, ns0.UInt32, -1, func(f *sessionFacts) ua.Variant { return ua.UInt32(f.general.UnauthorizedRequestCount) }},
	{partGeneral, "ReadCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.ReadCount) }},
	{partGeneral, "HistoryReadCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.HistoryReadCount) }},
	{partGeneral, "WriteCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.WriteCount) }},
	{partGeneral, "HistoryUpdateCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.HistoryUpdateCount) }},
	{partGeneral, "CallCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.CallCount) }},
	{partGeneral, "CreateMonitoredItemsCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.CreateMonitoredItemsCount) }},
	{partGeneral, "ModifyMonitoredItemsCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.ModifyMonitoredItemsCount) }},
	{partGeneral, "SetMonitoringModeCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.SetMonitoringModeCount) }},
	{partGeneral, "SetTriggeringCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.SetTriggeringCount) }},
	{partGeneral, "DeleteMonitoredItemsCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.DeleteMonitoredItemsCount) }},
	{partGeneral, "CreateSubscriptionCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.CreateSubscriptionCount) }},
	{partGeneral, "ModifySubscriptionCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.ModifySubscriptionCount) }},
	{partGeneral, "SetPublishingModeCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.SetPublishingModeCount) }},
	{partGeneral, "PublishCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.PublishCount) }},
	{partGeneral, "RepublishCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.RepublishCount) }},
	{partGeneral, "TransferSubscriptionsCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.TransferSubscriptionsCount) }},
	{partGeneral, "DeleteSubscriptionsCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.DeleteSubscriptionsCount) }},
	{partGeneral, "AddNodesCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.AddNodesCount) }},
	{partGeneral, "AddReferencesCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.AddReferencesCount) }},
	{partGeneral, "DeleteNodesCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.DeleteNodesCount) }},
	{partGeneral, "DeleteReferencesCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.DeleteReferencesCount) }},
	{partGeneral, "BrowseCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.BrowseCount) }},
	{partGeneral, "BrowseNextCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.BrowseNextCount) }},
	{partGeneral, "TranslateBrowsePathsToNodeIdsCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.TranslateBrowsePathsToNodeIdsCount) }},
	{partGeneral, "QueryFirstCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.QueryFirstCount) }},
	{partGeneral, "QueryNextCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.QueryNextCount) }},
	{partGeneral, "RegisterNodesCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.RegisterNodesCount) }},
	{partGeneral, "UnregisterNodesCount", baseVariable, ns0.ServiceCounterDataType, -1, func(f *sessionFacts) ua.Variant { return structure(&f.general.UnregisterNodesCount) }},
	{partSecurity, "SessionId", baseVariable, ns0.NodeId, -1, func(f *sessionFacts) ua.Variant { return ua.NodeIdValue(f.security.SessionId) }},
	{partSecurity, "ClientUserIdOfSession", baseVariable, ns0.String, -1, func(f *sessionFacts) ua.Variant { return ua.String(f.security.ClientUserIdOfSession) }},
	{partSecurity, "ClientUserIdHistory", baseVariable, ns0.String, 1, func(f *sessionFacts) ua.Variant { return ua.StringArray(f.security.ClientUserIdHistory) }},
	{partSecurity, "AuthenticationMechanism", baseVariable, ns0.String, -1, func(f *sessionFacts) ua.Variant { return ua.String(f.security.AuthenticationMechanism) }},
	{partSecurity, "Encoding", baseVariable, ns0.String, -1, func(f *sessionFacts) ua.Variant { return ua.String(f.security.Encoding) }},
	{partSecurity, "TransportProtocol", baseVariable, ns0.String, -1, func(f *sessionFacts) ua.Variant { return ua.String(f.security.TransportProtocol) }},
	{partSecurity, "SecurityMode", baseVariable, ns0.MessageSecurityMode, -1, func(f *sessionFacts) ua.Variant { return ua.Int32(int32(f.security.SecurityMode)) }},
	{partSecurity, "SecurityPolicyUri", baseVariable, ns0.String, -1, func(f *sessionFacts) ua.Variant { return ua.String(f.security.SecurityPolicyUri) }},
	{partSecurity, "ClientCertificate", baseVariable, ns0.ByteString, -1, func(f *sessionFacts) ua.Variant { return ua.ByteString(f.security.ClientCertificate) }},
}
