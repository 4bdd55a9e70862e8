package main

import (
	"net/http"
	"time"

	"millrace/ctxguard"
	"millrace/internal/device"
	"millrace/internal/sink"
	"millrace/internal/telemetry"
	"millrace/internal/web"
)

// metrics answers /metrics. page is asked for what the web server counted.
func (g *gateway) metrics(page func() web.Stats) (http.Handler, error) {
	return telemetry.Handler(telemetry.Config{
		Version: version, Revision: readBuildInfo().Revision, Log: g.log,
		Snapshot: func() telemetry.Snapshot { return g.snapshot(page()) },
	})
}

// snapshot gathers what everybody counted.
func (g *gateway) snapshot(page web.Stats) telemetry.Snapshot {
	l, d := g.ledger.Snapshot(), g.runtime.Stats()
	s := telemetry.Snapshot{
		Values:  telemetry.Values{Read: l.Values.Read, Filtered: l.Values.Filtered, Queued: l.Values.Queued, Journaled: l.Values.Journaled, Dropped: l.Values.Dropped},
		Residue: l.Residue, Devices: map[string]int{}, Outages: d.Outages, Late: d.Late, Foreign: d.Foreign, Segments: d.Segments, Resent: d.Resent,
		Journal: g.journalSnapshot(), Streams: page.Streams, Writes: g.writesSnapshot(),
		Listeners: []telemetry.Listener{{Name: "web", Open: page.Streams, Accepted: uint64(page.StreamsOpened), Refused: page.Refused()}},
	}
	if g.servers != nil {
		s.Servers = g.servers()
	}
	s.Servers = append(s.Servers, g.north().stats()...)
	s.Healing = g.healingCounts()
	c := g.guard.Counts()
	s.Contexts = telemetry.Contexts{Live: c.Live, Findings: map[string]uint64{
		ctxguard.Dropped.String(): c.Dropped, ctxguard.Overdue.String(): c.Overdue, ctxguard.Excess.String(): c.Excess, ctxguard.LeftBehind.String(): c.LeftBehind,
	}}
	s.Trouble = telemetry.Trouble{
		Timeouts: d.Timeouts, DialsWaiting: d.DialsWaiting, DialTimeouts: d.DialTimeouts, DialCuts: d.DialCuts, Slowed: len(d.SlowedSubnets),
		Degraded: d.DegradedDevices, Degrades: d.Degrades, Jittery: d.JitteryDevices, Paused: d.PausedDevices,
	}
	s.Schedule = telemetry.Schedule{
		Dials: d.Opens, DialFailures: d.OpenFailures, Sessions: d.Sessions, Crowded: d.Crowded, Stretched: d.Stretched, Stretches: d.Shed, Late: d.SchedulerLate,
	}
	s.Routes = telemetry.Routes{Changes: d.RouteChanges, Standbys: d.Standbys, Suspicions: d.Suspicions, SlotsUsed: d.SlotsUsed, Slots: d.SlotsLimit, HalfOpen: d.HalfOpen}
	for _, state := range device.States() {
		s.Devices[state.String()] = d.States[state]
	}
	for _, x := range d.Groups {
		s.Groups = append(s.Groups, telemetry.Group{Name: x.Name, Lag: histogram(x.Lag), RTT: histogram(x.RTT), Missed: x.Missed})
	}
	for _, x := range g.sinks.stats() {
		s.Sinks = append(s.Sinks, telemetry.Sink{
			ID: x.cfg.ID, Up: x.State == sink.OK, Delivered: x.Delivered, Waiting: x.Waiting, Dropped: x.Dropped, Behind: behind(x.Stats, time.Now()),
		})
	}
	return s
}

func (g *gateway) writesSnapshot() telemetry.Writes {
	s, a := g.writes.Stats(), g.audit.Stats()
	w := telemetry.Writes{Ends: map[string]uint64{}, Took: telemetry.Histogram{Bounds: s.Bounds, Counts: s.Counts, Sum: s.Sum}, Waiting: s.Waiting,
		Audit: telemetry.Audit{Records: a.Records, Commits: a.Commits, Errors: s.AuditErrors}}
	for end, n := range s.Ends {
		w.Ends[string(end)] = n
	}
	return w
}

func (g *gateway) journalSnapshot() telemetry.Journal {
	j := g.journal.Stats()
	return telemetry.Journal{
		Bytes: j.Bytes, FreeBytes: freeBytes(g.config().Gateway.Data), Segments: j.Segments, QueueBytes: j.QueueBytes, Oldest: j.Oldest,
		Batches: j.Batches, Syncs: j.Syncs, BytesWritten: j.BytesWritten, Errors: j.Errors, Full: j.Full, Failing: j.Failing,
	}
}

func histogram(h device.Histogram) telemetry.Histogram {
	return telemetry.Histogram{Bounds: h.Bounds, Counts: h.Counts, Sum: h.Sum}
}

// behind is the age of the oldest row that a sink is being given.
func behind(s sink.Stats, now time.Time) time.Duration {
	if s.Oldest.IsZero() || s.Waiting == 0 {
		return 0
	}
	return max(0, now.Sub(s.Oldest))
}
