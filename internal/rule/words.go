package rule

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
)

// noField says which fields there are, of a select of one that does not exist.
func (e *Env) noField(field string, selects celast.Expr) string {
	o := e.objectOf(selects)
	if o == nil {
		return fmt.Sprintf("there is no field '%s'", field)
	}
	names := make([]string, len(o.Fields))
	for i, f := range o.Fields {
		names[i] = f.Name
	}
	return fmt.Sprintf("a %s has no '%s'; it has %s", strings.ToLower(o.Name), field, strings.Join(names, ", "))
}

// objectOf returns the kind of what a select selects from: that of a variable, and of a name that a walk gives that of the elements of a list. nil when it is none.
func (e *Env) objectOf(selects celast.Expr) *Object {
	if selects == nil || selects.Kind() != celast.SelectKind || selects.AsSelect().Operand().Kind() != celast.IdentKind {
		return nil
	}
	name := selects.AsSelect().Operand().AsIdent()
	if i := slices.IndexFunc(e.vars, func(v Var) bool { return v.Name == name }); i >= 0 {
		return e.vars[i].Object
	}
	if i := slices.IndexFunc(e.vars, func(v Var) bool { return v.List && v.Object != nil }); i >= 0 {
		return e.vars[i].Object
	}
	return nil
}

// noOverload says of "'_>_' applied to '(duration, int)'" what does not go together.
func noOverload(m string) string {
	parts := strings.Split(m, "'")
	if len(parts) != 5 {
		return "this does not go together: " + m
	}
	name, kinds := parts[1], parts[3]
	text := fmt.Sprintf("%s does not go with %s", strings.Trim(name, "_@"), kinds)
	of := strings.Split(strings.Trim(kinds, "()"), ", ")
	if !strings.HasPrefix(name, "_") || len(of) != 2 {
		return text
	}
	text = fmt.Sprintf("%s does not go between %s and %s", strings.Trim(name, "_"), of[0], of[1])
	has := func(a, b string) bool { return slices.Contains(of, a) && slices.Contains(of, b) }
	switch {
	case has("duration", "int"), has("duration", "double"), has("duration", "string"):
		text += `; write a duration as duration("200ms")`
	case has("double", "int"):
		text += "; write a whole number that meets a double as 2.0"
	case has("double", "string"), has("int", "string"), has("bool", "string"):
		text += "; write numbers, true and false without quotes"
	}
	return text
}

// literals looks at what CEL finds out only when it folds constants, or when the condition runs, and then without a place: durations and patterns that are none.
func literals(of *cel.Ast) Errors {
	var bad Errors
	rep := of.NativeRep()
	celast.PreOrderVisit(rep.Expr(), celast.NewExprVisitor(func(x celast.Expr) {
		if x.Kind() != celast.CallKind {
			return
		}
		c := x.AsCall()
		args := c.Args()
		if len(args) == 0 || args[len(args)-1].Kind() != celast.LiteralKind {
			return
		}
		arg := args[len(args)-1]
		s, ok := arg.AsLiteral().(types.String)
		if !ok {
			return
		}
		if text := badLiteral(c.FunctionName(), string(s)); text != "" {
			at := rep.SourceInfo().GetStartLocation(arg.ID())
			bad = append(bad, Error{at.Line(), at.Column() + 1, text})
		}
	}))
	return bad
}

func badLiteral(function, s string) string {
	switch function {
	case overloads.TypeConvertDuration:
		if _, err := time.ParseDuration(s); err != nil {
			return fmt.Sprintf("%q is no duration; write it like 200ms, 10s or 1h30m", s)
		}
	case overloads.Matches:
		if _, err := regexp.Compile(s); err != nil {
			return fmt.Sprintf("%q is no pattern: %v", s, err)
		}
	}
	return ""
}

// slips are what people write that know other languages, with what it is here.
var slips = []struct {
	found *regexp.Regexp
	here  string
}{
	{regexp.MustCompile(`(?i)\b(and|or|not)\b`), "and is &&, or is ||, not is !"},
	{regexp.MustCompile(`[^=!<>]=[^=]`), "equal is =="},
	{regexp.MustCompile(`(^|[^&])&([^&]|$)|(^|[^|])\|([^|]|$)`), "and is &&, or is ||"},
	{regexp.MustCompile(`\d\s*%`), "a share is 0.05, not 5 %"},
	{regexp.MustCompile(`\d(ns|us|ms|s|m|h|d)\b`), `a duration is duration("200ms")`},
	{regexp.MustCompile(`\d,\d`), "a number is 0.05, with a point"},
	{regexp.MustCompile("[\u2018\u2019\u201c\u201d]"), `quotes are ' or "`},
}

// texts in quotes are not looked at for slips.
var quoted = regexp.MustCompile(`"[^"]*"|'[^']*'`)

// slip says of a condition that is no CEL what it may have meant, "" when that is not plain.
func slip(src string) string {
	bare := quoted.ReplaceAllString(src, "x")
	for _, s := range slips {
		if s.found.MatchString(bare) {
			return s.here
		}
	}
	return ""
}
