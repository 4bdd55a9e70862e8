package analyzers

import (
	"fmt"
	"go/token"

	"golang.org/x/tools/go/ssa"
)

// checkRequests looks at goroutines that a handler starts and does not wait for, and that go on working with the context of its request.
func checkRequests(r *reporter) {
	for _, f := range r.functions {
		if !handles(f) || r.inTest(f.Pos()) {
			continue
		}
		for _, b := range f.Blocks {
			for i, in := range b.Instrs {
				if g, ok := in.(*ssa.Go); ok {
					if what := r.worksWith(g); what != "" && r.leavesBehind(f, b, i) {
						r.report(in.Pos(), nil, fmt.Sprintf("this goroutine goes on when the handler has returned, and %s ends then: its work is cut off; give it context.WithoutCancel(%s) with a timeout of its own, or wait for it", what, what))
					}
				}
			}
		}
	}
}

// handles says whether f has an *http.Request as parameter.
func handles(f *ssa.Function) bool {
	for _, p := range f.Params {
		if isType(p.Type(), "net/http", "Request") {
			return true
		}
	}
	return false
}

// requestContext says whether v is the context of a request, or derived from it within its life.
func (u *unit) requestContext(v ssa.Value, depth int) bool {
	if depth > maxDepth {
		return false
	}
	switch v := v.(type) {
	case *ssa.Call:
		if isCallTo(&v.Call, "(*net/http.Request).Context") {
			return true
		}
		return isCallTo(&v.Call, "context.WithValue") && u.requestContext(v.Call.Args[0], depth+1)
	case *ssa.Extract:
		c, ok := v.Tuple.(*ssa.Call)
		return ok && isDerivation(&c.Call) && u.requestContext(c.Call.Args[0], depth+1)
	case *ssa.UnOp:
		if a := u.local(v.X); a != nil && v.Op == token.MUL {
			val := onlyStore(a)
			return val != nil && u.requestContext(val, depth+1)
		}
	}
	return false
}

// worksWith names the context of the request that a goroutine hands to what it calls, "" when it only asks whether it has ended.
func (r *reporter) worksWith(g *ssa.Go) string {
	const what = "r.Context()"
	f := g.Call.StaticCallee()
	for i, a := range g.Call.Args {
		if r.requestContext(a, 0) && (f == nil || f.Blocks == nil || i < len(f.Params) && passes(f.Params[i])) {
			return what
		}
	}
	if f == nil || f.Parent() == nil {
		return ""
	}
	for in := range instructions(f) {
		c, ok := in.(ssa.CallInstruction)
		if !ok || isCallTo(c.Common(), "context.WithoutCancel") {
			continue
		}
		for _, a := range c.Common().Args {
			if r.requestContext(a, 0) {
				return what
			}
		}
	}
	return ""
}

// passes says whether a parameter is handed to a call, rather than only asked.
func passes(p *ssa.Parameter) bool {
	for _, ref := range *p.Referrers() {
		c, ok := ref.(ssa.CallInstruction)
		if !ok {
			continue
		}
		for _, a := range c.Common().Args {
			if a == p && !isCallTo(c.Common(), "context.WithoutCancel") {
				return true
			}
		}
	}
	return false
}

// leavesBehind says whether a path leads from the go statement to a return without anything that could wait for the goroutine.
func (r *reporter) leavesBehind(f *ssa.Function, b *ssa.BasicBlock, i int) bool {
	w := &walk{u: r.unit, fn: f, from: b.Instrs[i], atLoop: true}
	w.event = func(in ssa.Instruction, _ *state) usage {
		switch in := in.(type) {
		case *ssa.UnOp:
			if in.Op == token.ARROW {
				return releases
			}
		case *ssa.Select:
			return releases
		case ssa.CallInstruction:
			if f := callee(in.Common()); f != nil && f.Name() == "Wait" {
				return releases
			}
		}
		return looks
	}
	for _, in := range before(f, b, i) {
		if d, ok := in.(*ssa.Defer); ok {
			if f := callee(&d.Call); f == nil || f.Name() == "Wait" {
				return false
			}
		}
	}
	return w.run(b, i+1, &state{}) != nil
}

// checkWaits looks for a wait for the end of a context that has none.
func checkWaits(r *reporter) {
	for _, f := range r.functions {
		for in := range instructions(f) {
			switch in := in.(type) {
			case *ssa.UnOp:
				if in.Op == token.ARROW {
					if how := r.endless(doneOf(in.X), 0); how != "" && !processEnds(f) {
						r.report(in.Pos(), nil, fmt.Sprintf("this waits for the end of a context from %s, which never ends: the goroutine stays for ever; wait for the context that was cut off, or for a child with a deadline", how))
					}
				}
			case ssa.CallInstruction:
				r.handsEndless(in)
			}
		}
	}
}

// doneOf is the context whose Done channel v is.
func doneOf(v ssa.Value) ssa.Value {
	c, ok := v.(*ssa.Call)
	if !ok || !c.Call.IsInvoke() || c.Call.Method.Name() != "Done" || !isContext(c.Call.Value.Type()) {
		return nil
	}
	return c.Call.Value
}

// endless says which function made a context that never ends, "" when v is none.
func (r *reporter) endless(v ssa.Value, depth int) string {
	if v == nil || depth > maxDepth {
		return ""
	}
	switch v := v.(type) {
	case *ssa.Call:
		switch {
		case isCallTo(&v.Call, "context.WithoutCancel"):
			return "context.WithoutCancel"
		case isRoot(&v.Call):
			return "context." + callee(&v.Call).Name()
		case isCallTo(&v.Call, "context.WithValue"):
			return r.endless(v.Call.Args[0], depth+1)
		}
	case *ssa.UnOp:
		if a := r.local(v.X); a != nil && v.Op == token.MUL {
			return r.endless(onlyStore(a), depth+1)
		}
	}
	return ""
}

// handsEndless reports such a context that is handed to a function which waits for its end and nothing else.
func (r *reporter) handsEndless(in ssa.CallInstruction) {
	c := in.Common()
	f := c.StaticCallee()
	if f == nil || f.Blocks == nil || processEnds(in.Parent()) {
		return
	}
	for i, a := range c.Args {
		how := ""
		if isContext(a.Type()) {
			how = r.endless(a, 0)
		}
		if how != "context.WithoutCancel" || i >= len(f.Params) {
			continue
		}
		for w := range instructions(f) {
			if recv, ok := isReceive(w); ok && doneOf(recv.X) == f.Params[i] {
				r.report(in.Pos(), nil, fmt.Sprintf("%s waits for the end of this context (line %d), which comes from %s and never ends: the goroutine stays for ever; give it one that ends", f.Name(), r.line(w.Pos()), how))
				return
			}
		}
	}
}
