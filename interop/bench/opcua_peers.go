package main

import (
	"context"
	"crypto/rsa"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/gopcua/opcua"
	gserver "github.com/gopcua/opcua/server"
	gua "github.com/gopcua/opcua/ua"
)

// gopcuaUAServer runs gopcua's server with the nodes that ours has. It takes 32 nodes in one request.
func gopcuaUAServer(ctx context.Context) (string, func() error, error) {
	log.SetOutput(io.Discard) // where it writes whatever its options say
	me, err := uaIdentity()
	if err != nil {
		return "", nil, err
	}
	text, err := freePort()
	if err != nil {
		return "", nil, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return "", nil, err
	}
	s := gserver.New(
		gserver.EnableSecurity("None", gua.MessageSecurityModeNone), gserver.EnableSecurity("Basic256Sha256", gua.MessageSecurityModeSignAndEncrypt),
		gserver.EnableAuthMode(gua.UserTokenTypeAnonymous), gserver.EndPoint("127.0.0.1", port), gserver.PrivateKey(me.Signer.(*rsa.PrivateKey)),
		gserver.Certificate(me.Raw), gserver.SetLogger(slog.New(slog.NewTextHandler(io.Discard, nil))),
	)
	ns := gserver.NewNodeNameSpace(s, uaNodes)
	root, err := s.Namespace(0)
	if err != nil {
		return "", nil, err
	}
	root.Objects().AddRef(ns.Objects(), 47, true)
	for i := range uaValues {
		ns.Objects().AddRef(ns.AddNewVariableStringNode(fmt.Sprintf("v%d", i), float64(i)), 47, true)
	}
	return fmt.Sprintf("opc.tcp://127.0.0.1:%d", port), s.Close, s.Start(ctx)
}

// startUAServer starts the OPC UA server called name in a process of its own and returns its URL.
func startUAServer(ctx context.Context, name string) (*child, string, error) {
	if name != "node-opcua" {
		return startSelf(ctx, name)
	}
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	pki := os.TempDir() + "/millrace-bench-node-opcua-" + strconv.Itoa(os.Getpid())
	c, err := start(ctx, "node", "opcua/peers/bench_server.js", port, pki)
	if err != nil {
		return nil, "", err
	}
	for line := ""; err == nil && line != "> ready"; {
		line, err = c.line()
	}
	if err != nil {
		err = fmt.Errorf("%w: %v (.ci/install installs node-opcua; run from interop/)", err, c.stop())
	}
	return c, "opc.tcp://127.0.0.1:" + port + "/UA/peer", err
}

func dialGopcua(ctx context.Context, url string, sealed bool) (*opcua.Client, error) {
	endpoints, err := opcua.GetEndpoints(ctx, url)
	if err != nil {
		return nil, err
	}
	policy, mode := "None", gua.MessageSecurityModeNone
	if sealed {
		policy, mode = "Basic256Sha256", gua.MessageSecurityModeSignAndEncrypt
	}
	ep, err := opcua.SelectEndpoint(endpoints, policy, mode)
	if err != nil {
		return nil, err
	}
	ep.EndpointURL = url
	o := []opcua.Option{opcua.AutoReconnect(false)}
	if sealed {
		me, err := uaIdentity()
		if err != nil {
			return nil, err
		}
		o = append(o, opcua.Certificate(me.Raw), opcua.PrivateKey(me.Signer.(*rsa.PrivateKey)), opcua.ApplicationURI(me.ApplicationURI))
	}
	c, err := opcua.NewClient(url, append(o, opcua.SecurityFromEndpoint(ep, gua.UserTokenTypeAnonymous))...)
	if err != nil {
		return nil, err
	}
	return c, c.Connect(ctx)
}

func gopcuaIds(ctx context.Context, c *opcua.Client, prefix string) ([]*gua.NodeID, error) {
	ns, err := c.FindNamespace(ctx, uaNodes)
	ids := make([]*gua.NodeID, uaValues)
	for i := range ids {
		ids[i] = gua.NewStringNodeID(ns, fmt.Sprintf("%s%d", prefix, i))
	}
	return ids, err
}

func gopcuaUAClient(sealed bool) func(context.Context, string) (func() error, error) {
	return func(ctx context.Context, url string) (func() error, error) {
		c, err := dialGopcua(ctx, url, sealed)
		if err != nil {
			return nil, err
		}
		ids, err := gopcuaIds(ctx, c, "v")
		if err != nil {
			return nil, err
		}
		req := &gua.ReadRequest{TimestampsToReturn: gua.TimestampsToReturnSource}
		for _, id := range ids {
			req.NodesToRead = append(req.NodesToRead, &gua.ReadValueID{NodeID: id, AttributeID: gua.AttributeIDValue})
		}
		return func() error {
			r, err := c.Read(ctx, req)
			if err != nil {
				return err
			}
			for i, v := range r.Results {
				if v.Value.Float() != float64(i) {
					return errWrong
				}
			}
			return nil
		}, nil
	}
}

func gopcuaUASubscriber(sealed bool, items int) func(context.Context, string) (func() error, error) {
	return func(ctx context.Context, url string) (func() error, error) {
		c, err := dialGopcua(ctx, url, sealed)
		if err != nil {
			return nil, err
		}
		ids, err := gopcuaIds(ctx, c, "w")
		if err != nil {
			return nil, err
		}
		came := make(chan *opcua.PublishNotificationData, 100)
		s, err := c.Subscribe(ctx, &opcua.SubscriptionParameters{Interval: uaInterval(items)}, came)
		if err != nil {
			return nil, err
		}
		for k := range items / uaValues {
			wanted := make([]*gua.MonitoredItemCreateRequest, len(ids))
			for i, id := range ids {
				wanted[i] = opcua.NewMonitoredItemCreateRequestWithDefaults(id, gua.AttributeIDValue, uint32(k*uaValues+i))
			}
			if _, err := s.Monitor(ctx, gua.TimestampsToReturnSource, wanted...); err != nil {
				return nil, err
			}
		}
		return gopcuaThousand(came), nil
	}
}

// gopcuaThousand waits for 1,000 more values.
func gopcuaThousand(came <-chan *opcua.PublishNotificationData) func() error {
	have := 0
	return func() error {
		late := time.NewTimer(5 * time.Second)
		defer late.Stop()
		for have < uaValues {
			select {
			case m := <-came:
				if m.Error != nil {
					return m.Error
				}
				if change, ok := m.Value.(*gua.DataChangeNotification); ok {
					have += len(change.MonitoredItems)
				}
			case <-late.C:
				return errSilent
			}
		}
		have -= uaValues
		return nil
	}
}
