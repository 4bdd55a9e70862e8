package web

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/internal/heal"
	"millrace/internal/write"
)

// Healer is a Source that heals by rules. All methods but HealHistory and SetHealPause answer from memory.
type Healer interface {
	HealRules() []heal.Summary
	// HealRule explains the rule called name, also one that comes with the gateway and is not in use, and says whether there is one.
	HealRule(name string) (heal.Explanation, bool)
	// HealDryRun returns what the rule called name, or every one when it is "", would do; for subject only, whether or not it is due, when that is not "".
	HealDryRun(name, subject string) ([]heal.Preview, bool)
	// HealHistory returns the runs of the rule called name, or of all when it is "", the newest first, and how many of those that are kept ended how.
	HealHistory(ctx context.Context, name string, limit int) (HealHistory, error)
	HealPause() heal.Pause
	SetHealPause(ctx context.Context, p heal.Pause) error
}

// HealHistory is what is kept of runs.
type HealHistory struct {
	Runs  []heal.Record `json:"runs"`
	Rules []HealTotal   `json:"rules"` // by name
}

// HealTotal counts the runs of one rule that are kept.
type HealTotal struct {
	Rule    string                  `json:"rule"`
	Runs    map[heal.Outcome]uint64 `json:"runs"`
	Success float64                 `json:"success"` // share of those that ended well, -1 without any
}

const (
	defaultRuns = 50
	maxRuns     = 2000
)

func (s *Server) healRoutes(mux *http.ServeMux) {
	h, ok := s.src.(Healer)
	if !ok {
		return
	}
	mux.HandleFunc("GET /api/v1/heal/rules", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"rules": append([]heal.Summary{}, h.HealRules()...), "pause": h.HealPause()})
	})
	mux.HandleFunc("GET /api/v1/heal/rules/{name}", func(w http.ResponseWriter, r *http.Request) {
		x, ok := h.HealRule(r.PathValue("name"))
		if !ok {
			noRule(w, r.PathValue("name"))
			return
		}
		writeJSON(w, http.StatusOK, x)
	})
	mux.HandleFunc("GET /api/v1/heal/dry-run", func(w http.ResponseWriter, r *http.Request) {
		rule, subject := r.URL.Query().Get("rule"), r.URL.Query().Get("subject")
		all, ok := h.HealDryRun(rule, subject)
		switch {
		case !ok:
			noRule(w, rule)
		case subject != "" && len(all) == 0:
			writeError(w, http.StatusNotFound, "no rule that is asked about is tried for "+strconv.Quote(subject),
				"the subject is the name of a device that is in service, of a region, or node, whichever the rule is for; millrace heal explain RULE says which those are")
		default:
			writeJSON(w, http.StatusOK, map[string]any{"would": append([]heal.Preview{}, all...)})
		}
	})
	mux.HandleFunc("GET /api/v1/heal/history", func(w http.ResponseWriter, r *http.Request) { healHistory(w, r, h) })
	mux.HandleFunc("POST /api/v1/heal/pause", s.authorized(func(w http.ResponseWriter, r *http.Request, c write.Caller) { setHealPause(w, r, h, by(&c)) }))
}

func noRule(w http.ResponseWriter, name string) {
	writeError(w, http.StatusNotFound, "no healing rule named "+strconv.Quote(name), "millrace heal list, or GET /api/v1/heal/rules, lists them")
}

func healHistory(w http.ResponseWriter, r *http.Request, h Healer) {
	limit, err := parseNumber(r.URL.Query(), "limit", defaultRuns, maxRuns)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error(), "history takes rule, device, limit (up to 2000)")
		return
	}
	device, most := r.URL.Query().Get("device"), limit
	if device != "" {
		most = maxRuns
	}
	x, err := h.HealHistory(r.Context(), r.URL.Query().Get("rule"), most)
	if err != nil {
		writeError(w, http.StatusInternalServerError, "the history could not be read: "+err.Error(), "try again; the gateway's log says more")
		return
	}
	if device != "" {
		x.Runs = slices.DeleteFunc(x.Runs, func(r heal.Record) bool { return !slices.Contains(r.Devices, device) })
		x.Runs = x.Runs[:min(limit, len(x.Runs))]
	}
	writeJSON(w, http.StatusOK, x)
}

const pauseTodo = `send {"on":true,"reason":"why","for":"2h"} as application/json; without for it lasts until {"on":false}`

func setHealPause(w http.ResponseWriter, r *http.Request, h Healer, by string) {
	var body struct {
		On     *bool  `json:"on"`
		Reason string `json:"reason"`
		For    string `json:"for"`
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(&body)
	now, length := time.Now(), time.Duration(0)
	if err == nil && body.For != "" {
		length, err = time.ParseDuration(body.For)
	}
	body.Reason = strings.TrimSpace(body.Reason)
	switch {
	case err != nil:
		writeError(w, http.StatusBadRequest, "the body cannot be used: "+err.Error(), pauseTodo)
		return
	case body.On == nil, *body.On && body.Reason == "", length < 0, len(body.Reason) > maxReason:
		writeError(w, http.StatusBadRequest, `the body needs "on", and to pause a "reason" of 200 bytes at most`, pauseTodo)
		return
	}
	var p heal.Pause
	if *body.On {
		if p = (heal.Pause{Reason: body.Reason, By: by, Since: now}); length > 0 {
			p.Until = now.Add(length)
		}
	}
	if err := h.SetHealPause(r.Context(), p); err != nil {
		writeError(w, http.StatusInternalServerError, "healing could not be paused: "+err.Error(), "try again; the gateway's log says more")
		return
	}
	writeJSON(w, http.StatusOK, p)
}
