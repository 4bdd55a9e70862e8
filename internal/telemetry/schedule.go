package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Schedule is how far the gateway keeps up with its devices.
type Schedule struct {
	Dials, DialFailures uint64        // connections to devices that were asked for, and those of them that were not had
	Sessions            int           // with devices, open now
	Crowded             int           // connections with little time left
	Stretched           int           // devices with stretched intervals
	Stretches           uint64        // intervals stretched because of overload
	Late                time.Duration // how long after their due times groups are looked at
}

type scheduleDescs struct{ dials, failures, sessions, crowded, stretched, stretches, late *prometheus.Desc }

func newScheduleDescs() scheduleDescs {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc("millrace_"+name, help, nil, nil) }
	return scheduleDescs{
		dials:     desc("device_dials_total", "Connections to devices that were tried for."),
		failures:  desc("device_dial_failures_total", "Of these, those that were not had."),
		sessions:  desc("device_sessions", "Sessions with devices that are open."),
		crowded:   desc("crowded_connections", "Connections to devices with little time left: a device's load_why says what takes it."),
		stretched: desc("stretched_devices", "Devices that are read less often than configured."),
		stretches: desc("stretches_total", "Intervals stretched because of overload."),
		late:      desc("scheduler_late_seconds", "How long after their due times groups are looked at, the mean of the last second."),
	}
}

func (d *scheduleDescs) all() []*prometheus.Desc {
	return []*prometheus.Desc{d.dials, d.failures, d.sessions, d.crowded, d.stretched, d.stretches, d.late}
}

func (e emitter) schedule(d *scheduleDescs, s *Schedule) {
	e.counter(d.dials, s.Dials)
	e.counter(d.failures, s.DialFailures)
	e.gauge(d.sessions, float64(s.Sessions))
	e.gauge(d.crowded, float64(s.Crowded))
	e.gauge(d.stretched, float64(s.Stretched))
	e.counter(d.stretches, s.Stretches)
	e.gauge(d.late, s.Late.Seconds())
}
