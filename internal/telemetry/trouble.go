package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Trouble is what devices with difficulties are spared, and how those that are away come back.
type Trouble struct {
	Timeouts               uint64 // requests without an answer
	DialsWaiting           int    // connections that wait for their turn
	DialTimeouts, DialCuts uint64 // connections that timed out; how often the rate of a subnet was halved for that
	Slowed                 int    // subnets whose rate is below that of all dials
	Degraded               int    // devices that are asked for less at once
	Degrades               uint64 // how often one was
	Jittery                int    // devices whose timeouts follow the rule for links that jitter
	Paused                 int    // devices that nothing is written to, because they are silent
}

type troubleDescs struct {
	timeouts, waiting, dialTimeouts, cuts, slowed, degraded, degrades, jittery, paused *prometheus.Desc
}

func newTroubleDescs() troubleDescs {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc("millrace_"+name, help, nil, nil) }
	return troubleDescs{
		timeouts:     desc("request_timeouts_total", "Requests to devices that had no answer in time."),
		waiting:      desc("device_dials_waiting", "Connections to devices that wait for their turn."),
		dialTimeouts: desc("device_dial_timeouts_total", "Connections to devices that timed out, or said nothing from the first request on."),
		cuts:         desc("device_dial_cuts_total", "How often the rate of dials of a subnet was halved because they timed out."),
		slowed:       desc("slowed_subnets", "Subnets that are dialled at less than the rate of all dials."),
		degraded:     desc("degraded_devices", "Devices that are asked for less at once because large reads failed."),
		degrades:     desc("degrades_total", "How often a device was asked for less at once."),
		jittery:      desc("jittery_devices", "Devices whose round trips vary, or whose requests are lost, so much that timeouts follow the rule for that."),
		paused:       desc("write_paused_devices", "Devices that nothing is written to because they do not answer."),
	}
}

func (d *troubleDescs) all() []*prometheus.Desc {
	return []*prometheus.Desc{d.timeouts, d.waiting, d.dialTimeouts, d.cuts, d.slowed, d.degraded, d.degrades, d.jittery, d.paused}
}

func (e emitter) trouble(d *troubleDescs, t *Trouble) {
	e.counter(d.timeouts, t.Timeouts)
	e.gauge(d.waiting, float64(t.DialsWaiting))
	e.counter(d.dialTimeouts, t.DialTimeouts)
	e.counter(d.cuts, t.DialCuts)
	e.gauge(d.slowed, float64(t.Slowed))
	e.gauge(d.degraded, float64(t.Degraded))
	e.counter(d.degrades, t.Degrades)
	e.gauge(d.jittery, float64(t.Jittery))
	e.gauge(d.paused, float64(t.Paused))
}
