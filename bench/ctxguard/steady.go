package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// steady runs the kernels that leak each time under goleak. They are compiled from where they lie, by an overlay that gives their files a place
// in a module beside a test.
func (b *bench) steady(ctx context.Context) error {
	list, err := os.ReadFile(filepath.Join(b.goroot, "src", "runtime", "goroutineleakprofile_test.go"))
	if err != nil {
		return err
	}
	_, list, _ = cut(list, "gokerTestCases := ")
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^\t\tmakeTest\("(\w+)"`).FindAllStringSubmatch(string(list), -1) {
		names = append(names, m[1])
	}
	if len(names) == 0 {
		return fmt.Errorf("no steady kernels in goroutineleakprofile_test.go")
	}
	version, err := output(ctx, b.root, "go", "list", "-m", "-f", "{{.Version}}", "go.uber.org/goleak")
	if err != nil {
		return err
	}
	sums, err := os.ReadFile(filepath.Join(b.root, "go.sum"))
	if err != nil {
		return err
	}
	dir, err := b.module("steady", map[string]string{
		"go.mod":       "module steady\n\ngo 1.26\n\nrequire go.uber.org/goleak " + version + "\n",
		"go.sum":       string(sums),
		"leak_test.go": steadyTest,
	})
	if err != nil {
		return err
	}
	overlay, err := b.overlay(dir)
	if err != nil {
		return err
	}
	bin := filepath.Join(b.scratch, "steady.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", overlay, "-o", bin, ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOEXPERIMENT=goroutineleakprofile", "GOFLAGS=-mod=mod")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	caught, missed := 0, []string(nil)
	for _, name := range names {
		cmd := exec.CommandContext(ctx, bin, "-test.run", "^TestLeak$")
		cmd.Env = append(os.Environ(), "KERNEL="+name, "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1")
		out, err := cmd.CombinedOutput()
		switch {
		case err != nil && strings.Contains(string(out), "found unexpected goroutines"):
			caught++
		default:
			missed = append(missed, name)
		}
	}
	b.row("steady kernels caught by goleak at run time", fmt.Sprintf("%d of %d", caught, len(names)), caught == len(names), "all "+strings.Join(missed, " "))
	return nil
}

func cut(text []byte, at string) (before, after []byte, ok bool) {
	i := strings.Index(string(text), at)
	if i < 0 {
		return text, nil, false
	}
	return text[:i], text[i:], true
}

// overlay maps files of dir that are not there onto the kernels.
func (b *bench) overlay(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(b.kernelDir(), "*.go"))
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for _, f := range files {
		replace[filepath.Join(dir, filepath.Base(f))] = f
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(b.scratch, "overlay.json")
	return name, os.WriteFile(name, text, 0o600)
}

const steadyTest = `package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestLeak(t *testing.T) {
	kernel := cmds[os.Getenv("KERNEL")]
	if kernel == nil {
		t.Fatal("no such kernel")
	}
	before := goleak.IgnoreCurrent()
	kernel()
	goleak.VerifyNone(t, before)
}
`
