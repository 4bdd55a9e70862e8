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
	reason, refuses := reasonOf(&device.Status{State: device.Ready, Reason: "answers", Groups: []device.GroupStatus{{}, {Refusal: "no such node"}}})
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

func TestStatusSaysWhoTakesTheTime(t *testing.T) {
	g := glance{gateway: web.Gateway{Overload: "groups of 1m0s are read each 2m0s now"}, devices: []statusDevice{
		{ID: "a", State: web.StateReady, LoadWhy: "the connection of a is busy 90 % of the time"},
		{ID: "b", State: web.StateReady, Stretch: 4, StretchWhy: "its connection is overloaded"},
		{ID: "c", State: web.StateReady, Stretch: 1},
	}}
	for range 30 {
		g.devices = append(g.devices, statusDevice{ID: "more", State: web.StateReady, Stretch: 2})
	}
	var out strings.Builder
	if err := g.print(&out, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"overload: groups of 1m0s are read each 2m0s now\n", "load: the connection of a is busy 90 % of the time\n",
		"  b is read up to 4 times less often: its connection is overloaded\n", "  31 devices are read less often than configured\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "c is read") || strings.Count(out.String(), "more is read") != mostShown-2 {
		t.Errorf("too much:\n%s", out.String())
	}
}
