package analyzers

import (
	"fmt"
	"go/token"
	"go/types"
	"regexp"
	"strings"

	"golang.org/x/tools/go/ssa"
)

// guard is a method that takes something which another method of the same object gives back.
type guard struct {
	take, give string // by types.Func.FullName
	what       string
	ends       string
	errOrOK    bool // the result says whether it was taken
}

func guards() []guard {
	const weighted = "(*golang.org/x/sync/semaphore.Weighted)."
	return []guard{
		{"(*sync.Mutex).Lock", "(*sync.Mutex).Unlock", "a lock", "whoever wants it next waits for ever", false},
		{"(*sync.RWMutex).Lock", "(*sync.RWMutex).Unlock", "a lock", "whoever wants it next waits for ever", false},
		{"(*sync.RWMutex).RLock", "(*sync.RWMutex).RUnlock", "a read lock", "whoever wants to write waits for ever", false},
		{"(sync.Locker).Lock", "(sync.Locker).Unlock", "a lock", "whoever wants it next waits for ever", false},
		{"(*sync.Mutex).TryLock", "(*sync.Mutex).Unlock", "a lock", "whoever wants it next waits for ever", true},
		{weighted + "Acquire", weighted + "Release", "a semaphore", "its share is never given back", true},
		{weighted + "TryAcquire", weighted + "Release", "a semaphore", "its share is never given back", true},
		{"(*golang.org/x/sync/errgroup.Group).Go", "(*golang.org/x/sync/errgroup.Group).Wait", "an errgroup", "nobody waits for its goroutines, nor hears of their error", false},
	}
}

// guardsIn follows locks and semaphores to where they are given back. It looks only at functions that give back on some path: one that never does
// hands what it took to its caller.
func (r *reporter) guardsIn(f *ssa.Function) {
	for _, b := range f.Blocks {
		for i, in := range b.Instrs {
			if send, ok := in.(*ssa.Send); ok {
				r.followSlot(f, b, i, send)
				continue
			}
			call, ok := in.(*ssa.Call)
			if !ok {
				continue
			}
			for _, g := range guards() {
				if isCallTo(&call.Call, g.take) {
					r.followGuard(f, b, i, call, g)
				}
			}
		}
	}
}

// subject is the object that a guard's method is called on.
func (u *unit) subject(c *ssa.CallCommon) string {
	if v := receiver(c); v != nil {
		return u.place(v)
	}
	return ""
}

// takesForOthers are names of functions that return with what they have taken.
var takesForOthers = regexp.MustCompile(`(?i)(lock|begin|acquire|enter)`)

func (r *reporter) followGuard(f *ssa.Function, b *ssa.BasicBlock, i int, call *ssa.Call, g guard) {
	group := strings.Contains(g.take, "errgroup")
	on := r.subject(&call.Call)
	if group {
		if a := r.local(receiver(&call.Call)); a == nil && !definedHere(receiver(&call.Call)) {
			return
		} else if a != nil && a.Parent() != f {
			return
		}
	}
	if r.inTest(f.Pos()) && !group || r.lends(f, on, g) || !group && r.ownLock(receiver(&call.Call), f) {
		return
	}
	if !group && r.handsOut(f, receiver(&call.Call)) {
		return
	}
	if processEnds(f) || !r.givesSomewhere(f, on, g) && !group || takesForOthers.MatchString(f.Name()) {
		return
	}
	for _, in := range before(f, b, i) {
		if d, ok := in.(*ssa.Defer); ok && r.giveback(d, on, g) != looks {
			return
		}
	}
	s := &state{}
	if g.errOrOK {
		if isBoolType(call.Type()) {
			s.oks = append(s.oks, call)
		} else {
			s.errs = append(s.errs, call)
		}
	}
	w := &walk{u: r.unit, fn: f, from: call, atLoop: group}
	w.event = func(in ssa.Instruction, _ *state) usage {
		return r.giveback(in, on, g)
	}
	l := w.run(b, i+1, s)
	if l == nil {
		return
	}
	fix := "give it back there, best by defer right behind this line"
	verb := "is not given back"
	if group {
		fix, verb = "call Wait on this path", "is not waited for"
	}
	r.report(call.Pos(), nil, fmt.Sprintf("%s %s%s: %s; %s", g.what, verb, r.path(l), g.ends, fix))
}

// handsOut says whether f gives its caller, or somebody else, the address of the lock: then that one may give it back.
func (r *reporter) handsOut(f *ssa.Function, lock ssa.Value) bool {
	for in := range instructions(f) {
		fa, ok := in.(*ssa.FieldAddr)
		if !ok || r.place(fa) != r.place(lock) {
			continue
		}
		for _, ref := range *fa.Referrers() {
			switch ref := ref.(type) {
			case *ssa.Return, *ssa.Phi:
				return true
			case *ssa.Store:
				if ref.Val == fa {
					return true
				}
			}
		}
	}
	return false
}

// lends says whether f gives the thing back on a path on which it has not taken it: it is called with it taken.
func (r *reporter) lends(f *ssa.Function, on string, g guard) bool {
	seen := map[*ssa.BasicBlock]bool{}
	todo := []*ssa.BasicBlock{f.Blocks[0]}
	for len(todo) > 0 {
		b := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[b] {
			continue
		}
		seen[b] = true
		taken := false
		for _, in := range b.Instrs {
			c, ok := in.(ssa.CallInstruction)
			if !ok || r.subject(c.Common()) != on {
				continue
			}
			if isCallTo(c.Common(), g.give) {
				return true
			}
			if isCallTo(c.Common(), g.take) {
				taken = true
				break
			}
		}
		if !taken {
			todo = append(todo, b.Succs...)
		}
	}
	return false
}

// ownLock says whether f has made the lock itself, so that it may hand it out locked, or goes from one lock to another.
func (r *reporter) ownLock(v ssa.Value, f *ssa.Function) bool {
	for range maxDepth {
		switch x := v.(type) {
		case *ssa.Alloc:
			return x.Parent() == f
		case *ssa.Phi:
			return true // from one object to the next, hand over hand
		case *ssa.FieldAddr:
			v = x.X
		case *ssa.UnOp:
			v = x.X
		default:
			return false
		}
	}
	return false
}

// definedHere says whether v was made by this function rather than handed to it.
func definedHere(v ssa.Value) bool {
	switch v := v.(type) {
	case *ssa.Alloc:
		return true
	case *ssa.Extract:
		return isCallTo(&v.Tuple.(*ssa.Call).Call, "golang.org/x/sync/errgroup.WithContext")
	}
	return false
}

// giveback says what an instruction does with a guard that is taken.
func (u *unit) giveback(in ssa.Instruction, on string, g guard) usage {
	switch in := in.(type) {
	case ssa.CallInstruction:
		c := in.Common()
		if isCallTo(c, g.give) && u.subject(c) == on {
			return releases
		}
		f := c.StaticCallee()
		if f != nil && f.Blocks != nil {
			if u.givesIn(f, g, 3) {
				return keeps
			}
			return looks
		}
		if _, builtin := c.Value.(*ssa.Builtin); f == nil && !c.IsInvoke() && !builtin {
			return keeps // a function value may be the closure that gives it back
		}
		for _, a := range c.Args { // its method as a value, or the object itself, handed to somebody
			if u.place(a) == on && !strings.HasPrefix(g.give, "(*sync.") {
				return keeps
			}
		}
	case *ssa.MakeClosure:
		fn := in.Fn.(*ssa.Function)
		if name := boundName(fn); name != "" {
			if strings.HasSuffix(g.give, "."+name) && u.place(in.Bindings[0]) == on {
				return keeps
			}
			if m, ok := fn.Object().(*types.Func); ok { // a method of ours, as a value
				if f := fn.Prog.FuncValue(m); f != nil && f.Blocks != nil && u.givesIn(f, g, 3) {
					return keeps
				}
			}
			return looks
		}
		if u.givesIn(fn, g, 3) && used(in) {
			return keeps
		}
	case *ssa.Return:
		for _, res := range in.Results {
			if u.place(res) == on {
				return keeps
			}
		}
	}
	return looks
}

// givesIn says whether f, or what it calls, gives back anything of this kind. Which one is not asked: a helper is believed.
func (u *unit) givesIn(f *ssa.Function, g guard, depth int) bool {
	if depth == 0 || f.Blocks == nil {
		return false
	}
	for in := range instructions(f) {
		switch in := in.(type) {
		case ssa.CallInstruction:
			if isCallTo(in.Common(), g.give) && !u.takenBefore(f, in, g) {
				return true
			}
			if h := in.Common().StaticCallee(); h != nil && h != f && u.givesIn(h, g, depth-1) {
				return true
			}
		case *ssa.MakeClosure:
			if u.givesIn(in.Fn.(*ssa.Function), g, depth-1) {
				return true
			}
		}
	}
	return false
}

// takenBefore says whether f itself takes the same thing somewhere: then it gives back its own.
func (u *unit) takenBefore(f *ssa.Function, give ssa.CallInstruction, g guard) bool {
	on := u.subject(give.Common())
	for in := range instructions(f) {
		if c, ok := in.(*ssa.Call); ok && isCallTo(&c.Call, g.take) && u.subject(&c.Call) == on && (c.Block() == give.Block() || c.Block().Dominates(give.Block())) {
			return true
		}
	}
	return false
}

// givesSomewhere says whether f or a closure in it gives back the same thing.
func (u *unit) givesSomewhere(f *ssa.Function, on string, g guard) bool {
	for in := range instructions(f) {
		if c, ok := in.(ssa.CallInstruction); ok && isCallTo(c.Common(), g.give) && u.subject(c.Common()) == on {
			return true
		}
	}
	for _, anon := range f.AnonFuncs {
		if u.givesSomewhere(anon, on, g) {
			return true
		}
	}
	return false
}

// followSlot follows a send to a buffered channel of empty structs or bools that the same function receives from again: a semaphore.
func (r *reporter) followSlot(f *ssa.Function, b *ssa.BasicBlock, i int, send *ssa.Send) {
	on := r.place(send.Chan)
	if !isSlot(send.Chan) || !r.takesBack(f, on) || r.inTest(f.Pos()) {
		return
	}
	if a := r.local(loadedFrom(send.Chan)); a != nil {
		if m, ok := onlyStore(a).(*ssa.MakeChan); ok && (m.Parent() == f || capacity(m) == 0 || capacity(m) == 1) {
			return
		}
	}
	w := &walk{u: r.unit, fn: f, from: send, event: func(in ssa.Instruction, _ *state) usage {
		switch in := in.(type) {
		case *ssa.UnOp:
			if in.Op == token.ARROW && r.place(in.X) == on {
				return releases
			}
		case *ssa.MakeClosure:
			if r.takesBack(in.Fn.(*ssa.Function), on) && used(in) {
				return keeps
			}
		case *ssa.Select:
			for _, st := range in.States {
				if st.Send == nil && r.place(st.Chan) == on {
					return releases
				}
			}
		}
		return looks
	}}
	if l := w.run(b, i+1, &state{}); l != nil {
		r.report(send.Pos(), nil, fmt.Sprintf("the slot that is taken here is not given back%s: the channel fills up and everybody waits; receive from it on this path, best by defer", r.path(l)))
	}
}

func isSlot(ch ssa.Value) bool {
	t, ok := chanElem(ch.Type())
	return ok && t.String() == "struct{}" && made(ch) == nil
}

// takesBack says whether f or a closure in it receives from the channel outside of a range.
func (u *unit) takesBack(f *ssa.Function, on string) bool {
	for in := range instructions(f) {
		if v, ok := isReceive(in); ok && !v.CommaOk && len(*v.Referrers()) == 0 && u.place(v.X) == on {
			return true
		}
	}
	for _, anon := range f.AnonFuncs {
		if u.takesBack(anon, on) {
			return true
		}
	}
	return false
}

// loadedFrom is the address that v was loaded from, or v itself.
func loadedFrom(v ssa.Value) ssa.Value {
	if load, ok := v.(*ssa.UnOp); ok && load.Op == token.MUL {
		return load.X
	}
	return v
}
