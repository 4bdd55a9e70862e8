package heal

import (
	"testing"
	"testing/synctest"
	"time"
)

// Runs of before the last restart may share a device: it is held until both have ended.
func TestHands(t *testing.T) {
	a := &run{Record: Record{ID: 1, Rule: "slow", Subject: "d1", Devices: []string{"d1", "d2"}}}
	b := &run{Record: Record{ID: 2, Rule: "hot", Subject: "d1", Devices: []string{"d1"}}}
	e := &Engine{runs: []*run{a, b}}
	if !e.busy("d1") || !e.busy("d2") || e.busy("d3") || e.holder(held{"slow", "d1"}) != a || e.holder(held{"hot", "d1"}) != b || e.holder(held{"hot", "d2"}) != nil {
		t.Errorf("%v", e.hands)
	}
	for _, ends := range []*run{b, a} {
		ends.phase = kept
		if got := e.busy("d1"); got != (ends == b) {
			t.Errorf("run %d has ended: busy %v", ends.ID, got)
		}
	}
	if e.busy("d2") || e.holder(held{"slow", "d1"}) != nil {
		t.Error("nobody holds anything, and somebody seems to")
	}
}

// However many runs begin or end together, the disk syncs once for all of them.
func TestRunsAreKeptTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const devices = 60
		p, disk := newFakePlant(devices), newFakeHistory()
		p.set("*", func(d *Device) { d.Loss = 0.1 })
		h := startHealing(t, p, disk, Rule{Name: "slow", When: "device.loss > 0.05", Do: []Action{{Type: Stretch, Factor: 2}}, Within: time.Minute,
			Limit: Limit{Devices: devices, Percent: 100, MinHealthy: -1, PerHour: devices}})
		after(10 * time.Second)
		disk.mu.Lock()
		runs, syncs := len(disk.runs), disk.syncs
		disk.mu.Unlock()
		if runs != devices || syncs > 3 {
			t.Errorf("%d runs took %d syncs\n%s", runs, syncs, h.told())
		}
	})
}
