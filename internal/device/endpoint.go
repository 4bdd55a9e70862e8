package device

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"millrace/internal/resilience"
	"millrace/internal/tag"
)

// endpoint is an address with its session. The devices on it borrow turns, in the order in which they fell due. It has a goroutine only
// while a job runs, and one job runs at a time: while it does, what the job touches is the goroutine's, and the shard's again with finished.
type endpoint struct {
	rt     *Runtime
	key    string
	link   link
	start  func()             // runs work in a goroutine of its own context
	cancel context.CancelFunc // ends that context
	label  func()             // marks the goroutine of a job, and those that begin in it, as the device's in profiles

	// Owned by the shard.
	busy      bool
	open      bool // there is a session, and no close of it is queued
	dialling  bool // a jobOpen is queued or runs
	forgone   bool // the jobOpen that runs was given up
	mine      bool // the last dial failed for the gateway's own fault
	unheard   bool // nothing was asked on this session yet
	proven    bool // this session was counted as one that works
	unsettled bool // units came since settle
	left      bool // in shard.left
	unheardOf bool // the session that is being closed ended since nothing of it was acknowledged

	profile   *resilience.Profile // of the most patient of units
	units     []*unit
	leaving   int // of units, those that drain
	holders   int // units that have an address here, wherever they are
	queue     []job
	errands   []*errand // writes and read-backs that wait, in front of all reads
	inRow     int       // errands since the last read that waited for one
	begun     time.Time // when the job that runs was started
	load      loadState
	perSecond float64 // most requests, 0 for no limit
	opened    time.Time
	subnet    *subnet   // nil before the first dial
	dialAt    time.Time // begin of the last dial
	retryAt   time.Time
	cause     error     // why the last dial failed
	notBefore time.Time // end of the pause after connect
	pause     time.Duration
	slots     resilience.Slots
	pool      int       // connections that the next session may have
	held      int       // slots taken by the session, or by its dial
	growAt    time.Time // when the session may dial what it may have beyond held, zero when that was not asked for
	halfOpen  int       // connections that the device may count still although they have ended
	count     slotCount
	backoff   resilience.Backoff
	breaker   resilience.Breaker // of its sessions
	rate      resilience.Bucket
	timer     timer // when the first job in the queue may start
	overrun   overrun

	// Handed to the job and back.
	job     job
	session Session
	kept    Resumer // suspended, for the next dial to go on with
	number  uint64  // of the session
	outcome outcome

	connects atomic.Int64          // ns: how long a connection may take to be made
	patience atomic.Int64          // ns: how long the handshake on it may take, as the profile says or as long as the driver wants
	writing  atomic.Bool           // the job is a write
	reading  atomic.Pointer[group] // whose turn it is, or was last
	overdue  atomic.Pointer[group] // of whom a request timed out last on this session
	written  atomic.Bool           // that was a write
}

type jobKind uint8

const (
	jobOpen   jobKind = iota
	jobRead           // a turn of group
	jobMark           // rows that say why unit's tags are not read
	jobClose          // the session
	jobErrand         // a write or a read-back: errand
)

type job struct {
	kind  jobKind
	mark  markKind
	keep  bool      // jobClose may leave on the device what a later dial can go on with
	less  bool      // of jobRead: one tag alone
	unit  *unit     // the first that waits, for jobOpen
	group *group    // to read; for jobMark the one that has a tag back in service, or nil
	due   time.Time // zero for a turn that is not on schedule
	by    time.Time // of jobRead: the deadline by which turns are ordered
	at    time.Time // not before; zero when not reckoned yet
	grow  int       // of jobRead: connections that the session may have from now on, 0 as it has

	errand *errand // for jobErrand
}

type markKind uint8

const (
	markDown    markKind = iota // no communication
	markOut                     // the whole device is out of service
	markTagsOut                 // those tags that are
)

type outcome struct {
	err  error
	part bool // err is a timeout after values had come
	wish bool // of jobRead: err is that of a write in front of it
	said charge
	sign resilience.Sign

	barren bool // of jobRead: rows came, and not one of them has a value

	unconfirmed bool    // of jobClose: the device did not let know that it heard of it
	missing     float64 // of part: share of the values that did not come
	ended       time.Time
}

// work does e.job. It runs in a goroutine of its own.
func (e *endpoint) work(ctx context.Context) {
	e.outcome = outcome{}
	switch e.job.kind {
	case jobOpen:
		e.outcome.err = e.dial(ctx)
	case jobRead:
		e.outcome.part, e.outcome.err = e.turn(ctx, e.job.group, e.job.due)
	case jobMark:
		if x := e.job.errand; x != nil {
			e.doubt(x)
			break
		}
		e.rt.mark(e.job.unit, e.job.mark)
	case jobClose:
		e.close()
	case jobErrand:
		e.errand(ctx, e.job.errand)
	}
	e.outcome.ended = time.Now()
}

func (e *endpoint) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.Connect()+e.Handshake())
	defer cancel()
	u := e.job.unit
	u.doubtCaps(time.Now()) // before the driver hears of them
	u.mu.Lock()
	lim := u.limits
	u.mu.Unlock()
	lim.Connections = e.held
	e.reading.Store(nil)
	e.overdue.Store(nil)
	e.rt.counters.opens.Add(1)
	s, err := e.connect(ctx, u, lim)
	if err != nil {
		e.rt.counters.openFailures.Add(1)
		return err
	}
	e.session = s
	e.number++
	e.rt.counters.sessions.Add(1)
	return nil
}

// connect goes on with the session of before where one is kept, and opens one else.
func (e *endpoint) connect(ctx context.Context, u *unit, lim Limits) (Session, error) {
	if r := e.kept; r != nil {
		err := r.Resume(ctx)
		if err == nil {
			e.kept = nil
			return r, nil
		}
		if !errors.Is(err, ErrNotResumable) {
			return nil, err
		}
		e.forget()
	}
	return u.driver.Open(ctx, u.addr, lim, e)
}

// forget ends a session that is kept.
func (e *endpoint) forget() {
	if e.kept != nil {
		_ = e.kept.Close()
		e.kept = nil
	}
}

// close ends the session, or keeps it for the next dial. It is over either way; an end that timed out is one that the device does not know of.
func (e *endpoint) close() {
	if e.session == nil {
		return
	}
	if r, ok := e.session.(Resumer); ok && e.job.keep && r.Suspend() {
		e.kept = r
	} else {
		e.outcome.unconfirmed = timedOut(e.session.Close())
	}
	e.session = nil
	e.rt.counters.sessions.Add(-1)
}

// push puts j into the queue: marks before everything but other marks, since what they say comes before what is asked next; reads before those whose deadline is later,
// but for one whose turn is reserved already and never past a job that makes or ends the session; all else at the end.
func (e *endpoint) push(j job) {
	i := len(e.queue)
	switch j.kind {
	case jobMark:
		i = 0
		for i < len(e.queue) && e.queue[i].kind == jobMark {
			i++
		}
	case jobRead:
		for i > 0 && e.queue[i-1].kind == jobRead && e.queue[i-1].at.IsZero() && j.by.Before(e.queue[i-1].by) {
			i--
		}
	case jobOpen, jobClose, jobErrand:
	}
	e.queue = slices.Insert(e.queue, i, j)
}

// deadline returns by when what is first in the queue has to be done; what is no read goes before all reads.
func (e *endpoint) deadline() time.Time {
	if len(e.queue) == 0 {
		return time.Time{}
	}
	return e.queue[0].by
}

func (e *endpoint) pop() job {
	j := e.queue[0]
	e.queue = slices.Delete(e.queue, 0, 1)
	return j
}

// flush drops the turns of u that have not begun: what they would have read is owed.
func (e *endpoint) flush(u *unit) {
	if !slices.ContainsFunc(u.groups, func(g *group) bool { return g.queued }) {
		return // as a rule: the queue of thousands is not gone through for each of them
	}
	e.queue = slices.DeleteFunc(e.queue, func(j job) bool {
		if j.kind != jobRead || j.unit != u {
			return false
		}
		j.group.queued, j.group.owed = false, true
		if !j.due.IsZero() {
			j.group.miss(1)
		}
		return true
	})
}

// settle reckons what the specs of the devices on e allow: the strictest of each, and the profile that is the most patient.
func (e *endpoint) settle() {
	if len(e.units) == 0 {
		return // it is as it was: it is held for the sake of its dials, and nobody uses it
	}
	was := e.profile
	e.profile = &e.units[0].spec.Profile
	for _, u := range e.units[1:] {
		if u.spec.Profile.Ceiling > e.profile.Ceiling {
			e.profile = &u.spec.Profile
		}
	}
	patience := e.profile.Handshake
	for _, u := range e.units {
		if p, ok := u.driver.(Patient); ok {
			patience = max(patience, p.Patience(u.addr))
		}
	}
	e.connects.Store(int64(e.profile.Connect))
	e.patience.Store(int64(patience))
	e.backoff.Follow(*e.profile)
	if was == nil || *e.profile != *was {
		e.breaker = resilience.NewBreaker(ofSessions(*e.profile))
	}
	slots, rate, pause, pool := 0, 0.0, time.Duration(0), 0
	for _, u := range e.hosts() {
		if n := u.spec.Limits.Connections; n > 0 && (pool == 0 || n < pool) {
			pool = n
		}
		if slots == 0 || u.spec.Slots < slots {
			slots = u.spec.Slots
		}
		if r := u.requestRate(); r > 0 && (rate == 0 || r < rate) {
			rate = r
		}
		pause = max(pause, u.spec.PauseAfterConnect)
	}
	e.slots.SetLimit(max(slots, 1))
	e.pool = max(min(pool, slots), 1)
	if pause > 0 {
		e.pool = 1
	}
	e.rate.SetRate(rate)
	e.perSecond = rate
	e.pause = pause
	e.showSlots()
}

// turn reads group once and hands what passes to the output. part says that the read timed out after values had come.
func (e *endpoint) turn(ctx context.Context, g *group, due time.Time) (part bool, err error) {
	u := g.unit
	began := time.Now()
	e.reading.Store(g)
	if e.session == nil {
		return false, net.ErrClosed
	}
	if u.session != e.number {
		u.session = e.number
		u.doubtCaps(began)
		u.learn(e.session.Limits())
	}
	g.follow()
	if g.plan == nil {
		return false, nil
	}
	e.grow(ctx, u)
	told, err := e.grant(ctx, g)
	defer told()
	if err != nil {
		return false, err
	}
	b := e.rt.batch()
	defer e.rt.free(b)
	done, err := e.read(ctx, g, b)
	e.inspect(err)
	e.outcome.said, e.outcome.barren = u.charge(b), len(b.ID) > 0 && !usable(b)
	e.rt.stamp(u, b)
	part = err != nil && timedOut(err) && usable(b)
	if part {
		e.outcome.missing = missingOf(b, g.plan)
	}
	for _, id := range g.unplanned {
		b.Append(id, b.Received, tag.BadConfigurationError, tag.Null, 0)
	}
	whole := err == nil && !e.job.lesser()
	complete := whole && !slices.ContainsFunc(b.Quality, isMissing)
	take := u.table.take
	if err == nil && g.cached {
		take, part = u.table.takeCached, false
	}
	read, filtered := take(b, g.plan, part)
	e.rt.hand(u, b, read, filtered, done)
	g.count(began, due, err, whole, complete)
	if err == nil || part {
		e.outcome.sign = g.lives(e.rt, time.Now())
	}
	u.reckon()
	if l, news := u.tell(); news && e.rt.cfg.OnLearned != nil && u.scout.of == nil {
		e.rt.cfg.OnLearned(u.spec.Name, l)
	}
	return part, err
}

// read reads g's plan. done is nil when nobody waits for the rows to be safe.
func (e *endpoint) read(ctx context.Context, g *group, into *tag.Batch) (done func(error), err error) {
	if e.job.less || g.cached {
		return nil, e.overran(g.unit, e.readOne(ctx, g, into))
	}
	s, pushed := e.session.(Subscriber)
	pushed = pushed && g.unit.scout.of == nil // a scout asks: what is sent to it nobody would take
	if pushed {
		s.Wake(g.plan, g.spec.Interval, g.wake)
		g.renewed(s)
	}
	err = e.overran(g.unit, e.session.Read(ctx, g.plan, into))
	if pushed {
		done = s.Taken(g.plan)
	}
	return done, err
}

// usable says whether b has a value. Rows that are bad prove nothing: a plan may hold tags that it does not ask for.
func usable(b *tag.Batch) bool {
	return slices.ContainsFunc(b.Quality, func(q tag.Quality) bool { return !q.IsBad() })
}

// isMissing says whether a row of that quality is one that the device should have given.
func isMissing(q tag.Quality) bool { return q.IsBad() && q != tag.BadOutOfService }

// follow brings the plan up to what was learned. The error names tags that have no place in the new plan: their quality tells.
func (g *group) follow() { _ = g.replan() }

// count notes a turn. whole says that all of it was asked for and answered, complete that the device refused nothing of it either.
func (g *group) count(began, due time.Time, err error, whole, complete bool) {
	u := g.unit
	u.mu.Lock()
	defer u.mu.Unlock()
	u.rtts.roll(began)
	if !due.IsZero() {
		g.lag = began.Sub(due)
		g.stats.lag.observe(g.lag)
	}
	if err == nil {
		u.life.reads++
		u.waited = 0
	}
	if whole {
		g.lastRead = began
		g.took = smooth(g.took, time.Since(began))
	}
	if complete && g.refusal != nil {
		g.refusal = nil
		u.alter()
	}
}
