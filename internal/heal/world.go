// Package heal brings devices back by rules that people write: when a condition held for long enough, do this, see whether it helped, and undo it
// when it did not. The Engine decides and is pure; a Runner acts on a Plant.
package heal

import (
	"cmp"
	"slices"
	"time"
)

// World is what the rules look at: everything as it is at one moment. It is made anew for each Step and not changed afterwards.
type World struct {
	Now     time.Time
	Node    Node
	Devices []Device // by name
	Paused  string   // why nothing is healed now, "" when it is

	regions map[string]*Region
	all     *Region
}

// Node is the machine that the gateway runs on, and the gateway as a process of it.
type Node struct {
	CPU         float64       // share of its cores that is busy, or that the gateway's container may use and does: the higher one, 0 to 1
	ProcessCPU  float64       // share of them that the gateway uses
	Memory      float64       // share of its memory that is used, or of what the container may use: the higher one, 0 to 1
	ProcessSize uint64        // bytes of memory that the gateway has
	Queue       float64       // share of the journal's queue in memory that is full, 0 to 1
	Behind      time.Duration // age of the oldest value that a sink does not have, of the sink that is furthest behind
}

// Device is one device.
type Device struct {
	Name     string
	Region   string
	Labels   map[string]string // not changed
	Protocol string
	Address  string
	State    string // as the API writes it
	Reason   string
	Up       bool          // it is polled
	Down     bool          // an outage runs
	For      time.Duration // how long it is in State
	RTT      time.Duration // smoothed, 0 when unknown
	Jitter   time.Duration // smoothed mean deviation of the round trip
	Lag      time.Duration // by which its latest group began late
	Loss     float64       // share of the last requests that had no reply, 0 to 1
	Load     float64       // part of the time of its connection that the reads over it take
	Phi      float64       // how unlikely its silence is
	Slowed   float64       // its intervals are so many times what is configured, by rules and by overload together
	Outages  int64
	Timeouts int64
	Missed   int64 // due reads that did not happen

	Topology
	Routes int  // addresses that it has, 1 or more
	ByRule bool // when it is out of service: a rule has taken it out, not a person
}

// counts says whether the bounds count d: one that a person has taken out of service is not there, one that a rule has is ill.
func (d *Device) counts() bool { return !d.OutOfService || d.ByRule }

// Topology is what healing may change of a device, and puts back when it did not help.
type Topology struct {
	Route        int     `json:"route"`    // of Routes in use, 0 the first
	Pinned       bool    `json:"pinned"`   // it was told to stay there
	Stretch      float64 `json:"stretch"`  // its intervals are so many times what is configured, by rules; 1 is as configured
	Degraded     bool    `json:"degraded"` // it is asked in small parts
	Standby      bool    `json:"standby"`  // a session is open on another route
	OutOfService bool    `json:"out_of_service"`
}

// Region is a set of devices that are near one another: those of a name in the configuration, or else of one subnet.
type Region struct {
	Name    string
	Devices int           // without those that are out of service
	Counted int           // with those that rules have taken out of service
	Up      int           // of them
	Down    int           // of them
	RTT     time.Duration // median of those that are up; 0 when no round trip is known
	MaxRTT  time.Duration
	Jitter  time.Duration // median
	Loss    float64       // mean

	members []int // of World.Devices
}

// index makes what is looked up in w. Step calls it first.
func (w *World) index() {
	if w.regions != nil {
		return
	}
	w.regions = map[string]*Region{}
	byRegion := map[string][]int{}
	everything := make([]int, len(w.Devices))
	for i := range w.Devices {
		everything[i] = i
		byRegion[w.Devices[i].Region] = append(byRegion[w.Devices[i].Region], i)
	}
	for name, members := range byRegion {
		w.regions[name] = w.region(name, members)
	}
	w.all = w.region("all", everything)
}

// region sums up the devices at members.
func (w *World) region(name string, members []int) *Region {
	r := &Region{Name: name, members: members}
	var rtts, jitters []time.Duration
	for _, i := range members {
		d := &w.Devices[i]
		if d.counts() {
			r.Counted++
		}
		if d.OutOfService {
			continue
		}
		r.Devices++
		r.Loss += d.Loss
		if d.Down {
			r.Down++
		}
		if d.Up {
			r.Up++
		}
		if d.Up && d.RTT > 0 {
			r.MaxRTT = max(r.MaxRTT, d.RTT)
			rtts, jitters = append(rtts, d.RTT), append(jitters, d.Jitter)
		}
	}
	if r.Devices > 0 {
		r.Loss /= float64(r.Devices)
	}
	r.RTT, r.Jitter = median(rtts), median(jitters)
	return r
}

func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[(len(d)-1)/2]
}

// gone says whether nothing of r is there to be asked: all of it is down, or rules have taken it out of service.
func (r *Region) gone() bool { return r.Down == r.Devices }

// has says whether r has a device for which match holds.
func (w *World) has(r *Region, match func(name string) bool) bool {
	return slices.ContainsFunc(r.members, func(i int) bool { return match(w.Devices[i].Name) })
}

// Device returns the device called name, nil when there is none.
func (w *World) Device(name string) *Device {
	i, ok := slices.BinarySearchFunc(w.Devices, name, func(d Device, n string) int { return cmp.Compare(d.Name, n) })
	if !ok {
		return nil
	}
	return &w.Devices[i]
}

// regionNames returns the names of all regions, sorted.
func (w *World) regionNames() []string {
	names := make([]string, 0, len(w.regions))
	for n := range w.regions {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
