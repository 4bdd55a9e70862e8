package opcua

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/listen/listentest"
	"millrace/opcua/ua"
)

// byHandle is an interceptor that does what the CancelRequests of a test say by the handle in their header; all else passes.
type byHandle map[uint32]func(ctx context.Context, r *ServerRequest) (ua.StatusCode, error)

func (h byHandle) Request(ctx context.Context, r *ServerRequest) (ua.StatusCode, error) {
	if f := h[r.Handle]; f != nil && r.Service == idCancel {
		return f(ctx, r)
	}
	return ua.Good, nil
}

// withHandle sends a Cancel with a handle in its header.
func (p *peer) withHandle(handle uint32) error {
	p.t.Helper()
	p.last++
	p.sendBody(p.last, ua.AppendMessage(nil, &ua.CancelRequest{RequestHeader: ua.RequestHeader{AuthenticationToken: p.token, RequestHandle: handle}}))
	return p.receive(p.last, &ua.CancelResponse{})
}

func TestServerInterceptor(t *testing.T) {
	const passes, refuses, silent, waits, hangsUp, resets, forgets = 1, 2, 3, 4, 5, 6, 7
	synctest.Test(t, func(t *testing.T) {
		s := serveUAOn(t, ServerConfig{Intercept: byHandle{
			refuses: func(context.Context, *ServerRequest) (ua.StatusCode, error) { return ua.BadTooManyOperations, nil },
			silent:  func(context.Context, *ServerRequest) (ua.StatusCode, error) { return NoAnswer, nil },
			waits: func(ctx context.Context, r *ServerRequest) (ua.StatusCode, error) {
				return ua.Good, r.Pause(ctx, 30*time.Second)
			},
			hangsUp: func(context.Context, *ServerRequest) (ua.StatusCode, error) {
				return 0, &HangUpError{Reason: "told to", Status: ua.BadSecureChannelClosed}
			},
			resets: func(context.Context, *ServerRequest) (ua.StatusCode, error) {
				return 0, &HangUpError{Reason: "told to", Reset: true}
			},
			forgets: func(_ context.Context, r *ServerRequest) (ua.StatusCode, error) {
				if r.Session.IsNull() || r.RemoteAddr() == nil {
					t.Error("a request of nobody")
				}
				r.EndSession()
				return ua.Good, nil
			},
		}}, listentest.NewPipes())
		p := s.session(plain)
		wantStatus(t, "passes", p.withHandle(passes), ua.Good)
		wantStatus(t, "refuses", p.withHandle(refuses), ua.BadTooManyOperations)
		from := time.Now()
		wantStatus(t, "waits", p.withHandle(waits), ua.Good)
		if d := time.Since(from); d != 30*time.Second {
			t.Errorf("waited for %v", d)
		}
		p.last++
		p.sendBody(p.last, ua.AppendMessage(nil, &ua.CancelRequest{RequestHeader: ua.RequestHeader{AuthenticationToken: p.token, RequestHandle: silent}}))
		wantStatus(t, "after silence", p.withHandle(passes), ua.Good)
		wantStatus(t, "hangs up", p.withHandle(hangsUp), ua.BadSecureChannelClosed)
		p = s.session(plain)
		if err := p.withHandle(resets); err == nil {
			t.Error("answered where it should hang up")
		}
		p = s.session(plain)
		wantStatus(t, "forgets", p.withHandle(forgets), ua.BadSessionClosed)
		wantStatus(t, "forgot", p.withHandle(passes), ua.BadSessionIdInvalid)
		if st := s.ended(); st.Ended["told to"] != 2 {
			t.Errorf("ended %v", st.Ended)
		}
	})
}

// EndSessions forgets everybody, and connections stay.
func TestServerEndSessions(t *testing.T) {
	s := serveUA(t, secured(t))
	list := []*peer{s.session(plain), s.session(sealed)}
	s.EndSessions()
	for _, p := range list {
		wantStatus(t, "after the end", p.alive(), ua.BadSessionIdInvalid)
		wantStatus(t, "a new one", p.create(), ua.Good)
		wantStatus(t, "activate it", p.activate(nil), ua.Good)
		p.wantAlive()
	}
}
