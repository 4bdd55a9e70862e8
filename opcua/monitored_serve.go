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

// itemResult is the length of a MonitoredItemCreateResult: status, id, interval, queue, no filter result. That of a modification has no id.
const itemResult = 4 + 4 + 8 + 4 + 3

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
	case n*itemResult > c.room(nil):
		status = ua.BadResponseTooLarge // before there are items that the client does not hear of
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
		discardOldest: r.RequestedParameters.DiscardOldest, filter: plan.filter, refused: plan.refused,
	}
	it.queue.size = plan.queue
	if plan.refused == ua.Good {
		it.sampler = e.p.samplers.acquire(plan.key, plan.id, plan.read)
	}
	if result.StatusCode = e.sub.insert(it, e.p.limits.ItemsPerSubscription); result.StatusCode != ua.Good {
		e.p.release([]*monitoredItem{it})
		return result
	}
	e.room--
	e.start(it)
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
func (e *itemEdit) start(it *monitoredItem) {
	switch {
	case it.refused != ua.Good:
		it.refuse()
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
	id       ua.NodeId // of the node, as it is found without a session
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
	if plan.id = v.NodeId; plan.id.Namespace == aliasNamespace {
		plan.id = ref.id()
	}
	plan.id.Text = strings.Clone(plan.id.Text)
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
		it.refuse()
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
