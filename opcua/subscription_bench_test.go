package opcua

import (
	"runtime"
	"testing"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// discards takes answers and gives their buffers back.
type discards struct{ m outgoing }

func (d *discards) begin(late) *outgoing {
	d.m.b = append(d.m.b[:0], make([]byte, responseHeaderBytes)...)
	return &d.m
}

func (d *discards) send(late, *outgoing, *sendTurns) {}
func (d *discards) fault(late, ua.StatusCode)        {}
func (d *discards) room(late) int                    { return 1 << 30 }

// pushedItems is a subscription with n items whose source tells of every change.
func pushedItems(t testing.TB, n int) (*subscriptions, *sessionSubscriptions, *subscription, []*sampler) {
	limits, err := SubscriptionLimits{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	p := newSubscriptionRegistry(limits, &discards{})
	o := p.newOwner(ua.NodeId{}, subscriber{})
	s := &subscription{budget: subBudget{all: &p.budget}, machine: newSubMachine(10, 100, true), most: uint32(n)}
	if status := p.add(o, s); status != ua.Good {
		t.Fatal(status)
	}
	var list []*sampler
	for i := range n {
		it := &monitoredItem{sub: s, place: -1, handle: uint32(i), mode: ua.MonitoringModeReporting, timestamps: ua.TimestampsToReturnBoth, discardOldest: true}
		it.filter.trigger = ua.DataChangeTriggerStatusValue
		it.queue.size = 1
		if status := s.insert(it, n); status != ua.Good {
			t.Fatal(status)
		}
		list = append(list, &sampler{mu: new(samplerLock), all: &p.samplers, items: []*monitoredItem{it}})
	}
	return p, o, s, list
}

// cycle changes all values, ends the interval and publishes once, with an acknowledgement.
func cycle(o *sessionSubscriptions, s *subscription, list []*sampler, i int, now time.Time) {
	v := ua.DataValue{Value: ua.Double(float64(i)), SourceTimestamp: ua.DateTime(i + 1)}
	for _, m := range list {
		m.Changed(&v)
	}
	o.mu.Lock()
	r := subPublish{}
	r.acks.add(o.acknowledge(s.id, s.machine.next-1))
	if len(s.sent.messages) > 0 || i > 0 && r.acks.bad != nil {
		panic("not acknowledged")
	}
	r.acks = acknowledged{count: 1}
	o.publish(r, now)
	o.tick(s, now)
	o.mu.Unlock()
}

// A cycle allocates nothing once the queues have their size.
func TestSubscriptionAllocs(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	_, o, s, list := pushedItems(t, 100)
	i, now := 0, time.Now()
	one := func() { cycle(o, s, list, i, now); i++ }
	one()
	one()
	if n := testing.AllocsPerRun(100, one); n != 0 {
		t.Errorf("%v allocations in a cycle", n)
	}
	if s.counts.notifications != uint32(i*len(list)) {
		t.Errorf("%d notifications, not %d", s.counts.notifications, i*len(list))
	}
}

// seals answers on a channel without security, as a connection does, but for the socket.
type seals struct {
	t       testing.TB
	channel *uasc.Channel
	m       outgoing
	bytes   int
}

// newSeals shakes hands in memory.
func newSeals(t testing.TB) *seals {
	server, err := uasc.NewServer(uasc.ServerConfig{Security: []uasc.Security{{Policy: uasc.None, Mode: ua.MessageSecurityModeNone}}})
	if err != nil {
		t.Fatal(err)
	}
	client, err := uasc.NewClient(uasc.ClientConfig{Security: uasc.Security{Policy: uasc.None, Mode: ua.MessageSecurityModeNone}})
	if err != nil {
		t.Fatal(err)
	}
	s := &seals{t: t, channel: server.NewChannel(1, "test")}
	now := time.Now()
	next := func(c *uasc.Channel, b []byte) uasc.Message {
		_, m, err := c.Next(b, now)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	ack, _, err := s.channel.AcceptHello(nil, next(s.channel, client.AppendHello(nil, "opc.tcp://test")))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Acknowledged(next(client, ack)); err != nil {
		t.Fatal(err)
	}
	open, err := client.AppendOpen(nil, 1, false, time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.channel.AcceptOpen(nil, next(s.channel, open), now); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *seals) begin(l late) *outgoing {
	s.m.b = appendResponseHeader(s.channel.Begin(s.m.b[:0], l.id), responseTo(idPublish), l.handle, ua.Good, time.Now())
	return &s.m
}

func (s *seals) send(_ late, m *outgoing, _ *sendTurns) {
	b, err := s.channel.End(m.b, 0, uasc.KindMessage, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	s.m.b = b
	s.bytes += len(b)
}

func (s *seals) fault(_ late, status ua.StatusCode) { s.t.Fatal(status) }
func (s *seals) room(late) int                      { return 1 << 30 }

// The cost of one value from its change to the sealed response, of 1000 in a message.
func BenchmarkSubscriptionValue(b *testing.B) {
	_, o, s, list := pushedItems(b, 1000)
	out := newSeals(b)
	o.answers = out
	now := time.Now()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		cycle(o, s, list, n, now)
		n++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*len(list)), "ns/value")
	b.ReportMetric(float64(out.bytes)/float64(n*len(list)), "B/value")
}

// The same of values that are sampled: read in a batch from their store.
func BenchmarkSubscriptionSample(b *testing.B) {
	m := newMemory(1000)
	k := standingSubDeskOf(b, m, SubscriptionLimits{})
	k.p.answers = newSeals(b)
	sub := k.subscribe(time.Second)
	req := &ua.CreateMonitoredItemsRequest{SubscriptionId: sub, TimestampsToReturn: ua.TimestampsToReturnBoth}
	for i := range m.values {
		r := itemOn(i, time.Second)
		r.RequestedParameters.QueueSize = 1
		req.ItemsToCreate = append(req.ItemsToCreate, r)
	}
	o := k.p.of(k.call.session)
	if _, status := ask[ua.CreateMonitoredItemsResponse](k.desk, k.server.serveCreateMonitoredItems, req); status != ua.Good {
		b.Fatal(status)
	}
	s, now := k.p.find(sub), time.Now()
	var list []*sampler
	for _, x := range k.p.samplers.all {
		list = append(list, x)
	}
	b.ReportAllocs()
	n := 0
	from := make([]samplerSource, len(list))
	var x samplerScratch
	for b.Loop() {
		for i := range m.values {
			m.values[i].Value = ua.Double(float64(n))
		}
		for at := 0; at < len(list); at += samplerChunk {
			c := copy(x.list[:], list[at:])
			k.p.samplers.update(list[at:at+c], from[at:at+c])
			copy(x.from[:], from[at:at+c])
			k.p.samplers.readChunk(b.Context(), &x, c)
		}
		o.mu.Lock()
		r := subPublish{}
		r.acks.add(o.acknowledge(s.id, s.machine.next-1))
		r.acks = acknowledged{count: 1}
		o.publish(r, now)
		o.tick(s, now)
		o.mu.Unlock()
		n++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*len(list)), "ns/value")
}

// A subscription with ten items, each of a node of its own, that have all been told once and acknowledged: what it costs to keep.
func TestSubscriptionMemory(t *testing.T) {
	if underRace {
		t.Skip("the race detector takes memory of its own")
	}
	const subs, items = 500, 10
	k := standingSubDeskOf(t, newMemory(subs*items), SubscriptionLimits{PerSession: subs})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range subs {
		sub := k.subscribe(time.Second)
		req := &ua.CreateMonitoredItemsRequest{SubscriptionId: sub, TimestampsToReturn: ua.TimestampsToReturnBoth}
		for j := range items {
			req.ItemsToCreate = append(req.ItemsToCreate, itemOn(i*items+j, time.Second))
		}
		if _, status := ask[ua.CreateMonitoredItemsResponse](k.desk, k.server.serveCreateMonitoredItems, req); status != ua.Good {
			t.Fatal(status)
		}
		k.publish(1)
		k.pass()
		k.publish(1, ua.SubscriptionAcknowledgement{SubscriptionId: sub, SequenceNumber: 1})
		k.answers, k.faults = nil, nil
	}
	per := (heap() - before) / subs
	t.Logf("%d bytes a subscription with %d items", per, items)
	if per > 10_000 {
		t.Errorf("%d bytes a subscription with %d items", per, items)
	}
	k.end()
}
