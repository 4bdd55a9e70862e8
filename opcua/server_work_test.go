package opcua

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/listen/listentest"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
	"millrace/opcua/uasc"
)

// waiting is a host whose code takes until its context ends: a method s=wait of s=waiter, and the value and the history of s=slow. A method s=quick answers at once.
type waiting struct {
	begun chan *Caller // who asked, for each that has begun
	ended chan error   // the cause, for each whose context has ended
	let   chan struct{}
}

func newWaiting() *waiting {
	return &waiting{begun: make(chan *Caller, 8), ended: make(chan error, 8), let: make(chan struct{})}
}

// wait is the host's code.
func (w *waiting) wait(ctx context.Context, c *Caller) ua.StatusCode {
	w.begun <- c
	select {
	case <-ctx.Done():
		w.ended <- context.Cause(ctx)
		return ua.BadInternalError
	case <-w.let:
		return ua.Good
	}
}

func (w *waiting) ReadValues(_ context.Context, keys []uint64, values []ua.DataValue) {
	for i := range values {
		values[i].Value = ua.Double(1)
	}
}

func (w *waiting) WriteValues(ctx context.Context, c *Caller, writes []ValueWrite) {
	status := w.wait(ctx, c)
	for i := range writes {
		writes[i].Status = status
	}
}

func (w *waiting) ReadHistory(ctx context.Context, _ *HistoryQuery, values []ua.DataValue) ([]ua.DataValue, []byte, ua.StatusCode) {
	return values, nil, w.wait(ctx, nil)
}

// space is a Space with all of it.
func (w *waiting) space(t testing.TB) *Space {
	t.Helper()
	s, err := NewSpace(SpaceConfig{ApplicationURI: testURI})
	if err != nil {
		t.Fatal(err)
	}
	method := func(name string, f MethodFunc) Node {
		return Node{Id: ua.StringId(1, name), Class: ua.NodeClassMethod, BrowseName: named(1, name), Call: f, WriteRoles: RoleRead | RoleWrite}
	}
	err = errors.Join(
		s.Add(stdId(ns0.ObjectsFolder), stdId(ns0.HasComponent), Node{Id: ua.StringId(1, "waiter"), Class: ua.NodeClassObject, BrowseName: named(1, "Waiter"), TypeDefinition: stdId(ns0.BaseObjectType)}),
		s.Add(ua.StringId(1, "waiter"), stdId(ns0.HasComponent),
			method("wait", func(ctx context.Context, m *MethodCall) ua.StatusCode { return w.wait(ctx, m.Caller) }),
			method("quick", func(context.Context, *MethodCall) ua.StatusCode { return ua.Good }),
			Node{
				Id: ua.StringId(1, "slow"), Class: ua.NodeClassVariable, BrowseName: named(1, "Slow"), TypeDefinition: stdId(ns0.BaseDataVariableType), DataType: stdId(ns0.Double), ValueRank: -1,
				AccessLevel: AccessCurrentRead | AccessCurrentWrite | AccessHistoryRead, Store: w, Key: 1,
			}),
	)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *waiting) config(t testing.TB) ServerConfig {
	cfg := secured(t)
	cfg.Space, cfg.AnonymousRoles = w.space(t), RoleRead|RoleWrite
	return cfg
}

func callOf(methods ...string) *ua.CallRequest {
	r := &ua.CallRequest{}
	for _, m := range methods {
		r.MethodsToCall = append(r.MethodsToCall, ua.CallMethodRequest{ObjectId: ua.StringId(1, "waiter"), MethodId: ua.StringId(1, m)})
	}
	return r
}

// longRequests are the three services that run the host's code, as they wait, and how to see what came of it.
var longRequests = []struct {
	name    string
	request func() ua.Message
	answer  func() (ua.Message, func() ua.StatusCode)
	own     ua.StatusCode // not 0: what the host says of its writes stands, whatever ended them
}{
	{"Call", func() ua.Message { return callOf("wait") }, func() (ua.Message, func() ua.StatusCode) {
		r := &ua.CallResponse{}
		return r, func() ua.StatusCode { return r.Results[0].StatusCode }
	}, 0},
	{"Write", func() ua.Message {
		return &ua.WriteRequest{NodesToWrite: []ua.WriteValue{{NodeId: ua.StringId(1, "slow"), AttributeId: ua.AttributeValue, Value: ua.DataValue{Value: ua.Double(2)}}}}
	}, func() (ua.Message, func() ua.StatusCode) {
		r := &ua.WriteResponse{}
		return r, func() ua.StatusCode { return r.Results[0] }
	}, ua.BadInternalError},
	{"HistoryRead", func() ua.Message {
		r := historyOf(ua.ReadRawModifiedDetails{StartTime: 1, EndTime: 2}, ua.StringId(1, "slow"), nil)
		return r
	}, func() (ua.Message, func() ua.StatusCode) {
		r := &ua.HistoryReadResponse{}
		return r, func() ua.StatusCode { return r.Results[0].StatusCode }
	}, 0},
}

// What ends the context of the host's code: each for itself, at once, and nothing of it stays behind.
func TestServerWorkEnds(t *testing.T) {
	for _, long := range longRequests {
		for _, end := range []struct {
			name   string
			end    func(t *testing.T, s *servingUA, p *peer)
			cause  error
			answer ua.StatusCode // of the request; Good: there is no answer
			fault  bool
		}{
			{"CloseSession", func(t *testing.T, s *servingUA, p *peer) {
				p.send(&ua.CloseSessionRequest{DeleteSubscriptions: true})
			}, ua.BadSessionClosed, ua.BadSessionClosed, true},
			{"EndSessions", func(t *testing.T, s *servingUA, p *peer) { s.EndSessions() }, ua.BadSessionClosed, ua.BadSessionClosed, true},
			{"Cancel", func(t *testing.T, s *servingUA, p *peer) {
				p.send(&ua.CancelRequest{RequestHandle: p.last + 1000})
			}, ua.BadRequestCancelledByClient, ua.BadRequestCancelledByClient, false},
			{"the connection closed", func(t *testing.T, s *servingUA, p *peer) { p.conn.Close() }, ua.BadSecureChannelClosed, ua.Good, false},
			{"the connection reset", func(t *testing.T, s *servingUA, p *peer) {
				p.conn.(*net.TCPConn).SetLinger(0)
				p.conn.Close()
			}, ua.BadSecureChannelClosed, ua.Good, false},
			{"the channel closed", func(t *testing.T, s *servingUA, p *peer) {
				p.close()
			}, ua.BadSecureChannelClosed, ua.Good, false},
			{"the session on another channel", func(t *testing.T, s *servingUA, p *peer) {
				next := s.open(sealed)
				next.token, next.nonce = p.token, p.nonce
				wantStatus(t, "activate elsewhere", next.activate(nil), ua.Good)
				next.wantAlive()
			}, ua.BadSecureChannelClosed, ua.BadSecureChannelClosed, true},
		} {
			t.Run(long.name+" "+end.name, func(t *testing.T) {
				w := newWaiting()
				s := serveUA(t, w.config(t))
				bystander := s.session(plain)
				p := s.session(sealed)
				p.t = t
				id := p.send(long.request())
				<-w.begun
				end.end(t, s, p)
				if cause := <-w.ended; !errors.Is(cause, end.cause) {
					t.Errorf("ended by %v, not %v", cause, end.cause)
				}
				if end.answer != ua.Good {
					answer, status := long.answer()
					err := p.await(id, answer)
					if end.fault {
						wantStatus(t, "the request", err, end.answer)
					} else if want := cmp.Or(long.own, end.answer); err != nil || status() != want {
						t.Errorf("the request: %v, %v", err, status())
					}
				}
				if end.name != "EndSessions" {
					bystander.wantAlive()
				}
				s.ended()
				if n := s.held.Load(); n != 0 {
					t.Errorf("%d bytes are held", n)
				}
			})
		}
	}
}

// close sends CloseSecureChannel.
func (p *peer) close() {
	p.t.Helper()
	p.last++
	b, err := p.channel.End(ua.AppendMessage(p.channel.Begin(nil, p.last), &ua.CloseSecureChannelRequest{}), 0, uasc.KindClose, time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(b)
}

// rolesByName lets in who is named, whatever the password is.
type rolesByName map[string]Roles

func (r rolesByName) Authenticate(_ context.Context, c Credentials) (Roles, error) {
	return r[c.User], nil
}

// await reads responses until that to a request comes, which it decodes.
func (p *peer) await(id uint32, m ua.Message) error {
	p.t.Helper()
	for {
		got, err := p.next()
		if err != nil {
			return err
		}
		if got.RequestID == id {
			return p.decode(got, m)
		}
	}
}

// A client that asks and is gone at once, so that request and end come in one: the end is noticed, and whoever has begun has ended by then.
func TestServerWorkEndsWithAConnectionGoneAtOnce(t *testing.T) {
	w := newWaiting()
	s := serveUA(t, w.config(t))
	for range 20 {
		p := s.session(plain)
		for range 3 {
			p.wantAlive() // a connection that has lasted: listen reads less often then
		}
		p.send(callOf("wait"))
		p.conn.(*net.TCPConn).CloseWrite()
		p.conn.SetReadDeadline(time.Now().Add(20 * time.Second)) // of a test that fails
		if b, err := io.ReadAll(p.conn); err != nil || len(b) > 0 {
			t.Fatalf("%x, %v", b, err)
		}
		if len(w.begun) != len(w.ended) {
			t.Fatalf("%d methods begun, %d ended", len(w.begun), len(w.ended))
		}
		for range len(w.begun) {
			<-w.begun
			<-w.ended
		}
	}
	s.ended()
}

// The time-outs: of the request by its hint, of a session whose client says nothing, and of a server that stops.
func TestServerWorkTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaiting()
		cfg := w.config(t)
		cfg.DrainTimeout = 5 * time.Second
		s := serveUAOn(t, cfg, listentest.NewPipes())
		p := s.session(plain)
		begun := time.Now()
		var r ua.CallResponse
		if err := p.call(callOf("wait", "quick"), &r); err != nil || r.Results[0].StatusCode != ua.BadTimeout || r.Results[1].StatusCode != ua.BadTimeout || time.Since(begun) != 10*time.Second {
			t.Errorf("by the hint: %v %+v after %v", err, r.Results, time.Since(begun))
		}
		<-w.begun
		<-w.ended

		id := p.sendWithoutHint(callOf("wait"))
		<-w.begun
		if cause := <-w.ended; !errors.Is(cause, ua.BadSessionClosed) {
			t.Errorf("by the session's timeout: %v", cause)
		}
		wantStatus(t, "a session that timed out", p.receive(id, &r), ua.BadSessionClosed)
		if d := time.Since(begun); d < 70*time.Second || d > 72*time.Second {
			t.Errorf("the session, of 60 s, ended after %v", d)
		}

		p = s.session(plain)
		p.sendWithoutHint(callOf("wait"))
		<-w.begun
		begun = time.Now()
		go func() { _, _ = p.next() }()
		s.ended()
		if err := <-w.ended; err == nil || time.Since(begun) != 5*time.Second {
			t.Errorf("by the drain: %v after %v", err, time.Since(begun))
		}
	})
}

func (p *peer) sendWithoutHint(m *ua.CallRequest) uint32 {
	p.t.Helper()
	p.last++
	m.RequestHeader = ua.RequestHeader{AuthenticationToken: p.token, RequestHandle: p.last + 1000}
	p.sendBody(p.last, ua.AppendMessage(nil, m))
	return p.last
}

// A server that stops answers what was asked before, when that does not take too long.
func TestServerWorkIsAnsweredInADrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaiting()
		s := serveUAOn(t, w.config(t), listentest.NewPipes())
		p := s.session(plain)
		id := p.send(callOf("wait"))
		<-w.begun
		s.Stop()
		time.AfterFunc(3*time.Second, func() { close(w.let) })
		var r ua.CallResponse
		if err := p.receive(id, &r); err != nil || r.Results[0].StatusCode != ua.Good {
			t.Errorf("%v, %+v", err, r.Results)
		}
		s.ended()
	})
}

// While a method runs its session and all others are served, what comes behind it waits in order, as the user who asked, and there is an end to it.
func TestServerWorkIsBounded(t *testing.T) {
	w := newWaiting()
	cfg := w.config(t)
	cfg.Quotas.Work = 4
	cfg.Limits.Message = 1 << 20
	cfg.Users, cfg.UserTokens = rolesByName{"": RoleRead | RoleWrite, "anna": RoleRead}, TokenAnonymous|TokenPassword
	s := serveUA(t, cfg)
	bystander := s.session(plain)
	p := s.session(sealed)
	first := p.send(callOf("wait"))
	if c := <-w.begun; c.User != "" {
		t.Errorf("asked by %q", c.User)
	}
	waiting := []uint32{p.send(callOf("wait")), p.send(longRequests[1].request()), p.send(longRequests[2].request())}
	wantStatus(t, "one too many", p.receive(p.send(callOf("quick")), &ua.CallResponse{}), ua.BadServerTooBusy)
	p.wantAlive()
	if v := p.read(ns0.Server_ServerStatus_State); v.Status != ua.Good {
		t.Errorf("a read beside it: %v", v.Status)
	}
	wantStatus(t, "another user", p.activate(p.password("anna", "secret")), ua.Good)
	var quick ua.CallResponse
	wantStatus(t, "another session", bystander.call(callOf("quick"), &quick), ua.Good)
	close(w.let)
	if c := <-w.begun; c.User != "" || c.Roles != RoleRead|RoleWrite {
		t.Errorf("the second was asked by %+v", c)
	}
	for _, id := range append([]uint32{first}, waiting...) {
		got, err := p.next()
		if err != nil || got.RequestID != id {
			t.Fatalf("the response to %d came where that to %d should: %v", got.RequestID, id, err)
		}
	}
	var denied ua.WriteResponse
	if err := p.call(longRequests[1].request(), &denied); err != nil || denied.Results[0] != ua.BadUserAccessDenied {
		t.Errorf("a write by anna: %v %v", err, denied.Results)
	}
	bystander.wantAlive()
}

// The bytes of requests that wait are bounded, too: a session's by the longest message, and all by ReceiveBytes.
func TestServerWorkHoldsLittle(t *testing.T) {
	before := serverFlatness()
	w := newWaiting()
	cfg := w.config(t)
	cfg.Limits.Message = 1 << 20
	cfg.Quotas.ReceiveBytes = 3_600_000
	s := serveUA(t, cfg)
	long := func(n int) *ua.CallRequest {
		r := callOf("wait")
		r.MethodsToCall[0].InputArguments = []ua.Variant{ua.ByteString(make([]byte, n))}
		return r
	}
	var peers []*peer
	for range 4 {
		p := s.session(plain)
		p.send(callOf("wait"))
		<-w.begun
		p.send(long(700_000))
		wantStatus(t, "the second long one", p.receive(p.send(long(700_000)), &ua.CallResponse{}), ua.BadServerTooBusy)
		peers = append(peers, p)
	}
	last := s.session(plain)
	last.send(callOf("wait"))
	<-w.begun
	last.send(long(700_000))
	last.send(long(700_000))
	last.wantERR(ua.BadTcpNotEnoughResources) // more than all may hold, and not whole yet
	for _, p := range append(peers, last) {
		p.conn.Close()
		<-w.ended
	}
	s.ended()
	if n := s.held.Load(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
	before.check(t, 8<<20)

	cfg.Quotas.ReceiveBytes = 100_000
	s = serveUA(t, cfg)
	p := s.session(plain)
	p.send(callOf("wait"))
	<-w.begun
	p.send(long(60_000))
	wantStatus(t, "more than all may hold, in one chunk", p.receive(p.send(long(60_000)), &ua.CallResponse{}), ua.BadServerTooBusy)
	p.conn.Close()
	s.ended()
}

// Cancel finds those that wait, too.
func TestServerWorkIsCancelled(t *testing.T) {
	w := newWaiting()
	s := serveUA(t, w.config(t))
	p := s.session(plain)
	p.send(callOf("wait"))
	<-w.begun
	second := p.send(callOf("wait"))
	var r ua.CancelResponse
	cancel := p.send(&ua.CancelRequest{RequestHandle: second + 1000})
	wantStatus(t, "the second", p.receive(second, &ua.CallResponse{}), ua.BadRequestCancelledByClient)
	if err := p.receive(cancel, &r); err != nil || r.CancelCount != 1 {
		t.Errorf("%v, %d cancelled", err, r.CancelCount)
	}
	close(w.let)
}
