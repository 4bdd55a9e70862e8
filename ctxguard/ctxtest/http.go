package ctxtest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
)

// HTTP makes an f for AssertCancels of a function that uses an HTTP client. The client's peer is in memory and falls silent at the given stage; it obeys the
// request's context as net/http does. When do returns, every body of an answer must be closed.
//
//go:noinline
func HTTP(at Stage, do func(ctx context.Context, c *http.Client) error) func(context.Context) error {
	return func(ctx context.Context) error {
		p := &Probe{}
		return p.also(do(ctx, &http.Client{Transport: &silentHTTP{at: at, probe: p}}))
	}
}

// also is err, with everything that p was shown to be closed when all has settled.
func (p *Probe) also(err error) error { return &checkedLater{err, p.err} }

type silentHTTP struct {
	at    Stage
	probe *Probe
}

// RoundTrip implements http.RoundTripper.
func (s *silentHTTP) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	if s.at == Silent {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	body := newSilentReader(strings.NewReader("{"), r.Context())
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, ContentLength: -1,
		Body: s.probe.ReadCloser(body, "a body"), Request: r,
	}, nil
}

// silentReader has a beginning, and then nothing more, until it is closed or its context ends.
type silentReader struct {
	begin  io.Reader
	done   <-chan struct{}
	why    func() error
	closed chan struct{}
	once   sync.Once
}

func newSilentReader(begin io.Reader, ctx context.Context) *silentReader {
	return &silentReader{begin: begin, done: ctx.Done(), why: ctx.Err, closed: make(chan struct{})}
}

// Read implements io.Reader.
func (s *silentReader) Read(b []byte) (int, error) {
	if n, err := s.begin.Read(b); !errors.Is(err, io.EOF) {
		return n, err
	}
	select {
	case <-s.done:
		return 0, s.why()
	case <-s.closed:
		return 0, io.ErrClosedPipe
	}
}

// Close implements io.Closer.
func (s *silentReader) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// Reader makes an f for AssertCancels of a function that reads from something that knows no context: nothing ever comes, and only Close ends a Read.
// When do returns, it must be closed.
//
//go:noinline
func Reader(do func(ctx context.Context, r io.ReadCloser) error) func(context.Context) error {
	return func(ctx context.Context) error {
		p := &Probe{}
		r := newSilentReader(strings.NewReader(""), context.WithoutCancel(ctx))
		return p.also(do(ctx, p.ReadCloser(r, "the reader")))
	}
}
