package analyzers

import (
	"fmt"
	"go/token"
	"maps"
	"slices"
	"strings"

	"golang.org/x/tools/go/ssa"
)

// lockUse is one lock as a function takes it: by the place of the variable, which may begin with a parameter, and by its kind, the field of the
// type, for places that nobody can compare.
type lockUse struct {
	place string
	class string
	read  bool
	own   bool // of an object that the function has just made: nobody else knows it yet
	sure  bool // it is taken on every path
	deep  int  // calls between the function and the one that takes it
	pos   token.Pos
}

// lockTable is what is known of the locks of a package's functions.
type lockTable struct {
	first map[*ssa.Function][]lockUse // taken by a function that did not give the same one back before
	doing map[*ssa.Function]bool
	lends map[*ssa.Function][]lockUse // given back by a function that did not take it: its caller did
	order map[[2]string]lockPair
}

type lockPair struct {
	held, taken lockUse
	gates       []string // classes of the other locks that were held
	fn          *ssa.Function
	via         *ssa.Function // the callee that takes, nil for fn itself
}

// maxDeep bounds the calls over which two locks are still believed to be those of the same objects elsewhere.
const maxDeep = 3

// checkLocks finds three ways in which goroutines wait for each other for ever.
func checkLocks(r *reporter) {
	r.locks = &lockTable{first: map[*ssa.Function][]lockUse{}, doing: map[*ssa.Function]bool{}, lends: map[*ssa.Function][]lockUse{}, order: map[[2]string]lockPair{}}
	for _, f := range r.functions {
		r.heldIn(f, func(in ssa.Instruction, held map[string]lockUse) {
			if len(held) == 0 {
				return
			}
			r.takenAgain(f, in, held)
			r.waitsHolding(f, in, held)
		})
	}
	r.bothOrders()
}

// lockCall reads a call of a lock's method.
func (u *unit) lockCall(c *ssa.CallCommon) (use lockUse, takes, ok bool) {
	f := callee(c)
	if f == nil || f.Pkg() == nil || f.Pkg().Path() != "sync" {
		return lockUse{}, false, false
	}
	v := receiver(c)
	if v == nil {
		return lockUse{}, false, false
	}
	switch f.FullName() {
	case "(*sync.Mutex).Lock", "(*sync.RWMutex).Lock":
		takes = true
	case "(*sync.RWMutex).RLock":
		takes, use.read = true, true
	case "(*sync.Mutex).Unlock", "(*sync.RWMutex).Unlock":
	case "(*sync.RWMutex).RUnlock":
		use.read = true
	default:
		return lockUse{}, false, false
	}
	use.place, use.class, use.pos, use.own = u.place(v), class(v), c.Pos(), u.fresh(v)
	return use, takes, true
}

// class names the field of the type that v is the address of, or is loaded from; "" when it is none.
func class(v ssa.Value) string {
	switch v := v.(type) {
	case *ssa.FieldAddr:
		f := fieldVar(v)
		if f == nil {
			return ""
		}
		if outer, ok := v.X.(*ssa.FieldAddr); ok { // a struct within a struct
			if c := class(outer); c != "" {
				return c + "." + f.Name()
			}
		}
		if n := named(v.X.Type()); n != nil {
			return n.Obj().Name() + "." + f.Name()
		}
	case *ssa.Global:
		return v.Name()
	case *ssa.UnOp:
		return class(v.X)
	case *ssa.MakeInterface:
		return class(v.X)
	}
	return ""
}

// heldIn calls visit for each instruction of f with the locks that are held there on every path.
func (u *unit) heldIn(f *ssa.Function, visit func(ssa.Instruction, map[string]lockUse)) {
	if len(f.Blocks) == 0 {
		return
	}
	in := map[*ssa.BasicBlock]map[string]lockUse{f.Blocks[0]: {}}
	todo := []*ssa.BasicBlock{f.Blocks[0]}
	for len(todo) > 0 {
		b := todo[0]
		todo = todo[1:]
		out := maps.Clone(in[b])
		for _, i := range b.Instrs {
			u.holdStep(i, out)
		}
		for _, s := range b.Succs {
			before, seen := in[s]
			if !seen {
				in[s] = maps.Clone(out)
				todo = append(todo, s)
				continue
			}
			n := len(before)
			maps.DeleteFunc(before, func(k string, _ lockUse) bool { _, ok := out[k]; return !ok })
			if len(before) != n {
				todo = append(todo, s)
			}
		}
	}
	for _, b := range f.Blocks {
		held, ok := in[b]
		if !ok {
			continue
		}
		held = maps.Clone(held)
		for _, i := range b.Instrs {
			visit(i, held)
			u.holdStep(i, held)
		}
	}
}

func (u *unit) holdStep(in ssa.Instruction, held map[string]lockUse) {
	call, ok := in.(*ssa.Call)
	if !ok {
		return
	}
	if use, takes, ok := u.lockCall(&call.Call); ok {
		if takes {
			held[use.place] = use
		} else {
			delete(held, use.place)
		}
		return
	}
	if len(held) == 0 {
		return
	}
	if isCallTo(&call.Call, "(*sync.Cond).Wait") {
		clear(held) // it gives its lock back while it waits
		return
	}
	f := call.Call.StaticCallee()
	if f == nil {
		if _, builtin := call.Call.Value.(*ssa.Builtin); !builtin && !call.Call.IsInvoke() {
			clear(held) // a function value may give anything back
		}
		return
	}
	for k, h := range held {
		if u.unlocks(f, h.class, 3) {
			delete(held, k)
		}
	}
}

// unlocks says whether f or what it calls gives back a lock of this class that its caller took.
func (u *unit) unlocks(f *ssa.Function, class string, depth int) bool {
	if depth == 0 || f.Blocks == nil {
		return false
	}
	if slices.ContainsFunc(u.lent(f), func(l lockUse) bool { return l.class == class }) {
		return true
	}
	for in := range instructions(f) {
		if c, ok := in.(*ssa.Call); ok {
			if g := c.Call.StaticCallee(); g != nil && g != f && u.unlocks(g, class, depth-1) {
				return true
			}
		}
	}
	return false
}

// lent are the locks that f itself gives back on some path on which it has not taken them: it is called with them held, and may take
// them again before it returns.
func (u *unit) lent(f *ssa.Function) []lockUse {
	if l, ok := u.lentBefore(f); ok {
		return l
	}
	var out []lockUse
	for in := range instructions(f) {
		c, ok := in.(ssa.CallInstruction)
		if !ok {
			continue
		}
		use, takes, ok := u.lockCall(c.Common())
		if !ok || takes || slices.ContainsFunc(out, func(l lockUse) bool { return l.place == use.place }) {
			continue
		}
		if u.reachesUnlocked(f, in, use) {
			out = append(out, use)
		}
	}
	if u.locks != nil {
		u.locks.lends[f] = out
	}
	return out
}

func (u *unit) lentBefore(f *ssa.Function) ([]lockUse, bool) {
	if u.locks == nil {
		return nil, false
	}
	l, ok := u.locks.lends[f]
	return l, ok
}

// reachesUnlocked says whether a path leads from the start of f to in without taking the lock.
func (u *unit) reachesUnlocked(f *ssa.Function, in ssa.Instruction, use lockUse) bool {
	seen := map[*ssa.BasicBlock]bool{}
	todo := []*ssa.BasicBlock{f.Blocks[0]}
	for len(todo) > 0 {
		b := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[b] {
			continue
		}
		seen[b] = true
		locked := false
		for _, i := range b.Instrs {
			if i == in {
				return true
			}
			if c, ok := i.(*ssa.Call); ok {
				if l, takes, ok := u.lockCall(&c.Call); ok && takes && l.place == use.place || u.locksFor(&c.Call, use.class) {
					locked = true
					break
				}
			}
		}
		if !locked {
			todo = append(todo, b.Succs...)
		}
	}
	return false
}

// locksFor says whether a call is one of a helper that takes a lock of the class and returns with it.
func (u *unit) locksFor(c *ssa.CallCommon, class string) bool {
	g := c.StaticCallee()
	if g == nil || g.Blocks == nil {
		return false
	}
	takes, gives := false, false
	for in := range instructions(g) {
		if c, ok := in.(ssa.CallInstruction); ok {
			if use, t, ok := u.lockCall(c.Common()); ok && use.class == class {
				takes, gives = takes || t, gives || !t
			}
		}
	}
	return takes && !gives
}

// takes are the locks that a call of f takes and that its caller may not hold, by places that begin with its parameters.
func (u *unit) takes(f *ssa.Function) []lockUse {
	if t, ok := u.locks.first[f]; ok || u.locks.doing[f] || f.Blocks == nil {
		return t
	}
	u.locks.doing[f] = true
	lent := u.lent(f)
	var out []lockUse
	add := func(use lockUse) {
		isLent := slices.ContainsFunc(lent, func(l lockUse) bool { return l.place == use.place || l.class == use.class && l.class != "" })
		if !isLent && !slices.ContainsFunc(out, func(o lockUse) bool { return o.place == use.place && o.read == use.read }) {
			out = append(out, use)
		}
	}
	for _, b := range f.DomPreorder() {
		for _, in := range b.Instrs {
			call, ok := in.(*ssa.Call)
			if !ok {
				continue
			}
			if use, takes, ok := u.lockCall(&call.Call); ok {
				if takes && !u.asked(b) {
					use.sure = !skips(f, in)
					add(use)
				}
				continue
			}
			if g := call.Call.StaticCallee(); g != nil && !u.asked(b) {
				for _, l := range u.lent(g) {
					lent = append(lent, u.moved(l, g, &call.Call))
				}
				for _, use := range u.takes(g) {
					use = u.moved(use, g, &call.Call)
					use.sure = use.sure && !skips(f, in)
					add(use)
				}
			}
		}
	}
	delete(u.locks.doing, f)
	u.locks.first[f] = out
	return out
}

// asked says whether b runs only when a flag that the caller gave says so: whether to lock, or whether the lock is held already.
func (u *unit) asked(b *ssa.BasicBlock) bool {
	for d := b; d.Idom() != nil; d = d.Idom() {
		if c, ok := last(d.Idom()).(*ssa.If); ok && u.isFlag(c.Cond, 0) {
			return true
		}
	}
	return false
}

func (u *unit) isFlag(v ssa.Value, depth int) bool {
	if depth > 4 {
		return false
	}
	switch v := v.(type) {
	case *ssa.Parameter:
		return isBoolType(v.Type())
	case *ssa.UnOp:
		if a := u.local(v.X); a != nil && v.Op == token.MUL {
			p, ok := onlyStore(a).(*ssa.Parameter)
			return ok && isBoolType(p.Type())
		}
		return v.Op == token.NOT && u.isFlag(v.X, depth+1)
	case *ssa.Phi:
		return slices.ContainsFunc(v.Edges, func(e ssa.Value) bool { return u.isFlag(e, depth+1) })
	}
	return false
}

// skips says whether a path of f returns without passing in.
func skips(f *ssa.Function, in ssa.Instruction) bool {
	seen := map[*ssa.BasicBlock]bool{in.Block(): true}
	todo := []*ssa.BasicBlock{f.Blocks[0]}
	for len(todo) > 0 {
		b := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[b] {
			continue
		}
		seen[b] = true
		if _, ok := last(b).(*ssa.Return); ok {
			return true
		}
		todo = append(todo, b.Succs...)
	}
	return false
}

// moved is a lock of g as the caller of g names it.
func (u *unit) moved(use lockUse, g *ssa.Function, c *ssa.CallCommon) lockUse {
	use.deep++
	for i, p := range g.Params {
		if i < len(c.Args) && strings.Contains(use.place, name(p)) {
			use.place = strings.ReplaceAll(use.place, name(p), u.place(c.Args[i]))
		}
	}
	return use
}

// takenAgain reports a lock that is taken while it is held, here or by what is called, and notes which locks are taken in which order.
func (r *reporter) takenAgain(f *ssa.Function, in ssa.Instruction, held map[string]lockUse) {
	call, ok := in.(*ssa.Call)
	if !ok {
		return
	}
	if use, takes, ok := r.lockCall(&call.Call); ok {
		if takes {
			r.meets(f, call, use, nil, held)
		}
		return
	}
	g := call.Call.StaticCallee()
	if g == nil {
		return
	}
	for _, use := range r.takes(g) {
		r.meets(f, call, r.moved(use, g, &call.Call), g, held)
	}
}

func (r *reporter) meets(f *ssa.Function, call *ssa.Call, use lockUse, via *ssa.Function, held map[string]lockUse) {
	if h, ok := held[use.place]; ok {
		if via != nil && !use.sure || r.givenElsewhere(f, use) {
			return
		}
		who, where := "it is taken again here", ""
		if via != nil {
			who, where = fmt.Sprintf("%s is called, which takes it again", via.Name()), fmt.Sprintf(" in line %d", r.line(use.pos))
		}
		ends := "the goroutine waits for itself for ever"
		if h.read && use.read {
			ends = "when somebody wants to write between the two, both wait for ever"
		}
		r.report(call.Pos(), nil, fmt.Sprintf("the lock that line %d took is still held when %s%s: %s; give it back first, or split off what runs under the lock", r.line(h.pos), who, where, ends))
		return
	}
	if r.inTest(f.Pos()) || use.own || use.deep > maxDeep {
		return
	}
	for _, h := range held {
		if via != nil && r.unlocks(via, h.class, 3) {
			continue // it gives it back meanwhile
		}
		if !h.own && h.class != "" && use.class != "" && h.class != use.class && !(h.read && use.read) {
			key := [2]string{h.class, use.class}
			if _, ok := r.locks.order[key]; !ok {
				r.locks.order[key] = lockPair{h, use, gates(held, h), f, via}
			}
		}
	}
}

// gates are the classes of the locks that are held beside one, to write.
func gates(held map[string]lockUse, beside lockUse) []string {
	var out []string
	for _, h := range held {
		if h.place != beside.place && h.class != "" && !h.read {
			out = append(out, h.class)
		}
	}
	return out
}

// givenElsewhere says whether a closure of f, or its method value, gives back the lock that f took: then to take it again is to wait for that.
func (r *reporter) givenElsewhere(f *ssa.Function, use lockUse) bool {
	for in := range instructions(f) {
		if mc, ok := in.(*ssa.MakeClosure); ok && strings.HasSuffix(boundName(mc.Fn.(*ssa.Function)), "Unlock") && r.place(mc.Bindings[0]) == use.place {
			return true // a method value that somebody calls
		}
	}
	for _, anon := range f.AnonFuncs {
		if slices.ContainsFunc(r.lent(anon), func(l lockUse) bool { return l.place == use.place }) || r.givenElsewhere(anon, use) {
			return true
		}
	}
	return false
}

// bothOrders reports two locks that one function takes in one order and another in the other.
func (r *reporter) bothOrders() {
	keys := slices.SortedFunc(maps.Keys(r.locks.order), func(a, b [2]string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) })
	for _, key := range keys {
		if key[0] > key[1] {
			continue
		}
		back, ok := r.locks.order[[2]string{key[1], key[0]}]
		if !ok {
			continue
		}
		there := r.locks.order[key]
		if slices.ContainsFunc(there.gates, func(g string) bool { return slices.Contains(back.gates, g) }) {
			continue // only one of them comes that far at a time
		}
		if there.held.read && back.taken.read || there.taken.read && back.held.read {
			continue // two readers do not wait for each other
		}
		r.report(there.taken.pos, nil, fmt.Sprintf("%s takes %s%s while it holds %s (line %d), and %s takes them in the other order%s (lines %d and %d): each can wait for the other for ever; take them in one order everywhere",
			there.fn.Name(), key[1], through(there), key[0], r.line(there.held.pos), back.fn.Name(), through(back), r.line(back.held.pos), r.line(back.taken.pos)))
	}
}

// through names the function by which another one takes a lock.
func through(p lockPair) string {
	if p.via == nil {
		return ""
	}
	return " through " + p.via.Name()
}
