package analyzers

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"regexp"

	"golang.org/x/tools/go/ast/astutil"
	"golang.org/x/tools/go/ssa"
)

// detached are names of functions that have to work on when their caller's context has ended.
var detached = regexp.MustCompile(`(?i)(shutdown|close|stop|clean|rollback|release|detach|background|drain|finish|abort|unlock)`)

// checkParents looks at contexts that begin anew although the caller gave one.
func checkParents(r *reporter) {
	for _, f := range r.functions {
		if r.inTest(f.Pos()) {
			continue
		}
		for in := range instructions(f) {
			switch in := in.(type) {
			case *ssa.Call:
				if isRoot(&in.Call) {
					r.newRoot(f, in)
				}
			case *ssa.Go:
				r.startsWithoutContext(f, in)
			}
		}
		r.ignoresOwn(f)
	}
}

func isRoot(c *ssa.CallCommon) bool { return isCallTo(c, "context.Background", "context.TODO") }

// given is the innermost context that a caller gave to the code at pos: a parameter, or the context of a request that was put into a variable.
func (r *reporter) given(pos token.Pos) *types.Var {
	scope := r.pass.Pkg.Scope().Innermost(pos)
	for ; scope != nil && scope != r.pass.Pkg.Scope(); scope = scope.Parent() {
		for _, name := range scope.Names() {
			v, ok := scope.Lookup(name).(*types.Var)
			if ok && name != "_" && v.Pos() < pos && isContext(v.Type()) && (r.isParam(v) || r.ofRequest(v)) {
				return v
			}
		}
	}
	return nil
}

func (r *reporter) isParam(v *types.Var) bool {
	f := r.file(v.Pos())
	if f == nil {
		return false
	}
	nodes, _ := astutil.PathEnclosingInterval(f, v.Pos(), v.Pos())
	for _, n := range nodes {
		switch n.(type) {
		case *ast.FuncType:
			return true
		case ast.Stmt:
			return false
		}
	}
	return false
}

// ofRequest says whether v was defined as the context of an *http.Request.
func (r *reporter) ofRequest(v *types.Var) bool {
	f := r.file(v.Pos())
	if f == nil {
		return false
	}
	nodes, _ := astutil.PathEnclosingInterval(f, v.Pos(), v.Pos())
	for _, n := range nodes {
		as, ok := n.(*ast.AssignStmt)
		if !ok {
			continue
		}
		if len(as.Rhs) != 1 {
			return false
		}
		call, ok := as.Rhs[0].(*ast.CallExpr)
		if !ok {
			return false
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		return ok && sel.Sel.Name == "Context" && isType(r.pass.TypesInfo.TypeOf(sel.X), "net/http", "Request")
	}
	return false
}

// asksEnd says whether anybody in the function around pos, closures included, asks whether v has ended: then what follows may have to outlive it.
func (r *reporter) asksEnd(v *types.Var, pos token.Pos) bool {
	f := r.file(pos)
	nodes, _ := astutil.PathEnclosingInterval(f, v.Pos(), v.Pos())
	found := false
	for _, n := range nodes {
		switch n.(type) {
		case *ast.FuncDecl, *ast.FuncLit:
		default:
			continue
		}
		ast.Inspect(n, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
					id, isID := sel.X.(*ast.Ident)
					if isID && r.pass.TypesInfo.Uses[id] == v && (sel.Sel.Name == "Done" || sel.Sel.Name == "Err") {
						found = true
					}
				}
			}
			return !found
		})
		break
	}
	return found
}

// mentions says whether the closure f names v.
func (r *reporter) mentions(f *ssa.Function, v *types.Var) bool {
	if f.Syntax() == nil {
		return false
	}
	found := false
	ast.Inspect(f.Syntax(), func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && r.pass.TypesInfo.Uses[id] == v {
			found = true
		}
		return !found
	})
	return found
}

// newRoot judges one call of context.Background or context.TODO.
func (r *reporter) newRoot(f *ssa.Function, call *ssa.Call) {
	v := r.given(call.Pos())
	if v == nil || processEnds(f) || joins(call) {
		return
	}
	goer := r.goroutineAround(f)
	if goer != nil {
		if !r.mentions(goer, v) && f == goer && !r.asksEnd(v, call.Pos()) {
			r.report(call.Pos(), nil, fmt.Sprintf("this goroutine begins a context of its own although %s is in scope: it does not end with its caller; derive from %s, or from context.WithoutCancel(%s) when it has to outlive it", v.Name(), v.Name(), v.Name()))
		}
		return
	}
	if f.Syntax() == nil || v.Pos() < f.Syntax().Pos() || v.Pos() > f.Syntax().End() {
		return // a closure that may run long after the function that was given the context
	}
	for g := f; g != nil; g = g.Parent() {
		if detached.MatchString(g.Name()) || r.isDeferred(g) {
			return
		}
	}
	if r.asksEnd(v, call.Pos()) {
		return
	}
	for _, ref := range *call.Referrers() {
		c, ok := ref.(ssa.CallInstruction)
		if !ok {
			continue
		}
		if _, isGo := ref.(*ssa.Go); isGo {
			r.report(call.Pos(), nil, fmt.Sprintf("the goroutine in line %d gets a context of its own although %s is in scope: it does not end with its caller; give it %s", r.line(ref.Pos()), v.Name(), v.Name()))
			return
		}
		if made, isCall := ref.(*ssa.Call); isCall && !isCallTo(c.Common(), "context.AfterFunc") && !ownLife(made) && !onlyLogs(c.Common()) {
			r.report(call.Pos(), nil, fmt.Sprintf("a new context begins here although %s is in scope: the end of %s does not reach what gets it; derive from %s, or from context.WithoutCancel(%s) when it has to outlive it", v.Name(), v.Name(), v.Name(), v.Name()))
			return
		}
	}
}

// ownLife says whether a derived context's cancel function becomes a field: the object has a life that does not end with the call that began it.
func ownLife(call *ssa.Call) bool {
	if !isDerivation(&call.Call) {
		return false
	}
	for _, ref := range *call.Referrers() {
		ex, ok := ref.(*ssa.Extract)
		if !ok || ex.Index != 1 {
			continue
		}
		if storedInField(ex) {
			return true
		}
	}
	return false
}

func storedInField(v ssa.Value) bool {
	for _, use := range *v.Referrers() {
		switch use := use.(type) {
		case *ssa.Store:
			if _, ok := use.Addr.(*ssa.FieldAddr); ok {
				return true
			}
			if a, ok := use.Addr.(*ssa.Alloc); ok && use.Val == v { // a variable that a closure shares
				for _, ref := range *a.Referrers() {
					if load, ok := ref.(*ssa.UnOp); ok && storedInField(load) {
						return true
					}
				}
			}
		case *ssa.ChangeType: // a field of type func()
			if storedInField(use) {
				return true
			}
		}
	}
	return false
}

// logging are names of functions that look at the values of a context and do not wait.
var logging = regexp.MustCompile(`(?i)(log|print|debug|info|warn|error|trace|fatal)`)

// onlyLogs says whether a call is one of a logger: a name of that kind, and arguments in any number.
func onlyLogs(c *ssa.CallCommon) bool {
	f := callee(c)
	return f != nil && c.Signature().Variadic() && logging.MatchString(f.Name())
}

// joins says whether the new root only stands in for a context that may be nil.
func joins(call *ssa.Call) bool {
	for _, ref := range *call.Referrers() {
		switch ref := ref.(type) {
		case *ssa.Phi:
			return true
		case *ssa.Store:
			if a, ok := ref.Addr.(*ssa.Alloc); ok && onlyStore(a) == nil {
				return true
			}
		}
	}
	return false
}

// goroutineAround is the closure around f, or f itself, that a go statement of the function around it starts.
func (r *reporter) goroutineAround(f *ssa.Function) *ssa.Function {
	for g := f; g != nil && g.Parent() != nil; g = g.Parent() {
		for in := range instructions(g.Parent()) {
			if spawned(in) == g {
				return g
			}
		}
	}
	return nil
}

func (r *reporter) isDeferred(f *ssa.Function) bool {
	if f.Parent() == nil {
		return false
	}
	for in := range instructions(f.Parent()) {
		if d, ok := in.(*ssa.Defer); ok && d.Call.StaticCallee() == f {
			return true
		}
	}
	return false
}

// startsWithoutContext reports a go statement for a function that begins a context of its own, where one could have been given to it.
func (r *reporter) startsWithoutContext(f *ssa.Function, in *ssa.Go) {
	g := in.Call.StaticCallee()
	if g == nil || g.Parent() != nil || g.Blocks == nil || g.Signature.Recv() != nil || processEnds(f) {
		return // a method's object has a life of its own
	}
	for _, p := range g.Params {
		if isContext(p.Type()) {
			return
		}
	}
	v := r.given(in.Pos())
	if v == nil {
		return
	}
	for in2 := range instructions(g) {
		if c, ok := in2.(*ssa.Call); ok && isRoot(&c.Call) {
			r.report(in.Pos(), nil, fmt.Sprintf("%s begins a context of its own (line %d) although %s is in scope here: it does not end with its caller; give it %s", g.Name(), r.line(c.Pos()), v.Name(), v.Name()))
			return
		}
	}
}

// ignoresOwn reports a function that derives from some other context and never looks at the one that it was given.
func (r *reporter) ignoresOwn(f *ssa.Function) {
	if f.Parent() != nil || detached.MatchString(f.Name()) {
		return
	}
	for _, p := range f.Params {
		if !isContext(p.Type()) || p.Name() == "_" || p.Name() == "" || len(*p.Referrers()) > 0 {
			continue
		}
		for in := range instructions(f) {
			call, ok := in.(*ssa.Call)
			if !ok || !isDerivation(&call.Call) || len(call.Call.Args) == 0 {
				continue
			}
			if load, ok := call.Call.Args[0].(*ssa.UnOp); ok && load.Op == token.MUL {
				r.report(call.Pos(), nil, fmt.Sprintf("this context is the child of another one than %s, which %s was given and never looks at: the end of %s does not reach it; derive from %s", p.Name(), f.Name(), p.Name(), p.Name()))
			}
		}
	}
}

func isDerivation(c *ssa.CallCommon) bool {
	return isCallTo(c, "context.WithCancel", "context.WithCancelCause", "context.WithTimeout", "context.WithTimeoutCause", "context.WithDeadline", "context.WithDeadlineCause", "context.WithValue")
}
