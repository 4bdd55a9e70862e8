package telemetry

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Config of Handler.
type Config struct {
	Version  string // of the gateway
	Revision string // of its source; may be empty
	// Snapshot is asked at each scrape, by one goroutine a scrape. It must not block.
	Snapshot func() Snapshot
	// Log hears of metrics that could not be shown. Nil is silent.
	Log *slog.Logger
}

// maxScrapes at once: a scrape costs memory in proportion to the groups.
const maxScrapes = 4

// Handler answers scrapes in the formats of Prometheus, with metrics of the process and of the Go runtime beside the gateway's own.
func Handler(cfg Config) (http.Handler, error) {
	c, err := newCollector(cfg)
	if err != nil {
		return nil, err
	}
	return handler(c, cfg.Log)
}

func newCollector(cfg Config) (*collector, error) {
	if cfg.Snapshot == nil {
		return nil, fmt.Errorf("telemetry: no Snapshot")
	}
	return &collector{snapshot: cfg.Snapshot, build: [3]string{cfg.Version, cfg.Revision, runtime.Version()}, d: newDescs()}, nil
}

func handler(c prometheus.Collector, log *slog.Logger) (http.Handler, error) {
	reg, err := registry(c)
	if err != nil {
		return nil, err
	}
	o := promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: maxScrapes, EnableOpenMetrics: true}
	if log != nil {
		o.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelError)
	}
	return promhttp.HandlerFor(reg, o), nil
}

// registry has the metrics of c, of the process and of the Go runtime.
func registry(c prometheus.Collector) (*prometheus.Registry, error) {
	reg := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		c,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("telemetry: %w", err)
		}
	}
	return reg, nil
}
