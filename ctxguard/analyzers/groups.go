package analyzers

import (
	"fmt"

	"golang.org/x/tools/go/ssa"
)

const (
	groupDone = "(*sync.WaitGroup).Done"
	groupWait = "(*sync.WaitGroup).Wait"
	groupAdd  = "(*sync.WaitGroup).Add"
)

// checkGroups looks at goroutines that a WaitGroup waits for and that do not report themselves done.
func checkGroups(r *reporter) {
	for _, f := range r.functions {
		if start := r.starter(f); start != nil {
			r.doneOnEveryPath(f, start)
		}
		for in := range instructions(f) {
			if c, ok := in.(*ssa.Call); ok && isCallTo(&c.Call, groupWait) {
				r.neverDone(f, c)
				r.waitsInLoop(f, c)
			}
		}
	}
}

// doneOnEveryPath reports a path of a goroutine that returns without the Done that its other paths have.
func (r *reporter) doneOnEveryPath(f *ssa.Function, start ssa.Instruction) {
	on, s := "", &state{}
	for in := range instructions(f) {
		c, ok := in.(ssa.CallInstruction)
		if ok && isCallTo(c.Common(), groupAdd) {
			return // it counts itself in
		}
		if !ok || !isCallTo(c.Common(), groupDone) {
			continue
		}
		if _, deferred := in.(*ssa.Defer); !deferred && inLoop(in.Block()) {
			return // one Done for each piece of work
		}
		on = r.subject(c.Common())
		s.values = append(s.values, receiver(c.Common()))
	}
	if on == "" {
		return
	}
	g := guard{give: groupDone}
	w := &walk{u: r.unit, fn: f, event: func(in ssa.Instruction, _ *state) usage { return r.giveback(in, on, g) }}
	if l := w.run(f.Blocks[0], 0, s); l != nil {
		pos := f.Pos()
		if l.end != nil && l.end.Pos().IsValid() {
			pos = l.end.Pos()
		}
		r.report(pos, nil, fmt.Sprintf("the goroutine that line %d starts does not say Done%s: Wait waits for ever; defer Done as its first statement", r.line(start.Pos()), r.path(l)))
	}
}

// neverDone reports a Wait for goroutines of which none ever says Done.
func (r *reporter) neverDone(f *ssa.Function, wait *ssa.Call) {
	a, ok := receiver(&wait.Call).(*ssa.Alloc)
	if !ok || processEnds(f) {
		return
	}
	added := false
	if !r.groupUse(a, func(name string) bool {
		added = added || name == "Add"
		return name != "Done" && name != "Go"
	}, 0) || !added {
		return
	}
	r.report(wait.Pos(), nil, "nothing that this waits for ever says Done: the goroutine stays here for ever; defer Done in each of them")
}

// groupUse says whether all that is done with a WaitGroup is a method that ok agrees to.
func (r *reporter) groupUse(v ssa.Value, ok func(string) bool, depth int) bool {
	if depth > maxDepth {
		return false
	}
	for _, ref := range *v.Referrers() {
		switch ref := ref.(type) {
		case *ssa.DebugRef:
		case *ssa.MakeClosure:
			fn := ref.Fn.(*ssa.Function)
			for i, b := range ref.Bindings {
				if b == v && (i >= len(fn.FreeVars) || !r.groupUse(fn.FreeVars[i], ok, depth+1)) {
					return false
				}
			}
		case ssa.CallInstruction:
			if receiver(ref.Common()) == v && callee(ref.Common()) != nil && callee(ref.Common()).Pkg().Path() == "sync" {
				if !ok(callee(ref.Common()).Name()) {
					return false
				}
				continue
			}
			g := ref.Common().StaticCallee()
			if g == nil || g.Blocks == nil {
				return false
			}
			for i, a := range ref.Common().Args {
				if a == v && !r.groupUse(g.Params[i], ok, depth+1) {
					return false
				}
			}
		default:
			return false
		}
	}
	return true
}

// waitsInLoop reports a Wait in the loop that starts the goroutines, all of which were added before it.
func (r *reporter) waitsInLoop(f *ssa.Function, wait *ssa.Call) {
	if !inLoop(wait.Block()) {
		return
	}
	on := r.subject(&wait.Call)
	var add *ssa.Call
	starts := false
	for in := range instructions(f) {
		switch in := in.(type) {
		case *ssa.Call:
			if isCallTo(&in.Call, groupAdd) && r.subject(&in.Call) == on {
				if inLoopWith(in.Block(), wait.Block()) {
					return
				}
				if _, isConst := in.Call.Args[1].(*ssa.Const); !isConst {
					add = in
				}
			}
		case *ssa.Go:
			starts = starts || inLoopWith(in.Block(), wait.Block())
		}
	}
	if add != nil && starts {
		r.report(wait.Pos(), nil, fmt.Sprintf("the first turn of the loop waits for goroutines that later turns start: line %d added all of them; wait behind the loop", r.line(add.Pos())))
	}
}

// checkServers looks at servers that are started in a goroutine and that nobody can stop.
func checkServers(r *reporter) {
	for _, f := range r.functions {
		if processEnds(f) || r.inTest(f.Pos()) {
			continue
		}
		for in := range instructions(f) {
			switch in := in.(type) {
			case *ssa.Alloc:
				if isType(in.Type(), "net/http", "Server") {
					r.serverStops(in)
				}
			case *ssa.Go:
				r.servesForEver(in, &in.Call)
			}
		}
		if r.starter(f) != nil && !processEnds(r.starter(f).Parent()) {
			for in := range instructions(f) {
				if c, ok := in.(*ssa.Call); ok {
					r.servesForEver(in, &c.Call)
				}
			}
		}
	}
}

func (r *reporter) servesForEver(in ssa.Instruction, c *ssa.CallCommon) {
	if isCallTo(c, "net/http.ListenAndServe", "net/http.ListenAndServeTLS") {
		r.report(in.Pos(), nil, "nothing can stop this server, nor wait for its handlers: make an http.Server and call its Shutdown")
	}
}

// serverStops reports a server that only its function knows, that a goroutine serves with, and that nobody shuts down.
func (r *reporter) serverStops(a *ssa.Alloc) {
	var serve ssa.Instruction
	stops := false
	if !r.serverUse(a, 0, func(in ssa.CallInstruction, name string) {
		switch name {
		case "Shutdown", "Close":
			stops = true
		case "ListenAndServe", "ListenAndServeTLS", "Serve", "ServeTLS":
			_, isGo := in.(*ssa.Go)
			if isGo || in.Parent() != a.Parent() {
				serve = in
			}
		}
	}) || stops || serve == nil {
		return
	}
	r.report(serve.Pos(), nil, fmt.Sprintf("nobody shuts down the server of line %d: its listener and its handlers stay when %s has returned; call Shutdown where its owner stops", r.line(a.Pos()), a.Parent().Name()))
}

// serverUse calls method for each method of the server that is called, and says whether nobody else gets hold of it.
func (r *reporter) serverUse(v ssa.Value, depth int, method func(ssa.CallInstruction, string)) bool {
	if depth > maxDepth || v.Referrers() == nil {
		return false
	}
	for _, ref := range *v.Referrers() {
		switch ref := ref.(type) {
		case *ssa.DebugRef, *ssa.FieldAddr:
		case *ssa.UnOp:
			if !r.serverUse(ref, depth+1, method) {
				return false
			}
		case *ssa.Store:
			if ref.Addr == v {
				continue
			}
			cell, ok := ref.Addr.(*ssa.Alloc)
			if !ok || !r.serverUse(cell, depth+1, method) {
				return false
			}
		case *ssa.MakeClosure:
			fn := ref.Fn.(*ssa.Function)
			if n := boundName(fn); n != "" {
				return false
			}
			for i, b := range ref.Bindings {
				if b == v && (i >= len(fn.FreeVars) || !r.serverUse(fn.FreeVars[i], depth+1, method)) {
					return false
				}
			}
		case ssa.CallInstruction:
			f := callee(ref.Common())
			if f == nil || receiver(ref.Common()) != v {
				return false
			}
			method(ref, f.Name())
		default:
			return false
		}
	}
	return true
}
