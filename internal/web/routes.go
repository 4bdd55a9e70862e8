package web

import (
	"math"
	"strconv"
	"time"
)

// Routes is where a device is to be had.
type Routes struct {
	InUse   int     // which of All; of a device with one address 0
	All     []Route // nil for a device with one address
	Pinned  bool    // it was told to stay on it
	Changes uint64

	Phi       float64 // how unlikely its silence is
	Suspicion string  // what points to its going away, "" when nothing does

	Slots, SlotsUsed, HalfOpen int // connections to its address: allowed, there, and ended without its knowing
}

// Route is one address of a device.
type Route struct {
	Addr  string
	Name  string
	State string // in use, standby, trying, failed, idle
	Cause string
	Since time.Time
	RTT   time.Duration
}

func appendRoutes(b []byte, r *Routes) []byte {
	b = strconv.AppendInt(append(b, `,"slots":`...), int64(r.Slots), 10)
	b = strconv.AppendInt(append(b, `,"slots_used":`...), int64(r.SlotsUsed), 10)
	if r.HalfOpen > 0 {
		b = strconv.AppendInt(append(b, `,"half_open":`...), int64(r.HalfOpen), 10)
	}
	if r.Phi >= 1 { // below, it is on time
		b = strconv.AppendFloat(append(b, `,"phi":`...), math.Round(10*min(r.Phi, 1000))/10, 'f', -1, 64)
	}
	if r.Suspicion != "" {
		b = appendString(append(b, `,"suspicion":`...), r.Suspicion)
	}
	if len(r.All) == 0 {
		return b
	}
	b = strconv.AppendInt(append(b, `,"route":`...), int64(r.InUse), 10)
	b = strconv.AppendUint(append(b, `,"route_changes":`...), r.Changes, 10)
	if r.Pinned {
		b = append(b, `,"route_pinned":true`...)
	}
	b = append(b, `,"routes":[`...)
	for i := range r.All {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendRoute(b, &r.All[i])
	}
	return append(b, ']')
}

func appendRoute(b []byte, r *Route) []byte {
	b = appendString(append(b, `{"address":`...), r.Addr)
	if r.Name != "" {
		b = appendString(append(b, `,"name":`...), r.Name)
	}
	b = appendString(append(b, `,"state":`...), r.State)
	if r.Cause != "" {
		b = appendString(append(b, `,"cause":`...), r.Cause)
	}
	b = appendTime(append(b, `,"since":`...), r.Since)
	b = appendMillis(append(b, `,"rtt_ms":`...), r.RTT)
	return append(b, '}')
}
