package analyzers

import (
	"fmt"
	"go/constant"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"

	"golang.org/x/tools/go/ssa"
)

// walk follows every path of a function from the place where something was acquired and looks for one that ends without a release.
//
// What it knows on a path decides which branches can be taken: the thing is there, so its error is nil and its ok is true; a condition that
// was true and that nothing has changed is true again. A value that joins others in a phi is followed only over the edge that the path took.
type walk struct {
	u      *unit
	fn     *ssa.Function
	from   ssa.Instruction // who acquired; to come here again is to lose the first
	rel    *release
	event  func(ssa.Instruction, *state) usage   // what an instruction does; use of the unit when nil
	chosen func(cond ssa.Value, taken bool) bool // whether a branch is a release, as that of a select can be
	atLoop bool                                  // coming to from again is no loss
	repeat map[string]int                        // how often each condition is asked
	seen   map[string]bool
	steps  int
}

// maxSteps bounds the search in one function; beyond it nothing is said.
const maxSteps = 3000

// state is what is known at one point of one path.
type state struct {
	values []ssa.Value // that hold the thing
	cells  []string    // places of local variables that hold it
	errs   []ssa.Value // that are nil, since the thing is there
	oks    []ssa.Value // that are true, since it is
	known  map[string]fact
}

// fact is how a condition went, and the block that it was asked in.
type fact struct {
	is bool
	at *ssa.BasicBlock
}

func (s *state) clone() *state {
	c := &state{values: slices.Clone(s.values), cells: slices.Clone(s.cells), errs: slices.Clone(s.errs), oks: slices.Clone(s.oks), known: map[string]fact{}}
	for k, v := range s.known {
		c.known[k] = v
	}
	return c
}

func (s *state) key(b *ssa.BasicBlock) string {
	var parts []string
	add := func(kind string, vs []ssa.Value) {
		for _, v := range vs {
			parts = append(parts, kind+fmt.Sprintf("%p", v))
		}
	}
	add("v", s.values)
	add("e", s.errs)
	add("o", s.oks)
	for _, c := range s.cells {
		parts = append(parts, "c"+c)
	}
	for k, v := range s.known {
		parts = append(parts, fmt.Sprint("k", k, v.is))
	}
	slices.Sort(parts)
	return fmt.Sprint(b.Index) + strings.Join(parts, ",")
}

// trail is a path, read backwards: the decisions that led here.
type trail struct {
	before *trail
	cond   ssa.Value
	taken  bool
	to     *ssa.BasicBlock
}

// loss is how a path ends without a release.
type loss struct {
	*trail
	end  ssa.Instruction // a return, or from itself, when a loop came around
	loop bool
}

// held is the state's view for one instruction.
type held struct {
	u *unit
	s *state
}

func (h held) places() []string {
	return slices.DeleteFunc(slices.Clone(h.s.cells), func(c string) bool { return strings.HasPrefix(c, "err ") })
}

func (h held) holds(v ssa.Value) bool { return slices.Contains(h.s.values, v) }

func (h held) holdsCell(addr ssa.Value) bool {
	if len(h.s.cells) == 0 {
		return false
	}
	p := h.u.place(addr)
	for _, c := range h.s.cells {
		if c == p || strings.HasPrefix(c, p+".") {
			return true
		}
	}
	return false
}

// run looks for a loss, beginning behind instruction i of b.
func (w *walk) run(b *ssa.BasicBlock, i int, s *state) *loss {
	if w.event == nil {
		w.event = func(in ssa.Instruction, s *state) usage { return w.u.use(in, held{w.u, s}, w.rel) }
	}
	w.seen = map[string]bool{}
	w.repeat = map[string]int{}
	for _, blk := range w.fn.Blocks {
		if c, ok := last(blk).(*ssa.If); ok {
			k, _ := w.condKey(c.Cond)
			w.repeat[k]++
		}
	}
	w.given(b, s)
	return w.block(b, i, s, nil)
}

func last(b *ssa.BasicBlock) ssa.Instruction {
	if len(b.Instrs) == 0 {
		return nil
	}
	return b.Instrs[len(b.Instrs)-1]
}

// given puts into s what must have been true for b to be reached at all.
func (w *walk) given(b *ssa.BasicBlock, s *state) {
	if s.known == nil {
		s.known = map[string]fact{}
	}
	for d := b; d.Idom() != nil; d = d.Idom() {
		c, ok := last(d.Idom()).(*ssa.If)
		if !ok || len(d.Preds) != 1 {
			continue
		}
		if k, negated := w.condKey(c.Cond); w.repeat[k] > 1 {
			if _, has := s.known[k]; !has {
				s.known[k] = fact{(d.Idom().Succs[0] == d) != negated, d.Idom()}
			}
		}
	}
}

func (w *walk) block(b *ssa.BasicBlock, i int, s *state, t *trail) *loss {
	for ; i < len(b.Instrs); i++ {
		in := b.Instrs[i]
		if in == w.from {
			if w.atLoop {
				return nil
			}
			return &loss{t, in, true}
		}
		if w.event(in, s) != looks || w.saidFalse(in, s) {
			return nil
		}
		w.step(in, s)
		switch in := in.(type) {
		case *ssa.Return:
			return &loss{t, in, false}
		case *ssa.Panic:
			return nil
		case *ssa.If:
			return w.branch(b, in, s, t)
		case *ssa.Jump:
			return w.enter(b, b.Succs[0], s, t)
		}
	}
	return nil
}

func (w *walk) branch(b *ssa.BasicBlock, in *ssa.If, s *state, t *trail) *loss {
	if taken, ok := w.decide(in.Cond, s, 0); ok {
		if w.ends(in.Cond, taken, s) {
			return nil
		}
		return w.enter(b, b.Succs[index(taken)], s, t)
	}
	k, negated := w.condKey(in.Cond)
	for _, taken := range []bool{true, false} {
		if w.ends(in.Cond, taken, s) {
			continue
		}
		next := s.clone()
		if w.repeat[k] > 1 {
			next.known[k] = fact{taken != negated, b}
		}
		if l := w.enter(b, b.Succs[index(taken)], next, &trail{t, in.Cond, taken, b.Succs[index(taken)]}); l != nil {
			return l
		}
	}
	return nil
}

func index(taken bool) int {
	if taken {
		return 0
	}
	return 1
}

// ends says whether the branch itself releases: Rows.Next that answers false has closed the rows.
func (w *walk) ends(cond ssa.Value, taken bool, s *state) bool {
	if w.chosen != nil && w.chosen(cond, taken) {
		return true
	}
	if w.rel == nil || w.rel.endedBy == "" {
		return false
	}
	if n, ok := cond.(*ssa.UnOp); ok && n.Op == token.NOT {
		return w.ends(n.X, !taken, s)
	}
	c, ok := cond.(*ssa.Call)
	if !ok || taken {
		return false
	}
	f := callee(&c.Call)
	return f != nil && f.Name() == w.rel.endedBy && slices.Contains(s.values, receiver(&c.Call))
}

// saidFalse says whether an assertion wants what ends the thing to have answered false: require.False(t, rows.Next()).
func (w *walk) saidFalse(in ssa.Instruction, s *state) bool {
	c, ok := in.(*ssa.Call)
	if !ok || w.rel == nil || w.rel.endedBy == "" {
		return false
	}
	f := callee(&c.Call)
	if f == nil || f.Name() != w.rel.endedBy || !slices.Contains(s.values, receiver(&c.Call)) {
		return false
	}
	for _, ref := range *c.Referrers() {
		if a, ok := ref.(*ssa.Call); ok {
			if g := callee(&a.Call); g != nil && strings.HasPrefix(g.Name(), "False") {
				return true
			}
		}
	}
	return false
}

// receiver is what a method is called on, nil for a call of anything else.
func receiver(c *ssa.CallCommon) ssa.Value {
	if c.IsInvoke() {
		return c.Value
	}
	if f := c.StaticCallee(); f != nil && f.Signature.Recv() != nil && len(c.Args) > 0 {
		return c.Args[0]
	}
	return nil
}

// enter takes the edge from b to next, if the same is not known there already.
func (w *walk) enter(b, next *ssa.BasicBlock, s *state, t *trail) *loss {
	if w.steps++; w.steps > maxSteps {
		return nil
	}
	if tickerEnd(b, next) {
		return nil
	}
	if next.Dominates(b) { // the next turn asks anew what was asked in this one
		maps.DeleteFunc(s.known, func(_ string, f fact) bool { return next.Dominates(f.at) })
	}
	edge := slices.Index(next.Preds, b)
	n := 0
	var joins []*ssa.Phi
	for _, in := range next.Instrs {
		phi, ok := in.(*ssa.Phi)
		if !ok {
			break
		}
		joins = append(joins, phi)
		n++
	}
	for _, set := range []*[]ssa.Value{&s.values, &s.errs, &s.oks} {
		was := slices.Clone(*set)
		for _, phi := range joins {
			put(set, ssa.Value(phi), slices.Contains(was, phi.Edges[edge]))
		}
	}
	for _, phi := range joins {
		w.join(phi, phi.Edges[edge], s)
	}
	key := s.key(next)
	if w.seen[key] {
		return nil
	}
	w.seen[key] = true
	return w.block(next, n, s, t)
}

// join notes what a flag is when this edge has set it.
func (w *walk) join(phi *ssa.Phi, v ssa.Value, s *state) {
	delete(s.known, name(phi))
	switch v := v.(type) {
	case *ssa.Const:
		if v.Value != nil && v.Value.Kind() == constant.Bool {
			s.known[name(phi)] = fact{constant.BoolVal(v.Value), phi.Block()}
		}
	default:
		if isBoolType(v.Type()) {
			if val, ok := w.decide(v, s, 0); ok {
				s.known[name(phi)] = fact{val, phi.Block()}
			}
		}
	}
}

func isBoolType(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&types.IsBoolean != 0
}

func put[T comparable](set *[]T, v T, in bool) {
	i := slices.Index(*set, v)
	switch {
	case in && i < 0:
		*set = append(*set, v)
	case !in && i >= 0:
		*set = slices.Delete(*set, i, i+1)
	}
}

// step follows the thing, its error and its ok through one instruction.
func (w *walk) step(in ssa.Instruction, s *state) {
	switch in := in.(type) {
	case *ssa.Store:
		p := w.u.place(in.Addr)
		if w.u.rootAlloc(in.Addr) != nil {
			put(&s.cells, p, slices.Contains(s.values, in.Val))
		}
		put(&s.cells, "err "+p, slices.Contains(s.errs, in.Val))
		for k := range s.known {
			if strings.Contains(k, p) {
				delete(s.known, k)
			}
		}
	case *ssa.UnOp:
		if in.Op == token.MUL {
			p := w.u.place(in.X)
			put(&s.values, ssa.Value(in), slices.Contains(s.cells, p))
			put(&s.errs, ssa.Value(in), slices.Contains(s.cells, "err "+p))
		}
	default:
		v, ok := in.(ssa.Value)
		if !ok {
			return
		}
		if x := sameThing(v); x != nil {
			put(&s.values, v, slices.Contains(s.values, x))
			put(&s.errs, v, slices.Contains(s.errs, x))
		}
	}
}

// decide says which way a condition goes on this path, if that is known.
func (w *walk) decide(cond ssa.Value, s *state, depth int) (taken, known bool) {
	if slices.Contains(s.oks, cond) {
		return true, true
	}
	if ex, ok := cond.(*ssa.Extract); ok && ex.Index == 1 { // whether an error that is nil is one of a type
		if ta, ok := ex.Tuple.(*ssa.TypeAssert); ok && slices.Contains(s.errs, ta.X) {
			return false, true
		}
	}
	switch c := cond.(type) {
	case *ssa.Const:
		if c.Value != nil && c.Value.Kind() == constant.Bool {
			return constant.BoolVal(c.Value), true
		}
	case *ssa.UnOp:
		if c.Op == token.NOT {
			taken, known = w.decide(c.X, s, depth+1)
			return !taken, known
		}
	case *ssa.BinOp:
		if taken, known = w.compare(c, s); known {
			return taken, known
		}
	case *ssa.Call:
		if asksError(&c.Call, s) {
			return false, true
		}
	}
	k, negated := w.condKey(cond)
	if v, ok := s.known[k]; ok {
		return v.is != negated, true
	}
	return false, false
}

// compare knows that the thing is not nil and that its error is.
func (w *walk) compare(c *ssa.BinOp, s *state) (taken, known bool) {
	if c.Op != token.EQL && c.Op != token.NEQ {
		return false, false
	}
	for _, pair := range [][2]ssa.Value{{c.X, c.Y}, {c.Y, c.X}} {
		isNil := isNilConst(pair[1])
		switch {
		case slices.Contains(s.values, pair[0]) && isNil:
			return c.Op == token.NEQ, true
		case slices.Contains(s.errs, pair[0]):
			return (c.Op == token.EQL) == isNil, true
		}
	}
	return false, false
}

func isNilConst(v ssa.Value) bool {
	c, ok := v.(*ssa.Const)
	return ok && c.IsNil()
}

// asksError says whether a call is a question about the error that is nil here, as errors.Is is.
func asksError(c *ssa.CallCommon, s *state) bool {
	f := callee(c)
	if f == nil || !isBool(f.Signature().Results()) {
		return false
	}
	for _, a := range c.Args {
		if slices.Contains(s.errs, a) {
			return true
		}
	}
	return false
}

func isBool(t *types.Tuple) bool { return t.Len() == 1 && isBoolType(t.At(0).Type()) }

// condKey names a condition by what it compares, with whether it is the opposite of what the name says.
func (w *walk) condKey(v ssa.Value) (key string, negated bool) {
	switch v := v.(type) {
	case *ssa.UnOp:
		if v.Op == token.NOT {
			key, negated = w.condKey(v.X)
			return key, !negated
		}
	case *ssa.BinOp:
		x, y := w.u.place(v.X), w.u.place(v.Y)
		if v.Op == token.NEQ {
			return x + "==" + y, true
		}
		return x + v.Op.String() + y, false
	}
	return w.u.place(v), false
}
