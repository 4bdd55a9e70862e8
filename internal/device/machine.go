package device

import (
	"strconv"
	"time"

	"millrace/internal/resilience"
)

// State is where a device stands.
type State uint8

// The states. A device in any but Draining and Closed runs.
const (
	Idle         State = iota // not started yet
	Opening                   // waits for its turn to dial, or dials
	Ready                     // polled on time
	Degraded                  // polled on time, answers only part of what it is asked
	Suspect                   // did not answer, or has just come back: one read decides
	Cooling                   // down: waits before it is tried again
	OutOfService              // by hand: not polled
	Draining                  // on its way out: what runs may end
	Closed
	states // how many there are
)

var stateNames = [states]string{"idle", "opening", "ready", "degraded", "suspect", "cooling", "out_of_service", "draining", "closed"}

// String returns the state as the API and the metrics write it.
func (s State) String() string {
	if s < states {
		return stateNames[s]
	}
	return "state " + strconv.Itoa(int(s))
}

// States returns all states in order.
func States() []State {
	all := make([]State, states)
	for i := range all {
		all[i] = State(i)
	}
	return all
}

// polled says whether the schedule runs in state s.
func (s State) polled() bool { return s == Ready || s == Degraded }

// connected says whether a device in state s holds on to its endpoint's session.
func (s State) connected() bool { return s.polled() || s == Suspect }

type eventKind uint8

const (
	evTick     eventKind = iota // the time that was armed has come; for Idle: begin
	evOpened                    // the endpoint has a session
	evRefused                   // the open failed
	evReplied                   // a read came back whole
	evPartial                   // a read timed out after part of it had come
	evTimedOut                  // a read timed out with nothing
	evLost                      // the session ended
	evOut                       // taken out of service
	evIn                        // put back in service
	evDrain                     // go
	evGone                      // nothing of the device runs any more
	evRoute                     // use the address route
)

type event struct {
	kind  eventKind
	at    time.Time
	until time.Time // when the device may be tried again if this takes it down; zero is by its own back-off
	asked bool      // of evLost: somebody wanted it so, which is no failure
	route int       // evRoute: the address
	pin   bool      // evRoute: and stay there
	why   string    // evRoute: in plain words
	slow  bool      // of evReplied and evPartial: a reply took as long as a slow one
	less  bool      // of evReplied: it is asked for less at once than its limits allow
	anew  bool      // of evReplied: from now on it is asked for less, or more, at once; what was before says nothing of that
	quick bool      // of evTimedOut: the rule for links that jitter holds

	barren bool // of evReplied: the device answered, and gave not one value
}

type actionKind uint8

const (
	actOpen      actionKind = iota // ask the endpoint for a session; it answers evOpened or evRefused
	actRead                        // poll: what is overdue at once, then on schedule
	actProbe                       // one read, now
	actProbeLess                   // one read, now, by another route or in a lesser way
	actArm                         // send evTick at at
	actDown                        // an outage begins: mark the tags
	actUp                          // the outage that began at at is over
	actOut                         // mark the tags as out of service
	actClose                       // let go of the session
	actRoute                       // from now on the device is at the address route
)

type action struct {
	kind  actionKind
	at    time.Time
	route int
}

// machine is the life of a device. Step is pure: no socket, no clock, no log.
//
//	       opened                  replied
//	Idle ─────► Opening ─────► Ready ◄───────┐       Ready ⇄ Degraded    a read in part, or less at once; and one that came whole
//	  tick      ▲  │  ▲ lost     │ timed out │       any ─► OutOfService  by hand, and back by Opening
//	       tick │  │  └──────────┤           │ replied
//	            │  │ refused     ▼           │       any ─► Draining ─► Closed
//	            │  │           Suspect ──────┘
//	            │  ▼             │  ▲ │ timed out: repeated at once, then after a while, then in a lesser way
//	          Cooling ◄──────────┘  └─┘
//	                    the breaker opens (timeouts as many as the profile allows, a share of failed
//	                    or slow reads, reads on trial); lost too soon; the first probe failed
//
// An open breaker is Cooling, for a time with jitter. A half-open one is Suspect at first: after an outage one probe goes alone, and when it fails the breaker is open again. When it
// comes, the device is Ready and its reads go on as scheduled, the next Probes-1 of them on trial: as soon as the share of failures among all of them is that of the profile the
// breaker opens again, with fewer failures than it takes otherwise: two reads that had to be repeated among the first three are enough at 60 %. No read waits for the end of the trial, for a value that came is worth as much during it.
//
// A read that timed out is repeated in Suspect, which nothing but the repetitions is sent in: at once, after a while with jitter, and from the third time on, or
// when one more failure would open the breaker, by another route or in a lesser way. A connection that breaks is opened again at once, and the device is down
// only when that fails. One that breaks too soon (before anything was read, or younger than the profile's floor) is not:
// then something that is read makes the device hang up. For the same reason the back-off begins anew with a whole read on a session older than
// that, not with an open: a device that accepts and stays silent is not dialled faster than one that refuses.
//
// A device with several addresses goes to the next one where it would go down, by Opening, and is down when all of them have failed.
type machine struct {
	state   State
	down    bool          // an outage runs: the tags are marked
	fresh   bool          // nothing was read on this session yet
	less    bool          // the repetition that waits is to be the lesser way
	since   time.Time     // when state began
	failing time.Time     // the first failure since the last whole read, zero without one
	opened  time.Time     // when the session was had
	settle  time.Duration // how old a session must be to count as one that works
	choice  choice        // of its addresses

	probes  int // reads that prove it after an outage
	breaker resilience.Breaker
	retries resilience.Retries
	backoff resilience.Backoff
	rand    resilience.Rand
	actions []action // returned by Step, valid until the next one
}

func newMachine(p resilience.Profile, r resilience.Rand, now time.Time) machine {
	p = p.WithDefaults()
	return machine{since: now, settle: p.Floor, probes: p.Probes, breaker: resilience.NewBreaker(p), backoff: resilience.NewBackoff(p), rand: r, actions: make([]action, 0, 2)}
}

// Step takes one event and returns what is to be done, in order.
func (m *machine) Step(ev event) []action {
	m.actions, m.choice.moved = m.actions[:0], false
	switch {
	case ev.kind == evRoute && m.state < Draining:
		m.reroute(ev)
		return m.actions
	case ev.kind == evDrain && m.state < Draining:
		m.becomeDraining(ev)
		return m.actions
	case ev.kind == evOut && m.state < OutOfService:
		m.becomeOutOfService(ev)
		return m.actions
	}
	switch m.state {
	case Idle:
		m.idle(ev)
	case Opening:
		m.opening(ev)
	case Ready, Degraded:
		m.running(ev)
	case Suspect:
		m.suspect(ev)
	case Cooling:
		m.cooling(ev)
	case OutOfService:
		m.outOfService(ev)
	case Draining:
		m.draining(ev)
	case Closed:
	}
	return m.actions
}

func (m *machine) idle(ev event) {
	if ev.kind == evTick {
		m.becomeOpening(ev)
	}
}

func (m *machine) opening(ev event) {
	switch ev.kind {
	case evOpened:
		m.fresh, m.opened = true, ev.at
		if m.failing.IsZero() {
			m.become(Ready, ev)
			m.do(actRead, time.Time{})
		} else {
			m.becomeSuspect(ev)
		}
	case evRefused:
		m.failed(ev)
		m.giveUp(ev)
	}
}

func (m *machine) running(ev event) {
	switch ev.kind {
	case evReplied:
		if is := m.whole(ev); !m.replied(ev) && m.state != is {
			m.become(is, ev)
		}
	case evPartial:
		if !m.replied(ev) && m.state == Ready {
			m.become(Degraded, ev)
		}
	case evTimedOut:
		m.failed(ev)
		if m.breaker.Fail(ev.at, m.retries.Done() > 0) {
			m.giveUp(ev)
		} else {
			m.become(Suspect, ev)
			m.repeat(ev)
		}
	case evLost:
		m.lost(ev)
	}
}

func (m *machine) suspect(ev event) {
	switch ev.kind {
	case evReplied, evPartial:
		if m.down {
			m.do(actUp, m.failing)
			m.down = false
			m.breaker.Trial(m.probes)
		}
		if m.replied(ev) {
			return
		}
		m.become(m.whole(ev), ev)
		m.do(actRead, time.Time{})
	case evTimedOut:
		if tripped := m.breaker.Fail(ev.at, m.retries.Done() > 0); tripped || m.down {
			m.giveUp(ev)
		} else {
			m.repeat(ev)
		}
	case evTick:
		m.probe()
	case evLost:
		m.lost(ev)
	}
}

// whole is the state after a read that brought values.
func (m *machine) whole(ev event) State {
	if ev.kind == evPartial || ev.less {
		return Degraded
	}
	return Ready
}

// repeat has the read that timed out repeated, now or in a while.
func (m *machine) repeat(ev event) {
	wait := m.retries.Next(m.rand, ev.quick)
	again := m.retries.Done() >= lesserAfter
	if again && m.choice.spare() {
		m.giveUp(ev)
		return
	}
	m.less = again || m.breaker.Last()
	if wait == 0 {
		m.probe()
	} else {
		m.do(actArm, ev.at.Add(wait))
	}
}

// lesserAfter is from which repetition on a read goes by another route, or is made in a lesser way: three times the same is enough to know.
const lesserAfter = 3

func (m *machine) probe() {
	if m.less {
		m.do(actProbeLess, time.Time{})
	} else {
		m.do(actProbe, time.Time{})
	}
}

func (m *machine) cooling(ev event) {
	if ev.kind == evTick {
		m.again(ev)
	}
}

func (m *machine) outOfService(ev event) {
	if ev.kind == evIn {
		m.becomeOpening(ev)
	}
}

func (m *machine) draining(ev event) {
	if ev.kind == evGone {
		m.become(Closed, ev)
	}
}

// lost is the end of the session, noticed by this device or by another one on it.
func (m *machine) lost(ev event) {
	if ev.asked {
		m.becomeOpening(ev)
		return
	}
	m.failed(ev)
	if m.settled(ev) {
		m.becomeOpening(ev)
	} else {
		m.giveUp(ev)
	}
}

func (m *machine) becomeOpening(ev event) {
	m.become(Opening, ev)
	m.do(actOpen, time.Time{})
}

// becomeSuspect is for a session after a failure: the first probe on it is as usual.
func (m *machine) becomeSuspect(ev event) {
	m.become(Suspect, ev)
	m.less = false
	m.probe()
}

func (m *machine) becomeCooling(ev event) {
	held := m.state.connected()
	m.become(Cooling, ev)
	m.retries.Reset()
	if !m.down {
		m.down = true
		m.do(actDown, time.Time{})
	}
	if held {
		m.do(actClose, time.Time{})
	}
	m.do(actArm, m.coolUntil(ev))
}

func (m *machine) becomeOutOfService(ev event) {
	m.become(OutOfService, ev)
	m.down, m.failing = false, time.Time{}
	m.breaker.Reset()
	m.retries.Reset()
	m.backoff.Reset()
	m.do(actOut, time.Time{})
	m.do(actClose, time.Time{})
}

func (m *machine) becomeDraining(ev event) {
	m.become(Draining, ev)
	m.do(actClose, time.Time{})
}

func (m *machine) become(s State, ev event) { m.state, m.since = s, ev.at }

func (m *machine) do(k actionKind, at time.Time) {
	m.actions = append(m.actions, action{kind: k, at: at})
}

// replied takes a read that brought values, and says whether the breaker opens all the same: slow reads are too many by now.
func (m *machine) replied(ev event) (gone bool) {
	m.fresh, m.failing = false, time.Time{}
	m.choice.begin()
	repeated := m.retries.Done() > 0
	m.retries.Reset()
	if ev.anew {
		m.breaker.Reset()
	}
	slow := m.breaker.OK(ev.at, ev.slow, repeated)
	if m.settled(ev) {
		m.backoff.Reset()
	}
	if slow {
		m.failed(ev)
		m.giveUp(ev)
	}
	return slow
}

func (m *machine) settled(ev event) bool { return !m.fresh && ev.at.Sub(m.opened) >= m.settle }

func (m *machine) failed(ev event) {
	if m.failing.IsZero() {
		m.failing = ev.at
	}
}
