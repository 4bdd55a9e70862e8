package analyzers

import (
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/ssa"
)

// checkRelease follows everything that a function acquires to its release, on every path.
func checkRelease(r *reporter) {
	for _, f := range r.functions {
		r.releaseIn(f)
		r.guardsIn(f)
	}
}

func (r *reporter) releaseIn(f *ssa.Function) {
	for _, b := range f.Blocks {
		for i, in := range b.Instrs {
			call, ok := in.(*ssa.Call)
			if !ok {
				continue
			}
			for _, h := range r.acquired(&call.Call) {
				r.follow(f, b, i, call, h)
			}
		}
	}
}

// acquired is what a call hands to the function that makes it.
func (u *unit) acquired(c *ssa.CallCommon) []handover {
	sig := c.Signature()
	if f := callee(c); f != nil {
		if a, ok := u.table.funcs[f.FullName()]; ok {
			if i := a.resultOf(sig); i >= 0 {
				return []handover{a.handover(i, errorResult(sig))}
			}
			return nil
		}
		if f.Pkg() != nil && (f.Pkg().Path() == "os/exec" || strings.HasPrefix(f.Pkg().Path(), "compress/")) {
			return nil // pipes are closed by Wait; a reader of compressed data holds nothing
		}
		var fact acquires
		if f.Pkg() != u.pass.Pkg && u.pass.ImportObjectFact(f, &fact) {
			return fact.Results
		}
	}
	if f := c.StaticCallee(); f != nil && f.Blocks != nil {
		return u.gives(f)
	}
	return slices.DeleteFunc(u.table.byType(sig), func(h handover) bool { return belongs(c, sig.Results().At(h.Index).Type()) })
}

// belongs says whether a result of this type stays with what the call was given: a writer with whose method made it, as the message of a
// connection does, and a connection around another one with who has that.
func belongs(c *ssa.CallCommon, result types.Type) bool {
	if types.TypeString(result, nil) == "io.WriteCloser" {
		return receiver(c) != nil
	}
	if !isType(result, "net", "Conn") {
		return false
	}
	return slices.ContainsFunc(c.Args, func(a ssa.Value) bool { return isType(a.Type(), "net", "Conn") })
}

// gives is what f hands to its callers, found by following its results back to where they were acquired.
func (u *unit) gives(f *ssa.Function) []handover {
	if h, ok := u.given[f]; ok {
		return h
	}
	u.given[f] = nil // of a function that calls itself the rest decides
	var out []handover
	for in := range instructions(f) {
		ret, ok := in.(*ssa.Return)
		if !ok {
			continue
		}
		for i, res := range ret.Results {
			if slices.ContainsFunc(out, func(h handover) bool { return h.Index == i }) {
				continue
			}
			if h := u.source(res, map[ssa.Value]bool{}); h != nil && !u.keptBeside(res, h.rel(), nil) {
				given := *h
				given.Index, given.Err = i, errorResult(f.Signature)
				if given.Release = callable(f.Signature.Results().At(i).Type(), h.Release); len(given.Release) > 0 || len(h.Release) == 0 {
					out = append(out, given)
				}
			}
		}
	}
	u.given[f] = out
	return out
}

// callable are those of the methods that the type shows to whoever gets a value of it.
func callable(t types.Type, methods []string) []string {
	var out []string
	for _, m := range methods {
		if methodNamed(t, m) {
			out = append(out, m)
		}
	}
	return out
}

// keptBeside says whether f, beside returning v, has arranged for somebody else to release it, as a test's helper does with Cleanup. What f
// releases itself on the paths that fail is no arrangement.
func (u *unit) keptBeside(v ssa.Value, rel *release, except ssa.Instruction) bool {
	in, ok := v.(ssa.Instruction)
	if !ok {
		return false
	}
	s := &spread{values: map[ssa.Value]bool{}, cells: map[ssa.Value]bool{}}
	s.addOrigins(v)
	f := in.Parent()
	u.spreadAll(f, s)
	for in := range instructions(f) {
		if in == except {
			continue
		}
		switch in := in.(type) {
		case *ssa.Return, *ssa.Defer:
			continue
		case *ssa.MakeClosure:
			if onlyDeferred(in) {
				continue
			}
			if u.use(in, s, rel) != looks { // a method value of the thing, as t.Cleanup(s.Close) has it
				return true
			}
		}
		if u.use(in, s, rel) == keeps {
			return true
		}
	}
	return false
}

// addOrigins adds what v was before: under another type, and in the variables that it was loaded from, a result that a deferred function may change among them.
func (s *spread) addOrigins(v ssa.Value) {
	for x := v; x != nil && !s.values[x]; x = sameThing(x) {
		s.values[x] = true
		load, ok := x.(*ssa.UnOp)
		if !ok {
			continue
		}
		a, ok := load.X.(*ssa.Alloc)
		if !ok || s.cells[a] {
			continue
		}
		s.cells[a] = true
		for _, ref := range *a.Referrers() {
			if st, ok := ref.(*ssa.Store); ok && st.Addr == a && !isNilConst(st.Val) {
				s.addOrigins(st.Val)
			}
		}
	}
}

func onlyDeferred(mc *ssa.MakeClosure) bool {
	for _, ref := range *mc.Referrers() {
		if _, ok := ref.(*ssa.Defer); !ok {
			return false
		}
	}
	return true
}

// source is what v was acquired as, nil when it was not, or not by this function.
func (u *unit) source(v ssa.Value, seen map[ssa.Value]bool) *handover {
	if seen[v] {
		return nil
	}
	seen[v] = true
	if x := sameThing(v); x != nil {
		return u.source(x, seen)
	}
	switch v := v.(type) {
	case *ssa.Extract:
		if c, ok := v.Tuple.(*ssa.Call); ok {
			return find(u.acquired(&c.Call), v.Index)
		}
	case *ssa.Call:
		return find(u.acquired(&v.Call), 0)
	case *ssa.Phi:
		for _, e := range v.Edges {
			if h := u.source(e, seen); h != nil {
				return h
			}
		}
	case *ssa.UnOp:
		if a, ok := v.X.(*ssa.Alloc); ok {
			return u.storedSource(a, seen)
		}
	case *ssa.Alloc:
		return u.owner(v, seen)
	case *ssa.MakeClosure:
		return u.cleanup(v, seen)
	}
	return nil
}

func find(hs []handover, index int) *handover {
	for _, h := range hs {
		if h.Index == index {
			return &h
		}
	}
	return nil
}

func (u *unit) storedSource(a *ssa.Alloc, seen map[ssa.Value]bool) *handover {
	for _, ref := range *a.Referrers() {
		if st, ok := ref.(*ssa.Store); ok && st.Addr == a {
			if h := u.source(st.Val, seen); h != nil {
				return h
			}
		}
	}
	return nil
}

// cleanup is the closure that releases what was acquired beside it: whoever gets it has to call it.
func (u *unit) cleanup(mc *ssa.MakeClosure, seen map[ssa.Value]bool) *handover {
	if !isFuncNoArgs(mc.Type()) {
		return nil
	}
	fn := mc.Fn.(*ssa.Function)
	for i, b := range mc.Bindings {
		var h *handover
		if a, ok := b.(*ssa.Alloc); ok && i < len(fn.FreeVars) {
			h = u.storedSource(a, seen)
		} else {
			h = u.source(b, seen)
		}
		if h == nil {
			continue
		}
		if name := boundName(fn); name != "" && h.rel().has(name) || name == "" && u.consumes(fn, -1-i, h.rel()).released {
			return &handover{What: "the function that releases " + h.What, Fix: "call it, best by defer", Ends: h.Ends}
		}
	}
	return nil
}

func boundName(f *ssa.Function) string {
	const suffix = "$bound"
	if n := f.Name(); len(n) > len(suffix) && n[len(n)-len(suffix):] == suffix {
		return n[:len(n)-len(suffix)]
	}
	return ""
}

// owner is the struct that a function makes and puts something acquired into: whoever gets it has to call the method that releases it. A struct
// without such a method is another check's matter.
func (u *unit) owner(a *ssa.Alloc, seen map[ssa.Value]bool) *handover {
	n := named(a.Type())
	if n == nil || !isStruct(n) {
		return nil
	}
	for _, ref := range *a.Referrers() {
		fa, ok := ref.(*ssa.FieldAddr)
		if !ok {
			continue
		}
		field := fieldVar(fa)
		if field == nil || field.Exported() {
			continue
		}
		for _, r := range *fa.Referrers() {
			st, ok := r.(*ssa.Store)
			if !ok || st.Addr != fa {
				continue
			}
			h := u.source(st.Val, seen)
			if h == nil || u.keptBeside(st.Val, h.rel(), st) {
				continue
			}
			if ms := u.releasers(n, field, h.rel()); len(ms) > 0 {
				return &handover{
					What: "a " + typeName(n) + ", whose " + field.Name() + " holds " + h.What + ",", Release: ms, Fix: "call " + ms[0] + " on this path, best by defer", Ends: h.Ends,
				}
			}
		}
	}
	return nil
}

// releasers are the methods of n that release what its field holds, by themselves or through others.
func (u *unit) releasers(n *types.Named, field *types.Var, rel *release) []string {
	var out []string
	for i := range n.NumMethods() {
		m := n.Method(i)
		for _, f := range u.functions {
			if f.Object() == m && u.releasesField(f, field, rel, map[*ssa.Function]bool{}) {
				out = append(out, m.Name())
			}
		}
	}
	slices.Sort(out)
	return out
}

// releasesField says whether f, a closure of it, or a function that it calls releases what the field holds.
func (u *unit) releasesField(f *ssa.Function, field *types.Var, rel *release, seen map[*ssa.Function]bool) bool {
	if seen[f] || f.Blocks == nil {
		return false
	}
	seen[f] = true
	if use := u.fields[field]; use != nil {
		for _, v := range use.loads {
			if v.Parent() == f && u.spreadOut(f, &spread{values: map[ssa.Value]bool{v: true}, cells: map[ssa.Value]bool{}}, rel).any() {
				return true
			}
		}
	}
	for _, anon := range f.AnonFuncs {
		if u.releasesField(anon, field, rel, seen) {
			return true
		}
	}
	for in := range instructions(f) {
		if c, ok := in.(ssa.CallInstruction); ok {
			if g := c.Common().StaticCallee(); g != nil && u.releasesField(g, field, rel, seen) {
				return true
			}
		}
	}
	return false
}

// follow walks from one acquisition and reports the first path on which it is lost.
func (r *reporter) follow(f *ssa.Function, b *ssa.BasicBlock, i int, call *ssa.Call, h handover) {
	if processEnds(f) {
		return
	}
	s := &state{}
	rel := h.rel()
	if call.Call.Signature().Results().Len() == 1 {
		s.values = append(s.values, call)
	} else {
		for _, ref := range *call.Referrers() {
			if ex, ok := ref.(*ssa.Extract); ok {
				switch ex.Index {
				case h.Index:
					s.values = append(s.values, ex)
				case h.Err:
					s.errs = append(s.errs, ex)
				}
			}
		}
	}
	if r.inTest(call.Pos()) && (dropped(s) || slices.Equal(h.Release, []string{"Close"}) && strings.HasPrefix(h.Ends, "it stays open")) {
		return // a test that something fails, or one whose end closes all that it opened
	}
	if r.spared(f, call, h, s) || r.promised(b, i, s, rel) || r.goesWithOwner(f, call, h) {
		return
	}
	w := &walk{u: r.unit, fn: f, from: call, rel: rel}
	r.endsWithContext(w, call)
	if l := w.run(b, i+1, s); l != nil {
		r.reportLoss(f, call, h, s, l)
	}
}

// endsWithContext has w end where the function has heard that the context is over whose cancel function it follows: then there is nothing to cancel.
func (r *reporter) endsWithContext(w *walk, call *ssa.Call) {
	if !isDerivation(&call.Call) {
		return
	}
	over := func(ch ssa.Value) bool { return r.comesFrom(doneOf(ch), call) }
	w.event = func(in ssa.Instruction, s *state) usage {
		if recv, ok := isReceive(in); ok && over(recv.X) {
			return releases
		}
		return r.use(in, held{r.unit, s}, w.rel)
	}
	w.chosen = func(cond ssa.Value, taken bool) bool {
		st := selectState(cond)
		return st != nil && taken && over(st.Chan)
	}
}

// comesFrom says whether v is the context that a call has made, at once or by way of a variable that nothing else is put into.
func (r *reporter) comesFrom(v ssa.Value, call *ssa.Call) bool {
	for range maxDepth {
		switch x := v.(type) {
		case *ssa.Extract:
			return x.Tuple == call && x.Index == 0
		case *ssa.UnOp:
			a := r.local(x.X)
			if a == nil {
				return false
			}
			v = onlyStore(a)
		default:
			return false
		}
	}
	return false
}

// processEnds says whether returning from f ends the process, which releases everything.
func processEnds(f *ssa.Function) bool {
	return f.Name() == "main" && f.Parent() == nil && f.Pkg != nil && f.Pkg.Pkg.Name() == "main" && f.Signature.Recv() == nil
}
