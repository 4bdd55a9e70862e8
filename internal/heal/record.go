package heal

import (
	"slices"
	"time"
)

// Outcome is how a run ended.
type Outcome string

// The outcomes. Healed and Done are successes.
const (
	Running     Outcome = "running"
	Healed      Outcome = "healed"      // what verifies it held in time
	Done        Outcome = "done"        // everything was done, and nothing says whether it helped
	RolledBack  Outcome = "rolled_back" // it did not help, or something could not be done, and all is as it was
	Failed      Outcome = "failed"      // as RolledBack, but something is not as it was: Reason says what
	Interrupted Outcome = "interrupted" // the gateway ended, or the rule was taken away, while it ran
	Dry         Outcome = "dry"         // nothing was done: the rule only says what it would do
)

// Record is one run of a rule, as it is kept.
type Record struct {
	ID      uint64     `json:"id"`
	Rule    string     `json:"rule"`
	Each    Each       `json:"each"`
	Subject string     `json:"subject"` // the device or the region; "node"
	Begun   time.Time  `json:"begun"`
	Ended   time.Time  `json:"ended,omitzero"`
	Outcome Outcome    `json:"outcome"`
	Reason  string     `json:"reason"`  // in plain words
	Because []Fact     `json:"because"` // what the condition looked at
	Devices []string   `json:"devices"` // that it was for
	Left    int        `json:"left"`    // devices that it would have been for too, beyond its limit
	Steps   []Step     `json:"steps"`
	Before  []Evidence `json:"before"`           // of Devices
	After   []Evidence `json:"after,omitempty"`  // of Devices, at the end
	UndoAt  time.Time  `json:"undo_at,omitzero"` // when what helped is undone
	Undone  time.Time  `json:"undone,omitzero"`
}

// Fact is a value that a condition looked at.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Step is one thing that was done, or left out.
type Step struct {
	At     time.Time `json:"at"`
	Action string    `json:"action"`           // in words
	Device string    `json:"device,omitempty"` // "" when it is not about one
	Undo   bool      `json:"undo,omitempty"`
	Note   string    `json:"note,omitempty"` // why it was left out
	Error  string    `json:"error,omitempty"`
	Output string    `json:"output,omitempty"` // of a program
	Taken  uint64    `json:"taken,omitempty"`  // the later run that undoes it together with its own

	do      Do
	waiting bool
}

// Evidence is how a device was.
type Evidence struct {
	Device   string  `json:"device"`
	State    string  `json:"state"`
	Reason   string  `json:"reason,omitempty"`
	RTTMS    float64 `json:"rtt_ms"`
	JitterMS float64 `json:"jitter_ms"`
	LagMS    float64 `json:"lag_ms"`
	Loss     float64 `json:"loss"`
	Outages  int64   `json:"outages"`
	Timeouts int64   `json:"timeouts"`
	Topology
}

func evidenceOf(d *Device) Evidence {
	ms := func(x time.Duration) float64 { return float64(x.Microseconds()) / 1000 }
	return Evidence{d.Name, d.State, d.Reason, ms(d.RTT), ms(d.Jitter), ms(d.Lag), d.Loss, d.Outages, d.Timeouts, d.Topology}
}

// evidence returns how the devices called names are. One that is gone has none.
func (w *World) evidence(names []string) []Evidence {
	out := make([]Evidence, 0, len(names))
	for _, n := range names {
		if d := w.Device(n); d != nil {
			out = append(out, evidenceOf(d))
		}
	}
	return out
}

// evidenceAfter returns how the devices of r are at its end. What r did last is not to be seen in the World in which it was done yet.
func (r *run) evidenceAfter(w *World) []Evidence {
	after := w.evidence(r.Devices)
	if r.acted != w {
		return after
	}
	for i := range r.Steps {
		s := &r.Steps[i]
		at := slices.IndexFunc(after, func(a Evidence) bool { return a.Device == s.Device })
		if at >= 0 && s.Note == "" && s.Error == "" {
			after[at].obey(&s.do)
		}
	}
	return after
}

// obey makes t what it is after d.
func (t *Topology) obey(d *Do) {
	switch {
	case d.Type == Reroute && d.Route < 0:
		t.Pinned = false
	case d.Type == Reroute:
		t.Route, t.Pinned = d.Route, true
	case d.Type == Stretch:
		t.Stretch = d.Factor
	case d.Type == Degrade:
		t.Degraded = d.On
	case d.Type == Standby:
		t.Standby = true
	case d.Type == OutOfService:
		t.OutOfService = d.On
	}
}

// snapshot returns a copy of r that does not change with it.
func (r *Record) snapshot() Record {
	c := *r
	c.Steps = slices.Clone(r.Steps)
	return c
}

// before returns what r found of a device.
func (r *Record) before(device string) (Topology, bool) {
	for i := range r.Before {
		if r.Before[i].Device == device {
			return r.Before[i].Topology, true
		}
	}
	return Topology{}, false
}

// Do is one thing to do now.
type Do struct {
	Run    uint64
	Step   int // of the Run's Record
	Type   string
	Device string
	Reason string // in plain words, for the device's Status and events
	Undo   bool   // it puts back what the Run did

	Route   int           // Reroute: the address; -1 is by the device's own rule
	Factor  float64       // Stretch
	On      bool          // Degrade, OutOfService
	Text    string        // Notify
	Argv    []string      // Run
	Env     []string      // Run: what is added to the environment
	Timeout time.Duration // Run
}

// Result is what became of a Do.
type Result struct {
	Run    uint64
	Step   int
	Err    error
	Output string
}

// Event is something that people are told of.
type Event struct {
	At      time.Time
	Kind    string // begun, an Outcome, stopped, going_on, undone, no_answer
	Rule    string
	Subject string
	Device  string // "" when it is not about one
	Text    string // in plain words
}

// Unfinished says whether the run is still under way, or is to be undone one day.
func (r *Record) Unfinished() bool {
	return r.Outcome == Running || !r.UndoAt.IsZero() && r.Undone.IsZero()
}
