// Command ctxguard prints what the analyzers of ctxguard find in corpora that others wrote and labelled, what they find in large programs, and
// what they cost, beside go vet. The corpora are read from the Go module cache and from GOROOT where they lie.
//
//	go run ./bench/ctxguard -millrace BINARY [-only samples,kernels,steady,shapes,precision,time]
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// bench is one run: where things are, and what has been found missing so far.
type bench struct {
	binary  string // the program that is the vettool
	root    string // of this module
	goroot  string
	scratch string
	out     io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) //nolint:forbidigo // main makes it
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-ctxguard:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	binary := flag.String("millrace", "", "the program to measure")
	only := flag.String("only", "samples,kernels,steady,shapes,precision,time", "the parts to run")
	flag.Parse()
	if *binary == "" {
		return errors.New("-millrace is missing")
	}
	b := &bench{binary: *binary, out: os.Stdout}
	var err error
	if b.root, err = output(ctx, ".", "go", "list", "-m", "-f", "{{.Dir}}", "millrace"); err != nil {
		return err
	}
	if b.goroot, err = output(ctx, ".", "go", "env", "GOROOT"); err != nil {
		return err
	}
	if b.scratch, err = os.MkdirTemp("", "bench-ctxguard"); err != nil {
		return err
	}
	defer os.RemoveAll(b.scratch)
	parts := []struct {
		name string
		run  func(context.Context) error
	}{{"samples", b.samples}, {"kernels", b.kernels}, {"steady", b.steady}, {"shapes", b.shapes}, {"precision", b.precision}, {"time", b.time}}
	for _, p := range parts {
		if !slices.Contains(strings.Split(*only, ","), p.name) {
			continue
		}
		if err := p.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// output runs a command and returns what it printed, without the last line's end.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// finding is one line of go vet.
type finding struct {
	file     string // as go vet writes it
	line     int
	analyzer string
	text     string
}

// vet runs go vet in dir and returns its findings. With a tool it is that one's.
func (b *bench) vet(ctx context.Context, dir, tool string, args ...string) ([]finding, error) {
	full := []string{"vet", "-json"}
	if tool != "" {
		full = append(full, "-vettool="+tool)
	}
	cmd := exec.CommandContext(ctx, "go", append(full, args...)...)
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	found, bad := parse(append(out.Bytes(), errs.Bytes()...))
	if err != nil && (len(found) == 0 || bad != nil) {
		return nil, fmt.Errorf("go %s in %s: %w: %s", strings.Join(cmd.Args, " "), dir, err, errs.String())
	}
	return found, bad
}

// parse reads what go vet -json prints: comments, and an object for each package.
func parse(out []byte) ([]finding, error) {
	var text bytes.Buffer
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "#") {
			text.WriteString(line)
		}
	}
	var found []finding
	dec := json.NewDecoder(&text)
	for dec.More() {
		var pkgs map[string]map[string]json.RawMessage
		if err := dec.Decode(&pkgs); err != nil {
			return found, fmt.Errorf("%w in %s", err, text.String())
		}
		for _, analyzers := range pkgs {
			for name, raw := range analyzers {
				var ds []struct{ Posn, Message string }
				if err := json.Unmarshal(raw, &ds); err != nil {
					return found, fmt.Errorf("%s: %s", name, raw)
				}
				for _, d := range ds {
					f := finding{analyzer: name, text: d.Message}
					parts := strings.Split(d.Posn, ":")
					f.file = strings.Join(parts[:len(parts)-2], ":")
					line, err := strconv.Atoi(parts[len(parts)-2])
					if err != nil {
						return found, err
					}
					f.line = line
					if !slices.Contains(found, f) {
						found = append(found, f)
					}
				}
			}
		}
	}
	return found, nil
}

// module writes a module into a directory of the scratch space.
func (b *bench) module(name string, files map[string]string) (string, error) {
	dir := filepath.Join(b.scratch, name)
	for file, text := range files {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// row prints one line of a table, with the target and whether it was met.
func (b *bench) row(what string, have string, met bool, target string) {
	mark := "ok"
	if !met {
		mark = "MISSED"
	}
	fmt.Fprintf(b.out, "  %-58s %-22s %-28s %s\n", what, have, target, mark)
}
