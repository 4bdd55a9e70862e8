package sim

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/internal/listen/listentest"
	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// runOPCUA runs a simulator until the test ends.
func runOPCUA(t *testing.T, cfg OPCUAConfig) *OPCUA {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	m, err := NewOPCUA(cfg)
	if err != nil {
		t.Fatal(err)
	}
	listentest.Run(t, m)
	return m
}

func dialOPCUA(t *testing.T, m *OPCUA, device int, cfg opcua.Config) *opcua.Client {
	t.Helper()
	c, err := opcua.Dial(t.Context(), "opc.tcp://"+m.Addr(device), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func nodeOf(t *testing.T, c *opcua.Client, text string) ua.NodeId {
	t.Helper()
	id, err := c.ParseNodeId("nsu=" + OPCUANamespace + ";s=" + text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func readOPCUA(t *testing.T, c *opcua.Client, text string) ua.DataValue {
	t.Helper()
	v, err := c.ReadValues(t.Context(), nodeOf(t, c, text))
	if err != nil {
		t.Fatal(err)
	}
	return v[0]
}

// The image is what docs/simulator.md says.
func TestOPCUAImage(t *testing.T) {
	doc, err := os.ReadFile("../../docs/simulator.md")
	if err != nil {
		t.Fatal(err)
	}
	c := dialOPCUA(t, runOPCUA(t, OPCUAConfig{Nodes: 3}), 1, opcua.Config{})
	for _, x := range opcuaTypes() {
		row := fmt.Sprintf("| %v | `%v`", x.id, x.scalar)
		if !strings.Contains(string(doc), row) || !strings.Contains(string(doc), fmt.Sprintf("| `%v` |\n", x.array)) {
			t.Errorf("docs/simulator.md lacks %s and %v", row, x.array)
		}
		for text, want := range map[string]ua.Variant{x.id.String(): x.scalar, x.id.String() + "Array": x.array} {
			for _, folder := range []string{"static.", "rw."} {
				if v := readOPCUA(t, c, folder+text); v.Status != ua.Good || !v.Value.Equal(want) || v.Value.Type() != x.id {
					t.Errorf("%s%s is %v, want %v", folder, text, v, want)
				}
			}
		}
	}
	if v := readOPCUA(t, c, "static.DoubleMatrix"); fmt.Sprint(v.Value.Dims()) != "[2 3]" {
		t.Errorf("the matrix is %v", v)
	}
	for k := range 3 {
		v := readOPCUA(t, c, fmt.Sprintf("v%d", k))
		if f, ok := v.Value.Float64(); !ok || f < 0 || f > 100 || v.SourceTimestamp == 0 {
			t.Errorf("wave %d is %v", k, v)
		}
	}
	if v := readOPCUA(t, c, "v3"); v.Status != ua.BadNodeIdUnknown {
		t.Errorf("a wave beyond the last is %v", v)
	}
	x, ok := readOPCUA(t, c, "recipe").Value.ExtensionObject()
	if !ok || x.TypeId != nodeOf(t, c, "Recipe.Binary") || len(x.Body) == 0 {
		t.Errorf("the recipe is %v", x)
	}
}

func TestOPCUAWritesAndCalls(t *testing.T) {
	m := runOPCUA(t, OPCUAConfig{Devices: 2})
	c, other := dialOPCUA(t, m, 1, opcua.Config{}), dialOPCUA(t, m, 2, opcua.Config{})
	write := func(text string, v ua.Variant) ua.StatusCode {
		t.Helper()
		results := make([]ua.StatusCode, 1)
		w := []ua.WriteValue{{NodeId: nodeOf(t, c, text), AttributeId: ua.AttributeValue, Value: ua.DataValue{Value: v}}}
		if err := c.Write(t.Context(), w, results); err != nil {
			t.Fatal(err)
		}
		return results[0]
	}
	if s := write("rw.Int16", ua.Int16(7)); s != ua.Good {
		t.Errorf("a write is %v", s)
	}
	if v := readOPCUA(t, other, "rw.Int16"); !v.Value.Equal(ua.Int16(7)) {
		t.Errorf("the other device has %v", v)
	}
	if s := write("rw.Int16", ua.Double(7)); s != ua.BadTypeMismatch {
		t.Errorf("a write of another type is %v", s)
	}
	if s := write("static.Int16", ua.Int16(7)); s != ua.BadNotWritable {
		t.Errorf("a write of a static value is %v", s)
	}
	for _, x := range []struct {
		a, b int32
		want ua.StatusCode
	}{{2, 3, ua.Good}, {1 << 30, 1 << 30, ua.BadOutOfRange}} {
		r, err := c.Call(t.Context(), []ua.CallMethodRequest{{
			ObjectId: nodeOf(t, c, "sim"), MethodId: nodeOf(t, c, "Add"), InputArguments: []ua.Variant{ua.Int32(x.a), ua.Int32(x.b)},
		}})
		if err != nil || r[0].StatusCode != x.want || x.want == ua.Good && !r[0].OutputArguments[0].Equal(ua.Int32(x.a+x.b)) {
			t.Errorf("Add(%d, %d) is %+v, %v", x.a, x.b, r, err)
		}
	}
}

// Every policy and mode, and every kind of user, gets in.
func TestOPCUASecurity(t *testing.T) {
	m := runOPCUA(t, OPCUAConfig{})
	me, err := uasc.NewIdentity(uasc.IdentityConfig{ApplicationURI: "urn:test", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	ecc, err := uasc.NewIdentity(uasc.IdentityConfig{ECC: true, ApplicationURI: "urn:test", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range allSecurity() {
		user := s.Policy.Pick(me, ecc)
		for name, u := range map[string]opcua.User{
			"anonymous": {}, "password": {Name: OPCUAUser, Password: OPCUAPassword}, "certificate": {Certificate: user.Raw, Key: user.Signer},
		} {
			if s.Policy == uasc.None && name == "certificate" {
				continue // its signature takes a policy
			}
			cfg := opcua.Config{Policy: s.Policy.String(), Mode: s.Mode, AnyServer: true, User: u}
			if s.Policy != uasc.None {
				cfg.Identity, cfg.ECCIdentity = me, ecc
			}
			c, err := opcua.Dial(t.Context(), "opc.tcp://"+m.Addr(1), cfg)
			if err != nil {
				t.Errorf("%v, %s: %v", s, name, err)
				continue
			}
			if v := readOPCUA(t, c, "static.UInt32"); v.Status != ua.Good {
				t.Errorf("%v, %s: %v", s, name, v)
			}
			if err := c.Close(); err != nil {
				t.Errorf("%v, %s: %v", s, name, err)
			}
		}
	}
	cfg := opcua.Config{User: opcua.User{Name: OPCUAUser, Password: "guess"}, Identity: me, AnyServer: true}
	if _, err := opcua.Dial(t.Context(), "opc.tcp://"+m.Addr(1), cfg); err == nil {
		t.Error("a wrong password got in")
	}
}

// faults of the request itself, each seen by a client.
func TestOPCUAFaults(t *testing.T) {
	for _, x := range []struct {
		fault string
		check func(t *testing.T, m *OPCUA, c *opcua.Client)
	}{
		{"session_loss,every=3", func(t *testing.T, _ *OPCUA, c *opcua.Client) {
			if err := failing(t, c); !errors.Is(err, ua.BadSessionIdInvalid) {
				t.Errorf("failed with %v", err)
			}
		}},
		{"channel_close,every=5", func(t *testing.T, _ *OPCUA, c *opcua.Client) {
			if err := failing(t, c); !errors.Is(err, ua.BadSecureChannelClosed) {
				t.Errorf("failed with %v", err)
			}
			<-c.Done()
		}},
		{"rst,every=5", func(t *testing.T, _ *OPCUA, c *opcua.Client) {
			_ = failing(t, c)
			<-c.Done()
		}},
		{"too_many_operations:10", func(t *testing.T, _ *OPCUA, c *opcua.Client) {
			ids := make([]ua.NodeId, 35)
			for i := range ids {
				ids[i] = nodeOf(t, c, fmt.Sprintf("v%d", i))
			}
			v, err := c.ReadValues(t.Context(), ids...)
			if err != nil {
				t.Fatal(err)
			}
			for i := range v {
				if v[i].Status != ua.Good {
					t.Errorf("value %d is %v", i, v[i])
				}
			}
			if n := c.Operations().Read; n > 10 || n < 5 {
				t.Errorf("the client believes in %d operations", n)
			}
		}},
	} {
		t.Run(x.fault, func(t *testing.T) {
			f, err := ParseFault(x.fault)
			if err != nil {
				t.Fatal(err)
			}
			m := runOPCUA(t, OPCUAConfig{Faults: []Fault{f}})
			x.check(t, m, dialOPCUA(t, m, 1, opcua.Config{}))
			if m.Stats().Faults[f.Kind] == 0 {
				t.Error("the fault was not counted")
			}
		})
	}
}

// failing reads until a read fails.
func failing(t *testing.T, c *opcua.Client) error {
	t.Helper()
	for range 100 {
		if _, err := c.ReadValues(t.Context(), ua.NumericId(0, 2258)); err != nil {
			return err
		}
	}
	t.Fatal("no read fails")
	return nil
}

// A server that was started anew has other indexes or another certificate, and knows nothing of its clients.
func TestOPCUALives(t *testing.T) {
	f, err := ParseFault("stale_namespace:after=1h")
	if err != nil {
		t.Fatal(err)
	}
	g, err := ParseFault("certificate_change:after=1h")
	if err != nil {
		t.Fatal(err)
	}
	m := runOPCUA(t, OPCUAConfig{Faults: []Fault{f, g}})
	before := dialOPCUA(t, m, 1, opcua.Config{})
	old, _ := before.Namespace(OPCUANamespace)
	certificate := before.Endpoint().ServerCertificate
	for i := range m.devices[0].faults {
		m.devices[0].mu.Lock()
		m.devices[0].faults[i].Fault = &Fault{Kind: m.devices[0].faults[i].Kind, P: 1} // its time has come
		m.devices[0].mu.Unlock()
	}
	if _, err := before.ReadValues(t.Context(), nodeOf(t, before, "v0")); err == nil {
		t.Error("a session outlived its server")
	}
	after := dialOPCUA(t, m, 1, opcua.Config{})
	is, err := after.Namespace(OPCUANamespace)
	if err != nil || is == old {
		t.Errorf("the namespace has index %d as before: %v", is, err)
	}
	if string(after.Endpoint().ServerCertificate) == string(certificate) {
		t.Error("the certificate is the same")
	}
	if v := readOPCUA(t, after, "v0"); v.Status != ua.Good {
		t.Errorf("v0 is %v", v)
	}
	if len(m.Servers()) != 4 {
		t.Errorf("%d servers", len(m.Servers()))
	}
}

// Values come by subscription, with gaps that are filled and although some answers are empty.
func TestOPCUASubscriptionFaults(t *testing.T) {
	for _, fault := range []string{"", "republish_gap,every=3", "empty_publish,every=2"} {
		t.Run(fault, func(t *testing.T) {
			var faults []Fault
			if fault != "" {
				f, err := ParseFault(fault)
				if err != nil {
					t.Fatal(err)
				}
				faults = append(faults, f)
			}
			m := runOPCUA(t, OPCUAConfig{Faults: faults})
			c := dialOPCUA(t, m, 1, opcua.Config{})
			var mu sync.Mutex
			values, enough := 0, make(chan struct{})
			s, err := c.Subscribe(t.Context(), opcua.SubscriptionConfig{Interval: 20 * time.Millisecond, Notify: func(n *opcua.Notification) {
				mu.Lock()
				defer mu.Unlock()
				var v ua.DataValue
				for {
					if _, ok := n.Next(&v); !ok {
						break
					}
					if values++; values == 20 {
						close(enough)
					}
				}
				n.Receipt().Done()
			}})
			if err != nil {
				t.Fatal(err)
			}
			items := []opcua.Item{{Node: ua.ReadValueId{NodeId: nodeOf(t, c, "v0"), AttributeId: ua.AttributeValue}}}
			if err := s.Add(t.Context(), items); err != nil || items[0].Status != ua.Good {
				t.Fatalf("%v, %v", items[0].Status, err)
			}
			select {
			case <-enough:
			case <-time.After(20 * time.Second):
				t.Errorf("%d values came", values)
			}
		})
	}
}

// A client that is only subscribed meets the faults of replies, too: each Publish is one.
func TestOPCUAFaultsOfSubscribers(t *testing.T) {
	f, err := ParseFault("rst,every=30")
	if err != nil {
		t.Fatal(err)
	}
	m := runOPCUA(t, OPCUAConfig{Faults: []Fault{f}})
	c := dialOPCUA(t, m, 1, opcua.Config{})
	s, err := c.Subscribe(t.Context(), opcua.SubscriptionConfig{Interval: 20 * time.Millisecond, Notify: func(n *opcua.Notification) { n.Receipt().Done() }})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Add(t.Context(), []opcua.Item{{Node: ua.ReadValueId{NodeId: nodeOf(t, c, "v0"), AttributeId: ua.AttributeValue}}}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.Done():
	case <-time.After(20 * time.Second):
		t.Errorf("its connection is open: %+v", c.Stats())
	}
}

// A black hole takes connections and swallows everything, values that a server sends by itself included.
func TestOPCUABlackHole(t *testing.T) {
	m := runOPCUA(t, OPCUAConfig{})
	c := dialOPCUA(t, m, 1, opcua.Config{Timeout: 50 * time.Millisecond})
	if err := m.Stop(1, BlackHole); err != nil {
		t.Fatal(err)
	}
	var ne interface{ Timeout() bool }
	if _, err := c.ReadValues(t.Context(), ua.NumericId(0, 2258)); !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("a read ended with %v", err)
	}
	if _, err := opcua.Dial(t.Context(), "opc.tcp://"+m.Addr(1), opcua.Config{DialTimeout: 100 * time.Millisecond}); err == nil {
		t.Error("a black hole answered")
	}
	if err := m.Start(1); err != nil {
		t.Fatal(err)
	}
	dialOPCUA(t, m, 1, opcua.Config{})
}

// A server with few live values has a configuration of these, as long as nobody asks for more.
func TestOPCUAEmitsWhatThereIs(t *testing.T) {
	m, err := NewOPCUA(OPCUAConfig{Listen: "127.0.0.1:0", Nodes: 2})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := m.EmitConfig(&b, EmitOptions{}); err != nil || strings.Count(b.String(), "nsu="+OPCUANamespace+";s=v") != 2 {
		t.Errorf("%v\n%s", err, &b)
	}
	if err := m.EmitConfig(&b, EmitOptions{Waves: 3}); err == nil {
		t.Error("3 waves of 2")
	}
}
