package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/internal/config"
	"millrace/internal/device"
	"millrace/internal/sim"
)

// A device that is not there at the start is tried, the others are read, and it is read when it comes.
func TestAbsentAtStart(t *testing.T) {
	for name, of := range map[string]species{"modbus": modbusSpecies(), "s7": s7Species()} {
		t.Run(name, func(t *testing.T) { absentAtStart(t, of) })
	}
}

func absentAtStart(t *testing.T, of species) {
	dir := t.TempDir()
	plc, there := of.start(t), of.sim(t)
	late := startNetwork(t, plc.address())
	late.shut()
	r := startRig(t, dir, of.config(dir, late.addr, there.Addr(1)), rigOptions{})
	r.reads("neighbour", 2)
	until(t, "the absent one is tried a few times", func() bool { return r.events.since(0, "victim", device.Opening) >= 3 })
	d := r.device("victim")
	if d.Reads != 0 || d.Reason == "" || r.count("victim", notGood) != 4 {
		t.Errorf("absent: %+v", d)
	}
	if a, ok := r.alarm("device:victim"); !ok || !strings.Contains(a.Text, "refuse") {
		t.Errorf("alarms: %+v", r.Alarms())
	}
	late.open()
	r.reads("victim", 3)
	if a, ok := r.alarm("device:victim"); ok {
		t.Errorf("alarm of a device that is read: %+v", a)
	}
	if d := r.device("neighbour"); d.Outages != 0 || d.Timeouts != 0 {
		t.Errorf("neighbour: %+v", d)
	}
}

// Ten devices of a thousand stop answering: the others miss no poll, over real sockets.
func TestBlackHoledAmongMany(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 20 s")
	}
	if runtime.GOOS != "linux" {
		t.Skip("needs 1,000 addresses in 127.0.0.0/8")
	}
	t.Parallel()
	devices, each := 1000, 100
	if raced {
		devices, each = 300, 30 // the detector makes everything several times as slow
	}
	t.Run("modbus", func(t *testing.T) {
		t.Parallel()
		blackHoledAmongMany(t, plant(t, sim.ModbusConfig{Listen: "127.0.1.1:0", Devices: devices}), devices, each)
	})
	t.Run("s7", func(t *testing.T) {
		t.Parallel()
		blackHoledAmongMany(t, s7Plant(t, sim.S7Config{Listen: "127.0.1.1:0", Devices: devices / 2}), devices/2, each/2)
	})
}

func blackHoledAmongMany(t *testing.T, m sim.Simulator, devices, each int) {
	dir := t.TempDir()
	var text bytes.Buffer
	if err := m.EmitConfig(&text, sim.EmitOptions{Interval: 2 * time.Second, Profile: "site", Data: filepath.Join(dir, "data"), Sink: filepath.Join(dir, "out")}); err != nil {
		t.Fatal(err)
	}
	r := startRig(t, dir, strings.Replace(text.String(), "127.0.0.1:8080", "'off'", 1), rigOptions{tweak: func(c *config.Config) {
		c.Gateway.DialRate, c.Journal.SegmentBytes = 1000, 4<<20
	}})
	until(t, "all are read", func() bool { return minReads(r, 0) >= 1 })
	judged(t, func() []string { return holes(t, r, m, devices, each) })
	g := r.runtime.Stats().Groups[0]
	t.Logf("%d in a black hole; lag of polls: %s", devices/each, shares(g.Lag))
}

// holes has each so manieth device be in a black hole until the others were read four times more, and returns what was wrong with any of them.
func holes(t *testing.T, r *rig, m sim.Simulator, devices, each int) (wrong []string) {
	was := statuses(r)
	for n := each; n <= devices; n += each {
		if err := m.Stop(n, sim.BlackHole); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the others are read four times more", func() bool { return minReads(r, each) >= was[0].Reads+4 })
	dead := 0
	for i, d := range statuses(r) {
		outages, missed, timeouts := d.Outages-was[i].Outages, d.Groups[0].Missed-was[i].Groups[0].Missed, d.Timeouts-was[i].Timeouts
		switch {
		case (i+1)%each == 0:
			if outages > 0 {
				dead++
			}
		case outages > 0 || missed > 0:
			wrong = append(wrong, fmt.Sprintf("%s: %d outages, %d polls missed, %d timeouts", d.Name, outages, missed, timeouts))
		}
	}
	if dead != devices/each {
		wrong = append(wrong, fmt.Sprintf("%d of %d have an outage", dead, devices/each))
	}
	for n := each; n <= devices; n += each {
		if err := m.Start(n); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all are ready", func() bool { return r.runtime.Stats().States[device.Ready] == devices })
	return wrong
}

// judged has try say what is wrong with something over real sockets in real time. While this process does not run, nothing is read, and the simulated devices are as silent as if they were gone:
// what is wrong after such a moment is no judgement, and is tried again, twice at most.
func judged(t *testing.T, try func() (wrong []string)) {
	t.Helper()
	for left := 2; ; left-- {
		still := watchStandstill(t)
		wrong := try()
		worst := still()
		if len(wrong) == 0 {
			return
		}
		if left == 0 || worst < standstill {
			t.Errorf("this process stood still for %v at most:\n%s", worst, strings.Join(wrong, "\n"))
			return
		}
		t.Logf("this process stood still for %v; of %d things that were wrong the first is %s", worst, len(wrong), wrong[0])
	}
}

// standstill is how long a process may stand still without losing polls: less than what a reply has.
const standstill = 150 * time.Millisecond

// watchStandstill returns a func that returns the longest time for which this process did not run although it should have, since then.
func watchStandstill(t *testing.T) (worst func() time.Duration) {
	end, told := make(chan struct{}), make(chan time.Duration, 1)
	go func() {
		const every = 5 * time.Millisecond
		var most time.Duration
		tick := time.NewTimer(every)
		for last := time.Now(); ; last = time.Now() {
			tick.Reset(every)
			select {
			case <-tick.C:
				most = max(most, time.Since(last)-every)
			case <-end:
				told <- most
				return
			}
		}
	}()
	stop := sync.OnceValue(func() time.Duration {
		close(end)
		return <-told
	})
	t.Cleanup(func() { stop() })
	return stop
}

// statuses returns copies of all devices, by name.
func statuses(r *rig) (all []device.Status) {
	for s := range r.runtime.Devices() {
		c := *s
		c.Groups, c.Routes = slices.Clone(s.Groups), slices.Clone(s.Routes)
		all = append(all, c)
	}
	return all
}

// minReads returns the fewest reads of any device but each so manieth.
func minReads(r *rig, each int) uint64 {
	least := ^uint64(0)
	for i, d := range statuses(r) {
		if each == 0 || (i+1)%each != 0 {
			least = min(least, d.Reads)
		}
	}
	return least
}

// shares writes a histogram as shares of its observations.
func shares(h device.Histogram) string {
	var total, sum uint64
	for _, n := range h.Counts {
		total += n
	}
	var s []string
	for i, b := range h.Bounds {
		if h.Counts[i] > 0 {
			sum += h.Counts[i]
			s = append(s, fmt.Sprintf("%.2f%% within %v", 100*float64(sum)/float64(total), time.Duration(b*float64(time.Second))))
		}
	}
	return strings.Join(s, ", ")
}
