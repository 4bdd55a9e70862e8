//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"millrace/internal/config"
	"millrace/internal/journal"
	"millrace/internal/journal/faultfs"
	"millrace/internal/sink"
	"millrace/internal/web"
)

// diskRig is a gateway whose journal lies on a disk that fails at will.
func diskRig(t *testing.T) (*rig, *faultfs.FS, string) {
	t.Helper()
	disk, dir := faultfs.New(), t.TempDir()
	text := configText(dir) + wideDevice(startPLC(t).addr, dir)
	r := startRig(t, dir, text, rigOptions{seams: seams{journal: disk}, tweak: func(c *config.Config) {
		c.Journal.SegmentBytes, c.Journal.MaxBytes, c.Journal.QueueBytes, c.Journal.MaxAge = 32<<10, 64<<20, 64<<10, -1
	}})
	until(t, "values are delivered", func() bool { return r.sink("files").Delivered > 1000 })
	return r, disk, dir
}

// wideDevice is the rest of a configuration: a device with 100 values every 10 ms, all of which are kept, and a file sink.
func wideDevice(addr, dir string) string {
	s := "devices:\n  - id: d\n    address: modbus://" + addr + "/1\n" +
		"    profile: {floor: 1s, ceiling: 5s, cap: 5s}\n    groups:\n      g:\n        interval: 10ms\n        tags:\n"
	for i := range 100 {
		s += fmt.Sprintf("          t%02d: holding:%d:uint16 every\n", i, i)
	}
	return s + fmt.Sprintf("sinks:\n  - {id: files, type: file, dir: %q, from: oldest, rotate_bytes: 64KiB}\n", filepath.Join(dir, "out"))
}

// goesOn waits until the device was polled, and what it gave was synced, n times more.
func (r *rig) goesOn(n uint64) {
	r.t.Helper()
	r.reads("d", n)
	was := r.journal.Stats().Batches
	until(r.t, "the journal syncs", func() bool { return r.journal.Stats().Batches >= was+n })
}

// settles stops the gateway, and holds that what it synced is what was delivered or counted as dropped, nothing twice.
func (r *rig) settles(dir string) {
	r.t.Helper()
	r.stop()
	l := r.Ledger()
	lines := uint64(len(fileRows(r.t, filepath.Join(dir, "out")))) // which also holds that offsets grow
	s := l.Sinks[0]
	if s.Waiting != 0 || lines != s.Delivered || s.Delivered+s.Dropped["retention"] != l.Values.Journaled {
		r.t.Errorf("%d lines in the files; the ledger: %+v", lines, l)
	}
	st := r.journal.Stats()
	r.t.Logf("%d errors of the disk; %d values read, %d journaled, dropped %v; delivered %d, dropped %v", st.Errors, l.Values.Read, l.Values.Journaled,
		l.Values.Dropped, s.Delivered, s.Dropped)
}

func (r *rig) diskAlarm(want string) web.Alarm {
	r.t.Helper()
	var a web.Alarm
	until(r.t, "the alarm: "+want, func() bool {
		var ok bool
		a, ok = r.alarm("disk")
		return ok && strings.Contains(a.Text, want)
	})
	if a.Severity != web.Critical || a.Todo == "" {
		r.t.Errorf("%+v", a)
	}
	return a
}

func (r *rig) diskWell() {
	r.t.Helper()
	until(r.t, "the alarm is taken back", func() bool { _, ok := r.alarm("disk"); return !ok })
	if s := r.journal.Stats(); s.Full || s.Failing {
		r.t.Errorf("full %v, failing %v", s.Full, s.Failing)
	}
}

// A disk that is full takes new values in the place of old ones that are delivered: nothing is lost.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	r, disk, dir := diskRig(t)
	disk.SetCapacity(disk.Used())
	r.diskAlarm("full")
	(&ward{r, dir}).explained("d", "journal", "the disk is full")
	first, _ := r.journal.Bounds()
	until(t, "the oldest values make room", func() bool { now, _ := r.journal.Bounds(); return now > first })
	r.goesOn(50)
	disk.SetCapacity(0)
	r.diskWell()
	r.goesOn(1)
	r.settles(dir)
	if l := r.Ledger(); len(l.Values.Dropped) != 0 || len(l.Sinks[0].Dropped) != 0 {
		t.Errorf("dropped %v %v", l.Values.Dropped, l.Sinks[0].Dropped)
	}
}

// A disk that is full and a sink that is down: polling goes on, the oldest values go, and how many is known per sink.
func TestDiskFullAndSinkDown(t *testing.T) {
	t.Parallel()
	r, disk, dir := diskRig(t)
	out := filepath.Join(dir, "out")
	if err := os.Rename(out, out+".away"); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "out", "no directory")
	until(t, "the sink is down", func() bool { return r.sink("files").State == string(sink.Retrying) })
	disk.SetCapacity(disk.Used())
	r.diskAlarm("full")
	until(t, "the alarm says what is lost", func() bool {
		a, _ := r.alarm("sink:files")
		return strings.Contains(a.Text, "removed from the journal")
	})
	r.goesOn(20)
	disk.SetCapacity(0)
	r.diskWell()
	if err := os.Remove(out); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(out+".away", out); err != nil {
		t.Fatal(err)
	}
	until(t, "the sink catches up", func() bool { return r.sink("files").Waiting < 2000 })
	r.settles(dir)
	if l := r.Ledger(); l.Sinks[0].Dropped["retention"] == 0 {
		t.Errorf("dropped %v %v", l.Values.Dropped, l.Sinks[0].Dropped)
	}
}

// A disk that refuses: polling goes on, what finds no room in the queue is counted, and when the disk takes data again all is well.
func TestDiskRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		op   faultfs.Op
		err  error
		want string
	}{
		{"fsync", faultfs.Sync, syscall.EIO, "input/output error"},
		{"write", faultfs.Write, syscall.EIO, "input/output error"},
		{"write, full in spite of its room", faultfs.Write, syscall.ENOSPC, "no space left"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, disk, dir := diskRig(t)
			disk.Fail(c.op, "", c.err, -1)
			r.diskAlarm(c.want)
			until(t, "the queue is full", func() bool { return r.Ledger().Values.Dropped[journal.ReasonFull] > 0 })
			r.reads("d", 20)
			if h := r.Health()[0]; h.Ready || h.Detail == "" {
				t.Errorf("ready without a journal: %+v", h)
			}
			disk.Heal()
			r.diskWell()
			r.goesOn(20)
			if h := r.Health()[0]; !h.Ready {
				t.Errorf("not ready: %+v", h)
			}
			r.settles(dir)
		})
	}
}

// Single faults in passing lose nothing at all.
func TestDiskFaultsInPassing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault func(*faultfs.FS)
	}{
		{"a torn write", func(f *faultfs.FS) { f.Tear(".seg", 100) }},
		{"a failed fsync", func(f *faultfs.FS) { f.Fail(faultfs.Sync, ".seg", syscall.EIO, 1) }},
		{"two failed fsyncs", func(f *faultfs.FS) { f.Fail(faultfs.Sync, ".seg", syscall.EIO, 2) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, disk, dir := diskRig(t)
			for range 5 {
				was := r.journal.Stats().Errors
				c.fault(disk)
				until(t, "the fault strikes", func() bool { return r.journal.Stats().Errors > was })
				r.goesOn(5)
			}
			r.diskWell()
			r.settles(dir)
			if l := r.Ledger(); len(l.Values.Dropped) != 0 || len(l.Sinks[0].Dropped) != 0 {
				t.Errorf("dropped %v %v", l.Values.Dropped, l.Sinks[0].Dropped)
			}
		})
	}
}
