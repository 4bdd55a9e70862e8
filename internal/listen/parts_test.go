package listen

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// parts has frames of one byte parts: letters, and a full stop ends the frame, which is answered by it.
type parts struct {
	frame uint64
	open  bool
}

func (p *parts) Serve(_ context.Context, in, out []byte) (int, []byte, error) {
	for _, b := range in {
		if p.open = b != '.'; !p.open {
			p.frame++
			out = append(out, b)
		}
	}
	return len(in), out, nil
}

func (p *parts) Pending() uint64 {
	if p.open {
		return p.frame + 1
	}
	return 0
}

func serveParts(ctx context.Context, c *Conn) error {
	c.Established()
	return c.Loop(ctx, &parts{})
}

// lasts returns how long the server lets c live.
func lasts(t *testing.T, c net.Conn) time.Duration {
	t.Helper()
	begin := time.Now()
	if b, err := io.ReadAll(c); len(b) > 0 || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	return time.Since(begin)
}

func TestFrameDeadlineCoversParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		s := start(t, Config{FrameTimeout: 2 * time.Second, IdleTimeout: time.Minute}, p, serveParts)
		say := func(c net.Conn, b string) {
			t.Helper()
			if _, err := c.Write([]byte(b)); err != nil {
				t.Fatal(err)
			}
		}
		slow := p.dial()
		say(slow, "a")
		time.Sleep(1500 * time.Millisecond)
		say(slow, "b")
		if d := lasts(t, slow); d != 500*time.Millisecond {
			t.Errorf("a frame in slow parts lived %v longer", d)
		}

		busy := p.dial() // each frame ends in time, and the next begins in the same write
		say(busy, "a")
		for range 5 {
			time.Sleep(time.Second)
			say(busy, ".b")
			if _, err := io.ReadFull(busy, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		say(busy, ".")
		if _, err := io.ReadFull(busy, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if d := lasts(t, busy); d != time.Minute {
			t.Errorf("between frames it lived %v longer", d)
		}

		cut := p.dial()
		say(cut, "a")
		cut.Close()
		synctest.Wait()
		s.wantStopped()
		s.wantEnd(ReasonPartialFrame, 1)
		s.wantEnd(ReasonIdle, 1)
		s.wantEnd(ReasonCut, 1)
	})
}

func TestEndIdle(t *testing.T) {
	conns := make(chan *Conn, 1)
	h := func(ctx context.Context, c *Conn) error {
		c.Established()
		conns <- c
		err := c.Loop(ctx, echo{})
		if end := c.Explain(err); end.Reason != ReasonIdle {
			t.Errorf("will be counted as %q", end.Reason)
		}
		return err
	}
	for name, ln := range map[string]net.Listener{"plain": newPipes(), "raw": loopback(t)} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Config{}, ln, h)
			var c net.Conn
			if p, ok := ln.(*pipes); ok {
				c = p.dial()
			} else {
				c = dial(t, ln)
			}
			if _, err := c.Write([]byte("\x01a")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, make([]byte, 2)); err != nil {
				t.Fatal(err)
			}
			(<-conns).EndIdle()
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("ended with %v", err)
			}
			s.wantStopped()
			s.wantEnd(ReasonIdle, 1)
		})
	}
}

// late is a protocol that answers each byte from another goroutine, by more than goes into the buffers of a peer that does not read.
type late struct{ c *Conn }

func (p late) Serve(_ context.Context, in, out []byte) (int, []byte, error) {
	time.AfterFunc(time.Millisecond, func() { p.c.Write(make([]byte, 32<<20)) })
	return len(in), out, nil
}

// A write of another goroutine that fails ends the connection, though its own waits for the peer.
func TestAWriteThatFailsEndsTheConnection(t *testing.T) {
	h := func(ctx context.Context, c *Conn) error {
		c.Established()
		return c.Loop(ctx, late{c})
	}
	for name, ln := range map[string]net.Listener{"plain": newPipes(), "raw": loopback(t)} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan End, 1)
			start(t, Config{WriteTimeout: 50 * time.Millisecond, OnEnd: func(e End) { ended <- e }}, ln, h)
			var c net.Conn
			if p, ok := ln.(*pipes); ok {
				c = p.dial()
			} else {
				c = dial(t, ln)
			}
			if _, err := c.Write([]byte("a")); err != nil {
				t.Fatal(err)
			}
			if e := <-ended; e.Reason != ReasonWriteTimeout {
				t.Errorf("ended as %q, %v", e.Reason, e.Err)
			}
		})
	}
}
