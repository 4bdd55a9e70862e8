package web

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	feedEvery    = 250 * time.Millisecond // how often devices are looked at, while a stream is open
	summaryEvery = time.Second
	softEvery    = 5 * time.Second // how often figures that always move (rtt, lag) are sent, for each 1000 devices
	mostAlarms   = 100             // in a summary
)

// feed is what all live streams share: devices as JSON with the number of their last change, and a summary, each written once however
// many clients there are. It has no goroutine: the stream that asks first after feedEvery looks at the source for all. A look costs what has
// changed, and a few nanoseconds a device.
type feed struct {
	src Source

	mu      sync.Mutex
	looked  time.Time
	asked   uint64 // the number that the source is asked with next
	seq     uint64
	listSeq uint64 // when a device came or went
	devices []feedDevice
	states  map[string]int // devices by the state that is shown
	scratch []byte

	summarized time.Time
	summary    []byte
}

type feedDevice struct {
	json  []byte
	seq   uint64
	sent  time.Time
	state string
}

func newFeed(src Source) *feed { return &feed{src: src, states: map[string]int{}} }

// appendDevices appends the events that bring a client from since up to date, and returns the sequence it then has. A client that is
// new, or that missed a device coming or going, gets the whole list.
func (f *feed) appendDevices(b []byte, since uint64, now time.Time) ([]byte, uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look(now)
	if since == f.seq {
		return b, since
	}
	event, whole := "device", since < f.listSeq || since > f.seq
	if whole {
		event = "devices"
		b = slices.Grow(b, f.size())
	}
	b = append(append(append(b, "event: "...), event...), "\ndata: ["...)
	n := 0
	for i := range f.devices {
		if d := &f.devices[i]; whole || d.seq > since {
			if n > 0 {
				b = append(b, ',')
			}
			b = append(b, d.json...)
			n++
		}
	}
	return append(b, "]\n\n"...), f.seq
}

// size is about how many bytes the whole list has.
func (f *feed) size() int {
	n := 64
	for i := range f.devices {
		n += len(f.devices[i].json) + 1
	}
	return n
}

func (f *feed) look(now time.Time) {
	if !f.looked.IsZero() && now.Sub(f.looked) < feedEvery {
		return
	}
	first := f.looked.IsZero()
	f.looked = now
	next, soft := f.seq+1, f.soft()
	stale := func(i int) bool { return i < len(f.devices) && now.Sub(f.devices[i].sent) >= soft }
	seen := 0
	asked, whole := f.src.DeviceChanges(f.asked, stale, func(i int, d *Device) {
		seen = max(seen, i+1)
		f.take(i, d, next, now)
	})
	f.asked = asked
	if !whole && !first {
		return
	}
	for _, gone := range f.devices[seen:] {
		f.count(gone.state, -1)
	}
	clear(f.devices[seen:])
	f.devices = f.devices[:seen]
	f.spread(now)
	f.seq, f.listSeq = next, next
}

// take writes d at place i anew, and numbers it next when that is not what clients have.
func (f *feed) take(i int, d *Device, next uint64, now time.Time) {
	for len(f.devices) <= i {
		f.devices = append(f.devices, feedDevice{})
	}
	x := &f.devices[i]
	x.sent = now
	f.scratch = appendDevice(f.scratch[:0], d)
	if bytes.Equal(f.scratch, x.json) {
		return
	}
	x.json = append(slices.Grow(x.json[:0], len(f.scratch)), f.scratch...)
	x.seq, f.seq = next, next
	if is := d.shownState(); is != x.state {
		f.count(x.state, -1)
		f.count(is, 1)
		x.state = is
	}
}

func (f *feed) count(state string, by int) {
	if f.states[state] += by; state == "" || f.states[state] == 0 {
		delete(f.states, state)
	}
}

// soft is how often the figures of a device are sent.
func (f *feed) soft() time.Duration { return softEvery * time.Duration(1+len(f.devices)/1000) }

// spread has the figures of many devices, which were all written at once, be sent again a few at each look.
func (f *feed) spread(now time.Time) {
	n := time.Duration(len(f.devices))
	if n < 1000 {
		return
	}
	for i := range f.devices {
		f.devices[i].sent = now.Add(-f.soft() / n * time.Duration(i))
	}
}

// summaryView is what the head of the page shows.
type summaryView struct {
	Gateway    gatewayView  `json:"gateway"`
	Values     LedgerValues `json:"values"`
	Residue    int64        `json:"residue"`
	Sinks      []sinkView   `json:"sinks"`
	Alarms     []Alarm      `json:"alarms"`      // the worst mostAlarms
	AlarmCount int          `json:"alarm_count"` // all of them
}

// appendSummary appends the summary event when it is newer than last, and returns its time.
func (f *feed) appendSummary(b []byte, last, now time.Time, view func(states map[string]int) gatewayView) ([]byte, time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.summary == nil || now.Sub(f.summarized) >= summaryEvery {
		l, alarms := f.src.Ledger(), append([]Alarm{}, f.src.Alarms()...)
		l.Values.Dropped = notNil(l.Values.Dropped)
		f.summary, _ = json.Marshal(summaryView{view(maps.Clone(f.states)), l.Values, l.Residue, sinkViews(f.src.Sinks()), alarms[:min(len(alarms), mostAlarms)], len(alarms)})
		f.summarized = now
	}
	if !f.summarized.After(last) {
		return b, last
	}
	b = append(append(b, "event: summary\ndata: "...), f.summary...)
	return append(b, "\n\n"...), f.summarized
}

// position is how far a client has come: in values, and in devices.
type position struct{ values, devices uint64 }

func appendPosition(b []byte, boot string, p position) []byte {
	b = append(append(append(b, "id: "...), boot...), '-')
	b = strconv.AppendUint(b, p.values, 10)
	b = strconv.AppendUint(append(b, '-'), p.devices, 10)
	return append(b, '\n')
}
