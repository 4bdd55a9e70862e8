package analyzers

import (
	"go/ast"
	"go/build"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/buildssa"
	"golang.org/x/tools/go/ssa"
)

// unit is one package as all analyzers see it. The SSA form is built when the first of them asks, since a dependency's is seldom needed.
type unit struct {
	pass  *analysis.Pass // of the analyzer that has the facts
	table *table
	mu    sync.Mutex // held by the analyzer that runs

	built     bool
	functions []*ssa.Function // of the package's source, closures included
	closures  map[*ssa.Function]*ssa.MakeClosure
	callers   map[*ssa.Function][]ssa.CallInstruction
	fields    map[*types.Var]*fieldUse
	globals   map[*ssa.Global]*fieldUse

	given     map[*ssa.Function][]handover
	giving    map[*ssa.Function]bool
	consuming map[consumeKey]consumption
	locks     *lockTable
}

func newUnit(pass *analysis.Pass, t *table) *unit {
	return &unit{
		pass: pass, table: t,
		given: map[*ssa.Function][]handover{}, giving: map[*ssa.Function]bool{}, consuming: map[consumeKey]consumption{},
	}
}

// build makes the SSA form and the indexes over it, once.
func (u *unit) build() error {
	if u.built {
		return nil
	}
	u.built = true
	out, err := buildssa.Analyzer.Run(u.pass)
	if err != nil {
		return err
	}
	u.functions = out.(*buildssa.SSA).SrcFuncs
	u.closures = map[*ssa.Function]*ssa.MakeClosure{}
	u.callers = map[*ssa.Function][]ssa.CallInstruction{}
	u.fields = map[*types.Var]*fieldUse{}
	u.globals = map[*ssa.Global]*fieldUse{}
	for _, f := range u.functions {
		for _, b := range f.Blocks {
			for _, in := range b.Instrs {
				u.index(in)
			}
		}
	}
	return nil
}

func (u *unit) index(in ssa.Instruction) {
	switch in := in.(type) {
	case *ssa.MakeClosure:
		u.closures[in.Fn.(*ssa.Function)] = in
	case ssa.CallInstruction:
		if f := in.Common().StaticCallee(); f != nil {
			u.callers[f] = append(u.callers[f], in)
		}
	case *ssa.FieldAddr:
		if v := fieldVar(in); v != nil {
			u.fieldUse(v).addAddr(in)
		}
	case *ssa.Field:
		if v := fieldOf(in.X.Type(), in.Field); v != nil {
			u.fieldUse(v).addValue(in)
		}
	}
	for _, op := range in.Operands(nil) {
		if g, ok := (*op).(*ssa.Global); ok {
			use := u.globals[g]
			if use == nil {
				use = &fieldUse{}
				u.globals[g] = use
			}
			use.addAccess(in, g)
		}
	}
}

// mayHaveFacts says whether a dependency is worth the SSA form: the standard library is in the table already, and who never sees a
// context makes no wrapper around one.
func (u *unit) mayHaveFacts() bool {
	if u.standard() {
		return false
	}
	for _, p := range u.pass.Pkg.Imports() {
		if p.Path() == "context" || p.Path() == "os/signal" {
			return true
		}
	}
	return false
}

func (u *unit) standard() bool {
	if len(u.pass.Files) == 0 || build.Default.GOROOT == "" {
		return false
	}
	name := u.pass.Fset.File(u.pass.Files[0].Pos()).Name()
	return strings.HasPrefix(name, filepath.Join(build.Default.GOROOT, "src")+string(filepath.Separator))
}

// exportFacts builds the package and tells other packages what its exported functions hand over and what they only borrow.
func (u *unit) exportFacts() error {
	if err := u.build(); err != nil {
		return err
	}
	for _, f := range u.functions {
		obj, ok := f.Object().(*types.Func)
		if !ok || !obj.Exported() {
			continue
		}
		var given []handover
		for _, h := range u.gives(f) {
			h.Release = slices.DeleteFunc(slices.Clone(h.Release), func(m string) bool { return !token.IsExported(m) })
			if byCall := isFuncNoArgs(obj.Signature().Results().At(h.Index).Type()); len(h.Release) > 0 || byCall {
				given = append(given, h)
			}
		}
		if len(given) > 0 {
			u.pass.ExportObjectFact(obj, &acquires{Results: given})
		}
		if idle := u.borrowed(f); len(idle) > 0 {
			u.pass.ExportObjectFact(obj, &borrows{Params: idle})
		}
	}
	return nil
}

// borrowed are the parameters of f that are functions without arguments or that can be closed, and that f neither releases nor keeps.
func (u *unit) borrowed(f *ssa.Function) []int {
	if f.Blocks == nil {
		return nil
	}
	var out []int
	for i, p := range f.Params {
		if i == 0 && f.Signature.Recv() != nil {
			continue // a method is no owner of what it is called on
		}
		rel := releaseOf(p.Type())
		if rel != nil && !u.consumes(f, i, rel).any() {
			out = append(out, i)
		}
	}
	return out
}

// releaseOf says how a parameter of this type would be released, nil when it is none that could be.
func releaseOf(t types.Type) *release {
	if isFuncNoArgs(t) {
		return &release{}
	}
	if methodNamed(t, "Close") {
		return &release{methods: []string{"Close"}}
	}
	return nil
}

// reporter is a unit together with the pass that findings go to.
type reporter struct {
	*unit
	pass *analysis.Pass
	name string // of the analyzer
	seen map[token.Pos]bool
}

// report says one thing about one place, once, unless its line is marked.
func (r *reporter) report(pos token.Pos, fixes []analysis.SuggestedFix, msg string) {
	if r.seen == nil {
		r.seen = map[token.Pos]bool{}
	}
	if r.seen[pos] || !pos.IsValid() {
		return
	}
	r.seen[pos] = true
	switch r.marked(pos) {
	case markedWithReason:
		return
	case markedWithout:
		msg += " (the mark here gives no reason and does not count)"
	}
	r.pass.Report(analysis.Diagnostic{
		Pos: pos, Message: msg + " [ctxguard/" + r.name + "]", Category: r.name, SuggestedFixes: fixes,
	})
}

func (u *unit) line(pos token.Pos) int { return u.pass.Fset.Position(pos).Line }

func (u *unit) file(pos token.Pos) *ast.File {
	for _, f := range u.pass.Files {
		if f.FileStart <= pos && pos < f.FileEnd {
			return f
		}
	}
	return nil
}

func (u *unit) inTest(pos token.Pos) bool {
	return strings.HasSuffix(u.pass.Fset.Position(pos).Filename, "_test.go")
}
