package config

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// maxWarnings bounds the warnings that WriteText prints; the report itself has all.
const maxWarnings = 20

// WriteText prints the report for people. Groups of different devices for which every figure is the same are one line.
func (r *Report) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "device\tgroup\tinterval\ttags\trequests\twindow\trequests/s\tbytes/s\tbusy\tcycle\treads")
	for _, l := range r.lines() {
		g := l.group
		fmt.Fprintf(t, "%s\t%s\t%v\t%d\t%d\t%s\t%s\t%s\t%v\t%v\t%s\n", l.name(), g.Group, g.Interval, g.Tags, g.Requests, g.window(), figure(g.RequestsPerSecond), figure(g.BytesPerSecond), g.Busy, g.Cycle, reads(g))
	}
	fmt.Fprintln(t)
	fmt.Fprintln(t, "endpoint\tdevices\tconnections\tslots\trequests/s\tat most\tbytes/s\tload")
	for _, l := range r.endpointLines() {
		e := l.plan
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\t%s\t%s\t%.1f %%\n", l.name(), e.Devices, e.Connections, e.Slots, figure(e.RequestsPerSecond), limit(e.Limit), figure(e.BytesPerSecond), e.Load*100)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return r.writeTotal(w)
}

func (r *Report) writeTotal(w io.Writer) error {
	var b strings.Builder
	t := r.Total
	fmt.Fprintf(&b, "\n%s at %s: %s, made within %v; %s requests/s, %s bytes/s, %s, %s values/s read\n",
		plural(t.Devices, "device"), plural(t.Endpoints, "endpoint"), plural(t.Connections, "connection"), t.Connect, figure(t.RequestsPerSecond), figure(t.BytesPerSecond), plural(t.Tags, "tag"), figure(t.ValuesPerSecond))
	var rtts []string
	for _, a := range r.Assumed {
		rtts = append(rtts, fmt.Sprintf("%s %v", a.Profile, a.RTT))
	}
	fmt.Fprintf(&b, "Times assume a round trip of %s. window: requests in flight at once; busy: what a group's own requests take; cycle: with the wait for others at worst. Bytes are those of frames.\n", strings.Join(rtts, ", "))
	for i, warning := range r.Warnings {
		if i == maxWarnings {
			fmt.Fprintf(&b, "and %d more warnings\n", len(r.Warnings)-i)
			break
		}
		fmt.Fprintf(&b, "warning: %s\n", warning)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// window writes how many requests are in flight at once: 2, or 1..4 when it is found out.
func (p *GroupPlan) window() string {
	if p.MaxWindow <= p.Window {
		return strconv.Itoa(p.Window)
	}
	return fmt.Sprintf("%d..%d", p.Window, p.MaxWindow)
}

// limit writes how many requests a second there may be.
func limit(v float64) string {
	if v == 0 {
		return "any"
	}
	return figure(v)
}

// figure writes v with four digits, or all those before the point.
func figure(v float64) string {
	if v >= 1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// planLine is one line of the table of groups: the first device of those that share it.
type planLine struct {
	device string
	group  *GroupPlan
	more   int
}

func (l *planLine) name() string { return withMore(l.device, l.more) }

func withMore(name string, more int) string {
	if more == 0 {
		return name
	}
	return fmt.Sprintf("%s +%d", name, more)
}

func (r *Report) lines() []*planLine {
	var out []*planLine
	index := map[string]*planLine{}
	for i := range r.Devices {
		d := &r.Devices[i]
		for j := range d.Groups {
			g := &d.Groups[j]
			key := fmt.Sprint(d.Profile, g.Group, g.Interval, g.Tags, g.Requests, g.window(), g.BytesPerSecond, g.Busy, g.Cycle, reads(g))
			if l := index[key]; l != nil {
				l.more++
				continue
			}
			l := &planLine{device: d.Device, group: g}
			index[key] = l
			out = append(out, l)
		}
	}
	return out
}

type endpointLine struct {
	plan *EndpointPlan
	more int
}

func (l *endpointLine) name() string { return withMore(l.plan.Endpoint, l.more) }

func (r *Report) endpointLines() []*endpointLine {
	var out []*endpointLine
	index := map[string]*endpointLine{}
	for i := range r.Endpoints {
		e := &r.Endpoints[i]
		same := *e
		same.Endpoint = ""
		key := fmt.Sprint(same)
		if l := index[key]; l != nil {
			l.more++
			continue
		}
		l := &endpointLine{plan: e}
		index[key] = l
		out = append(out, l)
	}
	return out
}

// reads lists the requests of a cycle, the first four of them.
func reads(g *GroupPlan) string {
	var parts []string
	for i, q := range g.Reads {
		if i == 4 {
			parts = append(parts, fmt.Sprintf("and %d more", len(g.Reads)-i))
			break
		}
		parts = append(parts, fmt.Sprintf("%s %d-%d", q.Op, q.From, q.To))
	}
	return strings.Join(parts, ", ")
}
