package write

import (
	"math"
	"time"

	"millrace/internal/tag"
)

// Takes returns the kind of the values that are written to t, as the gateway shows them: where its address does not say it, that of the value that the device had last; Null before there was one.
func (p *Path) Takes(t *Target) tag.Kind {
	if k := t.kind(); k != tag.Null {
		return k
	}
	last := p.cfg.Plant.Last([]tag.ID{t.Spec.ID}, nil)[0]
	return t.known(&last)
}

// Range returns between what, both included, a number for t has to be: what its rule and its own range allow, and what a whole number of the device can hold. Without a limit it is infinite.
func (t *Target) Range() (low, high float64) {
	low, high = t.limits()
	k := t.Kind.Elem()
	if !isInteger(k) || k.Width() > 4 {
		return low, high
	}
	least, most := 0.0, math.Ldexp(1, 8*k.Width())-1
	if k == tag.Int8 || k == tag.Int16 || k == tag.Int32 {
		least, most = -math.Ldexp(1, 8*k.Width()-1), math.Ldexp(1, 8*k.Width()-1)-1
	}
	if s := t.Spec.Terms(); s.Scale != 0 {
		a, b := least*s.Scale+s.Bias, most*s.Scale+s.Bias
		least, most = min(a, b), max(a, b)
	}
	return max(low, least), min(high, most)
}

// Would says what would become of an order now: v is the value as the gateway would show it, a whole number of the device rounded, and against says in words what would refuse it, "" when nothing
// that is known. It asks from memory what can be asked without doing anything: nothing is written down, and no turn of the tag's rate is taken. An order without a value is asked about all but that.
func (p *Path) Would(o *Order) (v tag.Value, against string) {
	t, ok := p.Target(o.Tag)
	switch {
	case !ok:
		return o.Value, "there is no such tag, or it is not writable"
	case !o.Caller.Role.Has(t.Rule.Role):
		return o.Value, "it takes the role " + t.Rule.Role.String()
	}
	value := o.Value
	if o.Value.Kind != tag.Null {
		if why := t.accepts(o.Value); why != nil {
			return o.Value, why.reason
		}
		last := p.cfg.Plant.Last([]tag.ID{t.Spec.ID}, nil)[0]
		raw, err := t.raw(o.Value, t.known(&last))
		if err != nil {
			return o.Value, err.Error()
		}
		v, value = t.engineering(raw), t.nearest(o.Value, raw)
	}
	if t.Interlock == nil {
		return v, ""
	}
	if err := t.Interlock.check(p.cfg.Plant.Last, value, time.Now(), anyAge); err != nil {
		return v, err.Error()
	}
	return v, ""
}

// settle has e be none that waits: to see how it went may take long, and whoever takes it back meanwhile is not to be told that he has.
func (p *Path) settle(e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.settled = true
}

// Wished returns the desired value of a tag that waits to be written, the newest, and whether one does.
func (p *Path) Wished(name string) (Outcome, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var newest *entry
	for e := range p.wishing {
		if e.order.Tag == name && !e.settled && (newest == nil || e.began.After(newest.began)) {
			newest = e
		}
	}
	if newest == nil {
		return Outcome{}, false
	}
	return newest.out, true
}

// TakeBack ends the desired values of a tag that have not left, as refused, and returns how many that were. It takes the role that the write takes. One that is about to be written is written.
func (p *Path) TakeBack(name string, c Caller, why string) (int, error) {
	t, ok := p.Target(name)
	if !ok || !c.Role.Has(t.Rule.Role) {
		return 0, &NotAllowedError{"it takes the role that the write takes"}
	}
	text := words(c.User+" took it back", why)
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for e, cancel := range p.wishing {
		if e.order.Tag == name && !e.settled {
			cancel(&refusal{Overtaken, clip(text)})
			n++
		}
	}
	return n, nil
}
