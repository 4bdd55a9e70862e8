package main

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"millrace/internal/device"
	"millrace/internal/web"
)

// Devices implements web.Source, as do the methods behind it.
func (g *gateway) Devices() iter.Seq[*web.Device] {
	return func(yield func(*web.Device) bool) {
		var d web.Device
		for s := range g.runtime.Devices() {
			if fillDevice(&d, s); !yield(&d) {
				return
			}
		}
	}
}

func (g *gateway) Device(id string) (d web.Device, ok bool) {
	s, ok := g.runtime.Device(id)
	if ok {
		fillDevice(&d, &s)
	}
	return d, ok
}

func (g *gateway) DeviceChanges(since uint64, also func(int) bool, visit func(int, *web.Device)) (next uint64, whole bool) {
	var d web.Device
	return g.runtime.Altered(since, also, func(place int, s *device.Status) {
		fillDevice(&d, s)
		visit(place, &d)
	})
}

func (g *gateway) DeviceStates() map[string]int {
	n := map[string]int{}
	by, out := g.runtime.States()
	for _, state := range device.States() {
		if by[state] > 0 {
			n[state.String()] = by[state]
		}
	}
	if out > 0 {
		n[web.StateOutOfService] += out
	}
	return n
}

// fillDevice makes d what the page shows of s. The slices of d are used again.
func fillDevice(d *web.Device, s *device.Status) {
	groups := d.Groups[:0]
	reason, refuses := reasonOf(s)
	*d = web.Device{
		ID: s.Name, Protocol: s.Protocol, Labels: s.Labels, Endpoint: s.Endpoint, State: s.State.String(), Reason: reason, Since: wrongSince(s), Refuses: refuses,
		Outages: s.Outages, Recovery: s.LongestRecovery, RTT: s.RTT, OutOfService: s.OutOfService, RequestCost: s.RequestCost, ByteCost: s.ByteCost,
		Loss: s.Loss, JitterRule: s.JitterRule, WritesPaused: s.WritesPaused,
		Load: s.Load, LoadWhy: s.LoadWhy, Stretch: s.Stretch, StretchWhy: s.StretchWhy,
		Routes: routesOf(s, d.Routes.All[:0]),
	}
	if s.Degraded.Level != device.DegradeNone {
		d.Degraded, d.DegradedAt, d.DegradedWhy = s.Degraded.Level.String(), s.Degraded.Since, s.Degraded.Why
	}
	for i := range s.Groups {
		x := &s.Groups[i]
		groups = append(groups, web.Group{Name: x.Name, Interval: x.Interval, Every: x.Every, Lag: x.Lag, Tags: x.Tags, Missed: x.Missed, Requests: x.Requests, Took: x.Took})
	}
	d.Groups = groups
}

// reasonOf says why a device is in its state, and of one that answers what it refuses.
func reasonOf(s *device.Status) (reason string, refuses bool) {
	for _, g := range s.Groups {
		if g.Refusal != "" && (s.State == device.Ready || s.State == device.Degraded) {
			return strings.TrimPrefix(s.Reason+"; it refuses some of what it is asked: "+g.Refusal, "; "), true
		}
	}
	return s.Reason, false
}

// routesOf appends the addresses of a device that has several to all.
func routesOf(s *device.Status, all []web.Route) web.Routes {
	r := web.Routes{InUse: s.Route, Pinned: s.RoutePinned, Changes: s.RouteChanges, Phi: s.Phi, Suspicion: s.Suspicion, Slots: s.Slots, SlotsUsed: s.SlotsUsed, HalfOpen: s.HalfOpen, All: all}
	if len(s.Routes) < 2 {
		return r
	}
	for _, x := range s.Routes {
		r.All = append(r.All, web.Route{Addr: x.Addr, Name: x.Name, State: x.State, Cause: x.Cause, Since: x.Since, RTT: x.RTT})
	}
	return r
}

// downs keeps the alarms of the devices that are down: who asks for alarms pays for what has changed since somebody asked last.
type downs struct {
	mu     sync.Mutex
	asked  uint64
	by     map[string]web.Alarm
	sorted []web.Alarm // by name; replaced, not changed
}

// alarms returns them by name. Nobody changes them.
func (d *downs) alarms(r *device.Runtime) []web.Alarm {
	d.mu.Lock()
	defer d.mu.Unlock()
	var down []web.Alarm
	var up []string
	asked, all := r.Altered(d.asked, nil, func(_ int, s *device.Status) {
		if _, was := d.by[s.Name]; !s.DownSince.IsZero() {
			down = append(down, downAlarm(s))
		} else if was {
			up = append(up, s.Name)
		}
	})
	d.asked = asked
	if !all && len(down) == 0 && len(up) == 0 {
		return d.sorted
	}
	if all {
		d.by = map[string]web.Alarm{} // some may be gone
	}
	for _, name := range up {
		delete(d.by, name)
	}
	for _, a := range down {
		d.by[a.Device] = a
	}
	d.sorted = slices.SortedFunc(maps.Values(d.by), func(a, b web.Alarm) int { return cmp.Compare(a.Device, b.Device) })
	return d.sorted
}

func downAlarm(s *device.Status) web.Alarm {
	return web.Alarm{
		ID: "device:" + s.Name, Severity: web.Warning, Since: s.DownSince, Device: s.Name,
		Text: s.Name + ": " + s.Reason, Todo: "millrace why " + s.Name + ", or its page, says why and what to do; it is read again as soon as it answers",
	}
}
