package why

import (
	"fmt"
	"time"
)

// Explanation is what there is to say about a device or a tag, as the API gives it: the findings, and what they were made of. Times in milliseconds are round trips.
type Explanation struct {
	Of       string      `json:"of"`
	What     string      `json:"what"` // device, tag
	Device   string      `json:"device"`
	State    string      `json:"state"` // of the device
	Reason   string      `json:"reason"`
	Time     time.Time   `json:"time"`
	Findings []Finding   `json:"findings"` // never empty, what explains most first
	Faults   []FaultView `json:"faults"`   // what failed, the newest first
	History  []EventView `json:"history"`  // changes of state and what the gateway did by itself, the newest first
	RTT      RTTView     `json:"rtt"`
	TCP      *TCPView    `json:"tcp,omitempty"` // without where the system does not tell
}

// FaultView is a device.Fault.
type FaultView struct {
	Kind  string    `json:"kind"`
	Count uint64    `json:"count"` // since First
	Total uint64    `json:"total"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Error string    `json:"error,omitempty"`
}

// EventView is a device.Happening.
type EventView struct {
	Time   time.Time `json:"time"`
	Act    string    `json:"act,omitempty"`
	From   string    `json:"from"`
	To     string    `json:"to"`
	Reason string    `json:"reason"`
}

// RTTView is a device.RTTPicture.
type RTTView struct {
	Samples uint64     `json:"samples"`
	Now     float64    `json:"now_ms"` // smoothed
	Jitter  float64    `json:"jitter_ms"`
	Min     float64    `json:"min_ms"`
	Median  float64    `json:"median_ms"`
	P99     float64    `json:"p99_ms"`
	Max     float64    `json:"max_ms"`
	Usual   float64    `json:"usual_ms"`
	History []RTTEpoch `json:"history"` // the oldest first
}

// RTTEpoch is a device.RTTEpoch.
type RTTEpoch struct {
	Began   time.Time `json:"began"`
	Samples uint64    `json:"samples"`
	Median  float64   `json:"median_ms"`
	P99     float64   `json:"p99_ms"`
}

// TCPView is a device.TCPSample.
type TCPView struct {
	Time         time.Time `json:"time"`
	RTT          float64   `json:"rtt_ms"`
	RTTVar       float64   `json:"rttvar_ms"`
	MinRTT       float64   `json:"min_rtt_ms"`
	Window       float64   `json:"window_s"`
	Sent         uint32    `json:"sent"`   // segments in the window
	Resent       uint32    `json:"resent"` // of them again
	Retransmits  uint32    `json:"retransmits"`
	Unacked      uint32    `json:"unacked"`
	LastReceived float64   `json:"last_received_s"` // ago
}

// Make explains f.
func Make(f Facts) Explanation {
	e := Explanation{Of: f.Device.Name, What: "device", Device: f.Device.Name, State: f.Device.State.String(), Reason: f.Device.Reason, Time: f.Now, Findings: Explain(f),
		Faults: []FaultView{}, History: []EventView{}, RTT: rttView(&f)}
	if f.Tag != nil {
		e.Of, e.What = f.Tag.Name, "tag"
	}
	for _, x := range f.Evidence.Faults {
		v := FaultView{Kind: x.Kind.String(), Count: x.Count, Total: x.Total, First: x.First, Last: x.Last}
		if x.Err != nil {
			v.Error = x.Err.Error()
		}
		e.Faults = append(e.Faults, v)
	}
	for _, h := range f.Evidence.Happenings {
		e.History = append(e.History, EventView{h.At, h.Act, h.From.String(), h.To.String(), h.Reason})
	}
	if t := f.Evidence.TCP; !t.At.IsZero() {
		e.TCP = &TCPView{Time: t.At, RTT: millis(t.RTT), RTTVar: millis(t.RTTVar), MinRTT: millis(t.MinRTT), Window: t.Window.Seconds(), Sent: t.Sent, Resent: t.Resent,
			Retransmits: t.Retransmits, Unacked: t.Unacked, LastReceived: t.LastReceived.Seconds()}
	}
	return e
}

func rttView(f *Facts) RTTView {
	p := &f.Evidence.RTT
	v := RTTView{Samples: p.Samples, Now: millis(f.Device.RTT), Jitter: millis(f.Device.Jitter), Min: millis(p.Min), Median: millis(p.Median), P99: millis(p.P99), Max: millis(p.Max), Usual: millis(p.Usual),
		History: make([]RTTEpoch, len(p.History))}
	for i, h := range p.History {
		v.History[i] = RTTEpoch{h.Began, h.Samples, millis(h.Median), millis(h.P99)}
	}
	return v
}

// millis returns d in milliseconds, whole microseconds kept.
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Well says whether nothing is wrong.
func (e *Explanation) Well() bool { return len(e.Findings) > 0 && e.Findings[0].Cause == causeWell }

// MarshalText returns the layer's name.
func (l Layer) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (l *Layer) UnmarshalText(b []byte) error {
	for *l = 0; *l < layers; *l++ {
		if l.String() == string(b) {
			return nil
		}
	}
	return &WordError{"layer", string(b)}
}

// MarshalText returns the confidence in a word.
func (c Confidence) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (c *Confidence) UnmarshalText(b []byte) error {
	for *c = Possible; *c <= Certain; *c++ {
		if c.String() == string(b) {
			return nil
		}
	}
	return &WordError{"confidence", string(b)}
}

// WordError is a word that is none of those that there are.
type WordError struct{ What, Word string }

func (e *WordError) Error() string { return fmt.Sprintf("why: there is no %s %q", e.What, e.Word) }
