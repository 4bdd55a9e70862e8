package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"millrace/ctxguard"
)

// debugOptions say whether and where the inside of the process is to be seen.
type debugOptions struct {
	addr   string // empty is nowhere
	remote bool
}

func (o *debugOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.addr, "debug", "", "serve profiles, traces and leaks at this address, such as 127.0.0.1:6060")
	cmd.Flags().BoolVar(&o.remote, "debug-remote", false, "let --debug listen on an address that other machines reach; it asks for no token")
}

// check refuses an address that others reach, unless it was asked for: stacks tell what the gateway does and with whom, and a profile takes CPU.
func (o *debugOptions) check() error {
	if o.addr == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(o.addr)
	if err != nil {
		return fmt.Errorf("--debug %s: %w", o.addr, err)
	}
	if o.remote || isLoopback(host) {
		return nil
	}
	return fmt.Errorf("--debug %s: other machines reach that address, and nothing there asks for a token; name one of 127.0.0.0/8, or say --debug-remote", o.addr)
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func (o *debugOptions) listen(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", o.addr)
	if err != nil {
		return nil, fmt.Errorf("--debug: %w", err)
	}
	return ln, nil
}

// serveDebug answers at ln until ctx ends. What is being recorded then is cut off.
func serveDebug(ctx context.Context, ln net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("debug: %w", err)
	}
	return nil
}

// debugHandler has Go's profiles, the leak detector, and the switches of what may cancel by force. Go's leak profile is answered by the detector, which guards it.
func debugHandler(g *ctxguard.Guard, f *ctxguard.Forcer) http.Handler {
	mux := http.NewServeMux()
	leaks := g.Handler()
	mux.Handle(ctxguard.Path, leaks)
	mux.Handle(ctxguard.Path+"/", leaks)
	force := f.Handler()
	mux.Handle(ctxguard.Path+"/force", force)
	mux.Handle(ctxguard.Path+"/force/", force)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.Handle("/debug/pprof/goroutineleak", http.RedirectHandler(ctxguard.Path+"/goroutineleak", http.StatusTemporaryRedirect))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, debugIndex) })
	return byAddress(mux)
}

const debugIndex = `/debug/ctxguard              what leaks; ?format=json
/debug/ctxguard/tree         contexts as they hang on each other
/debug/ctxguard/diff         what grows in ?seconds=10
/debug/ctxguard/metrics      for Prometheus
/debug/ctxguard/force        live streams older than half a day, and the policy for them
/debug/ctxguard/goroutineleak?debug=1
/debug/pprof/                Go's profiles: goroutine?debug=2, heap, profile?seconds=5
/debug/pprof/trace?seconds=5
`

// byAddress refuses requests that name the server otherwise than by an address or localhost: a page of another site can point a name of its own here.
func byAddress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		host = strings.Trim(host, "[]")
		if _, err := netip.ParseAddr(host); err != nil && host != "localhost" {
			http.Error(w, "ask by address", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
