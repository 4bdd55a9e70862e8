package opcua

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"millrace/interop/outside"
	ours "millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// Everything in the address space that node-opcua is itself held to: found, read, and told by a subscription, with the same status both times. It has each data type as scalar, array and
// matrix, variables without rights, and scalars of BaseDataType, which come as a Variant in a Variant.
func TestConformanceAddressSpace(t *testing.T) {
	outside.Need(t, node)
	port := strconv.Itoa(freePort(t))
	startPeer(t, "node", "peers/conformance.js", port, t.TempDir())
	c := dial(t, "opc.tcp://127.0.0.1:"+port+"/UA/peer", ours.Config{AnyServer: true, Policy: "None"})
	var nodes []ua.NodeId
	ns, err := c.Namespace("urn://node-opcua-simulator")
	if err != nil {
		t.Fatal(err)
	}
	err = c.Walk(t.Context(), ua.NumericId(0, ns0.ObjectsFolder), ours.WalkOptions{}, func(f ours.Found) error {
		if f.Reference.NodeClass == ua.NodeClassVariable && f.Node.Namespace == ns {
			nodes = append(nodes, f.Node)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	values, err := c.ReadValues(t.Context(), nodes...)
	if err != nil {
		t.Fatal(err)
	}
	told := subscribed(t, c, nodes)
	good := 0
	for i := range nodes {
		read, sent := values[i].Status, told[i].Status
		if read.IsGood() {
			good++
		}
		if read != sent || values[i].Value.Type() != told[i].Value.Type() || told[i].Has == 0 {
			t.Errorf("%v: read %v %v, sent %v %v", nodes[i], read, values[i].Value.Type(), sent, told[i].Value.Type())
		}
	}
	if len(nodes) < 500 || good < 480 {
		t.Errorf("%d variables, %d of them good", len(nodes), good)
	}
}

// subscribed returns the first value that a subscription tells of each node.
func subscribed(t *testing.T, c *ours.Client, nodes []ua.NodeId) []ua.DataValue {
	t.Helper()
	var mu sync.Mutex
	told, left, all := make([]ua.DataValue, len(nodes)), len(nodes), make(chan struct{})
	sub, err := c.Subscribe(t.Context(), ours.SubscriptionConfig{Interval: 100 * time.Millisecond, Notify: func(m *ours.Notification) {
		mu.Lock()
		defer mu.Unlock()
		var v ua.DataValue
		for handle, ok := m.Next(&v); ok; handle, ok = m.Next(&v) {
			if told[handle].Has != 0 {
				continue
			}
			v.Has |= ua.HasStatus
			told[handle] = v
			if left--; left == 0 {
				close(all)
			}
		}
		if err := m.Err(); err != nil {
			t.Error(err)
		}
		m.Receipt().Done()
	}})
	if err != nil {
		t.Fatal(err)
	}
	items := make([]ours.Item, len(nodes))
	for i := range nodes {
		items[i].Node.NodeId = nodes[i]
	}
	if err := sub.Add(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	select {
	case <-all:
	case <-time.After(30 * time.Second):
		mu.Lock()
		defer mu.Unlock()
		t.Fatalf("%d of %d were not told", left, len(nodes))
	}
	return told
}
