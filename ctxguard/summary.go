package ctxguard

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Summary is what a Guard knows at one moment.
type Summary struct {
	TakenAt time.Time `json:"takenAt"`
	Since   time.Time `json:"since"`  // when the Guard was made
	Sample  int       `json:"sample"` // one in so many; -1 none
	Census  bool      `json:"census"` // whether children can be counted with this version of Go

	Live    int `json:"live"`    // contexts looked after that are not over
	Overdue int `json:"overdue"` // of Live, those whose lease is over

	// Since the start. Dropped to LeftBehind are findings; Lapsed were collected uncancelled after their deadline or parent had ended them.
	Tracked      uint64 `json:"tracked"`
	Dropped      uint64 `json:"dropped"`
	OverdueEver  uint64 `json:"overdueEver"`
	Excess       uint64 `json:"excess"`
	LeftBehind   uint64 `json:"leftBehind"`
	Healed       uint64 `json:"healed"`
	Lapsed       uint64 `json:"lapsed"`
	WaitingSweep int    `json:"waitingSweep"` // found by the collector since the last look

	Sites []Site `json:"sites"` // those with findings first, then by number alive
	Roots []Root `json:"roots"`
}

// Site is the contexts that one line has made.
type Site struct {
	Scope      string   `json:"scope,omitempty"`
	Labels     string   `json:"labels,omitempty"` // of one of them
	AllocStack []string `json:"allocStack"`       // "func file:line", innermost first

	Live       int    `json:"live"`
	OverdueNow int    `json:"overdueNow"`
	Dropped    uint64 `json:"dropped"`
	Overdue    uint64 `json:"overdue"` // since the start
	Excess     uint64 `json:"excess,omitempty"`
	LeftBehind uint64 `json:"leftBehind,omitempty"`
	Healed     uint64 `json:"healed,omitempty"`

	LeakAgeSec  float64    `json:"leakAgeSec"`          // of the oldest that is overdue; without one, the greatest age at a report
	OldestSec   float64    `json:"oldestSec,omitempty"` // of the oldest alive
	FirstSeen   *time.Time `json:"firstSeen,omitempty"` // first and last finding
	LastSeen    *time.Time `json:"lastSeen,omitempty"`
	GoroutineID uint64     `json:"goroutineID,omitempty"` // that made one of them

	key siteKey
}

// Leaks is the number of findings at the site.
func (s *Site) Leaks() uint64 { return s.Dropped + s.Overdue + s.Excess + s.LeftBehind }

// Root is a watched root.
type Root struct {
	Name     string `json:"name"`
	Children int    `json:"children"` // at the last look
	Expected int    `json:"expected"`
}

// Summary returns what g knows now. It looks at every context that g looks after.
func (g *Guard) Summary() Summary {
	if g == nil {
		return Summary{TakenAt: time.Now(), Sample: -1}
	}
	c, now := g.core, g.now()
	s := Summary{
		TakenAt: time.Now(), Since: c.start, Sample: sampleOf(c.rate.Load()), Census: c.census.works, Tracked: c.tracked(),
		Dropped: c.counts.dropped.Load(), OverdueEver: c.counts.overdue.Load(), Excess: c.counts.excess.Load(), LeftBehind: c.counts.left.Load(),
		Healed: c.counts.healed.Load(), Lapsed: c.counts.lapsed.Load(),
	}
	c.lost.mu.Lock()
	s.WaitingSweep = len(c.lost.list)
	c.lost.mu.Unlock()
	sites := c.reported()
	c.live(now, func(e *entry) { s.alive(sites, e, now) })
	for _, x := range sites {
		s.Sites = append(s.Sites, *x)
	}
	slices.SortFunc(s.Sites, func(a, b Site) int {
		return cmp.Or(cmp.Compare(b.Leaks(), a.Leaks()), cmp.Compare(b.Live, a.Live), slices.Compare(a.AllocStack, b.AllocStack), strings.Compare(a.Scope, b.Scope))
	})
	s.Roots = c.watched()
	return s
}

// Counts are the numbers of a Summary that cost nothing to know: overdue contexts that are over since, and children of roots, are not among them.
type Counts struct {
	Live       int    // contexts looked after, those that their parent or deadline has ended meanwhile included
	Tracked    uint64 // since the start, as all below
	Dropped    uint64
	Overdue    uint64
	Excess     uint64
	LeftBehind uint64
	Healed     uint64
}

// Findings is the number of findings since the start.
func (c Counts) Findings() uint64 { return c.Dropped + c.Overdue + c.Excess + c.LeftBehind }

// Counts returns the counters.
func (g *Guard) Counts() Counts {
	if g == nil {
		return Counts{}
	}
	c := &g.counts
	out := Counts{Tracked: g.tracked(), Dropped: c.dropped.Load(), Overdue: c.overdue.Load(), Excess: c.excess.Load(), LeftBehind: c.left.Load(), Healed: c.healed.Load()}
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		out.Live += len(s.slots)
		s.mu.Unlock()
	}
	return out
}

// reported returns the sites with findings.
func (c *core) reported() map[siteKey]*Site {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[siteKey]*Site, len(c.sites))
	for key, s := range c.sites {
		first, last := c.start.Add(time.Duration(s.first)), c.start.Add(time.Duration(s.last))
		out[key] = &Site{
			Scope: key.scope, Labels: s.labels, AllocStack: stringsOf(framesOf(s.stack)),
			Dropped: s.found[Dropped], Overdue: s.found[Overdue], Excess: s.found[Excess], LeftBehind: s.found[LeftBehind], Healed: s.healed,
			LeakAgeSec: s.oldest.Seconds(), FirstSeen: &first, LastSeen: &last, GoroutineID: s.gid, key: key,
		}
	}
	return out
}

// alive counts e for its site.
func (s *Summary) alive(sites map[siteKey]*Site, e *entry, now int64) {
	key := siteKey{scope: e.scope.Name, stack: hashOf(e.stack())}
	x := sites[key]
	if x == nil {
		x = &Site{Scope: e.scope.Name, AllocStack: stringsOf(framesOf(e.stack())), key: key}
		sites[key] = x
	}
	age := e.age(now).Seconds()
	s.Live++
	x.Live++
	if x.Labels == "" {
		x.Labels = e.labels()
	}
	if age > x.OldestSec {
		x.OldestSec, x.GoroutineID = age, e.creator()
	}
	if e.state.Load()&stateOverdue != 0 {
		s.Overdue++
		x.OverdueNow++
		x.LeakAgeSec = max(x.LeakAgeSec, age)
	}
}

func (c *core) watched() []Root {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]Root, len(c.roots))
	for i, r := range c.roots {
		out[i] = Root{r.name, r.children, r.expected}
	}
	return out
}
