package device

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"millrace/internal/tag"
)

// maxErrands is how many writes and read-backs wait at an endpoint. One more is refused: whoever sends them faster than the device takes them has to know.
const maxErrands = 64

// NotSentError says why nothing of a write left the gateway.
type NotSentError struct {
	Device string
	Reason string // in plain words
	Err    error  // the end of the caller's context or what its check said, nil when the gateway refused
}

func (e *NotSentError) Error() string {
	return fmt.Sprintf("device %s: not sent: %s", e.Device, e.Reason)
}
func (e *NotSentError) Unwrap() error { return e.Err }

// Retryable answers true: the same write may be tried again without its being done twice.
func (e *NotSentError) Retryable() bool { return true }

// MayHaveHappened answers false.
func (e *NotSentError) MayHaveHappened() bool { return false }

// ReadOncer is a Session that keeps something for the plans it reads. ReadOnce asks the device for p, as Read does, and keeps nothing for it.
type ReadOncer interface {
	ReadOnce(ctx context.Context, p Plan, into *tag.Batch) error
}

// errand is a job that somebody waits for. It waits in its endpoint's errands, in front of all reads, and is done once.
type errand struct {
	device string
	writes []Write  // nil for a read-back
	res    []Result // of writes
	tags   []tag.ID // that are written, or read back
	check  func() error
	claim  atomic.Int32
	done   chan struct{} // closed when nobody but the caller touches the errand any more

	unit  *unit // once it is admitted
	err   error // what the caller is told
	fault error // of the transport: the device's or its session's
	at    time.Time
}

// Whose an errand is.
const (
	unclaimed int32 = iota // it waits, and either may take it
	taken                  // by the job: from here on something may leave
	forgone                // by the caller, who waits no more: nothing leaves
)

// Write writes w to a device in one job of its endpoint, which goes before every read that waits, and fills res, one Result a Write. Values are raw. It is sent once, and never again
// once something of it may have left. A *NotSentError (or an *UnknownError) means that nothing was sent: the device is down, out of service or its writes are paused, as many writes wait as
// may, or ctx ended while it waited. Once it is on its way the end of ctx changes nothing: Write returns when the device has answered, or has not in its time. Any other error is the
// transport's; then the results say of each write whether it may have happened.
func (r *Runtime) Write(ctx context.Context, device string, w []Write, res []Result) error {
	return r.WriteIf(ctx, device, w, res, nil)
}

// WriteIf is Write that asks check right before anything leaves, from another goroutine, while nothing else is asked of the device. Its error is why nothing was sent; it is in the
// *NotSentError. check answers at once. Nil is no check.
func (r *Runtime) WriteIf(ctx context.Context, device string, w []Write, res []Result, check func() error) error {
	if len(w) != len(res) {
		return fmt.Errorf("device: %d writes and %d results", len(w), len(res))
	}
	clear(res)
	tags := make([]tag.ID, len(w))
	for i := range w {
		tags[i] = w[i].Tag.ID
	}
	return r.errand(ctx, &errand{device: device, writes: w, res: res, tags: tags, check: check, done: make(chan struct{})})
}

// ReadBack reads tags of a device once, before every read that waits, whatever their interval, and takes what came as their last values. Errors are as those of Write.
func (r *Runtime) ReadBack(ctx context.Context, device string, tags []tag.ID) error {
	return r.errand(ctx, &errand{device: device, tags: tags, done: make(chan struct{})})
}

// errand has x done and waits for its end.
func (r *Runtime) errand(ctx context.Context, x *errand) error {
	r.mail.call(func(s *shard) { s.admit(x, time.Now()) })
	return r.await(ctx, x)
}

// await waits for the end of x, or for that of ctx while nothing of it has left.
func (r *Runtime) await(ctx context.Context, x *errand) error {
	var why string
	select {
	case <-x.done:
		return x.err
	case <-ctx.Done():
		why = "it waited too long"
	case <-r.ended:
		why = "the gateway has stopped"
	}
	if x.claim.CompareAndSwap(unclaimed, forgone) {
		x.unsent(why, ctx.Err())
		return x.err
	}
	<-x.done
	return x.err
}

// unsent says that nothing of x has left, and why.
func (x *errand) unsent(why string, err error) {
	x.err = &NotSentError{Device: x.device, Reason: why, Err: err}
	for i := range x.res {
		x.res[i] = Result{Err: x.err}
	}
}

// refuse ends x before it began, unless its caller has gone already.
func (x *errand) refuse(why string) {
	if x.claim.CompareAndSwap(unclaimed, taken) {
		x.unsent(why, nil)
		close(x.done)
	}
}

// admit queues x at its device's endpoint, or refuses it.
func (s *shard) admit(x *errand, now time.Time) {
	u := s.rt.unit(x.device)
	if u == nil {
		if x.claim.CompareAndSwap(unclaimed, taken) {
			x.unsent("there is no such device", nil)
			x.err = &UnknownError{Name: x.device}
			close(x.done)
		}
		return
	}
	x.unit = u
	if why := x.against(); why != "" {
		x.refuse(why)
		return
	}
	e := u.endpoint
	if len(e.errands) >= maxErrands {
		e.errands = slices.DeleteFunc(e.errands, func(x *errand) bool { return x.claim.Load() == forgone })
	}
	if len(e.errands) >= maxErrands {
		x.refuse(fmt.Sprintf("%d writes wait for it already", len(e.errands)))
		return
	}
	e.errands = append(e.errands, x)
	s.next(e, now)
}

// against says what is against doing x now, "" when nothing is. A device that is suspected is not down: what is meant for it waits for the probe that decides.
func (x *errand) against() string {
	u := x.unit
	switch state := u.machine.state; {
	case state == OutOfService:
		return u.outReason()
	case state == Draining, state == Closed:
		return "it is being removed or changed"
	case !state.connected(), !u.endpoint.open:
		return "it is down: " + u.lifeReason()
	case !u.table.serves(x.tags):
		return "a tag of it is out of service, or not of this device"
	case x.writes == nil:
		return ""
	case !u.table.means(x.writes):
		return tagChanged
	}
	return u.writesPaused()
}

func (u *unit) lifeReason() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.life.reason
}

// serves says whether t has all of ids, in service.
func (t *table) serves(ids []tag.ID) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(ids) > 0 && !slices.ContainsFunc(ids, t.isOut)
}

// tagChanged is what is against a write that was meant for what its tag was before a reload.
const tagChanged = "its tag was changed by a reload"

// means says whether the tags of writes are for t what they were for who wrote: the same places of the device, scaled the same way.
func (t *table) means(writes []Write) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return !slices.ContainsFunc(writes, func(w Write) bool {
		i := t.index(w.Tag.ID, 0)
		return i < 0 || !sameSource(t.tags[i].spec, &w.Tag)
	})
}

// inRow is how many errands go one behind the other while a read waits. Then that has its turn, or somebody who writes all the time would leave the device unread.
const inRow = 8

// beginErrand starts the first of e's errands that may begin, and says whether the queue has to wait, for it or for its turn. What ends or makes the session goes first.
func (s *shard) beginErrand(e *endpoint, now time.Time) bool {
	switch {
	case len(e.errands) == 0, e.busy, !e.open:
		return false
	case len(e.queue) > 0 && (e.queue[0].kind != jobRead || e.inRow >= inRow):
		return false
	}
	e.errands = slices.DeleteFunc(e.errands, func(x *errand) bool { return !x.stands() })
	i := slices.IndexFunc(e.errands, func(x *errand) bool { return x.unit.machine.state.polled() })
	if i < 0 {
		return false
	}
	x := e.errands[i]
	if x.at.IsZero() {
		x.at = e.errandAt(now)
	}
	if x.at.After(now) {
		s.timers.arm(&e.timer, x.at)
		return true
	}
	e.errands = slices.Delete(e.errands, i, i+1)
	e.inRow++
	s.timers.disarm(&e.timer)
	s.begin(e, job{kind: jobErrand, unit: x.unit, errand: x})
	return true
}

// stands says whether x is still to be done. One that something is against by now is refused.
func (x *errand) stands() bool {
	if x.claim.Load() == forgone {
		return false
	}
	why := x.against()
	if why != "" {
		x.refuse(why)
	}
	return why == ""
}

// errandAt reserves a turn for one request: that of the read at the head of the queue, which gets another one.
func (e *endpoint) errandAt(now time.Time) time.Time {
	if len(e.queue) > 0 && !e.queue[0].at.IsZero() {
		at := e.queue[0].at
		e.queue[0].at = time.Time{}
		return at
	}
	if now.Before(e.notBefore) {
		now = e.notBefore
	}
	return e.rate.Reserve(now, 1)
}

// dropErrands refuses what waits for u, which cannot be asked any more. What is under way ends by itself.
func (e *endpoint) dropErrands(u *unit) {
	e.errands = slices.DeleteFunc(e.errands, func(x *errand) bool {
		if x.unit != u {
			return false
		}
		x.refuse("it went down before its turn came: " + u.lifeReason())
		return true
	})
}

// errand does x in the goroutine of a job.
func (e *endpoint) errand(ctx context.Context, x *errand) {
	if !x.claim.CompareAndSwap(unclaimed, taken) {
		return
	}
	if e.session == nil {
		x.unsent("its connection has ended", net.ErrClosed)
		return
	}
	if why := x.vetoed(); why != nil {
		x.unsent(why.Error(), why)
		return
	}
	if x.writes != nil {
		x.err = e.write(ctx, x)
	} else {
		x.err = e.readBack(ctx, x)
	}
	x.fault = e.overran(x.unit, x.err)
}

// vetoed is what its caller has against x's leaving now.
func (x *errand) vetoed() error {
	if x.check == nil {
		return nil
	}
	return x.check()
}

// write sends x's values.
func (e *endpoint) write(ctx context.Context, x *errand) error {
	g := x.unit.groupOf(x.writes[0].Tag.ID)
	e.reading.Store(g)
	g.follow()
	if g.plan == nil {
		x.unsent("its tags cannot be planned", nil)
		return x.err
	}
	e.writing.Store(true)
	defer e.writing.Store(false)
	return e.session.Write(ctx, g.plan, x.writes, x.res)
}

// readBack reads x's tags into the table.
func (e *endpoint) readBack(ctx context.Context, x *errand) error {
	u := x.unit
	e.reading.Store(u.groupOf(x.tags[0]))
	u.mu.Lock()
	lim := u.limits
	u.mu.Unlock()
	plan, err := u.driver.Compile(u.addr, u.table.specs(x.tags), lim)
	if plan == nil {
		return &NotSentError{Device: x.device, Reason: "its tags cannot be planned", Err: err}
	}
	b := e.rt.batch()
	defer e.rt.free(b)
	if s, ok := e.session.(ReadOncer); ok {
		err = s.ReadOnce(ctx, plan, b)
	} else {
		err = e.session.Read(ctx, plan, b)
	}
	e.rt.stamp(u, b)
	read, filtered := u.table.take(b, plan, false)
	e.rt.hand(u, b, read, filtered, nil)
	u.table.readBack(x.tags)
	return err
}

// asked is a tag that was read back.
type asked struct {
	ts   int64  // of the value
	turn uint32 // the first take behind it that had the tag, 0 when none had yet
}

// readBack remembers when the values of ids are from, for overtaken.
func (t *table) readBack(ids []tag.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asked == nil {
		t.asked = map[int]asked{}
	}
	for _, id := range ids {
		if i := t.index(id, 0); i >= 0 {
			t.asked[i] = asked{ts: t.cells[i].ts}
		}
	}
}

// overtaken says whether a value of the tag at pos is older than the one that was read back: the device had sent it before, and it waited. Only those of the first take behind a read-back
// are judged so: when the device's clock was set back meanwhile, no more than these is lost. The caller holds the lock.
func (t *table) overtaken(pos int, ts int64) bool {
	a, ok := t.asked[pos]
	switch {
	case !ok:
		return false
	case ts >= a.ts, a.turn != 0 && a.turn != t.turn:
		delete(t.asked, pos)
		return false
	}
	a.turn = t.turn
	t.asked[pos] = a
	return true
}

// groupOf returns the group that has tag id, the first when none has.
func (u *unit) groupOf(id tag.ID) *group {
	for _, g := range u.groups {
		if slices.ContainsFunc(g.spec.Tags, func(t TagSpec) bool { return t.ID == id }) {
			return g
		}
	}
	return u.groups[0]
}

// specs returns the specs of those of ids that t has and that are in service.
func (t *table) specs(ids []tag.ID) []TagSpec {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]TagSpec, 0, len(ids))
	for _, id := range ids {
		if i := t.index(id, 0); i >= 0 && !t.tags[i].out {
			s := *t.tags[i].spec
			s.OutOfService = false
			out = append(out, s)
		}
	}
	return out
}

// errandEnded takes what became of an errand. Its faults are the device's as those of a read are.
func (s *shard) errandEnded(e *endpoint) {
	x, now := e.job.errand, e.outcome.ended
	switch {
	case x.claim.Load() == forgone:
		return
	case x.fault == nil || notSent(x.fault):
	case timedOut(x.fault):
		ev := event{kind: evTimedOut, at: now}
		if e.answers(x.unit) {
			ev.until = now.Add(x.unit.spec.Profile.Cap) // as in turned
		}
		s.post(x.unit, ev, x.fault)
	case e.open:
		x.unit.cause = x.fault
		s.hangUp(e, x.fault, now, true)
	}
	s.stepAll()
	close(x.done)
}

func notSent(err error) bool {
	var ns *NotSentError
	return errors.As(err, &ns)
}
