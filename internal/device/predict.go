package device

import (
	"fmt"
	"time"

	"millrace/internal/resilience"
)

// A suspicion is that a device is about to go away. It has a standby opened on another address, and by silence the device may go there before its breaker has seen enough. It makes no value
// bad and takes nothing from the schedule: what is not there is the machine's to say.

// lives takes a sign of life, a turn of g that came, and returns what the round trips of its device point to. The turn calls it.
func (g *group) lives(rt *Runtime, now time.Time) resilience.Sign {
	u := g.unit
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.reckoned {
		u.reckoned = false
		u.alter() // who was told of a silence hears of its end
	}
	if g.requests == 0 {
		return resilience.NoSign // nobody was asked, and nobody looks at it
	}
	u.excuse(rt)
	u.predictor.Beat(rt.age(now))
	_, sign := u.predictor.Judge(u.spec.Prediction)
	return sign
}

// foretell takes what a turn of u pointed to.
func (s *shard) foretell(u *unit, sign resilience.Sign, now time.Time) {
	if sign != u.sign {
		s.suspect(u, sign, now)
	}
	if len(u.lanes) > 0 && u.watch.pos == 0 && !u.spec.Prediction.Off {
		s.timers.arm(&u.watch, s.lookAgain(u.late(), now))
	}
}

// suspect notes what points to u's going away, if anything does any more, and has a standby opened.
func (s *shard) suspect(u *unit, sign resilience.Sign, now time.Time) {
	begins := u.sign == resilience.NoSign
	u.sign = sign
	u.mu.Lock()
	text := u.pointsTo(sign, s.rt.age(now))
	u.life.suspicion = text
	u.alter()
	u.mu.Unlock()
	if sign == resilience.NoSign || u.scout.of != nil {
		return
	}
	if begins {
		s.rt.counters.suspicions.Add(1)
	}
	if !u.machine.choice.pinned {
		s.wantStandby(u, text, now)
	}
}

// pointsTo says in plain words what a sign of u is at that age of the Runtime. The caller holds u.mu.
func (u *unit) pointsTo(sign resilience.Sign, at time.Duration) string {
	p := &u.predictor
	switch sign {
	case resilience.NoSign:
	case resilience.Deviation:
		return fmt.Sprintf("its round trips stray by %v from what is usual", p.Strays().Round(time.Millisecond))
	case resilience.Decay:
		return fmt.Sprintf("its round trips grow by %v a second", p.Growth().Round(time.Millisecond))
	case resilience.Silence:
		return fmt.Sprintf("it has been silent for %v, and answers each %v as a rule", (at - p.Heard()).Round(100*time.Millisecond), p.Mean().Round(10*time.Millisecond))
	}
	return ""
}

// interval is pollEvery for those who do not hold u.mu.
func (u *unit) interval() time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.pollEvery()
}

// late returns at which age of the Runtime u's silence will be a sign, 0 when nothing is known.
func (u *unit) late() time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.predictor.Late(u.pollEvery(), u.spec.Prediction)
}

// How soon and how late silence is looked at again.
const (
	lookAtLeast = 10 * time.Millisecond
	lookAtMost  = time.Minute
)

// lookAgain returns when a silence that will be a sign at that age of the Runtime is to be looked at, always after now.
func (s *shard) lookAgain(late time.Duration, now time.Time) time.Time {
	return now.Add(min(max(late-s.rt.age(now), lookAtLeast), lookAtMost))
}

// pollEvery returns how often u is polled: the interval of its fastest group that has anything to ask, stretched as it is. The caller holds u.mu.
func (u *unit) pollEvery() time.Duration {
	least := time.Duration(0)
	for _, g := range u.groups {
		if g.requests > 0 && (least == 0 || g.spec.Interval < least) {
			least = g.spec.Interval
		}
	}
	return time.Duration(float64(least) * max(u.life.stretch, 1))
}

// foreseen returns phi and the suspicion as they are at that age of the Runtime. The caller holds u.mu.
func (u *unit) foreseen(rt *Runtime, at time.Duration) (phi float64, suspicion string) {
	set := u.spec.Prediction.WithDefaults()
	if !u.life.state.connected() || set.Off {
		return 0, ""
	}
	u.excuse(rt)
	phi = u.predictor.Phi(at, u.pollEvery(), set)
	if u.life.suspicion == "" && phi >= set.Phi { // nobody looks after the silence of a device that has nowhere to go
		u.reckoned = true
		return phi, u.pointsTo(resilience.Silence, at)
	}
	return phi, u.life.suspicion
}

// watch is when the silence of a device that has somewhere to go is to be looked at.
type watch struct{ unit *unit }

func (w watch) fire(s *shard, now time.Time) {
	u := w.unit
	if !u.machine.state.connected() {
		return // it is known to be away, or is not asked
	}
	at := s.rt.age(now)
	u.mu.Lock()
	u.excuse(s.rt)
	every := u.pollEvery()
	late := u.predictor.Late(every, u.spec.Prediction)
	verdict, sign := resilience.Well, resilience.NoSign
	if every > 0 && at >= late {
		verdict, sign = u.predictor.Look(at, every, u.spec.Prediction)
	}
	u.mu.Unlock()
	switch {
	case late == 0, every == 0: // nothing is known, or asked for: the next turn that comes has it looked at again
		return
	case verdict == resilience.Well:
		s.timers.arm(&u.watch, s.lookAgain(late, now))
		return
	}
	s.suspect(u, sign, now)
	if verdict == resilience.Down {
		s.flee(u, now)
	}
	s.timers.arm(&u.watch, now.Add(every))
}

// flee has u go to an address where a standby answers, when something else says too that it is down, or nothing can.
func (s *shard) flee(u *unit, now time.Time) {
	n := u.refuge()
	if n < 0 || u.machine.choice.pinned || u.moving {
		return
	}
	why, ok := s.witness(u, now)
	if !ok {
		return
	}
	u.mu.Lock()
	text := u.life.suspicion
	u.mu.Unlock()
	s.post(u, event{kind: evRoute, at: now, route: n, why: text + why}, nil)
}

// refuge returns the address of u where a standby answers, -1 when there is none.
func (u *unit) refuge() int {
	for n := range u.lanes {
		if c := u.lanes[n].scout; c != nil && c.machine.state.polled() && c.scout.passes > 0 {
			return n
		}
	}
	return -1
}

// witness returns what a second source says of u's silence, and whether it may be taken for the device's end. The connection itself is the first that is asked: while the system at the other end
// acknowledges what is sent, there is somebody, and another address may lead to the same one. Without it the neighbours are; that they are well too says nothing.
func (s *shard) witness(u *unit, now time.Time) (why string, ok bool) {
	u.mu.Lock()
	heard := now.Add(u.predictor.Heard() - s.rt.age(now))
	u.mu.Unlock()
	switch t := u.endpoint.link.read(); {
	case t.At.IsZero():
	case !t.At.After(heard):
		return "", false // it was not looked at since: the next look at the silence comes soon
	case t.Backoff > 0:
		return ", and what is sent to it is not acknowledged", true
	case t.Unacked > 0 && t.LastAck > t.Timeout:
		return ", and what is sent to it is not acknowledged", true
	default:
		return "", false
	}
	if n := s.silentNeighbours(u, now); n > 0 {
		return fmt.Sprintf("; so have neighbours in its subnet, %d of them", n), true
	}
	return "", true
}

// mostNeighbours is how many endpoints are looked at for neighbours: of thousands a few are as good a witness as all.
const mostNeighbours = 256

// silentNeighbours returns how many others in u's subnet were well and are silent, and 0 when one of them answers.
func (s *shard) silentNeighbours(u *unit, now time.Time) int {
	silent, looked := 0, 0
	for _, e := range s.endpoints {
		if looked++; looked > mostNeighbours {
			break
		}
		if e == u.endpoint || e.subnet == nil || e.subnet != u.endpoint.subnet {
			continue
		}
		for _, o := range e.units {
			switch {
			case o.scout.of != nil || o.lastOK.IsZero() || o.machine.down:
			case now.Sub(o.lastOK) < 2*o.interval():
				return 0
			default:
				silent++
			}
		}
	}
	return silent
}
