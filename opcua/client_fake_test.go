package opcua

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"millrace/internal/inflight/memconn"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// fakeServer is a server made of channels and structures alone, which does what a test says and lies where it says so. Without more words it tells the truth about
// nodes i=N of namespace 1, whose values are Doubles N.
type fakeServer struct {
	t *testing.T
	// answer, when set, sees each request first. It answers false to leave it to the fake.
	answer func(f *fakeConn, r *fakeRequest) bool
	// rogue, when set, sees HEL and OPN first. It answers false to leave them to the fake.
	rogue func(f *fakeConn, k uasc.Kind) bool
	// connected, when set, sees each connection before its first byte.
	connected func(f *fakeConn)

	mu       sync.Mutex
	conns    []*fakeConn
	dials    int
	sessions map[ua.NodeId]bool // tokens; true when activated
	names    []string           // NamespaceArray
	limits   map[uint32]uint32  // by node
	asked    map[Service]int
	wg       sync.WaitGroup
	server   *uasc.Server
	subs     fakeSubs
}

// fakeConn is one connection of it. One goroutine reads; writes are under mu, by anybody.
type fakeConn struct {
	s    *fakeServer
	conn net.Conn
	n    int // the how manieth, from 1

	mu      sync.Mutex
	channel *uasc.Channel
}

// fakeRequest is a request as it came.
type fakeRequest struct {
	id      uint32
	service Service
	header  ua.RequestHeader
	m       ua.Message
}

const fakeURL = "opc.tcp://fake:4840/x"

func newFake(t *testing.T) *fakeServer {
	t.Helper()
	s := &fakeServer{
		t: t, sessions: map[ua.NodeId]bool{}, names: []string{"http://opcfoundation.org/UA/", "urn:fake"}, limits: map[uint32]uint32{}, asked: map[Service]int{},
	}
	s.subs.init()
	var err error
	s.server, err = uasc.NewServer(uasc.ServerConfig{Security: []uasc.Security{{Policy: uasc.None, Mode: ua.MessageSecurityModeNone}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.cut()
		s.wg.Wait()
	})
	return s
}

// config is that of a client of s.
func (s *fakeServer) config() Config {
	return Config{Dialer: s.dial, Timeout: time.Second}
}

// client dials s; it is closed with the test.
func (s *fakeServer) client(cfg Config) *Client {
	s.t.Helper()
	c, err := Dial(s.t.Context(), fakeURL, cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Detach)
	return c
}

func (s *fakeServer) dial(context.Context, string) (net.Conn, error) {
	near, far := memconn.Pipe()
	s.mu.Lock()
	s.dials++
	f := &fakeConn{s: s, conn: far, n: s.dials}
	f.channel = s.server.NewChannel(uint32(100+s.dials), "client")
	s.conns = append(s.conns, f)
	s.mu.Unlock()
	if s.connected != nil {
		s.connected(f)
	}
	s.wg.Add(1)
	go f.serve()
	return near, nil
}

// cut ends all connections, as a cable does.
func (s *fakeServer) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.conns {
		_ = f.conn.Close()
	}
}

// answers changes what sees each request first, while clients may be asking on their own.
func (s *fakeServer) answers(f func(f *fakeConn, r *fakeRequest) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// times returns how often a service was asked for.
func (s *fakeServer) times(x Service) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[x]
}

func (f *fakeConn) serve() {
	defer f.s.wg.Done()
	defer f.conn.Close()
	buf, have := make([]byte, 1<<20), 0
	for {
		used, m, err := f.channel.Next(buf[:have], time.Now())
		if err == nil && m.Kind != 0 {
			if f.came(&m) != nil {
				return
			}
			have = copy(buf, buf[used:have])
			continue
		}
		have = copy(buf, buf[used:have])
		var ue *uasc.Error
		if errors.As(err, &ue) {
			f.write(uasc.AppendError(nil, ue.Status, ue.Reason))
			return
		}
		n, err := f.conn.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
	}
}

// came handles one message; an error ends the connection.
func (f *fakeConn) came(m *uasc.Message) (err error) {
	var out []byte
	if rogue := f.s.rogue; rogue != nil && rogue(f, m.Kind) {
		return nil
	}
	switch m.Kind {
	case uasc.KindHello:
		out, _, err = f.channel.AcceptHello(nil, *m)
	case uasc.KindOpen:
		f.mu.Lock()
		out, _, err = f.channel.AcceptOpen(nil, *m, time.Now())
		f.mu.Unlock()
	case uasc.KindMessage:
		return f.request(m)
	default:
		return net.ErrClosed
	}
	if err == nil {
		f.write(out)
	}
	return err
}

func (f *fakeConn) write(b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, _ = f.conn.Write(b)
}

func (f *fakeConn) request(m *uasc.Message) error {
	d := ua.NewDecoder(m.Body, ua.Limits{})
	id := d.EncodingId()
	msg, ok := ua.NewMessage(id)
	if !ok {
		f.s.t.Errorf("request of type %d", id)
		return net.ErrClosed
	}
	h := d
	r := &fakeRequest{id: m.RequestID, service: Service(id), m: msg}
	r.header.DecodeFrom(&h)
	msg.DecodeFrom(&d)
	if err := d.Done(); err != nil {
		f.s.t.Errorf("%v: %v", r.service, err)
		return net.ErrClosed
	}
	f.s.mu.Lock()
	f.s.asked[r.service]++
	answer := f.s.answer
	f.s.mu.Unlock()
	if answer == nil || !answer(f, r) {
		f.truth(r)
	}
	return nil
}

// zeroResponseBytes is a ResponseHeader of nothing but zeros.
const zeroResponseBytes = 8 + 4 + 4 + 1 + 4 + 3

// reply sends m as the answer to r.
func (f *fakeConn) reply(r *fakeRequest, m ua.Message) { f.replyAs(r.id, r.header.RequestHandle, 0, m) }

// fault refuses r.
func (f *fakeConn) fault(r *fakeRequest, s ua.StatusCode) {
	f.replyAs(r.id, r.header.RequestHandle, s, &ua.ServiceFault{})
}

func (f *fakeConn) replyAs(id, handle uint32, s ua.StatusCode, m ua.Message) {
	h := ua.ResponseHeader{Timestamp: ua.DateTimeOf(time.Now()), RequestHandle: handle, ServiceResult: s}
	body := ua.AppendNodeId(nil, ua.NumericId(0, m.EncodingId()))
	body = h.AppendTo(body)
	body = append(body, m.AppendTo(nil)[zeroResponseBytes:]...)
	f.send(id, body)
}

// send sends a body.
func (f *fakeConn) send(id uint32, body []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, err := f.channel.End(append(f.channel.Begin(nil, id), body...), 0, uasc.KindMessage, time.Now())
	if err != nil {
		f.s.t.Error(err)
		return
	}
	_, _ = f.conn.Write(b)
}

// truth answers as a server does.
func (f *fakeConn) truth(r *fakeRequest) {
	s := f.s
	s.mu.Lock()
	active, known := s.sessions[r.header.AuthenticationToken]
	s.mu.Unlock()
	switch m := r.m.(type) {
	case *ua.GetEndpointsRequest:
		f.reply(r, &ua.GetEndpointsResponse{Endpoints: s.endpoints()})
		return
	case *ua.FindServersRequest:
		f.reply(r, &ua.FindServersResponse{Servers: []ua.ApplicationDescription{{ApplicationUri: "urn:fake"}}})
		return
	case *ua.CreateSessionRequest:
		f.reply(r, s.create(m))
		return
	case *ua.ActivateSessionRequest:
		if !known {
			f.fault(r, ua.BadSessionIdInvalid)
			return
		}
		s.mu.Lock()
		s.sessions[r.header.AuthenticationToken] = true
		s.mu.Unlock()
		f.reply(r, &ua.ActivateSessionResponse{ServerNonce: uasc.NewNonce(32)})
		return
	}
	if !active {
		f.fault(r, ua.BadSessionIdInvalid)
		return
	}
	f.serveSession(r)
}

// create makes a session.
func (s *fakeServer) create(m *ua.CreateSessionRequest) *ua.CreateSessionResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := ua.OpaqueId(0, uasc.NewNonce(16))
	s.sessions[token] = false
	return &ua.CreateSessionResponse{
		SessionId: ua.NumericId(1, uint32(len(s.sessions))), AuthenticationToken: token, RevisedSessionTimeout: m.RequestedSessionTimeout,
		ServerNonce: uasc.NewNonce(32), ServerEndpoints: s.endpoints(),
	}
}

// forget loses all sessions.
func (s *fakeServer) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions)
}

func (s *fakeServer) endpoints() []ua.EndpointDescription {
	return []ua.EndpointDescription{{
		EndpointUrl: fakeURL, SecurityMode: ua.MessageSecurityModeNone, SecurityPolicyUri: uasc.None.URI(), TransportProfileUri: profileBinary,
		UserIdentityTokens: []ua.UserTokenPolicy{{PolicyId: "anybody", TokenType: ua.UserTokenTypeAnonymous}, {PolicyId: "somebody", TokenType: ua.UserTokenTypeUserName}},
	}}
}

// serveSession answers what needs a session.
func (f *fakeConn) serveSession(r *fakeRequest) {
	if f.s.subs.serve(f, r) {
		return
	}
	switch m := r.m.(type) {
	case *ua.ReadRequest:
		f.reply(r, &ua.ReadResponse{Results: f.s.values(m.NodesToRead)})
	case *ua.WriteRequest:
		f.reply(r, &ua.WriteResponse{Results: make([]ua.StatusCode, len(m.NodesToWrite))})
	case *ua.CloseSessionRequest:
		f.reply(r, &ua.CloseSessionResponse{})
	default:
		f.fault(r, ua.BadServiceUnsupported)
	}
}

// values are those of nodes.
func (s *fakeServer) values(nodes []ua.ReadValueId) []ua.DataValue {
	out := make([]ua.DataValue, len(nodes))
	for i := range nodes {
		out[i] = s.value(&nodes[i])
	}
	return out
}

func (s *fakeServer) value(n *ua.ReadValueId) ua.DataValue {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := n.NodeId
	switch limit, ok := s.limits[id.Numeric]; {
	case id.Namespace == 1 && id.Type == ua.IdNumeric:
		return ua.DataValue{Value: ua.Double(float64(id.Numeric)), SourceTimestamp: 1}
	case id == ua.NumericId(0, nodeNamespaceArray):
		return ua.DataValue{Value: ua.StringArray(s.names)}
	case id == ua.NumericId(0, nodeServerState):
		return ua.DataValue{Value: ua.Int32(0)}
	case ok && id.Namespace == 0:
		return ua.DataValue{Value: ua.UInt32(limit)}
	}
	return ua.DataValue{Status: ua.BadNodeIdUnknown}
}
