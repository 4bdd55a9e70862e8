package opcua

import (
	"context"
	"math"
	"time"

	"millrace/opcua/ua"
)

// Item is something of which a subscription tells when it changes.
type Item struct {
	// Node says what; an AttributeId of 0 is that of the value.
	Node ua.ReadValueId
	// NamespaceUri, when set, stands for the namespace of Node.NodeId: its index is looked up whenever the item is made.
	NamespaceUri string
	// Sampling is how often the server is to look; 0 as often as it publishes, negative as often as it can.
	Sampling time.Duration
	// Queue is how many values the server keeps between two messages; 0 is one. What is too much is discarded, the oldest first unless KeepOldest.
	Queue      uint32
	KeepOldest bool
	// Deadband leaves changes out that are not greater, of numbers: in their unit, or where Percent in per cent of their EURange.
	Deadband float64
	Percent  bool
	// Stamps tells when the source timestamp alone is new, too; StatusOnly when the status is new alone.
	Stamps, StatusOnly bool

	// What came of it.

	// Handle numbers the items of a subscription from 0, in the order of Add, never twice.
	Handle uint32
	// Status says why there is no such item on the server, where it is bad; the subscription tries it again when it is made anew.
	Status          ua.StatusCode
	RevisedSampling time.Duration
	RevisedQueue    uint32
	// Unfiltered says that the server has no filters, or not this one: what the item asks for in Deadband, Stamps and StatusOnly is not done, all changes come.
	Unfiltered bool
}

// clientItem is an item of a subscription.
type clientItem struct {
	Item
	id      uint32 // the server's; guarded by feed.mu, as the rest of what changes
	removed bool
}

// Add adds items, whose results it fills in: one bad item costs that item. Values of the good ones may come before Add returns, by handles that count on from Len. The error, an *Error, is that of the first request
// that failed as a whole.
func (s *Subscription) Add(ctx context.Context, items []Item) error {
	c, _, err := s.current()
	if err != nil {
		return err
	}
	s.feed.mu.Lock()
	made := make([]*clientItem, len(items))
	for i := range items {
		items[i].Handle = uint32(len(s.items))
		made[i] = &clientItem{Item: items[i]}
		s.items = append(s.items, made[i])
	}
	s.feed.mu.Unlock()
	err = s.createItems(ctx, c, made)
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	for i := range items {
		items[i] = made[i].Item
	}
	return err
}

// Len returns how many items were added, those that were removed included.
func (s *Subscription) Len() int {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	return len(s.items)
}

// Items returns the items that were not removed as they are on the server now.
func (s *Subscription) Items() []Item {
	live := s.live()
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	out := make([]Item, len(live))
	for i := range live {
		out[i] = live[i].Item
	}
	return out
}

// live returns the items that were not removed.
func (s *Subscription) live() (out []*clientItem) {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	for _, it := range s.items {
		if !it.removed {
			out = append(out, it)
		}
	}
	return out
}

// Remove removes items by their handles. Those that are not there are no error.
func (s *Subscription) Remove(ctx context.Context, handles ...uint32) error {
	c, id, err := s.current()
	if err != nil {
		return err
	}
	w := &clientRemove{subscription: id}
	s.feed.mu.Lock()
	for _, h := range handles {
		if int(h) < len(s.items) && !s.items[h].removed {
			s.items[h].removed = true
			if s.items[h].id != 0 {
				w.ids = append(w.ids, s.items[h].id)
			}
		}
	}
	s.feed.mu.Unlock()
	w.results = make([]ua.StatusCode, len(w.ids))
	return c.split(ctx, ServiceDeleteMonitoredItems, len(w.ids), w)
}

// clientRemove is one call of Remove.
type clientRemove struct {
	subscription uint32
	ids          []uint32
	results      []ua.StatusCode
}

func (w *clientRemove) appendTo(b []byte, from, to int) []byte {
	b = ua.AppendUInt32(b, w.subscription)
	b = ua.AppendInt32(b, int32(to-from))
	for _, id := range w.ids[from:to] {
		b = ua.AppendUInt32(b, id)
	}
	return b
}

func (w *clientRemove) decode(d *ua.Decoder, from, to int) (int, error) {
	return decodeStatuses(d, w.results[from:to])
}

func (w *clientRemove) fail(from, to int, e *Error) { failStatuses(w.results[from:to], e) }

// createItems makes items on the server, and those whose filter it does not have once more without.
func (s *Subscription) createItems(ctx context.Context, c *Client, items []*clientItem) error {
	s.feed.mu.Lock()
	subscription := s.id
	s.feed.mu.Unlock()
	w := &clientCreate{subscription: subscription, timestamps: s.cfg.Timestamps, noFilters: c.Learned().NoFilters, got: make([]ua.MonitoredItemCreateResult, len(items))}
	w.resolve(c, items)
	err := c.split(ctx, ServiceCreateMonitoredItems, len(w.items), w)
	again := w.settle(s.feed, false)
	if len(again) == 0 || c.Err() != nil {
		return err
	}
	if len(again) == w.filtered && w.unsupported {
		c.limits.update(func(l *Learned) { l.NoFilters = true })
		c.conn.event(Event{Kind: EventUnfiltered, Subscription: subscription, Count: len(again)})
	}
	w.items, w.noFilters = again, true
	if bad := c.split(ctx, ServiceCreateMonitoredItems, len(w.items), w); err == nil {
		err = bad
	}
	w.settle(s.feed, true)
	return err
}

// clientCreate is one run of CreateMonitoredItems.
type clientCreate struct {
	subscription uint32
	timestamps   ua.TimestampsToReturn
	noFilters    bool
	items        []*clientItem
	got          []ua.MonitoredItemCreateResult
	filtered     int  // items that ask for a filter
	unsupported  bool // the server has said that it has none at all
}

// resolve takes the items whose namespaces the server has; the others have failed.
func (w *clientCreate) resolve(c *Client, items []*clientItem) {
	for _, it := range items {
		if it.NamespaceUri != "" && !c.locate(it) {
			continue
		}
		if it.filter() != nil {
			w.filtered++
		}
		w.items = append(w.items, it)
	}
}

// locate looks up the namespace of an item. It answers false when the server does not have it.
func (c *Client) locate(it *clientItem) bool {
	ns, err := c.Namespace(it.NamespaceUri)
	c.feed.mu.Lock()
	defer c.feed.mu.Unlock()
	if err != nil {
		it.Status, it.id = ua.BadNodeIdUnknown, 0
		return false
	}
	it.Node.NodeId.Namespace = ns
	return true
}

// filter returns what the item asks for beyond any change of value or status; nil for nothing.
func (it *Item) filter() *ua.DataChangeFilter {
	f := &ua.DataChangeFilter{Trigger: ua.DataChangeTriggerStatusValue, DeadbandValue: it.Deadband}
	switch {
	case it.StatusOnly:
		f.Trigger = ua.DataChangeTriggerStatus
	case it.Stamps:
		f.Trigger = ua.DataChangeTriggerStatusValueTimestamp
	}
	switch {
	case it.Deadband > 0 && it.Percent:
		f.DeadbandType = uint32(ua.DeadbandTypePercent)
	case it.Deadband > 0:
		f.DeadbandType = uint32(ua.DeadbandTypeAbsolute)
	default:
		f.DeadbandValue = 0
		if f.Trigger == ua.DataChangeTriggerStatusValue {
			return nil
		}
	}
	return f
}

func (w *clientCreate) appendTo(b []byte, from, to int) []byte {
	b = ua.AppendUInt32(b, w.subscription)
	b = ua.AppendInt32(b, int32(w.timestamps))
	b = ua.AppendInt32(b, int32(to-from))
	for _, it := range w.items[from:to] {
		r := it.request(w.noFilters)
		b = r.AppendTo(b)
	}
	return b
}

// request returns what makes the item.
func (it *clientItem) request(noFilter bool) ua.MonitoredItemCreateRequest {
	r := ua.MonitoredItemCreateRequest{
		ItemToMonitor: it.Node, MonitoringMode: ua.MonitoringModeReporting,
		RequestedParameters: ua.MonitoringParameters{ClientHandle: it.Handle, SamplingInterval: samplingInterval(it.Sampling), QueueSize: max(it.Queue, 1), DiscardOldest: !it.KeepOldest},
	}
	if r.ItemToMonitor.AttributeId == 0 {
		r.ItemToMonitor.AttributeId = attributeValue
	}
	if f := it.filter(); f != nil && !noFilter {
		r.RequestedParameters.Filter = ua.Wrap(f)
	}
	return r
}

// samplingInterval returns an interval for the wire: -1 is the publishing interval, 0 as fast as can be.
func samplingInterval(d time.Duration) float64 {
	switch {
	case d == 0:
		return -1
	case d < 0:
		return 0
	}
	return float64(d) / float64(time.Millisecond)
}

func (w *clientCreate) decode(d *ua.Decoder, from, to int) (int, error) {
	if n := d.Count(4); n != to-from && !d.Bad() {
		return 0, &CountError{Asked: to - from, Got: n}
	}
	for i := from; i < to && !d.Bad(); i++ {
		w.got[i].DecodeFrom(d)
	}
	return 0, d.Err()
}

func (w *clientCreate) fail(from, to int, e *Error) {
	for i := from; i < to; i++ {
		w.got[i] = ua.MonitoredItemCreateResult{StatusCode: e.Status}
	}
}

// settle takes the results. It returns the items whose filter the server did not like.
func (w *clientCreate) settle(f *clientFeed, last bool) (again []*clientItem) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, it := range w.items {
		r := &w.got[i]
		filtered := it.filter() != nil
		if filtered && !w.noFilters && noFilter(r.StatusCode) {
			w.unsupported = w.unsupported || r.StatusCode == ua.BadMonitoredItemFilterUnsupported
			again = append(again, it)
			continue
		}
		it.Status, it.id, it.RevisedQueue, it.Unfiltered = r.StatusCode, r.MonitoredItemId, r.RevisedQueueSize, filtered && w.noFilters && !r.StatusCode.IsBad()
		it.RevisedSampling = revisedSampling(r.RevisedSamplingInterval)
	}
	return again
}

// noFilter reports whether a status is about the filter of an item alone.
func noFilter(s ua.StatusCode) bool {
	switch s {
	case ua.BadMonitoredItemFilterUnsupported, ua.BadFilterNotAllowed, ua.BadMonitoredItemFilterInvalid, ua.BadDeadbandFilterInvalid:
		return true
	}
	return false
}

func revisedSampling(ms float64) time.Duration {
	if math.IsNaN(ms) || ms <= 0 {
		return 0
	}
	return time.Duration(min(ms, float64(intervalCeiling/time.Millisecond)) * float64(time.Millisecond))
}
