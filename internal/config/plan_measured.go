package config

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// MeasuredDevice is what a running gateway has found of a device, as its API tells it.
type MeasuredDevice struct {
	ID        string          `json:"id"`
	RTTMS     float64         `json:"rtt_ms"`
	RequestMS float64         `json:"request_ms"`
	ByteUS    float64         `json:"byte_us"`
	Groups    []MeasuredGroup `json:"groups"`
}

// MeasuredGroup is what it has found of one group.
type MeasuredGroup struct {
	Name     string  `json:"name"`
	Requests int     `json:"requests"`
	TookMS   float64 `json:"took_ms"`
	LagMS    float64 `json:"lag_ms"`
	Missed   uint64  `json:"missed"`
}

// DeviceMeasured is what a running gateway has found of a device that is in the plan.
type DeviceMeasured struct {
	RTT     Millis  `json:"rtt_ms"`
	Request Millis  `json:"request_ms"` // that a request costs the device, 0 when unknown
	ByteUS  float64 `json:"byte_us"`    // that each byte of it costs, both ways, in microseconds
}

// GroupMeasured is what it has found of a group, beside what the plan expects by what the device's requests were measured to cost.
type GroupMeasured struct {
	Requests int    `json:"requests"`  // a cycle has now: learned caps, holes and gaps are in it
	Busy     Millis `json:"busy_ms"`   // that its requests take, smoothed
	Expected Millis `json:"expect_ms"` // that those of the plan should take; 0 when it is not known what they cost
	Lag      Millis `json:"lag_ms"`    // of the last read
	Missed   uint64 `json:"missed"`
}

// Compare puts what a running gateway has measured beside the plan, and returns how many devices of the plan it knows. Devices and groups are told by their names.
func (r *Report) Compare(measured []MeasuredDevice) int {
	byID := make(map[string]*MeasuredDevice, len(measured))
	for i := range measured {
		byID[measured[i].ID] = &measured[i]
	}
	known := 0
	for i := range r.Devices {
		if m := byID[r.Devices[i].Device]; m != nil {
			r.Devices[i].compare(m)
			known++
		}
	}
	return known
}

func (d *DevicePlan) compare(m *MeasuredDevice) {
	d.Measured = &DeviceMeasured{RTT: millis(m.RTTMS), Request: millis(m.RequestMS), ByteUS: m.ByteUS}
	for i := range d.Groups {
		p := &d.Groups[i]
		for _, g := range m.Groups {
			if g.Name == p.Group {
				p.Measured = &GroupMeasured{Requests: g.Requests, Busy: millis(g.TookMS), Lag: millis(g.LagMS), Missed: g.Missed,
					Expected: millis(float64(p.Requests)*m.RequestMS + float64(p.bytes)*m.ByteUS/1000)}
			}
		}
	}
}

func millis(ms float64) Millis { return Millis(ms * float64(time.Millisecond)) }

// WriteMeasured prints what Compare put beside the plan, a line for each group that was read. It says nothing when there is none.
func (r *Report) WriteMeasured(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	n := 0
	for i := range r.Devices {
		d := &r.Devices[i]
		for j := range d.Groups {
			g := &d.Groups[j]
			if g.Measured == nil || g.Measured.Busy == 0 {
				continue
			}
			if n++; n == 1 {
				fmt.Fprintln(t, "\nmeasured\tgroup\trequests\tplanned\tround trip\ta request\ta byte\tbusy\tplanned\texpected\tlag\tmissed")
			}
			m := g.Measured
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%v\t%v\t%.1f µs\t%v\t%v\t%v\t%v\t%d\n", d.Device, g.Group, m.Requests, g.Requests,
				short(d.Measured.RTT), short(d.Measured.Request), d.Measured.ByteUS, short(m.Busy), short(g.Busy), short(m.Expected), short(m.Lag), m.Missed)
		}
	}
	if n > 0 {
		fmt.Fprintln(t, "\nbusy, planned: for the round trip that the profile assumes; expected: for what this device's requests and bytes were measured to cost.")
	}
	return t.Flush()
}

// short rounds to what is worth reading.
func short(m Millis) time.Duration { return time.Duration(m).Round(10 * time.Microsecond) }
