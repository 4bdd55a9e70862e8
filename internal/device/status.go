package device

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"
)

// Status is one device at this moment.
type Status struct {
	Name          string
	Number        uint32
	Protocol      string            // Spec.Driver
	Labels        map[string]string // Spec.Labels; nobody changes it
	Endpoint      string            // the address as a URL
	State         State
	Reason        string    // why it is in State, in plain words
	Since         time.Time // of State
	DownSince     time.Time // the first failure of the outage that runs, zero without one
	RetryAt       time.Time // when it is tried again, of one that is down and waits
	Configured    time.Time // when its configuration took effect
	Shares        string    // devices that share connections have equal ones
	OutOfService  bool      // the switch is on
	Slots         int       // connections that its endpoint may hold
	SlotsUsed     int       // that it holds, dials included, over all devices and routes
	HalfOpen      int       // connections of ours that the device may count still: they ended while it was silent, and it was not read since
	HalfOpenSince time.Time // when the last of them ended, zero without one

	Route        int // which of Routes is in use
	Routes       []RouteStatus
	RoutePinned  bool   // it was told to stay there
	RouteChanges uint64 // how often it went from one to another
	Standby      bool   // a session is open on another one

	Phi       float64 // how unlikely its silence is (resilience.Phi), 0 when it is not asked
	Suspicion string  // what points to its going away, in plain words; "" when nothing does

	Outages uint64 // how often it went down; one that is there again at the first try does not count
	// A recovery is the time from the first failure that led to an outage (the timeout, the lost connection, the refused dial, when it was
	// noticed) to the end of the first read afterwards that brought values. It holds the outage itself and whatever the back-off added to it.
	LastRecovery, LongestRecovery time.Duration

	RTT     time.Duration // smoothed, 0 when unknown
	Jitter  time.Duration // smoothed mean deviation of the round trip
	Timeout time.Duration // how long the next request waits
	Loss    float64       // share of the last requests (128 at most) that had no reply, from 0 to 1

	JitterRule   bool          // round trips vary, or requests are lost, so much that timeouts follow the rule for that
	Degraded     DegradeStatus // what it is asked for at once, when that is not all
	WritesPaused string        // why writes to it are refused now, in words; "" when they are not

	Load       float64 // part of the time of its endpoint that the turns of all groups on it take, as measured; 1 and it has none left
	LoadWhy    string  // what takes the time, in words, of the device that takes most of it where little is left; "" else
	Stretch    float64 // its intervals are up to so many times what is configured; 1 is as configured
	StretchWhy string  // in words, "" with 1
	Stretched  float64 // what Runtime.Stretch asked for, of that; 1 is as configured

	Reads    uint64 // turns that came back whole
	Timeouts uint64 // requests
	Late     uint64
	Foreign  uint64
	Refused  uint64 // requests that the device answered with a refusal
	Limits   Limits
	TCP      TCPSample // of its endpoint's connection; Linux only
	Groups   []GroupStatus

	// What a request costs the device and what a byte of it does, both ways, as measured: a request of n bytes takes RequestCost + n*ByteCost. Both 0 when unknown.
	RequestCost, ByteCost time.Duration
}

// DegradeStatus says in how small parts a device is asked.
type DegradeStatus struct {
	Level DegradeLevel
	Since time.Time // of Level, zero for DegradeNone
	Why   string    // in words, "" for DegradeNone
}

// GroupStatus is one group of a device.
type GroupStatus struct {
	Name     string
	Interval time.Duration // configured
	Every    time.Duration // kept
	Tags     int
	Active   int           // tags that are in service and planned
	Requests int           // of the plan
	Lag      time.Duration // by which the last turn on schedule began late
	Took     time.Duration // by a turn that came back whole, smoothed; 0 before the first
	LastRead time.Time     // begin of the last turn that came back whole, zero before the first
	Missed   uint64        // due times at which no turn began
	Refusal  string        // what the device refused of it last, in words, until all of it came; "" when it refused nothing
}

// status fills s with how u is at now. What s had is dropped, its slices are used again.
func (u *unit) status(s *Status, r *Runtime, now time.Time) {
	groups, routes := s.Groups[:0], s.Routes[:0]
	*s = Status{Name: u.spec.Name, Number: u.spec.Number, Protocol: u.spec.Driver, Labels: u.spec.Labels, Slots: u.spec.Slots}
	u.mu.Lock()
	defer u.mu.Unlock()
	l := &u.life
	s.State, s.Reason, s.Since, s.OutOfService = l.state, l.reason, l.since, l.outOfService
	s.DownSince, s.Configured, s.Shares = l.downSince, u.made, u.key
	if l.state == Cooling {
		s.RetryAt = u.retryAt
	}
	s.Outages, s.LastRecovery, s.LongestRecovery = l.outages, l.lastRecovery, l.longestRecovery
	s.RTT, s.Jitter, s.Timeout = u.rto.SRTT(), u.rto.Var(), u.rto.Timeout()
	s.Reads, s.Timeouts, s.Late, s.Foreign, s.Refused = l.reads, l.timeouts, l.late, l.foreign, l.refused
	s.Limits, s.TCP = u.limits, u.link.read()
	s.RequestCost, s.ByteCost = u.costs()
	s.Load, s.LoadWhy, s.Stretch, s.StretchWhy = l.load, l.loadWhy, max(l.stretch, 1), l.stretchWhy
	u.tellHealth(s)
	s.Stretched = max(l.asked, 1)
	s.Route, s.Routes, s.RoutePinned, s.RouteChanges = l.route, u.routes(routes), l.pinned, l.switches
	s.Endpoint, s.Standby = s.Routes[s.Route].Addr, standing(s.Routes)
	s.Phi, s.Suspicion = u.foreseen(r, r.age(now))
	if c := u.count; c != nil {
		s.Slots, s.SlotsUsed, s.HalfOpen = int(c.limit.Load()), int(c.used.Load()), int(c.halfOpen.Load())
		s.HalfOpenSince = c.halfOpenSince(r)
	}
	for _, g := range u.groups {
		x := GroupStatus{Name: g.spec.Name, Interval: g.spec.Interval, Every: g.kept, Tags: len(g.spec.Tags), Active: g.active, Requests: g.requests,
			Lag: g.lag, Took: g.took, LastRead: g.lastRead, Missed: g.missed}
		if g.refusal != nil {
			x.Refusal = g.refusal.Error()
		}
		groups = append(groups, x)
	}
	s.Groups = groups
}

// counters are of the whole Runtime since it was made; those of devices that were removed are in them.
type counters struct {
	rows, filtered, dropped, opens, openFailures, outages, timeouts, late, foreign, refused atomic.Uint64
	switches, standbys, suspicions                                                          atomic.Uint64
	degraded, dialTimeouts, dialCuts                                                        atomic.Uint64
	sessions, endpoints, dialsWaiting                                                       atomic.Int64
	shed                                                                                    atomic.Uint64
	crowded, stretched, schedulerLate                                                       atomic.Int64
	segments, resent                                                                        atomic.Uint64 // of TCP
	slotsUsed, slotsLimit, halfOpen                                                         atomic.Int64
}

// Stats counts over all devices since New, those that were removed included.
type Stats struct {
	Rows, Filtered, Dropped          uint64 // values: as given to Ledger
	Opens, OpenFailures              uint64
	Sessions                         int           // open now
	DialsWaiting                     int           // for their turn
	DialTimeouts, DialCuts           uint64        // opens that timed out; how often the rate of a subnet was halved for that
	SlowedSubnets                    []SubnetStats // whose rate is below that of all dials now, by name
	Degrades                         uint64        // how often a device was asked for less at once
	DegradedDevices, JitteryDevices  int           // asked for less at once now; those whose timeouts follow the rule for links that jitter
	PausedDevices                    int           // those that nothing is written to now
	SlotsUsed, SlotsLimit, HalfOpen  int           // of all endpoints: connections held, that may be held, that devices may count still although they ended
	Crowded                          int           // endpoints with little time left
	Stretched                        int           // devices with stretched intervals
	Shed                             uint64        // intervals stretched because of overload
	SchedulerLate                    time.Duration // how long after their due times groups are looked at, the mean of the last second
	Overload                         string        // what makes it late, in words; "" when it is not
	Outages                          uint64
	Suspicions                       uint64    // of going away that began
	RouteChanges, Standbys           uint64    // devices that went to another address; sessions that were opened there in time
	Timeouts, Late, Foreign, Refused uint64    // requests and replies
	Segments, Resent                 uint64    // of TCP with data, and those of them that were sent again, as far as connections were looked at; Linux only
	ClockSteps                       uint64    // how often the gateway's clock was set
	ClockSet                         time.Time // when it was last, zero when it was not
	ClockSetBy                       time.Duration
	States                           [states]int  // devices, by State
	Groups                           []GroupStats // by name
}

// GroupStats is all groups of one name over all devices.
type GroupStats struct {
	Name   string
	Lag    Histogram // by which turns on schedule began late
	RTT    Histogram // of single requests
	Missed uint64    // due times at which no turn began
}

type groupHistograms struct {
	lag, rtt histogram
	missed   atomic.Uint64
}

// groupStats returns the histograms of all groups called name. Those of a name that is no longer in use stay.
func (r *Runtime) groupStats(name string) *groupHistograms {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.groups[name]
	if h == nil {
		h = new(groupHistograms)
		r.groups[name] = h
	}
	return h
}

// Stats returns the counters.
func (r *Runtime) Stats() Stats {
	c := &r.counters
	s := Stats{
		Rows: c.rows.Load(), Filtered: c.filtered.Load(), Dropped: c.dropped.Load(), Opens: c.opens.Load(), OpenFailures: c.openFailures.Load(),
		Sessions: int(c.sessions.Load()), Outages: c.outages.Load(), Timeouts: c.timeouts.Load(), Late: c.late.Load(), Foreign: c.foreign.Load(),
		DialsWaiting: int(c.dialsWaiting.Load()), DialTimeouts: c.dialTimeouts.Load(), DialCuts: c.dialCuts.Load(), Degrades: c.degraded.Load(), SlowedSubnets: r.slowed.all(),
		Refused: c.refused.Load(), SlotsUsed: int(c.slotsUsed.Load()), SlotsLimit: int(c.slotsLimit.Load()), HalfOpen: int(c.halfOpen.Load()),
		Crowded: int(c.crowded.Load()), Stretched: int(c.stretched.Load()), Shed: c.shed.Load(), SchedulerLate: time.Duration(c.schedulerLate.Load()),
		Suspicions: c.suspicions.Load(), RouteChanges: c.switches.Load(), Standbys: c.standbys.Load(), ClockSteps: r.clock.steps.Load(),
		Segments: c.segments.Load(), Resent: c.resent.Load(),
	}
	s.Overload = r.Overload()
	if step := r.clock.last.Load(); step != nil {
		s.ClockSet, s.ClockSetBy = step.at, step.by
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, u := range r.sorted {
		u.mu.Lock()
		s.States[u.life.state]++
		u.tallyHealth(&s)
		u.mu.Unlock()
	}
	for _, name := range slices.Sorted(maps.Keys(r.groups)) {
		h := r.groups[name]
		s.Groups = append(s.Groups, GroupStats{Name: name, Lag: h.lag.snapshot(), RTT: h.rtt.snapshot(), Missed: h.missed.Load()})
	}
	return s
}
