package opcua

import (
	"context"
	"testing"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// A node that is removed while it is monitored is said to be gone, and monitored again when there is one under its id: with a value that the Space keeps and tells of,
// and with one that is sampled.
func TestMonitoredNodeComesBack(t *testing.T) {
	id := ua.StringId(1, "x")
	kept := func(x float64) Node { return Node{Value: ua.DataValue{Value: ua.Double(x)}} }
	live := func(x float64) Node {
		return Node{Live: func(_ context.Context, v *ua.DataValue) { v.Value = ua.Double(x) }}
	}
	for what, node := range map[string]func(x float64) Node{"kept": kept, "live": live} {
		for _, sampling := range []time.Duration{0, time.Second} {
			t.Run(what+" "+sampling.String(), func(t *testing.T) {
				bubble(t, asPushed, func(k *subDesk, _ *teller) {
					add := func(x float64) {
						n := node(x)
						n.Id, n.Class, n.BrowseName, n.DataType, n.ValueRank = id, ua.NodeClassVariable, ua.QualifiedName{Name: "x"}, ua.NumericId(0, 11), -1
						if err := k.server.space.Add(ua.NumericId(0, ns0.ObjectsFolder), ua.NumericId(0, ns0.Organizes), n); err != nil {
							k.t.Fatal(err)
						}
					}
					add(1)
					sub := k.subscribe(time.Second)
					r := itemOn(1, sampling)
					r.ItemToMonitor.NodeId = id
					k.monitor(sub, r)
					step := func(wait time.Duration, want string) {
						k.t.Helper()
						k.publish(10)
						time.Sleep(wait)
						if got := k.told(); got != want {
							k.t.Errorf("%q, want %q", got, want)
						}
					}
					step(2500*time.Millisecond, "1=1")
					if n := k.server.space.Remove(id); n != 1 {
						k.t.Fatal(n)
					}
					step(12*time.Second, "1=null!BadNodeIdUnknown")
					add(2)
					step(8*time.Second, "1=2")
					if what == "kept" {
						if err := k.server.space.SetValue(id, ua.DataValue{Value: ua.Double(3)}); err != nil {
							k.t.Fatal(err)
						}
						step(3*time.Second, "1=3")
					}
				})
			})
		}
	}
}

// rekeyed is a store that gives v1 another key when it is told to.
type rekeyed struct {
	*teller
	shift func() uint64
}

func (m rekeyed) Find(id ua.NodeId) (uint64, bool) {
	key, ok := m.teller.Find(id)
	return key + m.shift(), ok
}

func (m rekeyed) FindText(text []byte) (uint64, bool) {
	key, ok := m.teller.FindText(text)
	return key + m.shift(), ok
}

// A node of a store whose key is gone is found again under another one.
func TestMonitoredNodeGetsAnotherKey(t *testing.T) {
	shift := uint64(0)
	bubble(t, func(m *teller) NodeStore { return rekeyed{m, func() uint64 { return shift }} }, func(k *subDesk, m *teller) {
		sub := k.subscribe(time.Second)
		k.monitor(sub, itemOn(1, 0))
		k.publish(20)
		time.Sleep(1100 * time.Millisecond)
		shift = 5
		m.tell(1, ua.DataValue{Status: ua.BadNodeIdUnknown})
		time.Sleep(8 * time.Second)
		m.set(1, 99) // nobody's any more
		m.set(6, 77)
		time.Sleep(2 * time.Second)
		if got, want := k.told(), "1=1 1=null!BadNodeIdUnknown 1=6 1=77"; got != want {
			k.t.Errorf("%q, want %q", got, want)
		}
	})
}
