package analyzers

import (
	"go/token"
	"go/types"
	"slices"

	"golang.org/x/tools/go/ssa"
)

// fieldUse is everything that a package does with one field, or with one global variable.
type fieldUse struct {
	loads  []ssa.Value
	stores []*ssa.Store
	leaks  bool // its address goes somewhere: anybody may use it
}

func (u *unit) fieldUse(v *types.Var) *fieldUse {
	use := u.fields[v]
	if use == nil {
		use = &fieldUse{}
		u.fields[v] = use
	}
	return use
}

// ownFields are the fields of the package that it uses, in the order of its source.
func (r *reporter) ownFields() []*types.Var {
	var out []*types.Var
	for v := range r.fields {
		if v.Pkg() == r.pass.Pkg {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b *types.Var) int { return int(a.Pos() - b.Pos()) })
	return out
}

// ownGlobals are the global variables of the package that it uses, in the order of its source.
func (r *reporter) ownGlobals() []*ssa.Global {
	var out []*ssa.Global
	for g := range r.globals {
		if g.Object() != nil && g.Object().Pkg() == r.pass.Pkg {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b *ssa.Global) int { return int(a.Pos() - b.Pos()) })
	return out
}

func (f *fieldUse) addAddr(fa *ssa.FieldAddr) {
	for _, ref := range *fa.Referrers() {
		f.addAccess(ref, fa)
	}
}

func (f *fieldUse) addAccess(in ssa.Instruction, addr ssa.Value) {
	switch in := in.(type) {
	case *ssa.Store:
		if in.Addr == addr {
			f.stores = append(f.stores, in)
		} else {
			f.leaks = true
		}
	case *ssa.UnOp:
		if in.Op == token.MUL {
			f.loads = append(f.loads, in)
		}
	case *ssa.DebugRef:
	default:
		f.leaks = true
	}
}

func (f *fieldUse) addValue(v ssa.Value) { f.loads = append(f.loads, v) }

// released says whether anything that was loaded from the field is released, or handed on to somebody who may do it.
func (u *unit) released(use *fieldUse, rel *release) bool {
	for _, v := range use.loads {
		if u.everReleased(v, rel) {
			return true
		}
	}
	return false
}

// inLoop says whether a block can be reached from itself.
func inLoop(b *ssa.BasicBlock) bool { return reaches(b, b) }

// reaches says whether a path of at least one edge leads from a to b.
func reaches(a, b *ssa.BasicBlock) bool {
	seen := map[*ssa.BasicBlock]bool{}
	todo := append([]*ssa.BasicBlock(nil), a.Succs...)
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if n == b {
			return true
		}
		if !seen[n] {
			seen[n] = true
			todo = append(todo, n.Succs...)
		}
	}
	return false
}

// loopsAround are the loops that b is in, from edges back to a block that all paths to their beginning pass, each with all its blocks.
func loopsAround(b *ssa.BasicBlock) [][]*ssa.BasicBlock {
	var out [][]*ssa.BasicBlock
	for _, tail := range b.Parent().Blocks {
		for _, head := range tail.Succs {
			if !head.Dominates(tail) {
				continue
			}
			body := []*ssa.BasicBlock{head}
			todo := []*ssa.BasicBlock{tail}
			for len(todo) > 0 {
				x := todo[len(todo)-1]
				todo = todo[:len(todo)-1]
				if !slices.Contains(body, x) {
					body = append(body, x)
					todo = append(todo, x.Preds...)
				}
			}
			if slices.Contains(body, b) {
				out = append(out, body)
			}
		}
	}
	return out
}
