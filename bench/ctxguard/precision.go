package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// classified has a verdict for each finding in the large programs: where, which analyzer, real or false, and why.
//
//go:embed classified.txt
var classified string

type verdict struct {
	real bool
	why  string
}

func verdicts() map[string]verdict {
	out := map[string]verdict{}
	for line := range strings.Lines(classified) {
		f := strings.SplitN(strings.TrimSpace(line), " ", 4)
		if len(f) == 4 && !strings.HasPrefix(line, "#") {
			out[f[0]+" "+f[1]] = verdict{f[2] == "real", f[3]}
		}
	}
	return out
}

// precision looks at this repository, at net/http and at nats-server, and holds each finding against its verdict.
func (b *bench) precision(ctx context.Context) error {
	natsDir, err := b.natsModule(ctx)
	if err != nil {
		return err
	}
	known := verdicts()
	reals, all, unknown := 0, 0, 0
	for _, c := range []struct{ name, dir, pkg, prefix string }{
		{"this repository", b.root, "./...", b.root},
		{"net/http", b.root, "net/http", filepath.Join(b.goroot, "src")},
		{"nats-server " + nats[strings.Index(nats, "@")+1:], natsDir, "github.com/nats-io/nats-server/v2/...", "nats-server/v2" + nats[strings.Index(nats, "@"):]},
	} {
		found, err := b.vet(ctx, c.dir, b.binary, c.pkg)
		if err != nil {
			return err
		}
		n, product := 0, 0
		for _, f := range found {
			_, rel, _ := strings.Cut(f.file, c.prefix+"/")
			where := rel + ":" + strconv.Itoa(f.line)
			v, ok := known[where+" "+f.analyzer]
			switch {
			case !ok:
				unknown++
				fmt.Fprintf(b.out, "  not classified: %s %s: %s\n", where, f.analyzer, f.text)
			case v.real:
				n++
			}
			if !strings.HasSuffix(f.file, "_test.go") {
				product++
			}
		}
		reals, all = reals+n, all+len(found)
		fmt.Fprintf(b.out, "  %-58s %d findings (%d outside of tests), %d real\n", c.name, len(found), product, n)
	}
	marks, err := b.marks(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "  %-58s %d, each with its reason\n", "findings in this repository that are marked", marks)
	percent := 100
	if all > 0 {
		percent = 100 * reals / all
	}
	b.row("findings that are real", fmt.Sprintf("%d of %d: %d %%", reals, all, percent), percent >= 80 && unknown == 0, ">= 80 %, all read")
	return nil
}

// natsModule is a module that nats-server can be named from.
func (b *bench) natsModule(ctx context.Context) (string, error) {
	dir, err := b.module("nats", map[string]string{"go.mod": "module nats\n\ngo 1.26\n", "nats.go": "package nats\n\nimport _ \"github.com/nats-io/nats-server/v2/server\"\n"})
	if err != nil {
		return "", err
	}
	if _, err := output(ctx, dir, "go", "get", nats); err != nil {
		return "", err
	}
	_, err = output(ctx, dir, "go", "mod", "tidy")
	return dir, err
}

// marks counts the findings in this repository that somebody has looked at and marked.
func (b *bench) marks(ctx context.Context) (int, error) {
	out, err := exec.CommandContext(ctx, "git", "-C", b.root, "grep", "-hE", "//nolint:[a-z,]*ctxguard", "--", "*.go", ":!ctxguard/analyzers", ":!bench").Output()
	if err != nil && len(out) > 0 {
		return 0, err
	}
	return bytes.Count(out, []byte("\n")), nil
}

// time compares the processor time of the analyzers over this repository with that of go vet, both with compiled dependencies and without
// results of their own in the cache: a flag that nobody has used before sees to that.
func (b *bench) time(ctx context.Context) error {
	fmt.Fprintln(b.out, "time over this repository, dependencies compiled, no results cached")
	if err := b.once(ctx, "build", "./..."); err != nil {
		return err
	}
	var ours, base, ratios []float64
	for range 3 {
		fresh := strconv.FormatUint(rand.Uint64(), 36)
		v, err := cpu(ctx, b.root, "vet", "-printf.funcs=f"+fresh, "./...")
		if err != nil {
			return err
		}
		o, err := cpu(ctx, b.root, "vet", "-vettool="+b.binary, "-ctxguardfacts.pairs=x.f"+fresh+"=()", "./...")
		if err != nil {
			return err
		}
		base, ours, ratios = append(base, v.Seconds()), append(ours, o.Seconds()), append(ratios, o.Seconds()/v.Seconds())
	}
	slices.Sort(ratios)
	fmt.Fprintf(b.out, "  go vet %.1f s, millrace vet %.1f s of processor time (least of 3)\n", slices.Min(base), slices.Min(ours))
	b.row("ratio, median of 3", fmt.Sprintf("%.2f", ratios[1]), ratios[1] <= 1.5, "<= 1.5")
	return nil
}

func (b *bench) once(ctx context.Context, args ...string) error {
	_, err := output(ctx, b.root, "go", args...)
	return err
}

// cpu is the processor time of a go command and of all that it runs.
func cpu(ctx context.Context, dir string, args ...string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		return 0, err
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}
