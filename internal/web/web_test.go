package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"millrace/internal/web"
	"millrace/internal/web/webtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "0123456789abcdef"

func newServer(t *testing.T, src web.Source, change func(*web.Config)) *web.Server {
	t.Helper()
	cfg := web.Config{Token: token}
	if change != nil {
		change(&cfg)
	}
	s, err := web.New(cfg, src)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ask sends a request made of "METHOD path", headers as "Name: value", and for POST a body.
func ask(s *web.Server, line, body string, headers ...string) *httptest.ResponseRecorder {
	method, path, _ := strings.Cut(line, " ")
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:8080"
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

// pipes is a listener whose connections are net.Pipe, so that time can be synctest's.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// start runs s on pipes until the test ends.
func start(t *testing.T, s *web.Server) *pipes {
	t.Helper()
	ln, stop := startUntil(t, s)
	t.Cleanup(func() { stop() })
	return ln
}

// startUntil runs s on pipes until stop, which returns when Run has.
func startUntil(t *testing.T, s *web.Server) (ln *pipes, stop func()) {
	ln = newPipes()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, ln) }()
	return ln, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// event is one event of a live stream.
type event struct{ name, data, id string }

type client struct {
	conn   net.Conn
	events chan event
	status int
	lastID string
}

func open(t *testing.T, ln *pipes, query string, headers ...string) *client {
	t.Helper()
	c := &client{conn: ln.dial(), events: make(chan event, 1000)}
	t.Cleanup(func() { c.conn.Close() })
	fmt.Fprintf(c.conn, "GET /api/v1/stream%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", query, strings.Join(append(headers, ""), "\r\n"))
	resp, err := http.ReadResponse(bufio.NewReader(c.conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.status = resp.StatusCode
	go c.read(resp.Body)
	return c
}

func (c *client) read(body io.Reader) {
	defer close(c.events)
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 8<<20)
	var e event
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case lines.Text() == "" && (e.data != "" || e.id != ""):
			c.events <- e
			e = event{}
		case name == "event":
			e.name = value
		case name == "data":
			e.data = value
		case name == "id":
			e.id = value
		}
	}
}

// next waits for the next event of that name and skips others.
func (c *client) next(t *testing.T, name string) event {
	t.Helper()
	for e := range c.events {
		if e.id != "" {
			c.lastID = e.id
		}
		if e.name == name {
			return e
		}
	}
	t.Fatalf("the stream ended before %s", name)
	return event{}
}

// drained returns the names of the events that came so far.
func (c *client) drained() []string {
	var names []string
	for _, e := range c.came() {
		if e.name != "" {
			names = append(names, e.name)
		}
	}
	return names
}

// came returns the events that came so far. One called end is the stream's.
func (c *client) came() []event {
	synctest.Wait()
	var all []event
	for {
		select {
		case e, ok := <-c.events:
			if !ok {
				return append(all, event{name: "end"})
			}
			if e.id != "" {
				c.lastID = e.id
			}
			all = append(all, e)
		default:
			return all
		}
	}
}

type sampleJSON struct {
	ID      int
	Value   any
	Quality string
	TS      string
}

func decode[T any](t *testing.T, s string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	return v
}

func TestConfig(t *testing.T) {
	for _, tt := range []struct {
		cfg  web.Config
		want string
	}{
		{web.Config{Token: "short"}, "fewer than 16"},
		{web.Config{MaxStreams: -1}, "max_streams"},
		{web.Config{MaxStreams: 10_001}, "max_streams"},
		{web.Config{Tick: time.Millisecond}, "tick"},
		{web.Config{Hosts: []string{"http://gw"}}, "no host name"},
	} {
		_, err := web.New(tt.cfg, webtest.New(1, 8, time.Unix(1000, 0)))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.cfg, err, tt.want)
		}
	}
}

func TestRunEndsWithListener(t *testing.T) {
	s := newServer(t, webtest.New(1, 8, time.Unix(1000, 0)), nil)
	ln := newPipes()
	ln.Close()
	if err := s.Run(t.Context(), ln); err == nil || !strings.Contains(err.Error(), "web: serve 127.0.0.1:8080") {
		t.Errorf("Run on a closed listener: %v", err)
	}
}
