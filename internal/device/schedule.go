package device

import (
	"errors"
	"slices"
	"time"
)

var (
	errSilent   = errors.New("nothing on its connection answers")
	errSlots    = errors.New("its connections are more than its slots")
	errSessions = errors.New("the gateway has as many connections open as it may")
)

// attach gives u its endpoint, which may be new. All units are attached before the first of them dials: what each of them says of its endpoint
// counts.
func (s *shard) attach(u *unit) {
	s.hold(u)
	e := s.endpoint(u, u.key)
	u.endpoint = e
	u.mu.Lock()
	u.link, u.count = &e.link, &e.count
	u.alter()
	u.mu.Unlock()
	e.units = append(e.units, u)
	e.unsettled = true
}

// settle reckons what the units say that e has now. Who attaches several does it behind the last of them: with thousands on one endpoint the schedule of all others would wait.
func (s *shard) settle(e *endpoint) {
	if e.unsettled {
		e.unsettled = false
		e.settle()
	}
}

// add starts u.
func (s *shard) add(u *unit, now time.Time) {
	e := u.endpoint
	if len(u.table.outOfService()) > 0 {
		e.push(job{kind: jobMark, unit: u, mark: markTagsOut})
	}
	if s.draining {
		s.remove(u, now)
		return
	}
	s.settleIn(u, now)
	if !s.service(u, now) {
		s.post(u, event{kind: evTick, at: now}, nil)
	}
	s.next(e, now)
}

func (s *shard) newEndpoint(u *unit, key string) *endpoint {
	e := &endpoint{rt: s.rt, key: key}
	e.timer = timer{owner: e, order: uint64(u.spec.Number) << 16}
	e.label = s.labels(u.spec.Name)
	s.endpoints[e.key] = e
	s.rt.counters.endpoints.Add(1)
	s.launch(e)
	return e
}

// service puts u out of service or back as it should be, and says whether it is out.
func (s *shard) service(u *unit, now time.Time) bool {
	out := u.outOfService() || u.actives() == 0
	switch {
	case out:
		s.post(u, event{kind: evOut, at: now}, nil)
	case u.machine.state == OutOfService:
		s.post(u, event{kind: evIn, at: now}, nil)
	}
	return out
}

// remove lets go of u. A turn that runs may end, within drainWithin.
func (s *shard) remove(u *unit, now time.Time) {
	e := u.endpoint
	u.dropWishes()
	if u.machine.state < Draining {
		e.leaving++
	}
	s.post(u, event{kind: evDrain, at: now}, nil)
	s.stepAll()
	s.timers.arm(&u.timer, now.Add(drainWithin))
	s.forgoDial(e)
	s.reapLater(e)
	s.tend(u)
}

// reapLater has e reaped at the end of the shard's round, once for all of its devices that go.
func (s *shard) reapLater(e *endpoint) {
	if !e.left {
		e.left = true
		s.left = append(s.left, e)
	}
}

func (s *shard) drain(now time.Time) {
	s.draining = true
	for _, e := range s.endpoints {
		for _, u := range slices.Clone(e.units) {
			s.remove(u, now)
		}
	}
}

// interrupt ends the context of the job that runs, and gives e a new one.
func (s *shard) interrupt(e *endpoint) {
	e.cancel()
	s.launch(e)
}

// reap lets go of those of e's devices that have drained, and of e with the last of them.
func (s *shard) reap(e *endpoint) {
	if len(e.units) > 0 && e.leaving == 0 {
		return
	}
	now, gone := time.Now(), 0
	for _, u := range e.units {
		last := gone == len(e.units)-1
		if u.machine.state != Draining || e.busy && e.job.unit == u || last && (e.busy || len(e.queue) > 0) {
			continue
		}
		s.step(u, event{kind: evGone, at: now}, nil)
		s.timers.disarm(&u.timer)
		s.timers.disarm(&u.standby)
		s.unweigh(u)
		s.timers.disarm(&u.watch)
		s.release(u)
		gone++
	}
	e.leaving -= gone
	e.units = slices.DeleteFunc(e.units, func(u *unit) bool { return u.machine.state == Closed })
	if len(e.units) == 0 {
		s.notCrowded(e)
	}
	if len(e.units) > 0 || e.holders > 0 || e.busy || len(e.queue) > 0 {
		e.settle()
		return
	}
	e.forget()
	if s.endpoints[e.key] == e {
		s.timers.disarm(&e.timer)
		s.quit(e)
		e.cancel()
		e.slots.SetLimit(0)
		e.halfOpen = 0
		e.showSlots()
		delete(s.endpoints, e.key)
		s.rt.counters.endpoints.Add(-1)
	}
}

// fire is the end of Cooling, or the deadline of Draining.
func (u *unit) fire(s *shard, now time.Time) {
	if u.machine.state == Draining {
		if e := u.endpoint; e.busy && (e.job.unit == u || len(e.units) == 1) {
			e.forgone = e.job.kind == jobOpen
			s.interrupt(e)
		}
		return
	}
	s.post(u, event{kind: evTick, at: now}, nil)
}

// fire is a due time of g. One that comes while the last turn still runs, or waits, is missed: it is counted, not queued.
func (g *group) fire(s *shard, now time.Time) {
	due := g.due
	if now.Before(due) { // what a read left out is read again meanwhile
		s.enqueue(g, time.Time{}, now.Add(g.every))
		s.timers.arm(&g.timer, due)
		s.due = append(s.due, g.unit.endpoint)
		return
	}
	s.pressure.observe(now.Sub(due))
	g.due = due.Add(g.every)
	missed := g.skip(now)
	if g.queued {
		missed++
	} else {
		s.enqueue(g, due, g.due)
	}
	g.miss(missed)
	s.timers.arm(&g.timer, g.due)
	s.due = append(s.due, g.unit.endpoint)
}

// fire is when the first job in the queue may start.
func (e *endpoint) fire(s *shard, now time.Time) { s.next(e, now) }

// resume puts u's groups on schedule and reads at once what is overdue.
func (s *shard) resume(u *unit, now time.Time) {
	for _, g := range u.groups {
		if !g.reads() {
			continue
		}
		if g.due.IsZero() {
			g.due, g.owed = g.firstDue(now), true
		} else if n := g.skip(now); n > 0 {
			g.owed = true
			g.miss(n)
		}
		s.timers.arm(&g.timer, g.due)
		if g.owed {
			s.enqueue(g, time.Time{}, now.Add(g.every))
		}
	}
}

// enqueue has g read before others whose deadline is later than by. due is zero for a turn that is not on schedule.
func (s *shard) enqueue(g *group, due, by time.Time) {
	if g.queued || !g.reads() {
		return
	}
	g.queued = true
	g.unit.endpoint.push(job{kind: jobRead, unit: g.unit, group: g, due: due, by: by, less: g.less})
	g.less = false
}

// beginDue starts what fell due at this wake-up, on the endpoint with the earliest deadline first: when the gateway is late itself, groups with short intervals have the
// least time left.
func (s *shard) beginDue(now time.Time) {
	if len(s.due) > 1 {
		slices.SortStableFunc(s.due, func(a, b *endpoint) int { return a.deadline().Compare(b.deadline()) })
	}
	for i, e := range s.due {
		s.next(e, now)
		s.stepAll()
		s.due[i] = nil
	}
	s.due = s.due[:0]
}

// rouse has g read what waits for it. While it is not polled nothing is lost: with the first turn comes what waits by then.
func (s *shard) rouse(g *group, now time.Time) {
	if g.queued {
		g.again = true
		return
	}
	if g.unit.machine.state.polled() {
		s.enqueue(g, time.Time{}, now) // it is there already, and costs the device nothing
		s.next(g.unit.endpoint, now)
	}
}

// want asks for a session on behalf of u.
func (s *shard) want(u *unit, now time.Time) {
	e := u.endpoint
	if u.moving {
		return // it asks where it goes
	}
	if e.open && e.held > e.slots.Limit() {
		s.hangUp(e, errSlots, now, false) // the configuration has fewer now
	}
	switch {
	case e.open:
		s.post(u, event{kind: evOpened, at: now}, nil)
	case now.Before(e.retryAt):
		s.post(u, event{kind: evRefused, at: now, until: e.retryAt}, e.cause)
	default:
		u.waiting = true
		if !e.dialling {
			s.askDial(e, u, now)
		}
	}
}

// leave is u letting go of e's session, which ends unless another device is on it. When u is silent the other one must have been read
// meanwhile: then u is silent alone, else the connection is dead.
func (s *shard) leave(u *unit, now time.Time) {
	e := u.endpoint
	stays := e.answers(u)
	silent := u.machine.state == Cooling || u.machine.state == Opening && !u.machine.failing.IsZero()
	if !silent {
		stays = slices.ContainsFunc(e.units, func(o *unit) bool { return o != u && o.machine.state.connected() })
	}
	if e.open && !stays {
		s.hangUp(e, errSilent, now, silent)
	}
}

// answers says whether a device other than u was read on e since u began to fail.
func (e *endpoint) answers(u *unit) bool {
	return slices.ContainsFunc(e.units, func(o *unit) bool {
		return o != u && o.machine.state.connected() && o.lastOK.After(u.machine.failing)
	})
}

// hangUp ends e's session, and tells the devices that held on to it. With keep what the device has for the session may be gone on with later.
func (s *shard) hangUp(e *endpoint, cause error, now time.Time, keep bool) {
	e.open = false
	if k, is := FaultOf(cause, false); is && k == FaultUnheard {
		e.unheardOf = true
	}
	e.push(job{kind: jobClose, keep: keep})
	var asked *errReconnect
	lost := event{kind: evLost, at: now, asked: errors.As(cause, &asked)}
	if cause != nil && !lost.asked && e.unproven(now) {
		e.breaker.Fail(now, false) // no pause from it: the machines take it as a failed try, or dial, which is the next one to count
	}
	for _, o := range e.units {
		if o.machine.state.connected() {
			e.flush(o)
			s.post(o, lost, cause)
		}
	}
}

// next starts the first job of e's queue when none runs and it may.
func (s *shard) next(e *endpoint, now time.Time) {
	if s.beginErrand(e, now) {
		return
	}
	for !e.busy && len(e.queue) > 0 {
		j := &e.queue[0]
		if j.kind == jobRead && j.at.IsZero() {
			j.at = e.turnAt(j.group, now)
		}
		if j.at.After(now) {
			s.timers.arm(&e.timer, j.at)
			return
		}
		s.timers.disarm(&e.timer)
		s.begin(e, e.pop())
	}
}

// turnAt reserves a turn for all of g's requests and returns when it may start.
func (e *endpoint) turnAt(g *group, now time.Time) time.Time {
	g.unit.mu.Lock()
	n := g.requests
	g.unit.mu.Unlock()
	if now.Before(e.notBefore) {
		now = e.notBefore
	}
	return e.rate.Reserve(now, n)
}

// begin hands j to a goroutine. A dial that nobody waits for any more is not made.
func (s *shard) begin(e *endpoint, j job) {
	if j.kind == jobOpen {
		i := slices.IndexFunc(e.units, func(u *unit) bool { return u.waiting })
		if i < 0 {
			e.dialling = false
			return
		}
		if !s.takeSlots(e) {
			s.dialFailed(e, errSessions, time.Now())
			return
		}
		j.unit = e.units[i]
		e.dialAt, e.unheard, e.forgone = time.Now(), true, false
	}
	if j.kind == jobRead {
		e.inRow = 0
		j.grow = s.mayGrow(e, time.Now())
	}
	e.busy, e.job, e.begun = true, j, time.Now()
	s.watch(e, &j, time.Now())
	s.jobs.Add(1)
	go e.start()
}

// ended takes what became of e's job. What follows from it may begin the next one at once, which has e.job and e.outcome from then on.
func (s *shard) ended(e *endpoint) {
	j, took, at := e.job, e.outcome.ended.Sub(e.begun), e.outcome.ended
	came := e.outcome.err == nil || e.outcome.part
	e.busy = false
	s.unwatch(e)
	switch j.kind {
	case jobOpen:
		s.dialled(e)
	case jobRead:
		s.turned(e, j.group)
		s.weigh(e, j.group, took, came, at)
	case jobClose:
		s.closed(e)
	case jobMark:
		if x := j.errand; x != nil {
			close(x.done)
			break
		}
		s.marked(j, at)
	case jobErrand:
		s.errandEnded(e)
	}
	if u := j.unit; u != nil && u.moving {
		s.moved(u, at)
	}
}

// marked makes the device read what was marked as soon as it can be read, whatever its interval.
func (s *shard) marked(j job, now time.Time) {
	u := j.unit
	if j.mark != markTagsOut {
		for _, g := range u.groups {
			g.owed = true
		}
		return
	}
	if j.group != nil {
		j.group.owed = true
	}
	if u.machine.state < Draining {
		s.serviceChanged(u, now)
	}
}

// serviceChanged follows a change of which tags are in service, after the plans were made anew.
func (s *shard) serviceChanged(u *unit, now time.Time) {
	if !s.service(u, now) && u.machine.state.polled() {
		s.resume(u, now)
	}
}

// turned takes what became of a turn. A fault of the transport is the device's, one that ended the session is of all devices on it.
func (s *shard) turned(e *endpoint, g *group) {
	u, o := g.unit, e.outcome
	g.queued = false
	if u.moving && o.err != nil {
		g.owed = true // it is asked where it goes; what it asked here is nobody's fault but the one that it leaves for
		return
	}
	if o.err == nil {
		g.mine = false
		s.judge(g, o.said)
	}
	defer s.once(g, o.ended)
	e.share(u)
	ev := event{at: o.ended}
	switch {
	case o.err == nil && !g.asks():
		g.owed = false // it said something without asking the device
		if u.machine.state == Suspect {
			s.post(u, event{kind: evTick, at: o.ended}, nil) // it was the probe, and its last tag was taken out of service meanwhile: the next one decides
		}
		return
	case o.err == nil:
		ev.kind, ev.barren = evReplied, o.barren
	case o.part:
		ev.kind = evPartial
	case timedOut(o.err) && s.overslept(g, e.begun, o.ended):
		s.readAgain(g, o.ended)
		return
	case timedOut(o.err):
		ev.kind = evTimedOut
	default:
		g.owed = true
		cause := o.err
		if e.unheard {
			cause = e.whose(cause, o.ended) // protocols without a handshake turn us away so
		}
		u.cause = cause
		if e.open {
			s.hangUp(e, cause, o.ended, true)
		}
		return
	}
	if ev.kind == evTimedOut && e.unheard {
		s.notOpened(e, e.opened, o.ended)
	}
	e.unheard = false
	came := ev.kind != evTimedOut
	g.owed = !came || e.job.lesser() && g.failed < atOnceTries // one tag came, the others are as old as before
	if came {
		u.lastOK = o.ended
		if !e.unproven(o.ended) && !e.proven {
			e.proven = true
			e.breaker.OK(o.ended, false, false)
		}
		e.reached()
		s.foretell(u, o.sign, o.ended)
		if o.ended.Sub(e.opened) >= e.profile.Floor {
			e.backoff.Reset() // not with the open: one that accepts and hangs up is dialled as seldom as one that refuses
		}
	} else if e.answers(u) {
		ev.until = o.ended.Add(u.spec.Profile.Cap) // no jitter needed, there is no dial: it takes its time from the others as seldom as allowed
	}
	if ev.kind == evPartial {
		s.repeat(u, g, o.ended)
	}
	s.post(u, ev, s.appraise(g, &ev, &o))
}

// once has g read once more when values came during its turn.
func (s *shard) once(g *group, now time.Time) {
	if g.again {
		g.again = false
		s.rouse(g, now)
	}
}

// repeat has g read again before its due time when that is far away: part of it is not known now.
func (s *shard) repeat(u *unit, g *group, now time.Time) {
	if at := now.Add(u.spec.Profile.Cap); u.machine.state.polled() && at.Before(g.due) {
		s.timers.arm(&g.timer, at)
	}
}
