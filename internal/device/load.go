package device

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// What an endpoint has to do is known before it is late: each turn of a group takes so long, and falls due so often. Their sum is its load, 1 when it has no time left. A
// group may be late with less: when its own turn and the longest of another one take longer together than its interval.
//
// Overload is shed by stretching intervals, the longest first: who wants a value once a minute bears two minutes, and what is read ten times a second keeps its pace. An
// interval is doubled, up to eightfold as a rule, before that of the next group is. It goes back in the reverse order, when there is room for twice the turns again. From when on, Shedding says.

// loadLook is how often an endpoint is looked at, at most.
const loadLook = time.Second

// loadState is how an endpoint has stood since when. It belongs to the shard.
type loadState struct {
	at      time.Duration // when it was looked at last, since the Runtime was made, as all times here
	over    time.Duration // since when it has been overloaded, 0 when it is not
	roomy   time.Duration // since when an interval could come back, 0 when none could
	crowded bool          // it was said who takes the time
	named   *unit         // of whom it was said; it may be elsewhere by now
}

// weigh notes that a turn of g took so long, and looks at the load of its endpoint now and then. came says that it brought something.
func (s *shard) weigh(e *endpoint, g *group, took time.Duration, came bool, now time.Time) {
	switch {
	case came:
		g.busy = smooth(g.busy, max(took, e.spacing(g)))
		g.waste += (g.vain - g.waste) / wasteMemory
		g.vain = 0
	case !g.unit.machine.down:
		g.vain += took
	}
	at := s.rt.age(now)
	if at-e.load.at < loadLook {
		return
	}
	e.load.at = at
	load := e.predicted()
	e.showLoad(load)
	s.crowd(e, load, now)
	s.shed(e, load, now)
}

// wasteMemory is how many turns that came waste is of, about: a reply that is lost now and then keeps an endpoint for seconds, which is no load of it.
const wasteMemory = 64

// forgive forgets the time of turns without an answer: they led to an outage, or to another address, and say nothing of what turns take.
func (u *unit) forgive() {
	for _, g := range u.groups {
		g.vain = 0
	}
}

// spacing returns how long a turn of g keeps others waiting by the rate of its endpoint alone.
func (e *endpoint) spacing(g *group) time.Duration {
	if e.perSecond == 0 {
		return 0
	}
	g.unit.mu.Lock()
	defer g.unit.mu.Unlock()
	return time.Duration(float64(g.requests) / e.perSecond * float64(time.Second))
}

// share returns what part of its endpoint's time g takes. A device that is down takes that of its probes, which nobody answers.
func (g *group) share() float64 {
	switch m := &g.unit.machine; {
	case m.state >= OutOfService:
	case m.down && g.unit.endpoint.open && g.unit.smallest() == g:
		return float64(g.unit.patience()) / float64(max(g.every, g.unit.spec.Profile.Cap))
	case !m.down && m.state.connected():
		return float64(g.busy+g.waste) / float64(g.every)
	}
	return 0
}

// patience returns how long u's next request waits for its answer.
func (u *unit) patience() time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.rto.Timeout()
}

// predicted returns the load of e: none while nothing on it is read, for then its time is nobody's.
func (e *endpoint) predicted() (load float64) {
	read := false
	for _, u := range e.units {
		read = read || u.machine.state.connected() && !u.machine.down
		for _, g := range u.groups {
			load += g.share()
		}
	}
	if !read {
		return 0
	}
	return load
}

// heaviest returns the group that takes most of e's time, nil when none takes any.
func (e *endpoint) heaviest() (most *group) {
	share := 0.0
	for _, u := range e.units {
		for _, g := range u.groups {
			if x := g.share(); x > share {
				most, share = g, x
			}
		}
	}
	return most
}

func (e *endpoint) showLoad(load float64) {
	for _, u := range e.units {
		u.mu.Lock()
		u.life.load = load
		u.mu.Unlock()
	}
}

// crowd says who takes an endpoint's time when little of it is left, which is before anything is late.
func (s *shard) crowd(e *endpoint, load float64, now time.Time) {
	g := e.heaviest()
	waits, by := e.blocked()
	unsaid := !e.load.crowded || !slices.Contains(e.units, e.load.named)
	switch {
	case g == nil:
	case unsaid && (load >= s.shedding.Crowded || e.load.crowded && load >= s.shedding.roomyAt()):
		s.sayCrowded(e, g, fmt.Sprintf("the connection of %s is busy %.0f %% of the time: %s", e.whom(), 100*load, g.burden()), now)
	case unsaid && waits != nil:
		s.sayCrowded(e, by, fmt.Sprintf("group %s of %s, which takes %v, cannot be read each %v: it has to wait for group %s of %s, which takes %v",
			waits.spec.Name, waits.unit.spec.Name, waits.busy.Round(time.Millisecond/10), waits.every, by.spec.Name, by.unit.spec.Name, by.busy.Round(time.Millisecond/10)), now)
	case e.load.crowded && load < s.shedding.roomyAt() && waits == nil:
		s.notCrowded(e)
		for _, u := range e.units {
			u.mu.Lock()
			was := u.life.loadWhy
			u.life.loadWhy = ""
			u.alter()
			u.mu.Unlock()
			if was != "" {
				s.note(u, "load", fmt.Sprintf("the connection of %s has time again: it is busy %.0f %%", e.whom(), 100*load), now)
			}
		}
	}
}

func (s *shard) sayCrowded(e *endpoint, g *group, why string, now time.Time) {
	if !e.load.crowded {
		s.rt.counters.crowded.Add(1)
	}
	e.load.crowded, e.load.named = true, g.unit
	g.unit.mu.Lock()
	g.unit.life.loadWhy = why
	g.unit.alter()
	g.unit.mu.Unlock()
	s.note(g.unit, "load", why, now)
}

// notCrowded is the end of sayCrowded.
func (s *shard) notCrowded(e *endpoint) {
	if e.load.crowded {
		e.load.crowded, e.load.named = false, nil
		s.rt.counters.crowded.Add(-1)
	}
}

// blocked returns a group that is late whenever the longest turn of another one has just begun, and that one: a turn is not broken off. Both are nil when there is none.
func (e *endpoint) blocked() (waits, by *group) {
	var longest, second *group
	for _, u := range e.units {
		for _, g := range u.groups {
			switch {
			case g.share() == 0:
			case longest == nil || g.busy > longest.busy:
				longest, second = g, longest
			case second == nil || g.busy > second.busy:
				second = g
			}
		}
	}
	for _, u := range e.units {
		for _, g := range u.groups {
			other := longest
			if g == longest {
				other = second
			}
			if other != nil && g.share() > 0 && g.busy+other.busy > g.every {
				return g, other
			}
		}
	}
	return nil, nil
}

// whom names the devices on e.
func (e *endpoint) whom() string {
	if len(e.units) == 1 {
		return e.units[0].spec.Name
	}
	return fmt.Sprintf("%s and %d more", e.units[0].spec.Name, len(e.units)-1)
}

// burden says what g asks for, or what its device is asked for that does not answer.
func (g *group) burden() string {
	if u := g.unit; u.machine.down {
		return fmt.Sprintf("%s, which is silent, takes %.0f %%, %v each time that it is tried", u.spec.Name, 100*g.share(), u.patience().Round(time.Millisecond/10))
	}
	return fmt.Sprintf("group %s of %s takes %.0f %%, %v each %v", g.spec.Name, g.unit.spec.Name, 100*g.share(), (g.busy + g.waste).Round(time.Millisecond/10), g.every)
}

// shed stretches intervals of an endpoint that has been overloaded for some time, and lets them come back.
func (s *shard) shed(e *endpoint, load float64, now time.Time) {
	if load <= s.shedding.Overload || e.alone() {
		e.load.over = 0
		s.unshed(e, load, now)
		return
	}
	e.load.roomy = 0
	if e.load.over == 0 {
		e.load.over = e.load.at
	}
	if e.load.at-e.load.over < s.shedding.After {
		return
	}
	why := fmt.Sprintf("its connection is overloaded: the turns of all groups take %.0f %% of the time", 100*load)
	for load > s.shedding.shedTo() {
		g := e.slowest(s.shedding.doublings())
		if g == nil {
			return // all is stretched as far as it may be: what is missed is counted
		}
		was := g.share()
		g.shed++
		s.rt.counters.shed.Add(1)
		s.retime(g, why, now)
		load += g.share() - was
	}
	e.load.over = 0
}

// alone says whether one group has e to itself. It is in nobody's way: it is read as often as can be, and what is missed is counted.
func (e *endpoint) alone() bool {
	n := 0
	for _, u := range e.units {
		for _, g := range u.groups {
			if g.share() > 0 {
				n++
			}
		}
	}
	return n < 2
}

// slowest returns the group of e with the longest interval of those that are doubled less than so often; of equal ones that which is doubled least.
func (e *endpoint) slowest(most int) (slowest *group) {
	for _, u := range e.units {
		for _, g := range u.groups {
			if int(g.shed) < most && g.share() > 0 && !u.machine.down && u.scout.of == nil && (slowest == nil || g.goesBefore(slowest)) {
				slowest = g
			}
		}
	}
	return slowest
}

// goesBefore says whether g is stretched before o is, and comes back behind it.
func (g *group) goesBefore(o *group) bool {
	if g.spec.Interval != o.spec.Interval {
		return g.spec.Interval > o.spec.Interval
	}
	return g.shed < o.shed
}

// unshed lets the interval come back that was stretched last, when there has been room for it for some time.
func (s *shard) unshed(e *endpoint, load float64, now time.Time) {
	var last *group
	for _, u := range e.units {
		for _, g := range u.groups {
			if g.shed > 0 && (last == nil || last.goesBefore(g)) {
				last = g
			}
		}
	}
	switch {
	case last == nil || load+last.share() > s.shedding.returnTo() && !(e.alone() && last.share() > 0): // half the interval takes twice the share
		e.load.roomy = 0
	case e.load.roomy == 0:
		e.load.roomy = e.load.at
	case e.load.at-e.load.roomy >= s.shedding.Back:
		e.load.roomy = 0
		last.shed--
		s.retime(last, "its connection has time again", now)
	}
}

// Stretch makes the intervals of a device factor times what is configured, from 1, which is as configured. What overload asks for beyond it goes on. An unknown name is an
// *UnknownError.
func (r *Runtime) Stretch(device string, factor float64, reason string) error {
	if !(factor >= 1 && factor <= mostStretch) {
		return fmt.Errorf("device %s: intervals can be stretched 1 to %d times, not %v", device, mostStretch, factor)
	}
	u := r.unit(device)
	if u == nil {
		return &UnknownError{Name: device}
	}
	r.mail.call(func(s *shard) {
		if u.stretch == factor || u.stretch == 0 && factor == 1 {
			return
		}
		now := time.Now()
		u.stretch, u.stretchWhy = factor, reason
		u.mu.Lock()
		u.life.asked, u.life.askedWhy = factor, reason
		u.alter()
		u.mu.Unlock()
		for _, g := range u.groups {
			s.keep(g, now)
		}
		s.showStretch(u)
		s.note(u, "stretch", stretched(factor)+": "+reason, now)
	})
	return nil
}

// mostStretch is how far Stretch goes.
const mostStretch = 1000

func stretched(factor float64) string {
	if factor == 1 {
		return "its intervals are as configured again"
	}
	return fmt.Sprintf("its intervals are %g times what is configured", factor)
}

// factor returns how many times its interval g keeps: what was asked for by name, or what overload asks for.
func (s *shard) factor(g *group) float64 {
	return max(g.unit.stretch, math.Exp2(float64(g.shed)+float64(s.pressure.shed(g.spec.Interval))), 1)
}

// retime has g keep the interval that its shed says, and tells why.
func (s *shard) retime(g *group, why string, now time.Time) {
	was := g.every
	s.keep(g, now)
	if g.every == was {
		return // it is stretched further by name
	}
	g.unit.shedWhy = why
	s.showStretch(g.unit)
	s.note(g.unit, "stretch", fmt.Sprintf("group %s is read each %v in place of %v: %s", g.spec.Name, g.every, was, why), now)
}

// keep makes g's interval what its factor says.
func (s *shard) keep(g *group, now time.Time) {
	every := time.Duration(float64(g.spec.Interval) * s.factor(g))
	if every == g.every {
		return
	}
	g.every = every
	if g.due.IsZero() || g.timer.pos == 0 {
		g.due = time.Time{} // it begins on its schedule when it is polled
		return
	}
	g.due = g.firstDue(now)
	s.timers.arm(&g.timer, g.due)
}

// showStretch puts into u's Status how far its intervals are stretched.
func (s *shard) showStretch(u *unit) {
	factor, why := 1.0, ""
	for _, g := range u.groups {
		factor = max(factor, s.factor(g))
	}
	switch {
	case factor == 1:
		u.shedWhy = ""
	case factor == u.stretch:
		why = u.stretchWhy
	default:
		why = u.shedWhy
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	switch was := u.life.stretch > 1; {
	case !was && factor > 1:
		s.rt.counters.stretched.Add(1)
	case was && factor == 1:
		s.rt.counters.stretched.Add(-1)
	}
	u.life.stretch, u.life.stretchWhy = factor, why
	for _, g := range u.groups {
		g.kept = g.every
	}
	u.alter()
}

// settleIn has u, which is new, keep the intervals that its predecessor was told to, and that overload asks for.
func (s *shard) settleIn(u *unit, now time.Time) {
	u.mu.Lock()
	u.stretch, u.stretchWhy = u.life.asked, u.life.askedWhy
	u.mu.Unlock()
	for _, g := range u.groups {
		s.keep(g, now)
	}
	s.showStretch(u)
}

// unweigh takes u, which goes, out of what is counted.
func (s *shard) unweigh(u *unit) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.life.stretch > 1 {
		s.rt.counters.stretched.Add(-1)
	}
	u.life.stretch, u.life.load, u.life.loadWhy = 1, 0, ""
	u.alter()
}
