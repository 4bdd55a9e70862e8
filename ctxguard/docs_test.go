package ctxguard

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func document(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../docs/ctxguard.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func blocksOf(doc, language string) (out []string) {
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(doc, -1) {
		out = append(out, m[1])
	}
	return out
}

// The Go in the document compiles, within what it takes for granted.
func TestGoInTheDocs(t *testing.T) {
	around := []string{
		"func adopt(ctx, parent, root context.Context, server interface{ Open() int }, mux *http.ServeMux) error {\n%s}",
		"type clientType struct{}\n\nfunc (clientType) Run(context.Context) error { return nil }\n\nvar client clientType\n\n%s",
		"func force(ctx, parent context.Context, file *os.File, slo interface{ Err() error }, host, trace string, all []string) error {\n%s<-ctx.Done()\nreturn nil\n}",
	}
	blocks := blocksOf(document(t), "go")
	if len(blocks) != len(around) {
		t.Fatalf("%d blocks of Go, and there is something around %d", len(blocks), len(around))
	}
	var b strings.Builder
	b.WriteString("package main\n\nimport (\n")
	for _, p := range []string{"context", "log/slog", "net/http", "os", "testing", "time", "millrace/ctxguard", "millrace/ctxguard/ctxtest"} {
		b.WriteString("\t\"" + p + "\"\n")
	}
	b.WriteString(")\n\nfunc main() {}\n\n")
	for i, block := range blocks {
		b.WriteString(strings.Replace(around[i], "%s", block, 1) + "\n\n")
	}
	file := filepath.Join(t.TempDir(), "doc.go")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "vet", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestPoliciesInTheDocs(t *testing.T) {
	policies := blocksOf(document(t), "json")
	if len(policies) == 0 {
		t.Fatal("there are none")
	}
	for _, text := range policies {
		var p Policy
		err := json.Unmarshal([]byte(text), &p)
		if err == nil {
			_, err = NewForcer(ForceConfig{Policy: p, Audit: (&book{}).write, Node: "a", Nodes: []string{"a", "b"}})
		}
		if err != nil || p.Mode != Enforce {
			t.Errorf("%v: %s", err, text)
		}
	}
}

// Each mistake in the document has its experiment, and the other way round. Each path that it lists is served.
func TestTablesInTheDocs(t *testing.T) {
	doc := document(t)
	tests, err := os.ReadFile("mistakes_test.go")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`TestMistake\w+`)
	told, made := name.FindAllString(doc, -1), name.FindAllString(string(tests), -1)
	if strings.Join(told, " ") != strings.Join(made, " ") || len(told) < 5 {
		t.Errorf("the document has %v, there are %v", told, made)
	}
	g := newGuard(t, Config{})
	for _, m := range regexp.MustCompile(`(?m)^\| (/debug/ctxguard\S*) \|`).FindAllStringSubmatch(doc, -1) {
		path := strings.Replace(m[1], "seconds=10", "seconds=0.01", 1)
		if strings.Contains(path, "goroutineleak") && g.leaks.take == nil {
			continue
		}
		ask(t, g.Handler(), "GET", path)
	}
}
