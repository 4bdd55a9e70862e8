package opcua

import (
	"context"

	"millrace/opcua/ua"
)

func (s *Server) serveModifyMonitoredItems(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	e, n, status := s.subs.beginItems(c, d, minItemModify)
	if status != ua.Good {
		return out, status
	}
	list := make([]ua.MonitoredItemModifyRequest, n)
	for i := range list {
		list[i].DecodeFrom(d)
	}
	if d.Bad() {
		return out, d.Status()
	}
	out = ua.AppendInt32(out, int32(n))
	for i := range list {
		r := e.modify(ctx, &list[i])
		out = r.AppendTo(out)
	}
	e.end(ctx)
	return ua.AppendInt32(out, -1), ua.Good
}

// modify changes one item: what it is sampled with, its filter and its queue. Values that wait stay. [OPC 10000-4 5.13.3]
func (e *itemEdit) modify(ctx context.Context, r *ua.MonitoredItemModifyRequest) (result ua.MonitoredItemModifyResult) {
	m := &r.RequestedParameters
	it, old := e.sub.find(r.MonitoredItemId)
	switch {
	case it == nil:
		result.StatusCode = ua.BadMonitoredItemIdInvalid
		return result
	case old == nil: // its user may not read it, and nothing of it matters
		result.RevisedSamplingInterval, result.RevisedQueueSize = m.SamplingInterval, it.modify(e, m, itemFilter{}, 1)
		return result
	}
	key := old.key
	interval, status := e.p.reviseSampling(m.SamplingInterval, e.sub, key.ref, old.shaped())
	filter := itemFilter{}
	if status == ua.Good {
		filter, status = e.p.filterOf(ctx, &m.Filter, key.ref, key.attribute)
	}
	if result.StatusCode = status; status != ua.Good {
		return result
	}
	result.RevisedSamplingInterval = millis(interval)
	result.RevisedQueueSize = it.modify(e, m, filter, e.p.limits.reviseQueue(m.QueueSize))
	if key.interval != interval {
		key.interval = interval
		e.resample(it, old, e.p.samplers.acquire(key, old.id, old.read))
	}
	return result
}

// resample has an item listen to another sampler.
func (e *itemEdit) resample(it *monitoredItem, old, s *sampler) {
	e.sub.mu.Lock()
	dead, mode := it.dead, it.mode
	if !dead {
		it.sampler = s
	}
	e.sub.mu.Unlock()
	if dead {
		e.p.samplers.release(s)
		return
	}
	was, seen := old.snapshot()
	e.p.samplers.leave(old, it)
	e.p.samplers.release(old)
	if mode == ua.MonitoringModeDisabled {
		return
	}
	e.join(s, it)
	if seen {
		s.adopt(it, &was)
	}
}
