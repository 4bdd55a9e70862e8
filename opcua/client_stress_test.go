package opcua

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"millrace/opcua/ua"
)

// Many callers share a connection, some of whom lose patience; values come by subscription meanwhile, and the connection is cut and recovered in between. No value is another's.
func TestClientStress(t *testing.T) {
	const nodes, callers, rounds = 200, 8, 25
	_, _, url := liveServer(t, nodes, SubscriptionLimits{})
	c := dialLive(t, url)
	sub, err := c.Subscribe(t.Context(), SubscriptionConfig{Interval: 20 * time.Millisecond, Notify: func(m *Notification) { m.Receipt().Done() }})
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.Add(t.Context(), valuesOf(nodes, 1)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		var wg sync.WaitGroup
		for k := range callers {
			wg.Go(func() {
				for r := range rounds {
					stressRead(t, c, (k*rounds+r)%nodes, r%5 == 4)
				}
			})
		}
		wg.Wait()
		if err := c.Err(); err != nil {
			t.Fatal(err)
		}
		n, err := c.Recover(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c = n
		t.Cleanup(n.Detach)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// stressRead reads the names of nodes from one on, which tell whose they are. An impatient caller may get nothing.
func stressRead(t *testing.T, c *Client, from int, impatient bool) {
	const n = 20
	ctx := t.Context()
	if impatient {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(1000))*time.Microsecond)
		defer cancel()
	}
	ids := make([]ua.ReadValueId, n)
	for i := range ids {
		ids[i] = ua.ReadValueId{NodeId: ua.StringId(2, fmt.Sprintf("v%d", (from+i)%200)), AttributeId: ua.AttributeNodeId}
	}
	into := make([]ua.DataValue, n)
	err := c.Read(ctx, NewReadPlan(ids, ReadOptions{}), into)
	if impatient && errors.Is(err, context.DeadlineExceeded) {
		return
	}
	if err != nil {
		t.Error(err)
		return
	}
	for i := range into {
		if id, ok := into[i].Value.NodeId(); !ok || id != ids[i].NodeId {
			t.Errorf("node %v is %v", ids[i].NodeId, into[i])
			return
		}
	}
}
