package ctxguard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Mode is how far a Policy goes.
type Mode uint8

// The modes.
const (
	DryRun  Mode = iota // put on record what would be cancelled
	Enforce             // rehearse, and then cancel, stage by stage
	Off                 // do nothing
)

var modeNames = [...]string{"dry run", "enforce", "off"}

func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return fmt.Sprintf("mode %d", uint8(m))
}

// MarshalText implements encoding.TextMarshaler.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Mode) UnmarshalText(b []byte) error {
	i := slices.Index(modeNames[:], string(b))
	if i < 0 {
		return fmt.Errorf("ctxguard: mode %q; there are %s", b, strings.Join(modeNames[:], ", "))
	}
	*m = Mode(i)
	return nil
}

// Policy says which overdue tasks are cancelled, and how carefully. As JSON its times are strings: "30s", "grace", "rehearse", "settle".
type Policy struct {
	Version string `json:"version"` // in every record
	Mode    Mode   `json:"mode"`

	// Grace is how long after its ttl a task is left alone: 0 is 30 s, below 0 none.
	Grace time.Duration `json:"-"`
	// Types, Zones and Labels narrow the policy down to tasks of one of the types, in one of the zones, with all of the labels. Empty is all.
	Types  []string          `json:"types,omitempty"`
	Zones  []string          `json:"zones,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	// Spare are keys that are never cancelled; "plc-7/*" is all that begin so.
	Spare []string `json:"spare,omitempty"`
	// Ratio is the share of the keys that the policy is for, between 0 and 1, by a hash that is the same everywhere: 0 is all.
	Ratio float64 `json:"ratio,omitempty"`
	// PerMinute bounds the cancels in a minute, and the records of what is not cancelled: 0 is 60.
	PerMinute int `json:"perMinute,omitempty"`
	// Rehearse is how long Enforce is a dry run first: 0 is as long as Settle, below 0 not at all.
	Rehearse time.Duration `json:"-"`
	// Stages are gone through one after the other: empty is 1, 5, 25 and 100 percent. The last one stays.
	Stages []Stage `json:"stages,omitempty"`
	// Settle is how long a stage has to be well before the next begins: 0 is ten minutes.
	Settle time.Duration `json:"-"`
}

// plainPolicy is a Policy without methods.
type plainPolicy Policy

// wirePolicy is a Policy as JSON.
type wirePolicy struct {
	*plainPolicy
	Grace    string `json:"grace,omitempty"`
	Rehearse string `json:"rehearse,omitempty"`
	Settle   string `json:"settle,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (p Policy) MarshalJSON() ([]byte, error) {
	plain := plainPolicy(p)
	return json.Marshal(wirePolicy{&plain, p.Grace.String(), p.Rehearse.String(), p.Settle.String()})
}

// UnmarshalJSON implements json.Unmarshaler. Unknown keys are an error: a policy that is understood in part is a wrong one.
func (p *Policy) UnmarshalJSON(b []byte) error {
	w := wirePolicy{plainPolicy: (*plainPolicy)(p)}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&w); err != nil {
		return err
	}
	for _, x := range []struct {
		text string
		into *time.Duration
	}{{w.Grace, &p.Grace}, {w.Rehearse, &p.Rehearse}, {w.Settle, &p.Settle}} {
		if x.text == "" {
			continue
		}
		var err error
		if *x.into, err = time.ParseDuration(x.text); err != nil {
			return err
		}
	}
	return nil
}

// Stage is a part of a Policy's release.
type Stage struct {
	Percent float64  `json:"percent,omitempty"` // of the keys that the policy is for: 0 is 100. A key that is in 1 % is in 5 % too
	Nodes   int      `json:"nodes,omitempty"`   // on so many of ForceConfig.Nodes, by hash: 0 is all
	Types   []string `json:"types,omitempty"`   // of tasks: empty is all
}

func (s Stage) String() string {
	t := fmt.Sprintf("%g %%", s.Percent)
	if s.Nodes > 0 {
		t += fmt.Sprintf(" on %d nodes", s.Nodes)
	}
	if len(s.Types) > 0 {
		t += " of " + strings.Join(s.Types, ", ")
	}
	return t
}

// check returns p with its defaults.
func (f *Forcer) check(p Policy) (Policy, error) {
	setDefault(&p.Grace, 30*time.Second)
	setDefault(&p.PerMinute, 60)
	setDefault(&p.Settle, 10*time.Minute)
	setDefault(&p.Rehearse, p.Settle)
	p.Grace = max(p.Grace, 0)
	if p.Ratio == 0 {
		p.Ratio = 1
	}
	if len(p.Stages) == 0 {
		p.Stages = []Stage{{Percent: 1}, {Percent: 5}, {Percent: 25}, {Percent: 100}}
	}
	p.Stages = slices.Clone(p.Stages)
	for i := range p.Stages {
		s := &p.Stages[i]
		if s.Percent == 0 {
			s.Percent = 100
		}
		if s.Percent < 0 || s.Percent > 100 {
			return p, fmt.Errorf("ctxguard: stage %d: %g percent", i+1, s.Percent)
		}
		if s.Nodes < 0 || s.Nodes > 0 && (s.Nodes > len(f.cfg.Nodes) || !slices.Contains(f.cfg.Nodes, f.cfg.Node)) {
			return p, fmt.Errorf("ctxguard: stage %d: %d nodes of %d, this one is %q of %v", i+1, s.Nodes, len(f.cfg.Nodes), f.cfg.Node, f.cfg.Nodes)
		}
	}
	switch {
	case p.Mode > Off:
		return p, fmt.Errorf("ctxguard: %v", p.Mode)
	case p.Ratio < 0 || p.Ratio > 1:
		return p, fmt.Errorf("ctxguard: Ratio %g is not within 0 and 1", p.Ratio)
	case p.PerMinute < 0 || p.Settle < 0:
		return p, fmt.Errorf("ctxguard: below 0: PerMinute %d, Settle %v", p.PerMinute, p.Settle)
	}
	return p, nil
}

func (p *Policy) spares(key string) bool {
	return slices.ContainsFunc(p.Spare, func(s string) bool {
		prefix, all := strings.CutSuffix(s, "*")
		return s == key || all && strings.HasPrefix(key, prefix)
	})
}

// covers says whether p is for r at all.
func (p *Policy) covers(r *Registration) bool {
	if len(p.Types) > 0 && !slices.Contains(p.Types, r.about.Type) || len(p.Zones) > 0 && !slices.Contains(p.Zones, r.about.Zone) {
		return false
	}
	for k, v := range p.Labels {
		if r.about.Labels[k] != v {
			return false
		}
	}
	return r.share < p.Ratio
}

// shareOf is where a key stands between 0 and 1: FNV-1a, mixed once more because its high bits are poor for short keys.
func shareOf(key string) float64 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return float64(h>>11) / (1 << 53)
}

// release is how far an enforced policy has come.
//
//	rehearsal ──Settle──► stage 1 ──Settle, well──► stage 2 ──► … ──► last stage, which stays
//	                        ▲  └── not well: suspended, a dry run ──┐
//	                        └────────── well again ◄────────────────┘
type release struct {
	stage     int // -1 is the rehearsal
	of        int
	since     int64
	suspended string // why, "" when not
}

func newRelease(p Policy, now int64) release {
	r := release{stage: -1, of: len(p.Stages), since: now}
	if p.Rehearse < 0 {
		r.stage = 0
	}
	return r
}

func (r release) String() string {
	switch {
	case r.suspended != "":
		return "suspended: " + r.suspended
	case r.stage < 0:
		return "rehearsal"
	}
	return fmt.Sprintf("stage %d of %d", r.stage+1, r.of)
}

// phase is what a look does.
type phase struct {
	dry   bool
	stage Stage
}

// covers says whether r's turn has come in a stage.
func (ph phase) covers(f *Forcer, r *Registration, p Policy) bool {
	if ph.dry {
		return true
	}
	if len(ph.stage.Types) > 0 && !slices.Contains(ph.stage.Types, r.about.Type) {
		return false
	}
	return r.share < p.Ratio*ph.stage.Percent/100 && f.among(ph.stage.Nodes)
}

// among says whether this node is one of the first n, in an order that is the same on all nodes.
func (f *Forcer) among(n int) bool {
	if n == 0 {
		return true
	}
	mine, before := shareOf(f.cfg.Node), 0
	for _, x := range f.cfg.Nodes {
		if s := shareOf(x); s < mine || s == mine && x < f.cfg.Node {
			before++
		}
	}
	return before < n
}

// advance moves the release on when it is time, and returns what this look is to do. sweep is held.
func (f *Forcer) advance() (phase, Policy) {
	f.mu.Lock()
	p := f.policy
	f.mu.Unlock()
	if p.Mode != Enforce {
		return phase{dry: true}, p
	}
	ill := ""
	if f.cfg.Healthy != nil {
		if err := f.cfg.Healthy(); err != nil {
			ill = err.Error()
		}
	}
	ph, news := f.step(p, ill)
	if news != "" {
		if f.write(Record{Time: time.Now(), Action: "stage", Detail: news, PolicyVersion: p.Version, Node: f.cfg.Node, Stage: news}) != nil {
			ph.dry = true // a change that is not on record has no effect yet
		}
	}
	return ph, p
}

// step is the transition of the drawing above.
func (f *Forcer) step(p Policy, ill string) (ph phase, news string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, now := &f.release, f.now()
	was := *r
	wait := p.Settle
	if r.stage < 0 {
		wait = p.Rehearse
	}
	switch {
	case ill != "":
		r.suspended, r.since = ill, now
	case r.suspended != "":
		r.suspended, r.since = "", now
	case now-r.since >= int64(wait) && r.stage < len(p.Stages)-1:
		r.stage, r.since = r.stage+1, now
	}
	if r.suspended != "" && was.suspended == "" {
		f.counts.suspended.Add(1)
	}
	if r.stage != was.stage || (r.suspended == "") != (was.suspended == "") {
		news = r.String()
	}
	if r.stage >= 0 {
		ph.stage = p.Stages[r.stage]
	}
	ph.dry = r.stage < 0 || r.suspended != ""
	return ph, news
}
