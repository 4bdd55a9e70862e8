package write

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"millrace/internal/tag"
	"millrace/internal/write/audit"
)

// ErrNotPending says that no write of that number waits to be approved.
var ErrNotPending = errors.New("write: no write of that number waits to be approved")

// NotAllowedError says why somebody may not approve or reject a write.
type NotAllowedError struct{ What string }

func (e *NotAllowedError) Error() string { return "write: " + e.What }

// ask has e wait for somebody to approve it.
func (p *Path) ask(e *entry, t *Target) Outcome {
	p.found(e, &p.cfg.Plant.Last([]tag.ID{t.Spec.ID}, nil)[0])
	p.update(e, func(o *Outcome) {
		o.End, o.Until = Pending, e.began.Add(t.Rule.ApproveWithin)
		o.Reason = "it waits to be approved"
	})
	if err := p.record(e, audit.Record{Stage: audit.Asked}); err != nil {
		return p.refuse(e, &refusal{NoAudit, "the audit log does not take it: " + err.Error()})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e.pending = true
	close(e.asked)
	e.asked = nil
	p.byID[e.first] = e
	p.age = append(p.age, e)
	return e.out
}

// Approve lets a write go its way that waited for it, and returns how it ended; with yes false it is rejected. Whoever asked for it cannot approve it, but take it back.
func (p *Path) Approve(ctx context.Context, id uint64, c Caller, yes bool, why string) (Outcome, error) {
	p.expire(time.Now())
	p.mu.Lock()
	r := p.run()
	e := p.byID[id]
	waits := e != nil && e.pending
	p.mu.Unlock()
	if r != nil {
		return Outcome{}, r
	}
	defer p.leave()
	if !waits {
		return Outcome{}, ErrNotPending
	}
	o := e.order
	gone := p.look(&o.Caller)
	t, refused := p.admit(&o)
	if gone != nil {
		refused = gone
	}
	own := c.User == e.order.Caller.User
	if err := mayApprove(own && yes, t, c); err != nil {
		return p.outcome(e), err
	}
	if !p.withdraw(e) {
		return Outcome{}, ErrNotPending
	}
	if own {
		return p.reject(e, c, &refusal{NotApproved, clip(words(c.User+" took it back", why))}), nil
	}
	p.update(e, func(o *Outcome) { o.Approver = c.User })
	if !yes {
		return p.reject(e, c, &refusal{NotApproved, clip(words(c.User+" rejected it", why))}), nil
	}
	if err := p.record(e, audit.Record{Stage: audit.Approved, Who: c.User, Via: c.Via, From: c.From, Reason: clip(why)}); err != nil {
		p.restore(e)
		return p.outcome(e), err
	}
	e.began = time.Now()
	if refused != nil { // the configuration is another one than when it was asked for, or who asked may not any more
		return p.refuse(e, refused), nil
	}
	return p.execute(context.WithoutCancel(ctx), e, t), nil
}

// look brings the role of c, who asked for a write some time ago, up to what it is by now, and says what is against him.
func (p *Path) look(c *Caller) *refusal {
	if p.cfg.RoleOf == nil {
		return nil
	}
	role, ok := p.cfg.RoleOf(*c)
	if !ok {
		return &refusal{NoRole, c.User + ", who asked for it, may not write any more: the token was taken away"}
	}
	c.Role = role
	return nil
}

// words is what somebody did, and why when it is said.
func words(did, why string) string {
	if why == "" {
		return did
	}
	return did + ": " + why
}

// mayApprove says what is against c's deciding of a write of t; own is that he would approve what he asked for himself.
func mayApprove(own bool, t *Target, c Caller) error {
	switch {
	case own:
		return &NotAllowedError{"it has to be somebody else than " + c.User + ", who asked for it"}
	case t != nil && !c.Role.Has(t.Rule.Role), !c.Role.Has(RoleWrite):
		return &NotAllowedError{"it takes the role that the write takes"}
	}
	return nil
}

// withdraw takes e from those that wait, and says whether it was among them.
func (p *Path) withdraw(e *entry) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := e.pending
	e.pending = false
	return was
}

// restore undoes withdraw.
func (p *Path) restore(e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.pending = true
}

// reject ends a write that waited.
func (p *Path) reject(e *entry, c Caller, why *refusal) Outcome {
	p.update(e, func(o *Outcome) {
		o.End, o.Cause, o.Reason, o.Took = Refused, why.cause, why.reason, time.Since(e.began)
	})
	_ = p.record(e, audit.Record{Stage: audit.Rejected, End: string(Refused), Who: c.User, Via: c.Via, From: c.From, Reason: clip(why.reason)})
	return p.finish(e)
}

// waiting returns the entries that wait to be approved, the oldest first.
func (p *Path) waiting() (list []*entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.byID {
		if e.pending {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *entry) int { return cmp.Compare(a.first, b.first) })
	return list
}

// Waiting returns the writes that wait to be approved, the oldest first.
func (p *Path) Waiting() []Outcome {
	list := p.waiting()
	out := make([]Outcome, len(list))
	for i, e := range list {
		out[i] = p.outcome(e)
	}
	return out
}

// Outcome returns what became of a write, by its number, for as long as it is remembered.
func (p *Path) Outcome(id uint64) (Outcome, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.byID[id]
	if e == nil {
		return Outcome{}, false
	}
	return e.out, true
}

// LastOf returns what became of the last write of a tag that ended since the start, if there was one.
func (p *Path) LastOf(tag string) (Outcome, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.tags[tag]
	if s == nil || s.last.Load() == nil {
		return Outcome{}, false
	}
	return *s.last.Load(), true
}

// expire ends what nobody approved in time.
func (p *Path) expire(now time.Time) {
	for _, e := range p.waiting() {
		if now.After(p.outcome(e).Until) && p.withdraw(e) {
			p.reject(e, Caller{}, &refusal{NotApproved, "nobody approved it in time"})
		}
	}
}

// forget drops what is older than it has to be remembered.
func (p *Path) forget(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.age) && p.age[n].ended && (len(p.age)-n > maxKept || now.Sub(p.age[n].out.Asked) > p.cfg.Keep) {
		e := p.age[n]
		delete(p.byID, e.out.ID)
		if k := keyOf(&e.order); p.kept[k] == e {
			delete(p.kept, k)
		}
		n++
	}
	p.age = slices.Delete(p.age, 0, n)
}
