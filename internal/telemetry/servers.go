package telemetry

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// Server is what the server of a protocol counted. The maps may be without zeros.
type Server struct {
	Name          string
	Sessions      map[string]int    // connections there now, by state
	Accepted      uint64            // connections that came
	Refused       map[string]uint64 // connections turned away, by reason
	Ended         map[string]uint64 // connections that were served and ended, by reason
	Requests      map[string]uint64 // by function
	Refusals      map[string]uint64 // requests refused as a whole, by code
	EventsDropped uint64            // session events that nobody heard of
	Messages      map[string]Lent   // by what they are
	Faults        map[string]uint64 // what a simulator did to its clients, by kind
}

// Lent counts the messages of a pool. Gets minus Puts are in use; one that stays so is lost.
type Lent struct{ Gets, Puts uint64 }

type serverDescs struct {
	sessions, accepted, refused, ended, requests, refusals, events, lent, out, faults *prometheus.Desc
}

func newServerDescs() serverDescs {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("millrace_server_"+name, help, append([]string{"server"}, labels...), nil)
	}
	return serverDescs{
		sessions: desc("sessions", "Connections open at a server, by state.", "state"),
		accepted: desc("accepted_total", "Connections that came to a server."),
		refused:  desc("refused_total", "Connections that a server turned away, by reason.", "reason"),
		ended:    desc("ended_total", "Connections that a server served and that ended, by reason.", "reason"),
		requests: desc("requests_total", "Requests that came to a server, by function.", "function"),
		refusals: desc("refusals_total", "Requests that a server refused as a whole, by code.", "code"),
		events:   desc("events_dropped_total", "Session events for which there was no room."),
		lent:     desc("messages_lent_total", "Messages taken from a pool, by what they are.", "message"),
		out:      desc("messages_out", "Messages taken from a pool and not put back: gets minus puts.", "message"),
		faults:   desc("faults_total", "What a simulator did to its clients, by fault.", "fault"),
	}
}

func (d *serverDescs) all() []*prometheus.Desc {
	return []*prometheus.Desc{d.sessions, d.accepted, d.refused, d.ended, d.requests, d.refusals, d.events, d.lent, d.out, d.faults}
}

func (e emitter) server(d *serverDescs, s *Server) {
	for state, n := range s.Sessions {
		e.gauge(d.sessions, float64(n), s.Name, state)
	}
	e.counter(d.accepted, s.Accepted, s.Name)
	e.reasons(d.refused, s.Name, "global_limit", s.Refused)
	e.each(d.ended, s.Name, s.Ended)
	e.each(d.requests, s.Name, s.Requests)
	e.each(d.refusals, s.Name, s.Refusals)
	e.counter(d.events, s.EventsDropped, s.Name)
	for message, n := range s.Messages {
		e.counter(d.lent, n.Gets, s.Name, message)
		e.gauge(d.out, float64(n.Gets)-float64(n.Puts), s.Name, message)
	}
	e.each(d.faults, s.Name, s.Faults)
}

// each sends a counter for each entry.
func (e emitter) each(d *prometheus.Desc, of string, counts map[string]uint64) {
	for what, n := range counts {
		e.counter(d, n, of, what)
	}
}

// ServersConfig of ServersHandler.
type ServersConfig struct {
	// Servers is asked at each scrape, by one goroutine a scrape. It must not block.
	Servers func() []Server
	// Log hears of metrics that could not be shown. Nil is silent.
	Log *slog.Logger
}

// serversCollector turns Servers into metrics.
type serversCollector struct {
	servers func() []Server
	d       serverDescs
}

// Describe sends the descriptions of all metrics.
func (c *serversCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.d.all() {
		out <- d
	}
}

// Collect asks once and sends it.
func (c *serversCollector) Collect(out chan<- prometheus.Metric) {
	all := c.servers()
	for i := range all {
		emitter{out}.server(&c.d, &all[i])
	}
}

// ServersHandler answers scrapes of a process that has servers and no gateway, as a simulator is.
func ServersHandler(cfg ServersConfig) (http.Handler, error) {
	if cfg.Servers == nil {
		return nil, fmt.Errorf("telemetry: no Servers")
	}
	return handler(&serversCollector{cfg.Servers, newServerDescs()}, cfg.Log)
}
