package opcua

import (
	"context"
	"crypto/rsa"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gserver "github.com/gopcua/opcua/server"
	gua "github.com/gopcua/opcua/ua"

	"millrace/interop/capture"
	ours "millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// configFor is how our client connects for a row of the matrix.
func configFor(me *uasc.Identity, s security, user string) ours.Config {
	cfg := ours.Config{Policy: s.policy, AnyServer: true, Hooks: ours.Hooks{}}
	cfg.Mode = map[string]ua.MessageSecurityMode{
		"None": ua.MessageSecurityModeNone, "Sign": ua.MessageSecurityModeSign, "SignAndEncrypt": ua.MessageSecurityModeSignAndEncrypt,
	}[s.mode]
	if s.policy != "None" {
		cfg.Identity = me
	}
	switch user {
	case "password":
		cfg.User = ours.User{Name: "joe", Password: "a password"}
	case "certificate":
		cfg.User = ours.User{Certificate: me.Raw, Key: me.Signer}
	}
	return cfg
}

func dial(t *testing.T, url string, cfg ours.Config) *ours.Client {
	t.Helper()
	c, err := ours.Dial(t.Context(), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// gopcuaServer runs gopcua's server in this process and returns its URL.
func gopcuaServer(t *testing.T) string {
	t.Helper()
	log.SetOutput(io.Discard) // where its server writes whatever its options say
	me, port := identity(t), freePort(t)
	o := []gserver.Option{
		gserver.EnableSecurity("None", gua.MessageSecurityModeNone), gserver.EnableSecurity("Basic256Sha256", gua.MessageSecurityModeSign),
		gserver.EnableSecurity("Basic256Sha256", gua.MessageSecurityModeSignAndEncrypt), gserver.EnableSecurity("Aes128_Sha256_RsaOaep", gua.MessageSecurityModeSignAndEncrypt),
		gserver.EnableSecurity("Aes256_Sha256_RsaPss", gua.MessageSecurityModeSignAndEncrypt), gserver.EnableAuthMode(gua.UserTokenTypeAnonymous),
		gserver.EnableAuthMode(gua.UserTokenTypeUserName), gserver.EnableAuthMode(gua.UserTokenTypeCertificate), gserver.EndPoint("127.0.0.1", port),
		gserver.PrivateKey(me.Signer.(*rsa.PrivateKey)), gserver.Certificate(me.Raw), gserver.SetLogger(slog.New(slog.NewTextHandler(io.Discard, nil))),
	}
	s := gserver.New(o...)
	ns := gserver.NewNodeNameSpace(s, "urn:peer:nodes")
	root, err := s.Namespace(0)
	if err != nil {
		t.Fatal(err)
	}
	root.Objects().AddRef(ns.Objects(), 47, true)
	for _, v := range serverValues {
		if v.gopcua != nil {
			ns.Objects().AddRef(ns.AddNewVariableStringNode(v.name, v.gopcua), 47, true)
		}
	}
	waves := make([]*gserver.Node, 20)
	for k := range waves {
		waves[k] = ns.AddNewVariableStringNode(fmt.Sprintf("v%d", k), float64(k))
		ns.Objects().AddRef(waves[k], 47, true)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for turn := 1.0; ; turn++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for k, w := range waves {
				_ = w.SetAttribute(gua.AttributeIDValue, gserver.DataValueFromValue(turn*1000+float64(k)))
				ns.ChangeNotification(w.ID())
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		s.Close()
	})
	return fmt.Sprintf("opc.tcp://127.0.0.1:%d", port)
}

// serverValues are what the foreign servers have under s=NAME.
var serverValues = []struct {
	name   string
	want   ua.Variant
	gopcua any // nil: its server has no such value
}{
	{"Boolean", ua.Bool(true), true},
	{"SByte", ua.SByte(-100), int8(-100)},
	{"Byte", ua.Byte(200), uint8(200)},
	{"Int16", ua.Int16(-12345), int16(-12345)},
	{"UInt16", ua.UInt16(54321), uint16(54321)},
	{"Int32", ua.Int32(-1234567890), int32(-1234567890)},
	{"UInt32", ua.UInt32(3456789012), uint32(3456789012)},
	{"Int64", ua.Int64(-1234567890123456789), int64(-1234567890123456789)},
	{"UInt64", ua.UInt64(12345678901234567890), uint64(12345678901234567890)},
	{"Float", ua.Float(math.Pi), float32(math.Pi)},
	{"Double", ua.Double(2.718281828459045), 2.718281828459045},
	{"String", ua.String("Grüße Ω"), "Grüße Ω"},
	{"DateTime", ua.DateTimeValue(ua.DateTimeOf(time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC))), time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC)},
	{"Guid", ua.GuidValue(ua.Guid{D1: 0x72962B91, D2: 0xFA75, D3: 0x4AE6, D4: [8]byte{0x8D, 0x28, 0xB4, 0x04, 0xDC, 0x7D, 0xAF, 0x63}}), nil},
	{"ByteString", ua.ByteString([]byte{0xCA, 0xFE, 0}), []byte{0xCA, 0xFE, 0}},
	{"Int32Array", ua.Int32Array([]int32{math.MinInt32, 0, math.MaxInt32}), []int32{math.MinInt32, 0, math.MaxInt32}},
	{"DoubleArray", ua.DoubleArray([]float64{-1.5, 0, 2.25}), []float64{-1.5, 0, 2.25}},
	{"StringArray", ua.StringArray([]string{"a", "", "ß"}), nil},
}

func peerNode(t *testing.T, c *ours.Client, text string) ua.NodeId {
	t.Helper()
	id, err := c.ParseNodeId("nsu=urn:peer:nodes;s=" + text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// readValues compares what our client reads of a foreign server with what it has.
func readValues(t *testing.T, c *ours.Client, gopcua bool) int {
	t.Helper()
	n := 0
	for _, v := range serverValues {
		if gopcua && v.gopcua == nil {
			continue
		}
		n++
		if got := readOne(t, c, peerNode(t, c, v.name)); got.Status != ua.Good || !got.Value.Equal(v.want) {
			t.Errorf("%s is %v, want %v", v.name, got, v.want)
		}
	}
	return n
}

// TestForeignServers tries our client on foreign servers. node-opcua's takes seconds to start, so that one serves all tests that do not kill it.
func TestForeignServers(t *testing.T) {
	_, nodeURL := nodeServer(t, 0)
	urls := map[string]string{"node-opcua": nodeURL, "asyncua": asyncuaServer(t), "gopcua": gopcuaServer(t)}
	t.Run("matrix", func(t *testing.T) { everybodyIn(t, urls) })
	t.Run("services", func(t *testing.T) { everyService(t, urls) })
	t.Run("renew", func(t *testing.T) { renewals(t, urls) })
	t.Run("cut", func(t *testing.T) { cutConnection(t, nodeURL) })
}

// everybodyIn has our client in with every policy and every kind of user.
func everybodyIn(t *testing.T, urls map[string]string) {
	me := identity(t)
	for name, url := range urls {
		for _, s := range securities {
			for _, user := range []string{"anonymous", "password", "certificate"} {
				if s.policy == "None" && user == "certificate" {
					continue // there is no policy to sign with
				}
				t.Run(strings.Join([]string{name, s.policy, s.mode, user}, "/"), func(t *testing.T) {
					c := dial(t, url, configFor(me, s, user))
					t.Logf("compared: %d answers", readValues(t, c, name == "gopcua"))
				})
			}
		}
	}
}

// everyService has our client use every service that a foreign server has, with the traffic dissected.
func everyService(t *testing.T, urls map[string]string) {
	for name, url := range urls {
		t.Run(name, func(t *testing.T) {
			tap := &tap{}
			c := dial(t, url, ours.Config{Dialer: tap.dial})
			n := readValues(t, c, name == "gopcua") + readLots(t, c, name) + writeBack(t, c, name == "gopcua") + walk(t, c)
			if name != "gopcua" {
				n += callAdd(t, c) + translate(t, c)
			}
			n += subscribe(t, c, 10)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			t.Logf("compared: %d answers, %d frames dissected", n, dissect(t, &tap.Recording, tap.conns))
		})
	}
}

// tap records the connections of our client. A proxy would have another address, and gopcua's server has endpoints for its own alone.
type tap struct {
	capture.Recording
	conns int
}

func (p *tap) dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	p.conns++
	return &tapped{c, p, uint16(p.conns)}, err
}

type tapped struct {
	net.Conn
	tap *tap
	n   uint16
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.tap.Add(c.n, true, b[:n])
	}
	return n, err
}

func (c *tapped) Write(b []byte) (int, error) {
	c.tap.Add(c.n, false, b)
	return c.Conn.Write(b)
}

func hostOf(url string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "opc.tcp://"), "/")
	return host
}

// readLots reads more nodes than the server takes in one request.
func readLots(t *testing.T, c *ours.Client, name string) int {
	t.Helper()
	n := 200
	if name == "gopcua" {
		n = 20
	}
	var ids []ua.NodeId
	for k := range 500 {
		ids = append(ids, peerNode(t, c, fmt.Sprintf("v%d", k%n)))
	}
	values, err := c.ReadValues(t.Context(), ids...)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		if f, ok := v.Value.Float64(); !ok || v.Status != ua.Good || int(f)%1000 != i%n {
			t.Fatalf("value %d is %v", i, v)
		}
	}
	return len(values)
}

// writeBack writes another value to each node, and then the first one again.
func writeBack(t *testing.T, c *ours.Client, gopcua bool) int {
	t.Helper()
	other := map[string]ua.Variant{"Int16": ua.Int16(7), "Double": ua.Double(math.Inf(-1)), "String": ua.String(""), "Int32Array": ua.Int32Array([]int32{1})}
	n := 0
	for _, v := range serverValues {
		o, ok := other[v.name]
		if !ok || gopcua && v.name != "Int16" && v.name != "Double" {
			continue
		}
		for _, x := range []ua.Variant{o, v.want} {
			results := make([]ua.StatusCode, 1)
			err := c.Write(t.Context(), []ua.WriteValue{{NodeId: peerNode(t, c, v.name), AttributeId: ua.AttributeValue, Value: ua.DataValue{Value: x}}}, results)
			if err != nil || results[0] != ua.Good {
				t.Errorf("write of %v to %s: %v, %v", x, v.name, results[0], err)
				continue
			}
			if got := readOne(t, c, peerNode(t, c, v.name)); !got.Value.Equal(x) {
				t.Errorf("%s is %v after a write of %v", v.name, got.Value, x)
			}
			n++
		}
	}
	return n
}

// walk finds all values below Objects.
func walk(t *testing.T, c *ours.Client) int {
	t.Helper()
	var names []string
	err := c.Walk(t.Context(), ua.NumericId(0, 85), ours.WalkOptions{}, func(f ours.Found) error {
		names = append(names, f.Reference.BrowseName.Name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, v := range serverValues {
		if slices.Contains(names, v.name) {
			n++
		} else if v.gopcua != nil {
			t.Errorf("%s was not found among %d nodes", v.name, len(names))
		}
	}
	return n
}

func callAdd(t *testing.T, c *ours.Client) int {
	t.Helper()
	r, err := c.Call(t.Context(), []ua.CallMethodRequest{{
		ObjectId: peerNode(t, c, "peer"), MethodId: peerNode(t, c, "Add"), InputArguments: []ua.Variant{ua.Int32(2), ua.Int32(-5)},
	}})
	if err != nil || r[0].StatusCode != ua.Good || !r[0].OutputArguments[0].Equal(ua.Int32(-3)) {
		t.Errorf("Add is %+v, %v", r, err)
	}
	return 1
}

func translate(t *testing.T, c *ours.Client) int {
	t.Helper()
	ns := peerNode(t, c, "peer").Namespace
	step := func(name string) ua.RelativePathElement {
		return ua.RelativePathElement{ReferenceTypeId: ua.NumericId(0, 33), IncludeSubtypes: true, TargetName: ua.QualifiedName{NamespaceIndex: ns, Name: name}}
	}
	r, err := c.TranslateBrowsePaths(t.Context(), []ua.BrowsePath{{
		StartingNode: ua.NumericId(0, 85), RelativePath: ua.RelativePath{Elements: []ua.RelativePathElement{step("peer"), step("Int16")}},
	}})
	if err != nil || r[0].StatusCode != ua.Good || r[0].Targets[0].TargetId.NodeId != peerNode(t, c, "Int16") {
		t.Errorf("the path of Int16 leads to %+v, %v", r, err)
	}
	return 1
}

// feed is a subscription to n waves that says when each has changed twice.
type feed struct {
	mu   sync.Mutex
	seen map[uint32][]float64
	need int
	done chan struct{}
}

func (f *feed) notify(m *ours.Notification) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var v ua.DataValue
	for handle, ok := m.Next(&v); ok; handle, ok = m.Next(&v) {
		x, _ := v.Value.Float64()
		f.seen[handle] = append(f.seen[handle], x)
		if len(f.seen[handle]) == 3 {
			if f.need--; f.need == 0 {
				close(f.done)
			}
		}
	}
	m.Receipt().Done()
}

// again waits for two more changes of each.
func (f *feed) again() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.need, f.seen, f.done = len(f.seen), map[uint32][]float64{}, make(chan struct{})
}

func (f *feed) wait(t *testing.T, what string) {
	t.Helper()
	f.mu.Lock()
	done := f.done
	f.mu.Unlock()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Errorf("%s: not all values came: %v", what, f.seen)
	}
}

func newFeed(t *testing.T, c *ours.Client, n int) *feed {
	t.Helper()
	f := &feed{seen: map[uint32][]float64{}, need: n, done: make(chan struct{})}
	s, err := c.Subscribe(t.Context(), ours.SubscriptionConfig{Interval: 100 * time.Millisecond, Notify: f.notify})
	if err != nil {
		t.Fatal(err)
	}
	items := make([]ours.Item, n)
	for k := range items {
		items[k] = ours.Item{Node: ua.ReadValueId{NodeId: peerNode(t, c, fmt.Sprintf("v%d", k))}, Queue: 10}
	}
	if err := s.Add(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	for k := range items {
		if items[k].Status != ua.Good {
			t.Errorf("item %d is %v", k, items[k].Status)
		}
	}
	return f
}

func subscribe(t *testing.T, c *ours.Client, n int) int {
	t.Helper()
	newFeed(t, c, n).wait(t, "subscription")
	return n
}

// renewals has our client read on while its token, which lives for ten seconds, is renewed.
func renewals(t *testing.T, urls map[string]string) {
	me := identity(t)
	for name, url := range urls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			renewed := make(chan struct{}, 10)
			cfg := configFor(me, securities[2], "anonymous")
			cfg.ChannelLifetime = 10 * time.Second
			cfg.Hooks.Event = func(e ours.Event) {
				if e.Kind == ours.EventRenewed {
					renewed <- struct{}{}
				}
			}
			c := dial(t, url, cfg)
			for range 2 {
				for waiting := true; waiting; {
					// gopcua's server gives up the old keys when it renews, and never reads again behind a request that was on its way then.
					pause := 20 * time.Millisecond
					if name == "gopcua" {
						pause = time.Minute
					}
					select {
					case <-renewed:
						waiting = false
					case <-time.After(pause):
					case <-c.Done():
						t.Fatal(c.Err())
					}
					if v := readOne(t, c, peerNode(t, c, "Double")); !v.Value.Equal(serverValues[10].want) {
						t.Fatalf("read %v", v)
					}
				}
			}
			t.Log("compared: 2 answers")
		})
	}
}
