package analyzers

import (
	"go/types"
	"slices"

	"golang.org/x/tools/go/ssa"
)

// promised says whether a closure that was deferred or handed out before already releases the variable that the thing is put into.
func (u *unit) promised(b *ssa.BasicBlock, i int, s *state, rel *release) bool {
	for _, v := range s.values {
		for _, ref := range *v.Referrers() {
			st, ok := ref.(*ssa.Store)
			if !ok || st.Val != v {
				continue
			}
			a, ok := st.Addr.(*ssa.Alloc)
			if !ok {
				continue
			}
			h := &spread{cells: map[ssa.Value]bool{a: true}}
			for _, use := range *a.Referrers() {
				mc, ok := use.(*ssa.MakeClosure)
				if !ok || u.useInClosure(mc, h, rel) == looks {
					continue
				}
				if mc.Block() == b && slices.Index(b.Instrs, ssa.Instruction(mc)) < i || mc.Block() != b && mc.Block().Dominates(b) {
					return true
				}
			}
		}
	}
	return false
}

// spared says whether nothing is lost for a reason that lies in what was called: the function that AfterFunc registers with a context that this
// function itself cancels goes with it.
func (r *reporter) spared(f *ssa.Function, call *ssa.Call, h handover, s *state) bool {
	if !isCallTo(&call.Call, "context.AfterFunc") {
		return false
	}
	ctx := call.Call.Args[0]
	if load, ok := ctx.(*ssa.UnOp); ok { // a variable that a closure shares
		if a := r.local(load.X); a != nil {
			ctx = onlyStore(a)
		}
	}
	switch ctx := ctx.(type) {
	case *ssa.Parameter:
		if receivesInLoop(f) {
			return true // it works for as long as its caller's context lives
		}
	case *ssa.Call: // the context of a connection or a stream goes with that
		if m := callee(&ctx.Call); m != nil && m.Name() == "Context" && receiver(&ctx.Call) != nil {
			return true
		}
	}
	ex, ok := ctx.(*ssa.Extract)
	if !ok {
		return false
	}
	made, ok := ex.Tuple.(*ssa.Call)
	return ok && len(r.acquired(&made.Call)) > 0
}

// receivesInLoop says whether f takes from a channel again and again.
func receivesInLoop(f *ssa.Function) bool {
	for _, b := range f.Blocks {
		for _, in := range b.Instrs {
			_, sel := in.(*ssa.Select)
			if _, recv := isReceive(in); (recv || sel) && inLoop(b) {
				return true
			}
		}
	}
	return false
}

// goesWithOwner says whether the thing comes from a method of a connection or transaction that f ends by defer, and with it all that came from it. What comes from a
// pool does not go with it: a pool that is closed waits for it.
func (r *reporter) goesWithOwner(f *ssa.Function, call *ssa.Call, h handover) bool {
	owner := receiver(&call.Call)
	if owner == nil || len(h.Release) == 0 {
		return false
	}
	ends := ""
	switch types.TypeString(owner.Type(), nil) {
	case "*github.com/jackc/pgx/v5.Conn":
		ends = "Close"
	case "*database/sql.Tx", "github.com/jackc/pgx/v5.Tx":
		ends = "Rollback"
	default:
		return false
	}
	place := r.place(owner)
	for in := range instructions(f) {
		d, ok := in.(*ssa.Defer)
		if !ok {
			continue
		}
		if v := receiver(&d.Call); v != nil && callee(&d.Call) != nil && callee(&d.Call).Name() == ends && r.place(v) == place {
			return true
		}
		if slices.ContainsFunc(d.Call.Args, func(a ssa.Value) bool { return r.place(a) == place }) { // a helper that closes it
			return true
		}
	}
	return false
}
