package rule

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
)

// Error is a fault of a condition.
type Error struct {
	Line, Column int // from 1, in characters, within the source
	Message      string
}

func (e Error) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Message) }

// Errors are the faults of one condition, in its order; never empty.
type Errors []Error

func (e Errors) Error() string {
	parts := make([]string, len(e))
	for i, x := range e {
		parts[i] = x.Error()
	}
	return strings.Join(parts, "\n")
}

// EvalError is a condition that gave neither true nor false.
type EvalError struct {
	Source string
	Err    error
}

func (e *EvalError) Error() string { return fmt.Sprintf("rule: %s: %v", e.Source, e.Err) }
func (e *EvalError) Unwrap() error { return e.Err }

// Retryable says that the next values may be better ones.
func (e *EvalError) Retryable() bool { return true }

// errorsOf translates the faults that CEL found in parsed, nil when it is not parsed. Of a name that it does not know it speaks in the terms of its containers; here it is said what there is.
func (e *Env) errorsOf(iss *cel.Issues, parsed *cel.Ast) Errors {
	var out Errors
	for _, x := range iss.Errors() {
		out = append(out, Error{max(x.Location.Line(), 1), max(x.Location.Column()+1, 1), e.message(x, parsed)})
	}
	slices.SortStableFunc(out, func(a, b Error) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	if len(out) == 0 {
		return Errors{{1, 1, iss.Err().Error()}}
	}
	return out
}

func (e *Env) message(x *cel.Error, parsed *cel.Ast) string {
	m := strings.TrimSuffix(x.Message, " (in container '')")
	if name, ok := strings.CutPrefix(m, "undeclared reference to "); ok {
		return fmt.Sprintf("nothing is called %s; there are %s", name, strings.Join(e.names(), ", "))
	}
	if name, ok := strings.CutPrefix(m, "undefined field '"); ok {
		return e.noField(strings.TrimSuffix(name, "'"), exprOf(parsed, x.ExprID))
	}
	if what, ok := strings.CutPrefix(m, "found no matching overload for "); ok {
		return noOverload(what)
	}
	m, _, _ = strings.Cut(strings.TrimPrefix(m, "Syntax error: "), " expecting ") // a list of everything that the grammar knows, or its end
	return strings.Replace(m, "token recognition error at:", "this cannot be read:", 1)
}

// exprOf returns the part of parsed that has an id, nil when there is none.
func exprOf(parsed *cel.Ast, id int64) (found celast.Expr) {
	if parsed == nil {
		return nil
	}
	celast.PreOrderVisit(parsed.NativeRep().Expr(), celast.NewExprVisitor(func(x celast.Expr) {
		if x.ID() == id {
			found = x
		}
	}))
	return found
}

func (e *Env) names() []string {
	out := make([]string, len(e.vars))
	for i, v := range e.vars {
		if out[i] = v.Name; v.Key != nil {
			out[i] += `("...")`
		}
	}
	return out
}

// MissingError is a field that has no value now. It is in the EvalError of a condition that needs it.
type MissingError struct{ Object, Field string }

func (e *MissingError) Error() string {
	return "the " + e.Field + " of the " + strings.ToLower(e.Object) + " is not known"
}
