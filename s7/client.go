package s7

import (
	"cmp"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"millrace/internal/inflight"
)

// MaxWindow is the most requests that a client keeps in flight on one connection.
const MaxWindow = inflight.MaxWindow

// readBufferMin is what the read buffer starts with; it grows while reads fill it. There may be ten thousand.
const readBufferMin = 128

// defaultWindow is how many jobs in flight a client asks for.
const defaultWindow = 8

// Config is how a client works. The zero value is an OP connection to rack 0, slot 0, which asks for PDUs of 960 bytes and eight jobs in flight, waits one
// second for an answer and repeats nothing.
type Config struct {
	// Rack, 0..7, and Slot, 0..31, of the CPU. S7-300 and S7-400: slot 2 (400: as plugged); S7-1200 and S7-1500: slot 1, and 0 works too; S7-200 SMART: slot 1;
	// SINAMICS drives: slot 0.
	Rack, Slot uint8
	// Type is what connection resource the PLC is asked for; default ConnectOP. PLCs have few for ConnectPG, and an engineer needs them.
	Type ConnectionType
	// Calling and Called are the TSAPs, at most 16 bytes each. Calling is 0100 by default; Called is made of Type, Rack and Slot, which count for nothing
	// where it is given: LOGO! and S7-200 with a CP have TSAPs that are set in the project.
	Calling, Called []byte
	// PDU is the length asked for; default DefaultPDU, from MinPDU to MaxTPKT-FrameBytes. The PLC grants that or less; a little more counts as that.
	PDU int
	// Window is how many jobs in flight are asked for; default 8, at most MaxWindow. The PLC grants that or less: 1 and 3 are usual.
	Window int
	// Timeout is how long to wait for an answer; default 1 s. Hooks.Timeout, when set, is asked instead.
	Timeout time.Duration
	// Retries is how often a read without an answer is sent again, with a new reference; default 0, at most 10. Nothing else is ever repeated.
	Retries int
	// DialTimeout limits dialling with all of the handshake; default 5 s. The context may be shorter.
	DialTimeout time.Duration
	// ConnectTimeout limits the TCP connection alone, without the handshake; default DialTimeout.
	ConnectTimeout time.Duration
	// HandshakeTimeout limits the handshake alone, once the connection is there; default DialTimeout.
	HandshakeTimeout time.Duration
	// UserTimeout ends a connection on which sent bytes stay without acknowledgement; default 10 s; negative leaves the system's. Linux only.
	UserTimeout time.Duration
	// Resync says what is done about bytes that are no frame; by default they end the connection.
	Resync Resync
	// MaxItems is the most items in one request, at most 255; default as many as the PDU has room for. Some PLCs take 20.
	MaxItems int
	// Diagnostics allows system status lists, blocks, clock, password and PI services. Without it each of them is an error before anything is sent:
	// there are CPUs that went into DEFECTIVE when they were asked for SZL 0x001C.
	Diagnostics bool
	// Turns is memory for requests that several clients share; nil when this one has its own.
	Turns *Turns
	Hooks Hooks
}

// Turns is what clients run requests with, about 1 kB each. Clients that share it have as many as there are calls at a moment, and idle ones have none. The zero value is ready, and safe for
// concurrent use.
type Turns struct{ flight inflight.Turns }

// lent returns what inflight shares, nil for a nil t.
func (t *Turns) lent() *inflight.Turns {
	if t == nil {
		return nil
	}
	return &t.flight
}

// Hooks are called as requests go by; nil ones are not. They must not block. Late and Foreign are called from whichever goroutine reads the connection,
// the others from the one that called the client, before its call returns.
type Hooks struct {
	Timeout func() time.Duration    // how long to wait for the answers to what is sent next; 0 or less is Config.Timeout
	Replied func(rtt time.Duration) // an answer that matched, refusals included
	// Served: so many jobs were answered, not refused as a whole, in PDUs of so many bytes both ways, and took the PLC so long together: what each took after it was
	// sent and the one before it was answered. It is what a request and a byte cost can be learned from.
	Served   func(requests, bytes int, took time.Duration)
	TimedOut func(after time.Duration)                   // no answer in time
	Late     func(by time.Duration)                      // the answer to a request that had timed out; 0 for a duplicate
	Foreign  func()                                      // an answer to nothing that was asked
	Refused  func(f Function, code ErrorCode, items int) // a request that was refused as a whole, with so many items
	Learned  func(maxItems int)                          // requests with more items than these are refused, requests with as many are not
}

// Var is one variable to read or to write, and what came of it. Data is the caller's; the client does not keep it.
type Var struct {
	// Item says which: S7ANY, of any length. One that is longer than a PDU is read and written in several pieces, between which the PLC may change it.
	Item Item
	// Data of a read gets the Item.Len() bytes of the variable appended, nothing when Err is not nil. Of a write they are the bytes to write, Item.Len() of them.
	Data []byte
	// Code is what the PLC said of the variable, ReturnOK among it; 0 where it said nothing of it.
	Code ReturnCode
	// At is when the answer came, the last one of several; zero without one.
	At time.Time
	// RTT is the time from sending to the answer, the longest of several; 0 without one.
	RTT time.Duration
	// Err is nil, or an *Error.
	Err error
}

// PackLimits bound the requests into which items are packed.
type PackLimits struct {
	PDU      int // longest PDU, both ways; at least MinPDU
	MaxItems int // items in a request; 0 is as many as fit
}

// Stats counts what went over a connection.
type Stats struct {
	Sent      uint64 // requests, repeated ones included
	Repeated  uint64 // reads sent again
	Replied   uint64 // answers that matched, refusals included
	Refused   uint64 // answers that refused a request as a whole
	TimedOut  uint64
	Late      uint64 // answers to what had timed out
	Duplicate uint64
	Abandoned uint64 // answers to what was cancelled, within its time
	Foreign   uint64
	Pushed    uint64 // what came unasked and may: Userdata pushes
	Overtook  uint64 // answers that came before the one to an older request
	BytesOut  uint64
	BytesIn   uint64
	Stream    StreamStats

	Window     int // now
	InFlight   int // now
	Unanswered int // references that nobody waits for, now
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Rack > 7 || c.Slot > 31:
		return c, fmt.Errorf("s7: rack %d outside 0..7 or slot %d outside 0..31", c.Rack, c.Slot)
	case len(c.Calling) > maxTSAP || len(c.Called) > maxTSAP:
		return c, fmt.Errorf("s7: TSAP longer than %d bytes", maxTSAP)
	case c.PDU != 0 && (c.PDU < MinPDU || c.PDU > MaxTPKT-FrameBytes):
		return c, fmt.Errorf("s7: PDU %d outside %d..%d", c.PDU, MinPDU, MaxTPKT-FrameBytes)
	case c.Window < 0 || c.Window > MaxWindow:
		return c, fmt.Errorf("s7: window %d outside 1..%d", c.Window, MaxWindow)
	case c.Timeout < 0 || c.DialTimeout < 0 || c.ConnectTimeout < 0 || c.HandshakeTimeout < 0:
		return c, fmt.Errorf("s7: negative timeout")
	case c.Retries < 0 || c.Retries > 10:
		return c, fmt.Errorf("s7: retries %d outside 0..10", c.Retries)
	case c.MaxItems < 0 || c.MaxItems > maxItems:
		return c, fmt.Errorf("s7: items %d outside 1..%d", c.MaxItems, maxItems)
	case c.Resync > ResyncAlways:
		return c, fmt.Errorf("s7: no such resync: %d", c.Resync)
	}
	c.fill()
	return c, nil
}

// fill puts the defaults where nothing is said.
func (c *Config) fill() {
	if c.Type == 0 {
		c.Type = ConnectOP
	}
	if len(c.Calling) == 0 {
		c.Calling = []byte{0x01, 0x00}
	}
	if len(c.Called) == 0 {
		c.Called = AppendTSAP(nil, c.Type, c.Rack, c.Slot)
	}
	c.PDU = cmp.Or(c.PDU, DefaultPDU)
	c.Window = cmp.Or(c.Window, defaultWindow)
	c.Timeout = cmp.Or(c.Timeout, time.Second)
	c.DialTimeout = cmp.Or(c.DialTimeout, 5*time.Second)
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, c.DialTimeout)
	c.HandshakeTimeout = cmp.Or(c.HandshakeTimeout, c.DialTimeout)
	c.UserTimeout = cmp.Or(c.UserTimeout, 10*time.Second)
}

// Client is one connection to a PLC. Any number of goroutines may use it; their requests share the window in turn. A connection that ended stays so: dial a
// new one.
type Client struct {
	cfg      Config
	flight   *inflight.Conn
	dialogue *dialogue
	pdu      int
	granted  int          // window
	maxItems atomic.Int32 // learned; 0 is no limit but Config.MaxItems
	accepted atomic.Int32 // items of the longest request that was not refused
}

// newClient makes a client of a connection whose Setup is done.
func newClient(conn net.Conn, cfg Config, h *greeting, inline bool) *Client {
	d := &dialogue{stream: h.stream, tpdu: h.tpdu.Bytes()}
	c := &Client{cfg: cfg, dialogue: d, pdu: min(int(h.grant.PDU), cfg.PDU), granted: min(h.grant.Window(), cfg.Window)}
	// snap7's server raises a short length that was asked for, and then answers by it. No request is longer than what was asked for all the same.
	d.stream.setPDU(c.pdu, int(h.grant.PDU))
	frame := max(c.pdu, int(h.grant.PDU)) + FrameBytes
	k := cfg.Hooks
	c.flight = inflight.New(conn, d, inflight.Config{
		Window: c.granted, Timeout: cfg.Timeout, Retries: cfg.Retries, Inline: inline, ReadMin: min(2*frame, readBufferMin), ReadMax: 16 * frame, Rest: h.rest(),
		Goodbye: (&Disconnect{DstRef: h.peer, SrcRef: clientRef, Reason: DisconnectNormal}).AppendTo(nil),
		NewWork: func() inflight.Work { return &run{} }, Turns: cfg.Turns.lent(),
		Hooks: inflight.Hooks{Timeout: k.Timeout, Replied: k.Replied, Served: k.Served, TimedOut: k.TimedOut, Late: k.Late, Foreign: k.Foreign},
	})
	return c
}

// PDU returns the length that the PLC granted, bytes.
func (c *Client) PDU() int { return c.pdu }

// Window returns how many jobs in flight the PLC granted, at most Config.Window.
func (c *Client) Window() int { return c.granted }

// Limits returns what bounds the requests of this connection: the granted PDU, and the items that are configured or were learned.
func (c *Client) Limits() PackLimits {
	lim := PackLimits{PDU: c.pdu, MaxItems: cmp.Or(c.cfg.MaxItems, maxItems)}
	if n := int(c.maxItems.Load()); n > 0 {
		lim.MaxItems = min(lim.MaxItems, n)
	}
	return lim
}

// SyscallConn returns the socket of the connection, the one below TLS, to be looked at: TCP_INFO tells round trips and retransmissions. Nothing may be read from it, written or
// closed. It implements syscall.Conn; a connection without a socket answers an error.
func (c *Client) SyscallConn() (syscall.RawConn, error) { return c.flight.SyscallConn() }

// SetWindow sets how many requests are in flight at once, from 1 to what was granted; what is outside is taken as the nearest of them. It takes effect with the
// next request.
func (c *Client) SetWindow(n int) { c.flight.SetWindow(min(n, c.granted)) }

// Stats returns the counts so far.
func (c *Client) Stats() Stats {
	s := c.flight.Stats()
	out := Stats{Sent: s.Sent, Repeated: s.Repeated, Replied: s.Replied, Refused: s.Refused, TimedOut: s.TimedOut, Late: s.Late, Duplicate: s.Duplicate,
		Abandoned: s.Abandoned, Foreign: s.Foreign, Overtook: s.Overtook, BytesOut: s.BytesOut, BytesIn: s.BytesIn,
		Window: s.Window, InFlight: s.InFlight, Unanswered: s.Unanswered}
	c.flight.Locked(func() { out.Pushed, out.Stream = c.dialogue.pushes, c.dialogue.stream.Stats() })
	return out
}

// Close ends the connection in order, with a DR, fails what is in flight, and waits for the reader. It may be called more than once. It waits for the PLC to close
// its side too, as long as for an answer, a second at most; Unconfirmed says whether that was in vain. It returns nil.
func (c *Client) Close() error {
	c.flight.Close()
	return nil
}

// Unconfirmed returns, after Close, an *UnconfirmedError when the PLC did not close its side too, and nil else.
func (c *Client) Unconfirmed() error { return c.flight.Unconfirmed() }

// Err returns nil while the connection is open, then the *ClosedError with which it ended.
func (c *Client) Err() error { return c.flight.Err() }

// Done returns a channel that is closed when the connection has ended.
func (c *Client) Done() <-chan struct{} { return c.flight.Done() }
