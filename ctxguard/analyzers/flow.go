package analyzers

import (
	"go/token"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/ssa"
)

// usage is what an instruction does with a thing that has to be released.
type usage int

const (
	looks    usage = iota // it uses it and leaves it with whoever has it
	releases              // it gives it back, at once or by defer
	keeps                 // it hands it to somebody else, who has to release it from then on
)

// consumption sums up what a function does with one of its parameters or shared variables.
type consumption struct{ released, kept bool }

func (c consumption) any() bool { return c.released || c.kept }

type consumeKey struct {
	fn    *ssa.Function
	index int // of a parameter; of a free variable when negative, counted from -1
	rel   string
}

// holder tells which values and variables hold the thing.
type holder interface {
	holds(v ssa.Value) bool
	holdsCell(addr ssa.Value) bool
	places() []string // of the variables that hold it
}

// use says what in does with what h holds.
func (u *unit) use(in ssa.Instruction, h holder, rel *release) usage {
	switch in := in.(type) {
	case ssa.CallInstruction:
		return u.useInCall(in.Common(), h, rel)
	case *ssa.MakeClosure:
		return u.useInClosure(in, h, rel)
	case *ssa.Return:
		for _, r := range in.Results {
			if h.holds(r) {
				return keeps
			}
		}
	case *ssa.Send:
		if h.holds(in.X) {
			return keeps
		}
	case *ssa.MapUpdate:
		if h.holds(in.Value) || h.holds(in.Key) {
			return keeps
		}
	case *ssa.Select:
		for _, s := range in.States {
			if s.Send != nil && h.holds(s.Send) {
				return keeps
			}
		}
	case *ssa.Store:
		if h.holds(in.Val) && u.rootAlloc(in.Addr) == nil && !u.printed(in.Addr) {
			return keeps
		}
	case *ssa.UnOp: // a struct that holds it is copied out
		if a, ok := in.X.(*ssa.Alloc); ok && isStruct(in.Type()) && h.holdsCell(a) {
			return keeps
		}
	}
	return looks
}

func isStruct(t types.Type) bool {
	_, ok := t.Underlying().(*types.Struct)
	return ok
}

// printed says whether addr is an element of the arguments of a function that only looks at them, as those of fmt are.
func (u *unit) printed(addr ssa.Value) bool {
	ia, ok := addr.(*ssa.IndexAddr)
	if !ok {
		return false
	}
	a, ok := ia.X.(*ssa.Alloc)
	if !ok {
		return false
	}
	for _, ref := range *a.Referrers() {
		sl, ok := ref.(*ssa.Slice)
		if !ok {
			continue
		}
		for _, r := range *sl.Referrers() {
			if c, ok := r.(ssa.CallInstruction); ok {
				return borrowing(callee(c.Common()))
			}
		}
	}
	return false
}

func borrowing(f *types.Func) bool {
	return f != nil && f.Pkg() != nil && slices.Contains(borrowers, f.Pkg().Path())
}

func (u *unit) useInCall(c *ssa.CallCommon, h holder, rel *release) usage {
	if c.IsInvoke() {
		if rel.has(c.Method.Name()) && (h.holds(c.Value) || h.holds(embedding(c.Value))) {
			return releases
		}
		return u.useInArgs(c, nil, h, rel)
	}
	if h.holds(c.Value) {
		if rel.byCall() {
			return releases
		}
		return keeps
	}
	if b, ok := c.Value.(*ssa.Builtin); ok {
		if b.Name() == "append" {
			for _, a := range c.Args {
				if h.holds(a) {
					return keeps
				}
			}
		}
		return looks
	}
	return u.useInArgs(c, c.StaticCallee(), h, rel)
}

// useInArgs judges the arguments of a call, the receiver of a method among them. f is nil when nobody knows what is called.
func (u *unit) useInArgs(c *ssa.CallCommon, f *ssa.Function, h holder, rel *release) usage {
	out := looks
	for i, a := range c.Args {
		if i == 0 && f != nil && f.Signature.Recv() != nil {
			a = embedding(a)
		}
		if !h.holds(a) {
			continue
		}
		switch {
		case f == nil:
			if !c.IsInvoke() || !borrowing(c.Method) {
				out = max(out, keeps)
			}
		case i == 0 && f.Signature.Recv() != nil && rel.has(f.Name()):
			return releases
		case f.Blocks != nil && f.Pkg == u.functions[0].Pkg:
			if u.consumes(f, i, rel).any() {
				out = keeps
			}
		case i == 0 && f.Signature.Recv() != nil: // another method of the thing itself
		default:
			if !u.borrowedElsewhere(f, i) {
				out = keeps
			}
		}
	}
	return out
}

// embedding is the value whose embedded field v is, or is the address of: a promoted method is called on the field.
func embedding(v ssa.Value) ssa.Value {
	for range maxDepth {
		switch x := v.(type) {
		case *ssa.FieldAddr:
			if f := fieldVar(x); f == nil || !f.Embedded() {
				return v
			}
			v = x.X
		case *ssa.UnOp:
			if fa, ok := x.X.(*ssa.FieldAddr); !ok || fieldVar(fa) == nil || !fieldVar(fa).Embedded() {
				return v
			}
			v = x.X
		default:
			return v
		}
	}
	return v
}

// borrowedElsewhere says whether a function of another package is known to leave parameter i with its caller.
func (u *unit) borrowedElsewhere(f *ssa.Function, i int) bool {
	obj, ok := f.Object().(*types.Func)
	if !ok {
		return false
	}
	if borrowing(obj) {
		return true
	}
	var fact borrows
	return u.pass.ImportObjectFact(obj, &fact) && slices.Contains(fact.Params, i)
}

// useInClosure judges a closure that shares the thing: it counts when its body releases or keeps it and when somebody runs it.
func (u *unit) useInClosure(mc *ssa.MakeClosure, h holder, rel *release) usage {
	fn := mc.Fn.(*ssa.Function)
	if name, ok := strings.CutSuffix(fn.Name(), "$bound"); ok {
		if h.holds(mc.Bindings[0]) && (rel.has(name) || rel.byCall()) && used(mc) {
			return releases
		}
		return looks
	}
	for i, b := range mc.Bindings {
		if !h.holds(b) && !h.holdsCell(b) {
			continue
		}
		if u.consumes(fn, -1-i, rel).any() && used(mc) {
			return keeps
		}
	}
	for _, p := range h.places() {
		if u.consumesPlace(fn, p, rel) && used(mc) {
			return keeps
		}
	}
	return looks
}

// consumesPlace says whether a closure releases or keeps what it loads from the field of a variable that it shares.
func (u *unit) consumesPlace(fn *ssa.Function, place string, rel *release) bool {
	s := &spread{values: map[ssa.Value]bool{}, cells: map[ssa.Value]bool{}}
	for in := range instructions(fn) {
		if load, ok := in.(*ssa.UnOp); ok && load.Op == token.MUL && u.place(load.X) == place {
			s.values[load] = true
		}
	}
	return len(s.values) > 0 && u.spreadOut(fn, s, rel).any()
}

// used says whether anybody can call the closure. One that was assigned to a variable that nobody reads cannot be called.
func used(v ssa.Value) bool {
	for _, ref := range *v.Referrers() {
		switch ref := ref.(type) {
		case *ssa.DebugRef:
		case *ssa.ChangeType:
			if used(ref) {
				return true
			}
		case *ssa.Store:
			a, ok := ref.Addr.(*ssa.Alloc)
			if !ok || read(a) {
				return true
			}
		default:
			return true
		}
	}
	return false
}

func read(a *ssa.Alloc) bool {
	for _, ref := range *a.Referrers() {
		switch ref := ref.(type) {
		case *ssa.UnOp:
			if used(ref) {
				return true
			}
		case *ssa.Store, *ssa.DebugRef:
		default:
			return true
		}
	}
	return false
}

// spread is the holder that knows all values that may hold a thing, without regard to the order of things.
type spread struct {
	values map[ssa.Value]bool
	cells  map[ssa.Value]bool
}

func (s *spread) holds(v ssa.Value) bool        { return s.values[v] }
func (s *spread) holdsCell(addr ssa.Value) bool { return s.cells[addr] }
func (s *spread) places() []string              { return nil }

// consumes says whether f gives back or keeps what it gets as parameter i, or as free variable -1-i. What is not known counts as kept.
func (u *unit) consumes(f *ssa.Function, i int, rel *release) consumption {
	key := consumeKey{f, i, rel.key()}
	if c, ok := u.consuming[key]; ok {
		return c
	}
	u.consuming[key] = consumption{} // of a function that calls itself the rest decides
	s := &spread{values: map[ssa.Value]bool{}, cells: map[ssa.Value]bool{}}
	switch {
	case f.Blocks == nil:
		c := consumption{kept: true}
		u.consuming[key] = c
		return c
	case i >= 0:
		s.values[f.Params[i]] = true
	default:
		fv := f.FreeVars[-1-i]
		s.cells[fv] = true
		if _, ok := fv.Type().Underlying().(*types.Pointer); !ok {
			s.values[fv] = true
		}
	}
	c := u.spreadOut(f, s, rel)
	u.consuming[key] = c
	return c
}

// spreadOut follows the thing through f until nothing new holds it, then judges every use.
func (u *unit) spreadOut(f *ssa.Function, s *spread, rel *release) consumption {
	u.spreadAll(f, s)
	var c consumption
	for in := range instructions(f) {
		switch u.use(in, s, rel) {
		case releases:
			c.released = true
		case keeps:
			c.kept = true
		}
	}
	return c
}

func (u *unit) spreadAll(f *ssa.Function, s *spread) {
	for changed := true; changed; {
		changed = false
		for in := range instructions(f) {
			if u.passOn(in, s) {
				changed = true
			}
		}
	}
}

// passOn adds what in makes another holder of, and says whether it was new.
func (u *unit) passOn(in ssa.Instruction, s *spread) bool {
	if st, ok := in.(*ssa.Store); ok {
		root := u.rootAlloc(st.Addr)
		if s.values[st.Val] && !s.cells[st.Addr] && root != nil {
			s.cells[st.Addr], s.cells[root] = true, true // a struct that holds it may be handed out whole
			return true
		}
		return false
	}
	v, ok := in.(ssa.Value)
	if !ok || s.values[v] {
		return false
	}
	held := false
	switch v := v.(type) {
	case *ssa.Phi:
		for _, e := range v.Edges {
			held = held || s.values[e]
		}
	case *ssa.UnOp:
		held = s.cells[v.X] || u.sameCell(v.X, s.cells)
	default:
		if x := sameThing(v); x != nil {
			held = s.values[x]
		}
	}
	if held {
		s.values[v] = true
	}
	return held
}

// sameCell says whether addr is the address of a field that one of the cells is too.
func (u *unit) sameCell(addr ssa.Value, cells map[ssa.Value]bool) bool {
	if _, ok := addr.(*ssa.FieldAddr); !ok || len(cells) == 0 {
		return false
	}
	p := u.place(addr)
	for c := range cells {
		if _, ok := c.(*ssa.FieldAddr); ok && u.place(c) == p {
			return true
		}
	}
	return false
}

// sameThing is the operand that v is only another form of, nil when v is something of its own.
func sameThing(v ssa.Value) ssa.Value {
	switch v := v.(type) {
	case *ssa.ChangeType:
		return v.X
	case *ssa.ChangeInterface:
		return v.X
	case *ssa.MakeInterface:
		return v.X
	case *ssa.Convert:
		return v.X
	case *ssa.TypeAssert:
		return v.X
	case *ssa.Extract:
		if ta, ok := v.Tuple.(*ssa.TypeAssert); ok && v.Index == 0 {
			return ta.X
		}
	}
	return nil
}
