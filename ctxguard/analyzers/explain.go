package analyzers

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/ast/astutil"
	"golang.org/x/tools/go/ssa"
)

// reportLoss says what is lost, on which path, and what mends it.
func (r *reporter) reportLoss(f *ssa.Function, call *ssa.Call, h handover, s *state, l *loss) {
	verb := "is not released"
	switch {
	case len(h.Release) == 0:
		verb = "is not called"
	case h.Release[0] == "Commit":
		verb = "is neither committed nor rolled back"
	case h.Release[0] == "Scan":
		verb = "is not scanned"
	case h.Release[0] == "Close":
		verb = "is not closed"
	}
	where := r.path(l)
	if dropped(s) {
		verb, where = strings.Replace(verb, "is not", "can never be", 1), ", since it is thrown away"
	}
	r.report(call.Pos(), r.fixFor(f, call, h, s), fmt.Sprintf("%s %s%s: %s; %s", h.What, verb, where, h.Ends, h.Fix))
}

// dropped says whether the source gives the thing no name, or does nothing with it.
func dropped(s *state) bool {
	return len(s.values) == 0 || len(s.values) == 1 && len(*s.values[0].Referrers()) == 0
}

// path tells a loss's way: the conditions that led there, and its end.
func (r *reporter) path(l *loss) string {
	var conds []string
	for t := l.trail; t != nil && len(conds) < 4; t = t.before {
		if c := r.condition(t); c != "" {
			conds = append([]string{c}, conds...)
		}
	}
	var out strings.Builder
	out.WriteString(" on the path ")
	if len(conds) > 0 {
		out.WriteString(strings.Join(conds, ", ") + " ")
	}
	if l.loop {
		out.WriteString("to the next turn of the loop")
		return out.String()
	}
	out.WriteString("to the ")
	if p := l.end.Pos(); p.IsValid() {
		fmt.Fprintf(&out, "return in line %d", r.line(p))
	} else {
		out.WriteString("end of the function")
	}
	return out.String()
}

// condition is one decision as the source has it: "err != nil (line 12)", with "not" before it when it was false.
func (r *reporter) condition(t *trail) string {
	pos := condPos(t.cond)
	text := ""
	switch t.cond.(type) {
	case *ssa.Parameter, *ssa.Phi, *ssa.UnOp, *ssa.Extract: // where it is asked has no instruction of its own
		pos, text = r.asksFlag(t)
	default:
		if pos.IsValid() {
			text = r.condText(pos)
		}
	}
	if text == "" {
		return ""
	}
	if !t.taken {
		text = "not " + text
	}
	return fmt.Sprintf("%s (line %d)", text, r.line(pos))
}

// asksFlag is the condition of the if statement whose body a decision led to, when it led there.
func (r *reporter) asksFlag(t *trail) (token.Pos, string) {
	if !t.taken {
		return token.NoPos, ""
	}
	for _, in := range t.to.Instrs {
		f := r.file(in.Pos())
		if !in.Pos().IsValid() || f == nil {
			continue
		}
		nodes, _ := astutil.PathEnclosingInterval(f, in.Pos(), in.Pos())
		for _, n := range nodes {
			if n, ok := n.(*ast.IfStmt); ok && n.Body.Pos() < in.Pos() && in.Pos() < n.Body.End() {
				if text := types.ExprString(n.Cond); len(text) <= 60 {
					return n.Cond.Pos(), text
				}
				break
			}
		}
		break
	}
	return token.NoPos, ""
}

func condPos(v ssa.Value) token.Pos {
	if n, ok := v.(*ssa.UnOp); ok && n.Op == token.NOT && !n.Pos().IsValid() {
		return condPos(n.X)
	}
	return v.Pos()
}

// condText is the smallest comparison or call around pos.
func (r *reporter) condText(pos token.Pos) string {
	f := r.file(pos)
	if f == nil {
		return ""
	}
	nodes, _ := astutil.PathEnclosingInterval(f, pos, pos)
	for _, n := range nodes {
		switch n := n.(type) {
		case *ast.BinaryExpr, *ast.CallExpr, *ast.UnaryExpr:
			if text := types.ExprString(n.(ast.Expr)); len(text) <= 60 {
				return text
			}
			return ""
		case *ast.SelectorExpr, *ast.Ident, *ast.BasicLit, *ast.IndexExpr, *ast.ParenExpr, *ast.TypeAssertExpr, *ast.StarExpr:
		case *ast.RangeStmt:
			return "another element"
		case *ast.SelectStmt:
			return ""
		default:
			_ = n
			return ""
		}
	}
	return ""
}

// fixFor mends two shapes that are safe to mend: a cancel function that was thrown away in a definition, and something that no path
// releases, right behind its error check. Neither is in a loop, where a defer would wait for the end of the function.
func (r *reporter) fixFor(f *ssa.Function, call *ssa.Call, h handover, s *state) []analysis.SuggestedFix {
	file := r.file(call.Pos())
	if file == nil {
		return nil
	}
	nodes, _ := astutil.PathEnclosingInterval(file, call.Pos(), call.Pos())
	var stmt *ast.AssignStmt
	var block *ast.BlockStmt
	for _, n := range nodes {
		switch n := n.(type) {
		case *ast.AssignStmt:
			stmt = n
		case *ast.BlockStmt:
			if block == nil {
				block = n
			}
		case *ast.ForStmt, *ast.RangeStmt:
			return nil
		}
		if _, ok := n.(*ast.FuncLit); ok {
			break
		}
	}
	if stmt == nil || block == nil || stmt.Tok != token.DEFINE || h.Index >= len(stmt.Lhs) {
		return nil
	}
	id, ok := stmt.Lhs[h.Index].(*ast.Ident)
	if !ok {
		return nil
	}
	indent := "\n" + strings.Repeat("\t", r.pass.Fset.Position(stmt.Pos()).Column-1)
	if len(h.Release) == 0 && id.Name == "_" {
		name := "cancel"
		if inner := r.pass.Pkg.Scope().Innermost(stmt.Pos()); inner == nil || taken(inner, name, stmt.Pos()) {
			return nil
		}
		return []analysis.SuggestedFix{{
			Message:   "Keep the cancel function and defer it",
			TextEdits: []analysis.TextEdit{{Pos: id.Pos(), End: id.End(), NewText: []byte(name)}, {Pos: stmt.End(), End: stmt.End(), NewText: []byte(indent + "defer " + name + "()")}},
		}}
	}
	return r.deferFix(stmt, block, id, h, s, indent)
}

func taken(scope *types.Scope, name string, pos token.Pos) bool {
	_, obj := scope.LookupParent(name, pos)
	return obj != nil
}

// deferFix puts a deferred release behind the error check that follows the acquisition.
func (r *reporter) deferFix(stmt *ast.AssignStmt, block *ast.BlockStmt, id *ast.Ident, h handover, s *state, indent string) []analysis.SuggestedFix {
	if len(h.Release) == 0 || id.Name == "_" || len(s.values) != 1 || r.everReleased(s.values[0], h.rel()) {
		return nil
	}
	method := h.Release[0]
	if method == "Commit" {
		method = "Rollback"
	}
	if method == "Scan" {
		return nil
	}
	for i, st := range block.List {
		if st != stmt || i+1 >= len(block.List) {
			continue
		}
		check, ok := block.List[i+1].(*ast.IfStmt)
		if !ok || check.Init != nil || check.Else != nil || len(check.Body.List) == 0 {
			return nil
		}
		if _, ok := check.Body.List[len(check.Body.List)-1].(*ast.ReturnStmt); !ok {
			return nil
		}
		args := "()"
		if sig := methodSig(r.pass.TypesInfo.TypeOf(id), method); sig == nil || sig.Params().Len() > 0 {
			return nil
		}
		return []analysis.SuggestedFix{{
			Message:   "Defer its " + method,
			TextEdits: []analysis.TextEdit{{Pos: check.End(), End: check.End(), NewText: []byte(indent + "defer " + id.Name + "." + method + args)}},
		}}
	}
	return nil
}

func methodSig(t types.Type, name string) *types.Signature {
	if t == nil {
		return nil
	}
	obj, _, _ := types.LookupFieldOrMethod(t, true, nil, name)
	f, ok := obj.(*types.Func)
	if !ok {
		return nil
	}
	return f.Signature()
}

// everReleased says whether any path of the function releases v or hands it on.
func (u *unit) everReleased(v ssa.Value, rel *release) bool {
	return u.spreadOut(v.Parent(), &spread{values: map[ssa.Value]bool{v: true}, cells: map[ssa.Value]bool{}}, rel).any()
}
