package rule

import (
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/parser"
)

// keyed returns the macro that makes a name of name("key"), which no name that a person writes can be equal to. So each value has a kind of its
// own that is known when the condition is compiled, where an index of a map would have one of any kind.
func keyed(v Var) cel.MacroFactory {
	return func(eh parser.ExprHelper, _ celast.Expr, args []celast.Expr) (celast.Expr, *common.Error) {
		if args[0].Kind() == celast.LiteralKind {
			if k, ok := args[0].AsLiteral().(types.String); ok {
				return eh.NewIdent(v.Name + "(" + strconv.Quote(string(k)) + ")"), nil
			}
		}
		return nil, eh.NewError(args[0].ID(), v.Name+" takes one text in quotes, and nothing that is to be worked out")
	}
}

// foundKey is one place of a condition at which a value of a variable with keys stands.
type foundKey struct {
	ident string
	key   key
	kind  Kind
}

// keysOf returns the values of variables with keys in parsed. Its error says where one stands that does not exist.
func (e *Env) keysOf(parsed *cel.Ast) ([]foundKey, error) {
	var out []foundKey
	var bad Errors
	rep := parsed.NativeRep()
	celast.PreOrderVisit(rep.Expr(), celast.NewExprVisitor(func(x celast.Expr) {
		if x.Kind() != celast.IdentKind {
			return
		}
		f, err := e.keyOf(x.AsIdent())
		if err != nil {
			at := rep.SourceInfo().GetStartLocation(x.ID())
			bad = append(bad, Error{at.Line(), at.Column() + 1, err.Error()})
		} else if f.ident != "" {
			out = append(out, f)
		}
	}))
	if len(bad) > 0 {
		return nil, bad
	}
	return out, nil
}

func (e *Env) keyOf(ident string) (foundKey, error) {
	name, rest, ok := strings.Cut(ident, "(")
	if !ok {
		return foundKey{}, nil
	}
	k, err := strconv.Unquote(strings.TrimSuffix(rest, ")"))
	if err != nil {
		return foundKey{}, err
	}
	for _, v := range e.vars {
		if v.Name == name && v.Key != nil {
			kind, err := v.Key(k)
			return foundKey{ident, key{name, k}, kind}, err
		}
	}
	return foundKey{}, nil
}

// withKeys finds the values of variables with keys in parsed, and returns the environment that knows them too.
func (r *Rule) withKeys(parsed *cel.Ast) (*cel.Env, error) {
	found, err := r.env.keysOf(parsed)
	if err != nil || len(found) == 0 {
		return r.env.env, err
	}
	r.keys = map[string]key{}
	var opts []cel.EnvOption
	for _, f := range found {
		if _, twice := r.keys[f.ident]; !twice {
			r.keys[f.ident] = f.key
			opts = append(opts, cel.Variable(f.ident, f.kind.celType()))
		}
	}
	env, err := r.env.env.Extend(opts...)
	if err != nil {
		return nil, Errors{{1, 1, err.Error()}}
	}
	return env, nil
}
