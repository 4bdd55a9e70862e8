package analyzers

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/analysistest"
	"golang.org/x/tools/go/analysis/passes/ctrlflow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// together is all analyzers in one, so that a comment of a test file holds a line to all findings on it.
func together(t *testing.T, c Config) *analysis.Analyzer {
	t.Helper()
	table, err := newTable(c.Pairs)
	if err != nil {
		t.Fatal(err)
	}
	return &analysis.Analyzer{
		Name: "ctxguard", Doc: "all analyzers of ctxguard", Requires: []*analysis.Analyzer{ctrlflow.Analyzer}, FactTypes: []analysis.Fact{new(acquires), new(borrows)},
		Run: func(pass *analysis.Pass) (any, error) {
			u := newUnit(pass, table)
			if u.standard() {
				return nil, nil
			}
			if err := u.exportFacts(); err != nil {
				return nil, err
			}
			for _, ch := range checks() {
				ch.run(&reporter{unit: u, pass: pass, name: ch.name})
			}
			return nil, nil
		},
	}
}

func TestAnalyzersAreValid(t *testing.T) {
	all, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := analysis.Validate(all); err != nil {
		t.Error(err)
	}
	if len(all) != len(checks())+1 {
		t.Errorf("%d analyzers", len(all))
	}
}

// shape is the number in the name of a function, type or variable of the package shapes.
var shape = regexp.MustCompile(`(?i)(leak|mend)(\d\d)`)

// shapeOf is the shape that the declaration around pos belongs to: "leak07", "mend07".
func shapeOf(f *ast.File, pos token.Pos) string {
	name := ""
	for _, d := range f.Decls {
		if pos < d.Pos() || pos > d.End() {
			continue
		}
		switch d := d.(type) {
		case *ast.FuncDecl:
			name = d.Name.Name
			if d.Recv != nil && !shape.MatchString(name) {
				name = receiverName(d)
			}
		case *ast.GenDecl:
			if v, ok := d.Specs[0].(*ast.ValueSpec); ok {
				name = v.Names[0].Name
			}
		}
	}
	return strings.ToLower(shape.FindString(name))
}

func receiverName(d *ast.FuncDecl) string {
	t := d.Recv.List[0].Type
	if p, ok := t.(*ast.StarExpr); ok {
		t = p.X
	}
	return t.(*ast.Ident).Name
}

// Every one of the 83 shapes is found, and no mended form is.
func TestShapes(t *testing.T) {
	found := map[string]bool{}
	for _, res := range analysistest.Run(t, analysistest.TestData(), together(t, Config{}), "shapes") {
		for _, d := range res.Action.Diagnostics {
			for _, f := range res.Action.Package.Syntax {
				if f.FileStart <= d.Pos && d.Pos < f.FileEnd {
					found[shapeOf(f, d.Pos)] = true
				}
			}
		}
	}
	leaking := 0
	for i := 1; i <= 83; i++ {
		if found[fmt.Sprintf("leak%02d", i)] {
			leaking++
		} else {
			t.Errorf("shape %02d is not found", i)
		}
		if found[fmt.Sprintf("mend%02d", i)] {
			t.Errorf("the mended form of shape %02d is found", i)
		}
	}
	t.Logf("%d of 83 shapes", leaking)
}

func TestFindings(t *testing.T) {
	for _, pkg := range []string{"lib", "wrappers", "marks", "kernels", "quiet"} {
		t.Run(pkg, func(t *testing.T) { analysistest.Run(t, analysistest.TestData(), together(t, Config{}), pkg) })
	}
}

func TestFixes(t *testing.T) {
	analysistest.RunWithSuggestedFixes(t, analysistest.TestData(), together(t, Config{}), "fixes")
}

func TestPairs(t *testing.T) {
	analysistest.Run(t, analysistest.TestData(), together(t, Config{Pairs: []string{"(*pairs.Pool).Take=GiveBack", "pairs.Watch=()"}}), "pairs")
	for _, bad := range []string{"", "pkg.Func", "=Close", "pkg.Func="} {
		if _, err := New(Config{Pairs: []string{bad}}); err == nil {
			t.Errorf("%q is taken for a pair", bad)
		}
	}
}

func TestIsVetCall(t *testing.T) {
	for line, want := range map[string]bool{
		"-V=full": true, "-flags": true, "vet.cfg": true, "-json -release=false /tmp/b001/vet.cfg": true,
		"": false, "vet ./...": false, "run -c gateway.cfg": false, "version": false, "-V": false, "--help": false, "check gateway.cfg": false,
	} {
		if got := IsVetCall(strings.Fields(line)); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}

// The documentation names every analyzer, and no other.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "ctxguard-vet.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| analyzer | finds |")
	table, _, _ = strings.Cut(table, "\n\n")
	documented := regexp.MustCompile(`(?m)^\| ([a-z]+) \|`).FindAllStringSubmatch(table, -1)
	var names []string
	for _, m := range documented {
		names = append(names, m[1])
	}
	var want []string
	for _, ch := range checks() {
		want = append(want, ch.name)
	}
	if !slices.Equal(names, want) {
		t.Errorf("documented %q, there are %q", names, want)
	}
}
