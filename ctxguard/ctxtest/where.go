package ctxtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"strings"
)

// describe says where g is, who being the name for it, with the source and what it waits for.
func (g *goroutine) describe(who string) string {
	c, ok := g.place()
	if !ok && len(g.calls) > 0 {
		c = g.calls[0]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s is at %s:%d in %s (%s)", who, c.file, c.line, c.name, g.state)
	if w, ok := readWait(c.file, c.line); ok {
		b.WriteString(w.String())
	}
	if g.creator.name != "" && !ours(g.creator.name) {
		fmt.Fprintf(&b, "\n\tstarted by %s at %s:%d", g.creator.name, short(g.creator.file), g.creator.line)
	}
	b.WriteString("\n\tstack:")
	for _, c := range g.calls {
		if !ours(c.name) {
			fmt.Fprintf(&b, " %s (%s:%d) <", c.name, short(c.file), c.line)
		}
	}
	return strings.TrimSuffix(b.String(), " <")
}

// wait is what a line of source waits for.
type wait struct {
	source  string   // the statement, as it stands there
	listens []string // channels that it receives from or sends to, with what is known of them
	gave    string   // the context that it passed to what it called
}

func (w wait) String() string {
	var b strings.Builder
	for _, line := range strings.Split(w.source, "\n") {
		b.WriteString("\n\t    " + line)
	}
	if len(w.listens) > 0 {
		b.WriteString("\n\tit listens to " + strings.Join(w.listens, ", ") + ", and to nothing else")
	}
	if w.gave != "" {
		b.WriteString("\n\tit gave " + w.gave + " to what it called")
	}
	return b.String()
}

// readWait reads the statement at a line of a file. It fails where there is no source: then there is less to show.
func readWait(file string, line int) (wait, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return wait{}, false
	}
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, file, text, parser.SkipObjectResolution)
	if err != nil {
		return wait{}, false
	}
	s := &source{set: set, line: line}
	ast.Inspect(f, s.find)
	return s.wait()
}

// source looks for what stands at a line.
type source struct {
	set  *token.FileSet
	line int

	fn     *ast.FuncDecl
	sel    *ast.SelectStmt // at the line, or around it
	stmt   ast.Stmt        // the smallest statement at the line that is no block
	caller *ast.CallExpr   // the first call that begins at the line
}

func (s *source) find(n ast.Node) bool {
	if n == nil {
		return false
	}
	from, to := s.set.Position(n.Pos()).Line, s.set.Position(n.End()).Line
	if from > s.line || to < s.line {
		return false
	}
	switch n := n.(type) {
	case *ast.FuncDecl:
		s.fn = n
	case *ast.SelectStmt:
		if from == s.line { // a goroutine in a select is at its first line
			s.sel = n
		}
	case *ast.BlockStmt, *ast.CaseClause, *ast.CommClause, *ast.LabeledStmt:
	case ast.Stmt:
		if from == s.line || s.stmt == nil {
			s.stmt = n
		}
	case *ast.CallExpr:
		if s.caller == nil && from == s.line {
			s.caller = n
		}
	}
	return true
}

func (s *source) wait() (w wait, ok bool) {
	switch {
	case s.sel != nil:
		w.source = s.print(s.sel, 12)
		for _, c := range s.sel.Body.List {
			if comm := c.(*ast.CommClause).Comm; comm != nil {
				w.listens = append(w.listens, s.channels(comm)...)
			}
		}
		return w, true
	case s.stmt != nil:
		w.source = s.print(s.stmt, 4)
		w.listens = s.channels(s.stmt)
		if len(w.listens) == 0 {
			w.gave = s.gave()
		}
		return w, true
	}
	return w, false
}

// print returns the source of n, its first lines.
func (s *source) print(n ast.Node, most int) string {
	var b strings.Builder
	if err := printer.Fprint(&b, s.set, n); err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) > most {
		lines = append(lines[:most], "...")
	}
	return strings.Join(lines, "\n")
}

// channels lists what n receives from or sends to, without going into function literals or the bodies of cases.
func (s *source) channels(n ast.Node) []string {
	var out []string
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit, *ast.BlockStmt:
			return false
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				out = append(out, s.channel(n.X))
			}
		case *ast.SendStmt:
			out = append(out, s.print(n.Chan, 1)+" (to send)")
		}
		return true
	})
	if r, ok := n.(*ast.RangeStmt); ok {
		out = append(out, s.print(r.X, 1)+" (range)")
	}
	return out
}

// channel names a channel. Of the Done of a context it says where that context comes from.
func (s *source) channel(x ast.Expr) string {
	name := s.print(x, 1)
	call, ok := x.(*ast.CallExpr)
	if !ok {
		return name + s.origin(x)
	}
	if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Done" {
		return name + s.origin(sel.X)
	}
	return name
}

// gave finds the context in the arguments of the call at the line, in Go's order the first.
func (s *source) gave() string {
	if s.caller == nil {
		return ""
	}
	var calls []*ast.CallExpr
	ast.Inspect(s.stmt, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			calls = append(calls, c)
		}
		_, lit := n.(*ast.FuncLit)
		return !lit
	})
	for _, c := range calls {
		if len(c.Args) == 0 {
			continue
		}
		name := s.print(c.Args[0], 1)
		if low := strings.ToLower(name); strings.Contains(low, "ctx") || strings.Contains(low, "context") {
			return name + s.origin(c.Args[0])
		}
	}
	return ""
}

// origin says where the value of an expression comes from, as far as the function itself shows it.
func (s *source) origin(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.SelectorExpr:
		return " (" + s.print(x.Sel, 1) + " of " + s.print(x.X, 1) + ", not the context that was given)"
	case *ast.Ident:
		return s.originOf(x.Name)
	}
	return ""
}

// originOf looks for the last assignment to name before the line, or a parameter of that name, and where what it is made from comes from.
func (s *source) originOf(name string) string {
	var parts []string
	for line := s.line; len(parts) < 4; {
		at, what, from := s.assigned(name, line)
		if what == "" {
			break
		}
		parts = append(parts, fmt.Sprintf("%s is %s", name, what))
		if from == "" || from == name && at == line {
			break
		}
		name, line = from, at
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// assigned finds the last assignment to name before a line of the function: where it is, what it says, and the first argument if that is a variable.
func (s *source) assigned(name string, before int) (at int, what, from string) {
	if s.fn == nil {
		return 0, "", ""
	}
	ast.Inspect(s.fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, id := range n.Names {
				if line := s.set.Position(id.Pos()).Line; id.Name == name && line <= before {
					at, what, from = line, "a parameter", ""
				}
			}
		case *ast.AssignStmt:
			for i, l := range n.Lhs {
				line := s.set.Position(n.Pos()).Line
				if id, ok := l.(*ast.Ident); ok && id.Name == name && line < before {
					rhs := n.Rhs[min(i, len(n.Rhs)-1)]
					at, what, from = line, fmt.Sprintf("%s, line %d", s.print(rhs, 1), line), firstVariable(rhs)
				}
			}
		}
		return true
	})
	return at, what, from
}

// firstVariable is the name of the first argument of a call, if it is a variable.
func firstVariable(x ast.Expr) string {
	call, ok := x.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return ""
	}
	if id, ok := call.Args[0].(*ast.Ident); ok {
		return id.Name
	}
	return ""
}
