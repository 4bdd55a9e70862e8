package opcua

import (
	"cmp"
	"context"
	"net"
	"net/url"
	"slices"
	"strings"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

const (
	uaTCPProfile = "http://opcfoundation.org/UA-Profile/Transport/uatcp-uasc-uabinary"
	uaTCPScheme  = "opc.tcp"
)

// tokenPolicy is one way to say who the user is, on the endpoints of one policy.
type tokenPolicy struct {
	endpoint uasc.Policy // the policy of the endpoints that it is offered on
	ua.UserTokenPolicy
	policy uasc.Policy // that its secret is encrypted and signed with
}

// tokenPolicies returns what is offered. A password is encrypted for our certificate even where the channel is not, whenever there is one.
func tokenPolicies(cfg *ServerConfig) (list []tokenPolicy) {
	for _, endpoint := range endpointPolicies(cfg) {
		secret := endpoint
		if secret == uasc.None && cfg.identity(secret) != nil {
			secret = plainSecrets
		}
		add := func(kind ua.UserTokenType, name string, policy uasc.Policy) {
			p := tokenPolicy{endpoint, ua.UserTokenPolicy{PolicyId: name + "_" + endpoint.String(), TokenType: kind}, policy}
			if kind != ua.UserTokenTypeAnonymous {
				p.SecurityPolicyUri = policy.URI()
			}
			list = append(list, p)
		}
		if cfg.UserTokens&TokenAnonymous != 0 {
			add(ua.UserTokenTypeAnonymous, "anonymous", uasc.None)
		}
		if cfg.UserTokens&TokenPassword != 0 && (secret != uasc.None || cfg.PlainPasswords) {
			add(ua.UserTokenTypeUserName, "username", secret)
		}
		if cfg.UserTokens&TokenCertificate != 0 && secret != uasc.None {
			add(ua.UserTokenTypeCertificate, "certificate", secret)
		}
	}
	return list
}

// plainSecrets is the policy that passwords are encrypted with where the channel is not.
const plainSecrets = uasc.Basic256Sha256

// endpointPolicies returns the policies of the endpoints, each once.
func endpointPolicies(cfg *ServerConfig) (list []uasc.Policy) {
	for _, sec := range cfg.Security {
		if !slices.Contains(list, sec.Policy) {
			list = append(list, sec.Policy)
		}
	}
	return list
}

// serveFindServers answers with this server alone [OPC 10000-4 5.4.2].
func (s *Server) serveFindServers(_ context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	endpoint := d.String()
	skipStrings(d) // LocaleIds
	wanted := anyString(d, s.applicationURI())
	if status := decoded(d); status != ua.Good {
		return out, status
	}
	if !wanted {
		return ua.AppendCount(out, 0, false), ua.Good
	}
	me := s.description(s.endpointURL(c.conn, endpoint))
	return me.AppendTo(ua.AppendCount(out, 1, false)), ua.Good
}

// serveGetEndpoints answers with all endpoints, under the host that the client knows this one by [OPC 10000-4 5.4.4].
func (s *Server) serveGetEndpoints(_ context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	endpoint := d.String()
	skipStrings(d) // LocaleIds
	wanted := anyString(d, uaTCPProfile)
	if status := decoded(d); status != ua.Good {
		return out, status
	}
	var list []ua.EndpointDescription
	if wanted {
		list = s.endpoints(s.endpointURL(c.conn, endpoint))
	}
	out = ua.AppendCount(out, len(list), false)
	for i := range list {
		out = list[i].AppendTo(out)
	}
	return out, ua.Good
}

func skipStrings(d *ua.Decoder) {
	for range d.Count(stringBytes) {
		_ = d.String()
	}
}

// anyString reads a filter: true when it is empty or has want.
func anyString(d *ua.Decoder, want string) bool {
	n := d.Count(stringBytes)
	found := n == 0
	for range n {
		found = d.String() == want || found
	}
	return found
}

// stringBytes is the length of the shortest string on the wire.
const stringBytes = 4

// applicationURI is the server's name for programs, and that of namespace 1.
func (s *Server) applicationURI() string { return s.space.Namespaces()[1] }

// description is this server under an URL.
func (s *Server) description(endpoint string) ua.ApplicationDescription {
	return ua.ApplicationDescription{
		ApplicationUri: s.applicationURI(), ProductUri: s.cfg.ProductURI, ApplicationName: ua.LocalizedText{Text: s.cfg.ApplicationName},
		ApplicationType: ua.ApplicationTypeServer, DiscoveryUrls: []string{endpoint},
	}
}

// endpoints returns what is offered under an URL, in the order of the configuration.
func (s *Server) endpoints(endpoint string) []ua.EndpointDescription {
	me := s.description(endpoint)
	list := make([]ua.EndpointDescription, 0, len(s.cfg.Security))
	for _, sec := range s.cfg.Security {
		e := ua.EndpointDescription{
			EndpointUrl: endpoint, Server: me, SecurityMode: sec.Mode, SecurityPolicyUri: sec.Policy.URI(),
			TransportProfileUri: uaTCPProfile, SecurityLevel: sec.Policy.Level(sec.Mode),
		}
		if id := s.cfg.identity(sec.Policy); id != nil {
			e.ServerCertificate = id.Chain
		}
		for i := range s.tokens {
			if s.tokens[i].endpoint == sec.Policy {
				e.UserIdentityTokens = append(e.UserIdentityTokens, s.tokens[i].UserTokenPolicy)
			}
		}
		list = append(list, e)
	}
	return list
}

// endpointURL returns the URL of this server as the client would write it: with the host and port that it asked for, since it may know us under another name than we do.
// Without a host in the question, that of the HEL counts, and then the address that the connection came in at.
func (s *Server) endpointURL(c *serverConn, asked string) string {
	host := cmp.Or(hostOf(asked), hostOf(c.url), c.conn.LocalAddr().String())
	return uaTCPScheme + "://" + host + s.cfg.Path
}

// hostOf returns host and port of an endpoint URL; "" when it is none. Nothing but letters, digits and what hosts are written with goes back to a client.
func hostOf(raw string) string {
	const longest = 262 // a name of 255 bytes, a colon and a port
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != uaTCPScheme || u.Host == "" || len(u.Host) > longest {
		return ""
	}
	if strings.IndexFunc(u.Host, func(r rune) bool { return !strings.ContainsRune(hostRunes, r) }) >= 0 {
		return ""
	}
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), "4840")
	}
	return u.Host
}

const hostRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]%"
