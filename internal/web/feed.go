package web

import (
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	feedEvery    = 250 * time.Millisecond // how often devices are looked at, while a stream is open
	summaryEvery = time.Second
	softEvery    = 5 * time.Second // how often figures that always move (rtt, lag) are sent, for each 1000 devices
)

// feed is what all live streams share: devices with the moment of their last change, and a summary, each written as JSON once however
// many clients there are. It has no goroutine: the stream that asks first after feedEvery looks at the source for all.
type feed struct {
	src Source

	mu      sync.Mutex
	looked  time.Time
	seq     uint64
	listSeq uint64 // when a device came or went
	devices []feedDevice

	summarized time.Time
	summary    []byte
}

type feedDevice struct {
	dev  Device
	json []byte
	seq  uint64
	sent time.Time
}

func newFeed(src Source) *feed { return &feed{src: src} }

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

func (f *feed) look(now time.Time) {
	if !f.looked.IsZero() && now.Sub(f.looked) < feedEvery {
		return
	}
	devices := f.src.Devices()
	if f.looked.IsZero() || !f.sameList(devices) {
		f.seq++
		f.listSeq = f.seq
		f.devices = make([]feedDevice, len(devices))
		for i := range devices {
			f.devices[i] = feedDevice{devices[i], appendDevice(nil, &devices[i]), f.seq, now}
		}
		f.looked = now
		return
	}
	f.looked = now
	next, soft := f.seq+1, softEvery*time.Duration(1+len(devices)/1000)
	for i := range devices {
		d := &f.devices[i]
		if sameFacts(&d.dev, &devices[i]) && (now.Sub(d.sent) < soft || sameFigures(&d.dev, &devices[i])) {
			continue
		}
		d.dev, d.json = devices[i], appendDevice(d.json[:0], &devices[i])
		d.seq, d.sent = next, now
		f.seq = next
	}
}

func (f *feed) sameList(devices []Device) bool {
	if len(devices) != len(f.devices) {
		return false
	}
	for i := range devices {
		if devices[i].ID != f.devices[i].dev.ID {
			return false
		}
	}
	return true
}

// sameFacts compares what a person must hear of at once.
func sameFacts(a, b *Device) bool {
	return a.State == b.State && a.Reason == b.Reason && a.Since.Equal(b.Since) && a.Outages == b.Outages && a.Recovery == b.Recovery &&
		a.OutOfService == b.OutOfService && a.Endpoint == b.Endpoint && a.Protocol == b.Protocol && sameWays(&a.Routes, &b.Routes)
}

func sameFigures(a, b *Device) bool { return a.RTT == b.RTT && slices.Equal(a.Groups, b.Groups) }

// summaryView is what the head of the page shows.
type summaryView struct {
	Gateway gatewayView  `json:"gateway"`
	Values  LedgerValues `json:"values"`
	Residue int64        `json:"residue"`
	Sinks   []sinkView   `json:"sinks"`
	Alarms  []Alarm      `json:"alarms"`
}

// appendSummary appends the summary event when it is newer than last, and returns its time.
func (f *feed) appendSummary(b []byte, last, now time.Time, view func(states map[string]int) gatewayView) ([]byte, time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.summary == nil || now.Sub(f.summarized) >= summaryEvery {
		states := map[string]int{}
		for i := range f.devices {
			states[f.devices[i].dev.shownState()]++
		}
		l := f.src.Ledger()
		l.Values.Dropped = notNil(l.Values.Dropped)
		f.summary, _ = json.Marshal(summaryView{view(states), l.Values, l.Residue, sinkViews(f.src.Sinks()), append([]Alarm{}, f.src.Alarms()...)})
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
