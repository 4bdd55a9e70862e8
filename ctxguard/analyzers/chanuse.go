package analyzers

import (
	"go/constant"
	"go/token"
	"go/types"

	"golang.org/x/tools/go/ssa"
)

func chanElem(t types.Type) (types.Type, bool) {
	c, ok := t.Underlying().(*types.Chan)
	if !ok {
		return nil, false
	}
	return c.Elem(), true
}

// made is the make of the channel that v is, when v can only be that one.
func made(v ssa.Value) *ssa.MakeChan {
	for range maxDepth {
		switch x := v.(type) {
		case *ssa.MakeChan:
			return x
		case *ssa.ChangeType:
			v = x.X
		default:
			return nil
		}
	}
	return nil
}

// unbuffered says whether v is known to be a channel that holds nothing.
func unbuffered(v ssa.Value) bool {
	m := made(v)
	return m != nil && capacity(m) == 0
}

// capacity is what the channel holds, -1 when only a run can tell.
func capacity(m *ssa.MakeChan) int64 {
	c, ok := m.Size.(*ssa.Const)
	if !ok || c.Value == nil {
		return -1
	}
	n, ok := constant.Int64Val(constant.ToInt(c.Value))
	if !ok {
		return -1
	}
	return n
}

func isReceive(in ssa.Instruction) (*ssa.UnOp, bool) {
	v, ok := in.(*ssa.UnOp)
	return v, ok && v.Op == token.ARROW
}

// builtinCall is the argument of a call of the builtin, nil for anything else.
func builtinCall(in ssa.Instruction, name string) ssa.Value {
	c, ok := in.(ssa.CallInstruction)
	if !ok {
		return nil
	}
	b, ok := c.Common().Value.(*ssa.Builtin)
	if !ok || b.Name() != name || len(c.Common().Args) == 0 {
		return nil
	}
	return c.Common().Args[0]
}

type opKind int

const (
	sends opKind = iota
	receives
	closes
)

// chanOp is one thing that is done with a channel.
type chanOp struct {
	in    ssa.Instruction
	kind  opKind
	alone bool // it waits for nothing else: not one case of several of a select
	loop  bool // a range over the channel
}

// chanUse is everything that is done with one channel, as far as it can be followed: through variables, closures and functions of the package.
type chanUse struct {
	u       *unit
	ops     []chanOp
	escapes bool // somebody else may do anything with it
	values  map[ssa.Value]bool
	todo    []ssa.Value
}

// channel follows the channel that v is.
func (u *unit) channel(v ssa.Value) *chanUse {
	c := &chanUse{u: u, values: map[ssa.Value]bool{}}
	c.add(v)
	for len(c.todo) > 0 && !c.escapes {
		next := c.todo[0]
		c.todo = c.todo[1:]
		if next.Referrers() == nil {
			c.escapes = true
			break
		}
		for _, ref := range *next.Referrers() {
			c.follow(ref, next)
		}
	}
	return c
}

func (c *chanUse) add(v ssa.Value) {
	if !c.values[v] {
		c.values[v] = true
		c.todo = append(c.todo, v)
	}
}

func (c *chanUse) follow(in ssa.Instruction, v ssa.Value) {
	switch in := in.(type) {
	case *ssa.DebugRef, *ssa.BinOp:
	case *ssa.Send:
		if in.X == v {
			c.escapes = true
			return
		}
		c.op(in, sends, true)
	case *ssa.UnOp:
		switch in.Op {
		case token.ARROW:
			c.ops = append(c.ops, chanOp{in, receives, true, in.Block().Comment == "rangechan.loop"})
		case token.MUL:
			c.add(in)
		}
	case *ssa.Select:
		c.selects(in, v)
	case *ssa.ChangeType:
		c.add(in)
	case *ssa.Store:
		c.stored(in, v)
	case *ssa.MakeClosure:
		c.captured(in, v)
	case ssa.CallInstruction:
		c.called(in, v)
	default:
		c.escapes = true
	}
}

func (c *chanUse) op(in ssa.Instruction, kind opKind, alone bool) {
	c.ops = append(c.ops, chanOp{in, kind, alone, false})
}

func (c *chanUse) selects(in *ssa.Select, v ssa.Value) {
	alone := in.Blocking
	for _, st := range in.States { // one that does the same to the same channel in each case is no choice
		alone = alone && st.Dir == in.States[0].Dir && c.u.place(st.Chan) == c.u.place(in.States[0].Chan)
	}
	for _, st := range in.States {
		switch {
		case st.Send == v:
			c.escapes = true
		case st.Chan == v && st.Dir == types.SendOnly:
			c.op(in, sends, alone)
		case st.Chan == v:
			c.op(in, receives, alone)
		}
	}
}

// stored follows a channel into a local variable that never holds another one.
func (c *chanUse) stored(in *ssa.Store, v ssa.Value) {
	if in.Addr == v {
		return
	}
	a, ok := in.Addr.(*ssa.Alloc)
	if !ok || onlyStore(a) != in.Val {
		c.escapes = true
		return
	}
	c.add(a)
}

func (c *chanUse) captured(in *ssa.MakeClosure, v ssa.Value) {
	fn := in.Fn.(*ssa.Function)
	for i, b := range in.Bindings {
		if b == v && i < len(fn.FreeVars) {
			c.add(fn.FreeVars[i])
		}
	}
}

func (c *chanUse) called(in ssa.CallInstruction, v ssa.Value) {
	com := in.Common()
	if b, ok := com.Value.(*ssa.Builtin); ok {
		if b.Name() == "close" {
			c.op(in, closes, false)
		}
		return
	}
	f := com.StaticCallee()
	if f == nil || f.Blocks == nil {
		c.escapes = true
		return
	}
	for i, a := range com.Args {
		if a == v {
			c.add(f.Params[i])
		}
	}
}

// in are the operations of a kind, those of one function when f is not nil.
func (c *chanUse) of(kind opKind, f *ssa.Function) []chanOp {
	var out []chanOp
	for _, op := range c.ops {
		if op.kind == kind && (f == nil || op.in.Parent() == f) {
			out = append(out, op)
		}
	}
	return out
}

// within says whether f, or a function that it calls or makes, does something of the kind with the channel.
func (c *chanUse) within(f *ssa.Function, kind opKind, depth int) bool {
	if f == nil || depth == 0 {
		return false
	}
	if len(c.of(kind, f)) > 0 {
		return true
	}
	for in := range instructions(f) {
		switch in := in.(type) {
		case ssa.CallInstruction:
			if g := in.Common().StaticCallee(); g != nil && g != f && c.within(g, kind, depth-1) {
				return true
			}
		case *ssa.MakeClosure:
			if c.within(in.Fn.(*ssa.Function), kind, depth-1) {
				return true
			}
		}
	}
	return false
}

// spawned is the function that an instruction starts as a goroutine, nil when it starts none that is known.
func spawned(in ssa.Instruction) *ssa.Function {
	switch in := in.(type) {
	case *ssa.Go:
		return in.Call.StaticCallee()
	case *ssa.Call:
		if isCallTo(&in.Call, "(*sync.WaitGroup).Go", "(*golang.org/x/sync/errgroup.Group).Go") && len(in.Call.Args) == 2 {
			switch f := in.Call.Args[1].(type) {
			case *ssa.MakeClosure:
				return f.Fn.(*ssa.Function)
			case *ssa.Function:
				return f
			}
		}
	}
	return nil
}
