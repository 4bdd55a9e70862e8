package ctxguard

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Path is where Handler expects to be mounted.
const Path = "/debug/ctxguard"

// Handler serves what g knows below Path:
//
//	GET  /debug/ctxguard            Summary as text; ?format=json, ?n=20 sites at most, ?leaks=1 only those with findings
//	GET  /debug/ctxguard/tree       Tree as text; ?format=json
//	GET  /debug/ctxguard/metrics    for Prometheus
//	GET  /debug/ctxguard/snapshot   Take as JSON; ?gc=1 collects first, ?trace=2s records the scheduler before that
//	GET  /debug/ctxguard/diff       two snapshots ?seconds=10 apart, the second with a recording, and what grew, as text; ?format=json
//	GET  /debug/ctxguard/goroutineleak  LeakProfile; ?debug=1 as text
//	POST /debug/ctxguard/sample     ?n=64 looks after one in 64 from now on
//	POST /debug/ctxguard/sweep      looks at once
//
// Mount it for Path and Path+"/", on a listener that only operators reach: stacks tell much of a program. A POST from another site's page is refused.
func (g *Guard) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path, g.serveSummary)
	mux.HandleFunc("GET "+Path+"/{$}", g.serveSummary)
	mux.HandleFunc("GET "+Path+"/tree", g.serveTree)
	mux.HandleFunc("GET "+Path+"/metrics", g.serveMetrics)
	mux.HandleFunc("GET "+Path+"/snapshot", g.serveSnapshot)
	mux.HandleFunc("GET "+Path+"/diff", g.serveDiff)
	mux.HandleFunc("GET "+Path+"/goroutineleak", g.serveLeakProfile)
	mux.HandleFunc("POST "+Path+"/sample", g.serveSample)
	mux.HandleFunc("POST "+Path+"/sweep", g.serveSweep)
	return http.NewCrossOriginProtection().Handler(mux)
}

func (g *Guard) serveSummary(w http.ResponseWriter, r *http.Request) {
	s, n := g.Summary(), 0
	if text := r.FormValue("n"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 0 {
			http.Error(w, "n is a number of sites", http.StatusBadRequest)
			return
		}
	}
	if r.FormValue("format") != "json" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_ = s.WriteText(w, n) // the client is gone
		return
	}
	s.cut(n, r.FormValue("leaks") != "")
	writeJSON(w, s)
}

// cut leaves the first n sites (0: all), or those of them with findings: these come first.
func (s *Summary) cut(n int, leaks bool) {
	end := len(s.Sites)
	if n > 0 {
		end = min(end, n)
	}
	for leaks && end > 0 && s.Sites[end-1].Leaks() == 0 {
		end--
	}
	s.Sites = s.Sites[:end]
}

func (g *Guard) serveTree(w http.ResponseWriter, r *http.Request) {
	nodes := g.Tree()
	if r.FormValue("format") == "json" {
		writeJSON(w, nodes)
		return
	}
	var b strings.Builder
	for _, n := range nodes {
		n.write(&b, "")
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprint(w, b.String())
}

func (g *Guard) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_ = g.WriteMetrics(w) // the client is gone
}

func (g *Guard) serveSnapshot(w http.ResponseWriter, r *http.Request) {
	cfg := SnapshotConfig{GC: r.FormValue("gc") != ""}
	if text := r.FormValue("trace"); text != "" {
		var err error
		if cfg.Trace, err = time.ParseDuration(text); err != nil || cfg.Trace < 0 {
			http.Error(w, "trace is a time such as 2s", http.StatusBadRequest)
			return
		}
	}
	writeJSON(w, g.Take(r.Context(), cfg))
}

// serveDiff waits between two snapshots, and records during the whole time.
func (g *Guard) serveDiff(w http.ResponseWriter, r *http.Request) {
	seconds := 10.0
	if text := r.FormValue("seconds"); text != "" {
		var err error
		if seconds, err = strconv.ParseFloat(text, 64); err != nil || seconds <= 0 || seconds > longestTrace.Seconds() {
			http.Error(w, "seconds is a number up to 60", http.StatusBadRequest)
			return
		}
	}
	before := g.Take(r.Context(), SnapshotConfig{GC: true})
	after := g.Take(r.Context(), SnapshotConfig{GC: true, Trace: time.Duration(seconds * float64(time.Second))})
	d := Diff(before, after)
	if r.FormValue("format") == "json" {
		writeJSON(w, d)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_ = d.WriteText(w, 10) // the client is gone
}

func (g *Guard) serveSample(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil {
		http.Error(w, "n says that one context in n is looked after: 1 each, -1 none", http.StatusBadRequest)
		return
	}
	g.SetSample(n)
	fmt.Fprintf(w, "one context in %d is looked after\n", g.Sample())
}

func (g *Guard) serveSweep(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, "%d new findings\n", g.Sweep())
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client is gone
}
