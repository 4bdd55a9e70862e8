package main

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"millrace/internal/device"
)

// eventQueue takes the devices' events from where nothing may block, and the lessons learned of them, to where they are dealt with.
type eventQueue struct {
	wake chan struct{} // 1: one wake-up is enough for all that is there

	mu      sync.Mutex
	events  []device.Event
	lost    uint64
	lessons map[string]device.Limits // the newest of each device
}

// eventRoom is enough for every device of a large plant to go down and come back at once. Beyond it events are counted and not kept:
// the devices' states stay right, only the log misses lines.
const eventRoom = 1 << 15

func newEventQueue() *eventQueue {
	return &eventQueue{lessons: map[string]device.Limits{}, wake: make(chan struct{}, 1)}
}

func (q *eventQueue) put(e device.Event) {
	q.mu.Lock()
	if len(q.events) < eventRoom {
		q.events = append(q.events, e)
	} else {
		q.lost++
	}
	q.mu.Unlock()
	q.ring()
}

func (q *eventQueue) learn(name string, l device.Limits) {
	q.mu.Lock()
	q.lessons[name] = l
	q.mu.Unlock()
	q.ring()
}

func (q *eventQueue) ring() {
	select {
	case q.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// run deals with everything until ctx ends, and then with what is left. Lessons come together: all devices of a plant learn at once when it starts, and keeping one lesson takes a sync
// of the disk, for which events would wait.
func (q *eventQueue) run(ctx context.Context, event func(device.Event), lessons func(map[string]device.Limits)) {
	for {
		select {
		case <-q.wake:
		case <-ctx.Done():
			q.teach(lessons)
			q.tell(event)
			return
		}
		q.teach(lessons)
		q.tell(event)
	}
}

// tell deals with the events that are there. Their memory is not kept: there are many at the start, and then hardly any.
func (q *eventQueue) tell(event func(device.Event)) {
	q.mu.Lock()
	all := q.events
	q.events = nil
	q.mu.Unlock()
	for _, e := range all {
		event(e)
	}
}

func (q *eventQueue) teach(lessons func(map[string]device.Limits)) {
	if all := q.takeLessons(); all != nil {
		lessons(all)
	}
}

// takeLessons returns the lessons that are there, nil when none is: a map that is empty stays in the queue, where others write to it.
func (q *eventQueue) takeLessons() map[string]device.Limits {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lessons) == 0 {
		return nil
	}
	all := q.lessons
	q.lessons = map[string]device.Limits{} // a map never shrinks, and all devices learn at the start
	return all
}

// limitsJSON is how learned limits lie in the store.
type limitsJSON struct {
	Of           string     `json:"of,omitempty"`
	Window       int        `json:"window,omitempty"`
	WindowTried  time.Time  `json:"window_tried,omitzero"`
	CapsLearned  time.Time  `json:"caps_learned,omitzero"`
	MaxRegisters int        `json:"max_registers,omitempty"`
	MaxBits      int        `json:"max_bits,omitempty"`
	MaxWrite     int        `json:"max_write,omitempty"`
	MaxItems     int        `json:"max_items,omitempty"`
	PDU          int        `json:"pdu,omitempty"`
	Gap          int        `json:"gap,omitempty"`
	RequestWorth int        `json:"request_worth,omitempty"`
	Holes        []holeJSON `json:"holes,omitempty"`
	Server       string     `json:"server,omitempty"`
}

type holeJSON struct {
	Area uint8  `json:"area"`
	From uint32 `json:"from"`
	To   uint32 `json:"to"`
}

func formatLimits(l device.Limits) ([]byte, error) {
	j := limitsJSON{Of: l.Of, Window: l.Window, WindowTried: l.WindowTried, CapsLearned: l.CapsLearned, MaxRegisters: l.MaxRegisters, MaxBits: l.MaxBits, MaxWrite: l.MaxWrite, MaxItems: l.MaxItems, PDU: l.PDU, Gap: l.Gap, RequestWorth: l.RequestWorth, Server: l.Server}
	for _, h := range l.Holes {
		j.Holes = append(j.Holes, holeJSON(h))
	}
	return json.Marshal(j)
}

func parseLimits(text []byte) (device.Limits, error) {
	var j limitsJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return device.Limits{}, err
	}
	l := device.Limits{Of: j.Of, Window: j.Window, WindowTried: j.WindowTried, CapsLearned: j.CapsLearned, MaxRegisters: j.MaxRegisters, MaxBits: j.MaxBits, MaxWrite: j.MaxWrite, MaxItems: j.MaxItems, PDU: j.PDU, Gap: j.Gap, RequestWorth: j.RequestWorth, Server: j.Server}
	for _, h := range j.Holes {
		l.Holes = append(l.Holes, device.Span(h))
	}
	return l, nil
}
