package uasc

import (
	"bytes"
	"slices"
	"time"

	"millrace/opcua/ua"
)

// ServerConfig is what the channels of a server have in common.
type ServerConfig struct {
	Identity    *Identity  // default none, with which there is only None
	ECCIdentity *Identity  // a second one, for ECC; default Identity, where that has a key of P-256
	Security    []Security // what is let in; at least one, or Discovery
	Discovery   bool       // let None in for discovery although Security has it not: Channel.DiscoveryOnly is true then
	Trust       Validator  // of the clients' certificates; must be set when Security has more than None
	Name        string     // who rejects, for the records of the trust list

	Transport   Transport
	Sequence    SequenceRule
	MinLifetime time.Duration // of a token; default 10 s
	MaxLifetime time.Duration // of a token, and of one whose client asks for 0; default 1 h
	MaxPartials int           // messages of a channel that are put together at a time; default 4
}

const (
	defaultMinLifetime    = 10 * time.Second
	defaultMaxLifetime    = time.Hour
	defaultServerPartials = 4
	defaultClientPartials = 8
)

func (cfg ServerConfig) withDefaults() (ServerConfig, error) {
	var err error
	if cfg.Transport, err = cfg.Transport.withDefaults(); err != nil {
		return cfg, err
	}
	cfg.MinLifetime = orDefault(cfg.MinLifetime, defaultMinLifetime)
	cfg.MaxLifetime = orDefault(cfg.MaxLifetime, max(defaultMaxLifetime, cfg.MinLifetime))
	cfg.MaxPartials = orDefault(cfg.MaxPartials, defaultServerPartials)
	cfg.Security = slices.Clone(cfg.Security)
	if cfg.MinLifetime > cfg.MaxLifetime {
		return cfg, configError(ua.BadConfigurationError, "the shortest lifetime of a token is longer than the longest")
	}
	if len(cfg.Security) == 0 && !cfg.Discovery {
		return cfg, configError(ua.BadConfigurationError, "no security at all is let in, not even None")
	}
	for _, s := range cfg.Security {
		if err := s.Check(); err != nil {
			return cfg, err
		}
		if err := s.checkIdentity(cfg.identity(s.Policy)); err != nil {
			return cfg, err
		}
		if s.Policy != None && cfg.Trust == nil {
			return cfg, configError(ua.BadConfigurationError, "nobody says which certificates are trusted")
		}
	}
	return cfg, nil
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// identity returns the one that goes with a policy, nil without.
func (cfg *ServerConfig) identity(p Policy) *Identity { return p.Pick(cfg.Identity, cfg.ECCIdentity) }

// Pick returns the first of the identities whose key is of the kind that p works with, nil when there is none. Some may be nil.
func (p Policy) Pick(ids ...*Identity) *Identity {
	for _, id := range ids {
		if id != nil && p.keyKind(id.Key) == nil {
			return id
		}
	}
	return nil
}

// checkIdentity reports whether id can be used with s.
func (s Security) checkIdentity(id *Identity) error {
	if s.Policy == None {
		return nil
	}
	if id == nil {
		return configError(ua.BadConfigurationError, "the policy "+s.Policy.String()+" needs a certificate with "+s.Policy.KeyName()+" of our own")
	}
	return s.Policy.checkKey(&id.Certificate)
}

// Server is what the channels of a server share. It does not change; a server that gets another certificate makes another one.
type Server struct {
	cfg ServerConfig
}

// NewServer checks cfg.
func NewServer(cfg ServerConfig) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Server{cfg: cfg}, nil
}

// NewChannel returns the server's side of a new connection. id is the SecureChannelId, not 0 and no other connection's; peer is the client's
// address, for the records of the trust list.
func (s *Server) NewChannel(id uint32, peer string) *Channel {
	return &Channel{
		server: s, peer: peer, id: id, limits: s.cfg.Transport.receive(), state: awaitHello, parts: assembly{max: s.cfg.MaxPartials},
	}
}

// AcceptHello takes a HEL, agrees on the limits, and appends the ACK. The reader's; nobody sends yet.
func (c *Channel) AcceptHello(b []byte, m Message) ([]byte, Hello, error) {
	h, err := DecodeHello(m.Body)
	if err != nil {
		return b, h, c.fail(err)
	}
	a, limits, err := c.server.cfg.Transport.accept(h)
	if err != nil {
		return b, h, c.fail(err)
	}
	c.limits, c.state = limits, agreed
	return AppendAcknowledge(b, a), h, nil
}

// fail remembers what ends the connection.
func (c *Channel) fail(err error) error {
	c.failed = err
	return err
}

// Opened is a token that was issued.
type Opened struct {
	ChannelID, TokenID uint32
	Renewed            bool
	Lifetime           time.Duration
	RenewAt            time.Time // when a client asks for the next one: after three quarters of Lifetime
	ExpiresAt          time.Time
}

// AcceptOpen takes an OPN, the first of a channel or one that renews its token, and appends the answer. The roles of reader and sender both.
func (c *Channel) AcceptOpen(b []byte, m Message, now time.Time) ([]byte, Opened, error) {
	var req ua.OpenSecureChannelRequest
	if err := decodeBody(m.Body, &req); err != nil {
		return b, Opened{}, c.fail(err)
	}
	if err := c.checkRequest(&req); err != nil {
		return b, Opened{}, c.fail(err)
	}
	if req.RequestType == ua.SecurityTokenRequestTypeIssue {
		c.security, c.remote, c.state = Security{c.policy, req.SecurityMode}, c.sender, opened
		c.discoveryOnly = !slices.Contains(c.server.cfg.Security, c.security)
	}
	nonce, agreed, err := c.exchange(req.ClientNonce)
	if err != nil {
		return b, Opened{}, c.fail(err)
	}
	lifetime := c.server.lifetime(req.RequestedLifetime)
	t := c.issue(agreed, now.Add(lifetime))
	out, err := c.appendOpenResponse(b, m.RequestID, &req, t, nonce, lifetime, now)
	if err != nil {
		return b, Opened{}, c.fail(err)
	}
	return out, openedToken(t, req.RequestType == ua.SecurityTokenRequestTypeRenew, lifetime, now), nil
}

// exchange makes our nonce, and puts it together with the client's.
func (c *Channel) exchange(client []byte) (nonce []byte, m material, err error) {
	s := c.policy.suite()
	own, err := s.newNonce()
	if err != nil {
		return nil, m, err
	}
	if m, err = s.material(own, client, true); err != nil {
		return nil, m, noPublicKey(err)
	}
	return own.public, m, nil
}

// noPublicKey is the error of a nonce that should be a public key.
func noPublicKey(err error) error {
	return openCause(ua.BadNonceInvalid, "the nonce is no public key of the policy's curve", err)
}

func openedToken(t *token, renewed bool, lifetime time.Duration, now time.Time) Opened {
	return Opened{
		ChannelID: t.channel, TokenID: t.id, Renewed: renewed, Lifetime: lifetime, RenewAt: now.Add(lifetime / 4 * 3), ExpiresAt: t.expires,
	}
}

// decodeBody reads a message that must be m.
func decodeBody(body []byte, m ua.Message) error {
	d := ua.NewDecoder(body, ua.Limits{})
	id := d.EncodingId()
	if id != m.EncodingId() {
		return openError(ua.BadTcpMessageTypeInvalid, "the body is not what an OPN carries")
	}
	m.DecodeFrom(&d)
	if err := d.Err(); err != nil {
		return openCause(d.Status(), "the body is malformed", err)
	}
	return nil
}

// checkRequest says why req cannot be granted.
func (c *Channel) checkRequest(req *ua.OpenSecureChannelRequest) error {
	switch req.RequestType {
	case ua.SecurityTokenRequestTypeIssue:
		if c.state != agreed {
			return openError(ua.BadRequestTypeInvalid, "the channel is open already")
		}
		if err := c.checkMode(req.SecurityMode); err != nil {
			return err
		}
	case ua.SecurityTokenRequestTypeRenew:
		if c.state != opened {
			return openError(ua.BadTcpSecureChannelUnknown, "there is no channel to renew")
		}
		if req.SecurityMode != c.security.Mode {
			return checksFailed("renew channel", errChanged)
		}
	default:
		return openError(ua.BadRequestTypeInvalid, "neither issue nor renew")
	}
	return c.checkNonce(req.ClientNonce)
}

// checkMode says why mode is not let in with the policy of the OPN.
func (c *Channel) checkMode(mode ua.MessageSecurityMode) error {
	want := Security{c.policy, mode}
	if want.Check() == nil && (slices.Contains(c.server.cfg.Security, want) || c.policy == None && c.server.cfg.Discovery) {
		return nil
	}
	return openError(ua.BadSecurityModeRejected, "the security mode is not let in")
}

// checkNonce keeps the peer's nonce of this OPN. It has the exact length, and is not the one of the last.
func (c *Channel) checkNonce(nonce []byte) error {
	n := c.policy.NonceBytes()
	if n == 0 {
		return nil
	}
	if len(nonce) != n {
		return openError(ua.BadNonceInvalid, "the nonce has another length than the policy asks for")
	}
	if bytes.Equal(nonce, c.peerNonce) {
		return openError(ua.BadNonceInvalid, "the nonce was used before")
	}
	c.peerNonce = bytes.Clone(nonce)
	return nil
}

func (s *Server) lifetime(ms uint32) time.Duration {
	if ms == 0 {
		return s.cfg.MaxLifetime
	}
	return min(max(time.Duration(ms)*time.Millisecond, s.cfg.MinLifetime), s.cfg.MaxLifetime)
}

// issue makes the next token. Sending goes on under the old one until the client uses the new; who renews again without having used it must have had
// the answer before, so that one is safe to send under.
func (c *Channel) issue(m material, expires time.Time) *token {
	c.lastToken++
	t := &token{channel: c.id, id: c.lastToken, expires: expires}
	if s := c.policy.suite(); c.policy != None {
		t.receive, t.send = s.newKeys(m.raw(s, false), c.security.Mode, false), s.newKeys(m.raw(s, true), c.security.Mode, true)
	}
	if before := c.issued.Load(); before != nil {
		c.sending.Store(before)
	}
	c.adopt(t)
	if c.sending.Load() == nil {
		c.sending.Store(t)
	} else {
		c.issued.Store(t)
	}
	return t
}

func (c *Channel) appendOpenResponse(
	b []byte, request uint32, req *ua.OpenSecureChannelRequest, t *token, nonce []byte, lifetime time.Duration, now time.Time,
) ([]byte, error) {
	start := len(b)
	b, at := c.beginOpen(b, t.channel, request, c.policy, c.remote)
	stamp := ua.DateTimeOf(now)
	b = ua.AppendMessage(b, &ua.OpenSecureChannelResponse{
		ResponseHeader: ua.ResponseHeader{Timestamp: stamp, RequestHandle: req.RequestHeader.RequestHandle},
		SecurityToken: ua.ChannelSecurityToken{
			ChannelId: t.channel, TokenId: t.id, CreatedAt: stamp, RevisedLifetime: uint32(lifetime / time.Millisecond),
		},
		ServerNonce: nonce,
	})
	return c.sealOpen(b, start, at, c.policy, c.remote)
}
