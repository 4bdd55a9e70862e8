package uasc

import (
	"sync/atomic"
	"time"

	"millrace/opcua/ua"
)

// Channel is one side of a connection from its first byte to its last, the secure channel in it included [OPC 10000-6 6.7, 7.1].
//
//	server: awaitHello ─HEL, AcceptHello─► agreed ─OPN, AcceptOpen─► open ─┬ OPN renew, MSG ─► open
//	client: awaitAcknowledge ─ACK, Acknowledged─► agreed ─OPN, Opened─► open └ CLO or an error ─► closed
//	client with Reverse: awaitReverse ─RHE─► awaitAcknowledge
//
// It has two roles, each of which one goroutine holds at a time; they may be different goroutines and need no lock between them. The reader calls
// Next, Pending, AcceptHello, Acknowledged and Opened; the sender calls End, AppendAbort and AppendOpen. AcceptOpen needs both. What tells about the
// channel (ID, Policy, Mode, Remote, Limits) may be asked by everybody from the first AcceptOpen or Opened on.
type Channel struct {
	server *Server       // nil on a client
	client *ClientConfig // nil on a server
	peer   string        // address of the client, for the records of the trust list

	// What was agreed on; constant once the channel is open.
	id            uint32
	security      Security
	remote        *Certificate
	limits        Limits
	discoveryOnly bool

	// The reader's.
	state     state
	failed    error
	received  sequence
	current   *token // the newest
	previous  *token // taken until the peer uses current; nil when it did
	peerNonce []byte // of the last OPN
	sender    *Certificate
	policy    Policy // of the last OPN
	parts     assembly

	// Between reader and sender.
	sending atomic.Pointer[token] // what to send under
	issued  atomic.Pointer[token] // on a server, given out and not used by the client yet
	asked   atomic.Pointer[asked] // on a client, the OPN that has no answer yet

	// The sender's.
	sent      sequence
	lastToken uint32
}

// asked is an OPN request that is on its way.
type asked struct {
	request uint32
	renew   bool
	nonce   ownNonce
}

// state is where a Channel is in its life.
type state uint8

const (
	awaitHello state = iota
	awaitReverse
	awaitAcknowledge
	agreed
	opened
	closed
)

// expected says which kinds may come in a state, a bit each.
var expected = [...]uint16{
	awaitHello:       1<<KindHello | 1<<KindError,
	awaitReverse:     1<<KindReverseHello | 1<<KindError,
	awaitAcknowledge: 1<<KindAcknowledge | 1<<KindError,
	agreed:           1<<KindOpen | 1<<KindError,
	opened:           1<<KindOpen | 1<<KindMessage | 1<<KindClose | 1<<KindError,
	closed:           0,
}

// expects reports whether k may come now.
func (c *Channel) expects(k Kind) bool { return expected[c.state]&(1<<k) != 0 }

// ID returns the SecureChannelId; 0 on a client before the channel is open.
func (c *Channel) ID() uint32 {
	if t := c.sending.Load(); t != nil {
		return t.channel
	}
	return c.id
}

// Policy returns the policy that the channel was opened with.
func (c *Channel) Policy() Policy { return c.security.Policy }

// Mode returns the mode that the channel was opened with.
func (c *Channel) Mode() ua.MessageSecurityMode { return c.security.Mode }

// Remote returns the certificate that the peer opened the channel with; nil with None.
func (c *Channel) Remote() *Certificate { return c.remote }

// Limits returns what the two sides agreed on.
func (c *Channel) Limits() Limits { return c.limits }

// DiscoveryOnly reports whether the channel was let in by ServerConfig.Discovery alone: nothing may be asked in it but what finds endpoints and servers.
func (c *Channel) DiscoveryOnly() bool { return c.discoveryOnly }

// rule returns which sequence numbers the peer may send.
func (c *Channel) rule() SequenceRule {
	if c.server != nil {
		return c.server.cfg.Sequence
	}
	return c.client.Sequence
}

// identity returns this side's own for a policy, nil when it has none.
func (c *Channel) identity(p Policy) *Identity {
	if c.server != nil {
		return c.server.cfg.identity(p)
	}
	return c.client.Identity
}

// sendToken returns the token to send under. A server goes on with the old one until the client has used the new one, or the old one has expired; a
// client sends under the newest at once [OPC 10000-4 5.6.2].
func (c *Channel) sendToken(now time.Time) *token {
	t := c.sending.Load()
	if t == nil || now.Before(t.expires) {
		return t
	}
	if next := c.issued.Load(); next != nil {
		return next
	}
	return t
}

// adopt makes t the token that is expected from now on, beside the one before it. One that is older still is taken no more. Some servers renew under the
// id that they gave before: then the old one ends at once, because keys are told apart by the id alone.
func (c *Channel) adopt(t *token) {
	if c.current != nil && c.current.id != t.id {
		c.previous = c.current
	}
	c.current = t
}

// used hears that a chunk under t came and was genuine: a peer that uses the new token is through with the old one.
func (c *Channel) used(t *token) {
	if t != c.current || c.previous == nil && c.sending.Load() == t {
		return
	}
	c.previous = nil
	c.issued.Store(nil)
	c.sending.Store(t)
}

// receiveToken returns the token by its id in the header of a chunk; keys are never tried.
func (c *Channel) receiveToken(id uint32, now time.Time) (*token, error) {
	for _, t := range [...]*token{c.current, c.previous} {
		if t == nil || t.id != id {
			continue
		}
		if t.dead(now) {
			return nil, readError(ua.BadSecureChannelTokenUnknown, "the security token has expired")
		}
		return t, nil
	}
	return nil, readError(ua.BadSecureChannelTokenUnknown, "the security token is not one of this channel")
}
