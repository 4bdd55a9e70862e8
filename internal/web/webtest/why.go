package webtest

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"millrace/internal/device"
	"millrace/internal/web"
	"millrace/internal/why"
)

// Why implements web.Explainer: a device that is down is one that refuses connections.
func (p *Plant) Why(name string) (why.Explanation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of, _, isTag := strings.Cut(name, "/")
	i, ok := p.byID[of]
	at := slices.IndexFunc(p.tags, func(t web.Tag) bool { return t.Name == name })
	if !ok || isTag && at < 0 {
		return why.Explanation{}, &web.UnknownError{What: "device or tag", Name: name}
	}
	f := p.facts(&p.devices[i])
	if isTag {
		t := &p.tags[at]
		r := &p.rows[t.ID-1].sample
		f.Tags = []why.TagState{{Name: t.Name, Group: t.Group, Address: t.Address, Value: r.Value.String(), Told: r.Value.String(), Quality: r.Quality, At: time.Unix(0, r.TS), OutOfService: t.OutOfService}}
		f.Tag = &f.Tags[0]
	}
	return why.Make(f), nil
}

// facts makes up what would have been noticed of a device.
func (p *Plant) facts(d *web.Device) why.Facts {
	state := device.States()[slices.IndexFunc(device.States(), func(s device.State) bool { return s.String() == d.State })]
	f := why.Facts{Now: p.now, Gateway: why.Gateway{Started: p.started, CPU: -1, Free: -1}, Device: device.Status{
		Name: d.ID, Protocol: d.Protocol, Endpoint: d.Endpoint, State: state, Reason: d.Reason, Since: d.Since, OutOfService: d.OutOfService, Configured: p.started, Outages: d.Outages,
		RTT: d.RTT, Shares: d.ID, Slots: 1, Reads: 1000,
	}}
	if state == device.Cooling {
		f.Device.DownSince, f.Device.RetryAt = d.Since, p.now.Add(4*time.Second)
		err := fmt.Errorf("modbus: dial: %w", &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED})
		f.Evidence.Faults = []device.Fault{{Kind: device.FaultRefused, Count: 17, Total: 17, First: d.Since, Last: p.now, Err: err}}
	}
	for _, t := range p.tags {
		if t.Device == d.ID {
			f.Tags = append(f.Tags, why.TagState{Name: t.Name, Group: t.Group, Quality: p.rows[t.ID-1].sample.Quality})
		}
	}
	f.All = func(yield func(*device.Status) bool) { yield(&f.Device) }
	return f
}

var _ web.Explainer = (*Plant)(nil)
