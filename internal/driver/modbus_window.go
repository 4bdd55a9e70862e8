package driver

import (
	"sync/atomic"
	"time"

	"millrace/internal/device"
)

const (
	// learnedWindow is the most requests in flight that a device is tried with unless max_window says more. Four hide most of the round trip, and
	// the smallest of PLCs have memory for a few frames.
	learnedWindow = 4

	// cleanReads is how many whole Reads, each of more requests than the window, must have come before more in flight is tried.
	cleanReads = 100

	// trialReads is how many whole Reads a larger window must bear to be known.
	trialReads = 20

	// trialRest is how long nothing more is tried after a trial that failed.
	trialRest = 24 * time.Hour
)

type windowPhase uint8

const (
	greeting windowPhase = iota // one request at a time until a whole Read
	trying                      // a window that may be too large
	steady
)

// pace is what one unit is given.
//
//	          whole Read            trialReads whole Reads
//	greeting ───────────► trying ───────────────────────────► steady
//	   ▲                   ▲  │ fault: the window falls         │ │
//	   │ fault             │  └───────────► (greeting)          │ │
//	   └───────────────────┼────────────────────────────────────┘ │
//	                       └──── twice as many, after cleanReads ─┘
//
// A window that is known is tried again at the beginning of a session and after each fault: the device may be another one by now.
type pace struct {
	unit     uint8
	phase    windowPhase
	reads    int // whole ones that count, of this phase
	window   int // of trying
	fallback int // of trying: what a fault leaves
	began    time.Time
}

// windowLearner finds out how many requests in flight a device bears. It is pure but for noise: the clock is passed in.
type windowLearner struct {
	known  int // requests in flight that are believed in
	tried  time.Time
	opened time.Time
	settle time.Duration // how old a connection must be that a trial may cost: one that breaks earlier is an outage

	paces    []pace // of each unit that was read on this session; seldom more than one
	p        *pace  // of this Read
	most     int    // of this Read
	requests int    // of this Read
	inFlight int    // of this Read, at most

	noise atomic.Uint64 // late and duplicate replies, told from any goroutine
	heard uint64
}

// open begins a session to a device of which lim is known.
func (l *windowLearner) open(lim device.Limits, now time.Time, settle time.Duration) {
	l.known, l.tried, l.opened, l.settle = max(1, lim.Window), lim.WindowTried, now, settle
}

// begin returns the window for a Read of p with so many requests.
func (l *windowLearner) begin(p *modbusPlan, requests int) int {
	l.p, l.most, l.requests = l.paceOf(p.unit), p.most, requests
	window := 1
	switch {
	case l.p.phase == trying && l.tried.After(l.p.began):
		l.p.become(steady) // another unit's trial has failed meanwhile
		fallthrough
	case l.p.phase == steady:
		window = l.known
	case l.p.phase == trying:
		window = l.p.window
	}
	window = min(window, p.most)
	l.inFlight = min(window, requests)
	return window
}

func (l *windowLearner) paceOf(unit uint8) *pace {
	for i := range l.paces {
		if l.paces[i].unit == unit {
			return &l.paces[i]
		}
	}
	l.paces = append(l.paces, pace{unit: unit})
	return &l.paces[len(l.paces)-1]
}

// onTrial says whether this Read has more in flight than is believed in.
func (l *windowLearner) onTrial() bool { return l.p.phase == trying && l.inFlight > l.p.fallback }

// disturbed says whether a late or duplicate reply came since it was asked last.
func (l *windowLearner) disturbed() bool {
	n := l.noise.Load()
	was := l.heard
	l.heard = n
	return n != was
}

// end takes what became of the Read and returns what was learned, the zero value when nothing was.
func (l *windowLearner) end(fault bool, now time.Time) device.Limits {
	p := l.p
	switch {
	case fault && l.onTrial():
		l.known, l.tried = p.fallback, now.UTC().Round(0)
		p.become(greeting)
		return device.Limits{Window: l.known, WindowTried: l.tried}
	case fault:
		p.become(greeting)
	case p.phase == greeting && l.known > 1:
		if l.settled(now) {
			p.try(l.known, l.known/2, now)
		}
	case p.phase == greeting:
		p.become(steady)
	case p.phase == trying:
		return l.bore()
	case l.requests > l.known && l.known < l.most:
		p.reads++
		if p.reads >= cleanReads && l.rested(now) && l.settled(now) {
			p.try(min(2*l.known, l.most, l.requests), l.known, now)
		}
	}
	return device.Limits{}
}

// bore counts a whole Read of a trial.
func (l *windowLearner) bore() (learned device.Limits) {
	p := l.p
	if l.inFlight < p.window {
		return learned // too few requests to tell
	}
	if p.reads++; p.reads < trialReads {
		return learned
	}
	if p.window > l.known {
		l.known = p.window
		learned.Window = l.known
	}
	p.become(steady)
	return learned
}

// rested says whether it is long enough ago that a trial failed. A time to come is that of a clock that was wrong.
func (l *windowLearner) rested(now time.Time) bool {
	return l.tried.IsZero() || l.tried.After(now) || now.Sub(l.tried) >= trialRest
}

func (l *windowLearner) settled(now time.Time) bool { return now.Sub(l.opened) >= l.settle }

func (p *pace) become(phase windowPhase) { p.phase, p.reads = phase, 0 }

func (p *pace) try(window, fallback int, now time.Time) {
	p.become(trying)
	p.window, p.fallback, p.began = window, max(1, fallback), now
}
