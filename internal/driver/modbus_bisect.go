package driver

import (
	"context"

	"millrace/internal/device"
	"millrace/modbus"
)

const (
	// maxExtra is how many requests one Read adds to find what a device refuses. The next Read goes on: a device that lost half of its tags
	// must not be stormed.
	maxExtra = 256

	// maxExtraNever is the same while a unit has not let anything be read on this session: enough to find one bad tag among the 125
	// registers of a request (7 times two halves). A device that is not ready yet may refuse everything.
	maxExtraNever = 16

	// minLearnedCap is the smallest cap believed of a device that refuses with "illegal address". Below, it is more likely a border between
	// two blocks that no request may cross.
	minLearnedCap = 8
)

// part is cells lo to hi of a request, asked for on their own.
type part struct {
	req, lo, hi int
	parent      int // index in bisection.nodes, -1 none
}

// node is a refused part that is asked for again in two halves.
type node struct {
	part
	count     int // addresses
	code      modbus.ExceptionCode
	half      [2]int // addresses of its halves
	succeeded int    // halves that came as a whole
}

// bisection is the search for what a device refuses, and what it has taught.
type bisection struct {
	nodes   []node
	todo    []int // nodes to be halved
	extra   int
	best    []largest // of each unit that was read on this session; seldom more than a few
	learned device.Limits
	holes   []hole
}

// hole is a hole that is believed once the unit lets something be read: one that refuses everything has none, it is not ready.
type hole struct {
	req  int
	span device.Span
}

// largest is the largest read of a unit that succeeded.
type largest struct {
	unit            uint8
	registers, bits best
}

// best is the largest read of a kind of area that succeeded on this session.
type best struct {
	ever, now int  // now is of this Read
	doubted   bool // nothing in this Read was as large, and something smaller was refused
}

// reset begins a new Read. What reads succeeded stays known, but for sizes that are doubted: a device that is configured anew may take less than it did, and would be searched in each Read if
// what it took before were held against it.
func (b *bisection) reset() {
	b.nodes, b.todo, b.extra = b.nodes[:0], b.todo[:0], 0
	b.learned, b.holes = device.Limits{}, b.holes[:0]
	for i := range b.best {
		b.best[i].registers.reset()
		b.best[i].bits.reset()
	}
}

func (x *best) reset() {
	if x.doubted && x.now > 0 {
		x.ever = x.now
	}
	x.now, x.doubted = 0, false
}

func (x *best) succeeded(count int) { x.ever, x.now = max(x.ever, count), max(x.now, count) }

// bestOf returns the largest read that succeeded in r's unit and kind of area.
func (b *bisection) bestOf(r *planRequest) *best {
	i := 0
	for i < len(b.best) && b.best[i].unit != r.unit {
		i++
	}
	if i == len(b.best) {
		b.best = append(b.best, largest{unit: r.unit})
	}
	if r.area.isBits() {
		return &b.best[i].bits
	}
	return &b.best[i].registers
}

// budget is how many requests the search may add for r's unit.
func (b *bisection) budget(r *planRequest) int {
	if b.trusts(r) {
		return maxExtra
	}
	return maxExtraNever
}

// trusts says whether r's unit has let anything be read on this session.
func (b *bisection) trusts(r *planRequest) bool {
	for _, l := range b.best {
		if l.unit == r.unit {
			return l.registers.ever+l.bits.ever > 0
		}
	}
	return false
}

// middle returns where to halve cells: as near to the half as it can be without parting cells that begin at the same address.
func middle(cells []cell) int {
	half := len(cells) / 2
	for d := range half {
		for _, m := range [...]int{half + d, half - d} {
			if m > 0 && m < len(cells) && cells[m].off != cells[m-1].off {
				return m
			}
		}
	}
	return half
}

// refused adds a part that is to be halved.
func (b *bisection) refused(pt part, count int, code modbus.ExceptionCode) {
	b.todo = append(b.todo, len(b.nodes))
	b.nodes = append(b.nodes, node{part: pt, count: count, code: code})
}

// succeeded notes that a part of so many addresses came.
func (b *bisection) succeeded(plan *modbusPlan, pt part, count int) {
	b.bestOf(&plan.reqs[pt.req]).succeeded(count)
	if pt.parent < 0 {
		return
	}
	n := &b.nodes[pt.parent]
	n.half[n.succeeded] = count
	n.succeeded++
	if n.succeeded == 2 {
		b.conclude(plan, n)
	}
}

// single notes that a cell on its own, or several of the same addresses, was refused: there is a hole. A long array or text may be too long instead.
func (b *bisection) single(plan *modbusPlan, pt part, code modbus.ExceptionCode) {
	r := &plan.reqs[pt.req]
	c := &r.cells[pt.lo]
	if code == modbus.IllegalDataValue && c.n > minLearnedCap && (c.size > 0 || c.piece >= 0) {
		b.learnCap(r.area, int(c.n)/2)
		return
	}
	b.holes = append(b.holes, hole{pt.req, r.sub(int(c.off), int(c.n))})
}

// conclude explains why a part was refused whose halves both came: the gap between them, or its length.
func (b *bisection) conclude(plan *modbusPlan, n *node) {
	r := &plan.reqs[n.req]
	mid := n.lo + middle(r.cells[n.lo:n.hi])
	end := 0
	for _, c := range r.cells[n.lo:mid] {
		end = max(end, int(c.off)+int(c.n))
	}
	next := int(r.cells[mid].off)
	if n.code == modbus.IllegalDataAddress && next > end {
		b.holes = append(b.holes, hole{n.req, r.sub(end, next-end)})
		return
	}
	best := b.bestOf(r)
	most := max(n.half[0], n.half[1], best.ever)
	best.doubted = best.doubted || most >= n.count && best.now < n.count
	if most >= n.count || n.code == modbus.IllegalDataAddress && most < minLearnedCap {
		return // a longer read succeeds: it is not the length
	}
	b.learnCap(r.area, most)
}

func (b *bisection) learnCap(a modbusArea, n int) {
	if a.isBits() {
		b.learned.MaxBits = lesser(b.learned.MaxBits, n)
		return
	}
	b.learned.MaxRegisters = lesser(b.learned.MaxRegisters, n)
}

// bisect asks for the halves of all refused parts until each cell has come or was refused on its own, then says what was learned.
func (s *modbusSession) bisect(ctx context.Context, plan *modbusPlan) error {
	b := &s.split
	var err error
	for len(b.todo) > 0 && err == nil {
		err = s.halve(ctx, plan)
	}
	for _, h := range b.holes {
		if b.trusts(&plan.reqs[h.req]) {
			b.learned.Holes = append(b.learned.Holes, h.span)
		}
	}
	if len(b.learned.Holes) > 0 || b.learned.MaxRegisters > 0 || b.learned.MaxBits > 0 {
		s.obs.Learned(b.learned)
	}
	return err
}

// halve asks for the halves of what is to do, as much as the window takes in one go. It takes the newest, that is the smallest parts first: when the
// budget ends, some tags are known to be bad, rather than all parts to be somewhat smaller.
func (s *modbusSession) halve(ctx context.Context, plan *modbusPlan) error {
	b := &s.split
	first := max(0, len(b.todo)-s.window)
	todo := b.todo[first:]
	b.todo = b.todo[:first:first] // clipped: what is added must not overwrite todo
	var parts []part
	s.calls = s.calls[:0]
	for _, i := range todo {
		n := b.nodes[i]
		if b.extra+2 > b.budget(&plan.reqs[n.req]) {
			s.giveUp(plan, &n)
			continue
		}
		b.extra += 2
		mid := n.lo + middle(plan.reqs[n.req].cells[n.lo:n.hi])
		for _, pt := range [...]part{{n.req, n.lo, mid, i}, {n.req, mid, n.hi, i}} {
			s.askPart(plan, pt)
			parts = append(parts, pt)
		}
	}
	err := s.send(ctx, s.calls)
	for i, pt := range parts {
		err = firstOf(err, s.settle(plan, pt, &s.calls[i]))
	}
	return err
}

func (s *modbusSession) askPart(plan *modbusPlan, pt part) {
	r := &plan.reqs[pt.req]
	cells := r.cells[pt.lo:pt.hi]
	from, end := cells[0].off, uint16(0)
	for i := range cells {
		end = max(end, cells[i].off+cells[i].n)
	}
	s.ask(r.unit, r.area, r.from+from, end-from)
}

// giveUp ends the search in a part for this Read. Of a unit that refuses everything that is the answer for each tag; elsewhere some of the
// tags may be in order, so nothing is said of them, and the next Read finds more: it does not ask for the holes found by now.
func (s *modbusSession) giveUp(plan *modbusPlan, n *node) {
	r := &plan.reqs[n.req]
	if s.split.trusts(r) {
		return
	}
	for i := n.lo; i < n.hi; i++ {
		s.dec.refuse(plan, &s.long, &r.cells[i], exceptionQuality(n.code))
	}
}
