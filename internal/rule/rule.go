// Package rule is conditions that people write: "device.loss > 0.05 && device.rtt > duration('200ms')". They are CEL, typed and priced when
// they are compiled, and end within a stated cost when they run: https://github.com/google/cel-spec. No type of the CEL library shows here.
package rule

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/checker"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"
	"cel.dev/cel-go/parser"
)

// What a condition may cost, in the units of CEL, of which a comparison of two numbers is about three. A walk over the 10,000 devices of a
// large gateway that compares two fields of each costs about 150,000; a walk within a walk over them is 10,000 times that, and refused.
const (
	MaxSource = 4096      // characters of a condition
	MaxCost   = 1_000_000 // the most that a condition can cost by what is known of it when it is compiled, and what ends it when it runs
	maxText   = 256       // the length of a text that the estimate reckons with
	maxTexts  = 32        // and how many a Map has
	maxNodes  = 50        // how deep a condition may be nested
)

// Env is the names that conditions may use. It never changes and is for any number of goroutines.
type Env struct {
	vars  []Var
	env   *cel.Env
	types *registry
}

// New returns an Env in which conditions may use vars. It fails when two of them have one name, or a name is no identifier of CEL.
func New(vars ...Var) (*Env, error) {
	reg, err := newRegistry()
	if err != nil {
		return nil, err
	}
	e := &Env{vars: vars, types: reg}
	opts := []cel.EnvOption{
		cel.CustomTypeProvider(reg), cel.CustomTypeAdapter(reg), cel.EnableMacroCallTracking(), cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(MaxSource), cel.ParserRecursionLimit(maxNodes), cel.DefaultUTCTimeZone(true),
	}
	for i, v := range vars {
		if slices.ContainsFunc(vars[:i], func(o Var) bool { return o.Name == v.Name }) {
			return nil, fmt.Errorf("rule: two variables are called %s", v.Name)
		}
		if err := reg.add(v); err != nil {
			return nil, err
		}
		if v.Key != nil {
			opts = append(opts, cel.Macros(cel.GlobalMacro(v.Name, 1, keyed(v))))
			continue
		}
		opts = append(opts, cel.Variable(v.Name, v.celType()))
	}
	if e.env, err = cel.NewCustomEnv(append(opts, cel.StdLib())...); err != nil {
		return nil, fmt.Errorf("rule: %w", err)
	}
	return e, nil
}

// Rule is a condition, ready to run. It never changes and is for any number of goroutines.
type Rule struct {
	env     *Env
	source  string
	ast     *cel.Ast
	program cel.Program
	cost    uint64
	uses    []string
	walks   bool
	keys    map[string]key // by the name that stands in the compiled condition
}

// key is one value of a variable with keys.
type key struct{ name, key string }

// Compile returns the condition src. Every error is an Errors, with places in src: what is no CEL, a name or field that does not exist, kinds that do
// not go together, a result that is not a bool, and a condition that could cost more than MaxCost.
func (e *Env) Compile(src string) (*Rule, error) {
	parsed, iss := e.env.Parse(src)
	if iss.Err() != nil {
		bad := e.errorsOf(iss, nil)
		if here := slip(src); here != "" {
			bad[0].Message += "; " + here
		}
		return nil, bad
	}
	r := &Rule{env: e, source: src}
	env, err := r.withKeys(parsed)
	if err != nil {
		return nil, err
	}
	if r.ast, iss = env.Check(parsed); iss.Err() != nil {
		return nil, e.errorsOf(iss, parsed)
	}
	if bad := literals(r.ast); len(bad) > 0 {
		return nil, bad
	}
	if t := r.ast.OutputType(); !t.IsExactType(types.BoolType) {
		return nil, Errors{{1, 1, fmt.Sprintf("a condition is true or false, and this is of kind %s", checker.FormatCELType(t))}}
	}
	if err := r.price(env); err != nil {
		return nil, err
	}
	r.uses = uses(r.ast.NativeRep(), r.keys)
	r.walks = slices.ContainsFunc(e.vars, func(v Var) bool { return v.List && slices.Contains(r.uses, v.Name) })
	return r, nil
}

// price refuses what may cost too much, and lets what walks over a list run only with a meter: the others cannot cost more than was estimated.
func (r *Rule) price(env *cel.Env) error {
	cost, err := env.EstimateCost(r.ast, sizes{r.env})
	if err != nil {
		return Errors{{1, 1, err.Error()}}
	}
	if r.cost = cost.Max; r.cost > MaxCost {
		return Errors{{1, 1, fmt.Sprintf("this could cost %d, and a condition may cost %d at most: it looks at too many things, a list within a list perhaps", r.cost, MaxCost)}}
	}
	opts := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if walks(r.ast.NativeRep().Expr()) {
		opts = append(opts, cel.CostLimit(MaxCost))
	}
	if r.program, err = env.Program(r.ast, opts...); err != nil {
		return Errors{{1, 1, err.Error()}}
	}
	return nil
}

// Source returns the condition as it was written.
func (r *Rule) Source() string { return r.source }

// Uses returns what r looks at, sorted: a variable, a field of one as "device.loss", one value of a variable with keys as its key alone.
// A field of what a walk goes over is not among them; the list is.
func (r *Rule) Uses() []string { return r.uses }

// Walks says whether r looks at a variable that is a list, so that it costs as much as that is long.
func (r *Rule) Walks() bool { return r.walks }

// Eval says whether r holds for vars. It fails with an *EvalError when a value is missing, or the arithmetic has no result.
func (r *Rule) Eval(vars Values) (bool, error) {
	out, _, err := r.program.Eval(&activation{r.keys, vars})
	if err != nil {
		return false, &EvalError{Source: r.source, Err: err}
	}
	return out == types.True, nil
}

// Terms returns the conditions of which all must hold for r to hold: those that && joins at the top, each compiled for itself, in order. A
// condition without && is its own only term.
func (r *Rule) Terms() ([]*Rule, error) {
	rep := r.ast.NativeRep()
	parts := conjuncts(rep.Expr(), nil)
	if len(parts) == 1 {
		return []*Rule{r}, nil
	}
	terms := make([]*Rule, len(parts))
	for i, p := range parts {
		src, err := parser.Unparse(p, rep.SourceInfo())
		if err != nil {
			return nil, &EvalError{Source: r.source, Err: err}
		}
		if terms[i], err = r.env.Compile(src); err != nil {
			return nil, err
		}
	}
	return terms, nil
}

func conjuncts(e celast.Expr, to []celast.Expr) []celast.Expr {
	if e.Kind() != celast.CallKind || e.AsCall().FunctionName() != operators.LogicalAnd {
		return append(to, e)
	}
	for _, a := range e.AsCall().Args() {
		to = conjuncts(a, to)
	}
	return to
}

func walks(e celast.Expr) bool {
	found := false
	celast.PreOrderVisit(e, celast.NewExprVisitor(func(e celast.Expr) { found = found || e.Kind() == celast.ComprehensionKind }))
	return found
}

// uses collects the names of rep. A select is met before what it selects from, which then is not met as a name of its own.
func uses(rep *celast.AST, keys map[string]key) []string {
	var out []string
	inner := map[int64]bool{}
	celast.PreOrderVisit(rep.Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		if inner[e.ID()] {
			return
		}
		switch e.Kind() {
		case celast.SelectKind:
			if s := e.AsSelect(); s.Operand().Kind() == celast.IdentKind && isVar(rep, s.Operand()) {
				inner[s.Operand().ID()] = true
				out = append(out, s.Operand().AsIdent()+"."+s.FieldName())
			}
		case celast.IdentKind:
			name := e.AsIdent()
			if k, ok := keys[name]; ok {
				out = append(out, k.key)
			} else if isVar(rep, e) {
				out = append(out, name)
			}
		}
	}))
	slices.Sort(out)
	return slices.Compact(out)
}

// isVar tells the names of the Env from those that a walk gives to what it goes over.
func isVar(rep *celast.AST, e celast.Expr) bool {
	ref := rep.ReferenceMap()[e.ID()]
	return ref != nil && ref.Value == nil && !strings.HasPrefix(ref.Name, "@") && !isLocal(rep.Expr(), e.AsIdent())
}

// isLocal says whether a walk of the condition gives name to what it goes over.
func isLocal(root celast.Expr, name string) bool {
	found := false
	celast.PreOrderVisit(root, celast.NewExprVisitor(func(e celast.Expr) {
		if e.Kind() == celast.ComprehensionKind {
			c := e.AsComprehension()
			found = found || c.IterVar() == name || c.IterVar2() == name || c.AccuVar() == name
		}
	}))
	return found
}

// activation gives the values of one run.
type activation struct {
	keys map[string]key
	vars Values
}

func (a *activation) ResolveName(name string) (any, bool) {
	k, ok := a.keys[name]
	if !ok {
		k = key{name: name}
	}
	v := a.vars.Value(k.name, k.key)
	return v.v, v.v != nil
}

func (a *activation) Parent() interpreter.Activation { return nil }
