package opcua

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/opcua/ua"
)

// The services of monitored items [OPC 10000-4 5.13].

// Shortest encodings of operations: a MonitoredItemCreateRequest is ReadValueId 16, mode 4, MonitoringParameters 20; a MonitoredItemModifyRequest an id and those.
const (
	minItemCreate = 40
	minItemModify = 24
)

// itemsOf finds the subscription of a service on items and notes that its client lives.
func (p *subscriptions) itemsOf(x *session, id uint32) (*subscription, ua.StatusCode) {
	o := p.lockFor(x)
	defer o.mu.Unlock()
	s := o.find(id)
	if s == nil {
		return nil, ua.BadSubscriptionIdInvalid
	}
	s.machine.touch()
	return s, ua.Good
}

// itemEdit is one service at work on the items of a subscription. What it has begun to listen to is read at the end, all at once.
type itemEdit struct {
	p          *subscriptions
	call       *call
	sub        *subscription
	timestamps ua.TimestampsToReturn
	room       int // how many items the session may still get
	joined     []*sampler
}

// beginItems decodes what Create and Modify begin with.
func (p *subscriptions) beginItems(c *call, d *ua.Decoder, size int) (e itemEdit, n int, status ua.StatusCode) {
	id := d.U32()
	e = itemEdit{p: p, call: c, timestamps: ua.TimestampsToReturn(d.I32())}
	n, status = operationCount(d, size, p.server.space.limits.MonitoredItems)
	switch {
	case status != ua.Good:
	case e.timestamps < ua.TimestampsToReturnSource || e.timestamps > ua.TimestampsToReturnNeither:
		status = ua.BadTimestampsToReturnInvalid
	default:
		e.sub, status = p.itemsOf(c.session, id)
	}
	return e, n, status
}

// end reads the first values of items that have begun to listen.
func (e *itemEdit) end(ctx context.Context) { e.p.samplers.prime(ctx, e.joined) }

func (e *itemEdit) join(s *sampler, it *monitoredItem) {
	e.p.samplers.join(s, it)
	e.joined = append(e.joined, s)
}

func (s *Server) serveCreateMonitoredItems(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	e, n, status := s.subs.beginItems(c, d, minItemCreate)
	if status != ua.Good {
		return out, status
	}
	list := make([]ua.MonitoredItemCreateRequest, n)
	for i := range list {
		list[i].DecodeFrom(d)
	}
	if d.Bad() {
		return out, d.Status() // nothing has been made
	}
	e.room = s.subs.itemRoom(c.session)
	out = ua.AppendInt32(out, int32(n))
	for i := range list {
		r := e.create(ctx, &list[i])
		out = r.AppendTo(out)
	}
	e.end(ctx)
	return ua.AppendInt32(out, -1), ua.Good
}

// itemRoom returns how many items the session may have beyond those that it has.
func (p *subscriptions) itemRoom(x *session) int {
	o := p.of(x)
	o.mu.Lock()
	defer o.mu.Unlock()
	room := p.limits.ItemsPerSession
	for _, s := range o.subs {
		s.mu.Lock()
		room -= len(s.items)
		s.mu.Unlock()
	}
	return room
}

// create makes one item.
func (e *itemEdit) create(ctx context.Context, r *ua.MonitoredItemCreateRequest) (result ua.MonitoredItemCreateResult) {
	plan, status := e.plan(ctx, &r.ItemToMonitor, &r.RequestedParameters)
	switch {
	case status != ua.Good:
	case r.MonitoringMode < ua.MonitoringModeDisabled || r.MonitoringMode > ua.MonitoringModeReporting:
		status = ua.BadMonitoringModeInvalid
	case e.room <= 0 || !e.p.reserveItem():
		status = ua.BadTooManyMonitoredItems
	}
	if status != ua.Good {
		result.StatusCode = status
		return result
	}
	it := &monitoredItem{
		sub: e.sub, place: -1, handle: r.RequestedParameters.ClientHandle, mode: r.MonitoringMode, timestamps: e.timestamps,
		discardOldest: r.RequestedParameters.DiscardOldest, filter: plan.filter,
	}
	it.queue.size = plan.queue
	if plan.refused == ua.Good {
		it.sampler = e.p.samplers.acquire(plan.key, plan.read)
	}
	if result.StatusCode = e.sub.insert(it, e.p.limits.ItemsPerSubscription); result.StatusCode != ua.Good {
		e.p.release([]*monitoredItem{it})
		return result
	}
	e.room--
	e.start(it, plan.refused)
	result.MonitoredItemId, result.RevisedSamplingInterval, result.RevisedQueueSize = it.id, millis(plan.interval), uint32(plan.queue)
	return result
}

func (p *subscriptions) reserveItem() bool {
	if p.items.Add(1) <= int64(p.limits.Items) {
		return true
	}
	p.items.Add(-1)
	return false
}

// start has a new item listen, or say why its user may not. [OPC 10000-4 5.13.2.1]
func (e *itemEdit) start(it *monitoredItem, refused ua.StatusCode) {
	switch {
	case refused != ua.Good:
		it.refuse(refused)
	case it.mode != ua.MonitoringModeDisabled:
		e.join(it.sampler, it)
	}
}

// insert takes in a new item and numbers it.
func (s *subscription) insert(it *monitoredItem, most int) ua.StatusCode {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ua.BadSubscriptionIdInvalid
	case len(s.items) >= most || s.lastItem+1 == 0:
		return ua.BadTooManyMonitoredItems
	}
	s.lastItem++
	it.id = s.lastItem
	s.items = append(s.items, it)
	return ua.Good
}

// itemPlan is what an item is made of, once all of it has been found to be possible.
type itemPlan struct {
	key      samplerKey
	read     *readItem // nil for plain values
	interval time.Duration
	queue    int32
	filter   itemFilter
	refused  ua.StatusCode // why the user may not read it: the item exists, and says this
}

// plan checks what is asked of an item.
func (e *itemEdit) plan(ctx context.Context, v *ua.ReadValueId, m *ua.MonitoringParameters) (plan itemPlan, status ua.StatusCode) {
	space, x := e.p.server.space, e.call.session
	ref, ok := space.resolve(&x.aliases, v.NodeId)
	if !ok {
		return plan, ua.BadNodeIdUnknown
	}
	if v.AttributeId == ua.AttributeEventNotifier {
		return plan, ua.BadMonitoredItemFilterUnsupported // values of it do not change, and there are no events
	}
	parts, status := space.checkMonitor(x.caller, ref, v.AttributeId, v.IndexRange, v.DataEncoding)
	switch status {
	case ua.Good:
	case ua.BadUserAccessDenied, ua.BadNotReadable:
		plan.refused = status
	default:
		return plan, status
	}
	plan.key = samplerKey{ref: ref, attribute: v.AttributeId, part: partOf(v)}
	if v.AttributeId != ua.AttributeValue || plan.key.part != "" {
		plan.read = &readItem{ref: ref, attribute: v.AttributeId, special: true, parts: parts, encoding: v.DataEncoding}
		plan.read.encoding.Name = strings.Clone(v.DataEncoding.Name)
	}
	if plan.interval, status = e.p.reviseSampling(m.SamplingInterval, e.sub, ref, plan.read != nil); status != ua.Good {
		return plan, status
	}
	plan.key.interval = plan.interval
	plan.queue = e.p.limits.reviseQueue(m.QueueSize)
	plan.filter, status = e.p.filterOf(ctx, &m.Filter, ref, v.AttributeId)
	return plan, status
}

// partOf names what is meant of a value, "" for all of it.
func partOf(v *ua.ReadValueId) string {
	if v.IndexRange == "" && v.DataEncoding.Name == "" {
		return ""
	}
	return v.IndexRange + "\x00" + strconv.Itoa(int(v.DataEncoding.NamespaceIndex)) + ":" + v.DataEncoding.Name
}

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
		e.resample(it, old, e.p.samplers.acquire(key, old.read))
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

// find returns an item and what it is sampled with.
func (s *subscription) find(id uint32) (*monitoredItem, *sampler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.item(id)
	if it == nil {
		return nil, nil
	}
	return it, it.sampler
}

// idList decodes a list of ids.
func idList(d *ua.Decoder, limit int) ([]uint32, ua.StatusCode) {
	n, status := operationCount(d, 4, limit)
	if status != ua.Good {
		return nil, status
	}
	ids := make([]uint32, n)
	for i := range ids {
		ids[i] = d.U32()
	}
	return ids, d.Status()
}

func (s *Server) serveSetMonitoringMode(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	id, mode := d.U32(), ua.MonitoringMode(d.I32())
	ids, status := idList(d, s.space.limits.MonitoredItems)
	if status != ua.Good {
		return out, status
	}
	if mode < ua.MonitoringModeDisabled || mode > ua.MonitoringModeReporting {
		return out, ua.BadMonitoringModeInvalid
	}
	sub, status := s.subs.itemsOf(c.session, id)
	if status != ua.Good {
		return out, status
	}
	e := itemEdit{p: s.subs, call: c, sub: sub}
	out = ua.AppendInt32(out, int32(len(ids)))
	for _, id := range ids {
		out = ua.AppendStatusCode(out, e.setMode(id, mode))
	}
	e.end(ctx)
	return ua.AppendInt32(out, -1), ua.Good
}

func (e *itemEdit) setMode(id uint32, mode ua.MonitoringMode) ua.StatusCode {
	e.sub.mu.Lock()
	it := e.sub.item(id)
	if it == nil {
		e.sub.mu.Unlock()
		return ua.BadMonitoredItemIdInvalid
	}
	listen, leave := it.setMode(mode)
	s := it.sampler
	e.sub.mu.Unlock()
	switch {
	case s == nil && listen:
		it.refuse(ua.BadUserAccessDenied)
	case s == nil:
	case listen:
		e.join(s, it)
	case leave:
		e.p.samplers.leave(s, it)
	}
	return ua.Good
}

func (s *Server) serveDeleteMonitoredItems(_ context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	id := d.U32()
	ids, status := idList(d, s.space.limits.MonitoredItems)
	if status != ua.Good {
		return out, status
	}
	sub, status := s.subs.itemsOf(c.session, id)
	if status != ua.Good {
		return out, status
	}
	out = ua.AppendInt32(out, int32(len(ids)))
	var gone []*monitoredItem
	for _, id := range ids {
		status := ua.BadMonitoredItemIdInvalid
		if it := sub.delete(id); it != nil {
			gone, status = append(gone, it), ua.Good
		}
		out = ua.AppendStatusCode(out, status)
	}
	sub.compact()
	s.subs.release(gone)
	return ua.AppendInt32(out, -1), ua.Good
}

// delete ends an item. compact takes it out of the list.
func (s *subscription) delete(id uint32) *monitoredItem {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.item(id)
	if it == nil || it.dead {
		return nil
	}
	it.end()
	return it
}

// compact takes items out that have ended: once for a request that ends many.
func (s *subscription) compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items = slices.DeleteFunc(s.items, func(it *monitoredItem) bool { return it.dead })
}

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
