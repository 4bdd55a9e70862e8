package opcua

import "millrace/opcua/ua"

// Service is a service by the encoding id of its request [OPC 10000-6 5.2.9]; that of the response is three higher.
type Service uint32

// The services that the client uses.
const (
	ServiceFindServers                   Service = 422
	ServiceGetEndpoints                  Service = 428
	ServiceOpenSecureChannel             Service = 446
	ServiceCloseSecureChannel            Service = 452
	ServiceCreateSession                 Service = 461
	ServiceActivateSession               Service = 467
	ServiceCloseSession                  Service = 473
	ServiceBrowse                        Service = 527
	ServiceBrowseNext                    Service = 533
	ServiceTranslateBrowsePathsToNodeIds Service = 554
	ServiceRegisterNodes                 Service = 560
	ServiceUnregisterNodes               Service = 566
	ServiceRead                          Service = 631
	ServiceHistoryRead                   Service = 664
	ServiceWrite                         Service = 673
	ServiceCall                          Service = 712
	ServiceCreateMonitoredItems          Service = 751
	ServiceModifyMonitoredItems          Service = 763
	ServiceDeleteMonitoredItems          Service = 781
	ServiceCreateSubscription            Service = 787
	ServiceSetPublishingMode             Service = 799
	ServicePublish                       Service = 826
	ServiceRepublish                     Service = 832
	ServiceTransferSubscriptions         Service = 841
	ServiceDeleteSubscriptions           Service = 847
)

// faultId is the encoding id of a ServiceFault.
const faultId = 397

// response returns the encoding id of the answer.
func (s Service) response() uint32 { return uint32(s) + 3 }

// String returns the specification's name of s.
func (s Service) String() string {
	switch s {
	case ServiceFindServers:
		return "FindServers"
	case ServiceGetEndpoints:
		return "GetEndpoints"
	case ServiceOpenSecureChannel:
		return "OpenSecureChannel"
	case ServiceCloseSecureChannel:
		return "CloseSecureChannel"
	case ServiceCreateSession:
		return "CreateSession"
	case ServiceActivateSession:
		return "ActivateSession"
	case ServiceCloseSession:
		return "CloseSession"
	case ServiceBrowse:
		return "Browse"
	case ServiceBrowseNext:
		return "BrowseNext"
	case ServiceTranslateBrowsePathsToNodeIds:
		return "TranslateBrowsePathsToNodeIds"
	case ServiceRegisterNodes:
		return "RegisterNodes"
	case ServiceUnregisterNodes:
		return "UnregisterNodes"
	}
	return s.dataName()
}

// dataName returns the names of the services that carry values.
func (s Service) dataName() string {
	switch s {
	case ServiceRead:
		return "Read"
	case ServiceHistoryRead:
		return "HistoryRead"
	case ServiceWrite:
		return "Write"
	case ServiceCall:
		return "Call"
	case ServiceCreateMonitoredItems:
		return "CreateMonitoredItems"
	case ServiceModifyMonitoredItems:
		return "ModifyMonitoredItems"
	case ServiceDeleteMonitoredItems:
		return "DeleteMonitoredItems"
	case ServiceCreateSubscription:
		return "CreateSubscription"
	case ServiceSetPublishingMode:
		return "SetPublishingMode"
	case ServicePublish:
		return "Publish"
	case ServiceRepublish:
		return "Republish"
	case ServiceTransferSubscriptions:
		return "TransferSubscriptions"
	case ServiceDeleteSubscriptions:
		return "DeleteSubscriptions"
	}
	return "service " + ua.NumericId(0, uint32(s)).String()
}

// reads reports whether s changes nothing that anybody cares about: asking it once more does no harm.
func (s Service) reads() bool {
	switch s {
	case ServiceFindServers, ServiceGetEndpoints, ServiceBrowse, ServiceBrowseNext, ServiceTranslateBrowsePathsToNodeIds, ServiceRegisterNodes,
		ServiceUnregisterNodes, ServiceRead, ServiceHistoryRead, ServiceRepublish, ServicePublish, ServiceActivateSession, ServiceCreateSession,
		ServiceCloseSession, ServiceOpenSecureChannel, ServiceCreateSubscription, ServiceDeleteSubscriptions, ServiceSetPublishingMode,
		ServiceCreateMonitoredItems, ServiceModifyMonitoredItems, ServiceDeleteMonitoredItems, ServiceTransferSubscriptions:
		return true
	}
	return false
}
