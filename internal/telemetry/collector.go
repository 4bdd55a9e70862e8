package telemetry

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// states are always shown, so that an alert on one of them finds a series before the first device has it.
var states = [...]string{"idle", "opening", "ready", "degraded", "suspect", "cooling", "out_of_service", "draining", "closed"}

// findings are always shown, for the same reason.
var findings = [...]string{"dropped", "overdue", "excess", "left_behind"}

// writeEnds are always shown, for the same reason.
var writeEnds = [...]string{"confirmed", "differs", "refused", "failed", "unknown"}

// collector turns a Snapshot into metrics.
type collector struct {
	snapshot func() Snapshot
	build    [3]string // version, revision, go version
	d        descs
}

type descs struct {
	build                                                       *prometheus.Desc
	read, filtered, queued, journaled, dropped, residue         *prometheus.Desc
	devices, outages, late, foreign, sent, resent               *prometheus.Desc
	lag, rtt, missed                                            *prometheus.Desc
	delivered, waiting, behind, up                              *prometheus.Desc
	bytes, free, segments, queueBytes, oldest, batches          *prometheus.Desc
	syncs, written, journalErrors, journalFull, journalFailing  *prometheus.Desc
	open, accepted, refused, streams, contexts, findings        *prometheus.Desc
	writes, took, waitingWrites, audited, auditSyncs, unaudited *prometheus.Desc

	servers  serverDescs
	healing  healingDescs
	schedule scheduleDescs
	routes   routeDescs
	trouble  troubleDescs
}

func newDescs() descs {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("millrace_"+name, help, labels, nil)
	}
	return descs{
		build: desc("build_info", "Version of the gateway; the value is always 1.", "version", "revision", "goversion"),

		read:      desc("values_read_total", "Values read from devices."),
		filtered:  desc("values_filtered_total", "Values that did not differ enough from the last to be kept (deadband)."),
		queued:    desc("values_queued", "Values offered to the journal and not yet synced."),
		journaled: desc("values_journaled_total", "Values synced in the journal."),
		dropped:   desc("values_dropped_total", "Values given up, by reason: before the journal (sink empty), or on the way from it to a sink.", "sink", "reason"),
		residue:   desc("ledger_residue", "Values that the ledger cannot account for. Anything but 0 is a fault of the gateway."),

		devices: desc("devices", "Devices by state.", "state"),
		outages: desc("device_outages_total", "Times a device vanished, all devices."),
		late:    desc("late_replies_total", "Replies that came after their timeout, or twice."),
		foreign: desc("foreign_replies_total", "Replies to nothing that was asked; each closes its connection."),
		sent:    desc("tcp_segments_total", "TCP segments with data to devices, repeated ones included, as far as connections were looked at."),
		resent:  desc("tcp_retransmits_total", "TCP segments to devices that had to be sent again: networks that lose packets."),

		lag:    desc("schedule_lag_seconds", "Start of a group's read after it was due.", "group"),
		rtt:    desc("device_rtt_seconds", "Time from a request to its reply.", "group"),
		missed: desc("missed_reads_total", "Group reads that were due and did not happen.", "group"),

		delivered: desc("sink_delivered_total", "Values that the sink confirmed.", "sink"),
		waiting:   desc("sink_waiting_values", "Values in the journal that the sink does not have yet.", "sink"),
		behind:    desc("sink_behind_seconds", "Age of the oldest value that waits for the sink.", "sink"),
		up:        desc("sink_up", "1 when the last write to the sink went well.", "sink"),

		bytes:          desc("journal_size_bytes", "Size of the journal on disk."),
		free:           desc("journal_free_bytes", "Space left on the journal's file system."),
		segments:       desc("journal_segments", "Segment files of the journal."),
		queueBytes:     desc("journal_queue_bytes", "Batches that wait for their sync."),
		oldest:         desc("journal_oldest_timestamp_seconds", "When the oldest value in the journal was received."),
		batches:        desc("journal_batches_total", "Batches synced."),
		syncs:          desc("journal_syncs_total", "Syncs of the journal that made batches durable."),
		written:        desc("journal_written_bytes_total", "Bytes written to the journal."),
		journalErrors:  desc("journal_errors_total", "Errors of the journal's disk."),
		journalFull:    desc("journal_disk_full", "1 while the journal's disk is full."),
		journalFailing: desc("journal_failing", "1 while the journal cannot make values durable."),

		open:     desc("open_connections", "Connections open at a listener.", "listener"),
		accepted: desc("accepted_connections_total", "Connections that came to a listener.", "listener"),
		refused:  desc("refused_connections_total", "Connections that a listener turned away or cut off, by reason.", "listener", "reason"),
		contexts: desc("contexts", "Contexts of sessions, sinks and receivers that the leak detector looks after."),
		findings: desc("context_findings_total", "Contexts that leak, by what was found; anything but 0 is a fault of the gateway.", "finding"),

		writes:        desc("writes_total", "Writes to devices, by how they ended.", "end"),
		took:          desc("write_seconds", "Time of a write that left the gateway, from the order or its approval to its end."),
		waitingWrites: desc("writes_waiting", "Writes that wait to be approved."),
		audited:       desc("audit_records_total", "Records in the audit log since the start."),
		auditSyncs:    desc("audit_commits_total", "Syncs of the audit log; records that come at once share one."),
		unaudited:     desc("audit_errors_total", "Records that the audit log did not take; what had not left was refused then."),

		streams: desc("web_streams", "Live streams of the web page that are open."),

		servers:  newServerDescs(),
		healing:  newHealingDescs(),
		schedule: newScheduleDescs(),
		routes:   newRouteDescs(),
		trouble:  newTroubleDescs(),
	}
}

// Describe sends the descriptions of all metrics.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	d := &c.d
	for _, x := range append([]*prometheus.Desc{
		d.build, d.read, d.filtered, d.queued, d.journaled, d.dropped, d.residue, d.devices, d.outages, d.late, d.foreign, d.sent, d.resent, d.lag, d.rtt, d.missed,
		d.delivered, d.waiting, d.behind, d.up, d.bytes, d.free, d.segments, d.queueBytes, d.oldest, d.batches, d.syncs, d.written,
		d.journalErrors, d.journalFull, d.journalFailing, d.open, d.accepted, d.refused, d.streams, d.contexts, d.findings,
		d.writes, d.took, d.waitingWrites, d.audited, d.auditSyncs, d.unaudited,
	}, d.servers.all()...) {
		out <- x
	}
	for _, x := range slices.Concat(d.healing.all(), d.schedule.all(), d.routes.all(), d.trouble.all()) {
		out <- x
	}
}

// Collect takes one snapshot and sends it.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s, d, e := c.snapshot(), &c.d, emitter{out}
	e.gauge(d.build, 1, c.build[:]...)
	e.values(d, s)
	e.deviceMetrics(d, s)
	e.groups(d, s.Groups)
	for i := range s.Sinks {
		e.sink(d, &s.Sinks[i])
	}
	e.journal(d, &s.Journal)
	for i := range s.Listeners {
		e.listener(d, &s.Listeners[i])
	}
	e.gauge(d.streams, float64(s.Streams))
	e.gauge(d.contexts, float64(s.Contexts.Live))
	for _, f := range findings {
		e.counter(d.findings, s.Contexts.Findings[f], f)
	}
	e.writes(d, &s.Writes)
	for i := range s.Servers {
		e.server(&d.servers, &s.Servers[i])
	}
	e.schedule(&d.schedule, &s.Schedule)
	e.routes(&d.routes, &s.Routes)
	e.trouble(&d.trouble, &s.Trouble)
	for i := range s.Healing {
		e.healing(&d.healing, &s.Healing[i])
	}
}

// emitter sends single metrics. What cannot be one becomes an error of the scrape, which shows the others all the same.
type emitter struct{ out chan<- prometheus.Metric }

func (e emitter) send(d *prometheus.Desc, t prometheus.ValueType, v float64, labels []string) {
	for i := range labels {
		labels[i] = strings.ToValidUTF8(labels[i], "\uFFFD")
	}
	m, err := prometheus.NewConstMetric(d, t, v, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err)
	}
	e.out <- m
}

func (e emitter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	e.send(d, prometheus.GaugeValue, v, labels)
}

func (e emitter) counter(d *prometheus.Desc, v uint64, labels ...string) {
	e.send(d, prometheus.CounterValue, float64(v), labels)
}

func (e emitter) flag(d *prometheus.Desc, on bool, labels ...string) {
	v := 0.0
	if on {
		v = 1
	}
	e.gauge(d, v, labels...)
}

func (e emitter) values(d *descs, s Snapshot) {
	e.counter(d.read, s.Values.Read)
	e.counter(d.filtered, s.Values.Filtered)
	e.gauge(d.queued, float64(s.Values.Queued))
	e.counter(d.journaled, s.Values.Journaled)
	e.reasons(d.dropped, "", "journal_full", s.Values.Dropped)
	e.gauge(d.residue, float64(s.Residue))
}

// reasons sends a counter by reason. usual is always among them, so that a rate or an alert finds its series before the first event.
func (e emitter) reasons(d *prometheus.Desc, of, usual string, counts map[string]uint64) {
	if _, ok := counts[usual]; !ok {
		e.counter(d, 0, of, usual)
	}
	for reason, n := range counts {
		e.counter(d, n, of, reason)
	}
}

func (e emitter) deviceMetrics(d *descs, s Snapshot) {
	for _, state := range states {
		e.gauge(d.devices, float64(s.Devices[state]), state)
	}
	for state, n := range s.Devices {
		if !slices.Contains(states[:], state) {
			e.gauge(d.devices, float64(n), state)
		}
	}
	e.counter(d.outages, s.Outages)
	e.counter(d.late, s.Late)
	e.counter(d.foreign, s.Foreign)
	e.counter(d.sent, s.Segments)
	e.counter(d.resent, s.Resent)
}

func (e emitter) groups(d *descs, groups []Group) {
	type sums struct {
		lag, rtt merged
		missed   uint64
	}
	byName := map[string]*sums{}
	for i := range groups {
		g := &groups[i]
		s := byName[g.Name]
		if s == nil {
			s = &sums{}
			byName[g.Name] = s
		}
		s.lag.add(&g.Lag)
		s.rtt.add(&g.RTT)
		s.missed += g.Missed
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		s := byName[name]
		e.histogram(d.lag, &s.lag, name)
		e.histogram(d.rtt, &s.rtt, name)
		e.counter(d.missed, s.missed, name)
	}
}

func (e emitter) histogram(d *prometheus.Desc, m *merged, labels ...string) {
	if m.err != nil {
		e.out <- prometheus.NewInvalidMetric(d, m.err)
		return
	}
	cumulative, n := make(map[float64]uint64, len(m.Bounds)), uint64(0)
	for i, b := range m.Bounds {
		n += m.Counts[i]
		cumulative[b] = n
	}
	if len(m.Counts) > 0 {
		n += m.Counts[len(m.Bounds)]
	}
	for i := range labels {
		labels[i] = strings.ToValidUTF8(labels[i], "\uFFFD")
	}
	h, err := prometheus.NewConstHistogram(d, n, m.Sum, cumulative, labels...)
	if err != nil {
		h = prometheus.NewInvalidMetric(d, err)
	}
	e.out <- h
}

// merged is the sum of histograms of equal bounds.
type merged struct {
	Histogram
	err error
}

func (m *merged) add(h *Histogram) {
	switch {
	case len(h.Counts) == 0 && len(h.Bounds) == 0:
	case len(h.Counts) != len(h.Bounds)+1:
		m.err = fmt.Errorf("telemetry: histogram of %d bounds has %d counts", len(h.Bounds), len(h.Counts))
	case m.Counts == nil:
		m.Histogram = Histogram{slices.Clone(h.Bounds), slices.Clone(h.Counts), h.Sum}
	case !slices.Equal(m.Bounds, h.Bounds):
		m.err = errors.New("telemetry: histograms of one group have different bounds")
	default:
		for i, n := range h.Counts {
			m.Counts[i] += n
		}
		m.Sum += h.Sum
	}
}

func (e emitter) sink(d *descs, s *Sink) {
	e.counter(d.delivered, s.Delivered, s.ID)
	e.gauge(d.waiting, float64(s.Waiting), s.ID)
	e.gauge(d.behind, s.Behind.Seconds(), s.ID)
	e.flag(d.up, s.Up, s.ID)
	e.reasons(d.dropped, s.ID, "retention", s.Dropped)
}

func (e emitter) journal(d *descs, j *Journal) {
	e.gauge(d.bytes, float64(j.Bytes))
	if j.FreeBytes >= 0 {
		e.gauge(d.free, float64(j.FreeBytes))
	}
	e.gauge(d.segments, float64(j.Segments))
	e.gauge(d.queueBytes, float64(j.QueueBytes))
	if !j.Oldest.IsZero() {
		e.gauge(d.oldest, float64(j.Oldest.UnixMilli())/1000)
	}
	e.counter(d.batches, j.Batches)
	e.counter(d.syncs, j.Syncs)
	e.counter(d.written, j.BytesWritten)
	e.counter(d.journalErrors, j.Errors)
	e.flag(d.journalFull, j.Full)
	e.flag(d.journalFailing, j.Failing)
}

func (e emitter) listener(d *descs, l *Listener) {
	e.gauge(d.open, float64(l.Open), l.Name)
	e.counter(d.accepted, l.Accepted, l.Name)
	e.reasons(d.refused, l.Name, "global_limit", l.Refused)
}

func (e emitter) writes(d *descs, w *Writes) {
	for _, end := range writeEnds {
		e.counter(d.writes, w.Ends[end], end)
	}
	var took merged
	took.add(&w.Took)
	e.histogram(d.took, &took)
	e.gauge(d.waitingWrites, float64(w.Waiting))
	e.counter(d.audited, w.Audit.Records)
	e.counter(d.auditSyncs, w.Audit.Commits)
	e.counter(d.unaudited, w.Audit.Errors)
}
