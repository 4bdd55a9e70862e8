package ctxguard

import (
	"context"
	"time"
)

// root is a context whose children are counted at each look.
type root struct {
	name     string
	ctx      context.Context //nolint:containedctx // what is watched; it is let go when it ends
	expect   func() int
	children int
	expected int
	looks    int // in a row with too many
	told     int // excess at the last report, 0 when there was none since it was right
	floor    floor
}

// Watch counts the children of ctx at each look, whoever made them. expect says how many there should be: the sessions that are open, the
// connections; more than that in three looks in a row is reported. With a nil expect a root is reported whose number of children rises and does not
// fall back: the least of ten looks is above the least of the ten before, three times in a row.
//
// A root is watched until it ends, or until stop is called. expect must not block.
func (g *Guard) Watch(ctx context.Context, name string, expect func() int) (stop func()) {
	if g == nil {
		return func() {}
	}
	r := &root{name: name, ctx: ctx, expect: expect}
	c := g.core
	c.mu.Lock()
	c.roots = append(c.roots, r)
	c.mu.Unlock()
	return func() { c.unwatch(r) }
}

func (c *core) unwatch(r *root) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := make([]*root, 0, len(c.roots)) // a new list: a look may be reading the old one
	for _, x := range c.roots {
		if x != r {
			kept = append(kept, x)
		}
	}
	c.roots = kept
}

// look counts the children of all watched roots, and returns how many roots it reported.
func (c *core) look() int {
	c.mu.Lock()
	roots := c.roots
	c.mu.Unlock()
	n := 0
	for _, r := range roots {
		if r.ctx.Err() != nil {
			c.unwatch(r)
			continue
		}
		if c.lookAt(r) {
			n++
		}
	}
	return n
}

func (c *core) lookAt(r *root) bool {
	size, err := c.census.size(r.ctx)
	if err != nil {
		return false
	}
	expected := 0
	if r.expect != nil {
		expected = r.expect()
	}
	c.mu.Lock()
	r.children, r.expected = size, expected
	tell := r.judge()
	report := Report{Finding: Excess, Scope: r.name, Born: time.Now(), Children: r.children, Expected: r.expected}
	c.mu.Unlock()
	if tell {
		c.counts.excess.Add(1)
		c.report(report)
	}
	return tell
}

// looksWrong is how many looks in a row have to find too many: one may come between a child's birth and its count.
const looksWrong = 3

// judge says whether the root is to be reported: when it is wrong for the third time, and again each time the excess has doubled.
func (r *root) judge() bool {
	if r.expect == nil {
		rising, from := r.floor.add(r.children)
		r.expected = from
		return rising
	}
	excess := r.children - r.expected
	if excess <= 0 {
		r.looks, r.told = 0, 0
		return false
	}
	r.looks++
	if r.looks < looksWrong || excess < 2*r.told {
		return false
	}
	r.told = excess
	return true
}

// window is how many looks one floor is the least of.
const window = 10

// floor follows the least of each window.
type floor struct {
	looks int
	least int
	past  [3]int // of the windows before, the newest last
	full  int
}

// add takes a number, and says at the end of a window whether the floor has risen three times in a row, and from where.
func (f *floor) add(n int) (rising bool, from int) {
	if f.looks == 0 || n < f.least {
		f.least = n
	}
	f.looks++
	from = f.past[0]
	if f.looks < window {
		return false, from
	}
	rising = f.full == len(f.past) && f.past[0] < f.past[1] && f.past[1] < f.past[2] && f.past[2] < f.least
	copy(f.past[:], f.past[1:])
	f.past[len(f.past)-1] = f.least
	f.full = min(f.full+1, len(f.past))
	f.looks = 0
	return rising, from
}
