package analyzers

import (
	"fmt"
	"go/token"
	"go/types"
	"slices"

	"golang.org/x/tools/go/ssa"
)

// checkChannels looks at the channels that a function makes and that stay with it, its closures and its helpers, and at those in fields that only
// this package can reach.
func checkChannels(r *reporter) {
	for _, f := range r.functions {
		for in := range instructions(f) {
			switch in := in.(type) {
			case *ssa.MakeChan:
				r.localChannel(f, in)
			case *ssa.Send:
				r.nilChannel(in, in.Chan)
			case *ssa.UnOp:
				if in.Op == token.ARROW {
					r.nilChannel(in, in.X)
				}
			}
		}
	}
	for _, v := range r.ownFields() {
		if _, ok := chanElem(v.Type()); ok {
			r.fieldChannel(v, r.fields[v])
		}
	}
	r.conditions()
}

func (r *reporter) nilChannel(in ssa.Instruction, ch ssa.Value) {
	if isNilConst(ch) {
		r.report(in.Pos(), nil, "this channel is nil: the goroutine waits for ever; make the channel first")
	}
}

func (r *reporter) localChannel(f *ssa.Function, m *ssa.MakeChan) {
	c := r.channel(m)
	if c.escapes || processEnds(f) {
		return
	}
	r.nobodyThere(c, m)
	for _, b := range f.Blocks {
		for i, in := range b.Instrs {
			g := spawned(in)
			if g == nil {
				continue
			}
			if _, ok := in.(*ssa.Go); ok || isCallTo(in.(ssa.CallInstruction).Common(), "(*sync.WaitGroup).Go") {
				s := started{f, b, i, in, g}
				if !c.handedTo(s) {
					continue
				}
				r.senderLeft(s, c, m)
				r.receiverLeft(s, c)
			}
		}
	}
}

// handedTo says whether a goroutine works with this channel and not with another one that its function gets as the same parameter elsewhere.
func (c *chanUse) handedTo(s started) bool {
	args := s.in.(ssa.CallInstruction).Common().Args
	for i, p := range s.g.Params {
		if c.values[p] && i < len(args) {
			return c.values[args[i]]
		}
	}
	return true
}

// nobodyThere reports an operation whose other side does not exist.
func (r *reporter) nobodyThere(c *chanUse, m *ssa.MakeChan) {
	there := map[opKind]bool{}
	for _, op := range c.ops {
		there[op.kind] = true
	}
	for _, op := range c.ops {
		if !op.alone || processEnds(op.in.Parent()) {
			continue
		}
		if op.kind == sends && !there[receives] && capacity(m) == 0 {
			r.report(op.in.Pos(), nil, fmt.Sprintf("nobody receives from the channel that line %d makes: this send waits for ever; receive from it, or leave the channel out", r.line(m.Pos())))
		}
		if op.kind == receives && !there[sends] && !there[closes] {
			r.report(op.in.Pos(), nil, fmt.Sprintf("nobody sends to the channel that line %d makes, nor closes it: this receive waits for ever; close it when what it stands for has happened", r.line(m.Pos())))
		}
	}
}

// started is a goroutine that a function starts.
type started struct {
	f  *ssa.Function
	b  *ssa.BasicBlock
	i  int // of in within b
	in ssa.Instruction
	g  *ssa.Function // what runs in it
}

// senderLeft reports a goroutine that sends when the function that started it may have returned without receiving.
func (r *reporter) senderLeft(s started, c *chanUse, m *ssa.MakeChan) {
	all, alone := s.sends(c)
	if len(alone) == 0 || hasRoom(m, alone) || c.within(s.g, receives, 2) || r.heardElsewhere(s, c) {
		return
	}
	w := &walk{u: r.unit, fn: s.f, from: s.in, atLoop: true, event: c.servedOutside(s.b, receives), chosen: c.chosen(receives)}
	hears := r.hearsOfEnd(w, s, m, alone)
	if l := w.run(s.b, s.i+1, &state{}); l != nil {
		r.report(alone[0].in.Pos(), r.roomFor(m, all, s.in), fmt.Sprintf(
			"this send waits for ever when %s has left%s without receiving: give the channel room for it (make(chan T, 1)), or select on a context's Done as well", s.f.Name(), r.path(l)))
		return
	}
	if capacity(m) == 0 && !hears {
		r.sendsTooOften(s, c, m, all, alone)
	}
}

// hearsOfEnd has w end where the function hears, over another channel, that the goroutine has taken a way without the sends in question, or is past them, and says whether
// there is such a channel.
func (r *reporter) hearsOfEnd(w *walk, s started, m *ssa.MakeChan, alone []chanOp) (heard bool) {
	for in := range instructions(s.f) {
		other, ok := in.(*ssa.MakeChan)
		if !ok || other == m {
			continue
		}
		c := r.channel(other)
		if !slices.ContainsFunc(c.ops, func(op chanOp) bool { return saysEnd(op, alone) }) {
			continue
		}
		heard = true
		event, chosen, took, hears := w.event, w.chosen, c.served(receives), c.chosen(receives)
		w.event = func(in ssa.Instruction, st *state) usage { return max(event(in, st), took(in, st)) }
		w.chosen = func(cond ssa.Value, taken bool) bool { return chosen(cond, taken) || hears(cond, taken) }
	}
	return heard
}

// saysEnd says whether op is a send or close behind which the goroutine does none of the sends any more: one of its own, or one of somebody who has waited for it.
func saysEnd(op chanOp, alone []chanOp) bool {
	if op.kind == receives {
		return false
	}
	if calls(op.in.Parent(), op.in, "(*sync.WaitGroup).Wait") && calls(alone[0].in.Parent(), nil, "(*sync.WaitGroup).Done") {
		return true
	}
	for _, a := range alone {
		if op.in.Parent() != a.in.Parent() {
			return false
		}
		if _, atEnd := op.in.(*ssa.Defer); !atEnd && follows(op.in, a.in) {
			return false
		}
	}
	return true
}

// calls says whether f calls a function, in front of an instruction if one is given.
func calls(f *ssa.Function, before ssa.Instruction, name string) bool {
	for in := range instructions(f) {
		if c, ok := in.(ssa.CallInstruction); ok && isCallTo(c.Common(), name) && (before == nil || follows(in, before)) {
			return true
		}
	}
	return false
}

// sends are the sends of the goroutine, and those of them that wait for nothing else.
func (s started) sends(c *chanUse) (all, alone []chanOp) {
	for _, op := range c.of(sends, nil) {
		if op.in.Parent() == s.g || op.in.Parent().Parent() == s.g {
			all = append(all, op)
			if op.alone {
				alone = append(alone, op)
			}
		}
	}
	return all, alone
}

// hasRoom says whether the channel holds all that one goroutine sends, or may do so.
func hasRoom(m *ssa.MakeChan, alone []chanOp) bool {
	room := capacity(m)
	return room < 0 || room > 0 && (mostSends(alone) <= int(room) || inLoop(alone[0].in.Block()))
}

// heardElsewhere says whether another goroutine receives as well.
func (r *reporter) heardElsewhere(s started, c *chanUse) bool {
	for _, op := range c.of(receives, nil) {
		if p := op.in.Parent(); p != s.f && p != s.g && !r.calledBy(p, s.f) {
			return true
		}
	}
	return false
}

// sendsTooOften reports more sends to an unbuffered channel than the function receives.
func (r *reporter) sendsTooOften(s started, c *chanUse, m *ssa.MakeChan, all, alone []chanOp) {
	received := c.of(receives, s.f)
	if len(received) == 0 || slices.ContainsFunc(received, func(op chanOp) bool { return op.loop || inLoop(op.in.Block()) }) {
		return
	}
	switch {
	case len(received) == 1 && inLoop(s.b) && !inLoopWith(m.Block(), s.b):
		r.report(alone[0].in.Pos(), nil, fmt.Sprintf("every turn of the loop in line %d starts a goroutine that sends here, and %s receives only once: the others wait for ever; receive as often, or give the channel room for all",
			r.line(s.in.Pos()), s.f.Name()))
	case mostSends(all) > len(received):
		r.report(alone[len(alone)-1].in.Pos(), nil, fmt.Sprintf("this goroutine can send %d times, and %s receives %d times: the last send waits for ever; return behind the first", mostSends(all), s.f.Name(), len(received)))
	}
}

func inLoopWith(a, b *ssa.BasicBlock) bool { return a == b || reaches(a, b) && reaches(b, a) }

// calledBy says whether f itself runs p, as a helper or a deferred function.
func (r *reporter) calledBy(p, f *ssa.Function) bool {
	for in := range instructions(f) {
		switch in := in.(type) {
		case *ssa.Call:
			if in.Call.StaticCallee() == p {
				return true
			}
		case *ssa.Defer:
			if in.Call.StaticCallee() == p {
				return true
			}
		}
	}
	return false
}

// mostSends is how many of the operations, all of one function, one path can meet.
func mostSends(ops []chanOp) int {
	best := 0
	for _, op := range ops {
		n := 1
		for _, next := range ops {
			if next.in == op.in || next.in.Parent() != op.in.Parent() {
				continue
			}
			if follows(op.in, next.in) {
				n++
			}
		}
		best = max(best, n)
	}
	return best
}

// follows says whether a path leads from a to b.
func follows(a, b ssa.Instruction) bool {
	if a.Block() == b.Block() {
		return slices.Index(a.Block().Instrs, a) < slices.Index(b.Block().Instrs, b)
	}
	return reaches(a.Block(), b.Block())
}

// servedOutside is served, and believes that a loop which does the operation, unless it is the loop of start, has a turn.
func (c *chanUse) servedOutside(start *ssa.BasicBlock, kinds ...opKind) func(ssa.Instruction, *state) usage {
	loops := map[*ssa.BasicBlock]bool{}
	for _, op := range c.ops {
		b := op.in.Block()
		if !slices.Contains(kinds, op.kind) || b.Parent() != start.Parent() {
			continue
		}
		for _, l := range loopsAround(b) {
			if slices.Contains(l, start) || !op.alone && op.kind != closes && leavesBySelect(l, op.in.Block()) {
				continue
			}
			for _, x := range b.Parent().Blocks {
				if slices.Contains(l, x) || slices.ContainsFunc(x.Succs, func(y *ssa.BasicBlock) bool { return slices.Contains(l, y) }) {
					loops[x] = true // the block before a loop asks whether there is a first turn
				}
			}
		}
	}
	delete(loops, start)
	served := c.served(kinds...)
	return func(in ssa.Instruction, s *state) usage {
		if loops[in.Block()] {
			return releases
		}
		return served(in, s)
	}
}

// leavesBySelect says whether a case of the select in b can leave the loop, otherwise than by counting what came.
func leavesBySelect(loop []*ssa.BasicBlock, b *ssa.BasicBlock) bool {
	seen := map[*ssa.BasicBlock]bool{}
	todo := []*ssa.BasicBlock{b}
	for len(todo) > 0 {
		x := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[x] {
			continue
		}
		seen[x] = true
		counts := false
		if c, ok := last(x).(*ssa.If); ok {
			counts = counted(c.Cond)
		}
		for _, s := range x.Succs {
			if slices.Contains(loop, s) {
				todo = append(todo, s)
			} else if !counts && returns(s) {
				return true
			}
		}
	}
	return false
}

// counted says whether a condition compares a number of the loop with another one, and is not the choice of a select.
func counted(cond ssa.Value) bool {
	cmp, ok := cond.(*ssa.BinOp)
	if !ok {
		return false
	}
	if ex, ok := cmp.X.(*ssa.Extract); ok {
		if _, ok := ex.Tuple.(*ssa.Select); ok {
			return false
		}
	}
	b, ok := cmp.X.Type().Underlying().(*types.Basic)
	return ok && b.Info()&types.IsInteger != 0
}

// returns says whether a return can be reached from b: the end of a test by Fatal is none.
func returns(b *ssa.BasicBlock) bool {
	if _, ok := last(b).(*ssa.Return); ok {
		return true
	}
	for _, x := range b.Parent().Blocks {
		if _, ok := last(x).(*ssa.Return); ok && reaches(b, x) {
			return true
		}
	}
	return false
}

// served is the event of a walk that ends when the function, or what it calls, does the operation.
func (c *chanUse) served(kinds ...opKind) func(ssa.Instruction, *state) usage {
	at := map[ssa.Instruction]bool{}
	for _, op := range c.ops {
		if slices.Contains(kinds, op.kind) {
			if _, ok := op.in.(*ssa.Select); !ok || op.alone {
				at[op.in] = true
			}
		}
	}
	return func(in ssa.Instruction, _ *state) usage {
		if at[in] {
			return releases
		}
		switch in := in.(type) {
		case *ssa.Call:
			if g := in.Call.StaticCallee(); g != nil && slices.ContainsFunc(kinds, func(k opKind) bool { return c.within(g, k, 4) }) {
				return keeps
			}
		case *ssa.Defer:
			if g := in.Call.StaticCallee(); g != nil && slices.ContainsFunc(kinds, func(k opKind) bool { return c.within(g, k, 4) }) {
				return keeps
			}
		case *ssa.MakeClosure: // a function that is called later by its variable
			fn := in.Fn.(*ssa.Function)
			if slices.ContainsFunc(kinds, func(k opKind) bool { return c.within(fn, k, 4) }) && !onlyStarted(in) {
				return keeps
			}
		}
		return looks
	}
}

// onlyStarted says whether a closure is nothing but the function of a go statement.
func onlyStarted(mc *ssa.MakeClosure) bool {
	for _, ref := range *mc.Referrers() {
		switch ref := ref.(type) {
		case *ssa.Go, *ssa.DebugRef:
		case *ssa.Call:
			if spawned(ref) == nil {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// chosen says whether a branch is the case of a select that does the operation.
func (c *chanUse) chosen(kinds ...opKind) func(cond ssa.Value, taken bool) bool {
	return func(cond ssa.Value, taken bool) bool {
		st := selectState(cond)
		return st != nil && taken && c.values[st.Chan] && slices.Contains(kinds, kindOf(st))
	}
}

func kindOf(st *ssa.SelectState) opKind {
	if st.Dir == types.SendOnly {
		return sends
	}
	return receives
}

// selectState is the case that a condition asks for: SSA compares the index of what a select has chosen with that of one case after the other.
func selectState(cond ssa.Value) *ssa.SelectState {
	cmp, ok := cond.(*ssa.BinOp)
	if !ok || cmp.Op != token.EQL {
		return nil
	}
	ex, ok := cmp.X.(*ssa.Extract)
	if !ok || ex.Index != 0 {
		return nil
	}
	sel, ok := ex.Tuple.(*ssa.Select)
	k, isConst := cmp.Y.(*ssa.Const)
	if !ok || !isConst || int(k.Int64()) >= len(sel.States) || k.Int64() < 0 {
		return nil
	}
	return sel.States[k.Int64()]
}

// receiverLeft reports a goroutine that receives when the function that started it may return without sending or closing.
func (r *reporter) receiverLeft(s started, c *chanUse) {
	for _, op := range c.of(receives, s.g) {
		need, what := []opKind{sends, closes}, "sends to the channel nor closes it"
		if op.loop {
			need, what = []opKind{closes}, "closes the channel"
		}
		if !op.alone || r.servedElsewhere(s, c, need) || c.closedBefore(s) {
			continue
		}
		w := &walk{u: r.unit, fn: s.f, from: s.in, atLoop: true, event: c.servedOutside(s.b, need...), chosen: c.chosen(need...)}
		if l := w.run(s.b, s.i+1, &state{}); l != nil {
			r.report(op.in.Pos(), nil, fmt.Sprintf("this goroutine waits for ever when %s has left%s: neither %s nor anybody else %s there; close it by defer", s.f.Name(), r.path(l), s.f.Name(), what))
		}
	}
}

// servedElsewhere says whether another function than the one that started the goroutine does what it waits for.
func (r *reporter) servedElsewhere(s started, c *chanUse, need []opKind) bool {
	return slices.ContainsFunc(c.ops, func(o chanOp) bool {
		return slices.Contains(need, o.kind) && o.in.Parent() != s.f && !r.calledBy(o.in.Parent(), s.f)
	})
}

// closedBefore says whether the function has closed the channel, or deferred that, before it starts the goroutine.
func (c *chanUse) closedBefore(s started) bool {
	return slices.ContainsFunc(before(s.f, s.b, s.i), func(in ssa.Instruction) bool {
		return c.deferred(in, closes) || slices.ContainsFunc(c.ops, func(op chanOp) bool { return op.kind == closes && op.in == in })
	})
}

// before are the instructions of f that every path to instruction i of b has passed.
func before(f *ssa.Function, b *ssa.BasicBlock, i int) []ssa.Instruction {
	out := slices.Clone(b.Instrs[:i])
	for d := b.Idom(); d != nil; d = d.Idom() {
		out = append(out, d.Instrs...)
	}
	return out
}

// deferred says whether in defers the operation.
func (c *chanUse) deferred(in ssa.Instruction, kind opKind) bool {
	d, ok := in.(*ssa.Defer)
	if !ok {
		return false
	}
	for _, op := range c.ops {
		if op.kind == kind && op.in == in {
			return true
		}
	}
	g := d.Call.StaticCallee()
	return g != nil && c.within(g, kind, 3)
}
