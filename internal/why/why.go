// Package why explains why a device or a tag is bad: from what was noticed of it, by one table of causes. It is pure: facts go in, words come out.
package why

import (
	"errors"
	"iter"
	"slices"
	"strconv"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/modbus"
)

// Facts is what is known at one moment. Explain changes nothing in it.
type Facts struct {
	Now      time.Time
	Device   device.Status
	Spec     device.Spec // its configuration, for what the user limits; Groups may be nil
	Evidence device.Evidence
	Tags     []TagState // of the device
	Tag      *TagState  // the one that is asked about; nil asks about the whole device
	Gateway  Gateway

	// All goes through all devices, this one among them; each is valid until the next one. Nil is nobody.
	All iter.Seq[*device.Status]

	sharers []device.Status // those of All on the same connection, this one among them
}

// TagState is one tag with its last value.
type TagState struct {
	Name         string
	Group        string
	Address      string // canonical
	Value        string // in words, as it was read last
	Told         string // in words, as consumers know it; equal to Value where no deadband holds it back
	Deadband     string // in words, "" without
	Quality      tag.Quality
	At           time.Time // of the value, zero when it was never read
	OutOfService bool      // the tag's own switch is on
}

// Gateway is what is known of the gateway itself.
type Gateway struct {
	Started  time.Time
	CPU      float64       // share of the machine's processors that was busy lately, below 0 unknown
	OwnCPU   float64       // share of them that the gateway used
	Overload string        // what makes its scheduler late, in words, "" when it is not
	Late     time.Duration // by which the scheduler looks at groups behind their due times, the mean of the last second
	Waiting  int           // connections that wait for their turn to be made
	Slowed   []string      // subnets in which connections are made more slowly, for those that timed out
	Clock    time.Time
	ClockBy  time.Duration // by which the clock was set at Clock
	Journal  string        // why it does not take everything, "" when it does
	Since    time.Time     // of Journal
	Free     int64         // bytes on its disk, below 0 unknown
	Dropped  uint64        // values that it had no room for
	Sinks    []Sink
	Reload   string    // why the last reload was refused, "" when it was not
	ReloadAt time.Time // of Reload
}

// Sink is one that does not take everything at once, or does.
type Sink struct {
	ID      string
	Reason  string // "" when it takes what comes
	Since   time.Time
	Waiting uint64
	Behind  time.Duration // age of the oldest value that waits
}

// Layer is where a cause lies, from the gateway outwards and back.
type Layer uint8

// The layers.
const (
	LayerWell Layer = iota
	LayerGateway
	LayerConfiguration
	LayerName
	LayerNetwork
	LayerTCP
	LayerHandshake
	LayerSession
	LayerDevice
	LayerRequest
	LayerAddress
	LayerValue
	LayerSchedule
	LayerDelivery
	layers
)

var layerNames = [layers]string{"all is well", "the gateway itself", "configuration", "name resolution", "network", "TCP", "handshake", "sessions of the device", "device", "request", "address of the tag",
	"value", "schedule", "journal and sinks"}

// String returns the layer as people read it.
func (l Layer) String() string {
	if l < layers {
		return layerNames[l]
	}
	return "layer " + strconv.Itoa(int(l))
}

// Confidence says how sure a finding is.
type Confidence uint8

// How sure.
const (
	Possible Confidence = iota // the facts fit, and would fit something else too
	Likely                     // they fit better than anything else that is known
	Certain                    // somebody said so: the device, the system, the configuration
)

// String returns it in a word.
func (c Confidence) String() string {
	switch c {
	case Possible:
		return "possible"
	case Likely:
		return "likely"
	case Certain:
		return "certain"
	}
	return "confidence " + strconv.Itoa(int(c))
}

// Finding is one cause that the facts fit.
type Finding struct {
	Cause      string     `json:"cause"` // Cause.ID
	Layer      Layer      `json:"layer"`
	Title      string     `json:"title"`          // what is wrong, in one sentence
	Since      time.Time  `json:"since,omitzero"` // zero unknown
	Before     []Moment   `json:"before"`         // what changed just before, the newest first
	Evidence   []string   `json:"evidence"`       // the facts, with their numbers
	Todo       []string   `json:"todo"`           // what to do, the first step first
	Confidence Confidence `json:"confidence"`
}

// Moment is something that happened.
type Moment struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
}

// Cause is a row of the table.
type Cause struct {
	ID    string
	Layer Layer
	Means string // what is wrong
	Rule  string // what the facts must be
	Todo  []string
	sure  Confidence
	// find says whether the facts fit, and fills in title, since and evidence.
	find func(f *Facts, x *Finding) bool
}

// Explain returns the findings, what explains most first: never none, for that all is well is one too. The order is that of the table of causes.
func Explain(facts Facts) []Finding {
	f := &facts
	f.gather()
	var out []Finding
	for _, c := range Causes() {
		x := Finding{Cause: c.ID, Layer: c.Layer, Todo: c.Todo, Confidence: c.sure, Evidence: []string{}}
		if c.ID == causeWell && len(out) > 0 || !c.find(f, &x) {
			continue
		}
		if x.Before == nil {
			x.Before = f.before(x.Since)
		}
		out = append(out, x)
	}
	return out
}

const (
	// lately is how old what failed may be to explain what is the matter now.
	lately = 10 * time.Minute
	// justBefore is how long before a trouble something changed that may have caused it.
	justBefore = 2 * time.Minute
)

// gather keeps the devices on the same connection.
func (f *Facts) gather() {
	if f.All == nil {
		f.All = func(func(*device.Status) bool) {}
	}
	f.sharers = nil
	for d := range f.All {
		if d.Shares == f.Device.Shares {
			kept := *d
			kept.Groups, kept.Routes = slices.Clone(d.Groups), slices.Clone(d.Routes)
			f.sharers = append(f.sharers, kept)
		}
	}
	if f.sharers == nil {
		f.sharers = []device.Status{f.Device}
	}
}

// polled says whether the device is read on schedule.
func (f *Facts) polled() bool {
	return f.Device.State == device.Ready || f.Device.State == device.Degraded
}

// away says whether the device cannot be read now, or is about to be tried: not by hand and not because it was not begun.
func (f *Facts) away() bool {
	switch f.Device.State {
	case device.Opening, device.Suspect, device.Cooling:
		return true
	case device.Idle, device.Ready, device.Degraded, device.OutOfService, device.Draining, device.Closed:
	}
	return false
}

// failing returns what keeps the device away: the newest fault of the transport, but for one that only follows from requests without an answer, which are a fault of their own. nil when
// it is not away, or nothing failed yet.
func (f *Facts) failing() *device.Fault {
	if !f.away() {
		return nil
	}
	for i := range f.Evidence.Faults {
		x := &f.Evidence.Faults[i]
		if errors.As(x.Err, new(*modbus.UnansweredError)) {
			continue
		}
		if x.Kind < device.FaultRefusal && !x.Last.Before(f.Device.DownSince) && f.Now.Sub(x.Last) < time.Hour {
			return x
		}
	}
	return nil
}

// failingBy returns failing when it is of one of kinds.
func (f *Facts) failingBy(kinds ...device.FaultKind) *device.Fault {
	if x := f.failing(); x != nil && slices.Contains(kinds, x.Kind) {
		return x
	}
	return nil
}

// recent returns the fault of a kind that was there lately, nil without.
func (f *Facts) recent(k device.FaultKind) *device.Fault {
	for i := range f.Evidence.Faults {
		if x := &f.Evidence.Faults[i]; x.Kind == k && f.Now.Sub(x.Last) < lately {
			return x
		}
	}
	return nil
}

// since returns when an outage began: at its first failure, or with x.
func (f *Facts) since(x *device.Fault) time.Time {
	if !f.Device.DownSince.IsZero() {
		return f.Device.DownSince
	}
	return x.First
}

// before returns what changed within the two minutes before at, the newest first.
func (f *Facts) before(at time.Time) []Moment {
	out := []Moment{}
	add := func(when time.Time, what string) {
		if d := at.Sub(when); !when.IsZero() && !at.IsZero() && d >= -time.Second && d <= justBefore {
			out = append(out, Moment{when, what})
		}
	}
	add(f.Gateway.Started, "the gateway was started")
	if f.reconfigured() {
		add(f.Device.Configured, "the configuration of "+f.Device.Name+" changed")
	}
	add(f.Gateway.Clock, "the gateway's clock was set by "+short(f.Gateway.ClockBy))
	add(f.Gateway.Since, "the journal stopped taking everything: "+f.Gateway.Journal)
	for _, h := range f.Evidence.Happenings {
		if h.Act != "" {
			add(h.At, h.Act+": "+h.Reason)
		}
	}
	for i := range f.sharers {
		if o := &f.sharers[i]; o.Name != f.Device.Name {
			add(o.DownSince, o.Name+", behind the same connection, went down")
		}
	}
	slices.SortStableFunc(out, func(a, b Moment) int { return b.At.Compare(a.At) })
	return out
}

// reconfigured says whether the device has another configuration than at the gateway's start.
func (f *Facts) reconfigured() bool {
	return f.Device.Configured.Sub(f.Gateway.Started) > 10*time.Second
}
