package opcua

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// steadyServer answers Read requests with as many Doubles, and Publish requests with as many values, without allocating: over a socket, secured or not.
type steadyServer struct {
	tb     testing.TB
	ln     net.Listener
	server *uasc.Server
	done   chan struct{}
	n      int
}

func newSteady(tb testing.TB, sec uasc.Security, n int) *steadyServer {
	tb.Helper()
	s := &steadyServer{tb: tb, n: n, done: make(chan struct{})}
	var err error
	if s.server, err = uasc.NewServer(uasc.ServerConfig{Identity: testIdentityFor(tb, "server", sec.Policy), Security: []uasc.Security{sec}, Discovery: true, Trust: trustsAll{}}); err != nil {
		tb.Fatal(err)
	}
	if s.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		tb.Fatal(err)
	}
	go func() {
		defer close(s.done)
		for {
			conn, err := s.ln.Accept()
			if err != nil {
				return
			}
			s.serve(conn, sec)
		}
	}()
	tb.Cleanup(func() {
		_ = s.ln.Close()
		<-s.done
	})
	return s
}

// client returns a client that talks to s, without the talk before: its channel is open, and a session is taken for granted.
func (s *steadyServer) client(sec uasc.Security) *Client {
	s.tb.Helper()
	cfg, err := Config{Identity: testIdentityFor(s.tb, "client", sec.Policy), AnyServer: true, Timeout: time.Minute}.withDefaults()
	if err != nil {
		s.tb.Fatal(err)
	}
	c := newClient("opc.tcp://"+s.ln.Addr().String(), cfg)
	if err := c.dialChoice(context.Background(), &clientChoice{security: sec, endpoint: ua.EndpointDescription{ServerCertificate: testIdentityFor(s.tb, "server", sec.Policy).Raw}}); err != nil {
		s.tb.Fatal(err)
	}
	c.session = &clientSession{timeout: time.Hour}
	c.keep()
	s.tb.Cleanup(c.Detach)
	return c
}

// serve talks to one client.
func (s *steadyServer) serve(conn net.Conn, sec uasc.Security) {
	defer conn.Close()
	ch := s.server.NewChannel(7, "client")
	buf, out, have := make([]byte, 1<<18), make([]byte, 0, 1<<18), 0
	read, publish := s.bodies()
	seq := uint32(0)
	for {
		used, m, err := ch.Next(buf[:have], time.Now())
		if err != nil {
			return
		}
		out = out[:0]
		switch m.Kind {
		case uasc.KindHello:
			out, _, err = ch.AcceptHello(out, m)
		case uasc.KindOpen:
			out, _, err = ch.AcceptOpen(out, m, time.Now())
		case uasc.KindMessage:
			body := read
			if m.Body[2] == 826&0xFF && m.Body[3] == 826>>8 {
				seq++
				body = publish
			}
			out = append(ch.Begin(out, m.RequestID), body...)
			if seq > 0 {
				at := len(out) - len(body) + s.seqAt(publish)
				out[at], out[at+1], out[at+2], out[at+3] = byte(seq), byte(seq>>8), byte(seq>>16), byte(seq>>24)
			}
			out, err = ch.End(out, 0, uasc.KindMessage, time.Now())
		case uasc.KindClose:
			return
		}
		have = copy(buf, buf[used:have])
		if err != nil {
			return
		}
		if len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				return
			}
			continue
		}
		n, err := conn.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
	}
}

// bodies are the answers to a Read and to a Publish request.
func (s *steadyServer) bodies() (read, publish []byte) {
	rr, data := &ua.ReadResponse{}, &ua.DataChangeNotification{}
	for i := range s.n {
		v := ua.DataValue{Value: ua.Double(float64(i)), SourceTimestamp: ua.DateTime(1 + i)}
		rr.Results = append(rr.Results, v)
		data.MonitoredItems = append(data.MonitoredItems, ua.MonitoredItemNotification{ClientHandle: uint32(i), Value: v})
	}
	pr := &ua.PublishResponse{SubscriptionId: 1, NotificationMessage: ua.NotificationMessage{NotificationData: []ua.ExtensionObject{ua.Wrap(data)}}}
	return ua.AppendMessage(nil, rr), ua.AppendMessage(nil, pr)
}

// seqAt is where the sequence number of the message is: behind the encoding id, the header, subscription, an empty array and a Boolean.
func (s *steadyServer) seqAt([]byte) int { return 4 + zeroResponseBytes + 4 + 4 + 1 }

var steadySecurity = []uasc.Security{
	{Policy: uasc.None, Mode: ua.MessageSecurityModeNone}, {Policy: uasc.Basic256Sha256, Mode: ua.MessageSecurityModeSignAndEncrypt}, curved,
}

func TestClientReadsDoNotAllocate(t *testing.T) {
	if underRace {
		t.Skip("counts allocations")
	}
	for _, sec := range steadySecurity {
		t.Run(sec.String(), func(t *testing.T) {
			s := newSteady(t, sec, 1000)
			c := s.client(sec)
			plan, into := NewReadPlan(numbered(0, 1000), ReadOptions{}), make([]ua.DataValue, 1000)
			ctx := context.Background()
			read := func() {
				if err := c.Read(ctx, plan, into); err != nil {
					t.Fatal(err)
				}
			}
			read()
			if n := testing.AllocsPerRun(100, read); n != 0 {
				t.Errorf("%v allocations for 1000 nodes", n)
			}
			for i := range into {
				if v, _ := into[i].Value.Float64(); v != float64(i) {
					t.Fatalf("value %d is %v", i, into[i])
				}
			}
			sum := 0.0
			each := func(_ int, v *ua.DataValue) { x, _ := v.Value.Float64(); sum += x }
			if n := testing.AllocsPerRun(100, func() { _ = c.ReadEach(ctx, plan, each) }); n != 0 || sum == 0 {
				t.Errorf("ReadEach: %v allocations, sum %v", n, sum)
			}
		})
	}
}

// notifying subscribes c to what s sends; f is called for each message.
func notifying(tb testing.TB, c *Client, n int, f func(m *Notification)) {
	tb.Helper()
	sub := &Subscription{feed: c.feed, cfg: SubscriptionConfig{Notify: f, Unacknowledged: 1 << 30}, id: 1, interval: time.Second, keepAlive: 10, next: 1, heard: time.Now(), items: make([]*clientItem, n)}
	c.feed.mu.Lock()
	c.feed.subs = map[uint32]*Subscription{1: sub}
	c.feed.mu.Unlock()
	c.keeper.wake()
}

func TestClientNotificationsDoNotAllocate(t *testing.T) {
	if underRace {
		t.Skip("counts allocations")
	}
	for _, sec := range steadySecurity {
		t.Run(sec.String(), func(t *testing.T) {
			const n = 1000
			c := newSteady(t, sec, n).client(sec)
			came, wrong := make(chan int), 0
			notifying(t, c, n, func(m *Notification) {
				var v ua.DataValue
				got := 0
				for {
					h, ok := m.Next(&v)
					if !ok {
						break
					}
					if x, _ := v.Value.Float64(); x != float64(h) {
						wrong++
					}
					got++
				}
				m.Receipt().Done()
				came <- got
			})
			for range 10 {
				<-came
			}
			allocs := testing.AllocsPerRun(100, func() {
				if got := <-came; got != n || wrong != 0 {
					t.Fatalf("%d values, %d of them wrong", got, wrong)
				}
			})
			// The timer that sends the next Publish request runs in a goroutine of its own, whose start is no allocation as a rule.
			if allocs > 1 {
				t.Errorf("%v allocations a message of %d values", allocs, n)
			}
			go func() {
				for range came { // let go of the reader
				}
			}()
			c.Detach()
			close(came)
		})
	}
}

func BenchmarkClientRead(b *testing.B) {
	for _, sec := range steadySecurity {
		b.Run(sec.String(), func(b *testing.B) {
			c := newSteady(b, sec, 1000).client(sec)
			plan, into := NewReadPlan(numbered(0, 1000), ReadOptions{}), make([]ua.DataValue, 1000)
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Read(b.Context(), plan, into); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/value")
		})
	}
}

func BenchmarkClientNotification(b *testing.B) {
	for _, sec := range steadySecurity {
		b.Run(fmt.Sprint(sec), func(b *testing.B) {
			c := newSteady(b, sec, 1000).client(sec)
			came := make(chan struct{})
			ended := make(chan struct{})
			notifying(b, c, 1000, func(m *Notification) {
				var v ua.DataValue
				for ok := true; ok; {
					_, ok = m.Next(&v)
				}
				m.Receipt().Done()
				select {
				case came <- struct{}{}:
				case <-ended:
				}
			})
			b.ReportAllocs()
			for b.Loop() {
				<-came
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/value")
			close(ended)
			c.Detach()
		})
	}
}
