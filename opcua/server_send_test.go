package opcua

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/listen/listentest"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// theConn returns the connection of the only session.
func (s *servingUA) theConn(t testing.TB) *serverConn {
	t.Helper()
	all := s.sessions.all()
	if len(all) != 1 || all[0].attached() == nil {
		t.Fatalf("%d sessions", len(all))
	}
	return all[0].attached()
}

// sendLate sends a CancelResponse of so many bytes more, as if a request of this id had waited for it.
func sendLate(c *serverConn, id uint32, extra int) bool { return sendLateOf(c, id, extra, nil) }

// sendLateOf is sendLate for one who sends himself, if turns is not nil.
func sendLateOf(c *serverConn, id uint32, extra int, turns *sendTurns) bool {
	l := late{conn: c, id: id, handle: id}
	m := l.begin(responseTo(idCancel))
	m.b = ua.AppendUInt32(m.b, id)
	m.b = append(m.b, make([]byte, extra)...)
	ok := l.send(m, turns)
	if turns != nil {
		turns.send()
	}
	return ok
}

// Responses of many goroutines, of the connection's own and renewals leave in the order of their sequence numbers: the client's channel, which is strict, takes them all.
func TestServerSendsInOrder(t *testing.T) {
	for _, sec := range []uasc.Security{plain, sealed} {
		t.Run(sec.Policy.String(), func(t *testing.T) {
			const senders, each, own = 4, 100, 200
			cfg := secured(t)
			cfg.Quotas.SendBytes = 8 << 20 // what is sent at once is 2 MB
			s := serveUA(t, cfg)
			p := s.session(sec)
			p.t = t
			c := s.theConn(t)
			answered := make(chan struct{}, own/50)
			var wg sync.WaitGroup
			for i := range senders {
				wg.Go(func() {
					turns := []*sendTurns{nil, {}}[i%2]
					for j := range each {
						if !sendLateOf(c, uint32(10_000+1000*i+j), 100*j, turns) {
							t.Error("a response was not taken")
						}
					}
				})
			}
			wg.Go(func() {
				for i := range own {
					p.send(&ua.CancelRequest{})
					if i%50 == 49 {
						if i > 50 {
							<-answered // a client has one OPN on its way
						}
						p.last++
						b, err := p.channel.AppendOpen(nil, p.last, true, time.Hour, time.Now())
						if err != nil {
							t.Error(err)
						}
						p.write(b)
					}
				}
			})
			next := make(map[uint32]uint32)
			renewed := 0
			for got := 0; got < senders*each+own+own/50; got++ {
				m, err := p.next()
				if err != nil {
					t.Fatalf("after %d: %v", got, err)
				}
				if m.Kind == uasc.KindOpen {
					if _, err := p.channel.Opened(m, time.Now()); err != nil {
						t.Fatal(err)
					}
					renewed++
					answered <- struct{}{}
					continue
				}
				group := m.RequestID / 1000
				if m.RequestID < 10_000 {
					group = 0
				}
				if n := next[group]; n > m.RequestID {
					t.Errorf("%d came after %d", m.RequestID, n)
				}
				next[group] = m.RequestID
			}
			wg.Wait()
			if renewed != own/50 {
				t.Errorf("%d renewals", renewed)
			}
			p.wantAlive()
		})
	}
}

// Who sends himself is not held up by a client that takes nothing: what its socket has no room for waits, and is sent in order.
func TestServerSendsTheRest(t *testing.T) {
	const n, size = 300, 100_000
	s := serveUA(t, ServerConfig{Quotas: ServerQuotas{SendBytes: 2 * n * size}})
	p := s.session(plain)
	c := s.theConn(t)
	var turns sendTurns
	for i := range n {
		if !sendLateOf(c, uint32(10_000+i), size, &turns) {
			t.Fatal("a response was not taken")
		}
	}
	if !taken(c) {
		t.Fatal("the socket has room for everything: nothing is tested")
	}
	for i := range n {
		m, err := p.next()
		if err != nil || m.RequestID != uint32(10_000+i) || len(m.Body) < size {
			t.Fatalf("message %d is the answer to %d of %d bytes, %v", i, m.RequestID, len(m.Body), err)
		}
	}
	p.wantAlive()
}

// taken says whether somebody has the turn to send.
func taken(c *serverConn) bool {
	c.send.mu.Lock()
	defer c.send.mu.Unlock()
	return c.send.taken
}

// A client that takes nothing is ended when too much waits for it, who sends is not held up, and others are served.
func TestServerEndsSlowReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serveUAOn(t, ServerConfig{WriteTimeout: time.Hour, Quotas: ServerQuotas{SendBytes: 1 << 20}}, listentest.NewPipes()) // a pipe takes nothing that is not read
		p := s.session(plain)
		bystander := s.open(plain)
		c := s.theConn(t)
		begun, sent := time.Now(), 0
		for sendLate(c, uint32(sent), 60_000) {
			if sent++; sent > 20 {
				t.Fatal("1.2 MB wait for a client that does not read")
			}
		}
		wantStatus(t, "the other client", bystander.call(&ua.GetEndpointsRequest{}, &ua.GetEndpointsResponse{}), ua.Good)
		if d := time.Since(begun); d != 0 {
			t.Errorf("held up for %v", d)
		}
		for err := error(nil); err == nil; { // what was on its way arrives
			_, err = p.next()
		}
		if st := s.ended(); st.Ended["slow reader"] != 1 {
			t.Errorf("ended %v", st.Ended)
		}
		if sendLate(c, 1, 0) {
			t.Error("a response was taken after the end")
		}
	})
}

// A client that asks and never reads is ended by the write deadline.
func TestServerEndsClientsThatNeverRead(t *testing.T) {
	s := serveUA(t, ServerConfig{WriteTimeout: 100 * time.Millisecond})
	p := s.open(plain)
	for {
		var b []byte
		for range 500 {
			p.last++
			start := len(b)
			b = ua.AppendMessage(p.channel.Begin(b, p.last), &ua.GetEndpointsRequest{})
			var err error
			if b, err = p.channel.End(b, start, uasc.KindMessage, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p.conn.Write(b); err != nil {
			break
		}
	}
	if st := s.ended(); st.Ended["write timeout"] != 1 {
		t.Errorf("ended %v", st.Ended)
	}
}

// What is too long for the client is a fault in its place: by the session's limit, and by those of its HEL.
func TestServerResponsesTooLarge(t *testing.T) {
	s := serveUA(t, ServerConfig{})
	p := s.open(plain)
	req := p.createRequest()
	req.MaxResponseMessageSize = 100
	var resp ua.CreateSessionResponse
	wantStatus(t, "create", p.call(req, &resp), ua.Good)
	p.token = resp.AuthenticationToken
	wantStatus(t, "activate", p.activate(nil), ua.Good) // 88 bytes
	l := late{conn: s.theConn(t), id: 500, handle: 1, limit: 100}
	m := l.begin(responseTo(idCancel))
	m.b = append(m.b, make([]byte, l.room()+1)...)
	l.send(m, nil)
	wantStatus(t, "beyond the session's", p.receive(500, &ua.CancelResponse{}), ua.BadResponseTooLarge)

	conn := s.Dial()
	p = newPeer(t, conn, plain, "")
	ch, err := uasc.NewClient(uasc.ClientConfig{Security: plain, Transport: uasc.Transport{MaxMessageSize: 10_000}})
	if err != nil {
		t.Fatal(err)
	}
	p.channel = ch
	if err := p.handshake(0); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, "create", p.create(), ua.Good)
	wantStatus(t, "activate", p.activate(nil), ua.Good)
	var c *serverConn
	for _, x := range s.sessions.all() {
		c = x.attached()
	}
	sendLate(c, 600, 9_900)
	wantStatus(t, "just within", p.receive(600, &cancelAndMore{}), ua.Good)
	sendLate(c, 601, 10_000)
	wantStatus(t, "beyond the client's", p.receive(601, &ua.CancelResponse{}), ua.BadResponseTooLarge)
	if room := (late{conn: c}).room(); room != 10_000-responseHeaderBytes {
		t.Errorf("room for %d", room)
	}
}

// cancelAndMore is a CancelResponse with bytes behind it.
type cancelAndMore struct{ ua.CancelResponse }

func (m *cancelAndMore) DecodeFrom(d *ua.Decoder) {
	m.CancelResponse.DecodeFrom(d)
	d.Rest()
}

// Responses in as many chunks as they need, for each mode.
func TestServerChunkedResponses(t *testing.T) {
	s := serveUA(t, secured(t))
	for _, sec := range []uasc.Security{plain, signed, sealed} {
		p := s.session(sec)
		var c *serverConn
		for _, x := range s.sessions.all() {
			c = x.attached()
		}
		for _, n := range []int{0, 65_000, 65_500, 65_536, 200_000} {
			sendLate(c, 700, n)
			wantStatus(t, fmt.Sprint(sec, n), p.receive(700, &cancelAndMore{}), ua.Good)
		}
	}
}

// Requests in steady state allocate nothing in the server; nor does the client here.
func TestServerDoesNotAllocate(t *testing.T) {
	if underRace {
		t.Skip("the race detector makes sync.Pool drop buffers at random")
	}
	s := serveUA(t, secured(t))
	for _, sec := range []uasc.Security{plain, sealed} {
		p := s.session(sec)
		body := ua.AppendMessage(nil, &ua.CancelRequest{RequestHeader: ua.RequestHeader{AuthenticationToken: p.token, RequestHandle: 3, TimeoutHint: 1000}})
		b := make([]byte, 0, 4096)
		ask := func() {
			p.last++
			var err error
			if b, err = p.channel.End(append(p.channel.Begin(b[:0], p.last), body...), 0, uasc.KindMessage, time.Now()); err != nil {
				t.Fatal(err)
			}
			if _, err := p.conn.Write(b); err != nil {
				t.Fatal(err)
			}
			for p.filled < 8 || p.filled < int(binary.LittleEndian.Uint32(p.buf[4:])) {
				n, err := p.conn.Read(p.buf[p.filled:])
				if err != nil {
					t.Fatal(err)
				}
				p.filled += n
			}
			if _, m, err := p.channel.Next(p.buf[:p.filled], time.Now()); err != nil || m.RequestID != p.last {
				t.Fatal(m, err)
			}
			p.filled = 0
		}
		ask()
		if n := testing.AllocsPerRun(200, ask); n >= 1 {
			t.Errorf("%v: %v allocations a request", sec, n)
		}
	}
}
