package opcua

import (
	"encoding/binary"
	"io"
	"testing"
	"time"

	"millrace/internal/listen"
	"millrace/internal/listen/listentest"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// bareServerConn returns a connection of listen that nobody reads requests from, and whose writes go nowhere.
func bareServerConn(t testing.TB) *listen.Conn {
	t.Helper()
	c, far := listentest.Conn(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		io.Copy(io.Discard, far)
	}()
	t.Cleanup(func() { far.Close(); <-ended })
	return c
}

// bareClient talks to a serverConn by calling it.
type bareClient struct {
	t       testing.TB
	c       protocol
	id      *uasc.Identity // nil on None
	channel *uasc.Channel
	token   ua.NodeId
	last    uint32
}

// give gives in to the server and takes its answers. It returns the body of the last MSG, and false when the connection ended.
func (b *bareClient) give(in []byte) (body []byte, alive bool) {
	b.t.Helper()
	for alive = true; alive; {
		used, out, err := b.c.Serve(b.t.Context(), in, nil)
		b.c.Sent()
		if used < 0 || used > len(in) {
			b.t.Fatalf("used %d of %d", used, len(in))
		}
		body = b.take(out, body)
		alive = err == nil
		if in = in[used:]; used == 0 {
			break
		}
	}
	return body, alive
}

// take reads what the server sent, which must be what a client can read.
func (b *bareClient) take(out, body []byte) []byte {
	b.t.Helper()
	for len(out) > 0 {
		used, m, err := b.channel.Next(out, time.Now())
		if err == nil && used > 0 {
			switch m.Kind {
			case uasc.KindAcknowledge:
				err = b.channel.Acknowledged(m)
			case uasc.KindOpen:
				_, err = b.channel.Opened(m, time.Now())
			case uasc.KindMessage:
				body = append([]byte(nil), m.Body...)
			case uasc.KindError:
				_, err = uasc.DecodeError(m.Body)
			}
		}
		if err != nil || used == 0 {
			b.t.Fatalf("the client cannot read %x: %v", out, err)
		}
		out = out[used:]
	}
	return body
}

// ask sends a request and decodes its response.
func (b *bareClient) ask(req, resp ua.Message) {
	b.t.Helper()
	setHeader(req, ua.RequestHeader{AuthenticationToken: b.token})
	body, _ := b.give(b.message(ua.AppendMessage(nil, req)))
	d := ua.NewDecoder(body, ua.Limits{})
	if d.EncodingId() != resp.EncodingId() {
		b.t.Fatalf("answered %x", body)
	}
	resp.DecodeFrom(&d)
	if err := d.Done(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bareClient) message(body []byte) []byte {
	b.t.Helper()
	b.last++
	m, err := b.channel.End(append(b.channel.Begin(nil, b.last), body...), 0, uasc.KindMessage, time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	return m
}

// reach brings the connection to a stage.
func (b *bareClient) reach(st stage) {
	b.t.Helper()
	if st >= atHello {
		b.give(b.channel.AppendHello(nil, "opc.tcp://x"))
	}
	if st >= atOpen {
		b.last++
		m, err := b.channel.AppendOpen(nil, b.last, false, time.Hour, time.Now())
		if err != nil {
			b.t.Fatal(err)
		}
		b.give(m)
	}
	if st >= atSession {
		var created ua.CreateSessionResponse
		p := &peer{t: b.t, channel: b.channel}
		if b.channel.Policy() != uasc.None {
			p.id = b.id
		}
		b.ask(p.createRequest(), &created)
		b.token, p.nonce = created.AuthenticationToken, created.ServerNonce
		b.ask(p.activation(nil), &ua.ActivateSessionResponse{})
	}
}

// wantWorkDone waits for the session's work, whose answers leave by themselves.
func (b *bareClient) wantWorkDone() {
	b.t.Helper()
	b.c.finish()
	x := b.c.last
	if b.c.owed.Load() != 0 || x.counts.total.Load() == 0 || b.c.srv.held.Load() != 0 {
		b.t.Fatalf("%d requests are owed, %d were served, %d bytes held", b.c.owed.Load(), x.counts.total.Load(), b.c.srv.held.Load())
	}
	b.c.releaseTurn()
}

// FuzzServer gives a server's connection whatever comes. The first byte says how far the connection has come; in a session what follows is the encoding id of a request
// and what is behind its header, so that services are reached. What is answered a client can read, and requests in a session are answered.
func FuzzServer(f *testing.F) {
	for _, tc := range badConnections {
		if tc.stage < atSession {
			f.Add(append([]byte{byte(tc.stage)}, tc.send...))
		}
	}
	for id := uint16(421); id < 848; id++ {
		if needOf(uint32(id)) == needUnknown {
			continue
		}
		m, _ := ua.NewMessage(uint32(id))
		whole := m.AppendTo(nil)
		header := (&ua.RequestHeader{}).AppendTo(nil)
		f.Add(append([]byte{byte(atSession), byte(id), byte(id >> 8)}, whole[len(header):]...))
		f.Add(append([]byte{byte(atSession), byte(id), byte(id >> 8)}, make([]byte, 200)...))
		f.Add(append([]byte{byte(atSession), byte(id), byte(id >> 8)}, 1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0x7F, 0xC4, 9, 3, 0, 0, 1, 0, 0, 0, 'x', 13, 0, 0, 0))
	}
	nobody := bareServerConn(f)
	s := newTestServer(f, ServerConfig{Limits: ua.Limits{Message: 1 << 20}, AnonymousRoles: RoleRead | RoleWrite})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 3 || len(b) > 1<<16 {
			return
		}
		channel, err := uasc.NewClient(uasc.ClientConfig{Security: plain})
		if err != nil {
			t.Fatal(err)
		}
		s.openings = newOpenings(s.cfg.Admission)
		client := &bareClient{t: t, c: protocol{s.newConn(nobody)}, channel: channel}
		defer s.EndSessions()
		defer client.c.over()
		st := stage(b[0] % 4)
		client.reach(st)
		if st < atSession {
			client.give(b[1:])
			return
		}
		id := binary.LittleEndian.Uint16(b[1:])
		header := (&ua.RequestHeader{AuthenticationToken: client.token, RequestHandle: 7}).AppendTo([]byte{1, 0, byte(id), byte(id >> 8)})
		body, alive := client.give(client.message(append(header, b[3:]...)))
		if !alive {
			t.Fatalf("request %d ended the connection", id)
		}
		if hosted(uint32(id)) {
			client.wantWorkDone()
			return
		}
		if len(body) < responseHeaderBytes && id != idPublish {
			t.Fatalf("request %d was not answered: %x", id, body)
		}
	})
}
