package why

import (
	"fmt"
	"strings"

	"millrace/internal/device"
)

// happened returns when the gateway last did act by itself.
func (f *Facts) happened(act string) *device.Happening {
	for i := range f.Evidence.Happenings {
		if h := &f.Evidence.Happenings[i]; h.Act == act {
			return h
		}
	}
	return nil
}

// ruleIn returns the healing rule that a reason names, "" when it was none.
func ruleIn(reason string) string {
	_, rest, _ := strings.Cut(reason, "healing: rule ")
	name, _, _ := strings.Cut(rest, " ")
	return name
}

// byRule has x say what to do about something that the healing rule in reason did, when there is one: it does not go away by itself as what the gateway does without a rule.
func (x *Finding) byRule(reason string) {
	if name := ruleIn(reason); name != "" {
		x.Todo = []string{"millrace heal history " + name + " --all says why the rule did so, and when it is undone; without keep that is when the gateway ends",
			"millrace heal explain " + name + " says what the rule is for"}
	}
}

func findDegraded(f *Facts, x *Finding) bool {
	d := f.Device.Degraded
	if d.Level == device.DegradeNone {
		return false
	}
	x.Title = fmt.Sprintf("The gateway asks it for less at once (%s): %s", d.Level, d.Why)
	x.Since = d.Since
	x.byRule(d.Why)
	x.add("level %s for %s", d.Level, short(f.Now.Sub(d.Since)))
	if f.Device.Loss > 0 {
		x.add("%s of the last requests had no answer", percent(f.Device.Loss))
	}
	if h := f.happened("degrade"); h != nil {
		x.add("%s ago: %s", short(f.Now.Sub(h.At)), h.Reason)
	}
	return true
}

func findWritesPaused(f *Facts, x *Finding) bool {
	if f.Device.WritesPaused == "" {
		return false
	}
	x.Title = "Writes to it are refused for now"
	x.add("%s", f.Device.WritesPaused)
	if of := f.recent(device.FaultTimeout); of != nil {
		x.Since = of.First
	}
	return true
}

func findSwitched(f *Facts, x *Finding) bool {
	d := &f.Device
	if d.Route == 0 || d.Route >= len(d.Routes) {
		return false
	}
	x.Title = fmt.Sprintf("It is read over %s in place of its first address", routeName(&d.Routes[d.Route]))
	if d.RoutePinned {
		x.Title += ", and was told to stay there"
	}
	x.Since = d.Routes[d.Route].Since
	f.addRoutes(x)
	x.add("it went from one address to another %s", times(d.RouteChanges))
	if h := f.happened("route"); h != nil {
		if d.RoutePinned {
			x.byRule(h.Reason)
		}
		x.add("%s ago: %s", short(f.Now.Sub(h.At)), h.Reason)
	}
	return true
}

func routeName(r *device.RouteStatus) string {
	if r.Name == "" {
		return r.Addr
	}
	return r.Name + " (" + r.Addr + ")"
}

// addRoutes appends how the device's addresses stand, of one that has several.
func (f *Facts) addRoutes(x *Finding) {
	if len(f.Device.Routes) < 2 {
		return
	}
	for i := range f.Device.Routes {
		r := &f.Device.Routes[i]
		line := fmt.Sprintf("%s: %s", routeName(r), r.State)
		if r.Cause != "" {
			line += ", " + r.Cause
		}
		if r.RTT > 0 {
			line += ", answers in " + short(r.RTT)
		}
		x.Evidence = append(x.Evidence, line)
	}
}

func findSuspected(f *Facts, x *Finding) bool {
	d := &f.Device
	if d.Suspicion == "" {
		return false
	}
	x.Title = "It still answers, and something points to its going away: " + d.Suspicion
	x.add("phi is %.3g", d.Phi)
	if h := f.happened("suspect"); h != nil {
		x.Since = h.At
		x.add("%s ago: %s", short(f.Now.Sub(h.At)), h.Reason)
	}
	f.addRTT(x)
	f.addTCP(x)
	f.addRoutes(x)
	return true
}

func findStretched(f *Facts, x *Finding) bool {
	d := &f.Device
	if d.Stretch <= 1 {
		return false
	}
	x.Title = fmt.Sprintf("It is read less often than configured, up to %.3g times: %s", d.Stretch, d.StretchWhy)
	x.byRule(d.StretchWhy)
	for _, g := range d.Groups {
		if g.Every > g.Interval {
			x.add("group %s is read every %s in place of %s", g.Name, short(g.Every), short(g.Interval))
		}
	}
	if f.Gateway.Overload != "" {
		x.add("%s", f.Gateway.Overload)
	}
	if d.Load > 0 {
		x.add("its connection is busy %s of the time", percent(d.Load))
	}
	if h := f.happened("stretch"); h != nil {
		x.Since = h.At
		x.add("%s ago: %s", short(f.Now.Sub(h.At)), h.Reason)
	}
	return true
}
