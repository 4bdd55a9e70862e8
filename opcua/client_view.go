package opcua

import (
	"context"

	"millrace/opcua/ua"
)

// TranslateBrowsePaths finds the nodes at the ends of paths of browse names [OPC 10000-4 5.9.4]. The result has as many elements as paths.
func (c *Client) TranslateBrowsePaths(ctx context.Context, paths []ua.BrowsePath) ([]ua.BrowsePathResult, error) {
	w := &clientMany[ua.BrowsePath, ua.BrowsePathResult, *ua.BrowsePath, *ua.BrowsePathResult]{
		ask: paths, got: make([]ua.BrowsePathResult, len(paths)), minBytes: 8, failed: func(r *ua.BrowsePathResult, s ua.StatusCode) { r.StatusCode = s },
	}
	err := c.split(ctx, ServiceTranslateBrowsePathsToNodeIds, len(paths), w)
	return w.got, err
}

// RegisterNodes announces that nodes will be used again and again, and returns the ids by which to do so in this session [OPC 10000-4 5.9.5]: those of the server, or those asked
// for where it has no better ones. With an error some of them stay those asked for.
func (c *Client) RegisterNodes(ctx context.Context, nodes []ua.NodeId) ([]ua.NodeId, error) {
	w := &clientRegister{ask: nodes, got: append([]ua.NodeId(nil), nodes...)}
	err := c.split(ctx, ServiceRegisterNodes, len(nodes), w)
	return w.got, err
}

// UnregisterNodes gives back what RegisterNodes returned.
func (c *Client) UnregisterNodes(ctx context.Context, nodes []ua.NodeId) error {
	return c.split(ctx, ServiceUnregisterNodes, len(nodes), &clientRegister{ask: nodes})
}

// clientRegister is one call of RegisterNodes, or without got of UnregisterNodes.
type clientRegister struct{ ask, got []ua.NodeId }

func (w *clientRegister) appendTo(b []byte, from, to int) []byte {
	b = ua.AppendInt32(b, int32(to-from))
	for _, n := range w.ask[from:to] {
		b = ua.AppendNodeId(b, n)
	}
	return b
}

func (w *clientRegister) decode(d *ua.Decoder, from, to int) (int, error) {
	if w.got == nil {
		return 0, d.Err()
	}
	if n := d.Count(2); n != to-from && !d.Bad() {
		return 0, &CountError{Asked: to - from, Got: n}
	}
	for i := from; i < to && !d.Bad(); i++ {
		w.got[i] = d.NodeId()
	}
	return 0, d.Err()
}

func (w *clientRegister) fail(from, to int, _ *Error) {
	if w.got != nil {
		copy(w.got[from:to], w.ask[from:to])
	}
}
