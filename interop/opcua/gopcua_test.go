package opcua

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/id"
	gua "github.com/gopcua/opcua/ua"

	"millrace/opcua/uasc"
)

// gopcuaClient answers the lines that client.js answers, as far as gopcua can.
type gopcuaClient struct {
	t  *testing.T
	c  *opcua.Client
	ns uint16
}

// connectGopcua connects gopcua's client. me is its certificate, not used with policy None.
func connectGopcua(t *testing.T, url, policy, mode, user string, me *uasc.Identity, lifetime time.Duration) *gopcuaClient {
	t.Helper()
	ctx := t.Context()
	endpoints, err := opcua.GetEndpoints(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	ep, err := opcua.SelectEndpoint(endpoints, policy, gua.MessageSecurityModeFromString(mode))
	if err != nil || ep == nil {
		t.Fatalf("no endpoint with %s and %s: %v", policy, mode, err)
	}
	ep.EndpointURL = url
	o := []opcua.Option{opcua.AutoReconnect(false), opcua.ApplicationURI(me.ApplicationURI), opcua.Lifetime(lifetime)}
	if policy != "None" {
		o = append(o, opcua.Certificate(me.Raw), opcua.PrivateKey(me.Signer.(*rsa.PrivateKey)))
	}
	token := gua.UserTokenTypeAnonymous
	switch name, password, ok := strings.Cut(user, ":"); {
	case ok:
		token = gua.UserTokenTypeUserName
		o = append(o, opcua.AuthUsername(name, password))
	case user == "certificate":
		token = gua.UserTokenTypeCertificate
		o = append(o, opcua.AuthCertificate(me.Raw), opcua.AuthPrivateKey(me.Signer.(*rsa.PrivateKey)))
	}
	o = append(o, opcua.SecurityFromEndpoint(ep, token))
	c, err := opcua.NewClient(url, o...)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	namespaces, err := c.NamespaceArray(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return &gopcuaClient{t, c, uint16(slices.Index(namespaces, simURI))}
}

func (g *gopcuaClient) id(s string) *gua.NodeID {
	if strings.Contains(s, "=") {
		return gua.MustParseNodeID(s)
	}
	return gua.NewStringNodeID(g.ns, s)
}

func (g *gopcuaClient) ask(line string) string {
	g.t.Helper()
	w := strings.Split(line, " ")
	answer, err := g.do(w[0], w[1:])
	if err != nil {
		return "error " + err.Error()
	}
	return answer
}

func (g *gopcuaClient) do(verb string, w []string) (string, error) {
	ctx := g.t.Context()
	switch verb {
	case "read":
		v, err := g.values(g.id(w[0]))
		if err != nil {
			return "", err
		}
		return gopcuaText(v[0]), nil
	case "readmany":
		return g.readMany(w[0])
	case "copy":
		v, err := g.values(g.id(w[0]))
		if err != nil {
			return "", err
		}
		r, err := g.c.Write(ctx, &gua.WriteRequest{NodesToWrite: []*gua.WriteValue{{
			NodeID: g.id(w[1]), AttributeID: gua.AttributeIDValue, Value: &gua.DataValue{EncodingMask: gua.DataValueValue, Value: v[0].Value},
		}}})
		if err != nil {
			return "", err
		}
		return statusName(r.Results[0]), nil
	case "browse":
		return g.browse(w[0])
	case "sessions":
		return g.sessions()
	case "call":
		return g.call(w[0], w[1])
	case "subscribe":
		return g.subscribe(w[0])
	case "hold":
		return g.hold(w[0])
	}
	return "", fmt.Errorf("%s is nothing that it can", verb)
}

func (g *gopcuaClient) values(ids ...*gua.NodeID) ([]*gua.DataValue, error) {
	var nodes []*gua.ReadValueID
	for _, n := range ids {
		nodes = append(nodes, &gua.ReadValueID{NodeID: n, AttributeID: gua.AttributeIDValue})
	}
	r, err := g.c.Read(g.t.Context(), &gua.ReadRequest{NodesToRead: nodes, TimestampsToReturn: gua.TimestampsToReturnBoth})
	if err != nil {
		return nil, err
	}
	return r.Results, nil
}

func statusName(s gua.StatusCode) string {
	if s == gua.StatusOK {
		return "Good"
	}
	return strings.Replace(strings.TrimPrefix(gua.StatusCodes[s].Name, "Status"), "NodeID", "NodeId", 1)
}

// gopcuaText writes a value as client.js does.
func gopcuaText(v *gua.DataValue) string {
	if v.Status != gua.StatusOK {
		return statusName(v.Status)
	}
	name := strings.Replace(strings.TrimPrefix(v.Value.Type().String(), "TypeID"), "Uint", "UInt", 1)
	if v.Value.Has(gua.VariantArrayValues) {
		return name + " " + fmt.Sprint(v.Value.Value())
	}
	if at, ok := v.Value.Value().(time.Time); ok {
		return name + " " + at.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return name + " " + fmt.Sprint(v.Value.Value())
}

func (g *gopcuaClient) readMany(count string) (string, error) {
	n, _ := strconv.Atoi(count)
	var ids []*gua.NodeID
	for k := range n {
		ids = append(ids, g.id(fmt.Sprintf("v%d", k)))
	}
	values, err := g.values(ids...)
	good := 0
	for _, v := range values {
		if f := v.Value.Float(); v.Status == gua.StatusOK && f >= 0 && f <= 100 {
			good++
		}
	}
	return strconv.Itoa(good), err
}

func (g *gopcuaClient) browse(text string) (string, error) {
	refs, err := g.c.Node(g.id(text)).References(g.t.Context(), id.HierarchicalReferences, gua.BrowseDirectionForward, gua.NodeClassAll, true)
	var names []string
	for _, r := range refs {
		names = append(names, r.BrowseName.Name)
	}
	slices.Sort(names)
	return strings.Join(names, " "), err
}

// sessions walks from SessionsDiagnosticsSummary to the objects of sessions: how many, what the last one is made of, how many variables that has, and how its user logged in.
func (g *gopcuaClient) sessions() (string, error) {
	parts := func(of *gua.NodeID, class gua.NodeClass) ([]*gua.ReferenceDescription, error) {
		return g.c.Node(of).References(g.t.Context(), id.HasComponent, gua.BrowseDirectionForward, class, true)
	}
	objects, err := parts(gua.NewNumericNodeID(0, id.Server_ServerDiagnostics_SessionsDiagnosticsSummary), gua.NodeClassObject)
	if err != nil || len(objects) == 0 {
		return strconv.Itoa(len(objects)), err
	}
	list, err := parts(objects[len(objects)-1].NodeID.NodeID, gua.NodeClassVariable)
	names, counts, how := []string{strconv.Itoa(len(objects))}, []string{}, ""
	for _, part := range list {
		names = append(names, part.BrowseName.Name)
		fields, fail := parts(part.NodeID.NodeID, gua.NodeClassVariable)
		counts, err = append(counts, strconv.Itoa(len(fields))), errors.Join(err, fail)
		for _, f := range fields {
			if f.BrowseName.Name == "AuthenticationMechanism" {
				v, fail := g.c.Node(f.NodeID.NodeID).Value(g.t.Context())
				how, err = fmt.Sprint(v.Value()), errors.Join(err, fail)
			}
		}
	}
	return strings.Join(append(append(names, counts...), how), " "), err
}

func (g *gopcuaClient) call(a, b string) (string, error) {
	x, _ := strconv.Atoi(a)
	y, _ := strconv.Atoi(b)
	r, err := g.c.Call(g.t.Context(), &gua.CallMethodRequest{
		ObjectID: g.id("sim"), MethodID: g.id("Add"), InputArguments: []*gua.Variant{gua.MustVariant(int32(x)), gua.MustVariant(int32(y))},
	})
	if err != nil {
		return "", err
	}
	if r.StatusCode != gua.StatusOK {
		return statusName(r.StatusCode), nil
	}
	return fmt.Sprint(r.OutputArguments[0].Value()), nil
}

// subscribe waits until each of the waves has changed twice.
func (g *gopcuaClient) subscribe(count string) (string, error) {
	n, _ := strconv.Atoi(count)
	ctx, cancel := context.WithTimeout(g.t.Context(), 20*time.Second)
	defer cancel()
	ch := make(chan *opcua.PublishNotificationData, 100)
	s, err := g.c.Subscribe(ctx, &opcua.SubscriptionParameters{Interval: 50 * time.Millisecond}, ch)
	if err != nil {
		return "", err
	}
	defer s.Cancel(context.Background())
	for k := range n {
		r, err := s.Monitor(ctx, gua.TimestampsToReturnBoth, opcua.NewMonitoredItemCreateRequestWithDefaults(g.id(fmt.Sprintf("v%d", k)), gua.AttributeIDValue, uint32(k)))
		if err != nil || r.Results[0].StatusCode != gua.StatusOK {
			return "", fmt.Errorf("item %d: %v", k, err)
		}
	}
	seen, done := map[uint32]int{}, 0
	for done < n {
		select {
		case m := <-ch:
			if m.Error != nil {
				return "", m.Error
			}
			change, ok := m.Value.(*gua.DataChangeNotification)
			if !ok {
				continue
			}
			for _, x := range change.MonitoredItems {
				if seen[x.ClientHandle]++; seen[x.ClientHandle] == 3 {
					done++
				}
			}
		case <-ctx.Done():
			return strconv.Itoa(done), nil
		}
	}
	return strconv.Itoa(done), nil
}

// hold reads all the time, over renewals of the token.
func (g *gopcuaClient) hold(ms string) (string, error) {
	d, _ := strconv.Atoi(ms)
	for end := time.Now().Add(time.Duration(d) * time.Millisecond); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		v, err := g.values(g.id("static.Double"))
		if err != nil {
			return "", err
		}
		if v[0].Value == nil || v[0].Value.Float() != 2.718281828459045 {
			return "wrong value", nil
		}
	}
	return "renewed", nil
}
