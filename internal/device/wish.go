package device

import (
	"context"
	"errors"
	"slices"

	"millrace/internal/tag"
)

// A wish is a value that a tag is to have, written with the next turn of its group: right before the read, which then shows it. Wishes of one tag are not written one after the other: the
// newest takes the place of the one that waits.

// Superseded is the Reason of a *NotSentError when a newer wish took the place of one that waited.
const Superseded = "a newer value took its place"

// Wish has a value written at the next poll of its tag, and returns behind that poll. Until then it waits, for as long as ctx allows, also while the device is down; a wish for the same tag
// that waited before ends with a *NotSentError. newest, which may be nil, says whether there is no newer one that is still on its way here: it is called with a lock held, and looks at what is
// the caller's own. check is as in WriteIf. The Result is as that of Write, and so is the error.
func (r *Runtime) Wish(ctx context.Context, device string, w Write, newest func() bool, check func() error) (Result, error) {
	x := &errand{device: device, writes: []Write{w}, res: make([]Result, 1), tags: []tag.ID{w.Tag.ID}, check: check, done: make(chan struct{})}
	u := r.unit(device)
	if u == nil {
		return Result{Err: &UnknownError{Name: device}}, &UnknownError{Name: device}
	}
	x.unit = u
	if why := u.wish(x, newest); why != "" {
		x.unsent(why, nil)
		return x.res[0], x.err
	}
	err := r.await(ctx, x)
	var ns *NotSentError
	if s, ok := r.Device(device); ok && errors.As(err, &ns) && ctx.Err() != nil && errors.Is(ns.Err, ctx.Err()) && !s.State.connected() {
		ns.Reason += ": the device is down: " + s.Reason
	}
	return x.res[0], err
}

// wish has x wait for its group's turn, or says why it does not.
func (u *unit) wish(x *errand, newest func() bool) string {
	if !u.table.serves(x.tags) {
		return "a tag of it is out of service, or not of this device"
	}
	if !u.table.means(x.writes) {
		return tagChanged
	}
	g := u.groupOf(x.tags[0])
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.wishless:
		return "the device is being removed or changed"
	case newest != nil && !newest():
		return Superseded
	}
	g.wishes = slices.DeleteFunc(g.wishes, func(o *errand) bool {
		if o.tags[0] != x.tags[0] {
			return o.claim.Load() == forgone
		}
		o.refuse(Superseded)
		return true
	})
	g.wishes = append(g.wishes, x)
	return ""
}

// dropWishes refuses what waits for u, which is on its way out, and whatever comes.
func (u *unit) dropWishes() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.wishless = true
	for _, g := range u.groups {
		for _, x := range g.wishes {
			x.refuse("the device is being removed or changed")
		}
		g.wishes = nil
	}
}

// takeWishes claims the wishes of g that may be written now. While writes are paused they wait; one for a tag that went out of service meanwhile is refused.
func (g *group) takeWishes() []*errand {
	u := g.unit
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(g.wishes) == 0 || u.pausedNow() != "" {
		return nil
	}
	var taking []*errand
	for _, x := range g.wishes {
		if !u.table.serves(x.tags) {
			x.refuse("a tag of it went out of service before its turn came")
			continue
		}
		if x.claim.CompareAndSwap(unclaimed, taken) {
			taking = append(taking, x)
		}
	}
	g.wishes = nil
	return taking
}

// grant writes the wishes of g. What became of them is told by told, behind the read that follows; the error is the transport's, and there is no read then.
func (e *endpoint) grant(ctx context.Context, g *group) (told func(), err error) {
	wishes := g.takeWishes()
	if len(wishes) == 0 {
		return func() {}, nil
	}
	var w []Write
	var whose []*errand
	for _, x := range wishes {
		if why := x.vetoed(); why != nil {
			x.unsent(why.Error(), why)
			continue
		}
		w, whose = append(w, x.writes[0]), append(whose, x)
	}
	if len(w) > 0 {
		res := make([]Result, len(w))
		e.writing.Store(true)
		err = e.session.Write(ctx, g.plan, w, res)
		e.writing.Store(false)
		e.outcome.wish = err != nil
		for i, x := range whose {
			x.res[0], x.err = res[i], err
		}
	}
	_, pushed := e.session.(Subscriber) // what it has may have been on its way before
	turn := g.unit.table.turns()
	return func() {
		for _, x := range wishes {
			x.res[0].Read = !pushed && g.unit.table.readSince(x.tags[0], turn)
			close(x.done)
		}
	}, e.overran(g.unit, err)
}
