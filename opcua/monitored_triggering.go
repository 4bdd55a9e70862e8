package opcua

import (
	"context"

	"millrace/opcua/ua"
)

// serveSetTriggering removes links, then adds some. [OPC 10000-4 5.13.5]
func (s *Server) serveSetTriggering(_ context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	id, trigger := d.U32(), d.U32()
	add, remove := d.Count(4), 0
	adds := make([]uint32, 0, add)
	for range add {
		adds = append(adds, d.U32())
	}
	remove = d.Count(4)
	switch {
	case d.Bad():
		return out, d.Status()
	case add+remove == 0:
		return out, ua.BadNothingToDo
	case add+remove > s.space.limits.MonitoredItems:
		return out, ua.BadTooManyOperations
	}
	sub, status := s.subs.itemsOf(c.session, id)
	if status != ua.Good {
		return out, status
	}
	sub.mu.Lock()
	defer sub.mu.Unlock()
	it := sub.item(trigger)
	if it == nil {
		return out, ua.BadMonitoredItemIdInvalid
	}
	var removed [16]ua.StatusCode
	results := removed[:0]
	for range remove {
		results = append(results, sub.unlink(it, d.U32()))
	}
	out = ua.AppendInt32(out, int32(add))
	for _, id := range adds {
		out = ua.AppendStatusCode(out, sub.link(it, id))
	}
	out = ua.AppendInt32(out, -1)
	return appendStatuses(out, results), ua.Good
}

// link and unlink are for who holds the lock.
func (s *subscription) link(from *monitoredItem, id uint32) ua.StatusCode {
	to := s.item(id)
	switch {
	case to == nil:
		return ua.BadMonitoredItemIdInvalid
	case !from.link(to):
		return ua.BadTooManyOperations
	}
	return ua.Good
}

func (s *subscription) unlink(from *monitoredItem, id uint32) ua.StatusCode {
	if to := s.item(id); to == nil || !from.unlink(to) {
		return ua.BadMonitoredItemIdInvalid
	}
	return ua.Good
}
