package driver

import (
	"context"
	"slices"

	"millrace/internal/device"
	"millrace/s7"
)

const (
	// s7Parts is into how many parts a refused range is cut at once. The shortest usual PDU has room for 19 variables, so that a step of the search costs a
	// request: two steps find one bad tag among 222.
	s7Parts = 16

	// maxExtraVars is how many variables one Read adds to find what a PLC refuses: 54 requests under the shortest usual PDU. The next Read goes on.
	maxExtraVars = 1024

	// maxExtraVarsNever is the same while the PLC has not let anything be read on this session: it may not be ready yet.
	maxExtraVarsNever = 2 * s7Parts

	// s7Round is how many refused ranges are cut at once.
	s7Round = 8
)

// s7Part is cells lo to hi of range r, asked for on their own. A piece of a long tag has no cells.
type s7Part struct {
	r, lo, hi int
	parent    int // index in s7Search.nodes, -1 none
}

// span returns the addresses of a part of r as Limits knows them.
func (pt s7Part) span(r *s7Range) device.Span {
	if pt.parent < 0 {
		return r.span
	}
	from, end := extent(r.cells[pt.lo:pt.hi])
	return r.sub(from, end)
}

// sub returns the addresses of the bytes from to, but not including, end.
func (r *s7Range) sub(from, end int) device.Span {
	unit := 1
	if r.item.Area.Numbered() {
		unit = 2
	}
	return device.Span{Area: r.span.Area, From: r.span.From + uint32((from-r.off)/unit), To: r.span.From + uint32((end-r.off)/unit) - 1}
}

// extent returns where the bytes of cells begin and end among those of all ranges.
func extent(cells []s7Cell) (from, end int) {
	from = int(cells[0].off)
	for i := range cells {
		end = max(end, int(cells[i].off+cells[i].bytes))
	}
	return from, end
}

// s7Node is a refused part that is asked for again in parts.
type s7Node struct {
	s7Part
	why   s7Refusal
	parts int
	came  int
}

// s7Search is the search for what a PLC refuses, and what it has taught.
type s7Search struct {
	trusted bool // something was read on this session: a PLC that refuses everything has no holes, it is not ready
	nodes   []s7Node
	todo    []int // nodes to be cut
	extra   int
	good    []device.Span // what came, in this Read
	alive   []uint32      // DBs of which something came
	absent  []uint32      // DBs that the PLC says it does not have, of a single tag
	holes   []device.Span
	learned []device.Span
	vars    []s7.Var
	parts   []s7Part
}

// reset begins a new Read. That something was read stays known.
func (b *s7Search) reset() {
	b.nodes, b.todo, b.extra = b.nodes[:0], b.todo[:0], 0
	b.good, b.alive, b.absent, b.holes, b.learned = b.good[:0], b.alive[:0], b.absent[:0], b.holes[:0], nil
}

// refused adds a part that is to be cut.
func (b *s7Search) refused(pt s7Part, why s7Refusal) {
	b.todo = append(b.todo, len(b.nodes))
	b.nodes = append(b.nodes, s7Node{s7Part: pt, why: why})
}

// hole notes addresses that are not there.
func (b *s7Search) hole(s device.Span) { b.holes = append(b.holes, s) }

// came notes that a part came. When all parts of a refused range have, it is the gaps between them.
func (b *s7Search) came(plan *s7Plan, pt s7Part) {
	r := &plan.ranges[pt.r]
	b.good = append(b.good, pt.span(r))
	if key := r.span.From >> 16; len(b.alive) == 0 || b.alive[len(b.alive)-1] != key && !slices.Contains(b.alive, key) {
		b.alive = append(b.alive, key)
	}
	if pt.parent < 0 {
		return
	}
	n := &b.nodes[pt.parent]
	if n.came++; n.came < n.parts {
		return
	}
	cells := r.cells[n.lo:n.hi]
	end := int(cells[0].off)
	for i := range cells {
		if at := int(cells[i].off); at > end {
			b.hole(r.sub(end, at))
		}
		end = max(end, int(cells[i].off+cells[i].bytes))
	}
}

// cut returns the bounds of at most s7Parts parts of cells. Those that begin at the same byte stay together, unless all do.
func cut(cells []s7Cell, into []int) []int {
	into = append(into[:0], 0)
	for k := 1; k < s7Parts; k++ {
		at := k * len(cells) / s7Parts
		for at < len(cells) && at > 0 && cells[at].off == cells[at-1].off {
			at++
		}
		if at > into[len(into)-1] && at < len(cells) {
			into = append(into, at)
		}
	}
	if len(into) == 1 && len(cells) > 1 {
		into = append(into, len(cells)/2)
	}
	return append(into, len(cells))
}

// findHoles asks for parts of what was refused until each cell has come or was refused on its own, then says what was learned.
func (s *s7Session) findHoles(ctx context.Context, plan *s7Plan) error {
	b := &s.search
	err := s.missingDBs(ctx, plan)
	for len(b.todo) > 0 && err == nil {
		err = s.cutSome(ctx, plan)
	}
	if b.trusted {
		b.learned = b.trimmed()
	}
	if len(b.learned) > 0 {
		s.obs.Learned(device.Limits{Holes: b.learned})
	}
	return err
}

// trimmed returns the holes without what came: a tag that reaches into one may share its other bytes with tags that do not.
func (b *s7Search) trimmed() []device.Span {
	var out []device.Span
	for _, h := range b.holes {
		left := []device.Span{h}
		for _, g := range b.good {
			left = without(left, g)
		}
		out = append(out, left...)
	}
	return out
}

// without returns spans with g taken out of them.
func without(spans []device.Span, g device.Span) []device.Span {
	var out []device.Span
	for _, h := range spans {
		if h.Area != g.Area || g.To < h.From || h.To < g.From {
			out = append(out, h)
			continue
		}
		if h.From < g.From {
			out = append(out, device.Span{Area: h.Area, From: h.From, To: g.From - 1})
		}
		if g.To < h.To {
			out = append(out, device.Span{Area: h.Area, From: g.To + 1, To: h.To})
		}
	}
	return out
}

// missingDBs looks at DBs of which nothing came and that the PLC says it does not have. When it says so of a tag by itself, the whole DB is a hole, and no part of it
// needs to be asked for.
func (s *s7Session) missingDBs(ctx context.Context, plan *s7Plan) error {
	b := &s.search
	err := s.askDBs(ctx, plan)
	for _, db := range b.absent {
		if !slices.Contains(b.alive, db) {
			s.missing(plan, db)
		}
	}
	return err
}

// askDBs asks for a single tag of the DBs of which longer ranges were refused alone.
func (s *s7Session) askDBs(ctx context.Context, plan *s7Plan) error {
	b := &s.search
	b.begin()
	var asked []uint32
	for _, n := range b.nodes {
		r := &plan.ranges[n.r]
		db, ok := dbOf(r, n.why)
		if !ok || slices.Contains(b.alive, db) || slices.Contains(b.absent, db) || slices.Contains(asked, db) {
			continue
		}
		asked = append(asked, db)
		s.askPart(plan, s7Part{r: n.r, lo: n.lo, hi: n.lo + 1, parent: -1})
	}
	if len(asked) == 0 {
		return nil
	}
	err := s.client.Read(ctx, b.vars)
	for i, db := range asked {
		if v := &b.vars[i]; answered(v) && refusalOf(v).code == s7.ReturnNoObject {
			s.dec.ts = v.At.UnixNano()
			b.absent = append(b.absent, db)
		}
	}
	return err
}

// dbOf returns the DB of r, and whether the PLC said that it does not have it.
func dbOf(r *s7Range, why s7Refusal) (db uint32, missing bool) {
	return r.span.From >> 16, r.item.Area == s7.AreaDB && why.code == s7.ReturnNoObject
}

// missing makes one hole of a DB, and rows of what was to be searched in it.
func (s *s7Session) missing(plan *s7Plan, db uint32) {
	b := &s.search
	whole := device.Span{Area: uint8(s7.AreaDB), From: db << 16, To: db<<16 | 0xFFFF}
	b.holes = slices.DeleteFunc(b.holes, func(h device.Span) bool { return h.Area == whole.Area && h.From>>16 == db })
	b.hole(whole)
	b.todo = slices.DeleteFunc(b.todo, func(i int) bool {
		n := &b.nodes[i]
		of, missing := dbOf(&plan.ranges[n.r], n.why)
		if !missing || of != db {
			return false
		}
		s.deny(plan, n.s7Part, n.why.quality())
		return true
	})
}

// begin makes room for another question.
func (b *s7Search) begin() { b.vars, b.parts = b.vars[:0], b.parts[:0] }

// cutSome asks for the parts of some of what is to do. It takes the newest, that is the smallest, first: when the budget ends some tags are known to be bad, rather
// than all ranges to be somewhat shorter.
func (s *s7Session) cutSome(ctx context.Context, plan *s7Plan) error {
	b := &s.search
	first := max(0, len(b.todo)-s7Round)
	todo := slices.Clone(b.todo[first:])
	b.todo = b.todo[:first]
	b.begin()
	var bounds []int
	for _, i := range todo {
		n := b.nodes[i]
		r := &plan.ranges[n.r]
		bounds = cut(r.cells[n.lo:n.hi], bounds)
		if b.extra+len(bounds)-1 > b.budget() {
			s.giveUp(plan, &n)
			continue
		}
		b.extra += len(bounds) - 1
		b.nodes[i].parts = len(bounds) - 1
		for k := 1; k < len(bounds); k++ {
			s.askPart(plan, s7Part{r: n.r, lo: n.lo + bounds[k-1], hi: n.lo + bounds[k], parent: i})
		}
	}
	if len(b.vars) == 0 {
		return nil
	}
	err := s.client.Read(ctx, b.vars)
	for i := range b.parts {
		s.settle(plan, b.parts[i], &b.vars[i])
	}
	return err
}

// budget is how many variables the search may add to a Read.
func (b *s7Search) budget() int {
	if b.trusted {
		return maxExtraVars
	}
	return maxExtraVarsNever
}

// askPart adds a part to what is asked. Its bytes come to where they are in those of all ranges.
func (s *s7Session) askPart(plan *s7Plan, pt s7Part) {
	r := &plan.ranges[pt.r]
	from, end := extent(r.cells[pt.lo:pt.hi])
	item := r.item
	if item.Area.Numbered() {
		item.Address += uint32(from-r.off) / 2
		item.Count = uint16((end - from) / 2)
	} else {
		item.Address += uint32(from-r.off) * 8
		item.Count = uint16(end - from)
	}
	s.search.vars = append(s.search.vars, s7.Var{Item: item, Data: s.memory[from:from:end]})
	s.search.parts = append(s.search.parts, pt)
}

// giveUp ends the search in a part for this Read. Of a PLC that refuses everything that is the answer for each tag; elsewhere some of the tags may be in order, so
// nothing is said of them, and the next Read finds more: it does not ask for the holes found by now.
func (s *s7Session) giveUp(plan *s7Plan, n *s7Node) {
	if !s.search.trusted {
		s.deny(plan, n.s7Part, n.why.quality())
	}
}
