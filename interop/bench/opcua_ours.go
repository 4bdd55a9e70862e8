package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"millrace/internal/listen"
	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
	"millrace/opcua/uasc"
)

const (
	uaConns = 12_000                // connections and sessions that our server takes
	uaNodes = "urn:bench"           // namespace of every server's nodes: s=v0, s=v1 and so on, whose values are 0, 1 and so on
	uaTick  = 10 * time.Millisecond // how often those of s=w0, s=w1 change, which our server has besides
)

// trusting is a Validator that trusts everybody: certificates are the ones of a moment.
type trusting struct{}

func (trusting) Validate(time.Time, []byte, uasc.Use) error { return nil }

func uaIdentity() (*uasc.Identity, error) { return newUAIdentity(false) }

// curveIdentity is one for ECC_nistP256.
func curveIdentity() (*uasc.Identity, error) { return newUAIdentity(true) }

func newUAIdentity(ecc bool) (*uasc.Identity, error) {
	return uasc.NewIdentity(uasc.IdentityConfig{ECC: ecc, ApplicationURI: "urn:bench:peer", Hosts: []string{"127.0.0.1"}, Now: time.Now()})
}

// steady is where the values of our server are. Keys from uaValues on are those that change.
type steady struct{ from time.Time }

func (s steady) ReadValues(_ context.Context, keys []uint64, values []ua.DataValue) {
	turn := uint64(time.Since(s.from)/uaTick) * uaValues
	now := ua.DateTimeOf(time.Now())
	for i, k := range keys {
		if k >= uaValues {
			k = k - uaValues + turn
		}
		values[i] = ua.DataValue{Value: ua.Double(float64(k)), SourceTimestamp: now}
	}
}

func (steady) WriteValues(context.Context, *opcua.Caller, []opcua.ValueWrite) {}

func uaSpace() (*opcua.Space, error) {
	space, err := opcua.NewSpace(opcua.SpaceConfig{ApplicationURI: "urn:bench:peer"})
	if err != nil {
		return nil, err
	}
	ns, err := space.AddNamespace(uaNodes)
	if err != nil {
		return nil, err
	}
	store := &steady{time.Now()}
	nodes := make([]opcua.Node, 2*uaValues)
	for i := range nodes {
		name := fmt.Sprintf("v%d", i)
		if i >= uaValues {
			name = fmt.Sprintf("w%d", i-uaValues)
		}
		nodes[i] = opcua.Node{
			Id: ua.StringId(ns, name), Class: ua.NodeClassVariable, BrowseName: ua.QualifiedName{NamespaceIndex: ns, Name: name},
			DataType: ua.NumericId(0, ns0.Double), ValueRank: -1, AccessLevel: opcua.AccessCurrentRead, Store: store, Key: uint64(i),
		}
	}
	return space, space.Add(ua.NumericId(0, ns0.ObjectsFolder), ua.NumericId(0, ns0.Organizes), nodes...)
}

// millraceUAServer runs our server as anybody would who imports the package.
func millraceUAServer(ctx context.Context) (string, func() error, error) {
	me, err := uaIdentity()
	if err != nil {
		return "", nil, err
	}
	curve, err := curveIdentity()
	if err != nil {
		return "", nil, err
	}
	space, err := uaSpace()
	if err != nil {
		return "", nil, err
	}
	s, err := opcua.NewServer(opcua.ServerConfig{
		Space: space, Identity: me, ECCIdentity: curve, Trust: trusting{}, MaxConns: uaConns, Quotas: opcua.ServerQuotas{Sessions: uaConns},
		Security: []uasc.Security{{Policy: uasc.None, Mode: ua.MessageSecurityModeNone}, {Policy: uasc.Basic256Sha256, Mode: ua.MessageSecurityModeSignAndEncrypt},
			{Policy: uasc.ECCNistP256, Mode: ua.MessageSecurityModeSignAndEncrypt}},
	})
	if err != nil {
		return "", nil, err
	}
	ln, err := listen.Listen(ctx, "127.0.0.1:0", listen.Socket{})
	if err != nil {
		return "", nil, err
	}
	life, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.Serve(life, ln) }()
	return "opc.tcp://" + ln.Addr().String(), func() error { cancel(); return <-done }, nil
}

// uaConfig is how our client connects. me is nil for no security.
func uaConfig(me *uasc.Identity) opcua.Config {
	cfg := opcua.Config{Policy: "None", Timeout: 30 * time.Second, DialTimeout: time.Minute}
	if me != nil {
		policy := uasc.Basic256Sha256
		if uasc.ECCNistP256.Takes(me.Key) {
			policy = uasc.ECCNistP256
		}
		cfg.Policy, cfg.Mode, cfg.Identity, cfg.AnyServer = policy.String(), ua.MessageSecurityModeSignAndEncrypt, me, true
	}
	return cfg
}

func dialUA(ctx context.Context, url string, sealed bool, cfg func(*opcua.Config)) (*opcua.Client, error) {
	var me *uasc.Identity
	if sealed {
		var err error
		if me, err = uaIdentity(); err != nil {
			return nil, err
		}
	}
	c := uaConfig(me)
	if cfg != nil {
		cfg(&c)
	}
	return opcua.Dial(ctx, url, c)
}

// uaIds are the nodes s=PREFIX0 and so on of the server that c is connected to.
func uaIds(c *opcua.Client, prefix string, n int) ([]ua.ReadValueId, error) {
	ids := make([]ua.ReadValueId, n)
	for i := range ids {
		id, err := c.ParseNodeId(fmt.Sprintf("nsu=%s;s=%s%d", uaNodes, prefix, i))
		if err != nil {
			return nil, err
		}
		ids[i].NodeId = id
	}
	return ids, nil
}

// uaReader returns a function that reads n nodes as the gateway's driver does, and compares them.
func uaReader(ctx context.Context, c *opcua.Client, n int) (func() error, error) {
	ids, err := uaIds(c, "v", n)
	if err != nil {
		return nil, err
	}
	plan := opcua.NewReadPlan(ids, opcua.ReadOptions{})
	good := 0
	each := func(i int, v *ua.DataValue) {
		if x, ok := v.Value.Float64(); ok && x == float64(i) {
			good++
		}
	}
	return func() error {
		good = 0
		if err := c.ReadEach(ctx, plan, each); err != nil {
			return err
		}
		if good != n {
			return fmt.Errorf("%w: %d of %d are right", errWrong, good, n)
		}
		return nil
	}, nil
}

func millraceUAClient(sealed bool) func(context.Context, string) (func() error, error) {
	return func(ctx context.Context, url string) (func() error, error) {
		c, err := dialUA(ctx, url, sealed, nil)
		if err != nil {
			return nil, err
		}
		return uaReader(ctx, c, uaValues)
	}
}

// millraceUASubscriber returns a function that waits for the next 1,000 values of a subscription.
func millraceUASubscriber(sealed bool, items int) func(context.Context, string) (func() error, error) {
	return func(ctx context.Context, url string) (func() error, error) {
		c, err := dialUA(ctx, url, sealed, nil)
		if err != nil {
			return nil, err
		}
		values, err := uaSubscribe(ctx, c, items)
		return values.thousand, err
	}
}

// arrivals counts values that came.
type arrivals struct {
	came  atomic.Uint64
	taken uint64
	more  chan struct{} // of one
}

var errSilent = errors.New("no values came within five seconds")

func (a *arrivals) add(n int) {
	a.came.Add(uint64(n))
	select {
	case a.more <- struct{}{}:
	default:
	}
}

// thousand waits until 1,000 more have come.
func (a *arrivals) thousand() error {
	a.taken += uaValues
	late := time.NewTimer(5 * time.Second)
	defer late.Stop()
	for a.came.Load() < a.taken {
		select {
		case <-a.more:
		case <-late.C:
			return errSilent
		}
	}
	return nil
}

// uaInterval is how often so many items are told to make 100,000 values a second.
func uaInterval(items int) time.Duration { return time.Duration(items) * uaTick / uaValues }

// uaSubscribe makes a subscription to the nodes that change, each of which is as many items as make up their number.
func uaSubscribe(ctx context.Context, c *opcua.Client, items int) (*arrivals, error) {
	a := &arrivals{more: make(chan struct{}, 1)}
	s, err := c.Subscribe(ctx, opcua.SubscriptionConfig{Interval: uaInterval(items), Notify: func(m *opcua.Notification) {
		var v ua.DataValue
		n := 0
		for ok := true; ok; {
			if _, ok = m.Next(&v); ok {
				n++
			}
		}
		m.Receipt().Done()
		a.add(n)
	}})
	if err != nil {
		return a, err
	}
	ids, err := uaIds(c, "w", uaValues)
	if err != nil {
		return a, err
	}
	for range items / uaValues {
		if err := s.Add(ctx, uaItems(ids)); err != nil {
			return a, err
		}
	}
	return a, nil
}

func uaItems(ids []ua.ReadValueId) []opcua.Item {
	items := make([]opcua.Item, len(ids))
	for i := range items {
		items[i].Node = ids[i]
	}
	return items
}
