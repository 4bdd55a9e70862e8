package listen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers frames of one length byte and a body with themselves. A body "!" ends the connection, "?" waits for ctx.
type echo struct {
	batch int // bytes gathered before it hands over; 0 is no limit
}

var errBang = &Error{Reason: "bang", Err: errors.New("told to")}

func (e echo) Serve(ctx context.Context, in, out []byte) (int, []byte, error) {
	used := 0
	for len(in) > used && len(in)-used > int(in[used]) {
		f := in[used : used+1+int(in[used])]
		used += len(f)
		switch string(f[1:]) {
		case "!":
			return used, out, errBang
		case "?":
			<-ctx.Done()
		}
		if out = append(out, f...); e.batch > 0 && len(out) >= e.batch {
			break
		}
	}
	return used, out, nil
}

func serveEcho(ctx context.Context, c *Conn) error {
	c.Established()
	return c.Loop(ctx, echo{})
}

// pipes is a listener of in-memory connections.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return pipeAddr{} }

func (p *pipes) dial() net.Conn {
	a, b := net.Pipe()
	p.conns <- b
	return a
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// running is a server that serves until the test ends or stop is called.
type running struct {
	*Server
	t    *testing.T
	stop func() // begins the drain
	done chan error
}

func start(t *testing.T, cfg Config, ln net.Listener, h Handler) *running {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{Server: s, t: t, stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- s.Serve(ctx, ln, h); close(r.done) }()
	t.Cleanup(func() { cancel(); <-r.done })
	return r
}

func (r *running) wantStopped() {
	r.t.Helper()
	r.stop()
	if err := <-r.done; err != nil {
		r.t.Errorf("Serve: %v", err)
	}
	if n := r.Stats().Open; n != 0 {
		r.t.Errorf("%d connections open after Serve returned", n)
	}
}

// wantEnd waits until all but open connections are over and checks the count of one reason.
func (r *running) wantEnd(reason Reason, n uint64) {
	r.t.Helper()
	st := r.Stats()
	if got := st.Refused[reason] + st.Ended[reason]; got != n {
		r.t.Errorf("%q counted %d times, want %d; all: %+v", reason, got, n, st)
	}
}

func loopback(t testing.TB) net.Listener {
	t.Helper()
	ln, err := Listen(t.Context(), "127.0.0.1:0", Socket{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func dial(t testing.TB, ln net.Listener) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

func frame(body string) []byte { return append([]byte{byte(len(body))}, body...) }

func ask(t testing.TB, c net.Conn, body string) {
	t.Helper()
	if _, err := c.Write(frame(body)); err != nil {
		t.Fatalf("write %q: %v", body, err)
	}
	want(t, c, body)
}

func want(t testing.TB, c net.Conn, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		got := make([]byte, 1+len(body))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, frame(body)) {
			t.Fatalf("answer %q, %v; want %q", got, err, frame(body))
		}
	}
}

// wantClosed reads until the server has ended c.
func wantClosed(t testing.TB, c net.Conn) {
	t.Helper()
	b, err := io.ReadAll(c)
	if len(b) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("got %q, %v; want the end of the connection", b, err)
	}
}

func TestFramesOverTCP(t *testing.T) {
	ln := loopback(t)
	r := start(t, Config{}, ln, serveEcho)
	c := dial(t, ln)
	ask(t, c, "one")
	c.Write(bytes.Join([][]byte{frame("two"), frame("three"), frame("fo")[:2]}, nil))
	want(t, c, "two", "three")
	c.Write([]byte("o"))
	want(t, c, "fo")
	for _, b := range frame("byte by byte") {
		c.Write([]byte{b})
	}
	want(t, c, "byte by byte")
	c.Close()
	r.wantStopped()
	r.wantEnd(ReasonPeer, 1)
}

func TestAnswersBeforeAnErrorAreSent(t *testing.T) {
	ln := loopback(t)
	r := start(t, Config{}, ln, serveEcho)
	c := dial(t, ln)
	c.Write(append(frame("good"), frame("!")...))
	want(t, c, "good")
	wantClosed(t, c)
	r.wantStopped()
	r.wantEnd("bang", 1)
}

func TestBoundedOutputServesAll(t *testing.T) {
	ln := loopback(t)
	r := start(t, Config{}, ln, func(ctx context.Context, c *Conn) error {
		c.Established()
		return c.Loop(ctx, echo{batch: 8})
	})
	c := dial(t, ln)
	const n = 200
	c.Write(bytes.Repeat(frame("abc"), n))
	for range n {
		want(t, c, "abc")
	}
	r.wantStopped()
}

func TestHalfClose(t *testing.T) {
	ln := loopback(t)
	r := start(t, Config{}, ln, serveEcho)
	c := dial(t, ln)
	c.Write(frame("ask and go"))
	c.CloseWrite()
	want(t, c, "ask and go")
	wantClosed(t, c)
	r.wantStopped()
	r.wantEnd(ReasonPeer, 1)
}

// A half-close behind the last request of a lasting connection may go unseen until the idle deadline.
func TestHalfCloseOfALastingConnection(t *testing.T) {
	ln := loopback(t)
	r := start(t, Config{IdleTimeout: 500 * time.Millisecond}, ln, serveEcho)
	c := dial(t, ln)
	for range 10 {
		ask(t, c, "again")
	}
	c.Write(frame("last"))
	c.CloseWrite()
	want(t, c, "last")
	wantClosed(t, c)
	r.wantStopped()
	if st := r.Stats(); st.Ended[ReasonIdle]+st.Ended[ReasonPeer] != 1 {
		t.Errorf("%+v", st)
	}
}

// narrow is a listener whose connections take little at a time.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	c, err := n.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(4096)
	}
	return c, err
}

func TestAnswersThatDoNotFitTheSocket(t *testing.T) {
	ln := loopback(t)
	r := start(t, Config{ReadBuffer: 256 << 10}, narrow{ln}, serveEcho) // so much is answered at once
	c := dial(t, ln)
	var sent []byte
	for i := range 5000 {
		sent = append(sent, frame(fmt.Sprintf("frame %d %s", i, bytes.Repeat([]byte("."), i%97)))...)
	}
	go c.Write(sent)
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back wrong: %v", len(got), err)
	}
	r.wantStopped()
}

func TestFrameDeadlineIsOfItsOwnFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		r := start(t, Config{FrameTimeout: 3 * time.Second}, ln, serveEcho)
		c := ln.dial()
		f := frame("in parts")
		for range 5 { // each write ends a frame and begins the next
			c.Write(f[:3])
			time.Sleep(2 * time.Second)
			go c.Write(append(f[3:len(f):len(f)], f[:3]...))
			want(t, c, "in parts")
			time.Sleep(2 * time.Second)
			c.Write(f[3:])
			want(t, c, "in parts")
		}
		r.wantStopped()
	})
}

// Writes of other goroutines and the answers of Loop do not mix.
func TestConcurrentWritesStayWhole(t *testing.T) {
	ln := loopback(t)
	pushed := string(bytes.Repeat([]byte("p"), 200))
	const pushes = 2000
	r := start(t, Config{}, ln, func(ctx context.Context, c *Conn) error {
		c.Established()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range pushes {
				if _, err := c.Write(frame(pushed)); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		defer func() { <-done }()
		return c.Loop(ctx, echo{})
	})
	c := dial(t, ln)
	c.SetReadBuffer(32 << 10)
	answered := string(bytes.Repeat([]byte("a"), 100))
	const asks = 2000
	go c.Write(bytes.Repeat(frame(answered), asks))
	seen := map[string]int{}
	for range pushes + asks {
		head := make([]byte, 1)
		io.ReadFull(c, head)
		body := make([]byte, head[0])
		if _, err := io.ReadFull(c, body); err != nil {
			t.Fatal(err)
		}
		seen[string(body)]++
	}
	if seen[pushed] != pushes || seen[answered] != asks {
		t.Errorf("frames were torn: %d and %d of %d whole, %d kinds", seen[pushed], seen[answered], pushes, len(seen))
	}
	c.Close()
	r.wantStopped()
}

func TestCutFrame(t *testing.T) {
	ln := loopback(t)
	r := start(t, Config{}, ln, serveEcho)
	c := dial(t, ln)
	c.Write(frame("never whole")[:5])
	c.CloseWrite()
	wantClosed(t, c)
	r.wantStopped()
	r.wantEnd(ReasonCut, 1)
}

func TestBufferGrowsUpToMaxFrame(t *testing.T) {
	ln := loopback(t)
	r := start(t, Config{ReadBuffer: 16, MaxFrame: 100}, ln, serveEcho)
	c := dial(t, ln)
	ask(t, c, "short")
	ask(t, c, string(bytes.Repeat([]byte("x"), 98)))
	ask(t, c, "short")
	c.Write(frame(string(bytes.Repeat([]byte("x"), 200))))
	wantClosed(t, c)
	r.wantStopped()
	r.wantEnd(ReasonFrameTooLong, 1)
}

func TestRealSocketDeadlines(t *testing.T) {
	const short = 20 * time.Millisecond
	for _, tc := range []struct {
		reason Reason
		cfg    Config
		h      Handler
		send   []byte
	}{
		{ReasonIdle, Config{IdleTimeout: short}, serveEcho, nil},
		{ReasonPartialFrame, Config{FrameTimeout: short}, serveEcho, frame("half")[:2]},
		{ReasonHandshakeTimeout, Config{HandshakeTimeout: short}, func(ctx context.Context, c *Conn) error {
			return c.Loop(ctx, echo{})
		}, frame("no handshake")[:2]},
	} {
		t.Run(string(tc.reason), func(t *testing.T) {
			ln := loopback(t)
			r := start(t, tc.cfg, ln, tc.h)
			c := dial(t, ln)
			c.Write(tc.send)
			wantClosed(t, c)
			r.wantStopped()
			r.wantEnd(tc.reason, 1)
		})
	}
}

func TestReaderThatDoesNotRead(t *testing.T) {
	ln := loopback(t)
	r := start(t, Config{WriteTimeout: 20 * time.Millisecond}, ln, serveEcho)
	c := dial(t, ln)
	c.SetReadBuffer(4096)
	storm := bytes.Repeat(frame(string(bytes.Repeat([]byte("x"), 200))), 100)
	for {
		if _, err := c.Write(storm); err != nil {
			break // the server gave up on us
		}
	}
	r.wantStopped()
	r.wantEnd(ReasonWriteTimeout, 1)
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		r := start(t, Config{IdleTimeout: 10 * time.Second, FrameTimeout: 3 * time.Second, WriteTimeout: time.Second}, ln, serveEcho)

		idle := ln.dial()
		time.Sleep(9 * time.Second)
		ask(t, idle, "just in time")
		time.Sleep(9 * time.Second)
		ask(t, idle, "again")
		begin := time.Now()
		wantClosed(t, idle)
		if d := time.Since(begin); d != 10*time.Second {
			t.Errorf("an idle connection ended after %v", d)
		}

		slow := ln.dial()
		ask(t, slow, "a frame")
		begin = time.Now()
		go func() {
			for _, b := range frame("a byte a second") {
				slow.Write([]byte{b})
				time.Sleep(time.Second)
			}
		}()
		wantClosed(t, slow)
		if d := time.Since(begin); d != 3*time.Second {
			t.Errorf("a partial frame was held for %v", d)
		}

		deaf := ln.dial()
		deaf.Write(frame("who listens"))
		begin = time.Now()
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		wantClosed(t, deaf)
		if d := time.Since(begin); d != time.Second {
			t.Errorf("an answer nobody takes was held for %v", d)
		}
		time.Sleep(time.Minute) // the slow writer ends
		r.wantStopped()
		r.wantEnd(ReasonIdle, 1)
		r.wantEnd(ReasonPartialFrame, 1)
		r.wantEnd(ReasonWriteTimeout, 1)
	})
}

func TestHandshakePhase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		r := start(t, Config{HandshakeTimeout: 5 * time.Second}, ln, func(ctx context.Context, c *Conn) error {
			return c.Loop(ctx, greeting{c})
		})
		never := ln.dial()
		begin := time.Now()
		time.Sleep(4 * time.Second)
		ask(t, never, "not a greeting")
		wantClosed(t, never)
		if d := time.Since(begin); d != 5*time.Second {
			t.Errorf("a connection without a handshake lived %v", d)
		}
		c := ln.dial()
		ask(t, c, "hello")
		time.Sleep(time.Minute)
		ask(t, c, "still here")
		r.wantStopped()
		r.wantEnd(ReasonHandshakeTimeout, 1)
		if n := r.Stats().Refused[ReasonHandshakeTimeout]; n != 1 {
			t.Errorf("the handshake timeout counts as refused %d times", n)
		}
	})
}

// greeting is established by the frame "hello".
type greeting struct{ c *Conn }

func (g greeting) Serve(ctx context.Context, in, out []byte) (int, []byte, error) {
	if bytes.HasPrefix(in, frame("hello")) {
		g.c.Established()
	}
	return echo{}.Serve(ctx, in, out)
}
