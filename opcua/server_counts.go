package opcua

import (
	"sync/atomic"

	"millrace/opcua/ua"
)

// The services in the order in which SessionDiagnosticsDataType counts them [OPC 10000-5 12.12]; 0 is none of them.
const (
	countNone = iota
	countRead
	countHistoryRead
	countWrite
	countHistoryUpdate
	countCall
	countCreateMonitoredItems
	countModifyMonitoredItems
	countSetMonitoringMode
	countSetTriggering
	countDeleteMonitoredItems
	countCreateSubscription
	countModifySubscription
	countSetPublishingMode
	countPublish
	countRepublish
	countTransferSubscriptions
	countDeleteSubscriptions
	countAddNodes
	countAddReferences
	countDeleteNodes
	countDeleteReferences
	countBrowse
	countBrowseNext
	countTranslate
	countQueryFirst
	countQueryNext
	countRegisterNodes
	countUnregisterNodes
	countCancel // has no counter of its own in the diagnostics
	countServices
)

// serviceIndex returns which of them a request is for, 0 for what needs no session and for what is unknown.
func serviceIndex(request uint32) int {
	switch request {
	case idRead:
		return countRead
	case idHistoryRead:
		return countHistoryRead
	case idWrite:
		return countWrite
	case idCall:
		return countCall
	case idCreateMonitoredItems:
		return countCreateMonitoredItems
	case idModifyMonitoredItems:
		return countModifyMonitoredItems
	case idSetMonitoringMode:
		return countSetMonitoringMode
	case idSetTriggering:
		return countSetTriggering
	case idDeleteMonitoredItems:
		return countDeleteMonitoredItems
	case idCreateSubscription:
		return countCreateSubscription
	case idModifySubscription:
		return countModifySubscription
	case idSetPublishingMode:
		return countSetPublishingMode
	case idPublish:
		return countPublish
	case idRepublish:
		return countRepublish
	case idTransferSubscriptions:
		return countTransferSubscriptions
	case idDeleteSubscriptions:
		return countDeleteSubscriptions
	case idBrowse:
		return countBrowse
	case idBrowseNext:
		return countBrowseNext
	case idTranslate:
		return countTranslate
	case idRegisterNodes:
		return countRegisterNodes
	case idUnregisterNodes:
		return countUnregisterNodes
	case idCancel:
		return countCancel
	}
	return countNone
}

// sessionCounts is what a session asked for, for its diagnostics.
type sessionCounts struct {
	total, errors     atomic.Uint32
	unauthorised      atomic.Uint32
	totalOf, errorsOf [countServices]atomic.Uint32
}

// count counts a request that was served or refused by its service.
func (c *sessionCounts) count(request uint32, status ua.StatusCode) {
	i := serviceIndex(request)
	c.total.Add(1)
	c.totalOf[i].Add(1)
	if status != ua.Good {
		c.errors.Add(1)
		c.errorsOf[i].Add(1)
	}
	if status == ua.BadUserAccessDenied {
		c.unauthorised.Add(1)
	}
}

// serverCounts is counted into by all connections.
type serverCounts struct {
	requests        atomic.Uint64 // in sessions
	faults          atomic.Uint64
	security        atomic.Uint64 // faults for a token, channel or signature that is not right
	issued, renewed atomic.Uint64 // tokens of channels
}

func (c *serverCounts) opened(renewed bool) {
	if renewed {
		c.renewed.Add(1)
	} else {
		c.issued.Add(1)
	}
}

// fault counts a ServiceFault.
func (c *serverCounts) fault(status ua.StatusCode) {
	c.faults.Add(1)
	switch status {
	case ua.BadSessionIdInvalid, ua.BadSecureChannelIdInvalid, ua.BadApplicationSignatureInvalid, ua.BadIdentityTokenRejected, ua.BadUserAccessDenied, ua.BadIdentityTokenInvalid,
		ua.BadUserSignatureInvalid, ua.BadSecurityPolicyRejected, ua.BadSecurityChecksFailed, ua.BadNonceInvalid, ua.BadCertificateUriInvalid, ua.BadSessionNotActivated:
		c.security.Add(1)
	}
}
