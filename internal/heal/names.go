package heal

import (
	"fmt"
	"time"

	"millrace/internal/rule"
)

// field is one thing that a condition can ask of a T.
type field[T any] struct {
	name string
	kind rule.Kind
	doc  string
	get  func(*T) rule.Value
}

func object[T any](name string, fields []field[T]) *rule.Object {
	o := &rule.Object{Name: name}
	for _, f := range fields {
		o.Fields = append(o.Fields, rule.Var{Name: f.name, Kind: f.kind, Doc: f.doc})
	}
	return o
}

// looked is a T that a condition looks at.
type looked[T any] struct {
	fields []field[T]
	of     *T
}

func (l looked[T]) Field(i int) rule.Value { return l.fields[i].get(l.of) }

// names are what conditions can be about. One is made for all rules.
type names struct {
	device  []field[Device]
	region  []field[Region]
	node    []field[Node]
	objects struct{ device, region, node *rule.Object }
	envs    map[Each]*rule.Env
	which   *rule.Env // of the devices of a region or of the node
}

func newNames() (*names, error) {
	n := &names{device: deviceFields(), region: regionFields(), node: nodeFields(), envs: map[Each]*rule.Env{}}
	n.objects.device, n.objects.region, n.objects.node = object("Device", n.device), object("Region", n.region), object("Node", n.node)
	node := rule.Var{Name: "node", Kind: rule.Struct, Object: n.objects.node, Doc: "The machine, and the gateway as a process of it."}
	all := rule.Var{Name: "all", Kind: rule.Struct, Object: n.objects.region, Doc: "All devices together, as if they were one region."}
	devices := rule.Var{Name: "devices", Kind: rule.Struct, Object: n.objects.device, List: true, Doc: "All devices, to look for some among them: `devices.exists(d, d.loss > 0.5)`."}
	region := rule.Var{Name: "region", Kind: rule.Struct, Object: n.objects.region, Doc: "The region; of a rule for each device, that of the device."}
	device := rule.Var{Name: "device", Kind: rule.Struct, Object: n.objects.device, Doc: "The device."}
	var err error
	for each, vars := range map[Each][]rule.Var{
		EachNode: {node, all, devices}, EachRegion: {region, node, all, devices}, EachDevice: {device, region, node, all, devices},
	} {
		if n.envs[each], err = rule.New(vars...); err != nil {
			return nil, fmt.Errorf("heal: %w", err)
		}
	}
	n.which = n.envs[EachDevice]
	return n, nil
}

// measured is d, or no value while there is no round trip: what is not known is not small.
func measured(d, rtt time.Duration) rule.Value {
	if rtt == 0 {
		return rule.Value{}
	}
	return rule.OfDuration(d)
}

func deviceFields() []field[Device] {
	type f = field[Device]
	return []f{
		{"name", rule.String, "its name", func(d *Device) rule.Value { return rule.OfString(d.Name) }},
		{"region", rule.String, "the name of its region", func(d *Device) rule.Value { return rule.OfString(d.Region) }},
		{"labels", rule.Map, "its [labels](config.md#devices): `device.labels.site == \"north\"`; one that it does not have is not known, and `\"site\" in device.labels` asks whether it has it", func(d *Device) rule.Value { return rule.OfTexts("device", "label", d.Labels) }},
		{"protocol", rule.String, "`modbus`, `s7`, `opcua`", func(d *Device) rule.Value { return rule.OfString(d.Protocol) }},
		{"address", rule.String, "where it is, as a URL", func(d *Device) rule.Value { return rule.OfString(d.Address) }},
		{"state", rule.String, "`ready`, `cooling` and so on, as the page says it", func(d *Device) rule.Value { return rule.OfString(d.State) }},
		{"since", rule.Duration, "how long it is in that state", func(d *Device) rule.Value { return rule.OfDuration(d.For) }},
		{"up", rule.Bool, "it is polled", func(d *Device) rule.Value { return rule.OfBool(d.Up) }},
		{"down", rule.Bool, "an outage runs", func(d *Device) rule.Value { return rule.OfBool(d.Down) }},
		{"rtt", rule.Duration, "round trip of a request, smoothed", func(d *Device) rule.Value { return measured(d.RTT, d.RTT) }},
		{"jitter", rule.Duration, "mean deviation of the round trip, smoothed", func(d *Device) rule.Value { return measured(d.Jitter, d.RTT) }},
		{"loss", rule.Double, "share of the last requests without a reply, 0.0 to 1.0", func(d *Device) rule.Value { return rule.OfDouble(d.Loss) }},
		{"lag", rule.Duration, "by which its latest group began late", func(d *Device) rule.Value { return rule.OfDuration(d.Lag) }},
		{"load", rule.Double, "part of the time of its connection that the reads over it take; near 1.0 it has none left", func(d *Device) rule.Value { return rule.OfDouble(d.Load) }},
		{"phi", rule.Double, "how unlikely its silence is; above 8 it is suspect", func(d *Device) rule.Value { return rule.OfDouble(d.Phi) }},
		{"outages", rule.Int, "how often it went down", func(d *Device) rule.Value { return rule.OfInt(d.Outages) }},
		{"timeouts", rule.Int, "requests without a reply in time, since the start", func(d *Device) rule.Value { return rule.OfInt(d.Timeouts) }},
		{"missed", rule.Int, "due reads that did not happen, since the start", func(d *Device) rule.Value { return rule.OfInt(d.Missed) }},
		{"route", rule.Int, "which of its addresses is in use, 0 the first", func(d *Device) rule.Value { return rule.OfInt(int64(d.Route)) }},
		{"routes", rule.Int, "how many addresses it has", func(d *Device) rule.Value { return rule.OfInt(int64(d.Routes)) }},
		{"standby", rule.Bool, "a session is open on another address", func(d *Device) rule.Value { return rule.OfBool(d.Standby) }},
		{"degraded", rule.Bool, "it is asked in small parts", func(d *Device) rule.Value { return rule.OfBool(d.Degraded) }},
		{"stretch", rule.Double, "its intervals are so many times what is configured, by rules or by overload", func(d *Device) rule.Value { return rule.OfDouble(d.Slowed) }},
	}
}

func regionFields() []field[Region] {
	type f = field[Region]
	return []f{
		{"name", rule.String, "its name, or its subnet", func(r *Region) rule.Value { return rule.OfString(r.Name) }},
		{"devices", rule.Int, "how many devices it has, without those out of service", func(r *Region) rule.Value { return rule.OfInt(int64(r.Devices)) }},
		{"up", rule.Int, "of them, those that are polled", func(r *Region) rule.Value { return rule.OfInt(int64(r.Up)) }},
		{"down", rule.Int, "of them, those with an outage", func(r *Region) rule.Value { return rule.OfInt(int64(r.Down)) }},
		{"rtt", rule.Duration, "median round trip of those that are up", func(r *Region) rule.Value { return measured(r.RTT, r.RTT) }},
		{"max_rtt", rule.Duration, "longest round trip of those that are up", func(r *Region) rule.Value { return measured(r.MaxRTT, r.RTT) }},
		{"jitter", rule.Duration, "median jitter of those that are up", func(r *Region) rule.Value { return measured(r.Jitter, r.RTT) }},
		{"loss", rule.Double, "mean loss", func(r *Region) rule.Value { return rule.OfDouble(r.Loss) }},
	}
}

func nodeFields() []field[Node] {
	type f = field[Node]
	return []f{
		{"cpu", rule.Double, "share of the cores that is busy, of the machine or of what the container may use: the higher one, 0.0 to 1.0", func(n *Node) rule.Value { return rule.OfDouble(n.CPU) }},
		{"process_cpu", rule.Double, "share of the cores that the gateway uses", func(n *Node) rule.Value { return rule.OfDouble(n.ProcessCPU) }},
		{"memory", rule.Double, "share of the memory that is used, of the machine or of what the container may use: the higher one", func(n *Node) rule.Value { return rule.OfDouble(n.Memory) }},
		{"process_size", rule.Int, "bytes of memory that the gateway has", func(n *Node) rule.Value { return rule.OfInt(int64(n.ProcessSize)) }},
		{"queue", rule.Double, "share of the journal's queue in memory that is full", func(n *Node) rule.Value { return rule.OfDouble(n.Queue) }},
		{"behind", rule.Duration, "age of the oldest value that a sink does not have yet, of the sink that is furthest behind", func(n *Node) rule.Value { return rule.OfDuration(n.Behind) }},
	}
}

// scope is what one run of a condition sees.
type scope struct {
	n      *names
	w      *World
	device *Device
	region *Region
}

// Value implements rule.Values.
func (s scope) Value(name, _ string) rule.Value {
	switch name {
	case "node":
		return rule.OfFields(s.n.objects.node, looked[Node]{s.n.node, &s.w.Node})
	case "all":
		return rule.OfFields(s.n.objects.region, looked[Region]{s.n.region, s.w.all})
	case "region":
		if s.region != nil {
			return rule.OfFields(s.n.objects.region, looked[Region]{s.n.region, s.region})
		}
	case "device":
		if s.device != nil {
			return rule.OfFields(s.n.objects.device, looked[Device]{s.n.device, s.device})
		}
	case "devices":
		return rule.OfItems(everyDevice{s.n, s.w})
	}
	return rule.Value{}
}

// lookUp returns what a name that a rule uses stands for, in words: "device.loss" is "0.08".
func (s scope) lookUp(use string) string {
	switch {
	case use == "devices":
		return fmt.Sprintf("%d of them", len(s.w.Devices))
	case s.device != nil:
		if v, ok := lookIn("device", use, s.n.device, s.device); ok {
			return v
		}
	}
	if s.region != nil {
		if v, ok := lookIn("region", use, s.n.region, s.region); ok {
			return v
		}
	}
	if v, ok := lookIn("node", use, s.n.node, &s.w.Node); ok {
		return v
	}
	v, _ := lookIn("all", use, s.n.region, s.w.all)
	return v
}

func lookIn[T any](prefix, use string, fields []field[T], of *T) (string, bool) {
	for _, f := range fields {
		if use == prefix+"."+f.name {
			return f.get(of).String(), true
		}
	}
	return "", false
}

type everyDevice struct {
	n *names
	w *World
}

func (e everyDevice) Len() int { return len(e.w.Devices) }
func (e everyDevice) Item(i int) rule.Value {
	return rule.OfFields(e.n.objects.device, looked[Device]{e.n.device, &e.w.Devices[i]})
}
