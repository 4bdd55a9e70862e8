package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"sync"
	"time"

	"millrace/ctxguard"
)

// rate is how often the gentle load asks.
const rate = 2 * time.Millisecond

// serve leaks at a gentle rate, with everything in place that finds it, until ctx ends.
func serve(ctx context.Context, o options, w io.Writer) error {
	runtime.MemProfileRate = 16 << 10 // small objects show in a heap profile of some seconds
	g, err := ctxguard.New(ctxguard.Config{Every: time.Second})
	if err != nil {
		return err
	}
	life, end := context.WithCancel(ctx)
	s := newServer(life, o, g)
	defer s.followers.Wait()
	defer end()
	ln, err := net.Listen("tcp", o.serve)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer end()
	srv := &http.Server{Handler: debug(g), ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(life, func() { srv.Close() })
	defer stop()
	wg.Go(func() { _ = g.Run(life) }) // it returns nil
	wg.Go(func() { s.gently(life) })
	fmt.Fprintf(w, "serving http://%s%s\n", ln.Addr(), ctxguard.Path)
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// debug is what any program mounts to be looked into.
func debug(g *ctxguard.Guard) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(ctxguard.Path, g.Handler())
	mux.Handle(ctxguard.Path+"/", g.Handler())
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// gently asks the server without a network.
func (s *server) gently(ctx context.Context) {
	tick := time.NewTicker(rate)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/?q=1", nil)
			if err != nil {
				return
			}
			s.ServeHTTP(&nobody{header: http.Header{}}, r)
		}
	}
}

// nobody takes an answer.
type nobody struct{ header http.Header }

func (n *nobody) Header() http.Header         { return n.header }
func (n *nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n *nobody) WriteHeader(int)             {}
