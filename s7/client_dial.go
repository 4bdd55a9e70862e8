package s7

import (
	"context"
	"net"
	"slices"
	"strconv"
	"time"

	"millrace/internal/inflight"
)

// Dial connects to addr, host:port or host, and shakes hands: CR and CC, then Setup, all within ctx and cfg.DialTimeout. An error is a *HandshakeError, or says
// what is wrong with cfg. Close the client in the end.
func Dial(ctx context.Context, addr string, cfg Config) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.DialTimeout)
	defer cancel()
	if _, _, err := net.SplitHostPort(addr); err != nil {
		addr = net.JoinHostPort(addr, strconv.Itoa(Port))
	}
	d := inflight.Dialer(cfg.UserTimeout)
	d.Timeout = cfg.ConnectTimeout
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, &HandshakeError{Stage: StageDial, Addr: addr, Called: cfg.Called, Err: err}
	}
	return shakeHands(ctx, conn, cfg, addr)
}

// NewClient makes a client of a connection that stands (a proxy's, a test's): it shakes hands within ctx and cfg.DialTimeout. The client owns the connection from then
// on, also when it answers an error, as Dial does.
func NewClient(ctx context.Context, conn net.Conn, cfg Config) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.DialTimeout)
	defer cancel()
	addr := ""
	if a := conn.RemoteAddr(); a != nil {
		addr = a.String()
	}
	return shakeHands(ctx, conn, cfg, addr)
}

func shakeHands(ctx context.Context, conn net.Conn, cfg Config, addr string) (*Client, error) {
	_, tcp := conn.(*net.TCPConn) // others may have no buffer: the peer of a pipe waits for a reader while this side writes
	return shakeHandsInline(ctx, conn, cfg, addr, tcp)
}

// shakeHandsInline makes a client whose callers read their own answers where inline says so: right on any connection, quick on one with a buffer.
func shakeHandsInline(ctx context.Context, conn net.Conn, cfg Config, addr string, inline bool) (*Client, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.HandshakeTimeout)
	defer cancel()
	h := newGreeting(conn, &cfg)
	if stage, err := h.run(ctx); err != nil {
		_ = conn.Close()
		return nil, &HandshakeError{Stage: stage, Addr: addr, Called: cfg.Called, Err: err}
	}
	return newClient(conn, cfg, h, inline), nil
}

// greeting is CR, CC and Setup on a new connection.
type greeting struct {
	conn   net.Conn
	cfg    *Config
	stream *Stream
	buf    []byte // what was read: buf[at:have] was not consumed
	at     int
	have   int
	out    []byte

	tpdu  TPDUSize // that the PLC takes
	peer  uint16   // its reference of the connection
	grant SetupResponse
}

const (
	clientRef = 1 // not 0: some PLCs refuse it
	setupRef  = 0 // requests begin with 1

	// smallestTPDU is X.224's; a PDU in TPDUs of that size has so many fragments at most.
	smallestTPDU = 128 - dtBytes
)

func newGreeting(conn net.Conn, cfg *Config) *greeting {
	s := NewStream(StreamConfig{PDU: cfg.PDU, MaxFragments: defaultFragments + cfg.PDU/smallestTPDU, Resync: cfg.Resync})
	return &greeting{conn: conn, cfg: cfg, stream: s, buf: make([]byte, max(maxControlTPKT, cfg.PDU+FrameBytes))}
}

// maxControlTPKT is the longest TPKT whose TPDU is no data.
const maxControlTPKT = tpktBytes + 1 + liMax

// run shakes hands. Of an error it says at which stage.
func (h *greeting) run(ctx context.Context) (stage Stage, err error) {
	stop := h.bound(ctx)
	defer stop()
	stage, err = StageConnect, h.connect()
	if err == nil {
		stage, err = StageSetup, h.setup()
	}
	if err != nil && ctx.Err() != nil {
		err = inflight.EndOf(ctx)
	}
	return stage, err
}

// bound cuts reads and writes when ctx ends. stop ends that and leaves the connection without a deadline.
func (h *greeting) bound(ctx context.Context) (stop func()) {
	cut := make(chan struct{})
	forget := context.AfterFunc(ctx, func() {
		defer close(cut)
		_ = h.conn.SetDeadline(time.Unix(1, 0)) // fails only on a closed connection, which ends reads too
	})
	return func() {
		if !forget() {
			<-cut
		}
		_ = h.conn.SetDeadline(time.Time{}) // likewise
	}
}

// connect asks for the connection.
func (h *greeting) connect() error {
	cr := Connect{Code: TPDUConnectRequest, SrcRef: clientRef, Size: TPDUSizeFor(h.cfg.PDU), Calling: h.cfg.Calling, Called: h.cfg.Called}
	if err := h.send(cr.AppendTo(h.out[:0])); err != nil {
		return err
	}
	m, err := h.next()
	if err != nil {
		return err
	}
	if m.Code != TPDUConnectConfirm {
		return unexpected(m)
	}
	var cc Connect
	if err := cc.Decode(m.TPDU); err != nil {
		return err
	}
	h.tpdu, h.peer = cc.Size, cc.SrcRef
	return nil
}

// setup asks for PDU length and jobs in flight.
func (h *greeting) setup() error {
	ask := SetupRequest{Setup{Calling: uint16(h.cfg.Window), Called: uint16(h.cfg.Window), PDU: uint16(h.cfg.PDU)}}
	if err := h.send(EndFrame(ask.AppendTo(BeginFrame(h.out[:0]), setupRef), 0)); err != nil {
		return err
	}
	m, err := h.next()
	switch {
	case err != nil:
		return err
	case m.Code != TPDUData:
		return unexpected(m)
	case m.PDU.Ref != setupRef:
		return malformed(&m.PDU, "reference")
	}
	if err := h.grant.Decode(&m.PDU); err != nil {
		return err
	}
	if n := int(h.grant.PDU); n > max(h.cfg.PDU, DefaultPDU) || n < MinPDU {
		return &GrantError{Asked: h.cfg.PDU, Granted: n}
	}
	return nil
}

func (h *greeting) send(frame []byte) error {
	h.out = frame
	_, err := h.conn.Write(frame)
	return err
}

// next returns the next TPDU, which is good until the next call.
func (h *greeting) next() (Message, error) {
	for {
		m, n, err := h.stream.Next(h.buf[h.at:h.have])
		h.at += n
		switch {
		case err != nil || m.Code != 0:
			return m, err
		case n == 0:
			if err := h.more(); err != nil {
				return m, err
			}
		}
	}
}

// more reads. There is always room: the longest TPDU that Stream waits for fits.
func (h *greeting) more() error {
	h.have = copy(h.buf, h.buf[h.at:h.have])
	h.at = 0
	n, err := h.conn.Read(h.buf[h.have:])
	if h.have += n; n > 0 {
		return nil
	}
	return err
}

// rest returns what was read behind the handshake.
func (h *greeting) rest() []byte { return slices.Clone(h.buf[h.at:h.have]) }
