package opcua

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"millrace/internal/listen/listentest"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// liveServer serves the values of a teller on loopback until the test ends.
func liveServer(t testing.TB, n int, limits SubscriptionLimits) (*Server, *teller, string) {
	t.Helper()
	space, err := NewSpace(SpaceConfig{ApplicationURI: "urn:test:server"})
	if err != nil {
		t.Fatal(err)
	}
	m := &teller{memory: newMemory(n), list: map[uint64][]Watcher{}}
	if _, err := space.Mount("urn:memory", m); err != nil {
		t.Fatal(err)
	}
	s, err := NewServer(ServerConfig{Space: space, Subscriptions: limits})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { (&subDesk{desk: &desk{t: t}, p: s.subs}).wantNothing() }) // once it has ended
	return s, m, "opc.tcp://" + listentest.Serve(t, s).Addr
}

func dialLive(t testing.TB, url string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), url, Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// valuesOf is items for the first n values, of which each change is wanted.
func valuesOf(n int, queue uint32) []Item {
	items := make([]Item, n)
	for i := range items {
		items[i] = Item{Node: ua.ReadValueId{NodeId: ua.StringId(2, fmt.Sprintf("v%d", i))}, Sampling: -1, Queue: queue}
	}
	return items
}

// counting checks that every value of every item is one more than the one before, and closes done when all have reached last.
type counting struct {
	t    testing.TB
	last float64
	done chan struct{}

	mu    sync.Mutex
	at    []float64
	begun []bool
	left  int
}

func newCounting(t testing.TB, n int, last float64) *counting {
	return &counting{t: t, last: last, done: make(chan struct{}), at: make([]float64, n), begun: make([]bool, n), left: n}
}

func (c *counting) notify(m *Notification) {
	defer m.Receipt().Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	var v ua.DataValue
	for h, ok := m.Next(&v); ok; h, ok = m.Next(&v) {
		x, _ := v.Value.Float64()
		if c.begun[h] && x != c.at[h]+1 || v.Status != ua.Good {
			c.t.Errorf("item %d: %v after %v, %v", h, x, c.at[h], v.Status)
		}
		c.at[h], c.begun[h] = x, true
		if x == c.last {
			if c.left--; c.left == 0 {
				close(c.done)
			}
		}
	}
	if err := m.Err(); err != nil {
		c.t.Error(err)
	}
}

func (c *counting) wait() {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(time.Minute):
		c.mu.Lock()
		defer c.mu.Unlock()
		c.t.Fatalf("only as far as %v", c.at)
	}
}

// Several clients watch the same values while they change from several goroutines: each sees every one of them, in order.
func TestSubscriptionsLive(t *testing.T) {
	const clients, values, steps = 4, 20, 300
	s, m, url := liveServer(t, values, SubscriptionLimits{})
	for i := range values {
		m.set(uint64(i), 0)
	}
	var watchers []*counting
	for range clients {
		w := newCounting(t, values, steps)
		sub, err := dialLive(t, url).Subscribe(t.Context(), SubscriptionConfig{Interval: 20 * time.Millisecond, Notify: w.notify})
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.Add(t.Context(), valuesOf(values, steps+1)); err != nil {
			t.Fatal(err)
		}
		watchers = append(watchers, w)
	}
	var writers sync.WaitGroup
	for i := range uint64(values) {
		writers.Go(func() {
			for x := range steps {
				m.set(i, float64(x+1))
			}
		})
	}
	writers.Wait()
	for _, w := range watchers {
		w.wait()
	}
	st := s.Stats()
	if st.Subscriptions != clients || st.Items != clients*values || st.Values != clients*values*(steps+1) || st.Messages == 0 || st.Messages > st.Values || st.WaitingBytes <= 0 {
		t.Errorf("%+v", st)
	}
}

// A connection that is cut costs no value: the session is taken up on another one, and what changed meanwhile comes.
func TestSubscriptionSurvivesItsConnection(t *testing.T) {
	const values, steps = 5, 100
	_, m, url := liveServer(t, values, SubscriptionLimits{})
	for i := range values {
		m.set(uint64(i), 0)
	}
	w := newCounting(t, values, steps)
	c, err := Dial(t.Context(), url, Config{})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := c.Subscribe(t.Context(), SubscriptionConfig{Interval: 10 * time.Millisecond, Notify: w.notify})
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.Add(t.Context(), valuesOf(values, steps+1)); err != nil {
		t.Fatal(err)
	}
	for x := range steps {
		for i := range uint64(values) {
			m.set(i, float64(x+1))
		}
		if x%30 != 29 {
			continue
		}
		c.Detach()
		if c, err = c.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.wait()
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// A client that asks and never reads harms nobody else, and what waits for it is bounded.
func TestSubscriptionOfASilentReader(t *testing.T) {
	const values, steps = 5, 50
	s, m, url := liveServer(t, values, SubscriptionLimits{QueueBytes: 4 << 20})
	stuck := &stuckConn{reads: make(chan struct{})}
	deaf, err := Dial(t.Context(), url, Config{Dialer: stuck.dial})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := deaf.Subscribe(t.Context(), SubscriptionConfig{Interval: 10 * time.Millisecond, Notify: func(m *Notification) {}, Unacknowledged: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.Add(t.Context(), valuesOf(values, 1000)); err != nil {
		t.Fatal(err)
	}
	stuck.stop()
	for i := range values {
		m.set(uint64(i), 0)
	}
	w := newCounting(t, values, steps)
	hearing, err := dialLive(t, url).Subscribe(t.Context(), SubscriptionConfig{Interval: 10 * time.Millisecond, Notify: w.notify})
	if err != nil {
		t.Fatal(err)
	}
	if err := hearing.Add(t.Context(), valuesOf(values, steps+1)); err != nil {
		t.Fatal(err)
	}
	for x := range steps {
		for i := range uint64(values) {
			m.set(i, float64(x+1))
		}
	}
	w.wait()
	if left := s.subs.budget.left.Load(); left < 0 {
		t.Errorf("%d bytes more than there are to wait in", -left)
	}
	stuck.end()
	deaf.Close()
}

// stuckConn is a connection that is read from until stop.
type stuckConn struct {
	net.Conn
	mu      sync.Mutex
	stopped bool
	reads   chan struct{} // closed by end
}

func (c *stuckConn) dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	c.Conn = conn
	return c, err
}

func (c *stuckConn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
}

func (c *stuckConn) end() {
	close(c.reads)
	c.Conn.Close()
}

func (c *stuckConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	stopped := c.stopped
	c.mu.Unlock()
	if stopped {
		<-c.reads
	}
	return c.Conn.Read(b)
}

// The Server object says what the limits are, and what subscriptions there are.
func TestSubscriptionValues(t *testing.T) {
	_, _, url := liveServer(t, 3, SubscriptionLimits{Subscriptions: 7, PerSession: 6, Items: 50, ItemsPerSubscription: 40, QueueSize: 30, MinSampling: 20 * time.Millisecond})
	c := dialLive(t, url)
	sub, err := c.Subscribe(t.Context(), SubscriptionConfig{Notify: func(*Notification) {}})
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.Add(t.Context(), valuesOf(3, 1)); err != nil {
		t.Fatal(err)
	}
	ids := []ua.NodeId{
		ua.NumericId(0, ns0.Server_ServerCapabilities_MaxSubscriptions), ua.NumericId(0, ns0.Server_ServerCapabilities_MaxSubscriptionsPerSession),
		ua.NumericId(0, ns0.Server_ServerCapabilities_MaxMonitoredItems), ua.NumericId(0, ns0.Server_ServerCapabilities_MaxMonitoredItemsPerSubscription),
		ua.NumericId(0, ns0.Server_ServerCapabilities_MaxMonitoredItemsQueueSize), ua.NumericId(0, ns0.Server_ServerCapabilities_MinSupportedSampleRate),
		ua.NumericId(0, ns0.Server_ServerDiagnostics_SubscriptionDiagnosticsArray),
	}
	values, err := c.ReadValues(t.Context(), ids...)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{7, 6, 50, 40, 30, 20} {
		if got, ok := values[i].Value.Float64(); !ok || got != want {
			t.Errorf("%v: %v, want %v", ids[i], values[i].Value, want)
		}
	}
	list, _ := ua.ArrayOf[ua.ExtensionObject](values[6].Value)
	var d ua.SubscriptionDiagnosticsDataType
	if len(list) != 1 || list[0].Decode(&d, ua.Limits{}) != nil || d.SubscriptionId != sub.Id() || d.MonitoredItemCount != 3 || d.PublishingInterval != 1000 {
		t.Errorf("diagnostics: %+v", d)
	}
	out, err := c.CallMethod(t.Context(), ua.NumericId(0, ns0.Server), ua.NumericId(0, ns0.Server_GetMonitoredItems), ua.UInt32(sub.Id()))
	if err != nil || len(out) != 2 || out[0].Len() != 3 || out[1].Len() != 3 {
		t.Errorf("GetMonitoredItems: %v, %v", out, err)
	}
}
