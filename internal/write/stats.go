package write

import (
	"sync"
	"sync/atomic"
	"time"
)

// counters is what a Path counts.
type counters struct {
	auditErrors atomic.Uint64

	mu     sync.Mutex
	ends   map[End]uint64
	counts [len(bounds) + 1]uint64
	sum    time.Duration
}

// bounds of the histogram, in seconds.
var bounds = [...]float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}

// Stats is what a Path counted since it was made, but Waiting, which is now.
type Stats struct {
	Ends        map[End]uint64
	Waiting     int       // to be approved
	AuditErrors uint64    // records that the audit log did not take
	Bounds      []float64 // of Counts, in seconds
	Counts      []uint64  // of writes that left, by the time from the order or its approval to the end; one more than Bounds
	Sum         float64   // seconds
}

func (c *counters) count(o *Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ends == nil {
		c.ends = map[End]uint64{}
	}
	c.ends[o.End]++
	if o.End == Refused {
		return
	}
	i := 0
	for i < len(bounds) && o.Took.Seconds() > bounds[i] {
		i++
	}
	c.counts[i]++
	c.sum += o.Took
}

// Stats returns the counters.
func (p *Path) Stats() Stats {
	c := &p.stats
	s := Stats{Ends: map[End]uint64{}, Waiting: len(p.waiting()), AuditErrors: c.auditErrors.Load(), Bounds: bounds[:]}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range Ends() {
		s.Ends[e] = c.ends[e]
	}
	s.Counts = append(s.Counts, c.counts[:]...)
	s.Sum = c.sum.Seconds()
	return s
}
