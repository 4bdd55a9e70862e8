package opcua

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/listen/listentest"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

func TestServerSessionQuotas(t *testing.T) {
	s := serveUA(t, ServerConfig{Quotas: ServerQuotas{Sessions: 3, SessionsPerChannel: 2}})
	p := s.session(plain)
	first := p.token
	wantStatus(t, "a second on the channel", p.create(), ua.Good)
	wantStatus(t, "a third", p.create(), ua.BadTooManySessions)
	p.token = first
	p.wantAlive()

	other := s.open(plain)
	wantStatus(t, "the last", other.create(), ua.Good)
	wantStatus(t, "activate it", other.activate(nil), ua.Good)
	another := s.open(plain)
	wantStatus(t, "in place of the one that was never activated", another.create(), ua.Good)
	wantStatus(t, "activate it", another.activate(nil), ua.Good)
	full := s.open(plain)
	wantStatus(t, "one too many", full.create(), ua.BadTooManySessions)
	wantStatus(t, "close one", p.call(&ua.CloseSessionRequest{}, &ua.CloseSessionResponse{}), ua.Good)
	wantStatus(t, "its place", full.create(), ua.Good)
	if st := s.ended(); st.Rejected != 2 {
		t.Errorf("%d rejected", st.Rejected)
	}
}

// A session that was never activated goes with its connection, one that was stays.
func TestServerSessionsOfAConnectionThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveUAOn(t, ServerConfig{}, listentest.NewPipes())
		p := s.session(plain)
		token := p.token
		wantStatus(t, "create", p.create(), ua.Good)
		p.conn.Close()
		synctest.Wait()
		if all := s.sessions.all(); len(all) != 1 || all[0].token.nodeID() != token || all[0].attached() != nil {
			t.Errorf("%d sessions", len(all))
		}
	})
}

// Renewals beyond what a client needs, and channels beyond what an address may open, are turned away without any work.
func TestServerOpenRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveUAOn(t, ServerConfig{Admission: Admission{OpenRate: 1, OpenBurst: 20}}, listentest.NewPipes())
		p := s.session(plain)
		for range renewBurst {
			if err := p.openChannel(true, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		wantStatus(t, "a storm of renewals", p.openChannel(true, time.Hour), ua.BadTcpServerTooBusy)
		opened := 1 + renewBurst
		for ; newPeer(t, s.Dial(), plain, "").handshake(0) == nil; opened++ {
		}
		if opened != 20 {
			t.Errorf("%d channels were opened at once", opened)
		}
		time.Sleep(1500 * time.Millisecond)
		wantStatus(t, "after a second", newPeer(t, s.Dial(), plain, "").handshake(0), ua.Good)
		wantStatus(t, "the next", newPeer(t, s.Dial(), plain, "").handshake(0), ua.BadTcpServerTooBusy)
	})
}

func TestServerOpenRatePerAddress(t *testing.T) {
	o := newOpenings(Admission{PerAddrRate: 1, PerAddrBurst: 3}.withDefaults())
	a, b := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 1}
	for i := range 5 {
		a.Port++
		if got := o.take(a, time.Second); got != (i < 3) {
			t.Errorf("channel %d: %v", i, got)
		}
	}
	if !o.take(b, time.Second) || !o.take(a, 3*time.Second) {
		t.Error("another address, or the same one later, was turned away")
	}
	net6 := func(last byte) *net.TCPAddr {
		ip := net.ParseIP("2001:db8::")
		ip[15] = last
		return &net.TCPAddr{IP: ip}
	}
	for i := range byte(5) {
		if got := o.take(net6(i), time.Second); got != (i < 3) {
			t.Errorf("channel %d of a net: %v", i, got)
		}
	}
	for i := range 3 * mostAddrs {
		o.take(&net.TCPAddr{IP: net.IPv4(10, byte(i>>16), byte(i>>8), byte(i))}, time.Duration(i)*time.Millisecond)
		if len(o.byAddr) > mostAddrs {
			t.Fatalf("%d addresses are kept", len(o.byAddr))
		}
	}
}

// Who is further on in its set-up goes first, the queue is bounded, and who gives up holds no place.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, Admission{Waiting: 2}.withDefaults(), sinceNow())
		if st := g.enter(t.Context(), false); st != ua.Good {
			t.Fatal(st)
		}
		var mu sync.Mutex
		var order []string
		var wg sync.WaitGroup
		wait := func(name string, first bool) {
			wg.Go(func() {
				if g.enter(t.Context(), first) == ua.Good {
					mu.Lock()
					order = append(order, name)
					mu.Unlock()
					g.leave()
				}
			})
			synctest.Wait()
		}
		wait("open 1", false)
		wait("open 2", false)
		if st := g.enter(t.Context(), false); st != ua.BadTcpServerTooBusy || greets(g) {
			t.Errorf("a third that opens: %v", st)
		}
		wait("session 1", true)
		wait("session 2", true)
		g.leave()
		wg.Wait()
		want := []string{"session 1", "session 2", "open 1", "open 2"}
		for i := range want {
			if i >= len(order) || order[i] != want[i] {
				t.Fatalf("in the order %v", order)
			}
		}
		if g.free != 1 || !greets(g) {
			t.Errorf("%d places are free", g.free)
		}
	})
}

// sinceNow is a gate's clock.
func sinceNow() func() time.Duration {
	from := time.Now()
	return func() time.Duration { return time.Since(from) + 1 }
}

// greets says whether g would let one more go on, who then does not come.
func greets(g *gate) bool {
	ok := g.greet()
	if ok {
		g.came()
	}
	return ok
}

// How many wait follows how fast it goes: as many as have their turn within the patience.
func TestGatePatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, Admission{Patience: time.Second}.withDefaults(), sinceNow())
		if st := g.enter(t.Context(), false); st != ua.Good {
			t.Fatal(st)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		fill := func() (waiting int) { // until one is turned away
			for busy := false; !busy; synctest.Wait() {
				wg.Go(func() {
					if g.enter(ctx, false) == ua.BadTcpServerTooBusy {
						busy = true
					}
				})
				synctest.Wait()
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			return len(g.then)
		}
		if n := fill(); n != int(time.Second/firstPace) {
			t.Errorf("%d wait at first", n)
		}
		for range 160 { // each takes four times as long as was assumed
			time.Sleep(4 * firstPace)
			g.leave()
			synctest.Wait()
		}
		if n := fill(); n < 45 || n > 60 {
			t.Errorf("%d wait when it goes at a quarter of that", n)
		}
		cancel()
		wg.Wait()
		g.leave()
		if g.free != 1 {
			t.Errorf("%d places are free", g.free)
		}
	})
}

// Who was greeted has a place among those that wait until he comes or goes. An idle gate greets everybody, so that those who never come shut nobody out.
func TestGateGreets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const waiting = 3
		g := newGate(1, Admission{Waiting: waiting}.withDefaults(), sinceNow())
		for range 10 {
			if !g.greet() {
				t.Fatal("an idle gate turns one away")
			}
		}
		if st := g.enter(t.Context(), false); st != ua.Good {
			t.Fatal(st)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if g.enter(t.Context(), false) == ua.Good {
				g.leave()
			}
		})
		synctest.Wait()
		if greets(g) {
			t.Error("one is greeted who would have no place")
		}
		for range 10 - 1 {
			g.came()
		}
		if !g.greet() || greets(g) {
			t.Error("one waits and one is expected: one more is to be greeted, and no second")
		}
		g.leave()
		wg.Wait()
		if !greets(g) {
			t.Error("a place is free, and one is turned away")
		}
	})
}

// A storm of clients that come at once and come again when they are told to: all get in, and those that are in are served meanwhile.
func TestServerStorm(t *testing.T) {
	cfg := secured(t)
	cfg.Admission = Admission{RSAAtOnce: 1, Waiting: 4}
	s := serveUA(t, cfg)
	bystander := s.session(sealed)
	if st := s.keys.enter(t.Context(), false); st != ua.Good { // the only place, until ten have been told to come again
		t.Fatal(st)
	}
	const clients = 60
	var wg sync.WaitGroup
	shed := make(chan struct{}, 10)
	for range clients {
		wg.Go(func() {
			for {
				p := newPeer(t, s.Dial(), sealed, "client")
				err := p.handshake(0)
				if err == nil {
					err = errors.Join(p.create(), p.activate(nil))
				}
				if err == nil {
					return
				}
				if !errors.Is(err, ua.BadTcpServerTooBusy) {
					t.Error(err)
					return
				}
				p.conn.Close()
				select {
				case shed <- struct{}{}:
				default: // they are counted by the server
				}
			}
		})
	}
	for range cap(shed) {
		<-shed
		bystander.wantAlive()
	}
	s.keys.leave()
	wg.Wait()
	bystander.wantAlive()
	if n := s.Sessions(); n != clients+1 {
		t.Errorf("%d sessions", n)
	}
	st := s.ended()
	if st.Refused["BadTcpServerTooBusy"] < 10 || st.Channels != clients+1 {
		t.Errorf("%+v", st)
	}
}

// The drain says goodbye: while it is announced the server is in state Shutdown, and serves.
func TestServerAnnouncesItsShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveUAOn(t, ServerConfig{AnnounceShutdown: 30 * time.Second, DrainTimeout: 5 * time.Second}, listentest.NewPipes())
		p := s.session(plain)
		if s.state() != ua.ServerStateRunning || s.serviceLevel() != 255 {
			t.Errorf("state %v", s.state())
		}
		from := time.Now()
		s.Stop()
		time.Sleep(10 * time.Second)
		if st := s.state(); st != ua.ServerStateShutdown || s.secondsTillShutdown() != 20 || s.shutdownReason().Text == "" || s.serviceLevel() != 0 {
			t.Errorf("state %v, %d s", st, s.secondsTillShutdown())
		}
		p.wantAlive()
		s.End()
		if d := time.Since(from); d != 30*time.Second && d > 36*time.Second {
			t.Errorf("ended after %v", d)
		}
		if n := s.Sessions(); n != 0 {
			t.Errorf("%d sessions after the end", n)
		}
	})
}

// A server may be started again, and serve several listeners.
func TestServerServesAgain(t *testing.T) {
	srv := newTestServer(t, ServerConfig{})
	for range 2 {
		a, b := listentest.On(t, srv, listentest.NewPipes()), listentest.On(t, srv, listentest.NewPipes())
		for _, serving := range []*listentest.Serving{a, b} {
			s := &servingUA{Server: srv, Serving: serving, t: t}
			s.session(plain).wantAlive()
		}
		a.Stop()
		b.End()
		a.End()
	}
}

func TestServerConfigs(t *testing.T) {
	if _, err := NewServer(ServerConfig{}); err == nil {
		t.Error("a server of nothing")
	}
	for name, change := range map[string]func(*ServerConfig){
		"a path without a slash":    func(c *ServerConfig) { c.Path = "x" },
		"timeouts the wrong way":    func(c *ServerConfig) { c.SessionTimeout = TimeoutRange{Min: time.Hour, Max: time.Second} },
		"security without identity": func(c *ServerConfig) { c.Security = []uasc.Security{sealed} },
		"None that signs": func(c *ServerConfig) {
			c.Security = []uasc.Security{{Policy: uasc.None, Mode: ua.MessageSecurityModeSign}}
		},
		"certificates without trust": func(c *ServerConfig) { c.Users, c.UserTokens = &Users{}, TokenCertificate },
		"unknown tokens":             func(c *ServerConfig) { c.Users, c.UserTokens = &Users{}, 64 },
		"negative connections":       func(c *ServerConfig) { c.MaxConns = -1 },
		"small buffers":              func(c *ServerConfig) { c.Transport.ReceiveBufferSize = 100 },
	} {
		space, err := NewSpace(SpaceConfig{ApplicationURI: testURI})
		if err != nil {
			t.Fatal(err)
		}
		cfg := ServerConfig{Space: space}
		change(&cfg)
		if _, err := NewServer(cfg); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}
