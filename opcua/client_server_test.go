package opcua

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// url is where s listens.
func (s *servingUA) url() string { return "opc.tcp://" + s.Addr }

// Every policy and mode with every kind of user, against our own server.
func TestClientAndServerAgree(t *testing.T) {
	open, users := serveUA(t, secured(t)), serveUA(t, withUsers(t))
	for _, sec := range allSecurity {
		user := testIdentityFor(t, "user", sec.Policy)
		for name, u := range map[string]User{"anonymous": {}, "password": {Name: "anna", Password: "anna's secret"}, "certificate": {Certificate: user.Raw, Key: user.Signer}} {
			t.Run(sec.String()+"/"+name, func(t *testing.T) {
				s := users
				if name == "anonymous" {
					s = open
				}
				cfg := Config{Policy: sec.Policy.String(), Mode: sec.Mode, User: u, Identity: testIdentity(t, "client"), ECCIdentity: testIdentityFor(t, "client", uasc.ECCNistP256), Trust: trustsAll{}}
				c, err := Dial(t.Context(), s.url(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Detach()
				if c.Security() != sec || !slices.Contains(c.Namespaces(), testURI) || c.Operations().Read == 0 {
					t.Errorf("%v, namespaces %q, %+v", c.Security(), c.Namespaces(), c.Operations())
				}
				v, err := c.ReadValues(t.Context(), ua.NumericId(0, 2258))
				if at, ok := v[0].Value.DateTime(); err != nil || !ok || at.IsNull() {
					t.Errorf("the server's time is %v, %v", v, err)
				}
				n, err := c.Recover(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if err := n.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestClientTakesTheStrongestEndpoint(t *testing.T) {
	s := serveUA(t, secured(t))
	for _, x := range []struct {
		cfg  Config
		want uasc.Security
	}{
		{Config{}, plain},
		{Config{Identity: testIdentity(t, "client"), AnyServer: true}, uasc.Security{Policy: uasc.Aes256Sha256RsaPss, Mode: ua.MessageSecurityModeSignAndEncrypt}},
		{Config{Identity: testIdentity(t, "client"), AnyServer: true, Policy: "Basic256Sha256"}, sealed},
		{Config{Identity: testIdentity(t, "client"), AnyServer: true, Policy: "Basic256Sha256", Mode: ua.MessageSecurityModeSign}, signed},
		{Config{Identity: testIdentity(t, "client"), Policy: "None"}, plain},
		{Config{Identity: testIdentity(t, "client"), ServerCertificate: testIdentity(t, "server").Raw, Policy: "Basic256Sha256"}, sealed},
	} {
		c, err := Dial(t.Context(), s.url(), x.cfg)
		if err != nil {
			t.Errorf("%v: %v", x.want, err)
			continue
		}
		if c.Security() != x.want {
			t.Errorf("%v in place of %v", c.Security(), x.want)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A client that knows its endpoint asks for it again only when it is not there any more, or not what the configuration permits.
func TestClientKnowsItsEndpoint(t *testing.T) {
	cfg := Config{Identity: testIdentity(t, "client"), AnyServer: true, Policy: "Basic256Sha256"}
	dial := func(s *servingUA, cfg Config) *Client {
		t.Helper()
		c, err := Dial(t.Context(), s.url(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Detach)
		return c
	}
	s := serveUA(t, secured(t))
	cfg.Known = rewritten(t, dial(s, cfg).Known())
	for _, x := range []struct {
		name     string
		server   func(*ServerConfig)
		client   func(*Config)
		channels uint64
		want     uasc.Security
	}{
		{"the same", nil, nil, 1, sealed},
		{"with another certificate", func(s *ServerConfig) { s.Identity = testIdentity(t, "user") }, nil, 2, sealed},
		{"with less to offer", func(s *ServerConfig) { s.Security = []uasc.Security{sealed} }, nil, 3, sealed},
		{"for which another policy is configured", nil, func(c *Config) { c.Policy = "Aes128_Sha256_RsaOaep"; c.Mode = ua.MessageSecurityModeSign }, 2,
			uasc.Security{Policy: uasc.Aes128Sha256RsaOaep, Mode: ua.MessageSecurityModeSign}},
	} {
		t.Run(x.name, func(t *testing.T) {
			server, mine := secured(t), cfg
			if x.server != nil {
				x.server(&server)
			}
			if x.client != nil {
				x.client(&mine)
			}
			s := serveUA(t, server)
			c := dial(s, mine)
			if c.Security() != x.want {
				t.Errorf("%v", c.Security())
			}
			c.Detach()
			if n := s.ended().Channels; n != x.channels {
				t.Errorf("%d channels", n)
			}
		})
	}
	var e *DialError
	mine := cfg
	mine.User = User{Name: "nobody", Password: "x"}
	users := serveUA(t, withUsers(t))
	if _, err := Dial(t.Context(), users.url(), mine); !errors.As(err, &e) || e.Known == nil {
		t.Errorf("%v: the endpoint that was found is not said", err)
	}
}

// rewritten is what another run of a program reads of an endpoint that this one has kept.
func rewritten(t *testing.T, e *KnownEndpoint) *KnownEndpoint {
	t.Helper()
	b := e.AppendTo(nil)
	got, err := ParseKnownEndpoint(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.AppendTo(nil), b) {
		t.Error("it is another one")
	}
	for n := range b {
		if _, err := ParseKnownEndpoint(b[:n]); err == nil {
			t.Errorf("%d of %d bytes are taken", n, len(b))
		}
	}
	return got
}

// A server that was set up anew has other names for its user tokens: it is asked for them again.
func TestKnownTokensMayBeOthers(t *testing.T) {
	s := serveUA(t, ServerConfig{})
	c, err := Dial(t.Context(), s.url(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Detach()
	known := rewritten(t, c.Known())
	known.choice.endpoint.UserIdentityTokens[0].PolicyId = "anonymous_of_before"
	again, err := Dial(t.Context(), s.url(), Config{Known: known})
	if err != nil {
		t.Fatal(err)
	}
	again.Detach()
	// The user is another matter: it is tried once.
	users := serveUA(t, withUsers(t))
	cfg := Config{Identity: testIdentity(t, "client"), AnyServer: true, User: User{Name: "anna", Password: "wrong"}}
	var e *DialError
	if _, err := Dial(t.Context(), users.url(), cfg); !errors.As(err, &e) || e.Stage != StageActivate {
		t.Fatal(err)
	}
	cfg.Known = e.Known
	if _, err := Dial(t.Context(), users.url(), cfg); !errors.As(err, &e) || e.Stage != StageActivate {
		t.Fatal(err)
	}
	if n := users.ended().Created; n != 2 {
		t.Errorf("%d sessions in two dials with a wrong password", n)
	}
}

// What keeps a client out is said in words.
func TestClientIsKeptOut(t *testing.T) {
	distrusting, trusting := secured(t), withUsers(t)
	distrusting.Trust = trustsNone{}
	plainOnly := ServerConfig{Security: []uasc.Security{plain}}
	id := testIdentity(t, "client")
	for _, x := range []struct {
		name   string
		server ServerConfig
		cfg    Config
		stage  Stage
		words  string
	}{
		{"by the server's trust list", distrusting, Config{Identity: id, AnyServer: true}, StageOpen, "ask the server's operator to trust fingerprint "},
		{"by its own trust list", trusting, Config{Identity: id, Trust: trustsNone{}}, StageChoose, "if server certificate "},
		{"by having none", trusting, Config{Identity: id}, StageChoose, "which server certificate is the right one"},
		{"by another certificate", trusting, Config{Identity: id, ServerCertificate: id.Raw}, StageChoose, "not the configured one"},
		{"by a wrong password", trusting, Config{Identity: id, AnyServer: true, User: User{Name: "anna", Password: "guessed"}}, StageActivate, "does not let this user in"},
		{"by a server without security", plainOnly, Config{Identity: id, AnyServer: true}, StageChoose, "no endpoint with any but None"},
		{"by a server without users", secured(t), Config{Identity: id, AnyServer: true, User: User{Name: "anna"}}, StageChoose, "for a user with UserName"},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := serveUA(t, x.server)
			_, err := Dial(t.Context(), s.url(), x.cfg)
			var e *DialError
			if !errors.As(err, &e) || e.Stage != x.stage || !strings.Contains(err.Error(), x.words) || e.Retryable() {
				t.Errorf("%v", err)
			}
		})
	}
}

// Somebody who takes the stronger endpoints out of what discovery returns is noticed.
func TestClientNoticesADowngrade(t *testing.T) {
	endpoints := func(strong bool) []ua.EndpointDescription {
		out := []ua.EndpointDescription{{SecurityPolicyUri: uasc.Basic256Sha256.URI(), SecurityMode: ua.MessageSecurityModeSign}}
		if strong {
			out = append(out, ua.EndpointDescription{SecurityPolicyUri: uasc.Aes256Sha256RsaPss.URI(), SecurityMode: ua.MessageSecurityModeSignAndEncrypt})
		}
		return out
	}
	if digest(endpoints(true)) == digest(endpoints(false)) {
		t.Error("a list without the strongest endpoint is as good as one with it")
	}
	swapped := endpoints(true)
	slices.Reverse(swapped)
	swapped[0].EndpointUrl, swapped[0].ServerCertificate = "opc.tcp://elsewhere", []byte{1}
	if digest(endpoints(true)) != digest(swapped) {
		t.Error("order, URLs and certificates count")
	}
	one := endpoints(true)
	one[1].UserIdentityTokens = []ua.UserTokenPolicy{{TokenType: ua.UserTokenTypeAnonymous}}
	if digest(endpoints(true)) == digest(one) {
		t.Error("tokens do not count")
	}
}

func TestClientFindsServers(t *testing.T) {
	s := serveUA(t, secured(t))
	found, err := FindServers(t.Context(), s.url(), Config{})
	if err != nil || len(found) != 1 || found[0].ApplicationUri != testURI || !slices.Contains(found[0].DiscoveryUrls, s.url()) {
		t.Errorf("found %+v, %v", found, err)
	}
}

// A socket that cannot be had says what to look at.
func TestClientDialHints(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "opc.tcp://" + ln.Addr().String()
	ln.Close()
	fails := func(err error) func(context.Context, string) (net.Conn, error) {
		return func(context.Context, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
		}
	}
	for _, x := range []struct {
		name, words string
		dialer      func(context.Context, string) (net.Conn, error)
	}{
		{"refused", "nothing listens on this port", nil},
		{"no such host", "no computer has this name", fails(&net.DNSError{Err: "no such host", Name: "plc", IsNotFound: true})},
		{"no route", "no way to this address", fails(syscall.EHOSTUNREACH)},
		{"silence", "nobody answers", fails(os.ErrDeadlineExceeded)},
	} {
		_, err := Dial(t.Context(), nobody, Config{Dialer: x.dialer})
		var e *DialError
		if !errors.As(err, &e) || e.Stage != StageConnect || !strings.Contains(err.Error(), x.words) || !e.Retryable() {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}
