package opcua

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/listen/listentest"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// A session is created, activated, used and closed under every policy and mode, and its channel renewed.
func TestServerSession(t *testing.T) {
	s := serveUA(t, secured(t))
	for _, sec := range allSecurity {
		t.Run(sec.Policy.String()+" "+sec.Mode.String(), func(t *testing.T) {
			p := s.session(sec)
			p.wantAlive()
			if err := p.openChannel(true, time.Hour); err != nil {
				t.Fatal(err)
			}
			p.wantAlive()
			wantStatus(t, "activate again", p.activate(nil), ua.Good)
			wantStatus(t, "close", p.call(&ua.CloseSessionRequest{}, &ua.CloseSessionResponse{}), ua.Good)
			wantStatus(t, "use after close", p.alive(), ua.BadSessionIdInvalid)
		})
	}
	if st := s.ended(); st.Channels != uint64(len(allSecurity)) || st.Renewals != st.Channels || st.Created != st.Channels || len(st.Refused) > 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestServerEndpoints(t *testing.T) {
	s := serveUA(t, secured(t))
	p := s.open(plain)
	var resp ua.GetEndpointsResponse
	ask := func(url string, profiles ...string) []ua.EndpointDescription {
		t.Helper()
		resp = ua.GetEndpointsResponse{}
		if err := p.call(&ua.GetEndpointsRequest{EndpointUrl: url, ProfileUris: profiles}, &resp); err != nil {
			t.Fatal(err)
		}
		return resp.Endpoints
	}
	list := ask("opc.tcp://plc.example:4841/some/where")
	if len(list) != len(allSecurity) {
		t.Fatalf("%d endpoints", len(list))
	}
	for i, e := range list {
		want := allSecurity[i]
		if e.EndpointUrl != "opc.tcp://plc.example:4841" || e.SecurityMode != want.Mode || e.SecurityPolicyUri != want.Policy.URI() ||
			e.Server.ApplicationUri != testURI || !bytes.Equal(e.ServerCertificate, testIdentityFor(t, "server", want.Policy).Raw) || len(e.UserIdentityTokens) != 1 {
			t.Errorf("endpoint %d: %+v", i, e)
		}
	}
	for url, want := range map[string]string{
		"":                             "opc.tcp://test.example:4840", // as in HEL
		"opc.tcp://plc.example":        "opc.tcp://plc.example:4840",
		"opc.tcp://[::1]:4840/":        "opc.tcp://[::1]:4840",
		"http://plc.example":           "opc.tcp://test.example:4840",
		"opc.tcp://<script>:1":         "opc.tcp://test.example:4840",
		"opc.tcp://user:pw@plc.de:1/x": "opc.tcp://plc.de:1",
	} {
		if got := ask(url)[0].EndpointUrl; got != want {
			t.Errorf("asked for %q: %q, want %q", url, got, want)
		}
	}
	if n := len(ask("", "http://opcfoundation.org/UA-Profile/Transport/https-uabinary")); n != 0 {
		t.Errorf("%d endpoints over HTTPS", n)
	}
	if n := len(ask("", uaTCPProfile)); n != len(allSecurity) {
		t.Errorf("%d endpoints over TCP", n)
	}
}

func TestServerFindServers(t *testing.T) {
	s := serveUA(t, ServerConfig{ApplicationName: "Plant", Path: "/plant"})
	p := s.open(plain)
	for _, tc := range []struct {
		uris []string
		want int
	}{{nil, 1}, {[]string{testURI}, 1}, {[]string{"urn:other", testURI}, 1}, {[]string{"urn:other"}, 0}} {
		var resp ua.FindServersResponse
		if err := p.call(&ua.FindServersRequest{EndpointUrl: "opc.tcp://h:1", ServerUris: tc.uris}, &resp); err != nil || len(resp.Servers) != tc.want {
			t.Errorf("%v: %d servers, %v", tc.uris, len(resp.Servers), err)
			continue
		}
		if tc.want == 1 && (resp.Servers[0].DiscoveryUrls[0] != "opc.tcp://h:1/plant" || resp.Servers[0].ApplicationName.Text != "Plant") {
			t.Errorf("%+v", resp.Servers[0])
		}
	}
	wantStatus(t, "RegisterServer", p.call(&ua.RegisterServerRequest{}, &ua.RegisterServerResponse{}), ua.BadServiceUnsupported)
	wantStatus(t, "QueryFirst", p.call(&ua.QueryFirstRequest{}, &ua.QueryFirstResponse{}), ua.BadServiceUnsupported)
}

// A channel without security that is let in for discovery alone serves nothing else.
func TestServerDiscoveryOnly(t *testing.T) {
	cfg := secured(t)
	cfg.Security = []uasc.Security{sealed}
	s := serveUA(t, cfg)
	p := s.open(plain)
	var resp ua.GetEndpointsResponse
	if err := p.call(&ua.GetEndpointsRequest{}, &resp); err != nil || len(resp.Endpoints) != 1 {
		t.Errorf("%d endpoints, %v", len(resp.Endpoints), err)
	}
	wantStatus(t, "CreateSession", p.create(), ua.BadSecurityPolicyRejected)
	wantStatus(t, "Read", p.call(&ua.ReadRequest{}, &ua.ReadResponse{}), ua.BadSecurityPolicyRejected)
	other := s.session(sealed)
	p.token = other.token
	wantStatus(t, "another's session", p.alive(), ua.BadSecurityPolicyRejected)
	wantStatus(t, "another's activation", p.activate(nil), ua.BadSecurityPolicyRejected)
	other.wantAlive()
}

// Times of sessions: what is granted, and when they end.
func TestServerSessionTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveUAOn(t, ServerConfig{}, listentest.NewPipes())
		for asked, want := range map[float64]float64{0: 60_000, -1: 60_000, 1: 10_000, 5e4: 50_000, 1e300: 3_600_000} {
			p := s.open(plain)
			req := p.createRequest()
			req.RequestedSessionTimeout = asked
			var resp ua.CreateSessionResponse
			if err := p.call(req, &resp); err != nil || resp.RevisedSessionTimeout != want {
				t.Errorf("asked for %v: %v, %v", asked, resp.RevisedSessionTimeout, err)
			}
		}
		time.Sleep(12 * time.Second) // none was activated
		if n := s.Sessions(); n != 0 {
			t.Errorf("%d sessions that were never activated", n)
		}
		p := s.session(plain)
		for range 3 {
			time.Sleep(59 * time.Second)
			p.wantAlive()
		}
		time.Sleep(62 * time.Second)
		wantStatus(t, "after the timeout", p.alive(), ua.BadSessionIdInvalid)
		if st := s.ended(); st.TimedOut != 6 {
			t.Errorf("%d timed out", st.TimedOut)
		}
	})
}

// A session survives its connection and goes on with another.
func TestServerReactivation(t *testing.T) {
	s := serveUA(t, secured(t))
	for _, sec := range []uasc.Security{plain, sealed} {
		old := s.session(sec)
		old.conn.Close()
		p := s.open(sec)
		p.token, p.nonce = old.token, old.nonce
		wantStatus(t, "before it is activated here", p.alive(), ua.BadSecureChannelIdInvalid)
		wantStatus(t, "activate", p.activate(nil), ua.Good)
		p.wantAlive()

		// And moves while the connection before is there.
		next := s.open(sec)
		next.token, next.nonce = p.token, p.nonce
		wantStatus(t, "activate", next.activate(nil), ua.Good)
		next.wantAlive()
		wantStatus(t, "where it was before", p.alive(), ua.BadSecureChannelIdInvalid)
	}
}

// What may not bring a session to another channel.
func TestServerForeignActivation(t *testing.T) {
	s := serveUA(t, secured(t))
	old := s.session(sealed)
	take := func(p *peer) error {
		p.token, p.nonce = old.token, old.nonce
		return p.activate(nil)
	}
	wantStatus(t, "with another certificate", take(s.openAs(sealed, "other", 0)), ua.BadSecurityChecksFailed)
	wantStatus(t, "with a weaker mode", take(s.open(signed)), ua.BadSecurityChecksFailed)
	wantStatus(t, "without security", take(s.open(plain)), ua.BadSecurityChecksFailed)
	p := s.open(sealed)
	p.token, p.nonce = old.token, bytes.Repeat([]byte{1}, 32)
	wantStatus(t, "with an old nonce", p.activate(nil), ua.BadApplicationSignatureInvalid)
	idle := s.open(sealed)
	wantStatus(t, "create", idle.create(), ua.Good)
	p.token, p.nonce = idle.token, idle.nonce
	wantStatus(t, "one that was never activated", p.activate(nil), ua.BadSecureChannelIdInvalid)
	wantStatus(t, "close it elsewhere", p.call(&ua.CloseSessionRequest{}, &ua.CloseSessionResponse{}), ua.BadSecureChannelIdInvalid)
	old.wantAlive()
}
