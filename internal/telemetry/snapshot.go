// Package telemetry shows what the gateway counts to Prometheus. Nothing is counted here: at each scrape it asks for a Snapshot, so the
// path of a value never meets a metric. Series are per group, sink, listener and state, never per tag.
package telemetry

import "time"

// Snapshot is what the gateway counted since it was started, and how it stands now.
type Snapshot struct {
	Values    Values
	Residue   int64          // of the ledger
	Devices   map[string]int // number by state; states that are missing count 0
	Outages   uint64         // of all devices
	Late      uint64         // replies
	Foreign   uint64         // replies
	Segments  uint64         // of TCP to devices, with data
	Resent    uint64         // of them again
	Schedule  Schedule
	Routes    Routes
	Trouble   Trouble
	Groups    []Group // several of one name, such as one a device, are added up
	Sinks     []Sink
	Journal   Journal
	Listeners []Listener
	Servers   []Server // of protocols
	Healing   []Healing
	Streams   int64 // live web streams
	Contexts  Contexts
	Writes    Writes
}

// Writes counts what was written to devices by the gateway's path of writes.
type Writes struct {
	Ends    map[string]uint64 // by how they ended; ends that are missing count 0
	Took    Histogram         // of those that left, from the order or its approval to the end
	Waiting int               // to be approved
	Audit   Audit
}

// Audit counts the audit log.
type Audit struct {
	Records, Commits, Errors uint64
}

// Contexts is what the gateway's own leak detector counts.
type Contexts struct {
	Live     int               // contexts of sessions, sinks and receivers
	Findings map[string]uint64 // by what was found; findings that are missing count 0
}

// Values counts values up to the journal.
type Values struct {
	Read, Filtered, Queued, Journaled uint64
	Dropped                           map[string]uint64 // by reason
}

// Group is what the scheduler measured of a group's reads.
type Group struct {
	Name   string
	Lag    Histogram // start of a read after it was due
	RTT    Histogram // request to reply
	Missed uint64    // reads that were due and did not happen
}

// Histogram is a count of seconds by size. Counts has one entry more than Bounds, for what is above the last; they are not cumulative.
// The zero value has measured nothing.
type Histogram struct {
	Bounds []float64 // upper bounds, ascending
	Counts []uint64
	Sum    float64
}

// Sink counts values from the journal to one sink.
type Sink struct {
	ID        string
	Up        bool // the last write went well
	Delivered uint64
	Waiting   uint64
	Dropped   map[string]uint64 // by reason
	Behind    time.Duration     // age of the oldest value that waits
}

// Journal says how the durable log stands.
type Journal struct {
	Bytes        int64 // on disk
	FreeBytes    int64 // left on the file system, below 0 when unknown
	Segments     int
	QueueBytes   int64
	Oldest       time.Time // zero when empty
	Batches      uint64    // synced
	Syncs        uint64
	BytesWritten uint64
	Errors       uint64
	Full         bool // the disk
	Failing      bool // the last commit failed
}

// Listener counts the connections of one server side.
type Listener struct {
	Name     string
	Open     int64
	Accepted uint64
	Refused  map[string]uint64 // by reason
}
