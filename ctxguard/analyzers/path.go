package analyzers

import (
	"fmt"
	"go/token"
	"go/types"

	"golang.org/x/tools/go/ssa"
)

// place names the variable that an address, or the value that was loaded from one, stands for: two of the same name are the same variable for as
// long as nobody assigns to a part of it. A variable that a closure shares has one name inside and outside.
func (u *unit) place(v ssa.Value) string { return u.placeAt(v, 0) }

const maxDepth = 12

func (u *unit) placeAt(v ssa.Value, depth int) string {
	if depth > maxDepth {
		return name(v)
	}
	switch v := v.(type) {
	case *ssa.FieldAddr:
		return fmt.Sprintf("%s.%d", u.placeAt(v.X, depth+1), v.Field)
	case *ssa.Field:
		return fmt.Sprintf("%s.%d", u.placeAt(v.X, depth+1), v.Field)
	case *ssa.IndexAddr:
		return u.placeAt(v.X, depth+1) + "[" + u.placeAt(v.Index, depth+1) + "]"
	case *ssa.Const:
		return v.String()
	case *ssa.Global:
		return "g:" + v.String()
	case *ssa.FreeVar:
		if b := u.binding(v); b != nil {
			return u.placeAt(b, depth+1)
		}
	case *ssa.ChangeType:
		return u.placeAt(v.X, depth+1)
	case *ssa.MakeInterface:
		return u.placeAt(v.X, depth+1)
	case *ssa.ChangeInterface:
		return u.placeAt(v.X, depth+1)
	case *ssa.UnOp:
		if v.Op == token.MUL {
			return u.loaded(v.X, depth+1)
		}
	}
	return name(v)
}

// name is what a value is called that is no variable.
func name(v ssa.Value) string { return fmt.Sprintf("<%p>", v) }

// loaded names what an address holds. A local variable that is assigned once is what was assigned: parameters that a closure shares are such.
func (u *unit) loaded(addr ssa.Value, depth int) string {
	if a := u.local(addr); a != nil {
		if v := onlyStore(a); v != nil {
			return u.placeAt(v, depth+1)
		}
	}
	return "*(" + u.placeAt(addr, depth+1) + ")"
}

// binding is what the closure that a free variable belongs to was made with.
func (u *unit) binding(v *ssa.FreeVar) ssa.Value {
	mc := u.closures[v.Parent()]
	if mc == nil {
		return nil
	}
	for i, f := range v.Parent().FreeVars {
		if f == v {
			return mc.Bindings[i]
		}
	}
	return nil
}

// local is the variable of this or an outer function that addr is the address of, nil when it is none.
func (u *unit) local(addr ssa.Value) *ssa.Alloc {
	for range maxDepth {
		switch v := addr.(type) {
		case *ssa.Alloc:
			return v
		case *ssa.FreeVar:
			b := u.binding(v)
			if b == nil {
				return nil
			}
			addr = b
		default:
			return nil
		}
	}
	return nil
}

// onlyStore is the value that a variable has for all its life, nil when it is assigned more than once, or in a closure.
func onlyStore(a *ssa.Alloc) ssa.Value {
	var val ssa.Value
	for _, ref := range *a.Referrers() {
		switch ref := ref.(type) {
		case *ssa.Store:
			if ref.Addr != a || val != nil {
				return nil
			}
			val = ref.Val
		case *ssa.MakeClosure:
			if storesTo(ref, a) {
				return nil
			}
		case *ssa.UnOp, *ssa.DebugRef:
		default:
			return nil
		}
	}
	return val
}

// storesTo says whether the closure, or one within it, assigns to the variable a that it shares.
func storesTo(mc *ssa.MakeClosure, a ssa.Value) bool {
	fn := mc.Fn.(*ssa.Function)
	for i, b := range mc.Bindings {
		if b != a || i >= len(fn.FreeVars) {
			continue
		}
		fv := fn.FreeVars[i]
		for _, ref := range *fv.Referrers() {
			switch ref := ref.(type) {
			case *ssa.Store:
				if ref.Addr == fv {
					return true
				}
			case *ssa.MakeClosure:
				if storesTo(ref, fv) {
					return true
				}
			}
		}
	}
	return false
}

// rootAlloc is the local variable of f that addr is, or is a field of, when nothing but loads, stores, fields and closures knows it.
func (u *unit) rootAlloc(addr ssa.Value) *ssa.Alloc {
	for range maxDepth {
		switch v := addr.(type) {
		case *ssa.FieldAddr:
			addr = v.X
		case *ssa.Alloc:
			if u.private(v) {
				return v
			}
			return nil
		case *ssa.UnOp: // a pointer variable that a closure shares
			a := u.local(v.X)
			if v.Op != token.MUL || a == nil {
				return nil
			}
			val := onlyStore(a)
			if val == nil {
				return nil
			}
			addr = val
		default:
			return nil
		}
	}
	return nil
}

// private says whether nobody outside of the function and its closures can know the variable.
func (u *unit) private(a *ssa.Alloc) bool { return onlyAccessed(a, 0) }

func onlyAccessed(v ssa.Value, depth int) bool {
	if depth > maxDepth || v.Referrers() == nil {
		return false
	}
	for _, ref := range *v.Referrers() {
		switch ref := ref.(type) {
		case *ssa.Store:
			if ref.Val == v {
				cell, ok := ref.Addr.(*ssa.Alloc) // a pointer kept in a variable that a closure shares
				if !ok || onlyStore(cell) == nil || !cellAccessed(cell, depth+1) {
					return false
				}
			}
		case *ssa.FieldAddr:
			if !onlyAccessed(ref, depth+1) {
				return false
			}
		case *ssa.MakeClosure:
			fn := ref.Fn.(*ssa.Function)
			for i, b := range ref.Bindings {
				if b == v && (i >= len(fn.FreeVars) || !onlyAccessed(fn.FreeVars[i], depth+1)) {
					return false
				}
			}
		case *ssa.UnOp, *ssa.DebugRef:
		default:
			return false
		}
	}
	return true
}

// cellAccessed says whether what is loaded from the variable is only accessed as well.
func cellAccessed(cell ssa.Value, depth int) bool {
	if depth > maxDepth {
		return false
	}
	for _, ref := range *cell.Referrers() {
		switch ref := ref.(type) {
		case *ssa.UnOp:
			if !onlyAccessed(ref, depth+1) {
				return false
			}
		case *ssa.MakeClosure:
			fn := ref.Fn.(*ssa.Function)
			for i, b := range ref.Bindings {
				if b == cell && (i >= len(fn.FreeVars) || !cellAccessed(fn.FreeVars[i], depth+1)) {
					return false
				}
			}
		case *ssa.Store:
			if ref.Val == cell {
				return false
			}
		case *ssa.DebugRef:
		default:
			return false
		}
	}
	return true
}

// fieldVar is the field whose address fa takes, as it is declared.
func fieldVar(fa *ssa.FieldAddr) *types.Var {
	p, ok := fa.X.Type().Underlying().(*types.Pointer)
	if !ok {
		return nil
	}
	return fieldOf(p.Elem(), fa.Field)
}

func fieldOf(t types.Type, i int) *types.Var {
	st, ok := t.Underlying().(*types.Struct)
	if !ok || i >= st.NumFields() {
		return nil
	}
	return st.Field(i).Origin()
}

// named is the named type behind pointers, nil when there is none.
func named(t types.Type) *types.Named {
	if p, ok := types.Unalias(t).(*types.Pointer); ok {
		t = p.Elem()
	}
	n, _ := types.Unalias(t).(*types.Named)
	return n
}

// typeName is the type as people write it, with the last part of its package's path.
func typeName(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string { return p.Name() })
}

// isType says whether t is the named type path.name, or a pointer to it.
func isType(t types.Type, path, name string) bool {
	n := named(t)
	return n != nil && n.Obj().Name() == name && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == path
}

func isContext(t types.Type) bool { return isType(t, "context", "Context") }

// callee is the function or method that a call names, also when it is one of an interface; nil for the call of a value.
func callee(c *ssa.CallCommon) *types.Func {
	if c.IsInvoke() {
		return c.Method
	}
	if f := c.StaticCallee(); f != nil {
		obj, _ := f.Object().(*types.Func)
		if obj != nil {
			return obj.Origin()
		}
	}
	return nil
}

func isCallTo(c *ssa.CallCommon, names ...string) bool {
	f := callee(c)
	if f == nil {
		return false
	}
	full := f.FullName()
	for _, n := range names {
		if full == n {
			return true
		}
	}
	return false
}

// instructions are all of f, in the order of its blocks.
func instructions(f *ssa.Function) func(func(ssa.Instruction) bool) {
	return func(yield func(ssa.Instruction) bool) {
		for _, b := range f.Blocks {
			for _, in := range b.Instrs {
				if !yield(in) {
					return
				}
			}
		}
	}
}
