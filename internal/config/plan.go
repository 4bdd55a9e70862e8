package config

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"millrace/internal/device"
)

// The round trips that a plan reckons with, by the name of the profile. A device that answers more slowly takes as much longer.
var assumedRTT = []RTT{
	{"lan", Millis(5 * time.Millisecond)},
	{"site", Millis(50 * time.Millisecond)},
	{"remote", Millis(500 * time.Millisecond)},
}

// RTT is the round trip that is assumed for a profile.
type RTT struct {
	Profile string `json:"profile"`
	RTT     Millis `json:"rtt_ms"`
}

// Millis is a duration that JSON shows in milliseconds.
type Millis time.Duration

// MarshalJSON gives a number of milliseconds, to the microsecond.
func (m Millis) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Duration(m)/time.Microsecond)/1000, 'f', -1, 64), nil
}

// String is that of time.Duration.
func (m Millis) String() string { return time.Duration(m).String() }

// busy is the share of its time above which an endpoint is warned of: there is little left to repeat what failed.
const busy = 0.8

// Report is what the gateway will do to each device.
//
// Time is reckoned, not measured: a request takes the assumed round trip, window requests run at once, a group waits at worst for every
// other group of its endpoint that is due as often or more often, and for one that is due less often and has just begun.
type Report struct {
	Assumed   []RTT          `json:"assumed_rtt"`
	Devices   []DevicePlan   `json:"devices"`
	Endpoints []EndpointPlan `json:"endpoints"`
	Total     TotalPlan      `json:"total"`
	Warnings  []string       `json:"warnings"`
}

// DevicePlan is the plan of one device.
type DevicePlan struct {
	Device   string      `json:"device"`
	Protocol string      `json:"protocol"`
	Address  string      `json:"address"`
	Endpoint string      `json:"endpoint"`
	Profile  string      `json:"profile"`
	Groups   []GroupPlan `json:"groups"`

	Measured *DeviceMeasured `json:"measured,omitempty"` // by Compare, of a device that the gateway has too
}

// GroupPlan is the plan of one group of a device.
type GroupPlan struct {
	Group             string        `json:"group"`
	Interval          Millis        `json:"interval_ms"`
	Tags              int           `json:"tags"`
	Requests          int           `json:"requests"`   // a cycle
	Window            int           `json:"window"`     // requests in flight at once on a connection, at first
	MaxWindow         int           `json:"max_window"` // what that may grow to by itself
	RequestsPerSecond float64       `json:"requests_per_second"`
	BytesPerSecond    float64       `json:"bytes_per_second"` // of frames both ways, without the headers of TCP and below
	Busy              Millis        `json:"busy_ms"`          // that its own requests take
	Cycle             Millis        `json:"cycle_ms"`         // from due to done at worst, waiting for others included
	Reads             []RequestPlan `json:"reads"`

	Measured *GroupMeasured `json:"measured,omitempty"`

	connections int
	bytes       int // of frames both ways, in a cycle
}

// RequestPlan is one request of a cycle.
type RequestPlan struct {
	Op   string `json:"op"`
	From uint32 `json:"from"`
	To   uint32 `json:"to"`
	Tags int    `json:"tags"`
}

// EndpointPlan is what devices that share connections come to together.
type EndpointPlan struct {
	Endpoint          string  `json:"endpoint"`
	Devices           int     `json:"devices"`
	Connections       int     `json:"connections"`
	Slots             int     `json:"slots"` // connections that it may have
	RequestsPerSecond float64 `json:"requests_per_second"`
	BytesPerSecond    float64 `json:"bytes_per_second"`
	Limit             float64 `json:"limit"` // requests a second that it is given at most, 0 without a limit
	Load              float64 `json:"load"`  // share of the time that it is being asked, 1 is all
}

// TotalPlan is what the gateway comes to.
type TotalPlan struct {
	Devices           int     `json:"devices"`
	Endpoints         int     `json:"endpoints"`
	Connections       int     `json:"connections"`
	Tags              int     `json:"tags"`
	RequestsPerSecond float64 `json:"requests_per_second"`
	BytesPerSecond    float64 `json:"bytes_per_second"`
	ValuesPerSecond   float64 `json:"values_per_second"` // read; deadbands keep fewer
	Connect           Millis  `json:"connect_ms"`        // until all connections are made, at gateway.dial_rate
}

// PlanOf returns what a gateway of configuration c will do. drivers are those that c was loaded with.
func PlanOf(c *Config, drivers map[string]device.Driver) Report {
	p := planner{report: Report{Assumed: assumedRTT, Warnings: []string{}}, byKey: map[string]*endpointLoad{}}
	p.report.Devices = make([]DevicePlan, len(c.Devices)) // not appended to: endpoints point into it
	for i := range c.Devices {
		p.device(&p.report.Devices[i], &c.Devices[i], drivers[c.Devices[i].Driver])
	}
	for _, e := range p.order {
		p.endpoint(e)
	}
	p.hosts(c, drivers)
	t := &p.report.Total
	t.Devices, t.Endpoints = len(c.Devices), len(p.order)
	if c.Gateway.DialRate > 0 {
		t.Connect = Millis(time.Duration(float64(t.Connections) / float64(c.Gateway.DialRate) * float64(time.Second)))
	}
	return p.report
}

type planner struct {
	report Report
	byKey  map[string]*endpointLoad
	order  []*endpointLoad
}

// endpointLoad gathers the groups of one endpoint.
type endpointLoad struct {
	plan   EndpointPlan
	groups []*GroupPlan
	names  []string // of their devices
	pool   int      // connections that they ask for; 0 is one
}

func (p *planner) device(d *DevicePlan, spec *device.Spec, driver device.Driver) {
	*d = DevicePlan{Device: spec.Name, Protocol: spec.Driver, Address: spec.Addr.String(), Endpoint: driver.Endpoint(spec.Addr), Profile: spec.Profile.Name}
	e := p.byKey[d.Endpoint]
	if e == nil {
		e = &endpointLoad{plan: EndpointPlan{Endpoint: d.Endpoint, Connections: 1, Slots: spec.Slots}}
		p.byKey[d.Endpoint] = e
		p.order = append(p.order, e)
	}
	e.plan.Devices++
	e.plan.Slots = max(min(e.plan.Slots, spec.Slots), 1) // the most sparing one's count, and the smallest pool that any of them asks for
	if n := spec.Limits.Connections; n > 0 && (e.pool == 0 || n < e.pool) {
		e.pool = n
	}
	e.plan.Limit = lesserLimit(e.plan.Limit, spec.RequestsPerSecond)
	d.Groups = make([]GroupPlan, len(spec.Groups))
	for i := range spec.Groups {
		g := &d.Groups[i]
		if err := g.fill(spec, &spec.Groups[i], driver); err != nil {
			p.warn("device %s group %s: %v", d.Device, g.Group, err)
		}
		e.groups, e.names = append(e.groups, g), append(e.names, d.Device)
		p.report.Total.Tags += g.Tags
		p.report.Total.ValuesPerSecond += float64(g.Tags) / seconds(g.Interval)
	}
}

// fill makes the plan of group g of a device.
func (p *GroupPlan) fill(spec *device.Spec, g *device.Group, driver device.Driver) error {
	*p = GroupPlan{Group: g.Name, Interval: Millis(g.Interval), Tags: len(g.Tags), Reads: []RequestPlan{}}
	plan, err := driver.Compile(spec.Addr, g.Tags, spec.Limits)
	if err != nil {
		return err
	}
	bytes := 0
	for _, r := range plan.Requests() {
		p.Requests++
		bytes += r.BytesOut + r.BytesIn
		p.Reads = append(p.Reads, RequestPlan{r.Op, r.From, r.To, r.Tags})
	}
	p.bytes = bytes
	p.RequestsPerSecond = round(float64(p.Requests) / g.Interval.Seconds())
	p.BytesPerSecond = round(float64(bytes) / g.Interval.Seconds())
	pace := paceOf(plan)
	p.Window, p.MaxWindow, p.connections = pace.Window, pace.MaxWindow, pace.Connections
	atOnce := pace.Window * pace.Connections
	p.Busy = Millis((p.Requests+atOnce-1)/atOnce) * roundTrip(spec.Profile.Name)
	if limit := spec.RequestsPerSecond; limit > 0 {
		p.Busy = max(p.Busy, Millis(float64(p.Requests)/limit*float64(time.Second)))
	}
	return nil
}

// lesserLimit returns the smaller of two limits, of which 0 is none.
func lesserLimit(a, b float64) float64 {
	if a == 0 || b == 0 {
		return a + b
	}
	return min(a, b)
}

// paceOf returns how many requests of a plan run at once. What a running gateway has learned is not in it.
func paceOf(p device.Plan) device.Pace {
	if paced, ok := p.(device.Paced); ok {
		return paced.Pace()
	}
	return device.Pace{Window: 1, MaxWindow: 1, Connections: 1}
}

func roundTrip(profile string) Millis {
	for _, a := range assumedRTT {
		if a.Profile == profile {
			return a.RTT
		}
	}
	return assumedRTT[0].RTT
}

// hosts warns of those that are connected to as several endpoints, over all addresses of all devices: what the gateway counts apart the host counts together.
func (p *planner) hosts(c *Config, drivers map[string]device.Driver) {
	slots := map[string]map[string]int{} // by host and endpoint
	var order []string
	for i := range c.Devices {
		spec := &c.Devices[i]
		for _, a := range append([]device.Route{{Addr: spec.Addr}}, spec.Routes...) {
			host, key := spec.Driver+" at "+a.Addr.Host, drivers[spec.Driver].Endpoint(a.Addr)
			if slots[host] == nil {
				slots[host] = map[string]int{}
				order = append(order, host)
			}
			if n, ok := slots[host][key]; !ok || spec.Slots < n {
				slots[host][key] = max(spec.Slots, 1)
			}
		}
	}
	for _, host := range order {
		sum := 0
		for _, n := range slots[host] {
			sum += n
		}
		if n := len(slots[host]); n > 1 {
			p.warn("%s is %d endpoints, since addresses there differ in their options: %s, each with connections of its own; the host may count them together", host, n, plural(sum, "slot"))
		}
	}
}

// endpoint adds up the groups of e and says how long each waits for the others.
func (p *planner) endpoint(e *endpointLoad) {
	e.plan.Connections = max(min(e.pool, e.plan.Slots), 1)
	order := make([]int, len(e.groups))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(e.groups[a].Interval, e.groups[b].Interval) })
	longestBehind := make([]Millis, len(order)+1) // of the groups from there on
	for i := len(order) - 1; i >= 0; i-- {
		longestBehind[i] = max(longestBehind[i+1], e.groups[order[i]].Busy)
	}
	load := 0.0
	var sum Millis
	for i := 0; i < len(order); {
		j := i // order[i:j] have the same interval, and wait for one another
		for j < len(order) && e.groups[order[j]].Interval == e.groups[order[i]].Interval {
			g := e.groups[order[j]]
			sum += g.Busy
			load += seconds(g.Busy) / seconds(g.Interval)
			e.plan.RequestsPerSecond += g.RequestsPerSecond
			e.plan.BytesPerSecond += g.BytesPerSecond
			j++
		}
		for _, k := range order[i:j] {
			e.groups[k].Cycle = sum + longestBehind[j]
			p.checkCycle(e.names[k], e.groups[k])
		}
		i = j
	}
	e.plan.RequestsPerSecond, e.plan.BytesPerSecond = round(e.plan.RequestsPerSecond), round(e.plan.BytesPerSecond)
	if e.plan.Load = round(load); load > busy {
		p.warn("endpoint %s is asked %.0f %% of the time, by %s; above %.0f %% polls begin to be late", e.plan.Endpoint, load*100, plural(e.plan.Devices, "device"), busy*100)
	}
	p.report.Endpoints = append(p.report.Endpoints, e.plan)
	t := &p.report.Total
	t.Connections += e.plan.Connections
	t.RequestsPerSecond = round(t.RequestsPerSecond + e.plan.RequestsPerSecond)
	t.BytesPerSecond = round(t.BytesPerSecond + e.plan.BytesPerSecond)
}

func (p *planner) checkCycle(name string, g *GroupPlan) {
	if g.Cycle > g.Interval {
		p.warn("device %s group %s: a cycle can take %v, which is longer than its interval of %v", name, g.Group, g.Cycle, g.Interval)
	}
}

func (p *planner) warn(format string, args ...any) {
	p.report.Warnings = append(p.report.Warnings, fmt.Sprintf(format, args...))
}

func seconds(m Millis) float64 { return time.Duration(m).Seconds() }

// round keeps three decimals.
func round(v float64) float64 { return math.Round(v*1000) / 1000 }

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
