package modbus

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// exchanging is a client over a socket, so busy that its callers exchange. The device answers as wayward says.
func exchanging(t *testing.T, cfg Config, wayward func(p *peer, fr Frame) bool) *Client {
	t.Helper()
	var steady atomic.Bool
	steady.Store(true)
	c := overTCP(t, cfg, func(p *peer) {
		for {
			fr, ok := p.next()
			if ok && steady.Load() {
				ok = p.reply(answerTo(fr))
			} else if ok {
				ok = wayward(p, fr)
			}
			if !ok {
				return
			}
		}
	})
	for n := 0; readsByCallers(c) < 3; n++ {
		var v [1]uint16
		if err := c.ReadHolding(t.Context(), 1, 7, 1, v[:]); err != nil || v[0] != 7 || n > 10_000 {
			t.Fatalf("read %d: %v, %v", n, v, err)
		}
	}
	steady.Store(false)
	return c
}

func TestExchangeOfACutReply(t *testing.T) {
	c := exchanging(t, Config{Timeout: time.Minute}, func(p *peer, fr Frame) bool {
		b := p.framing.Append(nil, answerTo(fr))
		return p.send(b[:5]) && p.send(b[5:])
	})
	for a := range uint16(200) {
		var v [1]uint16
		if err := c.ReadHolding(t.Context(), 1, a, 1, v[:]); err != nil || v[0] != a {
			t.Fatalf("asked %d, got %v, %v", a, v, err)
		}
	}
}

func TestExchangeWithDuplicates(t *testing.T) {
	c := exchanging(t, Config{Timeout: time.Minute}, func(p *peer, fr Frame) bool {
		return p.reply(answerTo(fr), answerTo(fr))
	})
	for a := range uint16(200) {
		var v [1]uint16
		if err := c.ReadHolding(t.Context(), 1, a, 1, v[:]); err != nil || v[0] != a {
			t.Fatalf("asked %d, got %v, %v", a, v, err)
		}
	}
	if s := c.Stats(); s.Duplicate < 199 || s.Foreign != 0 {
		t.Errorf("stats %+v", s)
	}
}

// A reply that never comes ends by its time, or with the context; one that comes too late is nobody's value.
func TestExchangeTimesOutAndIsCancelled(t *testing.T) {
	var owed []Frame
	c := exchanging(t, Config{Timeout: 20 * time.Millisecond}, func(p *peer, fr Frame) bool {
		if fr.PDU[1] == 0xFF { // an address from 0xFF00 on: not now
			owed = append(owed, answerTo(fr))
			return true
		}
		out := append(owed, answerTo(fr))
		owed = nil
		return p.reply(out...)
	})
	for a := range uint16(20) {
		var v [1]uint16
		if err := c.ReadHolding(t.Context(), 1, 0xFF00+a, 1, v[:]); !timedOut(err) {
			t.Fatalf("asked for nothing, got %v, %v", v, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if err := c.ReadHolding(ctx, 1, 0xFF00+a, 1, v[:]); !timedOut(err) {
			t.Fatalf("asked for nothing, got %v, %v", v, err)
		}
		cancel()
		for b := range uint16(5) {
			if err := c.ReadHolding(t.Context(), 1, a+b, 1, v[:]); err != nil && !timedOut(err) || err == nil && v[0] != a+b {
				t.Fatalf("asked %d, got %v, %v", a+b, v, err)
			}
		}
	}
}

func TestExchangeIsCancelledInTime(t *testing.T) {
	c := exchanging(t, Config{Timeout: time.Hour}, func(*peer, Frame) bool { return true })
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	err := c.WriteRegister(ctx, 1, 1, 1)
	var e *Error
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || !e.MayHaveHappened() {
		t.Errorf("got %v", err)
	}
}

// The device answers and hangs up at once, or hangs up in place of an answer.
func TestExchangeWithOneThatHangsUp(t *testing.T) {
	for _, answers := range []bool{true, false} {
		c := exchanging(t, Config{Timeout: time.Hour}, func(p *peer, fr Frame) bool {
			if answers {
				p.reply(answerTo(fr))
			}
			return false
		})
		var v [1]uint16
		if err := c.ReadHolding(t.Context(), 1, 9, 1, v[:]); answers != (err == nil && v[0] == 9) {
			t.Errorf("answers %v: %v, %v", answers, v, err)
		}
		if err := c.ReadHolding(t.Context(), 1, 9, 1, v[:]); !errors.Is(err, net.ErrClosed) {
			t.Errorf("behind it: %v", err)
		}
	}
}

func TestCloseCutsAnExchange(t *testing.T) {
	asked := make(chan struct{}, 1)
	c := exchanging(t, Config{Timeout: time.Hour}, func(*peer, Frame) bool {
		asked <- struct{}{}
		return true
	})
	failed := make(chan error)
	go func() { failed <- c.WriteRegister(t.Context(), 1, 1, 1) }()
	<-asked
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
