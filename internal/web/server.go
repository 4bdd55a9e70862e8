package web

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"millrace/ctxguard"
	"millrace/internal/write"
	"millrace/internal/write/audit"
)

const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 30 * time.Second // to read a request, and to write an answer that is no stream
	idleTimeout    = 60 * time.Second
	drainTimeout   = 5 * time.Second
	maxHeader      = 32 << 10
	maxBody        = 64 << 10
)

// Config of a Server.
type Config struct {
	// Token opens the routes that change something. Empty closes them.
	Token string
	// Writer takes what is to be written. Nil closes the routes.
	Writer Writer
	// Audit reads the audit log. Nil closes the route.
	Audit func(ctx context.Context, q audit.Query) (audit.Page, error)
	// Identify says whose a bearer token is that is not Token. Nil knows nobody.
	Identify func(token string) (write.Caller, bool)
	// Hosts are names, without port, under which browsers may ask for the page, beside localhost and every IP address.
	Hosts []string
	// Metrics answers /metrics. Nil answers 404.
	Metrics http.Handler
	// Log hears of refused and broken requests. Nil is silent.
	Log *slog.Logger
	// Guard looks after the contexts of requests, and says of handlers that leave some behind. Nil is off.
	Guard *ctxguard.Guard
	// Forcer may cut live streams that are older than half a day, as its policy says: whoever still watches comes back where the stream ended. Nil never does.
	Forcer *ctxguard.Forcer
	// MaxStreams limits open live streams: default 256, at most 10,000.
	MaxStreams int
	// Tick is how often a live stream looks for changes: default 250ms, 50ms to 10s.
	Tick time.Duration
}

func (c Config) withDefaults() (Config, error) {
	if c.MaxStreams == 0 {
		c.MaxStreams = 256
	}
	if c.MaxStreams < 0 || c.MaxStreams > 10_000 {
		return c, fmt.Errorf("web: max_streams %d is not between 1 and 10000", c.MaxStreams)
	}
	if c.Tick == 0 {
		c.Tick = 250 * time.Millisecond
	}
	if c.Tick < 50*time.Millisecond || c.Tick > 10*time.Second {
		return c, fmt.Errorf("web: tick %s is not between 50ms and 10s", c.Tick)
	}
	if c.Token != "" && len(c.Token) < 16 {
		return c, errors.New("web: the token has fewer than 16 characters")
	}
	for _, h := range c.Hosts {
		if h == "" || strings.ContainsAny(h, ":/ ") {
			return c, fmt.Errorf("web: %q is no host name (leave out scheme and port)", h)
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Server answers HTTP requests about a Source. It holds no goroutines of its own beside those of net/http while Run runs.
type Server struct {
	cfg     Config
	src     Source
	guard   guard
	index   index
	feed    *feed
	assets  assets
	boot    string        // tells the stream positions of this process from those of another
	scans   chan struct{} // 2 scans of the journal or the audit log at once: each reads the disk; others wait
	closing chan struct{} // closed when the drain begins: streams end
	handler http.Handler
	counts  counts
}

type counts struct {
	streams, streamsOpened, streamsRefused, streamsStuck atomic.Int64
	hostRefused, originRefused, tokenRefused             atomic.Int64
}

// Stats is what a server counted since it was made, but Streams, which is now.
type Stats struct {
	Streams        int64
	StreamsOpened  int64
	StreamsRefused int64 // over MaxStreams
	StreamsStuck   int64 // closed because the client did not read
	HostRefused    int64
	OriginRefused  int64
	TokenRefused   int64
}

// New returns a server for src.
func New(cfg Config, src Source) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	a, err := loadAssets()
	if err != nil {
		return nil, err
	}
	var id [8]byte
	rand.Read(id[:]) // never fails
	s := &Server{
		cfg: cfg, src: src, assets: a, guard: newGuard(cfg), feed: newFeed(src),
		boot: hex.EncodeToString(id[:]), scans: make(chan struct{}, 2), closing: make(chan struct{}),
	}
	s.handler = cfg.Guard.In(ctxguard.Scope{Name: "web", Lease: -1}).Middleware(s.routes()) // streams live as long as somebody watches
	return s, nil
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	c := &s.counts
	return Stats{
		Streams: c.streams.Load(), StreamsOpened: c.streamsOpened.Load(), StreamsRefused: c.streamsRefused.Load(),
		StreamsStuck: c.streamsStuck.Load(), HostRefused: c.hostRefused.Load(), OriginRefused: c.originRefused.Load(),
		TokenRefused: c.tokenRefused.Load(),
	}
}

// Refused returns the refusals by reason, as telemetry shows them.
func (s Stats) Refused() map[string]uint64 {
	return map[string]uint64{
		"stream_limit": uint64(s.StreamsRefused), "stream_stuck": uint64(s.StreamsStuck), "host": uint64(s.HostRefused),
		"origin": uint64(s.OriginRefused), "token": uint64(s.TokenRefused),
	}
}

// Handler returns what answers the requests.
func (s *Server) Handler() http.Handler { return s.handler }

// Run serves on ln, which it closes, until ctx ends, then lets requests end for 5 seconds. A server runs once.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
	srv.RegisterOnShutdown(func() { close(s.closing) })
	served := make(chan error, 1) // 1: Serve ends whether or not somebody waits
	go func() { served <- srv.Serve(ln) }()
	select {
	case err := <-served:
		_ = srv.Close() // ends the streams; the reason to give is err
		return fmt.Errorf("web: serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := srv.Shutdown(drain)
	if err != nil {
		_ = srv.Close()
		err = fmt.Errorf("web: drain: %w", err)
	}
	<-served
	return err
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", s.ready)
	if s.cfg.Metrics != nil {
		mux.Handle("GET /metrics", s.cfg.Metrics)
	}
	mux.HandleFunc("GET /api/v1/gateway", s.gateway)
	mux.HandleFunc("GET /api/v1/devices", s.devices)
	mux.HandleFunc("GET /api/v1/devices/{id}", s.device)
	mux.HandleFunc("GET /api/v1/why", s.why)
	mux.HandleFunc("GET /api/v1/tags", s.tags)
	mux.HandleFunc("GET /api/v1/values", s.values)
	mux.HandleFunc("GET /api/v1/history", s.history)
	mux.HandleFunc("GET /api/v1/ledger", s.ledger)
	mux.HandleFunc("GET /api/v1/sinks", s.sinks)
	mux.HandleFunc("GET /api/v1/alarms", s.alarms)
	mux.HandleFunc("GET /api/v1/stream", s.stream)
	s.healRoutes(mux)
	mux.HandleFunc("POST /api/v1/devices/{id}/maintenance", s.authorized(s.deviceMaintenance))
	mux.HandleFunc("POST /api/v1/tags/maintenance", s.authorized(s.tagsMaintenance))
	mux.HandleFunc("GET /api/v1/targets", s.identified(s.writeTargets))
	mux.HandleFunc("POST /api/v1/writes", s.identified(s.submitWrite))
	mux.HandleFunc("GET /api/v1/writes", s.identified(s.waitingWrites))
	mux.HandleFunc("POST /api/v1/writes/take-back", s.identified(s.takeBack))
	mux.HandleFunc("GET /api/v1/audit", s.identified(s.auditLog))
	mux.HandleFunc("GET /api/v1/writes/{id}", s.identified(s.oneWrite))
	mux.HandleFunc("POST /api/v1/writes/{id}/approve", s.identified(s.approveWrite(true)))
	mux.HandleFunc("POST /api/v1/writes/{id}/reject", s.identified(s.approveWrite(false)))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.noRoute(w, r, mux) })
	return s.guarded(mux)
}

// noRoute answers what no route takes: files of the page, a wrong method, an unknown path.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) {
	reading := r.Method == http.MethodGet || r.Method == http.MethodHead
	if reading && !strings.HasPrefix(r.URL.Path, "/api/") {
		s.asset(w, r)
		return
	}
	other := *r
	for _, other.Method = range []string{http.MethodGet, http.MethodPost} {
		if _, pattern := mux.Handler(&other); strings.HasPrefix(pattern, other.Method+" ") {
			w.Header().Set("Allow", other.Method)
			writeError(w, http.StatusMethodNotAllowed, r.Method+" is not possible here", "use "+other.Method)
			return
		}
	}
	writeError(w, http.StatusNotFound, "no such route: "+r.URL.Path, "the routes are under /api/v1/: gateway, devices, why, tags, values, history, ledger, sinks, alarms, stream, targets, writes, audit, heal")
}
