package analyzers

import (
	"fmt"
	"go/token"
	"go/types"

	"golang.org/x/tools/go/ssa"
)

// checkStores looks at contexts and cancel functions that are put where they outlive what they belong to.
func checkStores(r *reporter) {
	removed := r.removals()
	for _, f := range r.functions {
		if r.inTest(f.Pos()) {
			continue
		}
		for in := range instructions(f) {
			switch in := in.(type) {
			case *ssa.Store:
				r.stored(f, in)
			case *ssa.MapUpdate:
				r.mapped(f, in.Pos(), class(in.Map), in.Value, removed)
			case *ssa.Call:
				if isCallTo(&in.Call, "(*sync.Map).Store") && len(in.Call.Args) == 3 {
					r.mapped(f, in.Pos(), class(in.Call.Args[0]), in.Call.Args[2], removed)
				}
			}
		}
	}
}

// stored judges a context that is assigned to a global variable, or the context of a request that is kept in anything but a local variable.
func (r *reporter) stored(f *ssa.Function, st *ssa.Store) {
	if g, ok := st.Addr.(*ssa.Global); ok {
		r.storedGlobal(f, st, g)
		return
	}
	if !isContext(st.Val.Type()) || !r.requestContext(st.Val, 0) {
		return
	}
	where := ""
	switch addr := st.Addr.(type) {
	case *ssa.FreeVar:
		if !localToHandler(r.local(addr)) {
			where = "a variable that all requests share"
		}
	case *ssa.FieldAddr:
		if !r.fresh(addr.X) && !handlesOnly(addr.X) && !fromPool(addr.X) {
			where = "a field"
		}
	}
	if where != "" {
		r.report(st.Pos(), nil, fmt.Sprintf("the context of a request is put into %s: it ends when the handler returns, and holds on to the request until another takes its place; hand it on as a parameter", where))
	}
}

// localToHandler says whether a variable belongs to the function that got the request.
func localToHandler(a *ssa.Alloc) bool { return a != nil && handles(a.Parent()) }

// handlesOnly says whether v is an object that came with the request itself.
func handlesOnly(v ssa.Value) bool { return isType(v.Type(), "net/http", "Request") }

// fromPool says whether v was taken out of a sync.Pool, by the same function: it is for this request alone.
func fromPool(v ssa.Value) bool {
	for x := v; x != nil; x = sameThing(x) {
		if c, ok := x.(*ssa.Call); ok {
			return isCallTo(&c.Call, "(*sync.Pool).Get")
		}
	}
	return false
}

func (r *reporter) storedGlobal(f *ssa.Function, st *ssa.Store, g *ssa.Global) {
	if g.Pkg != f.Pkg || processEnds(f) || f.Name() == "init" || f.Synthetic != "" {
		return
	}
	use := r.globals[g]
	elem := g.Type().(*types.Pointer).Elem()
	if sl, ok := elem.Underlying().(*types.Slice); ok && (isContext(sl.Elem()) || isCancel(sl.Elem())) {
		if r.onlyGrows(use) {
			r.report(st.Pos(), nil, fmt.Sprintf("%s grows by one each time and nothing in this package takes anything out: what is in it is never collected; take it out when its work is done", g.Name()))
		}
		return
	}
	if !isContext(elem) || isNilConst(st.Val) || r.endless(st.Val, 0) != "" {
		return
	}
	for _, other := range use.stores {
		if isNilConst(other.Val) {
			return
		}
	}
	r.report(st.Pos(), nil, fmt.Sprintf("a context is put into the global variable %s and nothing takes it out: it, its values and its children stay until another takes its place; hand it on as a parameter", g.Name()))
}

// onlyGrows says whether all that is ever assigned to a slice is the slice with more behind it.
func (r *reporter) onlyGrows(use *fieldUse) bool {
	for _, st := range use.stores {
		c, ok := st.Val.(*ssa.Call)
		if !ok || builtinCall(c, "append") == nil {
			return false
		}
	}
	return len(use.stores) > 0
}

func isCancel(t types.Type) bool {
	return isType(t, "context", "CancelFunc") || isType(t, "context", "CancelCauseFunc")
}

// removals are the maps, by class, that something is taken out of, or that are made anew.
func (r *reporter) removals() map[string]bool {
	out := map[string]bool{}
	stores := map[string]int{}
	for _, f := range r.functions {
		for in := range instructions(f) {
			for _, b := range []string{"delete", "clear"} {
				if m := builtinCall(in, b); m != nil {
					out[class(m)] = true
				}
			}
			switch in := in.(type) {
			case *ssa.Store:
				if _, ok := in.Val.Type().Underlying().(*types.Map); !ok {
					continue
				}
				c := class(in.Addr)
				if _, isMake := in.Val.(*ssa.MakeMap); !isMake {
					out[c] = true // a map from elsewhere, or none
				} else if fa, ok := in.Addr.(*ssa.FieldAddr); ok && r.fresh(fa.X) {
					continue
				} else if f.Synthetic == "" {
					if stores[c]++; stores[c] > 0 && !lazy(in) {
						out[c] = true
					}
				}
			case ssa.CallInstruction:
				if f := callee(in.Common()); f != nil {
					switch f.FullName() {
					case "(*sync.Map).Delete", "(*sync.Map).LoadAndDelete", "(*sync.Map).CompareAndDelete", "(*sync.Map).Clear":
						out[class(in.Common().Args[0])] = true
					case "maps.DeleteFunc":
						out[class(in.Common().Args[0])] = true
					}
				}
			}
		}
	}
	return out
}

// lazy says whether a map is made because there is none yet.
func lazy(st *ssa.Store) bool {
	for d := st.Block(); d.Idom() != nil; d = d.Idom() {
		c, ok := last(d.Idom()).(*ssa.If)
		if !ok {
			continue
		}
		if cmp, ok := c.Cond.(*ssa.BinOp); ok && cmp.Op == token.EQL && isNilConst(cmp.Y) && class(cmp.X) == class(st.Addr) {
			return true
		}
	}
	return false
}

// mapped judges what is put into a map that nothing is ever taken out of.
func (r *reporter) mapped(f *ssa.Function, pos token.Pos, class string, v ssa.Value, removed map[string]bool) {
	if class == "" || removed[class] || f.Synthetic != "" || f.Name() == "init" {
		return
	}
	if mi, ok := v.(*ssa.MakeInterface); ok && !isContext(v.Type()) {
		v = mi.X
	}
	what := ""
	switch {
	case isContext(v.Type()):
		what = "a context"
	case isFuncNoArgs(v.Type()) && r.source(v, map[ssa.Value]bool{}) != nil:
		what = "a cancel function"
	case holdsCancel(v.Type()):
		what = "a " + typeName(v.Type()) + ", which holds a cancel function,"
	}
	if what != "" {
		r.report(pos, nil, fmt.Sprintf("%s is put into %s, and nothing in this package takes anything out of it: it stays for ever, also when it was cancelled; delete it when its work is done", what, class))
	}
}

// holdsCancel says whether t is a struct, or a pointer to one, with a cancel function in a field.
func holdsCancel(t types.Type) bool {
	n := named(t)
	if n == nil {
		return false
	}
	st, ok := n.Underlying().(*types.Struct)
	if !ok {
		return false
	}
	for i := range st.NumFields() {
		if isCancel(st.Field(i).Type()) {
			return true
		}
	}
	return false
}
