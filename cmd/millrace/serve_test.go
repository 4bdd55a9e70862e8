//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/internal/config"
	"millrace/internal/driver"
	"millrace/internal/sim"
	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// serveConfig has one device with a value that never changes, and two servers: one for everybody, one for users whose clients are trusted.
func serveConfig(t *testing.T, dir string, m *sim.Modbus, device string) string {
	t.Helper()
	line, err := userLine("shift", "read", strings.NewReader("pass word\n"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "users.txt", line+"\n")
	return configText(dir) + fmt.Sprintf(`devices:
  - {id: %s, address: "modbus://%s/1", groups: {g: {interval: 50ms, tags: {x: "holding:100:uint16 unit=bar"}}}}
serve:
  - {id: open, type: opcua, listen: "127.0.0.1:0", security: [None], anonymous: true}
  - {id: closed, type: opcua, listen: "127.0.0.2:0", users: users.txt}
`, device, m.Addr(1))
}

// url returns where the server called id is.
func (r *rig) url(id string) string {
	r.t.Helper()
	var n *northbound
	until(r.t, "the servers are up", func() bool { n = r.north(); return n != nil })
	i := slices.IndexFunc(n.servers, func(s northServer) bool { return s.id == id })
	return "opc.tcp://" + n.servers[i].ln.Addr().String()
}

func dialOPC(t *testing.T, url string, cfg opcua.Config) *opcua.Client {
	t.Helper()
	c, err := opcua.Dial(t.Context(), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// served reads a node of the gateway's namespace.
func served(t *testing.T, c *opcua.Client, text string) ua.DataValue {
	t.Helper()
	id, err := c.ParseNodeId("nsu=urn:millrace:test:tags;s=" + text)
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.ReadValues(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return v[0]
}

// The tags of the gateway are there for an OPC UA client, and follow the configuration.
func TestServeTags(t *testing.T) {
	dir := t.TempDir()
	m := plant(t, sim.ModbusConfig{Devices: 1, ByPort: true})
	r := startRig(t, dir, serveConfig(t, dir, m, "press"), rigOptions{})
	r.reads("press", 1)
	c := dialOPC(t, r.url("open"), opcua.Config{})
	v := served(t, c, "press/x")
	if x, ok := v.Value.Uint64(); !ok || v.Value.Type() != ua.TypeUInt16 || v.Status != ua.Good || v.SourceTimestamp == 0 {
		t.Errorf("press/x is %v (%d)", v, x)
	}
	if v := served(t, c, "press#State"); v.Value.Text() != "ready" {
		t.Errorf("the state of press is %v", v)
	}
	write(t, dir, "gateway.yaml", serveConfig(t, dir, m, "oven"))
	until(t, "the renamed device is served", func() bool { return served(t, c, "oven/x").Status == ua.Good })
	if v := served(t, c, "press/x"); v.Status != ua.BadNodeIdUnknown {
		t.Errorf("a tag that is gone is %v", v)
	}
	id, err := c.ParseNodeId("nsu=urn:millrace:test:tags;s=oven/x")
	if err != nil {
		t.Fatal(err)
	}
	results := make([]ua.StatusCode, 1)
	err = c.Write(t.Context(), []ua.WriteValue{{NodeId: id, AttributeId: ua.AttributeValue, Value: ua.DataValue{Value: ua.UInt16(7)}}}, results)
	if err != nil || results[0] != ua.BadNotWritable && results[0] != ua.BadUserAccessDenied {
		t.Errorf("a write ended with %v, %v", results[0], err)
	}
}

// A client gets in with a user and a certificate that is trusted, and not before.
func TestServeToTrustedClients(t *testing.T) {
	dir := t.TempDir()
	m := plant(t, sim.ModbusConfig{Devices: 1, ByPort: true})
	r := startRig(t, dir, serveConfig(t, dir, m, "press"), rigOptions{})
	r.reads("press", 1)
	me, err := uasc.NewIdentity(uasc.IdentityConfig{ApplicationURI: "urn:test:client", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	cfg := opcua.Config{Identity: me, AnyServer: true, User: opcua.User{Name: "shift", Password: "pass word"}}
	_, err = opcua.Dial(t.Context(), r.url("closed"), cfg)
	if err == nil {
		t.Fatal("a client that nobody trusts got in")
	}
	store, err := uasc.OpenTrustStore(filepath.Join(dir, "data", pkiFolder), uasc.TrustStoreConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Accept(me.Fingerprint()); err != nil {
		t.Fatalf("the certificate that was refused cannot be accepted: %v", err)
	}
	var c *opcua.Client
	until(t, "the accepted client gets in", func() bool {
		c, err = opcua.Dial(context.Background(), r.url("closed"), cfg)
		return err == nil
	})
	defer c.Close()
	if v := served(t, c, "press/x"); v.Status != ua.Good {
		t.Errorf("press/x is %v", v)
	}
	cfg.User.Password = "another"
	if _, err := opcua.Dial(t.Context(), r.url("closed"), cfg); !errors.Is(err, ua.BadUserAccessDenied) && !errors.Is(err, ua.BadIdentityTokenRejected) {
		t.Errorf("a wrong password: %v", err)
	}
	cfg.User = opcua.User{}
	if _, err := opcua.Dial(t.Context(), r.url("closed"), cfg); err == nil {
		t.Error("a client without a user got in")
	}
}

// A server that names ECC_nistP256 has a certificate of its own for it, which trust list shows beside the other one.
func TestServeWithACurve(t *testing.T) {
	dir := t.TempDir()
	m := plant(t, sim.ModbusConfig{Devices: 1, ByPort: true})
	r := startRig(t, dir, strings.Replace(serveConfig(t, dir, m, "press"), "users: users.txt}", "users: users.txt, trust: any, security: [ECC_nistP256]}", 1), rigOptions{})
	r.reads("press", 1)
	me, err := uasc.NewIdentity(uasc.IdentityConfig{ECC: true, ApplicationURI: "urn:test:client", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	pki := filepath.Join(dir, "data", pkiFolder)
	own, err := uasc.LoadIdentity(filepath.Join(pki, "own", "cert-ecc.der"), filepath.Join(pki, "own", "key-ecc.pem"))
	if err != nil {
		t.Fatal(err)
	}
	c := dialOPC(t, r.url("closed"), opcua.Config{Identity: me, ServerCertificate: own.Raw, User: opcua.User{Name: "shift", Password: "pass word"}})
	if c.Security().Policy != uasc.ECCNistP256 {
		t.Errorf("%v", c.Security())
	}
	if v := served(t, c, "press/x"); v.Status != ua.Good {
		t.Errorf("press/x is %v", v)
	}
	out, errs, code := millrace(t, "trust", "list", "--pki", pki)
	if code != exitOK || !strings.Contains(out, own.Fingerprint()) || strings.Count(out, "CN=Millrace") != 2 {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

// What would not be one field of a line, or a remark, is no name of a user.
func TestNamesOfUsers(t *testing.T) {
	for name, good := range map[string]bool{"shift": true, "Jürgen": true, "a b": false, "": false, "#x": false} {
		if _, err := userLine(name, "read", strings.NewReader("secret\n")); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Clients look whether a server's certificate is for the address that they dial: a new one is, and of an old one the log says so.
func TestServedAddressInTheCertificate(t *testing.T) {
	m := plant(t, sim.ModbusConfig{Devices: 1, ByPort: true})
	for _, old := range []bool{false, true} {
		dir := t.TempDir()
		cfg, err := config.Load(write(t, dir, "gateway.yaml", serveConfig(t, dir, m, "press")), drivers())
		if err != nil {
			t.Fatal(err)
		}
		if old {
			if _, _, err := driver.EnsureIdentities(pkiOf(cfg)); err != nil {
				t.Fatal(err)
			}
		}
		var log strings.Builder
		g, err := openGateway(t.Context(), cfg, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		n, err := g.openNorthbound(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(n.close(), g.Close()); err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "not for this address"); (n == 1) != old { // 127.0.0.1 is in every one
			t.Errorf("old %t: %d warnings: %s", old, n, &log)
		}
	}
}

// A port that is taken ends the start with a word on it.
func TestServeOnATakenPort(t *testing.T) {
	dir := t.TempDir()
	m := plant(t, sim.ModbusConfig{Devices: 1, ByPort: true})
	text := strings.Replace(serveConfig(t, dir, m, "press"), "127.0.0.1:0", m.Addr(1), 1)
	cfg, err := config.Load(write(t, dir, "gateway.yaml", text), drivers())
	if err != nil {
		t.Fatal(err)
	}
	g, err := openGateway(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if n, err := g.openNorthbound(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "serve open") || n != nil {
		t.Errorf("a taken port: %v", err)
	}
}
