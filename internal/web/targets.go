package web

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"time"

	"millrace/internal/tag"
	"millrace/internal/write"
)

// targetView is a tag that the caller may write, with what holds for it.
type targetView struct {
	ID             tag.ID      `json:"id"`
	Tag            string      `json:"tag"`
	Device         string      `json:"device"`
	Type           string      `json:"type"` // of the values that are written; "" when only the device knows
	Unit           string      `json:"unit,omitempty"`
	Low            *float64    `json:"low,omitempty"` // without a limit it is left out
	High           *float64    `json:"high,omitempty"`
	Role           string      `json:"role"`
	Mode           string      `json:"mode"`
	Verify         string      `json:"verify"`
	ExpireS        float64     `json:"expire_s"`
	Approve        bool        `json:"approve,omitempty"`
	ApproveWithinS float64     `json:"approve_within_s,omitempty"`
	Interlock      string      `json:"interlock,omitempty"` // the condition
	Wished         *wishedView `json:"wished,omitempty"`    // the desired value that waits to be written

	Against string          `json:"against,omitempty"` // what would refuse it now
	New     json.RawMessage `json:"new,omitempty"`     // what would be written, as the gateway would show it
}

type wishedView struct {
	Value json.RawMessage `json:"value"`
	By    string          `json:"by"`
	Asked time.Time       `json:"asked"`
}

// writeTargets answers who asks, and which of the tags chosen by ids=, tag= or device= that one may write, with what would be against it now. With text=VALUE, as a person types it, it says what would
// become of that. Nothing is written, not even into the audit log.
func (s *Server) writeTargets(w http.ResponseWriter, r *http.Request, c write.Caller) {
	q := r.URL.Query()
	idx := s.index.of(s.src.Tags())
	ids, err := selectIDs(q, idx)
	if err != nil {
		writeSelectError(w, err)
		return
	}
	list := []targetView{}
	for _, id := range ids {
		i, ok := idx.byID[id]
		if !ok {
			continue
		}
		t, ok := s.cfg.Writer.Target(idx.tags[i].Name)
		if !ok || !c.Role.Has(t.Rule.Role) {
			continue
		}
		v := s.viewTarget(t, &idx.tags[i])
		s.judge(&v, t, write.Order{Tag: v.Tag, Caller: c}, q["text"])
		list = append(list, v)
	}
	writeJSON(w, http.StatusOK, map[string]any{"user": c.User, "role": c.Role.String(), "targets": list})
}

func (s *Server) viewTarget(t *write.Target, g *Tag) targetView {
	r := t.Rule
	v := targetView{
		ID: g.ID, Tag: g.Name, Device: g.Device, Unit: g.Unit, Role: r.Role.String(), Mode: r.Mode, Verify: r.Verify, ExpireS: r.Expire.Seconds(), Approve: r.Approve, Interlock: r.Interlock,
	}
	if k := s.cfg.Writer.Takes(t); k != tag.Null {
		v.Type = k.String()
	}
	if r.Approve {
		v.ApproveWithinS = r.ApproveWithin.Seconds()
	}
	low, high := t.Range()
	if !math.IsInf(low, 0) {
		v.Low = &low
	}
	if !math.IsInf(high, 0) {
		v.High = &high
	}
	return v
}

// judge says what would become of a value for t, or of any when there is none.
func (s *Server) judge(v *targetView, t *write.Target, o write.Order, text []string) {
	if len(text) > 0 {
		var err error
		if o.Value, err = write.Parse(text[0], s.cfg.Writer.Takes(t)); err != nil {
			v.Against = "the value cannot be used: " + err.Error()
			return
		}
	}
	would, against := s.cfg.Writer.Would(&o)
	v.New, v.Against = rawValue(would), against
	if out, ok := s.cfg.Writer.Wished(v.Tag); ok {
		v.Wished = &wishedView{Value: rawValue(out.New), By: out.By, Asked: out.Asked.UTC()}
	}
}

// takeBack ends the desired values of a tag that wait.
func (s *Server) takeBack(w http.ResponseWriter, r *http.Request, c write.Caller) {
	var body struct {
		Tag string `json:"tag"`
		Why string `json:"why"`
	}
	if !readBody(w, r, &body, `send {"tag":"device/tag","why":"in words"} as application/json`) {
		return
	}
	n, err := s.cfg.Writer.TakeBack(body.Tag, c, strings.TrimSpace(body.Why))
	if err != nil {
		writeError(w, http.StatusForbidden, "there is no such tag to write, or it takes another role", "GET /api/v1/targets?device=NAME lists those that you may write")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"taken_back": n})
}
