package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Healing counts what one healing rule did.
type Healing struct {
	Rule    string
	Stopped bool              // too many are ill for it to act
	Runs    map[string]uint64 // that ended, by outcome; outcomes that are missing count 0
	Held    map[string]uint64 // what it did not do, by what held it back
}

// outcomes and holds are always shown, so that an alert on one of them finds a series before the first run.
var (
	outcomes = [...]string{"healed", "done", "rolled_back", "failed", "interrupted", "dry"}
	holds    = [...]string{"min_healthy", "devices", "rate", "cooldown", "paused", "busy", "nothing"}
)

type healingDescs struct{ runs, held, stopped *prometheus.Desc }

func newHealingDescs() healingDescs {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("millrace_heal_"+name, help, labels, nil)
	}
	return healingDescs{
		runs:    desc("runs_total", "Runs of a healing rule that ended, by how.", "rule", "outcome"),
		held:    desc("held_total", "What a healing rule did not do for a device or region, by what held it back.", "rule", "reason"),
		stopped: desc("stopped", "1 while a healing rule does not act since too many are ill.", "rule"),
	}
}

func (d *healingDescs) all() []*prometheus.Desc { return []*prometheus.Desc{d.runs, d.held, d.stopped} }

func (e emitter) healing(d *healingDescs, h *Healing) {
	for _, o := range outcomes {
		e.counter(d.runs, h.Runs[o], h.Rule, o)
	}
	for _, r := range holds {
		if _, there := h.Held[r]; !there {
			e.counter(d.held, 0, h.Rule, r)
		}
	}
	for r, n := range h.Held {
		e.counter(d.held, n, h.Rule, r)
	}
	e.flag(d.stopped, h.Stopped, h.Rule)
}
