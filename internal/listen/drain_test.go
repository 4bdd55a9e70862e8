package listen

import (
	"bytes"
	"context"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestDrainEndsIdleConnectionsAtOnce(t *testing.T) {
	ln := loopback(t)
	r := start(t, Config{DrainTimeout: time.Hour}, ln, serveEcho)
	var conns []net.Conn
	for range 10 {
		c := dial(t, ln)
		ask(t, c, "hello")
		conns = append(conns, c)
	}
	r.wantStopped()
	for _, c := range conns {
		wantClosed(t, c)
	}
	r.wantEnd(ReasonDrained, 10)
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("the listener still accepts")
	}
}

func TestDrainServesWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		entered, leave := make(chan struct{}), make(chan struct{})
		r := start(t, Config{}, ln, func(ctx context.Context, c *Conn) error {
			c.Established()
			return c.Loop(ctx, gate{entered, leave})
		})
		busy, partial := ln.dial(), ln.dial()
		partial.Write(frame("half")[:3])
		busy.Write(frame("busy"))
		<-entered
		r.stop()
		time.Sleep(5 * time.Second) // within DrainTimeout
		close(leave)
		want(t, busy, "busy")
		wantClosed(t, busy)
		r.wantStopped()
		r.wantEnd(ReasonDrained, 1)
		r.wantEnd(ReasonPartialFrame, 1)
	})
}

// gate is echo that says when it is in Serve and waits to be let go.
type gate struct{ entered, leave chan struct{} }

func (g gate) Serve(ctx context.Context, in, out []byte) (int, []byte, error) {
	if len(in) > 0 && len(in) > int(in[0]) {
		select {
		case g.entered <- struct{}{}:
			<-g.leave
		case <-g.leave:
		}
	}
	return echo{}.Serve(ctx, in, out)
}

func TestDrainFinishesAPartialFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		r := start(t, Config{}, ln, serveEcho)
		c := ln.dial()
		f := frame("in two parts")
		c.Write(f[:4])
		r.stop()
		synctest.Wait()
		time.Sleep(time.Second)
		c.Write(f[4:])
		want(t, c, "in two parts")
		wantClosed(t, c)
		r.wantStopped()
		r.wantEnd(ReasonDrained, 1)
	})
}

func TestDrainHearsTheLastCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		r := start(t, Config{}, ln, serveEcho)
		c := ln.dial()
		ask(t, c, "hello")
		r.stop()
		synctest.Wait()
		ask(t, c, "was on its way") // the clock has not moved: within the last call
		wantClosed(t, c)
		r.wantStopped()
	})
}

func TestDrainTimeoutDropsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		r := start(t, Config{DrainTimeout: 10 * time.Second, WriteTimeout: time.Hour}, ln, serveEcho)
		stuck, deaf := ln.dial(), ln.dial()
		stuck.Write(frame("?"))
		deaf.Write(frame("nobody reads this"))
		synctest.Wait()
		begin := time.Now()
		r.wantStopped()
		if d := time.Since(begin); d != 10*time.Second {
			t.Errorf("the drain took %v", d)
		}
		r.wantEnd(ReasonDropped, 2)
	})
}

// What fills the socket when the drain begins is not served to its end.
func TestDrainDoesNotServeABacklog(t *testing.T) {
	ln := loopback(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	var served atomic.Int64
	conns := make(chan *Conn, 1)
	r := start(t, Config{}, ln, func(ctx context.Context, c *Conn) error {
		c.Established()
		conns <- c
		return c.Loop(ctx, counted{gate{entered, leave}, &served})
	})
	c := dial(t, ln)
	c.Write(frame("first"))
	<-entered
	f := frame("a flood")
	const reads = 16
	flood := bytes.Repeat(f, reads*defaultReadBuffer/len(f))
	if _, err := c.Write(flood); err != nil {
		t.Fatal(err)
	}
	r.stop()
	for accepted := <-conns; !accepted.isDraining(); {
		runtime.Gosched()
	}
	close(leave)
	r.wantStopped()
	if n := served.Load(); n > 4*defaultReadBuffer {
		t.Errorf("served %d bytes of %d after the drain began", n, len(flood))
	}
}

// counted adds up the bytes that were served.
type counted struct {
	Protocol
	bytes *atomic.Int64
}

func (p counted) Serve(ctx context.Context, in, out []byte) (int, []byte, error) {
	n, out, err := p.Protocol.Serve(ctx, in, out)
	p.bytes.Add(int64(n))
	return n, out, err
}

func TestDrainOfAFlood(t *testing.T) {
	ln := loopback(t)
	r := start(t, Config{DrainTimeout: 50 * time.Millisecond}, ln, serveEcho)
	c := dial(t, ln)
	ask(t, c, "hello")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f := frame("three bytes do not divide the buffer")
		for {
			if _, err := c.Write(f); err != nil {
				return
			}
		}
	}()
	go func() {
		b := make([]byte, 1<<16)
		for {
			if _, err := c.Read(b); err != nil {
				return
			}
		}
	}()
	r.wantStopped()
	<-ended
}
