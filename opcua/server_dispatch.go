package opcua

import (
	"context"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// call is one request, for the time that it is being served. It belongs to the connection's goroutine and is used again for the next one; what is answered later
// keeps a late of it, and a job a copy.
type call struct {
	server   *Server
	conn     *serverConn
	session  *session         // nil for services that need none
	header   ua.RequestHeader // without AuthenticationToken and AuditEntryId: the session stands for the first, nobody reads the second; AdditionalHeader of CreateSession and ActivateSession alone
	id       uint32           // request id on the channel
	service  uint32           // encoding id of the request
	received time.Time
	deadline time.Time // by TimeoutHint; zero when the client gave none
	caller   *Caller   // who asks
	hosted   bool      // served by the session's work, not by the connection's goroutine
}

// late is what is left of a request that is answered later, by another goroutine.
type late struct {
	conn     *serverConn
	id       uint32 // request id on the channel
	handle   uint32 // RequestHandle
	limit    uint32 // bytes of a response that the session takes; 0 no limit
	deadline time.Time
}

// late keeps the request for an answer that comes later.
func (c *call) late() late {
	return late{conn: c.conn, id: c.id, handle: c.header.RequestHandle, limit: c.session.maxResponse, deadline: c.deadline}
}

// asks returns who asks.
func (c *call) asks() *Caller {
	if c.caller != nil {
		return c.caller
	}
	return c.session.caller
}

// context returns ctx with the deadline of the request, for services that wait for somebody else's code.
func (c *call) context(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.deadline.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, c.deadline)
}

// The encoding ids of the requests that are known.
const (
	idServiceFault           = ns0.ServiceFault_Encoding_DefaultBinary
	idFindServers            = ns0.FindServersRequest_Encoding_DefaultBinary
	idFindServersOnNetwork   = ns0.FindServersOnNetworkRequest_Encoding_DefaultBinary
	idGetEndpoints           = ns0.GetEndpointsRequest_Encoding_DefaultBinary
	idRegisterServer         = ns0.RegisterServerRequest_Encoding_DefaultBinary
	idRegisterServer2        = ns0.RegisterServer2Request_Encoding_DefaultBinary
	idCreateSession          = ns0.CreateSessionRequest_Encoding_DefaultBinary
	idActivateSession        = ns0.ActivateSessionRequest_Encoding_DefaultBinary
	idCloseSession           = ns0.CloseSessionRequest_Encoding_DefaultBinary
	idCancel                 = ns0.CancelRequest_Encoding_DefaultBinary
	idRead                   = ns0.ReadRequest_Encoding_DefaultBinary
	idHistoryRead            = ns0.HistoryReadRequest_Encoding_DefaultBinary
	idWrite                  = ns0.WriteRequest_Encoding_DefaultBinary
	idCall                   = ns0.CallRequest_Encoding_DefaultBinary
	idBrowse                 = ns0.BrowseRequest_Encoding_DefaultBinary
	idBrowseNext             = ns0.BrowseNextRequest_Encoding_DefaultBinary
	idTranslate              = ns0.TranslateBrowsePathsToNodeIdsRequest_Encoding_DefaultBinary
	idRegisterNodes          = ns0.RegisterNodesRequest_Encoding_DefaultBinary
	idUnregisterNodes        = ns0.UnregisterNodesRequest_Encoding_DefaultBinary
	idCreateMonitoredItems   = ns0.CreateMonitoredItemsRequest_Encoding_DefaultBinary
	idModifyMonitoredItems   = ns0.ModifyMonitoredItemsRequest_Encoding_DefaultBinary
	idSetMonitoringMode      = ns0.SetMonitoringModeRequest_Encoding_DefaultBinary
	idSetTriggering          = ns0.SetTriggeringRequest_Encoding_DefaultBinary
	idDeleteMonitoredItems   = ns0.DeleteMonitoredItemsRequest_Encoding_DefaultBinary
	idCreateSubscription     = ns0.CreateSubscriptionRequest_Encoding_DefaultBinary
	idModifySubscription     = ns0.ModifySubscriptionRequest_Encoding_DefaultBinary
	idSetPublishingMode      = ns0.SetPublishingModeRequest_Encoding_DefaultBinary
	idPublish                = ns0.PublishRequest_Encoding_DefaultBinary
	idRepublish              = ns0.RepublishRequest_Encoding_DefaultBinary
	idTransferSubscriptions  = ns0.TransferSubscriptionsRequest_Encoding_DefaultBinary
	idDeleteSubscriptions    = ns0.DeleteSubscriptionsRequest_Encoding_DefaultBinary
	responseBehindRequest    = 3 // what the id of a response is more than that of its request, but for two services
	responseBehindRequestNew = 1
)

// responseTo returns the encoding id of the response to a request.
func responseTo(request uint32) uint32 {
	if request == idFindServersOnNetwork || request == idRegisterServer2 {
		return request + responseBehindRequestNew
	}
	return request + responseBehindRequest
}

// need is what a service asks of the session before its request is looked at.
type need uint8

const (
	needUnknown need = iota // no such service
	needNothing             // discovery, CreateSession
	needToken               // a session, on whatever channel, activated or not: the service looks itself
	needSession             // activated, on this channel
)

// needOf returns what a request needs.
func needOf(request uint32) need {
	switch request {
	case idFindServers, idFindServersOnNetwork, idGetEndpoints, idRegisterServer, idRegisterServer2, idCreateSession:
		return needNothing
	case idActivateSession, idCloseSession:
		return needToken
	}
	if serviceIndex(request) > 0 {
		return needSession
	}
	return needUnknown
}

// takesLong says whether the connection's goroutine may have to wait: for who knows the users, and for the private key.
func takesLong(request uint32) bool {
	return request == idCreateSession || request == idActivateSession
}

// serve calls the service of the request at hand. A service decodes its request, which d holds from behind the RequestHeader on, and appends its response from
// behind the ResponseHeader on to out. What it appended counts only with ua.Good; any other status goes out in a ServiceFault. d is in Alias mode: byte strings point
// into the connection's buffer, and strings are of a copy of the message, so that who keeps one clones it.
func (s *Server) serve(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	switch c.service {
	case idRead:
		return s.serveRead(ctx, c, d, out)
	case idWrite:
		return s.serveWrite(ctx, c, d, out)
	case idBrowse:
		return s.serveBrowse(ctx, c, d, out)
	case idBrowseNext:
		return s.serveBrowseNext(ctx, c, d, out)
	case idTranslate:
		return s.serveTranslateBrowsePaths(ctx, c, d, out)
	case idRegisterNodes:
		return s.serveRegisterNodes(ctx, c, d, out)
	case idUnregisterNodes:
		return s.serveUnregisterNodes(ctx, c, d, out)
	case idCall:
		return s.serveCall(ctx, c, d, out)
	case idHistoryRead:
		return s.serveHistoryRead(ctx, c, d, out)
	case idCreateMonitoredItems:
		return s.serveCreateMonitoredItems(ctx, c, d, out)
	case idModifyMonitoredItems:
		return s.serveModifyMonitoredItems(ctx, c, d, out)
	case idSetMonitoringMode:
		return s.serveSetMonitoringMode(ctx, c, d, out)
	case idSetTriggering:
		return s.serveSetTriggering(ctx, c, d, out)
	case idDeleteMonitoredItems:
		return s.serveDeleteMonitoredItems(ctx, c, d, out)
	case idCreateSubscription:
		return s.serveCreateSubscription(ctx, c, d, out)
	case idModifySubscription:
		return s.serveModifySubscription(ctx, c, d, out)
	case idSetPublishingMode:
		return s.serveSetPublishingMode(ctx, c, d, out)
	case idRepublish:
		return s.serveRepublish(ctx, c, d, out)
	case idTransferSubscriptions:
		return s.serveTransferSubscriptions(ctx, c, d, out)
	case idDeleteSubscriptions:
		return s.serveDeleteSubscriptions(ctx, c, d, out)
	}
	return s.serveSession(ctx, c, d, out)
}

// serveSession is serve for the services of the server itself.
func (s *Server) serveSession(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	switch c.service {
	case idCreateSession:
		return s.serveCreateSession(ctx, c, d, out)
	case idActivateSession:
		return s.serveActivateSession(ctx, c, d, out)
	case idCloseSession:
		return s.serveCloseSession(ctx, c, d, out)
	case idCancel:
		return s.serveCancel(ctx, c, d, out)
	case idFindServers:
		return s.serveFindServers(ctx, c, d, out)
	case idGetEndpoints:
		return s.serveGetEndpoints(ctx, c, d, out)
	}
	return out, ua.BadServiceUnsupported // FindServersOnNetwork, RegisterServer and RegisterServer2 are a discovery server's
}

// decoded returns what is wrong with a request that was read to its end.
func decoded(d *ua.Decoder) ua.StatusCode {
	_ = d.Done()
	return d.Status()
}
