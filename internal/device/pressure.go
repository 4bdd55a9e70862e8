package device

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// When the gateway itself is late, since it has too little of a processor, all endpoints are. That shows in how long after their due times groups are looked at, whatever
// their devices do. The same rule sheds it as on one endpoint: all groups of the longest interval are stretched, then those of the next.
const (
	onTime   = 0.02 // of the shortest interval that is kept, on average: intervals may come back
	mostWait = 20   // times Shedding.Back, which is doubled each time that an interval that came back did not last
	lasted   = 10   // times that, which it has to last for
)

// pressure is how late the scheduler is, looked at once a second while something falls due. It is pure: shard.press does what it says.
type pressure struct {
	Shedding
	fires int           // since it was looked at last
	late  time.Duration // by which they came after their due times, together
	at    time.Time     // when it was looked at last

	above, below int // looks in a row: late, on time
	back         int // looks since an interval came back, 0 when none has since the last was stretched
	wait         int // looks on time before one comes back; 0 is as Back says
	said         bool
	steps        map[time.Duration]int // doublings by configured interval; none is missing
}

type pressureAct uint8

const (
	pressNone pressureAct = iota
	pressSay
	pressShed
	pressReturn
	pressOver // it is not late any more
)

// observe notes that a group was looked at so long after its due time.
func (p *pressure) observe(late time.Duration) {
	p.fires++
	p.late += late
}

// look judges what was observed since the last look: mean is how late groups came, shortest the shortest interval that is kept.
func (p *pressure) look(mean, shortest time.Duration) pressureAct {
	share := float64(mean) / float64(max(shortest, 1))
	after, back := looks(p.After), looks(p.Back)
	p.above, p.below = follow(p.above, share >= p.lateAt()), follow(p.below, share <= onTime)
	p.back = follow(p.back, p.back > 0)
	switch {
	case p.above >= after && share >= p.Late && p.doublings() > 0:
		if p.back > 0 && p.back < lasted*back {
			p.wait = min(2*max(p.wait, back), mostWait*back)
		}
		p.above, p.back, p.said = 0, 0, true
		return pressShed
	case p.above >= after && !p.said:
		p.said = true
		return pressSay
	case p.below >= max(p.wait, back) && len(p.steps) > 0:
		p.below, p.back = 0, 1
		return pressReturn
	case p.below >= back && p.said && len(p.steps) == 0 && (p.back == 0 || p.back >= lasted*back):
		p.said = false
		p.wait = 0
		return pressOver
	}
	return pressNone
}

func follow(n int, goesOn bool) int {
	if goesOn {
		return n + 1
	}
	return 0
}

// shed returns how often an interval is doubled.
func (p *pressure) shed(interval time.Duration) int { return p.steps[interval] }

// step doubles the longest of intervals that may be doubled, and returns which; 0 when there is none.
func (p *pressure) step(intervals []time.Duration) time.Duration {
	for _, interval := range slices.Backward(intervals) {
		if p.steps[interval] < p.doublings() {
			if p.steps == nil {
				p.steps = map[time.Duration]int{}
			}
			p.steps[interval]++
			return interval
		}
	}
	return 0
}

// stepBack takes the last step back, and returns of which interval it was.
func (p *pressure) stepBack() time.Duration {
	interval := slices.Min(slices.Collect(maps.Keys(p.steps)))
	if p.steps[interval]--; p.steps[interval] == 0 {
		delete(p.steps, interval)
	}
	return interval
}

// press looks at the scheduler's own lateness.
func (s *shard) press(now time.Time) {
	p := &s.pressure
	if p.fires == 0 || now.Sub(p.at) < loadLook {
		return
	}
	mean := p.late / time.Duration(p.fires)
	p.fires, p.late, p.at = 0, 0, now
	s.rt.counters.schedulerLate.Store(int64(mean))
	if mean < minInterval && !p.said {
		p.above = 0
		return // as a rule: the groups are not gone through
	}
	shortest, intervals, busiest := s.polled()
	if busiest == nil {
		return
	}
	switch p.look(mean, shortest) {
	case pressSay:
		s.tellPressure(busiest, fmt.Sprintf("the gateway looks at groups %v after they fall due: %s", mean.Round(time.Millisecond), s.culprit(busiest)), now)
	case pressShed:
		if interval := p.step(intervals); interval > 0 {
			s.rt.counters.shed.Add(s.stretchAll(interval, now))
			s.tellPressure(busiest, fmt.Sprintf("the gateway looks at groups %v after they fall due: those of %v are read each %v now; %s",
				mean.Round(time.Millisecond), interval, interval<<p.steps[interval], s.culprit(busiest)), now)
		}
	case pressReturn:
		interval := p.stepBack()
		s.stretchAll(interval, now)
		s.tellPressure(busiest, fmt.Sprintf("the gateway has time again: groups of %v are read each %v now", interval, interval<<p.steps[interval]), now)
	case pressOver:
		s.tellPressure(nil, "", now)
	case pressNone:
	}
}

// polled returns the shortest interval that is kept, all configured ones in order, and the group of the device that falls due most often.
func (s *shard) polled() (shortest time.Duration, intervals []time.Duration, busiest *group) {
	seen := map[time.Duration]bool{}
	for _, e := range s.endpoints {
		for _, u := range e.units {
			if !u.machine.state.polled() || u.scout.of != nil {
				continue
			}
			for _, g := range u.groups {
				seen[g.spec.Interval] = true
				if shortest == 0 || g.every < shortest {
					shortest = g.every
				}
				if busiest == nil || g.every < busiest.every || g.every == busiest.every && g.timer.order < busiest.timer.order {
					busiest = g
				}
			}
		}
	}
	return shortest, slices.Sorted(maps.Keys(seen)), busiest
}

// culprit says which groups ask for most: those of one name count together, as they come from one template as a rule.
func (s *shard) culprit(g *group) string {
	n, perSecond := 0, 0.0
	for _, e := range s.endpoints {
		for _, u := range e.units {
			for _, o := range u.groups {
				if o.spec.Name == g.spec.Name && u.machine.state.polled() {
					n++
					perSecond += 1 / o.every.Seconds()
				}
			}
		}
	}
	return fmt.Sprintf("group %s, of %d devices, is read %.0f times a second, as of %s each %v", g.spec.Name, n, perSecond, g.unit.spec.Name, g.every)
}

// stretchAll has all groups of an interval keep what it is now, and returns how many they are.
func (s *shard) stretchAll(interval time.Duration, now time.Time) (n uint64) {
	for _, e := range s.endpoints {
		for _, u := range e.units {
			for _, g := range u.groups {
				if g.spec.Interval == interval && u.scout.of == nil {
					s.keep(g, now)
					u.shedWhy = "the gateway is late"
					s.showStretch(u)
					n++
				}
			}
		}
	}
	return n
}

// Overload says why the gateway is late with what it does itself, "" when it is not.
func (r *Runtime) Overload() string {
	if why := r.pressure.Load(); why != nil {
		return *why
	}
	return ""
}

// tellPressure says what is the matter, as an event of the device that asks for most; "" is that nothing is.
func (s *shard) tellPressure(g *group, why string, now time.Time) {
	s.rt.pressure.Store(&why)
	if g != nil {
		s.note(g.unit, "load", why, now)
	}
}
