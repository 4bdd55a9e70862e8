package opcua

import (
	"cmp"
	"context"
	"crypto"
	"fmt"
	"net"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// MaxWindow is the most requests that a client keeps in flight on one connection, Publish requests not counted.
const MaxWindow = 64

// Config is how a client works. The zero value talks to a server without security and as nobody in particular, waits five seconds for an answer and repeats
// nothing.
type Config struct {
	// Policy is the security policy by its short name, None, Basic256Sha256, Aes128_Sha256_RsaOaep, Aes256_Sha256_RsaPss or ECC_nistP256. By default it is the strongest
	// that the server offers and there is an identity for, ECC only where there is none of the others, and None when there is no identity. A server that offers None
	// alone gets no client that has one, unless Policy says so.
	Policy string
	// Mode is the security mode; by default the strongest that the server offers with the policy.
	Mode ua.MessageSecurityMode
	// Identity is the client's certificate and key, of RSA, or of P-256 for ECC_nistP256 alone. Without it there is no security policy but None.
	Identity *uasc.Identity
	// ECCIdentity is a second one, of P-256, beside one of RSA.
	ECCIdentity *uasc.Identity
	// Trust judges the server's certificate, where there is security. Without it Dial refuses, unless ServerCertificate or AnyServer is set.
	Trust uasc.Validator
	// ServerCertificate is the only certificate that is accepted of the server, DER.
	ServerCertificate []byte
	// AnyServer accepts every certificate of the server, and so whoever is in the way: to try something out.
	AnyServer bool
	// Known is the endpoint that an earlier client to this URL chose (Client.Known, DialError.Known). Then the server is not asked for its endpoints, which costs a
	// connection, unless that one does not do any more. One that the rest of Config does not permit counts as none.
	Known *KnownEndpoint
	// User is on whose behalf the session is; by default nobody's.
	User User

	// ApplicationName is what the server's operator sees; default "Millrace". ApplicationURI is that of Identity, and "urn:millrace:client" without one.
	ApplicationName, ApplicationURI string
	// SessionName is what the server's operator sees of the session; default ApplicationName.
	SessionName string
	// Locales are the languages wanted for texts, the best first, as "de-DE"; by default the server chooses.
	Locales []string

	// Timeout is how long to wait for an answer; default 5 s. Hooks.Timeout, when set, is asked instead.
	Timeout time.Duration
	// DialTimeout limits Dial with all that it does; default 15 s. The context may be shorter.
	DialTimeout time.Duration
	// ConnectTimeout limits the TCP connection alone, without what is said on it; default DialTimeout.
	ConnectTimeout time.Duration
	// HandshakeTimeout limits what is said on a connection from its first byte until it has its session, or the endpoints were told; default DialTimeout. Without Known
	// there are two connections where there is security.
	HandshakeTimeout time.Duration
	// UserTimeout ends a connection on which sent bytes stay without acknowledgement; default 10 s; negative leaves the system's. Linux only.
	UserTimeout time.Duration
	// SessionTimeout is how long the server is asked to keep a session of which it hears nothing; default 1 min, at least 10 s. It is kept alive by a read of the
	// server's state when nothing else is sent for a third of that.
	SessionTimeout time.Duration
	// ChannelLifetime is how long the keys of the channel are to live; default 1 h, at least 10 s. They are renewed at three quarters of what the server grants.
	ChannelLifetime time.Duration
	// Window is how many requests are in flight at once, Publish requests not counted; default 16, at most MaxWindow.
	Window int
	// Limits bound what is decoded; the default is that of ua.Limits.
	Limits ua.Limits
	// Transport is how long chunks and messages may be; the default is that of uasc.Transport.
	Transport uasc.Transport
	// MaxOperations is the most operations in one request, whatever the server says: nodes, references, items; default 10,000.
	MaxOperations int
	// Learned is what an earlier connection to this server learned of it.
	Learned Learned
	// Dialer connects to host:port; default TCP that notices a dead peer.
	Dialer func(ctx context.Context, addr string) (net.Conn, error)
	// Reverse says that the connections of Dialer are ones that the server has made: it speaks first and says its URL [OPC 10000-6 7.1.3]. A server behind a firewall
	// connects like that, again and again. See ReverseDialer.
	Reverse bool
	// ServerURI, when set, is the only application URI of which a reverse connection is taken.
	ServerURI string
	Hooks     Hooks
}

// User is on whose behalf a session is: Name and Password, or Certificate with Key. The zero value is an anonymous one.
type User struct {
	Name, Password string
	// ClearPassword sends the password in the clear where the server asks for nothing better. Without it Dial refuses to.
	ClearPassword bool
	// Certificate of the user, DER, and its private key.
	Certificate []byte
	Key         crypto.Signer
}

// Hooks are called as requests go by; nil ones are not. They must not block. Late, Foreign and Event are called from the connection's reader or a timer's goroutine,
// the others from the one that called the client, before its call returns.
type Hooks struct {
	Timeout  func() time.Duration                                  // how long to wait for the answer to what is sent next; 0 or less is Config.Timeout
	Replied  func(rtt time.Duration)                               // an answer that matched, faults included; not those to Publish requests
	TimedOut func(after time.Duration)                             // no answer in time
	Late     func(by time.Duration)                                // the answer to a request that had timed out
	Foreign  func()                                                // an answer to nothing that was asked; the connection has ended
	Refused  func(s Service, status ua.StatusCode, operations int) // a request that was refused as a whole, with so many operations
	Learned  func(s Service, operations int)                       // requests with more operations than these are refused or cannot be answered
	Event    func(Event)                                           // what the client did on its own: renewals, recovery, quirks found
}

// Stats counts what went over a connection.
type Stats struct {
	Sent      uint64 // requests, Publish requests included
	Replied   uint64 // answers that matched, faults included
	Refused   uint64 // answers that refused a request as a whole
	TimedOut  uint64
	Late      uint64 // answers to what had timed out
	Abandoned uint64 // answers to what was cancelled, within its time
	Foreign   uint64
	BytesOut  uint64
	BytesIn   uint64
	Renewed   uint64 // keys of the channel

	Published    uint64 // messages of subscriptions with values
	KeptAlive    uint64 // messages without
	Values       uint64 // that came in messages of subscriptions
	Acknowledged uint64 // messages
	Paced        uint64 // pauses for a server that answers Publish requests at once with nothing

	InFlight   int // now, Publish requests not counted
	Publishing int // Publish requests now
	Unanswered int // requests that nobody waits for, now
}

const (
	minSessionTimeout  = 10 * time.Second
	minChannelLifetime = 10 * time.Second
	defaultOperations  = 10_000
	// firstOperations is how many operations go into the first request to a server that publishes no limit: what most take.
	firstOperations = 1000
)

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Timeout < 0 || c.DialTimeout < 0 || c.ConnectTimeout < 0 || c.HandshakeTimeout < 0:
		return c, fmt.Errorf("opcua: negative timeout")
	case c.SessionTimeout != 0 && c.SessionTimeout < minSessionTimeout:
		return c, fmt.Errorf("opcua: session timeout %v under %v", c.SessionTimeout, minSessionTimeout)
	case c.ChannelLifetime != 0 && c.ChannelLifetime < minChannelLifetime:
		return c, fmt.Errorf("opcua: channel lifetime %v under %v", c.ChannelLifetime, minChannelLifetime)
	case c.Window < 0 || c.Window > MaxWindow:
		return c, fmt.Errorf("opcua: window %d outside 1..%d", c.Window, MaxWindow)
	case c.MaxOperations < 0:
		return c, fmt.Errorf("opcua: %d operations in a request", c.MaxOperations)
	case c.User.Name != "" && c.User.Certificate != nil:
		return c, fmt.Errorf("opcua: a user has a name or a certificate, not both")
	case (c.User.Certificate == nil) != (c.User.Key == nil):
		return c, fmt.Errorf("opcua: a user's certificate and key belong together")
	case c.Reverse && c.Dialer == nil:
		return c, fmt.Errorf("opcua: reverse connections come from a Dialer")
	case c.Mode > ua.MessageSecurityModeSignAndEncrypt:
		return c, fmt.Errorf("opcua: no such security mode: %d", c.Mode)
	}
	if c.Policy != "" {
		p, ok := uasc.ParsePolicy(c.Policy)
		if !ok {
			return c, fmt.Errorf("opcua: no such security policy: %q", c.Policy)
		}
		if p != uasc.None && c.identity(p) == nil {
			return c, fmt.Errorf("opcua: security policy %s needs an identity, a certificate and key, with %s", c.Policy, p.KeyName())
		}
	}
	c.fill()
	return c, nil
}

// identity returns the one that goes with a policy, nil without.
func (c *Config) identity(p uasc.Policy) *uasc.Identity { return p.Pick(c.Identity, c.ECCIdentity) }

// identified reports whether there is an identity at all.
func (c *Config) identified() bool { return c.Identity != nil || c.ECCIdentity != nil }

// fill puts the defaults where nothing is said.
func (c *Config) fill() {
	c.ApplicationName = cmp.Or(c.ApplicationName, "Millrace")
	for _, id := range [...]*uasc.Identity{c.Identity, c.ECCIdentity} {
		if c.ApplicationURI == "" && id != nil {
			c.ApplicationURI = id.ApplicationURI
		}
	}
	c.ApplicationURI = cmp.Or(c.ApplicationURI, "urn:millrace:client")
	c.SessionName = cmp.Or(c.SessionName, c.ApplicationName)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.DialTimeout = cmp.Or(c.DialTimeout, 15*time.Second)
	c.HandshakeTimeout = cmp.Or(c.HandshakeTimeout, c.DialTimeout)
	c.UserTimeout = cmp.Or(c.UserTimeout, 10*time.Second)
	c.SessionTimeout = cmp.Or(c.SessionTimeout, time.Minute)
	c.ChannelLifetime = cmp.Or(c.ChannelLifetime, time.Hour)
	c.Window = cmp.Or(c.Window, 16)
	c.MaxOperations = cmp.Or(c.MaxOperations, defaultOperations)
}
