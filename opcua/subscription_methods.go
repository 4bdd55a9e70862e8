package opcua

import (
	"millrace/opcua/ua"
)

// callGetMonitoredItems is the method GetMonitoredItems: the ids of all items of a subscription, and their clients' handles. [OPC 10000-5 9.1]
func (s *Server) callGetMonitoredItems(c *call, subscriptionId uint32) (server, client []uint32, status ua.StatusCode) {
	sub, status := s.subs.ownOf(c.session, subscriptionId)
	if status != ua.Good {
		return nil, nil, status
	}
	sub.mu.Lock()
	defer sub.mu.Unlock()
	server, client = make([]uint32, len(sub.items)), make([]uint32, len(sub.items))
	for i, it := range sub.items {
		server[i], client[i] = it.id, it.handle
	}
	return server, client, ua.Good
}

// callResendData is the method ResendData. [OPC 10000-5 9.2]
func (s *Server) callResendData(c *call, subscriptionId uint32) ua.StatusCode {
	sub, status := s.subs.ownOf(c.session, subscriptionId)
	if status == ua.Good {
		s.subs.resend(sub)
	}
	return status
}

// ownOf finds the subscription that a method names: one that is somebody else's is denied, not unknown.
func (p *subscriptions) ownOf(x *session, id uint32) (*subscription, ua.StatusCode) {
	sub, status := p.itemsOf(x, id)
	if status != ua.Good && p.find(id) != nil {
		status = ua.BadUserAccessDenied
	}
	return sub, status
}
