package uasc

import (
	"errors"
	"math"
	"time"

	"millrace/opcua/ua"
)

// ClientConfig is how a client opens a channel.
type ClientConfig struct {
	Security          Security
	Identity          *Identity    // default none, which goes with None
	ServerCertificate []byte       // of the endpoint, DER, the leaf or a chain, which the caller has validated; none with None
	Server            *Certificate // the same, read before, for who comes again or has many channels: they share it

	Transport   Transport
	Sequence    SequenceRule
	MinLifetime time.Duration // what a server's lifetime of a token is taken as at least; default 10 s
	MaxPartials int           // messages that are put together at a time; default 8
	Reverse     bool          // the server connects: its RHE comes first
}

func (cfg ClientConfig) withDefaults() (ClientConfig, error) {
	var err error
	if cfg.Transport, err = cfg.Transport.withDefaults(); err != nil {
		return cfg, err
	}
	cfg.MinLifetime = orDefault(cfg.MinLifetime, defaultMinLifetime)
	cfg.MaxPartials = orDefault(cfg.MaxPartials, defaultClientPartials)
	if err := cfg.Security.Check(); err != nil {
		return cfg, err
	}
	return cfg, cfg.Security.checkIdentity(cfg.Identity)
}

// NewClient returns the client's side of a new connection.
func NewClient(cfg ClientConfig) (*Channel, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Channel{client: &cfg, security: cfg.Security, limits: cfg.Transport.receive(), state: awaitAcknowledge, parts: assembly{max: cfg.MaxPartials, keepFor: keepLong}}
	if cfg.Reverse {
		c.state = awaitReverse
	}
	if cfg.Security.Policy == None {
		return c, nil
	}
	if c.remote = cfg.Server; c.remote == nil {
		if c.remote, err = ParseCertificate(cfg.ServerCertificate); err != nil {
			return nil, err
		}
	}
	return c, cfg.Security.Policy.checkKey(c.remote)
}

// AppendHello appends the HEL with what the configuration offers. The sender's.
func (c *Channel) AppendHello(b []byte, endpointURL string) []byte {
	return AppendHello(b, Hello{Transport: c.client.Transport, EndpointURL: endpointURL})
}

// Acknowledged takes the ACK. The reader's.
func (c *Channel) Acknowledged(m Message) error {
	a, err := DecodeAcknowledge(m.Body)
	if err != nil {
		return c.fail(err)
	}
	limits, err := c.client.Transport.agree(a)
	if err != nil {
		return c.fail(err)
	}
	c.limits, c.state = limits, agreed
	return nil
}

// AppendOpen appends the OPN that opens the channel, or with renew the one that asks for the next token; one at a time. lifetime 0 is an hour. The sender's.
func (c *Channel) AppendOpen(b []byte, requestID uint32, renew bool, lifetime time.Duration, now time.Time) ([]byte, error) {
	t := c.sending.Load()
	if renew != (t != nil) {
		return b, openError(ua.BadRequestTypeInvalid, "a channel is issued once and renewed from then on")
	}
	if c.asked.Load() != nil {
		return b, openError(ua.BadInvalidState, "an OPN is on its way already")
	}
	policy := c.security.Policy
	nonce, err := policy.suite().newNonce()
	if err != nil {
		return b, err
	}
	a := &asked{request: requestID, renew: renew, nonce: nonce}
	req := ua.OpenSecureChannelRequest{
		RequestHeader: ua.RequestHeader{Timestamp: ua.DateTimeOf(now), RequestHandle: requestID},
		RequestType:   ua.SecurityTokenRequestTypeIssue, SecurityMode: c.security.Mode,
		ClientNonce: nonce.public, RequestedLifetime: milliseconds(orDefault(lifetime, defaultMaxLifetime)),
	}
	channel := uint32(0)
	if renew {
		channel, req.RequestType = t.channel, ua.SecurityTokenRequestTypeRenew
	}
	start, sent := len(b), c.sent
	out, at := c.beginOpen(b, channel, requestID, policy, c.remote)
	out, err = c.sealOpen(ua.AppendMessage(out, &req), start, at, policy, c.remote)
	if err != nil {
		c.sent = sent // nothing leaves, and the next number may not be one too many
		return b, err
	}
	c.asked.Store(a)
	return out, nil
}

func milliseconds(d time.Duration) uint32 {
	return uint32(min(d/time.Millisecond, math.MaxUint32))
}

// Opened takes the answer to AppendOpen. What is sent from now on goes under the new token; the old one is taken until the server uses the new. A
// ServiceFault is an *Error with its status. The reader's.
func (c *Channel) Opened(m Message, now time.Time) (Opened, error) {
	a := c.asked.Load()
	if a == nil || a.request != m.RequestID {
		return Opened{}, c.fail(checksFailed("open channel", errors.New("an OPN that was not asked for")))
	}
	resp, err := decodeOpenResponse(m.Body)
	if err != nil {
		return Opened{}, c.fail(err)
	}
	given := resp.SecurityToken
	if err := c.checkResponse(a, resp); err != nil {
		return Opened{}, c.fail(err)
	}
	lifetime := max(time.Duration(given.RevisedLifetime)*time.Millisecond, c.client.MinLifetime)
	t := &token{channel: given.ChannelId, id: given.TokenId, expires: now.Add(lifetime), grace: lifetime / 4}
	if s := c.security.Policy.suite(); c.security.Policy != None {
		m, err := s.material(a.nonce, resp.ServerNonce, false)
		if err != nil {
			return Opened{}, c.fail(noPublicKey(err))
		}
		t.receive, t.send = s.newKeys(m.raw(s, true), c.security.Mode, false), s.newKeys(m.raw(s, false), c.security.Mode, true)
	}
	c.state = opened
	c.adopt(t)
	c.sending.Store(t)
	c.asked.Store(nil)
	return openedToken(t, a.renew, lifetime, now), nil
}

// decodeOpenResponse reads the answer to an OPN, which may be a fault.
func decodeOpenResponse(body []byte) (*ua.OpenSecureChannelResponse, error) {
	var fault ua.ServiceFault
	if decodeBody(body, &fault) == nil {
		return nil, openError(fault.ResponseHeader.ServiceResult, "the server does not open the channel")
	}
	var resp ua.OpenSecureChannelResponse
	if err := decodeBody(body, &resp); err != nil {
		return nil, err
	}
	if s := resp.ResponseHeader.ServiceResult; !s.IsGood() {
		return nil, openError(s, "the server does not open the channel")
	}
	return &resp, nil
}

// checkResponse says why the answer to a cannot be taken.
func (c *Channel) checkResponse(a *asked, resp *ua.OpenSecureChannelResponse) error {
	given := &resp.SecurityToken
	if a.renew && given.ChannelId != c.ID() {
		return openError(ua.BadSecureChannelIdInvalid, "the renewed channel has another id")
	}
	return c.checkNonce(resp.ServerNonce)
}
