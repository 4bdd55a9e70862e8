package opcua

import (
	"context"

	"millrace/opcua/ua"
)

// serveBrowseNext answers a BrowseNext [OPC 10000-4 5.8.3].
func (s *Server) serveBrowseNext(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	release := d.Bool()
	n := d.Count(4)
	if status := c.looking(d, n, s.space.limits.Browse); status != ua.Good {
		return out, status
	}
	ids := make([][]byte, n)
	for i := range ids {
		ids[i] = d.Bytes()
	}
	if _, status := endOfRequest(d, nil); status != ua.Good {
		return out, status // nothing is released yet
	}
	b := browser{space: s.space, points: &c.session.browse, room: c.room(out), out: ua.AppendInt32(out, int32(n))}
	for _, id := range ids {
		p := b.points.takeBrowse(id)
		switch {
		case p == nil:
			b.refuse(ua.BadContinuationPointInvalid)
		case release:
			b.refuse(ua.Good)
		default:
			b.page(p)
		}
	}
	return appendNoDiagnostics(b.out), ua.Good
}
