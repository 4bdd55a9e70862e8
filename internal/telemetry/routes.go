package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Routes is how devices with several addresses use them, and how many connections devices are asked for.
type Routes struct {
	Changes, Standbys, Suspicions uint64
	SlotsUsed, Slots, HalfOpen    int
}

type routeDescs struct{ changes, standbys, suspicions, used, slots, halfOpen *prometheus.Desc }

func newRouteDescs() routeDescs {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc("millrace_"+name, help, nil, nil) }
	return routeDescs{
		changes:    desc("route_changes_total", "Devices that went to another of their addresses."),
		standbys:   desc("standbys_total", "Sessions that were opened on another address of a device, so that a change costs no handshake."),
		suspicions: desc("suspicions_total", "Devices that began to be suspected of going away."),
		used:       desc("device_slots_used", "Connections to devices that are open or being opened."),
		slots:      desc("device_slots", "Connections to devices that may be open."),
		halfOpen:   desc("device_half_open", "Connections that ended without the device's knowing, and that it may count still."),
	}
}

func (d *routeDescs) all() []*prometheus.Desc {
	return []*prometheus.Desc{d.changes, d.standbys, d.suspicions, d.used, d.slots, d.halfOpen}
}

func (e emitter) routes(d *routeDescs, r *Routes) {
	e.counter(d.changes, r.Changes)
	e.counter(d.standbys, r.Standbys)
	e.counter(d.suspicions, r.Suspicions)
	e.gauge(d.used, float64(r.SlotsUsed))
	e.gauge(d.slots, float64(r.Slots))
	e.gauge(d.halfOpen, float64(r.HalfOpen))
}
