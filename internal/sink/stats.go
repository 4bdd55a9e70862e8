package sink

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// State is what a worker is doing.
type State string

// The states.
const (
	Starting State = "starting" // the sink has not answered yet
	OK       State = "ok"
	Retrying State = "retrying" // the last try failed, and another one comes
	Stopped  State = "stopped"  // Run has returned, or can do nothing any more
)

// Stats is the state of a worker at one moment, and what it counted since New.
type Stats struct {
	State     State
	Reason    string    // why it is retrying or stopped; "" when there is nothing to say
	Since     time.Time // of State
	NextTry   time.Time // when retrying
	Cursor    Cursor    // in front of the first row that is not delivered
	Waiting   uint64    // rows in the journal that are not delivered
	Oldest    time.Time // when the oldest row that is being written was received; zero when none is
	Delivered uint64    // rows
	Dropped   map[string]uint64

	Retries     uint64
	LastError   string // "" when there was none
	LastErrorAt time.Time
	Rows        Histogram // rows of each write that succeeded
	Seconds     Histogram // time of each write that succeeded
}

// String says in plain words what the worker is doing.
func (s Stats) String() string {
	switch s.State {
	case Starting:
		return "starting"
	case Retrying:
		return fmt.Sprintf("%d values wait, retrying since %s: %s", s.Waiting, s.Since.UTC().Format(time.TimeOnly), s.Reason)
	case Stopped:
		if s.Reason == "" {
			return "stopped"
		}
		return fmt.Sprintf("stopped, %d values wait: %s", s.Waiting, s.Reason)
	}
	if !s.Oldest.IsZero() && s.Waiting > 0 {
		return fmt.Sprintf("delivering, %d values wait, the oldest of %s", s.Waiting, s.Oldest.UTC().Format(time.RFC3339))
	}
	return "delivering"
}

// Histogram counts observations by size. Counts[i] is of those at most Bounds[i]; the last count, which has no bound, of the others.
type Histogram struct {
	Bounds []float64
	Counts []uint64
	Sum    float64
}

var (
	rowBounds    = []float64{1, 10, 100, 1_000, 10_000}
	secondBounds = []float64{0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60}
)

func newHistogram(bounds []float64) Histogram {
	return Histogram{Bounds: bounds, Counts: make([]uint64, len(bounds)+1)}
}

func (h *Histogram) observe(v float64) {
	i, _ := slices.BinarySearch(h.Bounds, v)
	h.Counts[i]++
	h.Sum += v
}

// Stats returns the state of the worker.
func (w *Worker) Stats() Stats {
	w.mu.Lock()
	s := w.stats
	s.Dropped = maps.Clone(s.Dropped)
	s.Rows.Counts = slices.Clone(s.Rows.Counts)
	s.Seconds.Counts = slices.Clone(s.Seconds.Counts)
	w.mu.Unlock()
	s.Waiting = w.waiting()
	return s
}

func (w *Worker) setState(state State, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enter(state, err)
}

// enter changes the state. w.mu is held.
func (w *Worker) enter(state State, err error) {
	if w.stats.State != state {
		w.stats.State, w.stats.Since = state, time.Now()
	}
	w.stats.Reason, w.stats.NextTry = "", time.Time{}
	if err != nil {
		w.stats.Reason = err.Error()
	}
}

// failed notes a try that failed; the next one comes after wait.
func (w *Worker) failed(err error, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.enter(Retrying, err)
	w.stats.NextTry = now.Add(wait)
	w.stats.LastError, w.stats.LastErrorAt = w.stats.Reason, now
	w.stats.Retries++
}

// wrote notes a write that succeeded.
func (w *Worker) wrote(rows int, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enter(OK, nil)
	w.stats.Rows.observe(float64(rows))
	w.stats.Seconds.observe(took.Seconds())
}

// waitingSince notes which rows are being written, none when nil.
func (w *Worker) waitingSince(rows []Rows) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Oldest = time.Time{}
	if len(rows) > 0 {
		w.stats.Oldest = time.Unix(0, rows[0].Batch.Received)
	}
}
