package modbus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/listen"
	"millrace/internal/listen/listentest"
)

func TestServerDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := listentest.NewPipes()
		s := serveOn(t, ServerConfig{Handler: newPlant(), FrameTimeout: 2 * time.Second, IdleTimeout: time.Minute, WriteTimeout: 3 * time.Second}, ln)
		lasts := func(what string, c net.Conn, want time.Duration) {
			t.Helper()
			begin := time.Now()
			wantHungUp(t, c)
			if d := time.Since(begin); d != want {
				t.Errorf("%s: ended after %v, want %v", what, d, want)
			}
		}
		idle := ln.Dial()
		for range 3 {
			time.Sleep(59 * time.Second)
			wantAlive(t, idle)
		}
		lasts("idle", idle, time.Minute)

		const halves = 1000
		half := make([]net.Conn, halves)
		for i := range half {
			half[i] = ln.Dial()
			sendHex(t, half[i], "0001 0000 0006 01 03")
		}
		lasts("half a frame", half[0], 2*time.Second)
		for _, c := range half[1:] {
			lasts("half a frame", c, 0)
		}

		deaf := ln.Dial()
		sendHex(t, deaf, "0001 0000 0006 01 03 0001 0001")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		lasts("deaf", deaf, 0)
		st := s.ended()
		if st.Ended["idle"] != 1 || st.Ended["partial frame timeout"] != halves || st.Ended["write timeout"] != 1 {
			t.Errorf("counted %v", st.Ended)
		}
	})
}

func TestServerDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := listentest.NewPipes()
		p := newPlant()
		s := serveOn(t, ServerConfig{Handler: p, DrainTimeout: 5 * time.Second}, ln)
		idle := ln.Dial()
		wantAlive(t, idle)
		p.blocks = true
		stuck := ln.Dial()
		sendHex(t, stuck, "0001 0000 0006 01 03 0001 0001")
		synctest.Wait()
		begin := time.Now()
		st := s.ended()
		if d := time.Since(begin); d != 5*time.Second {
			t.Errorf("the drain took %v", d)
		}
		if st.Ended["drained"] != 1 || st.Ended["drain timeout"] != 1 {
			t.Errorf("counted %v", st.Ended)
		}
	})
}

func TestServerLimits(t *testing.T) {
	budget := listen.NewBudget(3)
	s := serve(t, ServerConfig{Handler: newPlant(), Budget: budget, Floor: 1})
	other := serve(t, ServerConfig{Handler: newPlant(), Budget: budget, Floor: 1, MaxPerAddr: 1})
	wantAlive(t, other.Dial())
	wantAlive(t, s.Dial())
	wantAlive(t, s.Dial())
	for _, x := range []*serving{s, other} {
		if c, err := net.Dial("tcp", x.Addr); err == nil {
			wantHungUp(t, c)
		}
	}
	if st := s.ended(); st.Refused["global limit"] != 1 {
		t.Errorf("counted %v", st.Refused)
	}
	if st := other.ended(); st.Refused["address limit"] != 1 {
		t.Errorf("counted %v", st.Refused)
	}
}

func TestServerOpenPicksTheDevice(t *testing.T) {
	var closed sync.WaitGroup
	devices := map[string]*plant{"127.0.0.1": newPlant(), "127.0.0.2": newPlant()}
	devices["127.0.0.2"].holding[1] = 4711
	open := func(c *ServerConn) (Service, error) {
		host, _, err := net.SplitHostPort(c.LocalAddr().String())
		if err != nil {
			return Service{}, err
		}
		if host == "127.0.0.3" {
			return Service{}, &HangUpError{Reason: "no such device", Reset: true}
		}
		closed.Add(1)
		return Service{Handler: devices[host], Closed: closed.Done}, nil
	}
	ln, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serveOn(t, ServerConfig{Open: open}, ln)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	for _, tc := range []struct{ host, want string }{
		{"127.0.0.1", "0001"}, {"127.0.0.2", "1267"}, {"127.0.0.3", ""}, {"127.0.0.4", ""},
	} {
		c, err := net.Dial("tcp", net.JoinHostPort(tc.host, port))
		if err != nil {
			continue // reset before Dial looked
		}
		defer c.Close()
		if tc.host == "127.0.0.4" { // a nil *plant: the handler is never called
			c.Close()
			continue
		}
		if tc.want == "" {
			wantHungUp(t, c)
			continue
		}
		sendHex(t, c, "0001 0000 0006 01 03 0001 0001")
		wantHex(t, c, "0001 0000 0005 01 03 02"+tc.want)
	}
	if st := s.ended(); st.Refused["no such device"] != 1 {
		t.Errorf("counted %v", st.Refused)
	}
	closed.Wait()
}

// meddler is an Interceptor made of functions.
type meddler struct {
	request func(ctx context.Context, c *ServerConn, request []byte) (ExceptionCode, error)
	answer  func(ctx context.Context, c *ServerConn, request, answer []byte) error
}

func (m meddler) Request(ctx context.Context, c *ServerConn, request []byte) (ExceptionCode, error) {
	if m.request == nil {
		return 0, nil
	}
	return m.request(ctx, c, request)
}

func (m meddler) Answer(ctx context.Context, c *ServerConn, request, answer []byte) error {
	if m.answer == nil {
		c.Send(answer)
		return nil
	}
	return m.answer(ctx, c, request, answer)
}

const (
	askOne    = "0001 0000 0006 01 03 0001 0001"
	answerOne = "0001 0000 0005 01 03 02 0001"
	askTwo    = "0002 0000 0006 01 03 0002 0001"
	answerTwo = "0002 0000 0005 01 03 02 0002"
)

func TestInterceptor(t *testing.T) {
	isFirst := func(b []byte) bool { return b[1] == 1 }
	hangUp := &HangUpError{Reason: "on purpose"}
	reset := &HangUpError{Reason: "on purpose", Reset: true}
	for _, tc := range []struct {
		name   string
		m      meddler
		want   string
		reason string
	}{
		{name: "nothing", want: answerOne + answerTwo},
		{name: "exception", want: "0001 0000 0003 01 83 06" + answerTwo, m: meddler{request: func(_ context.Context, _ *ServerConn, req []byte) (ExceptionCode, error) {
			if isFirst(req) {
				return ServerDeviceBusy, nil
			}
			return 0, nil
		}}},
		{name: "silence", want: answerTwo, m: meddler{answer: func(_ context.Context, c *ServerConn, req, answer []byte) error {
			if !isFirst(req) {
				c.Send(answer)
			}
			return nil
		}}},
		{name: "duplicate", want: answerOne + answerOne + answerTwo + answerTwo, m: meddler{answer: func(_ context.Context, c *ServerConn, _, answer []byte) error {
			c.Send(answer)
			c.Send(answer)
			return nil
		}}},
		{name: "wrong id and function", want: "FF01 0000 0005 01 04 02 0001 FF02 0000 0005 01 04 02 0002", m: meddler{answer: func(_ context.Context, c *ServerConn, _, answer []byte) error {
			answer[0], answer[7] = 0xFF, 4
			c.Send(answer)
			return nil
		}}},
		{name: "another frame before", want: "AABBCC" + answerOne + "AABBCC" + answerTwo, m: meddler{answer: func(_ context.Context, c *ServerConn, _, answer []byte) error {
			c.Send(unhex("AABBCC"))
			c.Send(answer)
			return nil
		}}},
		{name: "cut", want: "0001 0000 0005", reason: "on purpose", m: meddler{answer: func(_ context.Context, c *ServerConn, _, answer []byte) error {
			c.Send(answer[:6])
			return hangUp
		}}},
		{name: "reset", reason: "on purpose", m: meddler{request: func(context.Context, *ServerConn, []byte) (ExceptionCode, error) {
			return 0, reset
		}}},
		{name: "late", want: answerTwo + answerOne, m: meddler{answer: func(_ context.Context, c *ServerConn, req, answer []byte) error {
			if !isFirst(req) {
				c.Send(answer)
				return nil
			}
			late := append([]byte(nil), answer...)
			time.AfterFunc(time.Second, func() { c.Write(late) })
			return nil
		}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := serve(t, ServerConfig{Handler: newPlant(), Intercept: tc.m})
			c := s.Dial()
			sendHex(t, c, askOne+askTwo)
			wantHex(t, c, tc.want)
			if tc.reason == "" {
				return
			}
			wantHungUp(t, c)
			if st := s.ended(); st.Ended[tc.reason] != 1 {
				t.Errorf("counted %v", st.Ended)
			}
		})
	}
}

func TestInterceptorPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := listentest.NewPipes()
		trickle := meddler{answer: func(ctx context.Context, c *ServerConn, _, answer []byte) error {
			for i := range answer {
				if err := c.Pause(ctx, time.Second); err != nil {
					return err
				}
				c.Send(answer[i : i+1])
			}
			return nil
		}}
		s := serveOn(t, ServerConfig{Handler: newPlant(), Intercept: trickle, DrainTimeout: 4 * time.Second}, ln)
		c := ln.Dial()
		begin := time.Now()
		sendHex(t, c, askOne)
		wantHex(t, c, answerOne)
		if d, want := time.Since(begin), 11*time.Second; d != want {
			t.Errorf("11 bytes, one a second, took %v", d)
		}
		sendHex(t, c, askOne)
		go io.Copy(io.Discard, c) // what comes until the drain is over
		begin = time.Now()
		st := s.ended()
		if d := time.Since(begin); d != 4*time.Second || st.Ended["drain timeout"] != 1 {
			t.Errorf("the drain took %v, counted %v", d, st.Ended)
		}
	})
}

func TestServerRefusalIsAnError(t *testing.T) {
	for _, tc := range []struct {
		err    error
		reason string
	}{
		{errors.New("whatever"), "refused"},
		{fmt.Errorf("wrapped: %w", &HangUpError{Reason: "slots"}), "slots"},
	} {
		s := serve(t, ServerConfig{Open: func(*ServerConn) (Service, error) { return Service{}, tc.err }})
		wantHungUp(t, s.Dial())
		if st := s.ended(); st.Refused[tc.reason] != 1 {
			t.Errorf("counted %v, want %q", st.Refused, tc.reason)
		}
	}
}
