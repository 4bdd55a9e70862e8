package modbus_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var documented = regexp.MustCompile("<!-- (\\w+) -->\n```go\n(?s:(.*?))```")

// TestExamplesInTheDocs wants each block of docs/modbus.md that names an example to be a part of that example's code, which compiles and runs.
func TestExamplesInTheDocs(t *testing.T) {
	doc, err := os.ReadFile("../docs/modbus.md")
	if err != nil {
		t.Fatal(err)
	}
	code := declarations(t)
	blocks := documented.FindAllStringSubmatch(string(doc), -1)
	if len(blocks) < 5 || len(blocks) != strings.Count(string(doc), "```go\n") {
		t.Errorf("%d blocks of code name what they are from", len(blocks))
	}
	for _, b := range blocks {
		if code[b[1]] == "" || !strings.Contains(code[b[1]], unindented(b[2])) {
			t.Errorf("%s has no such lines:\n%s", b[1], b[2])
		}
	}
}

// declarations returns the text of each function and type in the tests of this package, by name, without indentation.
func declarations(t *testing.T) map[string]string {
	t.Helper()
	files, _ := filepath.Glob("*example*_test.go")
	out := map[string]string{}
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, f, src, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				name := fn.Name.Name
				if fn.Recv != nil {
					name = "method" + name
				}
				out[name] += unindented(string(src[fset.Position(fn.Pos()).Offset:fset.Position(fn.End()).Offset]) + "\n")
			}
		}
	}
	return out
}

func unindented(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimLeft(line, "\t "))
	}
	return b.String()
}
