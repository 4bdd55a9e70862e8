package analyzers

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/ast/astutil"
	"golang.org/x/tools/go/ssa"
)

// roomFor gives a channel room for the one value that its one goroutine sends.
func (r *reporter) roomFor(m *ssa.MakeChan, all []chanOp, start ssa.Instruction) []analysis.SuggestedFix {
	if inLoop(start.Block()) && !inLoopWith(m.Block(), start.Block()) || mostSends(all) != 1 || slices.ContainsFunc(all, func(op chanOp) bool { return inLoop(op.in.Block()) }) {
		return nil
	}
	f := r.file(m.Pos())
	if f == nil {
		return nil
	}
	nodes, _ := astutil.PathEnclosingInterval(f, m.Pos(), m.Pos())
	for _, n := range nodes {
		if call, ok := n.(*ast.CallExpr); ok && len(call.Args) == 1 {
			return []analysis.SuggestedFix{{Message: "Give the channel room for one value", TextEdits: []analysis.TextEdit{{Pos: call.Args[0].End(), End: call.Args[0].End(), NewText: []byte(", 1")}}}}
		}
	}
	return nil
}

// fieldChannel reports an operation on a channel in a field when nothing in the package is its other side and no other package can be.
func (r *reporter) fieldChannel(v *types.Var, use *fieldUse) {
	if use.leaks || r.reachable(v) || len(use.stores) == 0 {
		return
	}
	c := &chanUse{u: r.unit, values: map[ssa.Value]bool{}}
	for _, st := range use.stores {
		m := made(st.Val)
		if m == nil {
			return
		}
		for _, ref := range *m.Referrers() {
			if ref != ssa.Instruction(st) {
				return // somebody else has it too
			}
		}
	}
	for _, l := range use.loads {
		c.add(l)
	}
	r.drain(c)
	if c.escapes {
		return
	}
	there := map[opKind]bool{}
	for _, op := range c.ops {
		there[op.kind] = true
	}
	for _, op := range c.ops {
		if !op.alone || processEnds(op.in.Parent()) {
			continue
		}
		switch {
		case op.kind == receives && !there[sends] && !there[closes]:
			r.report(op.in.Pos(), nil, fmt.Sprintf("nothing in this package sends to the channel %s, nor closes it: this receive waits for ever; close it where its owner stops", v.Name()))
		case op.kind == sends && !there[receives] && slices.ContainsFunc(use.stores, func(st *ssa.Store) bool { return unbuffered(st.Val) }):
			r.report(op.in.Pos(), nil, fmt.Sprintf("nothing in this package receives from the channel %s: this send waits for ever; leave it out", v.Name()))
		}
	}
}

// drain follows a channel as channel does, and through methods that return it to whoever calls them in this package.
func (r *reporter) drain(c *chanUse) {
	for len(c.todo) > 0 && !c.escapes {
		next := c.todo[0]
		c.todo = c.todo[1:]
		for _, ref := range *next.Referrers() {
			switch ref := ref.(type) {
			case *ssa.Return:
				r.returned(c, ref)
			case *ssa.Phi:
				c.add(ref)
			default:
				c.follow(ref, next)
			}
		}
	}
}

func (r *reporter) returned(c *chanUse, ret *ssa.Return) {
	f := ret.Parent()
	obj, ok := f.Object().(*types.Func)
	if !ok || len(ret.Results) != 1 || obj.Exported() && r.pass.Pkg.Name() != "main" {
		c.escapes = true
		return
	}
	if r.behindInterface(f) {
		c.escapes = true
		return
	}
	for _, call := range r.callers[f] {
		if v, ok := call.(*ssa.Call); ok {
			c.add(v)
		}
	}
}

// behindInterface says whether anything in the package calls a method of f's name through an interface.
func (r *reporter) behindInterface(f *ssa.Function) bool {
	if f.Signature.Recv() == nil {
		return false
	}
	for _, g := range r.functions {
		for in := range instructions(g) {
			if c, ok := in.(ssa.CallInstruction); ok && c.Common().IsInvoke() && c.Common().Method.Name() == f.Name() {
				return true
			}
			if mc, ok := in.(*ssa.MakeClosure); ok && boundName(mc.Fn.(*ssa.Function)) == f.Name() {
				return true
			}
		}
	}
	return false
}

// conditions reports a wait for a sync.Cond that nothing in the package signals.
func (r *reporter) conditions() {
	waits, signals := map[string]*ssa.Call{}, map[string]bool{}
	for _, f := range r.functions {
		for in := range instructions(f) {
			c, ok := in.(ssa.CallInstruction)
			if !ok {
				continue
			}
			switch {
			case isCallTo(c.Common(), "(*sync.Cond).Wait"):
				if call, ok := in.(*ssa.Call); ok && condOf(c.Common()) != "" {
					waits[condOf(c.Common())] = call
				}
			case isCallTo(c.Common(), "(*sync.Cond).Signal", "(*sync.Cond).Broadcast"):
				signals[condOf(c.Common())] = true
			}
			for _, op := range in.Operands(nil) { // its Broadcast as a value
				if mc, ok := (*op).(*ssa.MakeClosure); ok {
					if n := boundName(mc.Fn.(*ssa.Function)); n == "Broadcast" || n == "Signal" {
						signals[class(mc.Bindings[0])] = true
					}
				}
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(waits)) {
		call := waits[k]
		field := k[strings.LastIndexByte(k, '.')+1:]
		if !signals[k] && !signals[""] && !(token.IsExported(field) && r.pass.Pkg.Name() != "main") {
			r.report(call.Pos(), nil, fmt.Sprintf("nothing in this package signals %s: this waits for ever; Broadcast where the condition changes, and where its owner stops", k))
		}
	}
}

func condOf(c *ssa.CallCommon) string { return class(receiver(c)) }

// waitsHolding reports a send, a receive or a Wait under a lock that everybody needs who could end it.
func (r *reporter) waitsHolding(f *ssa.Function, in ssa.Instruction, held map[string]lockUse) {
	var kind opKind
	var ch ssa.Value
	switch in := in.(type) {
	case *ssa.Send:
		kind, ch = sends, in.Chan
	case *ssa.UnOp:
		if in.Op != token.ARROW {
			return
		}
		kind, ch = receives, in.X
	default:
		r.groupHolding(in, held)
		return
	}
	cl := r.chanClass(ch)
	if cl == "" || kind == sends && r.mayHaveRoom(cl) {
		return
	}
	others := r.otherSide(cl, kind)
	if len(others) == 0 {
		return
	}
	for _, k := range slices.Sorted(maps.Keys(held)) {
		h := held[k]
		if h.class == "" {
			continue
		}
		if !slices.ContainsFunc(others, func(g *ssa.Function) bool { return !r.needsBefore(g, h.class, cl, kind) || g == f }) {
			what := "send"
			if kind == receives {
				what = "receive"
			}
			r.report(in.Pos(), nil, fmt.Sprintf("this %s waits with the lock %s held (line %d), and %s, the other side, needs that lock: both can wait for ever; give it back before",
				what, h.class, r.line(h.pos), others[0].Name()))
			return
		}
	}
}

// groupHolding is waitsHolding for WaitGroups.
func (r *reporter) groupHolding(in ssa.Instruction, held map[string]lockUse) {
	call, ok := in.(*ssa.Call)
	if !ok || !isCallTo(&call.Call, "(*sync.WaitGroup).Wait") {
		return
	}
	on := class(receiver(&call.Call))
	if on == "" {
		on = r.place(receiver(&call.Call))
	}
	var doers []*ssa.Function
	for _, g := range r.functions {
		if g == in.Parent() {
			continue
		}
		for in := range instructions(g) {
			if c, ok := in.(ssa.CallInstruction); ok && isCallTo(c.Common(), "(*sync.WaitGroup).Done") {
				if v := receiver(c.Common()); class(v) == on || r.place(v) == on {
					doers = append(doers, g)
				}
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(held)) {
		h := held[k]
		if h.class != "" && len(doers) > 0 && !slices.ContainsFunc(doers, func(g *ssa.Function) bool { return !r.needs(g, h.class, 2) }) {
			r.report(in.Pos(), nil, fmt.Sprintf("this waits with the lock %s held (line %d), and %s, which is waited for, needs that lock: both can wait for ever; give it back before",
				h.class, r.line(h.pos), doers[0].Name()))
			return
		}
	}
}

// chanClass names a channel in a field by its type and field, a local one by its place.
func (u *unit) chanClass(v ssa.Value) string {
	if c := class(v); c != "" {
		return c
	}
	if m := made(v); m != nil {
		return u.place(m)
	}
	p := u.place(v)
	if strings.HasPrefix(p, "*(") {
		return ""
	}
	return p
}

// mayHaveRoom says whether a channel of the class may hold anything: it is not known to be made without room everywhere.
func (u *unit) mayHaveRoom(cl string) bool {
	known := false
	for _, f := range u.functions {
		for in := range instructions(f) {
			st, ok := in.(*ssa.Store)
			if !ok || class(st.Addr) != cl || isNilConst(st.Val) {
				continue
			}
			if !unbuffered(st.Val) {
				return true
			}
			known = true
		}
	}
	return !known
}

// otherSide are the functions that do to a channel what ends an operation of the kind.
func (u *unit) otherSide(class string, kind opKind) []*ssa.Function {
	var out []*ssa.Function
	for _, f := range u.functions {
		for in := range instructions(f) {
			if u.ends(in, class, kind) && !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	return out
}

func (u *unit) ends(in ssa.Instruction, class string, kind opKind) bool {
	switch in := in.(type) {
	case *ssa.Send:
		return kind == receives && u.chanClass(in.Chan) == class
	case *ssa.UnOp:
		return in.Op == token.ARROW && kind == sends && u.chanClass(in.X) == class
	case *ssa.Select:
		for _, st := range in.States {
			if kindOf(st) != kind && u.chanClass(st.Chan) == class {
				return true
			}
		}
	case ssa.CallInstruction:
		ch := builtinCall(in, "close")
		return ch != nil && kind == receives && u.chanClass(ch) == class
	}
	return false
}

// needsBefore says whether f takes such a lock, by itself or in a function that it calls, in front of where it serves the channel. What is called by its name
// may be called again.
func (u *unit) needsBefore(f *ssa.Function, class, ch string, kind opKind) bool {
	if f.Parent() == nil {
		return u.needs(f, class, 2)
	}
	for in := range instructions(f) {
		c, ok := in.(ssa.CallInstruction)
		if !ok {
			continue
		}
		use, takes, ok := u.lockCall(c.Common())
		g := c.Common().StaticCallee()
		if !(ok && takes && use.class == class) && (g == nil || g == f || !u.needs(g, class, 1)) {
			continue
		}
		if _, isGo := in.(*ssa.Go); isGo {
			continue
		}
		for op := range instructions(f) {
			if _, atEnd := op.(*ssa.Defer); u.ends(op, ch, kind) && (atEnd || follows(in, op) || reaches(in.Block(), op.Block())) {
				return true
			}
		}
	}
	return false
}

// needs says whether f, or what it calls, takes a lock of the class.
func (u *unit) needs(f *ssa.Function, class string, depth int) bool {
	if depth == 0 || f.Blocks == nil {
		return false
	}
	for in := range instructions(f) {
		c, ok := in.(ssa.CallInstruction)
		if !ok {
			continue
		}
		if use, takes, ok := u.lockCall(c.Common()); ok && takes && use.class == class {
			return true
		}
		if g := c.Common().StaticCallee(); g != nil && g != f && u.needs(g, class, depth-1) {
			if _, isGo := in.(*ssa.Go); !isGo {
				return true
			}
		}
	}
	return false
}
