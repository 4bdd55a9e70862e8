package device

import (
	"cmp"
	"slices"
	"time"
)

func (l Limits) equal(o Limits) bool {
	return l.Window == o.Window && l.Connections == o.Connections && l.WindowTried.Equal(o.WindowTried) && l.CapsLearned.Equal(o.CapsLearned) && l.MaxRegisters == o.MaxRegisters && l.MaxBits == o.MaxBits && l.MaxWrite == o.MaxWrite &&
		l.MaxItems == o.MaxItems && l.MaxTags == o.MaxTags && l.PDU == o.PDU && l.Gap == o.Gap && l.RequestWorth == o.RequestWorth && l.Generation == o.Generation && l.Of == o.Of && l.Server == o.Server && slices.Equal(l.Holes, o.Holes)
}

// merge returns know with what news adds: fields that are not 0 replace what was known, holes are added. What was configured as a cap is
// never exceeded, a configured gap stays.
func merge(configured, know, news Limits) Limits {
	know.Window = capped(configured.Window, know.Window, news.Window)
	if !news.WindowTried.IsZero() {
		know.WindowTried = news.WindowTried
	}
	if !news.CapsLearned.IsZero() {
		know.CapsLearned = news.CapsLearned
	}
	know.MaxRegisters = capped(configured.MaxRegisters, know.MaxRegisters, news.MaxRegisters)
	know.MaxBits = capped(configured.MaxBits, know.MaxBits, news.MaxBits)
	know.MaxWrite = capped(configured.MaxWrite, know.MaxWrite, news.MaxWrite)
	know.MaxItems = capped(configured.MaxItems, know.MaxItems, news.MaxItems)
	know.PDU = capped(configured.PDU, know.PDU, news.PDU)
	if configured.Gap == 0 && news.Gap != 0 {
		know.Gap = news.Gap
	}
	if news.RequestWorth != 0 {
		know.RequestWorth = news.RequestWorth
	}
	know.Server = cmp.Or(news.Server, know.Server)
	holes := know.Holes
	for _, h := range news.Holes {
		if !slices.ContainsFunc(know.Holes, func(k Span) bool { return k.Area == h.Area && k.From <= h.From && h.To <= k.To }) {
			holes = append(slices.Clip(holes), h) // clipped: plans hold the old slice
		}
	}
	know.Holes = holes
	return know
}

func capped(configured, know, news int) int {
	switch {
	case news == 0:
		return know
	case configured != 0:
		return min(configured, news)
	}
	return news
}

// learn takes limits that the device was found to have. Plans made for others are compiled anew before their next turn.
func (u *unit) learn(news Limits) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if news.equal(Limits{}) {
		return
	}
	was := u.lessons()
	lessons := merge(Limits{}, was, news)
	if lessons.MaxRegisters == was.MaxRegisters && lessons.MaxBits == was.MaxBits && lessons.MaxItems == was.MaxItems {
		news.CapsLearned, lessons.CapsLearned = time.Time{}, was.CapsLearned // they were known
	}
	u.learned = &lessons
	next := merge(u.spec.Limits, u.limits, news)
	u.untold = u.untold || next.Server != u.limits.Server
	u.limits.Server = next.Server // which makes no plan another one
	if next.equal(u.limits) {
		return
	}
	u.shared = u.shared || next.Window != u.limits.Window || !next.WindowTried.Equal(u.limits.WindowTried)
	next.Generation++
	u.limits, u.untold = next, true
	u.alter()
}

// lessons returns what was learned. The caller holds mu.
func (u *unit) lessons() Limits {
	if u.learned == nil {
		return Limits{}
	}
	return *u.learned
}

// capsLast is how long caps hold that a device has taught by refusing more. In the first session behind that they are asked for anew, at the cost of one search: it may have been
// replaced, or have another firmware, and small requests for ever would be the price of what its predecessor refused. How much it lets be written is not tried.
const capsLast = 24 * time.Hour

// doubtCaps forgets caps that have held for long. It is called at the begin of a session.
func (u *unit) doubtCaps(now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	l := u.learned
	if l == nil {
		return
	}
	if age := now.Sub(l.CapsLearned); l.MaxRegisters == 0 && l.MaxBits == 0 && l.MaxItems == 0 || age >= 0 && age < capsLast {
		return
	}
	l.MaxRegisters, l.MaxBits, l.MaxItems = 0, 0, 0
	c := &u.spec.Limits
	u.limits.MaxRegisters, u.limits.MaxBits, u.limits.MaxItems = c.MaxRegisters, c.MaxBits, c.MaxItems
	u.limits.Generation++
	u.untold = true
	u.alter()
}

// identity is what limits are learned of: a device of that address.
func (u *unit) identity() string {
	return u.spec.Driver + " " + u.driver.Endpoint(u.spec.Addr) + "/" + u.spec.Addr.Path
}

// ofThis returns what was learned, nothing when that was of another device that had u's name: it may have lain at another address.
func (u *unit) ofThis(learned Limits) Limits {
	if learned.Of != "" && learned.Of != u.identity() {
		return Limits{}
	}
	return learned
}

// share gives the others on e's connection what u has learned of it: they would have to learn it each for itself, at the cost of a Read.
func (e *endpoint) share(u *unit) {
	if len(e.units) == 1 {
		return
	}
	u.mu.Lock()
	lessons := u.lessons()
	news := Limits{Window: lessons.Window, WindowTried: lessons.WindowTried}
	shared := u.shared
	u.shared = false
	u.mu.Unlock()
	if !shared {
		return
	}
	for _, o := range e.units {
		if o != u {
			o.learn(news)
			o.mu.Lock()
			o.shared = false // it came from here
			o.mu.Unlock()
		}
	}
}

// replanLater makes all groups compile their plans anew although the limits are the same: a tag went out of service or came back.
func (u *unit) replanLater() {
	u.mu.Lock()
	u.limits.Generation++
	u.alter()
	u.mu.Unlock()
}

// tell returns what was learned when there is something new, and whether there is.
func (u *unit) tell() (Limits, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.untold {
		return Limits{}, false
	}
	u.untold = false
	l := u.lessons()
	l.Of = u.identity()
	l.Generation, l.Holes = u.limits.Generation, slices.Clone(l.Holes)
	return l, true
}
