package analyzers

import (
	"fmt"
	"go/types"
	"regexp"
	"slices"

	"golang.org/x/tools/go/ssa"
)

// checkCancelFields looks at every field and global variable that a cancel function is put into.
func checkCancelFields(r *reporter) {
	for _, v := range r.ownFields() {
		r.cancelKept(v, r.fields[v], "field "+v.Name())
	}
	for _, g := range r.ownGlobals() {
		r.cancelKept(g.Object().(*types.Var), r.globals[g], "variable "+g.Name())
	}
}

func (r *reporter) cancelKept(v *types.Var, use *fieldUse, name string) {
	if use.leaks || !isFuncNoArgs(v.Type()) {
		return
	}
	rel := &release{}
	called := r.released(use, rel)
	for _, st := range use.stores {
		h := r.source(st.Val, map[ssa.Value]bool{})
		if h == nil || len(h.Release) > 0 {
			continue
		}
		pos := st.Pos()
		if !pos.IsValid() {
			pos = v.Pos()
		}
		if !called {
			if !r.reachable(v) {
				r.report(pos, nil, fmt.Sprintf("%s is put into the %s, which nothing in this package calls: %s; call it where its owner is closed", h.What, name, h.Ends))
			}
			continue
		}
		if why := r.overwrites(st, v, rel); why != "" {
			r.report(pos, nil, fmt.Sprintf("%s takes the place of the one in the %s, which is not called before, %s: each time %s; call the old one first", h.What, name, why, h.Ends))
		}
	}
}

// reachable says whether other packages can call what is in v.
func (r *reporter) reachable(v *types.Var) bool { return v.Exported() && r.pass.Pkg.Name() != "main" }

// again are names of methods that are made to be called more than once.
var again = regexp.MustCompile(`^([Rr]e(connect|dial|set|start|fresh|new|open|sume|try|load|place|init|subscribe|build|create|arm)|[Rr]otate|[Ss]witch|[Nn]ext([A-Z]|$)|[Uu]pdate|[Ss]et([A-Z]|$))`)

// overwrites says why a store to the field loses the cancel function that was in it, "" when it does not.
func (r *reporter) overwrites(st *ssa.Store, v *types.Var, rel *release) string {
	f := st.Parent()
	fa, ok := st.Addr.(*ssa.FieldAddr)
	if !ok || r.fresh(fa.X) || r.releasesField(f, v, rel, map[*ssa.Function]bool{}) || guarded(r.unit, st, fa) {
		return ""
	}
	switch {
	case inLoop(st.Block()) && !definedInLoop(fa.X, st.Block()):
		return "though the loop comes here again"
	case again.MatchString(f.Name()) && !r.callersCall(f, v):
		return "though " + f.Name() + " is called more than once by its name"
	}
	if c := r.calledAgain(f, paramIndex(fa.X, f), 3, v); c != nil {
		return fmt.Sprintf("though %s is called in a loop in line %d", f.Name(), r.line(c.Pos()))
	}
	return ""
}

// fresh says whether v is an object that its function has just made.
func (u *unit) fresh(v ssa.Value) bool {
	switch v := v.(type) {
	case *ssa.Alloc:
		return true
	case *ssa.FieldAddr:
		return u.fresh(v.X)
	case *ssa.UnOp:
		if a := u.local(v.X); a != nil {
			if val := onlyStore(a); val != nil {
				return u.fresh(val)
			}
		}
	}
	return false
}

// definedInLoop says whether each turn of the loop around b has a v of its own.
func definedInLoop(v ssa.Value, b *ssa.BasicBlock) bool {
	in, ok := v.(ssa.Instruction)
	if !ok {
		return false
	}
	if load, ok := v.(*ssa.UnOp); ok {
		return definedInLoop(load.X, b)
	}
	if fa, ok := v.(*ssa.FieldAddr); ok {
		return definedInLoop(fa.X, b)
	}
	return in.Block() == b || reaches(in.Block(), b) && reaches(b, in.Block())
}

// paramIndex is the parameter of f that v is, or is reached from, -1 for none.
func paramIndex(v ssa.Value, f *ssa.Function) int {
	for range maxDepth {
		switch x := v.(type) {
		case *ssa.Parameter:
			return slices.Index(f.Params, x)
		case *ssa.FieldAddr:
			v = x.X
		case *ssa.UnOp:
			v = x.X
		default:
			return -1
		}
	}
	return -1
}

// calledAgain is a call of f, or of who calls it, in a loop, with the same object as parameter i each time, and without a call of what the field holds before it.
func (u *unit) calledAgain(f *ssa.Function, i, depth int, field *types.Var) ssa.CallInstruction {
	if depth == 0 || i < 0 {
		return nil
	}
	for _, c := range u.callers[f] {
		args := c.Common().Args
		if i >= len(args) || u.fresh(args[i]) || callsField(c, field) {
			continue
		}
		if inLoop(c.Block()) {
			if !definedInLoop(args[i], c.Block()) {
				return c
			}
			continue
		}
		if again := u.calledAgain(c.Parent(), paramIndex(args[i], c.Parent()), depth-1, field); again != nil {
			return again
		}
	}
	return nil
}

// callersCall says whether f has callers, and all of them call what the field holds first.
func (u *unit) callersCall(f *ssa.Function, field *types.Var) bool {
	all := u.callers[f]
	return len(all) > 0 && !slices.ContainsFunc(all, func(c ssa.CallInstruction) bool { return !callsField(c, field) })
}

// callsField says whether the function of c calls what the field holds in front of c.
func callsField(c ssa.CallInstruction, field *types.Var) bool {
	for _, in := range before(c.Parent(), c.Block(), slices.Index(c.Block().Instrs, c.(ssa.Instruction))) {
		call, ok := in.(*ssa.Call)
		if !ok {
			continue
		}
		load, ok := call.Call.Value.(*ssa.UnOp)
		if !ok {
			continue
		}
		if fa, ok := load.X.(*ssa.FieldAddr); ok && fieldVar(fa) == field {
			return true
		}
	}
	return false
}

// guarded says whether the store is reached only after the object was asked for its state: whether it runs already, or has one.
func guarded(u *unit, st *ssa.Store, fa *ssa.FieldAddr) bool {
	base := u.place(fa.X)
	for d := st.Block(); d.Idom() != nil; d = d.Idom() {
		c, ok := last(d.Idom()).(*ssa.If)
		if ok && asksField(u, c.Cond, base, 0) {
			return true
		}
	}
	return false
}

// asksField says whether a condition looks at a field of the object.
func asksField(u *unit, v ssa.Value, base string, depth int) bool {
	if depth > 4 {
		return false
	}
	switch v := v.(type) {
	case *ssa.UnOp:
		if fa, ok := v.X.(*ssa.FieldAddr); ok {
			return u.place(fa.X) == base
		}
		return asksField(u, v.X, base, depth+1)
	case *ssa.BinOp:
		return asksField(u, v.X, base, depth+1) || asksField(u, v.Y, base, depth+1)
	case *ssa.Call: // x.flag.Load()
		for _, a := range v.Call.Args {
			if fa, ok := a.(*ssa.FieldAddr); ok && u.place(fa.X) == base {
				return true
			}
		}
	}
	return false
}
