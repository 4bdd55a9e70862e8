// Package arch holds the structure of the module in tests: which package may import which, and where goroutines start.
package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// levels orders the packages: a package imports only lower ones. A key covers its sub-packages unless they have a key of their own.
var levels = map[string]int{
	"wire": 0, "internal/tag": 0,
	"internal/listen": 1, "internal/inflight": 1, "internal/resilience": 1, "internal/ring": 1, "internal/rule": 1, "opcua/ua": 1,
	"modbus": 2, "s7": 2, "opcua/uasc": 2, "opcua/nodeset": 2,
	"opcua":           3,
	"internal/ledger": 4, "internal/store": 4,
	"internal/journal": 5,
	"internal/device":  6,
	"internal/driver":  7, "internal/sink": 7, "internal/history": 7, "internal/sim": 7, "internal/write": 7, "internal/heal": 7,
	"internal/why": 8, "internal/serve": 8, "internal/config": 8, "internal/telemetry": 8, "internal/notify": 8,
	"internal/web": 9, "internal/web/ui": 10,
	"cmd/millrace": 10,
}

// alone are packages that import nothing of ours but what lies in the same top directory.
var alone = []string{"wire", "internal/tag", "ctxguard"}

// free are directories outside the walls: tests of the documentation and of the structure itself.
var free = []string{"internal/arch", "docs", "bench"}

// goStatements is the number of places where the product code of each package starts a goroutine. A new one is a decision: DESIGN.md says
// who owns it, and the number here changes with it.
var goStatements = map[string]int{
	"internal/device":            1,  // one an endpoint, by its shard, while a job of it runs
	"internal/sim":               2,  // one a listener, by Run; one for each life of an OPC UA server at it
	"internal/driver":            2,  // the keeper of a pool of connections, by Open, for which Close waits; the shares of a Read over such a pool
	"internal/heal":              1,  // a program that a rule runs, by the runner, which waits for it
	"internal/listen":            1,  // one a connection, by Serve
	"internal/listen/listentest": 2,  // a server for the length of a test, which its end waits for
	"modbus":                     1,  // the ends of a Pool's connections, by its Run, which waits for them
	"s7":                         1,  // the keeper and the reporter of a Server's sessions, by the first Serve; the last waits for them
	"opcua":                      6,  // the reader of a client's connection, by Dial; Close waits for it. A Server's keeper and its subscriptions, with their samplers beside them, by the first Serve; the last waits for them. Who sends what others queued on a connection, while there is something; who does the work of a session on it, whom the connection waits for
	"internal/inflight":          2,  // the reader of a client's connection, by New; Close waits for it. What comes late: its reader waits for it
	"cmd/millrace":               22, // the parts of a gateway, its healing, its writes, what keeps its heap small, its OPC UA servers, its leak detector, what may cut streams, and debug server, a sink's worker, a webhook, the simulators and their metrics, one cycle's readers: each waited for by who starts it
	"internal/web":               1,  // net/http's accept loop, by Run, which waits for it

	"ctxguard/ctxtest": 4, // the function on trial and the bubble's own, by AssertCancels; the far end of Conn and of SilentServer: each waited for by who starts it

	"internal/web/ui/test/serve": 2, // the plant's clock and the reader of standard input, by run; they end with the process
}

type source struct {
	dir  string
	file *ast.File
}

// otherModule says whether p is the directory of a module within this one: other people's programs against ours, and what their licence keeps apart.
func otherModule(p, rel string) bool {
	_, err := os.Stat(filepath.Join(p, "go.mod"))
	return rel != "." && err == nil
}

func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var out []source
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			name := d.Name()
			if otherModule(p, rel) || name == "testdata" || name == "node_modules" || rel != "." && strings.HasPrefix(name, ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		out = append(out, source{path.Dir(rel), f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 10 {
		t.Fatalf("found %d source files; the walk is wrong", len(out))
	}
	return out
}

// family returns the key of levels that covers dir, "" when none does.
func family(dir string) string {
	for d := dir; d != "."; d = path.Dir(d) {
		if _, ok := levels[d]; ok {
			return d
		}
	}
	return ""
}

func within(dir string, dirs []string) bool {
	for _, d := range dirs {
		if dir == d || strings.HasPrefix(dir, d+"/") {
			return true
		}
	}
	return false
}

func TestImportsGoDown(t *testing.T) {
	for _, s := range sources(t) {
		if within(s.dir, free) {
			continue
		}
		own := family(s.dir)
		if own == "" && !within(s.dir, alone) {
			t.Errorf("%s has no level; give it one", s.dir)
			continue
		}
		for _, imp := range s.file.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			p, ours := strings.CutPrefix(p, "millrace/")
			if !ours {
				continue
			}
			if within(s.dir, alone) {
				if top, _, _ := strings.Cut(s.dir, "/"); !within(p, []string{top}) || !slices.Contains(alone, top) {
					t.Errorf("%s imports %s, and may import nothing of ours", s.dir, p)
				}
				continue
			}
			if other := family(p); levels[other] >= levels[own] && other != own {
				t.Errorf("%s (level %d) imports %s (level %d)", s.dir, levels[own], p, levels[other])
			}
		}
	}
}

// startsGoroutine says whether n is a go statement, or the call of a method Go with a function, as a WaitGroup has it.
func startsGoroutine(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		return true
	case *ast.CallExpr:
		f, ok := n.Fun.(*ast.SelectorExpr)
		return ok && f.Sel.Name == "Go" && len(n.Args) == 1
	}
	return false
}

func TestGoStatementsAreCounted(t *testing.T) {
	have := map[string]int{}
	for _, s := range sources(t) {
		if within(s.dir, free) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if startsGoroutine(n) {
				have[s.dir]++
			}
			return true
		})
	}
	dirs := map[string]bool{}
	for d := range have {
		dirs[d] = true
	}
	for d := range goStatements {
		dirs[d] = true
	}
	var sorted []string
	for d := range dirs {
		sorted = append(sorted, d)
	}
	sort.Strings(sorted)
	for _, d := range sorted {
		if have[d] != goStatements[d] {
			t.Errorf("%s starts goroutines in %d places, the table says %d: name the goroutine's owner in DESIGN.md and change the table", d, have[d], goStatements[d])
		}
	}
}
