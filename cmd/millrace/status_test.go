package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/driver"
	"millrace/internal/tag"
	"millrace/internal/web"
)

// A device that answers and refuses some of what it is asked is listed with what that is; one that is well is not.
func TestStatusListsRefusals(t *testing.T) {
	reason, refuses := reasonOf(device.Status{State: device.Ready, Reason: "answers", Groups: []device.GroupStatus{{}, {Refusal: "no such node"}}})
	if !refuses || !strings.HasSuffix(reason, "no such node") {
		t.Errorf("%s, %t", reason, refuses)
	}
	g := glance{devices: []statusDevice{
		{ID: "tanks", State: web.StateReady, Reason: reason, Refuses: refuses}, {ID: "press", State: web.StateReady, Reason: "answers"},
	}}
	var b strings.Builder
	if err := g.print(&b, time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); !strings.Contains(got, "tanks") || !strings.Contains(got, reason) || strings.Contains(got, "press") {
		t.Error(got)
	}
}

// A reason that all tags of a device share is written once.
func TestCycleSaysAReasonOnce(t *testing.T) {
	row := func(device, name string, why error) cycleRow {
		r := cycleRow{device: device, tag: device + "/" + name, Reading: driver.Reading{Quality: tag.BadNoCommunication}}
		if why != nil {
			r.reason = why.Error()
		}
		return r
	}
	refused, other := errors.New("nothing listens on that port"), errors.New("refused")
	rows := []cycleRow{row("a", "x", refused), row("a", "y", refused), row("a", "z", refused), row("b", "x", refused), row("b", "y", other)}
	var b strings.Builder
	if err := writeCycle(&b, rows, false, tag.JSONOptions{}); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	if strings.Count(got, refused.Error()) != 2 || strings.Count(got, "as above") != 2 || strings.Count(got, other.Error()) != 1 {
		t.Error(got)
	}
}
