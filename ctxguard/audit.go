package ctxguard

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Record is one line of the audit.
type Record struct {
	Time time.Time `json:"time"`
	// Action: "cancel" before a task is cancelled, "not cancelled" when it then was not, because it was released or everything was killed in that
	// moment, "would cancel" in a dry run, "spare" by the policy's list; "stage", "kill" and "resume" are of the Forcer.
	Action string `json:"action"`
	Reason string `json:"reason,omitempty"` // TIMEOUT_FORCE
	Detail string `json:"detail,omitempty"`

	Key        string            `json:"key,omitempty"`
	TraceID    string            `json:"traceID,omitempty"`
	Type       string            `json:"type,omitempty"`
	Zone       string            `json:"zone,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	AgeSec     float64           `json:"ageSec,omitempty"`
	TTLSec     float64           `json:"ttlSec,omitempty"`
	GraceSec   float64           `json:"graceSec,omitempty"`
	AllocStack []string          `json:"allocStack,omitempty"` // that registered the task

	PolicyVersion string `json:"policyVersion"`
	Stage         string `json:"stage"`
	Node          string `json:"node,omitempty"`
}

// record describes what is about to be done with r.
func (f *Forcer) record(r *Registration, p Policy, action string) Record {
	f.mu.Lock()
	stage := f.release.String()
	f.mu.Unlock()
	if p.Mode != Enforce {
		stage = p.Mode.String()
	}
	return Record{
		Time: time.Now(), Action: action, Reason: ReasonForced, Key: r.key, TraceID: r.about.TraceID, Type: r.about.Type, Zone: r.about.Zone,
		Labels: r.about.Labels, AgeSec: time.Duration(f.now() - r.born).Seconds(), TTLSec: r.ttl.Seconds(), GraceSec: p.Grace.Seconds(),
		AllocStack: stringsOf(framesOf(r.stack[:r.depth])), PolicyVersion: p.Version, Stage: stage, Node: f.cfg.Node,
	}
}

// AuditTo returns an Audit that writes JSON lines to w. When w can Sync, as files can, each record is synced before its task is cancelled.
func AuditTo(w io.Writer) func(Record) error {
	var mu sync.Mutex
	return func(r Record) error {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if _, err := w.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("ctxguard: audit: %w", err)
		}
		if s, ok := w.(interface{ Sync() error }); ok {
			return s.Sync()
		}
		return nil
	}
}

// ForceStatus is where a Forcer stands.
type ForceStatus struct {
	Policy      Policy  `json:"policy"`
	Stage       string  `json:"stage"`
	StageAgeSec float64 `json:"stageAgeSec"`
	Killed      string  `json:"killed,omitempty"` // why
	IsKilled    bool    `json:"isKilled"`
	Registered  int     `json:"registered"`
	Overdue     int     `json:"overdue"` // past ttl and grace

	Forced      uint64 `json:"forced"`
	WouldCancel uint64 `json:"wouldCancel"`
	Spared      uint64 `json:"spared"`
	AuditErrors uint64 `json:"auditErrors"` // each left a task alone
	Suspended   uint64 `json:"suspended"`   // times
}

// Status returns where f stands.
func (f *Forcer) Status() ForceStatus {
	if f == nil {
		return ForceStatus{Policy: Policy{Mode: Off}, Stage: Off.String()}
	}
	f.mu.Lock()
	s := ForceStatus{Policy: f.policy, Stage: f.release.String(), StageAgeSec: time.Duration(f.now() - f.release.since).Seconds(), Registered: len(f.tasks)}
	grace := f.policy.Grace
	f.mu.Unlock()
	if s.Policy.Mode != Enforce {
		s.Stage = s.Policy.Mode.String()
	}
	s.Overdue = len(f.overdue(grace))
	if why := f.killed.Load(); why != nil {
		s.IsKilled, s.Killed = true, *why
	}
	c := &f.counts
	s.Forced, s.WouldCancel, s.Spared, s.AuditErrors, s.Suspended = c.forced.Load(), c.would.Load(), c.spared.Load(), c.auditErrors.Load(), c.suspended.Load()
	return s
}

// Handler serves the Forcer's status, switches and metrics. Mount it for Path+"/force" and Path+"/force/":
//
//	GET  /debug/ctxguard/force          ForceStatus as JSON
//	GET  /debug/ctxguard/force/metrics  for Prometheus
//	POST /debug/ctxguard/force/kill     ?why=...
//	POST /debug/ctxguard/force/resume   ?why=...
//	POST /debug/ctxguard/force/policy   a Policy as JSON
func (f *Forcer) Handler() http.Handler {
	mux := http.NewServeMux()
	status := func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, f.Status()) }
	mux.HandleFunc("GET "+Path+"/force", status)
	mux.HandleFunc("GET "+Path+"/force/{$}", status)
	mux.HandleFunc("GET "+Path+"/force/metrics", f.serveMetrics)
	mux.HandleFunc("POST "+Path+"/force/kill", func(w http.ResponseWriter, r *http.Request) { f.serveSwitch(w, f.Kill(r.FormValue("why"))) })
	mux.HandleFunc("POST "+Path+"/force/resume", func(w http.ResponseWriter, r *http.Request) { f.serveSwitch(w, f.Resume(r.FormValue("why"))) })
	mux.HandleFunc("POST "+Path+"/force/policy", f.servePolicy)
	return http.NewCrossOriginProtection().Handler(mux)
}

// serveSwitch answers with the status. The switch is turned even when the audit could not be written.
func (f *Forcer) serveSwitch(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, "done, but not on record: "+err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, f.Status())
}

func (f *Forcer) servePolicy(w http.ResponseWriter, r *http.Request) {
	var p Policy
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	err := d.Decode(&p)
	if err == nil {
		err = f.SetPolicy(p)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, f.Status())
}

func (f *Forcer) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	s, killed := f.Status(), 0
	if s.IsKilled {
		killed = 1
	}
	for _, m := range []struct {
		name, kind, help string
		value            any
	}{
		{"registered", "gauge", "Tasks that may be cancelled by force.", s.Registered},
		{"overdue", "gauge", "Tasks past their ttl and grace.", s.Overdue},
		{"killed", "gauge", "1 while the kill switch is on.", killed},
		{"cancelled_total", "counter", "Tasks cancelled by force.", s.Forced},
		{"would_cancel_total", "counter", "Tasks that a dry run would have cancelled.", s.WouldCancel},
		{"spared_total", "counter", "Overdue tasks on the policy's list of those to spare.", s.Spared},
		{"audit_errors_total", "counter", "Records that could not be written; each left a task alone.", s.AuditErrors},
		{"suspended_total", "counter", "Times that ill health suspended a policy.", s.Suspended},
	} {
		fmt.Fprintf(w, "# HELP ctxguard_force_%s %s\n# TYPE ctxguard_force_%s %s\nctxguard_force_%s %v\n", m.name, m.help, m.name, m.kind, m.name, m.value)
	}
}
