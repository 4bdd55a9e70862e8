package opcua

import (
	"context"
	"math"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// operationCount decodes the length of a list of operations that take at least size bytes each. [OPC 10000-4 7.38]
func operationCount(d *ua.Decoder, size, limit int) (int, ua.StatusCode) {
	n := d.Count(size)
	switch {
	case d.Bad():
		return 0, d.Status()
	case n == 0:
		return 0, ua.BadNothingToDo
	case n > limit:
		return 0, ua.BadTooManyOperations
	}
	return n, ua.Good
}

// reviseSampling returns the interval that an item is sampled with for what its client asked for, in milliseconds: below 0 that of publishing, 0 every change if the
// source tells of them. Intervals are multiples of the shortest one, so that many items share few. [OPC 10000-4 7.21]
func (p *subscriptions) reviseSampling(ms float64, sub *subscription, ref nodeRef, shaped bool) (time.Duration, ua.StatusCode) {
	least, most := p.limits.MinSampling, p.limits.MaxSampling
	switch {
	case math.IsNaN(ms):
		return 0, ua.BadInvalidArgument
	case ms < 0:
		p.mu.Lock()
		ms = millis(sub.interval)
		p.mu.Unlock()
	case ms == 0 && !shaped && p.samplers.space.tells(ref):
		return 0, ua.Good
	}
	var n Node
	if !p.samplers.space.tells(ref) && p.samplers.space.describe(ref, &n) {
		ms = max(ms, n.MinimumSamplingInterval)
	}
	if ms >= millis(most) {
		return most, ua.Good
	}
	d := max(least, time.Duration(ms*float64(time.Millisecond)))
	return min((d+least-1)/least*least, most), ua.Good
}

// reviseQueue returns the size of an item's queue; 0 is 1.
func (l *SubscriptionLimits) reviseQueue(size uint32) int32 {
	return int32(min(max(size, 1), uint32(l.QueueSize)))
}

// filterOf returns the filter of an item. [OPC 10000-4 7.22]
func (p *subscriptions) filterOf(ctx context.Context, x *ua.ExtensionObject, ref nodeRef, attribute uint32) (itemFilter, ua.StatusCode) {
	var m ua.DataChangeFilter
	switch {
	case x.TypeId.IsNull():
		return itemFilter{trigger: ua.DataChangeTriggerStatusValue}, ua.Good
	case x.Is(&ua.AggregateFilter{}):
		return itemFilter{}, ua.BadMonitoredItemFilterUnsupported
	case x.Is(&ua.EventFilter{}) || attribute != ua.AttributeValue:
		return itemFilter{}, ua.BadFilterNotAllowed
	case !x.Is(&m) || x.Decode(&m, ua.Limits{}) != nil, m.Trigger < ua.DataChangeTriggerStatus || m.Trigger > ua.DataChangeTriggerStatusValueTimestamp:
		return itemFilter{}, ua.BadMonitoredItemFilterInvalid
	}
	f := itemFilter{trigger: m.Trigger}
	band, status := p.deadband(ctx, &m, ref)
	if status != ua.Good || m.DeadbandType == uint32(ua.DeadbandTypeNone) {
		return f, status
	}
	f.banded, f.deadband = true, band
	if f.trigger == ua.DataChangeTriggerStatusValueTimestamp {
		f.trigger = ua.DataChangeTriggerStatusValue // times do not count where there is a deadband
	}
	return f, ua.Good
}

// deadband returns what values may differ by: of a percentage, that of the variable's range. [OPC 10000-8 7.2]
func (p *subscriptions) deadband(ctx context.Context, m *ua.DataChangeFilter, ref nodeRef) (float64, ua.StatusCode) {
	kind, v := ua.DeadbandType(m.DeadbandType), m.DeadbandValue
	switch {
	case kind == ua.DeadbandTypeNone:
		return 0, ua.Good
	case m.DeadbandType > uint32(ua.DeadbandTypePercent):
		return 0, ua.BadMonitoredItemFilterInvalid
	case !(v >= 0) || math.IsInf(v, 0) || kind == ua.DeadbandTypePercent && v > 100:
		return 0, ua.BadDeadbandFilterInvalid
	case !p.samplers.space.holdsNumbers(ref):
		return 0, ua.BadFilterNotAllowed
	case kind == ua.DeadbandTypeAbsolute:
		return v, ua.Good
	}
	low, high, ok := p.samplers.space.euRange(ctx, ref)
	if !ok {
		return 0, ua.BadMonitoredItemFilterUnsupported
	}
	return v / 100 * (high - low), ua.Good
}

// tells says whether the source of a variable can tell of new values.
func (s *Space) tells(ref nodeRef) bool {
	if ref.mount == nil {
		if v := ref.variable(); v == nil || v.held != nil {
			return v != nil
		}
	}
	store, _ := ref.source()
	_, ok := store.(ValuePusher)
	return ok
}

// holdsNumbers says whether the values of a variable are numbers, as far as its data type tells.
func (s *Space) holdsNumbers(ref nodeRef) bool {
	var n Node
	return s.describe(ref, &n) && (n.DataType.IsNull() || n.DataType == ua.NumericId(0, ns0.BaseDataType) || s.isSubtype(n.DataType, ua.NumericId(0, ns0.Number)))
}

// refuse makes the item say why there is no value.
func (it *monitoredItem) refuse() {
	s := sample{stamps: stamps{status: it.refused, server: ua.DateTimeOf(time.Now())}}
	it.sub.mu.Lock()
	defer it.sub.mu.Unlock()
	it.offer(&s, changedStatus)
}

// modify takes new parameters in and returns the size of the queue.
func (it *monitoredItem) modify(e *itemEdit, m *ua.MonitoringParameters, f itemFilter, queue int32) uint32 {
	it.sub.mu.Lock()
	defer it.sub.mu.Unlock()
	f.last, f.numeric, f.array = it.filter.last, it.filter.numeric && it.filter.banded, it.filter.array
	it.filter, it.handle, it.timestamps, it.discardOldest = f, m.ClientHandle, e.timestamps, m.DiscardOldest
	it.queue.limit(queue, it.discardOldest, &it.sub.budget)
	return uint32(queue)
}
