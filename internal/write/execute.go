package write

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/internal/write/audit"
)

// job is one order on its way.
type job struct {
	*entry
	path   *Path
	target *Target
	state  *tagState
	raw    tag.Value // for the device
	value  tag.Value // that it has then, as the gateway shows it
	until  time.Time // when it is too late to leave
}

// execute writes what e wants. ctx never ends before that is over.
func (p *Path) execute(ctx context.Context, e *entry, t *Target) Outcome {
	j := &job{entry: e, path: p, target: t, state: p.state(t), until: time.Now().Add(expiry(&e.order, t.Rule))}
	if why := p.take(j.state, t.Rule); why != nil {
		return p.refuse(e, why)
	}
	waiting, cancel := context.WithDeadline(ctx, j.until)
	defer cancel()
	if t.Rule.Mode == Desired {
		var why *refusal
		var back func()
		if waiting, back, why = p.aside(waiting, e, t.Device); why != nil {
			return p.refuse(e, why)
		}
		defer back()
	}
	if t.Rule.Mode == Desired {
		j.state.newest.Store(e)
	} else {
		select {
		case j.state.turn <- struct{}{}:
			defer func() { <-j.state.turn }()
		case <-waiting.Done():
			return p.refuse(e, &refusal{TooLate, "it waited too long for another write of the tag"})
		}
	}
	j.freshen(waiting)
	if why := j.prepare(); why != nil {
		return p.refuse(e, why)
	}
	if err := p.record(e, audit.Record{Stage: audit.Sending}); err != nil {
		return p.refuse(e, &refusal{NoAudit, "the audit log does not take it, and nothing is written without: " + err.Error()})
	}
	if t.Rule.Mode == Desired {
		j.wish(ctx, waiting)
	} else {
		j.send(ctx, waiting)
	}
	return p.end(ctx, e)
}

func expiry(o *Order, r *Rule) time.Duration {
	if o.Expire > 0 && o.Expire < r.Expire {
		return o.Expire
	}
	return r.Expire
}

// freshen has what the interlock looks at and is too old read anew: a device that sends what has changed says nothing for long of what stays. What cannot be read stays too old, and refuses.
func (j *job) freshen(ctx context.Context) {
	for device, ids := range j.target.Interlock.stale(j.path.cfg.Plant.Last, time.Now()) {
		_ = j.path.cfg.Plant.ReadBack(ctx, device, ids)
	}
}

// prepare makes the raw value, and asks the interlock before anything is written down.
func (j *job) prepare() *refusal {
	last := j.last()
	var err error
	if j.raw, err = j.target.raw(j.order.Value, j.target.known(&last)); err != nil {
		return refusedValue(err)
	}
	j.value = j.target.nearest(j.order.Value, j.raw)
	j.path.found(j.entry, &last)
	if err := j.check(); err != nil {
		return refusedBy(causeOf(err), err)
	}
	return nil
}

// found remembers what the tag of e is before.
func (p *Path) found(e *entry, last *device.Last) {
	p.update(e, func(o *Outcome) {
		o.Old = last.Value
		if e.quality = ""; !last.Quality.IsGood() {
			e.quality = last.Quality.String()
		}
	})
}

// known is the kind of the raw value that the device had last, Null when that is not to be seen.
func (t *Target) known(last *device.Last) tag.Kind {
	if t.Spec.Terms().Scale == 0 && !last.Quality.IsBad() {
		return last.Value.Kind
	}
	return tag.Null
}

func (j *job) last() device.Last {
	return j.path.cfg.Plant.Last([]tag.ID{j.target.Spec.ID}, nil)[0]
}

// check is asked right before the value leaves.
func (j *job) check() error {
	now := time.Now()
	if !now.Before(j.until) {
		return &refusal{TooLate, "it expired before it could leave"}
	}
	if why := j.changed(); why != nil {
		return why
	}
	if i := j.target.Interlock; i != nil {
		return i.check(j.path.cfg.Plant.Last, j.value, now, i.maxAge)
	}
	return nil
}

// changed says what a reload has against the order that it had nothing against when it came.
func (j *job) changed() *refusal {
	t, ok := j.path.Target(j.target.Spec.Name)
	switch {
	case !ok:
		return &refusal{NoTag, "a reload took the tag away, or made it read-only, before it could leave"}
	case *t.Rule != *j.target.Rule:
		return &refusal{Overtaken, "a reload changed the tag's rule before it could leave"}
	}
	return nil
}

func (j *job) set(end End, cause Cause, format string, args ...any) {
	j.path.update(j.entry, func(o *Outcome) { o.End, o.Cause, o.Reason = end, cause, fmt.Sprintf(format, args...) })
}

func (j *job) write() device.Write { return device.Write{Tag: *j.target.Spec, Value: j.raw} }

// send writes the value once.
func (j *job) send(ctx, waiting context.Context) {
	var res [1]device.Result
	w := [1]device.Write{j.write()}
	err := j.path.cfg.Plant.WriteIf(waiting, j.target.Device, w[:], res[:], j.check)
	j.judge(ctx, res[0], err, false)
}

// judge says what came of a write that the device was to do, and verifies it. looked says that the tag was read behind it.
func (j *job) judge(ctx context.Context, r device.Result, err error, looked bool) {
	var ns *device.NotSentError
	switch {
	case r.MayHaveHappened:
		j.set(Unknown, NoCause, "%v", r.Err)
		_, _ = j.look(ctx) // to show what it is now; that says nothing of whose doing it is
	case errors.As(err, &ns):
		j.set(Refused, causeOf(err), "%s", ns.Reason)
	case unwritable(r.Err):
		j.set(Refused, OutOfRange, "%v", r.Err)
	case r.Err != nil:
		j.set(Failed, NoCause, "%v", r.Err)
	default:
		j.verify(ctx, looked)
	}
}

// unwritable says whether err is of a value that its address does not take, for which nothing was sent.
func unwritable(err error) bool {
	var e interface{ Unwritable() bool }
	return errors.As(err, &e) && e.Unwritable()
}

// wish has the value written at the next poll, and tries again for as long as it is wished for: a desired value may be written twice. What is newer takes its place.
func (j *job) wish(ctx, waiting context.Context) {
	var may device.Result // of the last try that may have happened
	newest := func() bool { return j.state.newest.Load() == j.entry }
	for {
		r, err := j.path.cfg.Plant.Wish(waiting, j.target.Device, j.write(), newest, j.check)
		var ns *device.NotSentError
		unsent := errors.As(err, &ns)
		if r.MayHaveHappened {
			may = r
		}
		var lock *InterlockError
		stale := errors.As(err, &lock) && lock.Stale
		again := r.MayHaveHappened || unsent && causeOf(err) == NotReachable || err != nil && !unsent || stale
		if !again || waiting.Err() != nil || !j.current() {
			err = stopped(waiting, err)
			if r.Err != nil && may.MayHaveHappened {
				r = may
			}
			j.path.settle(j.entry)
			j.judge(ctx, r, err, r.Read)
			return
		}
		pause(waiting, 250*time.Millisecond)
		j.freshen(waiting)
	}
}

// current says whether the tag is still what it was when the order came. A reload makes another target of it, for which nobody has checked the value.
func (j *job) current() bool {
	t, _ := j.path.Target(j.target.Spec.Name)
	return t == j.target
}

// stopped is err, or the refusal for which the path ended waiting when nothing was sent for that.
func stopped(waiting context.Context, err error) error {
	var ns *device.NotSentError
	var why *refusal
	if waiting.Err() == nil || !errors.As(err, &ns) || !errors.As(context.Cause(waiting), &why) {
		return err
	}
	return &device.NotSentError{Device: ns.Device, Reason: why.reason, Err: why}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// lookTimeout is how long a read-back waits for its turn.
const lookTimeout = 10 * time.Second

// look reads the tag and returns what it is.
func (j *job) look(ctx context.Context) (device.Last, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	err := j.path.cfg.Plant.ReadBack(ctx, j.target.Device, []tag.ID{j.target.Spec.ID})
	last := j.last()
	if err == nil {
		j.path.update(j.entry, func(o *Outcome) { o.Read = last.Value })
	}
	return last, err
}

// doubt has nobody be shown the value before as a good one, when the one that was written cannot be read back.
func (j *job) doubt(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	_ = j.path.cfg.Plant.Doubt(ctx, j.target.Device, []tag.ID{j.target.Spec.ID}) // a device that is being removed shows nothing
}

// The read-backs of one write come at growing distances.
const (
	firstGap = 10 * time.Millisecond
	lastGap  = 250 * time.Millisecond
)

// verify compares what the device has with what it was given. looked says that it was just read.
func (j *job) verify(ctx context.Context, looked bool) {
	r := j.target.Rule
	if r.Verify == Ack {
		if _, err := j.look(ctx); err != nil { // what came of it does not count
			j.doubt(ctx)
		}
		j.set(Confirmed, NoCause, "")
		return
	}
	if !looked {
		pause(ctx, r.Delay)
	}
	want := j.target.engineering(j.raw)
	until := time.Now().Add(r.Within)
	for gap := firstGap; ; gap = min(2*gap, lastGap) {
		last, err := j.last(), error(nil)
		if !looked {
			last, err = j.look(ctx)
		} else {
			j.path.update(j.entry, func(o *Outcome) { o.Read = last.Value })
		}
		looked = false
		if j.compare(want, last, err) {
			return
		}
		if !time.Now().Before(until) {
			if err != nil {
				j.doubt(ctx)
			}
			return
		}
		pause(ctx, min(gap, time.Until(until)))
	}
}

// compare sets the end by one look, and says whether it is a good one.
func (j *job) compare(want tag.Value, last device.Last, err error) bool {
	switch {
	case err != nil:
		j.set(Unknown, NoCause, "the device took it, and cannot be read back: %v", err)
	case !last.Quality.IsGood():
		j.set(Unknown, NoCause, "the device took it, and what is read back is %v", last.Quality)
	case !same(want, last.Value, j.target.Rule.Tolerance):
		j.set(Differs, NoCause, "the device took it, and has %v", last.Value)
	default:
		j.set(Confirmed, NoCause, "")
		return true
	}
	return false
}

// update changes what is known of an order.
func (p *Path) update(e *entry, f func(o *Outcome)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&e.out)
}

// record has r, with what e is about, in the audit log.
func (p *Path) record(e *entry, r audit.Record) error {
	p.mu.Lock()
	o := &e.order
	r.Write, r.Tag, r.New, r.Why, r.Key, r.Digest = e.first, clip(o.Tag), audited(o.Value), clip(o.Why), clip(o.Key), e.digest
	if r.Who == "" {
		r.Who, r.Via, r.From = o.Caller.User, o.Caller.Via, o.Caller.From
	}
	r.Old, r.OldQuality, r.Read = audited(e.out.Old), e.quality, audited(e.out.Read)
	p.mu.Unlock()
	if t, ok := p.Target(o.Tag); ok {
		r.Device = t.Device
	}
	err := p.cfg.Audit.Append(&r)
	if err != nil {
		p.stats.auditErrors.Add(1)
		return err
	}
	if e.first == 0 {
		e.first = r.Seq
		p.mu.Lock()
		e.out.ID = r.Seq
		p.mu.Unlock()
	}
	return nil
}

// maxText is how much of a caller's words is in the audit log.
const maxText = 512

// clip cuts s where a character ends.
func clip(s string) string {
	n := min(len(s), maxText)
	for n < len(s) && n > maxText-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.ToValidUTF8(s[:n], "\uFFFD")
}

// end has the end of e in the audit log, and tells it.
func (p *Path) end(ctx context.Context, e *entry) Outcome {
	p.update(e, func(o *Outcome) { o.Took = time.Since(e.began) })
	out := p.outcome(e)
	r := audit.Record{Stage: audit.Done, End: string(out.End), Reason: clip(out.Reason), TookUS: out.Took.Microseconds()}
	wait := 100 * time.Millisecond
	for range 4 { // it has left: the record is worth some patience
		err := p.record(e, r)
		if err == nil {
			break
		}
		p.update(e, func(o *Outcome) { o.Reason = out.Reason + "; this end is not in the audit log: " + err.Error() })
		pause(ctx, wait)
		wait *= 2
	}
	return p.finish(e)
}

func (p *Path) outcome(e *entry) Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	return e.out
}

// refuse ends an order of which nothing was sent. Its key is free again: there is nothing that a second try could do twice.
func (p *Path) refuse(e *entry, why *refusal) Outcome {
	p.update(e, func(o *Outcome) {
		o.End, o.Cause, o.Reason, o.Took = Refused, why.cause, why.reason, time.Since(e.began)
	})
	r := audit.Record{Stage: audit.Refused, End: string(Refused), Reason: clip(why.reason)}
	if why.cause != NoAudit {
		_ = p.record(e, r) // counted; nothing has happened that it would be missed for
	}
	return p.finish(e)
}

// refuseUnheard is refuse of an order that is not even written down.
func (p *Path) refuseUnheard(e *entry, why *refusal) Outcome {
	e.out.End, e.out.Cause, e.out.Reason = Refused, why.cause, why.reason
	p.stats.count(&e.out)
	return e.out
}

// finish ends e for everybody who waits for it.
func (p *Path) finish(e *entry) Outcome {
	p.mu.Lock()
	e.ended = true
	if k := keyOf(&e.order); e.out.End == Refused && p.kept[k] == e {
		delete(p.kept, k)
	}
	if e.out.ID != 0 && p.byID[e.out.ID] == nil {
		p.byID[e.out.ID] = e
		p.age = append(p.age, e)
	}
	out := e.out
	if s := p.tags[out.Tag]; s != nil {
		s.last.Store(&out)
	}
	p.mu.Unlock()
	close(e.done)
	p.stats.count(&out)
	if p.cfg.OnEnd != nil {
		p.cfg.OnEnd(out)
	}
	return out
}
