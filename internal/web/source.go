// Package web serves a gateway to people: an HTTP API, a live stream, health and metrics endpoints, and the page that shows them.
package web

import (
	"context"
	"iter"
	"time"

	"millrace/internal/tag"
)

// Source is what the server shows and what its few switches act on. The gateway implements it. Any goroutine may call it, several at
// once; all methods but History and SetMaintenance answer from memory and return at once.
type Source interface {
	// Gateway returns who the gateway is and how its journal stands.
	Gateway() Gateway
	// Devices goes through all devices by ID. The Device is filled anew for each of them: it and its slices are valid until the next one.
	Devices() iter.Seq[*Device]
	// Device returns one device, which is the caller's, and whether there is one of that ID.
	Device(id string) (Device, bool)
	// DeviceChanges calls visit for each device of which something that a person must hear of at once changed after number since, with its place in the order of IDs, and returns the number to ask with
	// next. also names further places to visit. whole says that devices came, went or were configured anew, or that since is 0: then all are visited. The Device is valid until visit returns.
	DeviceChanges(since uint64, also func(place int) bool, visit func(place int, d *Device)) (next uint64, whole bool)
	// DeviceStates counts the devices by StateX; one that is out of service by hand counts as that.
	DeviceStates() map[string]int
	// Tags returns all tags ordered by name: the same slice until something in it changes, then a new one. It is never modified.
	Tags() []Tag
	// Values appends the last value of each of ids, one Sample an id and in that order. An ID without a value, or unknown, has the
	// quality BadWaitingForInitialData. Value.Aux never changes afterwards.
	Values(ids []tag.ID, dst []Sample) []Sample
	// Changes appends the samples of those of ids whose value or quality changed after sequence since, and returns the sequence to
	// ask with next. A tag that changed often appears once, with its last value. Sequences grow while the process runs; 0 is
	// before everything.
	Changes(since uint64, ids []tag.ID, dst []Sample) ([]Sample, uint64)
	// History calls visit for each stored value of ids with from <= time < to, about in order of time, until visit answers false.
	// Value.Aux is valid during the call.
	History(ctx context.Context, ids []tag.ID, from, to time.Time, visit func(Sample) bool) error
	// Ledger returns the account of all values.
	Ledger() Ledger
	// Sinks returns how the sinks stand, in the order of the configuration.
	Sinks() []Sink
	// Alarms returns what is wrong now, worst first.
	Alarms() []Alarm
	// Health returns the parts that /readyz asks.
	Health() []Component
	// SetMaintenance takes a device or tags out of service, or back. A name that does not exist is an *UnknownError, and nothing changes.
	SetMaintenance(ctx context.Context, m Maintenance) error
}

// Gateway says who the gateway is.
type Gateway struct {
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Demo    bool      `json:"demo"` // the plant is simulated
	Journal Journal   `json:"journal"`
	// Overload says why the gateway is late with what it does itself, with what it did about it; "" when it is not.
	Overload string `json:"overload,omitempty"`
}

// Journal says how the durable log stands.
type Journal struct {
	Bytes     int64     `json:"bytes"`      // on disk
	MaxBytes  int64     `json:"max_bytes"`  // retention limit, 0 without one
	FreeBytes int64     `json:"free_bytes"` // left on its file system, -1 when unknown
	Oldest    time.Time `json:"oldest,omitzero"`
	State     string    `json:"state"`  // ok, full, failed
	Reason    string    `json:"reason"` // in words when State is not ok
}

// Device states, as the device's state machine names them.
const (
	StateIdle         = "idle"
	StateOpening      = "opening"
	StateReady        = "ready"
	StateDegraded     = "degraded"
	StateSuspect      = "suspect"
	StateCooling      = "cooling"
	StateOutOfService = "out_of_service"
	StateDraining     = "draining"
	StateClosed       = "closed"
)

// Device is one device at this moment.
type Device struct {
	ID           string
	Protocol     string
	Labels       map[string]string // nobody changes it
	Endpoint     string            // where it is, as a URL
	State        string            // StateX
	Reason       string            // why it is in State, in plain words; may be empty when ready
	Since        time.Time         // of State
	Outages      uint64            // how often it vanished
	Recovery     time.Duration     // the longest from being back to being read again, 0 without an outage
	RTT          time.Duration     // smoothed, 0 when unknown
	OutOfService bool              // the maintenance switch is on
	Refuses      bool              // it answers, and refuses some of what it is asked; Reason says what
	Groups       []Group

	// What a request costs the device, and each byte of it, both ways, as measured; 0 when that is not known.
	RequestCost, ByteCost time.Duration

	Load       float64 // part of the time of its connection that is taken, by all devices on it; 1 and it has none left
	LoadWhy    string  // what takes the time where little is left, "" else
	Stretch    float64 // it is read up to so many times less often than configured, 1 or 0 is as configured
	StretchWhy string

	Routes Routes

	Loss         float64   // share of the last requests that had no answer
	JitterRule   bool      // timeouts follow the rule for links that jitter
	Degraded     string    // how it is asked for less at once: halved, single, cached; "" when it is not
	DegradedAt   time.Time // since when
	DegradedWhy  string
	WritesPaused string // why nothing is written to it now, "" when it is
}

// Group is a set of tags of a device that are read together.
type Group struct {
	Name     string
	Interval time.Duration // configured
	Every    time.Duration // kept; 0 is Interval
	Lag      time.Duration // by which the last read started late
	Tags     int
	Requests int           // of a read
	Took     time.Duration // by a read that came back whole, smoothed; 0 before the first
	Missed   uint64        // reads that were due and did not happen
}

// Tag describes one tag. What changes with every read is a Sample.
type Tag struct {
	ID           tag.ID
	Name         string // full name: device/tag
	Device       string
	Group        string
	Address      string // canonical
	Type         string // the kind's name
	Unit         string
	Writable     bool
	OutOfService bool
}

// Sample is one value of a tag.
type Sample struct {
	ID      tag.ID
	Value   tag.Value
	Quality tag.Quality
	TS      int64 // ns since 1970
}

// Ledger is the account of all values: Read = Filtered + Queued + Journaled + the sum of Dropped.
type Ledger struct {
	Values  LedgerValues
	Sinks   []LedgerSink
	Residue int64 // what the equations leave over: 0, or something is lost
}

// LedgerValues counts values up to the journal.
type LedgerValues struct {
	Read      uint64            `json:"read"`
	Filtered  uint64            `json:"filtered"`
	Queued    uint64            `json:"queued"`
	Journaled uint64            `json:"journaled"`
	Dropped   map[string]uint64 `json:"dropped"` // by reason
}

// LedgerSink counts values from the journal to one sink.
type LedgerSink struct {
	ID        string            `json:"id"`
	Delivered uint64            `json:"delivered"`
	Waiting   uint64            `json:"waiting"`
	Dropped   map[string]uint64 `json:"dropped"` // by reason
}

// Sink says how one sink stands.
type Sink struct {
	ID        string            `json:"id"`
	Kind      string            `json:"kind"`   // postgres, file, ...
	State     string            `json:"state"`  // ok, retrying, stopped
	Reason    string            `json:"reason"` // in words when State is not ok
	Since     time.Time         `json:"since"`  // of State
	Waiting   uint64            `json:"waiting"`
	Delivered uint64            `json:"delivered"`
	Dropped   map[string]uint64 `json:"dropped"`
	Behind    time.Duration     `json:"-"` // age of the oldest value that waits
}

// Severity of an alarm.
const (
	Critical = "critical" // values are being lost, or will be
	Warning  = "warning"  // something is down, the rest is unharmed
	Info     = "info"
)

// Alarm is one thing that is wrong, for a person.
type Alarm struct {
	ID       string    `json:"id"` // stable while the alarm stands
	Severity string    `json:"severity"`
	Since    time.Time `json:"since"`
	Device   string    `json:"device,omitempty"` // when it is about one
	Sink     string    `json:"sink,omitempty"`
	Text     string    `json:"text"` // what is wrong, in one sentence
	Todo     string    `json:"todo"` // what to do about it
}

// Component is one part of the gateway that must be ready.
type Component struct {
	Name   string
	Ready  bool
	Detail string // why not, or a word on how it is
}

// Maintenance is a turn of the maintenance switch: of Device when it is not empty, else of Tags.
type Maintenance struct {
	Device string
	Tags   []string
	On     bool
	Reason string
	By     string // remote address of who asked
}

// UnknownError says that there is no such thing.
type UnknownError struct {
	What string // device, tag
	Name string
	Near string // what was probably meant, "" when nothing is near
}

func (e *UnknownError) Error() string { return "web: no " + e.What + " named " + e.Name }
