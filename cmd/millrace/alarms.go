package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"millrace/ctxguard"
	"millrace/internal/device"
	"millrace/internal/ledger"
	"millrace/internal/notify"
	"millrace/internal/sink"
	"millrace/internal/web"
)

// Alarms implements web.Source: what is wrong now, worst first.
func (g *gateway) Alarms() []web.Alarm {
	var out []web.Alarm
	g.mu.Lock()
	add := func(a alarmState, id, severity, todo string) {
		if a.text != "" {
			out = append(out, web.Alarm{ID: id, Severity: severity, Since: a.since, Text: a.text, Todo: todo})
		}
	}
	add(g.disk, "disk", web.Critical, "free space on the data directory's disk, or lower journal.max_bytes; it recovers by itself")
	add(g.leaks, "leaks", web.Warning, "this is a fault of Millrace: run 'millrace ctxguard report' against a gateway with --debug and report what it says; a restart frees what leaked")
	add(g.residue, "residue", web.Critical, "this is a fault of Millrace: keep the data directory and report it")
	add(g.reloads, "reload", web.Warning, "mend the file; the last good configuration keeps running")
	add(g.tampered, "audit", web.Critical, "'millrace audit verify' says where; keep a copy of the folder")
	g.mu.Unlock()
	out = append(out, g.journalAlarms()...)
	out = append(out, g.healAlarms()...)
	trimmed := g.trimmed()
	for _, s := range g.sinks.stats() {
		if w := sinkAlarm(s, trimmed[s.cfg.ID]); w != nil {
			out = append(out, *w)
		}
	}
	out = append(out, g.downs.alarms(g.runtime)...)
	slices.SortStableFunc(out, func(a, b web.Alarm) int { return cmp.Compare(severity(a), severity(b)) })
	return out
}

// journalAlarms says what the journal found damaged when it was opened.
func (g *gateway) journalAlarms() []web.Alarm {
	var out []web.Alarm
	s := g.journal.Stats()
	add := func(id, text, todo string) {
		out = append(out, web.Alarm{ID: "journal:" + id, Severity: web.Critical, Since: g.started, Text: text, Todo: todo})
	}
	if n := len(s.Recovery.Holes); n > 0 {
		add("damaged", fmt.Sprintf("%d records of the journal are damaged; their values are lost, all others are not", n), "look at the disk; 'millrace journal check' lists them")
	}
	if s.Recovery.CursorsAhead {
		add("ahead", "the journal's disk lost records that it had acknowledged", "look at the disk and its write cache")
	}
	if s.CursorsLost {
		add("cursors", "the places of the sinks in the journal are lost; sinks that keep none themselves start at the oldest record", "expect values twice in files; look at the disk")
	}
	return out
}

func severity(a web.Alarm) int {
	return slices.Index([]string{web.Critical, web.Warning, web.Info}, a.Severity)
}

// wrongSince is when the device got into the state that it is in; one that is down is tried again and again, and has been down since the
// outage began.
func wrongSince(d *device.Status) time.Time {
	if !d.DownSince.IsZero() {
		return d.DownSince
	}
	return d.Since
}

// trimmed returns, by sink, how many values retention removed before the sink had them.
func (g *gateway) trimmed() map[string]uint64 {
	by := map[string]uint64{}
	for _, c := range g.journal.Stats().Cursors {
		by[c.Name] = c.Trimmed
	}
	return by
}

// sinkAlarm is what is wrong with a sink. It learns what retention removed only when it can go on; until then trimmed says it.
func sinkAlarm(s sinkStats, trimmed uint64) *web.Alarm {
	a := &web.Alarm{ID: "sink:" + s.cfg.ID, Severity: web.Warning, Since: s.Since, Sink: s.cfg.ID, Todo: "nothing is lost: the journal keeps what waits"}
	switch {
	case s.Reason != "":
		a.Text = "sink " + s.cfg.ID + ": " + s.Reason
		if known := s.Dropped[sink.ReasonRetention]; trimmed > known {
			a.Text += fmt.Sprintf("; %d values were removed from the journal before it got them", trimmed-known)
			a.Todo = "values are being lost: bring the sink back, free space, or raise journal.max_bytes"
		}
	case s.alarm.text != "":
		a.Severity, a.Since, a.Text, a.Todo = web.Info, s.alarm.since, s.alarm.text, ""
	default:
		return nil
	}
	return a
}

// residueAlarm hears of the ledger's residue, and when it is gone.
func (g *gateway) residueAlarm(s ledger.Snapshot) {
	text := ""
	if s.Residue != 0 {
		text = fmt.Sprintf("the ledger does not add up: %d values are not accounted for", s.Residue)
		g.log.Error(text, "read", s.Values.Read, "filtered", s.Values.Filtered, "queued", s.Values.Queued, "journaled", s.Values.Journaled)
		g.notes.send(notify.Residue, "", text)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.residue.set(text, time.Now())
}

// watch looks at the disk until ctx ends.
func (g *gateway) watch(ctx context.Context) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			g.diskAlarm(g.Gateway().Journal)
			g.load.look(now)
		}
	}
}

func (g *gateway) diskAlarm(j web.Journal) {
	g.mu.Lock()
	was := g.disk.text
	g.disk.set(j.Reason, time.Now())
	g.mu.Unlock()
	if (was == "") == (j.Reason == "") {
		return
	}
	if j.Reason == "" {
		g.log.Info("the disk takes data again")
		return
	}
	g.log.Error(j.Reason)
	g.notes.send(notify.Disk, "", j.Reason)
}

// tell tells the log and whoever is to be notified of devices that go down and come back, each once.
func (g *gateway) tell(e device.Event) {
	if e.Act != "" {
		g.log.Info("device: "+e.Act, "device", e.Device, "reason", e.Reason)
	}
	switch {
	case e.Act != "" && e.From == e.To: // said
	case e.To == device.OutOfService:
		g.log.Info("device out of service", "device", e.Device, "reason", e.Reason)
	case e.Began:
		g.log.Warn("device down", "device", e.Device, "reason", e.Reason)
		g.notes.send(notify.DeviceDown, e.Device, e.Reason)
	case e.Ended:
		g.log.Info("device back", "device", e.Device, "reason", e.Reason)
		g.notes.send(notify.DeviceUp, e.Device, e.Reason)
	default:
		g.log.Debug("device", "device", e.Device, "from", e.From, "to", e.To, "reason", e.Reason)
	}
}

// leaked hears of a context that leaks. The alarm stays: what leaked is there until the process ends.
func (g *gateway) leaked(r ctxguard.Report) {
	where := r.Scope
	if f := r.Frames(); len(f) > 0 {
		where = strings.TrimPrefix(where+", made by "+f[0].String(), ", ")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leaks.set(fmt.Sprintf("contexts leak (%s): %s", r.Finding, where), time.Now())
}
