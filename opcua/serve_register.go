package opcua

import (
	"context"

	"millrace/opcua/ua"
)

// serveRegisterNodes answers a RegisterNodes [OPC 10000-4 5.8.5]: with a number that this session can use in place of the id. A node that is not there, or one too many, keeps its
// id, as the specification has it: the service says nothing about nodes.
func (s *Server) serveRegisterNodes(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	list, status := decodeNodeIds(d, s.space.limits.RegisterNodes)
	if status != ua.Good {
		return out, status
	}
	aliases := &c.session.aliases
	out = ua.AppendInt32(out, int32(len(list)))
	for _, id := range list {
		if id.Namespace != aliasNamespace {
			if ref, ok := s.space.resolve(aliases, id); ok {
				if short, ok := aliases.register(ref, s.space.limits.RegisteredNodes); ok {
					id = short
				}
			}
		}
		out = ua.AppendNodeId(out, id)
	}
	return out, ua.Good
}

// serveUnregisterNodes answers an UnregisterNodes [OPC 10000-4 5.8.6]. Ids that nobody registered are passed over.
func (s *Server) serveUnregisterNodes(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	list, status := decodeNodeIds(d, s.space.limits.RegisterNodes)
	if status != ua.Good {
		return out, status
	}
	for _, id := range list {
		c.session.aliases.unregister(id)
	}
	return out, ua.Good
}

// decodeNodeIds reads the only field of a request, a list of ids.
func decodeNodeIds(d *ua.Decoder, limit int) ([]ua.NodeId, ua.StatusCode) {
	n := d.Count(2)
	if status := operations(d, n, limit); status != ua.Good {
		return nil, status
	}
	list := make([]ua.NodeId, n)
	for i := range list {
		list[i] = d.NodeId()
	}
	_, status := endOfRequest(d, nil)
	return list, status
}
