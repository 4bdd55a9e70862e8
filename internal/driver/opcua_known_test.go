package driver

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// What a session keeps of a server spares the next one the discovery, in another run too, and what refusals have taught.
func TestOPCUAKeepsWhatItKnowsOfAServer(t *testing.T) {
	s, theirs := secureUA(t)
	d := OPCUA{PKI: t.TempDir()}
	w := newWatcher()
	open := func(lim device.Limits, query string) *opcuaSession {
		t.Helper()
		x, err := d.Open(context.Background(), addrOPCUA(t, s.url("?trust=any"+query)), lim, w)
		if err != nil {
			t.Fatal(err)
		}
		return x.(*opcuaSession)
	}
	if _, err := d.Open(context.Background(), addrOPCUA(t, s.url("?trust=any")), device.Limits{}, w); err == nil || accept(t, theirs) != 1 {
		t.Fatal(err)
	}
	discovered := func() int { return s.times(ns0.GetEndpointsRequest_Encoding_DefaultBinary) }
	first := open(device.Limits{}, "")
	p := planOPCUA(t, s.url("?mode=poll"), specs("nsu=urn:plant;s=level", "nsu=urn:plant;s=count", "nsu=urn:plant;s=name"))
	s.set(func() {
		s.once = map[uint32]ua.StatusCode{ns0.ReadRequest_Encoding_DefaultBinary: ua.BadTooManyOperations}
	})
	s.read(first, p)
	if len(w.learned) != 1 || w.learned[0].Server != first.Limits().Server || w.learned[0].MaxItems == 0 {
		t.Fatalf("%+v", w.learned)
	}
	lim := first.Limits()
	_ = first.Close()
	before := discovered()
	again := open(lim, "")
	if n := discovered() - before; n != 0 {
		t.Errorf("the endpoints of a known server were asked for %d times", n)
	}
	c, then := again.client.(*opcua.Client), first.client.(*opcua.Client)
	if c.Security() != then.Security() || c.Learned() != then.Learned() || c.Learned().Operations.Read == 0 {
		t.Errorf("%v and %+v, before %v and %+v", c.Security(), c.Learned(), then.Security(), then.Learned())
	}
	if got := s.read(again, p); got[1] != "1.5" {
		t.Error(got)
	}
	_ = again.Close()
	// Of another address, damaged, or not what the options permit: asked again.
	for name, x := range map[string]struct{ server, query string }{
		"another address": {strings.Replace(lim.Server, s.addr, "127.0.0.1:1", 1), ""},
		"damaged":         {lim.Server[:len(lim.Server)/2], ""},
		"another policy":  {lim.Server, "&security=Basic256Sha256/sign"},
	} {
		before := discovered()
		x := open(device.Limits{Server: x.server}, x.query)
		if n := discovered() - before; n != 1 {
			t.Errorf("%s: the endpoints were asked for %d times", name, n)
		}
		_ = x.Close()
	}
}

// The handshake has a time of its own, as the connection has.
func TestOPCUAHandshakeTimeout(t *testing.T) {
	s := newUA(t, nil)
	for _, service := range []uint32{ns0.GetEndpointsRequest_Encoding_DefaultBinary, ns0.CreateSessionRequest_Encoding_DefaultBinary, ns0.ActivateSessionRequest_Encoding_DefaultBinary, ns0.ReadRequest_Encoding_DefaultBinary} {
		s.set(func() { s.refuse = map[uint32]ua.StatusCode{service: opcua.NoAnswer} })
		w := &patientWatcher{newWatcher()}
		w.hear(func() { w.timeout = time.Hour })
		_, err := OPCUA{}.Open(context.Background(), addrOPCUA(t, s.url("")), device.Limits{}, w)
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("service %d without an answer: %v", service, err)
		}
	}
}

// patientWatcher waits long for a connection, and not for what is said on it.
type patientWatcher struct{ *watcher }

func (*patientWatcher) Connect() time.Duration   { return time.Hour }
func (*patientWatcher) Handshake() time.Duration { return 100 * time.Millisecond }
