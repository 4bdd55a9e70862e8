package analyzers

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

type mark int

const (
	notMarked mark = iota
	markedWithout
	markedWithReason
)

// marked says whether //ctxguard:allow or //nolint:ctxguard stands on the line of pos, on that of the function's or the type's declaration around it or of the
// package clause, or alone on the line above one of these, and whether it says why.
func (r *reporter) marked(pos token.Pos) mark {
	f := r.file(pos)
	if f == nil {
		return notMarked
	}
	lines := []int{r.line(pos), r.line(f.Package)}
	for _, d := range f.Decls {
		if d.Pos() <= pos && pos < d.End() {
			lines = append(lines, r.line(d.Pos()))
		}
	}
	best := notMarked
	for _, group := range f.Comments {
		for _, c := range group.List {
			m := parseMark(c.Text, r.name)
			if m <= best {
				continue
			}
			at := r.line(c.Pos())
			if slices.Contains(lines, at) || slices.Contains(lines, at+1) && r.alone(f, c) {
				best = m
			}
		}
	}
	return best
}

// alone says whether nothing but the comment is on its line.
func (r *reporter) alone(f *ast.File, c *ast.Comment) bool {
	src, err := r.pass.ReadFile(r.pass.Fset.Position(f.Pos()).Filename)
	if err != nil {
		return false
	}
	offset := r.pass.Fset.Position(c.Pos()).Offset
	if offset > len(src) {
		return false
	}
	start := strings.LastIndexByte(string(src[:offset]), '\n') + 1
	return strings.TrimSpace(string(src[start:offset])) == ""
}

// parseMark reads a comment as golangci-lint does, //nolint:a,b // reason, and our own, //ctxguard:allow // reason or //ctxguard:allow:release // reason, which linters that know no
// ctxguard leave alone.
func parseMark(text, analyzer string) mark {
	rest, ok := strings.CutPrefix(text, "//nolint:")
	if own, is := strings.CutPrefix(text, "//ctxguard:allow"); is {
		rest, ok = ownMark(own), true
	}
	if !ok {
		return notMarked
	}
	names, reason, _ := strings.Cut(rest, "//")
	for name := range strings.SplitSeq(names, ",") {
		switch strings.TrimSpace(name) {
		case "ctxguard", "all", "ctxguard/" + analyzer:
			if strings.TrimSpace(reason) == "" {
				return markedWithout
			}
			return markedWithReason
		}
	}
	return notMarked
}

// ownMark returns what stands behind //ctxguard:allow as //nolint would have it.
func ownMark(rest string) string {
	names, reason, has := strings.Cut(rest, "//")
	names = strings.TrimSpace(names)
	var list []string
	for name := range strings.SplitSeq(strings.TrimPrefix(names, ":"), ",") {
		list = append(list, "ctxguard/"+strings.TrimSpace(name))
	}
	out := strings.Join(list, ",")
	switch {
	case names == "":
		out = "ctxguard"
	case names[0] != ':':
		out = "" // another word that begins like it
	}
	if has {
		out += " //" + reason
	}
	return out
}
