package s7

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/listen"
	"millrace/internal/listen/listentest"
)

// flatness is how many goroutines there are and how large the heap is before a flood.
type flatness struct {
	goroutines int
	heap       uint64
}

func measureFlat() flatness {
	runtime.GC()
	return flatness{runtime.NumGoroutine(), memStats().HeapAlloc}
}

// check wants no goroutine more than there were, and no more than slack bytes.
func (f flatness) check(t *testing.T, slack uint64) {
	t.Helper()
	if now := measureFlat(); now.goroutines > f.goroutines || now.heap > f.heap+slack {
		t.Errorf("%d goroutines and %d bytes before, %d and %d after", f.goroutines, f.heap, now.goroutines, now.heap)
	}
}

// flood runs n clients at once, 100 at a time.
func (s *serving) flood(n int, client func(c net.Conn)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, 100)
	for range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			c, err := net.Dial("tcp", s.Addr)
			if err != nil {
				return // reset before we knew
			}
			defer c.Close()
			client(c)
		})
	}
	wg.Wait()
}

func TestFloodOfBadConnectRequests(t *testing.T) {
	before := measureFlat()
	s := serve(t, ServerConfig{Handler: testMemory(t)})
	bystander := s.session()
	bad := unhex("03000016 11E0 00000000000000000000000000000000")
	s.flood(500, func(c net.Conn) {
		c.Write(bad)
		if b, _ := io.ReadAll(c); len(b) > 0 {
			t.Errorf("answered %x", b)
		}
	})
	wantAlive(t, bystander)
	wantAlive(t, s.session())
	st := s.ended()
	if st.Refused["malformed connect request"] != 500 || st.Accepted != 502 {
		t.Errorf("%d accepted, refused %v", st.Accepted, st.Refused)
	}
	bystander.Close()
	before.check(t, 8<<20)
}

// Connections without Setup are held to the handshake deadline, and while they fill the server nobody else is harmed.
func TestFloodOfConnectRequestsAlone(t *testing.T) {
	before := measureFlat()
	s := serve(t, ServerConfig{Handler: testMemory(t), HandshakeTimeout: 200 * time.Millisecond})
	bystander := s.session()
	var wg sync.WaitGroup
	for range 500 {
		c := s.Dial()
		wg.Go(func() {
			c.Write(unhex(askConnect))
			io.ReadFull(c, make([]byte, 22))
			wantHungUp(t, c)
		})
	}
	wantAlive(t, bystander)
	wg.Wait()
	wantAlive(t, bystander)
	wantAlive(t, s.session())
	if st := s.ended(); st.Refused["handshake timeout"] != 500 {
		t.Errorf("refused %v, ended %v", st.Refused, st.Ended)
	}
	bystander.Close()
	before.check(t, 8<<20)
}

// Clients with five seconds between bytes, in the handshake and in a request.
func TestSlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 1000
		ln := listentest.NewPipes()
		s := serveOn(t, ServerConfig{Handler: testMemory(t), MaxConns: clients + 1, HandshakeTimeout: 20 * time.Second, FrameTimeout: 7 * time.Second}, ln)
		bystander := sessionOver(t, ln)
		var wg sync.WaitGroup
		for i := range clients {
			send := unhex(askConnect)
			var c net.Conn
			if i%2 == 0 {
				c = ln.Dial()
			} else {
				c, send = sessionOver(t, ln), unhex(askAlive)
			}
			wg.Go(func() {
				for len(send) > 0 {
					if _, err := c.Write(send[:1]); err != nil {
						return
					}
					send = send[1:]
					time.Sleep(5 * time.Second)
				}
				t.Error("a slow client was served")
			})
		}
		for range 5 {
			wantAlive(t, bystander)
			time.Sleep(time.Second)
		}
		wg.Wait()
		wantAlive(t, bystander)
		bystander.Close()
		if st := s.ended(); st.Refused["handshake timeout"] != clients/2 || st.Ended["partial frame timeout"] != clients/2 {
			t.Errorf("refused %v, ended %v", st.Refused, st.Ended)
		}
	})
}

func TestFragmentsThatNeverEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := listentest.NewPipes()
		s := serveOn(t, ServerConfig{Handler: testMemory(t), FrameTimeout: 7 * time.Second}, ln)
		c := sessionOver(t, ln)
		begin := time.Now()
		for range 3 {
			sendHex(t, c, fragment("32"))
			time.Sleep(2 * time.Second)
		}
		wantHungUp(t, c)
		if d := time.Since(begin); d != 7*time.Second {
			t.Errorf("ended after %v", d)
		}
		if st := s.ended(); st.Ended["partial frame timeout"] != 1 {
			t.Errorf("ended %v", st.Ended)
		}
	})
}

func TestReconnectStorm(t *testing.T) {
	before := measureFlat()
	s := serve(t, ServerConfig{Handler: testMemory(t), MaxConns: 150})
	bystander := s.session()
	s.flood(2000, func(c net.Conn) {}) // connects and is gone
	s.flood(500, func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) })
	s.flood(500, func(c net.Conn) { // reads once
		c.Write(unhex(askConnect))
		io.ReadFull(c, make([]byte, 22))
		c.Write(unhex(askSetup + askAlive))
		io.ReadFull(c, make([]byte, 27+29))
	})
	wantAlive(t, bystander)
	wantAlive(t, s.session())
	st := s.ended()
	over := uint64(0)
	for _, m := range []map[string]uint64{st.Refused, st.Ended} {
		for _, n := range m {
			over += n
		}
	}
	if over != st.Accepted || st.Moves[SessionClosed] != st.Moves[SessionInit] {
		t.Errorf("%d accepted, %d ended, sessions %v", st.Accepted, over, st.Moves)
	}
	bystander.Close()
	before.check(t, 8<<20)
}

// Clients that ask and never read end by the write deadline, and what the server holds for them is bounded.
func TestReadersThatNeverRead(t *testing.T) {
	before := measureFlat()
	const clients = 20
	s := serve(t, ServerConfig{Handler: testMemory(t), WriteTimeout: 100 * time.Millisecond})
	bystander := s.session()
	storm := bytes.Repeat(askBytes(200), 500)
	s.flood(clients, func(c net.Conn) {
		c.(*net.TCPConn).SetReadBuffer(4096)
		handshake(t, c)
		for {
			if _, err := c.Write(storm); err != nil {
				return // the server has hung up
			}
		}
	})
	wantAlive(t, bystander)
	wantAlive(t, s.session())
	if st := s.ended(); st.Ended["write timeout"] != clients {
		t.Errorf("ended %v", st.Ended)
	}
	bystander.Close()
	before.check(t, 8<<20)
}

func TestFrameCutByTheEnd(t *testing.T) {
	s := serve(t, ServerConfig{Handler: testMemory(t)})
	for i, send := range []string{askAlive[:20], fragment("3201"), "03"} {
		c := s.session()
		sendHex(t, c, send)
		if i < 2 {
			c.(*net.TCPConn).CloseWrite()
			wantHungUp(t, c)
			continue
		}
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	bystander := s.session()
	wantAlive(t, bystander)
	st := s.ended()
	if cut := st.Ended["peer closed within a frame"]; cut != 2 || cut+st.Ended["peer reset"] != 3 {
		t.Errorf("ended %v", st.Ended)
	}
}

// One address takes all that it may, and another is served; of a budget that two servers share each keeps its floor.
func TestOneAddressLeavesRoomForOthers(t *testing.T) {
	budget := listen.NewBudget(6)
	a := serve(t, ServerConfig{Handler: testMemory(t), MaxPerAddr: 4, Budget: budget, Floor: 2})
	b := serve(t, ServerConfig{Handler: testMemory(t), Budget: budget, Floor: 2})
	for range 4 { // its floor and what is shared
		wantAlive(t, a.session())
	}
	a.wantReset("127.0.0.1") // beyond its share
	a.wantReset("127.0.0.9") // beyond the budget
	for range 2 {
		wantAlive(t, b.session())
	}
	b.wantReset("127.0.0.1")
	if st := a.ended(); st.Refused["address limit"] != 1 || st.Refused["global limit"] != 1 {
		t.Errorf("refused %v", st.Refused)
	}
	if st := b.ended(); st.Refused["global limit"] != 1 {
		t.Errorf("refused %v", st.Refused)
	}
}

// wantReset dials from an address and is turned away.
func (s *serving) wantReset(ip string) {
	s.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	c, err := d.DialContext(s.t.Context(), "tcp", s.Addr)
	switch {
	case errors.Is(err, syscall.ECONNRESET): // before we knew
	case err != nil:
		s.t.Fatal(err)
	default:
		defer c.Close()
		wantHungUp(s.t, c)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		err    error
		want   string
		reason string
	}{
		{"any error", errors.New("no rack 3"), "0300000B 06 80 0001 0002 88", "refused"},
		{"in words", &HangUpError{Reason: "no place", Disconnect: DisconnectCongestion}, "0300000B 06 80 0001 0002 01", "no place"},
		{"in silence", &HangUpError{Reason: "no place"}, "", "no place"},
		{"with a reset", &HangUpError{Reason: "no place", Reset: true}, "", "no place"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := serve(t, ServerConfig{Open: func(c *ServerConn) (Service, error) {
				if got := unhexed(c.Calling()) + unhexed(c.Called()); got != "01000102" {
					t.Errorf("TSAPs %s", got)
				}
				return Service{}, tc.err
			}})
			c := s.Dial()
			sendHex(t, c, askConnect)
			wantHex(t, c, tc.want)
			wantHungUp(t, c)
			if st := s.ended(); st.Refused[tc.reason] != 1 {
				t.Errorf("refused %v", st.Refused)
			}
		})
	}
	s := serve(t, ServerConfig{Open: func(*ServerConn) (Service, error) { return Service{}, nil }})
	c := s.Dial()
	sendHex(t, c, askConnect)
	wantHex(t, c, "0300000B 06 80 0001 0002 88") // nobody serves it
	wantHungUp(t, c)
}

// What Open says goes before the server's own, and Closed is called once.
func TestOpenServes(t *testing.T) {
	closed := make(chan int, 10)
	s := serve(t, ServerConfig{Handler: pattern{}, Open: func(c *ServerConn) (Service, error) {
		if c.PDU() != 0 {
			t.Errorf("PDU %d before anybody was found", c.PDU())
		}
		return Service{Handler: testMemory(t), PDU: 200, Window: 3, Closed: func() { closed <- c.PDU() }}, nil
	}})
	c := s.Dial()
	sendHex(t, c, askConnect)
	io.ReadFull(c, make([]byte, 22))
	sendHex(t, c, setup("0008", "00F0"))
	wantHex(t, c, setupGets("0003", "00C8"))
	wantAlive(t, c)
	s.ended()
	if len(closed) != 1 || <-closed != 200 {
		t.Error("Closed was not called once, or before Setup")
	}
}

// meddler is an Interceptor that does as the first byte of the item's address says.
type meddler struct{}

func (meddler) Request(ctx context.Context, c *ServerConn, request []byte) (ErrorCode, error) {
	switch request[len(request)-3] {
	case 1:
		return ErrNotSupported, nil
	case 2:
		return 0, &HangUpError{Reason: "told to", Disconnect: DisconnectNormal}
	case 3:
		return 0, c.Pause(ctx, time.Minute)
	}
	return 0, nil
}

func (meddler) Answer(_ context.Context, c *ServerConn, request, answer []byte) error {
	switch request[len(request)-3] {
	case 4: // nothing
	case 5:
		c.Send(answer)
		c.Send(answer)
	case 6:
		c.Send(answer[:9])
		return &HangUpError{Reason: "cut"}
	default:
		c.Send(answer)
	}
	return nil
}

func TestInterceptor(t *testing.T) {
	at := func(b string) string { return read("120A1002 0001 0001 84 " + b + "0000") }
	ok := answer("0401", "FF04 0008 00")
	fail := fails("05") // beyond the end
	for _, tc := range []struct{ name, send, want, reason string }{
		{"passes", at("00"), ok, ""},
		{"refuses", at("01") + at("00"), refusal("8702") + ok, ""},
		{"hangs up", at("00") + at("02"), ok + "0300000B 06 80 0001 0002 80", "told to"},
		{"waits", at("03"), fail, ""},
		{"swallows", at("04") + at("00"), ok, ""},
		{"repeats", at("05"), fail + fail, ""},
		{"cuts", at("06"), fail[:18], "cut"},
		{"sees fragments whole", pieces(at("01"), 5), refusal("8702"), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := listentest.NewPipes()
				s := serveOn(t, ServerConfig{Handler: testMemory(t), Intercept: meddler{}}, ln)
				c := sessionOver(t, ln)
				sendHex(t, c, tc.send)
				wantHex(t, c, tc.want)
				if tc.reason != "" {
					wantHungUp(t, c)
				}
				c.Close()
				synctest.Wait()
				if st := s.ended(); tc.reason != "" && st.Ended[tc.reason] != 1 {
					t.Errorf("ended %v", st.Ended)
				}
			})
		})
	}
}

// A drain answers what is on its way, says goodbye and closes, before Setup too.
func TestDrainSaysGoodbye(t *testing.T) {
	s := serve(t, ServerConfig{Handler: testMemory(t)})
	active, connected, silent := s.session(), s.Dial(), s.Dial()
	sendHex(t, connected, askConnect)
	io.ReadFull(connected, make([]byte, 22))
	wantAlive(t, active)
	sendHex(t, active, askAlive)
	s.Stop()
	wantHex(t, active, wantOK+"0300000B 06 80 0001 0002 80")
	wantHungUp(t, active)
	dr, err := io.ReadAll(connected)
	if err != nil || len(dr) != 11 || TPDUCode(dr[5]) != TPDUDisconnectRequest {
		t.Errorf("got %x, %v", dr, err)
	}
	wantHungUp(t, silent)
	if st := s.ended(); st.Ended["drained"]+st.Refused["drained"] < 2 {
		t.Errorf("refused %v, ended %v", st.Refused, st.Ended)
	}
}
