package opcua

import (
	"testing"
	"time"

	"millrace/opcua/ua"
)

// discards takes answers and gives their buffers back.
type discards struct{ m outgoing }

func (d *discards) begin(late) *outgoing {
	d.m.b = append(d.m.b[:0], make([]byte, responseHeaderBytes)...)
	return &d.m
}

func (d *discards) send(late, *outgoing)      {}
func (d *discards) fault(late, ua.StatusCode) {}
func (d *discards) room(late) int             { return 1 << 30 }

// pushedItems is a subscription with n items whose source tells of every change.
func pushedItems(t testing.TB, n int) (*subscriptions, *sessionSubscriptions, *subscription, []*sampler) {
	limits, err := SubscriptionLimits{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	p := newSubscriptionRegistry(limits, &discards{})
	o := p.newOwner(ua.NodeId{}, subscriber{})
	s := &subscription{budget: &p.budget, machine: newSubMachine(10, 100, true), most: uint32(n)}
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
		list = append(list, &sampler{all: &p.samplers, items: []*monitoredItem{it}})
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

// The cost of one value from its change to the encoded response, of 1000 in a message.
func BenchmarkSubscriptionValue(b *testing.B) {
	_, o, s, list := pushedItems(b, 1000)
	now := time.Now()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		cycle(o, s, list, n, now)
		n++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*len(list)), "ns/value")
}
