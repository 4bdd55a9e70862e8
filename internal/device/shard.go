package device

import (
	"context"
	"runtime/pprof"
	"sync"
	"time"

	"millrace/ctxguard"
	"millrace/internal/resilience"
)

// drainWithin is how long a turn that runs may go on after its device was told to go.
const drainWithin = 10 * time.Second

// shard is the scheduler: one goroutine that owns all deadlines, all machines and all queues, and never waits for a device. What
// blocks runs in a goroutine of its endpoint, which reports back by mail.
type shard struct {
	rt        *Runtime
	launch    func(*endpoint) // gives it a context and start
	labels    func(device string) (set func())
	timers    timers
	endpoints map[string]*endpoint
	dials     ofAll
	subnets   map[string]*subnet
	sockets   resilience.Slots // of all endpoints together
	events    []posted         // to be stepped, in order
	tending   []*unit          // whose scouts are to be looked at
	left      []*endpoint      // that may be idle now
	shedding  Shedding
	pressure  pressure
	due       []*endpoint // whose groups fell due at this wake-up
	slept     slept
	draining  bool
	jobs      sync.WaitGroup // the goroutines of endpoints
	done      []*endpoint    // mail being read
	roused    []*group
	calls     []func(*shard)
}

type posted struct {
	unit  *unit
	event event
	cause error
}

// mail is how endpoints, sessions and callers reach the shard. It holds at most one entry an endpoint, one a group, and the calls not made yet.
type mail struct {
	mu     sync.Mutex
	done   []*endpoint
	roused []*group
	calls  []func(*shard)
	wake   chan struct{} // of size 1: one wake-up is enough for all mail
}

func (m *mail) finished(e *endpoint) {
	m.mu.Lock()
	m.done = append(m.done, e)
	m.mu.Unlock()
	m.ring()
}

// woken says that g has values waiting.
func (m *mail) woken(g *group) {
	if g.awake.Swap(true) {
		return
	}
	m.mu.Lock()
	m.roused = append(m.roused, g)
	m.mu.Unlock()
	m.ring()
}

func (m *mail) call(f func(*shard)) {
	m.mu.Lock()
	m.calls = append(m.calls, f)
	m.mu.Unlock()
	m.ring()
}

func (m *mail) ring() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// take swaps what is in the mail for the given empty slices.
func (m *mail) take(done []*endpoint, roused []*group, calls []func(*shard)) ([]*endpoint, []*group, []func(*shard)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	done, m.done = m.done, done
	roused, m.roused = m.roused, roused
	calls, m.calls = m.calls, calls
	return done, roused, calls
}

func newShard(rt *Runtime, work context.Context) *shard {
	s := &shard{rt: rt, endpoints: map[string]*endpoint{}, subnets: map[string]*subnet{}, dials: ofAll{turns{bucket: resilience.NewBucket(rt.cfg.DialRate, rt.cfg.DialBurst)}},
		sockets: resilience.NewSlots(rt.cfg.MaxSessions), shedding: rt.cfg.Shedding, pressure: pressure{Shedding: rt.cfg.Shedding}}
	s.dials.timer = timer{owner: &s.dials}
	sessions := rt.cfg.Guard.In(ctxguard.Scope{Name: "device", Lease: -1, Sample: 1}) // a device is configured for years
	s.labels = func(device string) func() {
		ctx := pprof.WithLabels(work, pprof.Labels("role", "device", "device", device))
		return func() { pprof.SetGoroutineLabels(ctx) }
	}
	s.launch = func(e *endpoint) {
		ctx, cancel := sessions.WithCancel(work)
		e.cancel = cancel
		e.start = func() {
			e.label()
			defer s.jobs.Done()
			e.work(ctx)
			rt.mail.finished(e)
		}
	}
	return s
}

// run is the event loop. It ends when ctx has ended and everything is closed.
func (s *shard) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	stop := ctx.Done()
	for {
		select {
		case <-timer.C:
		case <-s.rt.mail.wake:
		case <-stop:
			stop = nil
			s.drain(time.Now())
		}
		s.oversleep(time.Now())
		s.read()
		now := time.Now()
		s.oversleep(now) // again: whatever was in the mail may have taken long
		for t := s.timers.pop(now); t != nil; t = s.timers.pop(now) {
			t.owner.fire(s, now)
			s.stepAll()
		}
		s.beginDue(now)
		s.press(now)
		s.look()
		if s.draining && len(s.endpoints) == 0 {
			s.jobs.Wait()
			return
		}
		if wait, any := s.timers.next(time.Now()); any {
			timer.Reset(wait)
		}
	}
}

// read takes the mail: jobs that ended first, then groups with values waiting, then calls.
func (s *shard) read() {
	s.done, s.roused, s.calls = s.rt.mail.take(s.done[:0], s.roused[:0], s.calls[:0])
	for i, e := range s.done {
		s.done[i] = nil // it may be gone for good
		s.ended(e)
		s.stepAll()
		s.reap(e)
		s.next(e, time.Now())
		s.stepAll()
	}
	for i, g := range s.roused {
		g.awake.Store(false)
		s.rouse(g, time.Now())
		s.roused[i] = nil
	}
	for i, f := range s.calls {
		f(s)
		s.stepAll()
		s.calls[i] = nil
	}
}

// post queues an event for u. Step is never called from within what a Step asked for.
func (s *shard) post(u *unit, ev event, cause error) {
	s.events = append(s.events, posted{u, ev, cause})
}

func (s *shard) stepAll() {
	for i := 0; i < len(s.events); i++ {
		p := s.events[i]
		s.step(p.unit, p.event, p.cause)
	}
	clear(s.events)
	s.events = s.events[:0]
}

func (s *shard) step(u *unit, ev event, cause error) {
	if cause != nil {
		u.cause = cause
		u.mu.Lock()
		u.fault(cause, ev.kind == evRefused, ev.at)
		u.mu.Unlock()
	}
	was, wasDown := u.machine.state, u.machine.down
	actions := u.machine.Step(ev)
	if u.machine.state != was || u.machine.choice.moved {
		s.changed(u, was, wasDown, ev)
	}
	for _, a := range actions {
		s.act(u, a, ev.at)
	}
	if u.scout.of != nil {
		s.scouted(u, ev)
	}
}

// changed keeps schedule and queue in step with the state, and tells the world.
func (s *shard) changed(u *unit, was State, wasDown bool, ev event) {
	is := u.machine.state
	if !is.polled() {
		for _, g := range u.groups {
			s.timers.disarm(&g.timer)
		}
		u.endpoint.flush(u)
	}
	if is != Cooling {
		s.timers.disarm(&u.timer)
	}
	u.waiting = u.waiting && is == Opening
	reason, down := u.reason(was, ev), u.machine.down
	u.mu.Lock()
	u.life.state, u.life.since, u.life.reason, u.life.downSince = is, ev.at, reason, time.Time{}
	if down {
		u.life.downSince = u.machine.failing
	}
	u.alter()
	act := ""
	if u.machine.choice.moved {
		act = "route"
	}
	if !down || !wasDown {
		u.happened(Happening{At: ev.at, Act: act, From: was, To: is, Reason: reason}) // the tries of an outage are counted as faults; over other addresses too
	}
	u.mu.Unlock()
	if !is.connected() {
		u.endpoint.dropErrands(u)
	}
	if u.scout.of != nil {
		return // it is no device
	}
	s.tend(u)
	s.rt.emit(Event{Time: ev.at, Device: u.spec.Name, Act: act, From: was, To: is, Reason: reason, Down: down, Began: down && !wasDown, Ended: wasDown && !down})
}

// note tells the world what was done about u without a change of its state.
func (s *shard) note(u *unit, act, reason string, now time.Time) {
	if u.scout.of != nil {
		return // it is no device
	}
	m := &u.machine
	u.mu.Lock()
	u.happened(Happening{At: now, Act: act, From: m.state, To: m.state, Reason: reason})
	u.mu.Unlock()
	s.rt.emit(Event{Time: now, Device: u.spec.Name, Act: act, From: m.state, To: m.state, Reason: reason, Down: m.down})
}

func (s *shard) act(u *unit, a action, now time.Time) {
	e := u.endpoint
	switch a.kind {
	case actDown, actUp, actOut:
		if u.scout.of != nil {
			return // it has nothing that anybody would be told of
		}
	}
	switch a.kind {
	case actRoute:
		s.takeRoute(u, a.route, now)
		return
	case actOpen:
		s.want(u, now)
	case actRead:
		s.resume(u, now)
	case actProbe, actProbeLess:
		if g := u.smallest(); g != nil {
			g.less = a.kind == actProbeLess
			s.enqueue(g, time.Time{}, now.Add(g.every))
		} else {
			s.post(u, event{kind: evReplied, at: now}, nil) // there is nothing to ask: the connection must do
		}
	case actArm:
		s.timers.arm(&u.timer, a.at)
		u.mu.Lock()
		u.retryAt = a.at
		u.alter()
		u.mu.Unlock()
	case actDown:
		u.outage()
		u.forgive()
		s.rt.counters.outages.Add(1)
		e.push(job{kind: jobMark, unit: u, mark: markDown})
	case actUp:
		u.recovered(now.Sub(a.at))
	case actOut:
		e.push(job{kind: jobMark, unit: u, mark: markOut})
	case actClose:
		s.leave(u, now)
	}
	s.next(e, now)
}
