package device

import (
	"context"
	"fmt"
	"slices"
	"time"

	"millrace/internal/resilience"
	"millrace/internal/tag"
)

// health is what the requests of a unit say of it besides their round trips, and what is made of that.
type health struct {
	silence silence // since its last reply
	jitter  resilience.Jitter
	slowest time.Duration // reply since the last turn ended

	level DegradeLevel
	since time.Time // of level
	why   string    // level is what it is
}

// replied, lost and cameLate take what became of a request of a read. The caller holds u.mu.

func (u *unit) replied(rtt time.Duration) {
	h := &u.health
	h.slowest = max(h.slowest, rtt)
	was := h.jitter.On()
	h.jitter.Replied(rtt)
	u.quicken(was)
}

func (u *unit) lost() {
	was := u.health.jitter.On()
	u.health.jitter.Lost()
	u.quicken(was)
}

// quicken follows the rule for links that jitter, which held or did not before.
func (u *unit) quicken(was bool) {
	on := u.health.jitter.On()
	u.rto.Quick(on)
	if on != was {
		u.alter()
	}
}

func (u *unit) cameLate(by time.Duration) {
	if by > 0 {
		u.health.jitter.Late()
	}
}

// tellHealth fills in what Status says of it. The caller holds u.mu.
func (u *unit) tellHealth(s *Status) {
	h := &u.health
	s.Loss, s.JitterRule, s.WritesPaused = h.jitter.Loss(), h.jitter.On(), u.pausedNow()
	if h.level != DegradeNone {
		s.Degraded = DegradeStatus{Level: h.level, Since: h.since, Why: h.why}
	}
}

// tallyHealth counts u in s. The caller holds u.mu.
func (u *unit) tallyHealth(s *Stats) {
	h := &u.health
	if h.level != DegradeNone {
		s.DegradedDevices++
	}
	if h.jitter.On() {
		s.JitteryDevices++
	}
	if h.silence.quiet() {
		s.PausedDevices++
	}
}

// slowError is a reply that took as long as a slow one.
type slowError struct{ took, limit time.Duration }

func (e *slowError) Error() string {
	return fmt.Sprintf("it answers too slowly: %v, and %v is slow", e.took.Round(time.Millisecond), e.limit)
}

const (
	// atOnceTries is how many such turns of a group are repeated at once while the device answers others. Then it waits for its next due time: it takes a timeout each.
	atOnceTries = 3
	// degradedRate is how many requests a second an endpoint gets while a device on it is asked for less at once, which takes more of them: what a serial line behind a gateway
	// does with small frames.
	degradedRate = 50
)

// appraise completes ev, what became of a turn of g, with what that says of how much may be asked for at once, and returns the cause to tell.
func (s *shard) appraise(g *group, ev *event, o *outcome) (cause error) {
	u := g.unit
	u.mu.Lock()
	slowest := u.health.slowest
	u.health.slowest = 0
	ev.quick = u.health.jitter.On()
	u.mu.Unlock()
	cause = o.err
	if limit := u.spec.Profile.SlowCall; ev.kind != evTimedOut && slowest >= limit && limit > 0 {
		ev.slow = true
		if cause == nil {
			cause = &slowError{slowest, limit}
		}
	}
	if o.wish {
		return cause // nothing was read: it says nothing of how much may be
	}
	if why := s.climb(g, ev, o); why != "" {
		s.relevel(u, why, ev.at)
		ev.anew = ev.kind != evTimedOut
	}
	ev.less = u.ladder.Level() > resilience.Full
	return cause
}

// climb has the ladder of g's unit take what became of a turn, and says why the level is another one now, "" when it is the same.
func (s *shard) climb(g *group, ev *event, o *outcome) (why string) {
	u, less, was := g.unit, g.unit.endpoint.job.less, g.unit.ladder.Level()
	if ev.kind == evTimedOut {
		if !less {
			g.failed++
		}
		if g.failed >= atOnceTries {
			g.owed = false
		}
		if u.ladder.Failed(!u.machine.state.polled()) {
			return "larger reads still fail"
		}
		return ""
	}
	if !less {
		g.came()
	}
	switch {
	case u.tooLarge():
		for _, g := range u.groups {
			if g.tooLarge() {
				g.failed, g.owed = 0, true // it is read at once in its next size
			}
		}
		return "large reads had no answer, a small one had"
	case less:
	case ev.kind == evPartial:
		if !u.ladder.Part(ev.at, o.missing) {
			return ""
		}
		switch is := u.ladder.Level(); {
		case is == resilience.Full:
			return "asking for less at once brought no more"
		case is > was && was > resilience.Full:
			return "reads still come only in part"
		}
		return "reads came only in part"
	case u.ladder.Whole(ev.at, g.sized()):
		return "reads come whole"
	}
	return ""
}

// tooLarge says whether g, of more tags than one, had no answer so many times in a row that it is for its size.
func (g *group) tooLarge() bool {
	return len(g.spec.Tags) > 1 && g.failed >= resilience.BatchFailures(float64(g.loss))
}

// sized says whether how much g asks for at once depends on the level, or that of none of its unit's groups does.
func (g *group) sized() bool {
	return g.largest > 1 || !slices.ContainsFunc(g.unit.groups, func(o *group) bool { return o.largest > 1 })
}

// came takes a turn of g of which something came, and those before it of which nothing did: these were lost by chance, since their size was the same. What is too large never comes, and says
// nothing of the link.
func (g *group) came() {
	for range min(g.failed, lossMemory) {
		g.loss += (1 - g.loss) / lossMemory
	}
	g.loss -= g.loss / lossMemory
	g.failed = 0
}

// lossMemory is how many turns loss is of, about.
const lossMemory = 32

// tooLarge asks for less at once when one of u's groups is too large, and says whether it does.
func (u *unit) tooLarge() bool {
	i := slices.IndexFunc(u.groups, (*group).tooLarge)
	return i >= 0 && u.ladder.Less(float64(u.groups[i].loss))
}

// relevel makes the plans of u those of its level from their next turns on, and tells the world.
func (s *shard) relevel(u *unit, why string, now time.Time) {
	level := DegradeLevel(u.ladder.Level())
	for _, g := range u.groups {
		g.failed = 0 // what failed was of another size
	}
	u.mu.Lock()
	h := &u.health
	h.level, h.since, h.why = level, now, why
	u.limits.Generation++
	u.alter()
	u.mu.Unlock()
	if u.machine.state == Degraded {
		said := u.degraded()
		u.mu.Lock()
		u.life.reason = said
		u.alter()
		u.mu.Unlock()
	}
	if level != DegradeNone {
		s.rt.counters.degraded.Add(1)
	}
	u.endpoint.settle()
	if u.scout.of == nil {
		s.note(u, "degrade", u.degraded(), now)
	}
}

// degraded says how u is asked, and why.
func (u *unit) degraded() string {
	u.mu.Lock()
	level, why := u.health.level, u.health.why
	u.mu.Unlock()
	switch level {
	case DegradeNone:
		return "asked for everything at once again: " + why
	case DegradeHalved:
		return "asked for half as much at once: " + why
	case DegradeSingle:
		return "asked for single tags: " + why
	}
	return "asked for one tag at a time, the others keep their last value: " + why
}

// requestRate is how many requests a second u allows its endpoint, 0 for no limit.
func (u *unit) requestRate() float64 {
	rate := u.spec.RequestsPerSecond
	if u.ladder.Level() > resilience.Full && (rate == 0 || rate > degradedRate) {
		return degradedRate
	}
	return rate
}

// Degrade has a device asked for single tags from now on, until it is called with on false: then larger reads are tried again, and stay when they come whole. An unknown name is an
// *UnknownError.
func (r *Runtime) Degrade(device string, on bool, reason string) error {
	u := r.unit(device)
	if u == nil {
		return &UnknownError{Name: device}
	}
	r.mail.call(func(s *shard) {
		if u.machine.state < Draining && u.ladder.Hold(on) {
			s.relevel(u, reason, time.Now())
		}
	})
	return nil
}

// atOnce returns how many tags a request may have at level, 0 for as many as the limits allow.
func (g *group) atOnce(level DegradeLevel) int {
	g.cached = level == DegradeCached
	switch level {
	case DegradeNone:
		return 0
	case DegradeHalved:
		return max(1, (g.largest+1)/2)
	}
	return 1
}

func largestOf(requests []Request) int {
	n := 0
	for _, r := range requests {
		n = max(n, r.Tags)
	}
	return n
}

// lesser says whether j, a jobRead, asks for a part of its group.
func (j *job) lesser() bool { return j.less && len(j.group.spec.Tags) > 1 }

// readOne asks for one tag of g, each time for the next one.
func (e *endpoint) readOne(ctx context.Context, g *group, into *tag.Batch) error {
	plan := g.onePlan()
	if plan == nil {
		return e.session.Read(ctx, g.plan, into)
	}
	if s, ok := e.session.(ReadOncer); ok {
		return s.ReadOnce(ctx, plan, into)
	}
	return e.session.Read(ctx, plan, into)
}

// onePlan returns the plan of the next tag that there is a request for, nil when there is none. It is compiled for the turn: who is asked like that is asked seldom.
func (g *group) onePlan() Plan {
	u, tags := g.unit, g.plan.Tags()
	u.mu.Lock()
	lim := u.limits
	u.mu.Unlock()
	lim.MaxTags = 1
	for range tags {
		i := int(g.one % uint32(len(tags)))
		g.one++
		plan, err := u.driver.Compile(u.addr, tags[i:i+1], lim)
		if err == nil && plan != nil && len(plan.Requests()) > 0 {
			return plan
		}
	}
	return nil
}

// missingOf returns the share of plan's tags that b has no value of.
func missingOf(b *tag.Batch, plan Plan) float64 {
	all, came := len(plan.Tags()), 0
	for _, q := range b.Quality {
		if !q.IsBad() {
			came++
		}
	}
	return float64(max(all-came, 0)) / float64(max(all, 1))
}
