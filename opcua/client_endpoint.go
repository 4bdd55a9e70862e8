package opcua

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// profileBinary is the transport that this package speaks: UA-TCP, UA-SC, UA-Binary [OPC 10000-7 6.6.134].
const profileBinary = "http://opcfoundation.org/UA-Profile/Transport/uatcp-uasc-uabinary"

// clientChoice is an endpoint of a server with what the client makes of it.
type clientChoice struct {
	endpoint ua.EndpointDescription
	security uasc.Security
	token    ua.UserTokenPolicy
	server   *uasc.Certificate // endpoint.ServerCertificate, read; nil where it cannot be
	offered  [sha256.Size]byte // all endpoints that discovery returned; zero when there was none
	found    bool              // by discovery; false for the channel that discovery has
}

// secured reports whether the channel signs.
func (c *clientChoice) secured() bool { return c.security.Policy != uasc.None }

// tokenSecurity returns the policy with which passwords are encrypted and user certificates sign.
func (c *clientChoice) tokenSecurity() (uasc.Policy, bool) {
	if c.token.SecurityPolicyUri == "" {
		return c.security.Policy, true
	}
	return uasc.PolicyByURI(c.token.SecurityPolicyUri)
}

// choose returns the strongest of the endpoints that fits cfg, or an error that says what there is.
func choose(endpoints []ua.EndpointDescription, cfg *Config) (*clientChoice, error) {
	var best *clientChoice
	for i := range endpoints {
		c, ok := consider(&endpoints[i], cfg)
		if ok && (best == nil || c.better(best)) {
			best = c
		}
	}
	if best == nil {
		return nil, &ChoiceError{Offered: describe(endpoints), Wanted: wanted(cfg)}
	}
	best.offered, best.found = digest(endpoints), true
	best.keep()
	return best, nil
}

// keep lets go of the message that the endpoint came in: its strings are slices of one copy of all endpoints.
func (c *clientChoice) keep() {
	e, a := &c.endpoint, &c.endpoint.Server
	if cert, err := uasc.ParseCertificate(e.ServerCertificate); err == nil && c.secured() {
		c.server, e.ServerCertificate = cert, cert.Chain
	}
	c.token = keptPolicy(c.token)
	e.UserIdentityTokens = slices.Clone(e.UserIdentityTokens)
	for i := range e.UserIdentityTokens {
		e.UserIdentityTokens[i] = keptPolicy(e.UserIdentityTokens[i])
	}
	a.DiscoveryUrls = slices.Clone(a.DiscoveryUrls)
	for i := range a.DiscoveryUrls {
		a.DiscoveryUrls[i] = strings.Clone(a.DiscoveryUrls[i])
	}
	for _, s := range []*string{
		&e.EndpointUrl, &e.SecurityPolicyUri, &e.TransportProfileUri, &a.ApplicationUri, &a.ProductUri, &a.GatewayServerUri, &a.DiscoveryProfileUri,
		&a.ApplicationName.Locale, &a.ApplicationName.Text,
	} {
		*s = keptText(*s)
	}
}

// keptText returns s for long: the names that all endpoints share are there already.
func keptText(s string) string {
	if s == profileBinary {
		return profileBinary
	}
	if p, ok := uasc.PolicyByURI(s); ok && s == p.URI() { // "" is None for a channel, and that of the channel for a token
		return p.URI()
	}
	return strings.Clone(s)
}

func keptPolicy(t ua.UserTokenPolicy) ua.UserTokenPolicy {
	t.PolicyId, t.SecurityPolicyUri = strings.Clone(t.PolicyId), keptText(t.SecurityPolicyUri)
	t.IssuedTokenType, t.IssuerEndpointUrl = strings.Clone(t.IssuedTokenType), strings.Clone(t.IssuerEndpointUrl)
	return t
}

// better reports whether c is stronger than o; of equals the first stays.
func (c *clientChoice) better(o *clientChoice) bool {
	a, b := c.security.Policy.Level(c.security.Mode), o.security.Policy.Level(o.security.Mode)
	if a != b {
		return a > b
	}
	return c.endpoint.SecurityLevel > o.endpoint.SecurityLevel
}

// consider reports whether cfg permits the endpoint.
func consider(e *ua.EndpointDescription, cfg *Config) (*clientChoice, bool) {
	p, ok := uasc.PolicyByURI(e.SecurityPolicyUri)
	c := &clientChoice{endpoint: *e, security: uasc.Security{Policy: p, Mode: e.SecurityMode}}
	switch {
	case !ok || c.security.Check() != nil:
		return nil, false
	case e.TransportProfileUri != "" && e.TransportProfileUri != profileBinary:
		return nil, false
	case !permitted(p, cfg) || cfg.Mode != 0 && cfg.Mode != e.SecurityMode:
		return nil, false
	}
	c.token, ok = tokenFor(e, cfg)
	return c, ok
}

// permitted reports whether cfg has p. What is not said is the strongest: a client that can do better does not take None because somebody left nothing else in a list.
func permitted(p uasc.Policy, cfg *Config) bool {
	if cfg.Policy != "" {
		want, _ := uasc.ParsePolicy(cfg.Policy)
		return p == want
	}
	if p == uasc.None {
		return !cfg.identified()
	}
	return cfg.identity(p) != nil
}

// kind returns the type of token that u needs.
func (u *User) kind() ua.UserTokenType {
	switch {
	case u.Name != "":
		return ua.UserTokenTypeUserName
	case u.Certificate != nil:
		return ua.UserTokenTypeCertificate
	}
	return ua.UserTokenTypeAnonymous
}

// goesWith reports whether the user's password can be encrypted, or his key signs, with p at an endpoint. A password with ECC goes with a key that the server gives on a
// channel with ECC alone, and there the server has no RSA key to encrypt one with [OPC 10000-6 6.8.2].
func (u *User) goesWith(p uasc.Policy, e *ua.EndpointDescription) bool {
	channel, _ := uasc.PolicyByURI(e.SecurityPolicyUri)
	switch {
	case p == uasc.None:
		return true
	case p.Ephemeral() != channel.Ephemeral():
		return false
	}
	return u.Key == nil || p.Takes(u.Key.Public())
}

// tokenFor returns the strongest token policy of an endpoint for the user. A server without any, as some small ones are, takes anonymous clients.
func tokenFor(e *ua.EndpointDescription, cfg *Config) (ua.UserTokenPolicy, bool) {
	kind, best, level := cfg.User.kind(), -1, -1
	for i := range e.UserIdentityTokens {
		t := &e.UserIdentityTokens[i]
		uri := t.SecurityPolicyUri
		if uri == "" {
			uri = e.SecurityPolicyUri
		}
		p, ok := uasc.PolicyByURI(uri)
		if t.TokenType != kind || kind != ua.UserTokenTypeAnonymous && !(ok && cfg.User.goesWith(p, e)) {
			continue
		}
		if l := int(p.Level(ua.MessageSecurityModeSignAndEncrypt)); l > level {
			best, level = i, l
		}
	}
	if best >= 0 {
		return e.UserIdentityTokens[best], true
	}
	return ua.UserTokenPolicy{}, kind == ua.UserTokenTypeAnonymous && len(e.UserIdentityTokens) == 0
}

// digest returns a hash of what counts in a list of endpoints: policies, modes and kinds of tokens, in no order. URLs do not count, servers put in the name under which they
// were asked; nor do certificates, which are left out of the list in a CreateSession [OPC 10000-4 5.7.2.2], and of which the channel has proven the one that matters.
func digest(endpoints []ua.EndpointDescription) [sha256.Size]byte {
	var lines []string
	for i := range endpoints {
		e := &endpoints[i]
		if e.TransportProfileUri != "" && e.TransportProfileUri != profileBinary {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s %d %s", e.SecurityPolicyUri, e.SecurityMode, tokens(e)))
	}
	slices.Sort(lines)
	return sha256.Sum256([]byte(strings.Join(slices.Compact(lines), "\n")))
}

// tokens returns the kinds of an endpoint's tokens in order.
func tokens(e *ua.EndpointDescription) string {
	var kinds []string
	for _, t := range e.UserIdentityTokens {
		kinds = append(kinds, fmt.Sprintf("%d:%s", t.TokenType, t.SecurityPolicyUri))
	}
	slices.Sort(kinds)
	return strings.Join(slices.Compact(kinds), ",")
}

// describe returns what a list of endpoints offers, in words.
func describe(endpoints []ua.EndpointDescription) []string {
	var out []string
	for i := range endpoints {
		e := &endpoints[i]
		p := e.SecurityPolicyUri[strings.LastIndexByte(e.SecurityPolicyUri, '#')+1:]
		words := p + "/" + strings.TrimPrefix(e.SecurityMode.String(), "MessageSecurityMode")
		for _, t := range e.UserIdentityTokens {
			if kind := t.TokenType.String(); !strings.Contains(words, kind) {
				words += " " + kind
			}
		}
		if !slices.Contains(out, words) && len(out) < 32 {
			out = append(out, words)
		}
	}
	return out
}

// wanted returns what cfg asks for, in words.
func wanted(cfg *Config) string {
	policy := cfg.Policy
	switch {
	case policy != "":
	case !cfg.identified():
		policy = "None, since the client has no certificate of its own,"
	default:
		policy = "any but None"
	}
	if cfg.Mode != 0 {
		policy += "/" + cfg.Mode.String()
	}
	user := cfg.User.kind().String()
	if cfg.User.Key != nil {
		user += " (" + uasc.KeyName(cfg.User.Key.Public()) + ")"
	}
	return policy + " for a user with " + user
}

// ChoiceError says that a server has no endpoint that the configuration permits.
type ChoiceError struct {
	Wanted  string
	Offered []string // policy/mode and tokens of each
}

func (e *ChoiceError) Error() string {
	offered := strings.Join(e.Offered, "; ")
	if offered == "" {
		offered = "nothing"
	}
	return fmt.Sprintf("no endpoint with %s; the server offers %s", e.Wanted, offered)
}
