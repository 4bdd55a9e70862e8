package ctxguard

import (
	"context"
	"math/rand/v2"
	"time"
)

// Finding is what is wrong.
type Finding uint8

// The findings.
const (
	// Dropped: the collector found that nobody holds the context or its cancel function any more, and it was neither cancelled nor ended by its
	// deadline or its parent. A goroutine that waits for it waits for ever.
	Dropped Finding = iota
	// Overdue: the context is still there after its lease.
	Overdue
	// Excess: a watched root has more children than there are reasons for.
	Excess
	// LeftBehind: an HTTP handler has returned and left children of its request's context uncancelled.
	LeftBehind
	findings = iota
)

var findingNames = [findings]string{"dropped", "overdue", "excess", "left_behind"}

func (f Finding) String() string { return findingNames[f] }

// Report is one context that is reported.
type Report struct {
	Finding     Finding
	Scope       string        // Scope.Name; of an Excess the root's name, of a LeftBehind the handler's
	Labels      string        // pprof labels of the parent: "key=value key=value"
	Age         time.Duration // since the context was made
	Born        time.Time
	GoroutineID uint64 // that made it; 0 when Config does not ask for it
	Healed      bool   // it was cancelled by the Guard
	Count       uint64 // what the site has come to, this one included
	// Children and Expected are of an Excess and a LeftBehind.
	Children, Expected int

	stack []uintptr
}

// Frames returns the stack that made the context, innermost first. It is empty for an Excess and a LeftBehind.
func (r Report) Frames() []Frame { return framesOf(r.stack) }

// Run looks at what g knows every Config.Every until ctx ends, and returns nil. Without it, or Sweep, nothing is reported, and what was dropped is kept
// (some 300 bytes each) until somebody looks.
func (g *Guard) Run(ctx context.Context) error {
	if g == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(g.cfg.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			g.Sweep()
		}
	}
}

// Sweep looks once, and returns how many contexts and roots it reported. What was dropped since the last garbage collection is not known yet.
func (g *Guard) Sweep() int {
	if g == nil {
		return 0
	}
	c := g.core
	c.sweep.Lock()
	defer c.sweep.Unlock()
	c.salt.Store(rand.Uint64())
	now, n := c.now(), 0
	for _, e := range c.takeLost() {
		if c.bury(e, now) {
			n++
		}
	}
	for _, e := range c.overdue(now) {
		if c.miss(e, now) {
			n++
		}
	}
	n += c.look()
	c.speak(now)
	return n
}

func (c *core) takeLost() []*entry {
	c.lost.mu.Lock()
	defer c.lost.mu.Unlock()
	list := c.lost.list
	c.lost.list = nil
	return list
}

// bury deals with a context that was collected. It says whether that was worth a report.
func (c *core) bury(e *entry, now int64) bool {
	over, heal := e.over(now), c.letGo(e)
	e.state.Or(stateEnded)
	c.forget(e)
	if over {
		c.counts.lapsed.Add(1)
		return false
	}
	r := c.reportOf(Dropped, e, now)
	if heal != nil {
		heal()
		r.Healed = true
		c.counts.healed.Add(1)
	}
	c.counts.dropped.Add(1)
	c.report(r)
	return true
}

// miss deals with a context whose lease is over. From here on the Guard does not keep it alive.
func (c *core) miss(e *entry, now int64) bool {
	c.letGo(e)
	if e.over(now) || e.state.Or(stateOverdue)&(stateEnded|stateOverdue) != 0 {
		return false
	}
	c.counts.overdue.Add(1)
	c.report(c.reportOf(Overdue, e, now))
	return true
}

func (c *core) reportOf(f Finding, e *entry, now int64) Report {
	return Report{
		Finding: f, Scope: e.scope.Name, Labels: e.labels(), Age: e.age(now), Born: c.start.Add(time.Duration(e.born)), GoroutineID: e.creator(), stack: e.stack(),
	}
}

// report counts r for its site and hands it on.
func (c *core) report(r Report) {
	c.mu.Lock()
	s := c.siteOf(siteKey{scope: r.Scope, stack: hashOf(r.stack)}, r.stack)
	s.add(r, c.now())
	r.Count = s.found[r.Finding]
	c.mu.Unlock()
	if c.cfg.OnReport != nil {
		c.cfg.OnReport(r)
	}
}
