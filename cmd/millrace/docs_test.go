package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"millrace/internal/config"
	"millrace/internal/sim"
)

// documents returns the text of README.md and of everything in docs/ that is Markdown, by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join("..", "..")
	paths := []string{filepath.Join(root, "README.md")}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".md") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d documents, %v", len(paths), err)
	}
	out := map[string]string{}
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		out[p] = string(text)
	}
	return out
}

var fence = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// blocks returns the fenced blocks of a document in one language.
func blocks(text, language string) []string {
	var out []string
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		if m[1] == language {
			out = append(out, m[2])
		}
	}
	return out
}

// TestConfigurationsInTheDocs loads every YAML block: gateways, plants, tags, and the rules for Prometheus, told apart by their first key.
func TestConfigurationsInTheDocs(t *testing.T) {
	examples := filepath.Join("..", "..", "docs", "examples")
	seen := map[string]int{}
	for path, text := range documents(t) {
		for _, block := range blocks(text, "yaml") {
			kind, err := loadBlock(t, examples, block)
			if err != nil {
				t.Errorf("%s: %v\n%s", path, err, block)
			}
			seen[kind]++
		}
	}
	for kind, least := range map[string]int{"gateway": 3, "plant": 1, "tags": 1, "rules": 1} {
		if seen[kind] < least {
			t.Errorf("%d blocks that are %s", seen[kind], kind)
		}
	}
}

// loadBlock loads a block as what it is. Files that it names lie in examples.
func loadBlock(t *testing.T, examples, block string) (kind string, err error) {
	t.Helper()
	var top map[string]any
	if err := yaml.Unmarshal([]byte(block), &top); err != nil {
		return "", err
	}
	switch {
	case top["devices"] != nil:
		return "gateway", loadGateway(t, examples, block)
	case top["tags"] != nil:
		g := "devices:\n  - id: d\n    address: modbus://127.0.0.1:502/1\n    groups:\n      g:\n" + regexp.MustCompile("(?m)^").ReplaceAllString(block, "        ")
		return "tags", loadGateway(t, examples, g)
	case top["modbus"] != nil, top["s7"] != nil:
		_, err := sim.ParsePlant("block", []byte(block))
		return "plant", err
	case top["groups"] != nil:
		return "rules", checkRules(block)
	}
	return "", errors.New("neither a gateway, a plant, tags nor rules")
}

func loadGateway(t *testing.T, examples, block string) error {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("PLC_PASSWORD", "secret")
	if err := os.CopyFS(dir, os.DirFS(examples)); err != nil {
		return err
	}
	_, err := config.Load(write(t, dir, "block.yaml", block), drivers())
	return err
}

var metricName = regexp.MustCompile(`\bmillrace_[a-z_]+`)

// checkRules wants the metrics of alert rules to be ones that there are.
func checkRules(block string) error {
	source, err := os.ReadFile("../../internal/telemetry/collector.go")
	if err != nil {
		return err
	}
	names := metricName.FindAllString(block, -1)
	for _, name := range names {
		if !strings.Contains(string(source), fmt.Sprintf("desc(%q", strings.TrimPrefix(name, "millrace_"))) {
			return fmt.Errorf("there is no metric %s", name)
		}
	}
	if len(names) == 0 {
		return errors.New("rules about no metric")
	}
	return nil
}

// TestMetricsInTheDocs wants each metric in its document, with its labels, and no other.
func TestMetricsInTheDocs(t *testing.T) {
	for _, c := range []struct {
		source, prefix, doc string
		labels              []string // that all have
		least               int
	}{
		{"collector.go", "millrace_", "operating.md", nil, 30},
		{"schedule.go routes.go trouble.go", "millrace_", "devices.md", nil, 13},
		{"servers.go", "millrace_server_", "simulator.md", []string{"server"}, 10},
		{"healing.go", "millrace_heal_", "healing.md", nil, 3},
	} {
		var source []byte
		for _, file := range strings.Fields(c.source) {
			text, err := os.ReadFile("../../internal/telemetry/" + file)
			if err != nil {
				t.Fatal(err)
			}
			source = append(source, text...)
		}
		doc, err := os.ReadFile("../../docs/" + c.doc)
		if err != nil {
			t.Fatal(err)
		}
		want, got := metricsIn(string(source), c.prefix, c.labels), documented(string(doc))
		if len(want) < c.least || !slices.Equal(got, want) {
			t.Errorf("%s has\n%s\nthere are\n%s", c.doc, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// metricsIn returns the metrics that a source file describes, with their labels.
func metricsIn(source, prefix string, common []string) (names []string) {
	for _, m := range regexp.MustCompile(`desc\("(\w+)", "[^"]*"((?:, "\w+")*)\)`).FindAllStringSubmatch(source, -1) {
		name := prefix + m[1]
		if labels := append(common[:len(common):len(common)], regexp.MustCompile(`\w+`).FindAllString(m[2], -1)...); len(labels) > 0 {
			name += "{" + strings.Join(labels, ",") + "}"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// documented returns the metrics in the first cells of a document's tables.
func documented(doc string) (names []string) {
	for _, row := range regexp.MustCompile("(?m)^\\| (`millrace_[^|]*) \\|").FindAllStringSubmatch(doc, -1) {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			names = append(names, m[1])
		}
	}
	slices.Sort(names)
	return names
}

var hyperlink = regexp.MustCompile(`\]\(([^)#\s]*)(?:#[^)]*)?\)`)

// TestLinksInTheDocs wants every link to a file of the project to lead to one.
func TestLinksInTheDocs(t *testing.T) {
	for path, text := range documents(t) {
		for _, m := range hyperlink.FindAllStringSubmatch(text, -1) {
			if m[1] == "" || strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

var inline = regexp.MustCompile("`((?:go run ./cmd/)?millrace [^`\n]+)`")

// TestCommandsInTheDocs wants the verbs and flags of every command that a document shows to exist.
func TestCommandsInTheDocs(t *testing.T) {
	found := 0
	for path, text := range documents(t) {
		var lines []string
		for _, language := range []string{"sh", "ini", "dockerfile"} {
			for _, b := range blocks(text, language) {
				lines = append(lines, strings.Split(b, "\n")...)
			}
		}
		for _, m := range inline.FindAllStringSubmatch(text, -1) {
			lines = append(lines, m[1])
		}
		for _, line := range lines {
			args, ok := commandIn(line)
			if !ok {
				continue
			}
			found++
			for _, one := range alternatives(args) {
				if err := checkCommand(one); err != nil {
					t.Errorf("%s: %s: %v", path, line, err)
				}
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d commands found", found)
	}
}

// TestCommandsInTheHelp wants the same of the examples that --help shows.
func TestCommandsInTheHelp(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			args, ok := commandIn(line)
			if err := checkCommand(args); err != nil || !ok {
				t.Errorf("%s: %s: %v", c.CommandPath(), line, err)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot())
}

// commandIn returns the arguments of the millrace that a line starts, up to a comment, a pipe or a redirection.
func commandIn(line string) ([]string, bool) {
	words := regexp.MustCompile(`'[^']*'|\S+`).FindAllString(line, -1)
	for i, w := range words {
		if w != "millrace" && w != "./cmd/millrace" && !strings.HasSuffix(w, "/bin/millrace") || i > 0 && words[i-1] != "run" && !strings.HasPrefix(w, "ExecStart=") && words[i-1] != "&&" {
			continue
		}
		args := words[i+1:]
		if end := slices.IndexFunc(args, func(s string) bool { return strings.ContainsAny(s[:1], "#|>&;") }); end >= 0 {
			args = args[:end]
		}
		return args, true
	}
	return nil, false
}

// alternatives spells out words like check|stat|dump.
func alternatives(args []string) [][]string {
	out := [][]string{{}}
	for _, a := range args {
		var next [][]string
		for _, word := range strings.Split(a, "|") {
			for _, so := range out {
				next = append(next, append(slices.Clone(so), word))
			}
		}
		out = next
	}
	return out
}

// checkCommand finds the command of args and has it parse the flags.
func checkCommand(args []string) error {
	root := newRoot()
	root.InitDefaultCompletionCmd()
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	left := cmd.Flags().Args()
	vague := slices.ContainsFunc(left, func(s string) bool { return strings.HasSuffix(s, "...") || s == strings.ToUpper(s) })
	switch {
	case cmd == root && len(args) > 0 && !strings.HasPrefix(args[0], "-"), !cmd.Runnable() && len(left) > 0:
		return fmt.Errorf("no such command: %v", left)
	case vague || cmd.Args == nil || len(left) == 0 && len(rest) == 0: // the verb alone is named
		return nil
	}
	return cmd.Args(cmd, left)
}

// TestCommandCheckBites has the check refuse what is not there.
func TestCommandCheckBites(t *testing.T) {
	for line, good := range map[string]bool{
		"millrace run -c gateway.yaml":                                 true,
		"go run ./cmd/millrace demo --headless --duration 30s --json":  true,
		"ExecStart=/usr/local/bin/millrace run -c x":                   true,
		"millrace journal check|stat|dump":                             true,
		"millrace sim modbus --devices 10 --emit-config > g.yaml":      true,
		"millrace maintenance on x --reason 'a b'":                     true,
		"millrace journal chek":                                        false,
		"millrace frob":                                                false,
		"millrace run -c gateway.yaml --fast":                          false,
		"millrace journal check|look":                                  false,
		"millrace read modbus://127.0.0.1/1 --json":                    false,
		"millrace status --server http://127.0.0.1:8080 --nosuch 7 #x": false,
	} {
		args, ok := commandIn(line)
		if !ok {
			t.Errorf("%s: no command", line)
		}
		var errs []error
		for _, one := range alternatives(args) {
			errs = append(errs, checkCommand(one))
		}
		if err := errors.Join(errs...); (err == nil) != good {
			t.Errorf("%s: %v", line, err)
		}
	}
}
