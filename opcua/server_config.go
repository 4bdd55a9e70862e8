package opcua

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// ServerConfig is what a Server serves, to whom, and how long it waits. The zero value but for Space is a good default: policy None, anonymous clients that may read. A
// negative duration switches that limit off.
type ServerConfig struct {
	Space *Space // what is served; its namespace 1 is the ApplicationUri

	ApplicationName string // default "Millrace"
	ProductURI      string // default "urn:millrace"
	SoftwareVersion string // default "dev"
	Path            string // behind the port in endpoint URLs, with its slash; default none

	Identity    *uasc.Identity  // own certificate and key; needed for every policy but None, and to have passwords encrypted
	ECCIdentity *uasc.Identity  // a second one, of P-256, for ECC_nistP256; default Identity, where that has such a key
	Trust       uasc.Validator  // judges clients' certificates; needed for every policy but None
	Security    []uasc.Security // what is offered; default None alone. Discovery works without security in any case

	Users          Authenticator  // says who may what; nil lets anonymous clients in alone, with AnonymousRoles
	AnonymousRoles Roles          // of clients without a user when Users is nil; default RoleRead
	UserTokens     UserTokens     // which kinds are offered when Users is set; default TokenAnonymous|TokenPassword
	UserTrust      uasc.Validator // judges users' certificates; needed for TokenCertificate
	PlainPasswords bool           // take passwords in plain text on an unencrypted channel, when there is no Identity to encrypt them for

	// Intercept, when set, sees every request before its service and decides what becomes of it.
	Intercept ServerInterceptor

	Limits        ua.Limits          // of what is decoded; Message defaults to Transport's
	Subscriptions SubscriptionLimits // of subscriptions and monitored items
	Quotas        ServerQuotas       // of what the server keeps for clients besides
	Transport     uasc.Transport     // chunk and message sizes
	Admission     Admission          // how many channels are set up at once

	MaxConns   int        // connections; default 1000
	MaxPerAddr int        // connections from one remote address; default MaxConns
	Budget     ConnBudget // connections shared with other servers; default none
	Floor      int        // connections of Budget kept free for this server; default 0

	SessionTimeout TimeoutRange  // what clients are granted; default 10 s to 1 h, 1 min for those that ask for none
	TokenLifetime  TimeoutRange  // of channels; default 10 s to 1 h
	ActivateWithin time.Duration // from CreateSession to ActivateSession; default 10 s

	HandshakeTimeout time.Duration // from accept to the end of OpenSecureChannel; default 10 s
	FrameTimeout     time.Duration // from the first byte of a message to its last, all chunks; default 10 s
	IdleTimeout      time.Duration // without a request until the connection is closed; default 1 h, which is the longest token's
	WriteTimeout     time.Duration // for responses to be taken by the client; default 10 s
	DrainTimeout     time.Duration // for connections to end once Serve's context has; default 10 s
	AnnounceShutdown time.Duration // how long ServerStatus says Shutdown before the drain; default 0
}

// ServerQuotas are the most that a server keeps for its clients; 0 is the default.
type ServerQuotas struct {
	Sessions           uint32 // default 1000
	SessionsPerChannel uint32 // default 16
	Work               uint32 // requests of one session that run the host's code (Call, Write, HistoryRead): one that is being done, the others wait; default 100
	ReceiveBytes       int    // requests that wait for their rest, or for those before them, of all connections together; default 256 MiB
	SendBytes          int    // responses of one connection that wait for its socket; default 1 MiB, and one more of any length
}

// TimeoutRange is what a client may be granted of what it asks for. Default is for those that ask for 0 or nonsense; its own default is Max.
type TimeoutRange struct{ Min, Max, Default time.Duration }

// ConnBudget is a number of connections that several servers share.
type ConnBudget interface {
	Reserve(n int) error // keeps n connections for the caller; an error says why they cannot be kept
	Unreserve(n int)     // undoes Reserve
	Take() bool          // takes one beyond what was reserved
	Give()               // undoes Take
}

func (c ServerConfig) withDefaults() (ServerConfig, error) {
	if c.Space == nil {
		return c, errors.New("opcua: a server needs a Space")
	}
	c.ApplicationName = cmp.Or(c.ApplicationName, "Millrace")
	c.ProductURI = cmp.Or(c.ProductURI, "urn:millrace")
	c.SoftwareVersion = cmp.Or(c.SoftwareVersion, "dev")
	c.AnonymousRoles = cmp.Or(c.AnonymousRoles, RoleRead)
	c.Quotas.Sessions = cmp.Or(c.Quotas.Sessions, 1000)
	c.Quotas.SessionsPerChannel = cmp.Or(c.Quotas.SessionsPerChannel, 16)
	c.Quotas.Work = cmp.Or(c.Quotas.Work, 100)
	c.Quotas.ReceiveBytes = cmp.Or(c.Quotas.ReceiveBytes, 256<<20)
	c.Quotas.SendBytes = cmp.Or(c.Quotas.SendBytes, 1<<20)
	c.Admission = c.Admission.withDefaults()
	c.SessionTimeout = c.SessionTimeout.withDefaults(TimeoutRange{10 * time.Second, time.Hour, time.Minute})
	c.TokenLifetime = c.TokenLifetime.withDefaults(TimeoutRange{10 * time.Second, time.Hour, time.Hour})
	c.ActivateWithin = cmp.Or(c.ActivateWithin, 10*time.Second)
	c.FrameTimeout = cmp.Or(c.FrameTimeout, 10*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, time.Hour)
	c.Limits.Message = cmp.Or(c.Limits.Message, int(cmp.Or(c.Transport.MaxMessageSize, defaultMessage)))
	if c.UserTokens == 0 {
		c.UserTokens = TokenAnonymous | TokenPassword
	}
	if c.Users == nil {
		c.UserTokens, c.Users = TokenAnonymous, anonymous(c.AnonymousRoles)
	}
	if len(c.Security) == 0 {
		c.Security = []uasc.Security{{Policy: uasc.None, Mode: ua.MessageSecurityModeNone}}
	}
	var err error
	if c.Subscriptions, err = c.Subscriptions.withDefaults(); err != nil {
		return c, err
	}
	return c, c.check()
}

// defaultMessage is the longest request that is taken by default, as package uasc has it.
const defaultMessage = 16 << 20

func (r TimeoutRange) withDefaults(def TimeoutRange) TimeoutRange {
	r.Min, r.Max = cmp.Or(r.Min, def.Min), cmp.Or(r.Max, def.Max)
	r.Default = min(max(cmp.Or(r.Default, def.Default), r.Min), r.Max)
	return r
}

// identity returns the one that goes with a policy, nil without. On None it is that for which users encrypt passwords and sign, which is RSA [OPC 10000-6 6.8.2]: the keys
// that ECC has for it are given on a channel with ECC.
func (c *ServerConfig) identity(p uasc.Policy) *uasc.Identity {
	if p == uasc.None {
		p = plainSecrets
	}
	return p.Pick(c.Identity, c.ECCIdentity)
}

func (c *ServerConfig) check() error {
	for _, sec := range c.Security {
		if err := sec.Check(); err != nil {
			return fmt.Errorf("opcua: server: %w", err)
		}
		if sec.Policy != uasc.None && (c.identity(sec.Policy) == nil || c.Trust == nil) {
			return fmt.Errorf("opcua: server: policy %v needs a Trust, and an Identity of %s", sec.Policy, sec.Policy.KeyName())
		}
	}
	switch {
	case c.Path != "" && !strings.HasPrefix(c.Path, "/"):
		return fmt.Errorf("opcua: server: Path %q does not begin with a slash", c.Path)
	case c.SessionTimeout.Min > c.SessionTimeout.Max || c.TokenLifetime.Min > c.TokenLifetime.Max:
		return errors.New("opcua: server: the shortest timeout is longer than the longest")
	case c.UserTokens&TokenCertificate != 0 && (c.UserTrust == nil || c.Identity == nil && c.ECCIdentity == nil):
		return errors.New("opcua: server: users with certificates need a UserTrust, and an Identity that they sign for")
	case c.UserTokens&^(TokenAnonymous|TokenPassword|TokenCertificate) != 0:
		return fmt.Errorf("opcua: server: no such UserTokens: %d", c.UserTokens)
	}
	return nil
}
