package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const leaking = `package leaking

import (
	"context"
	"time"
)

func work(ctx context.Context) error {
	child, _ := context.WithTimeout(ctx, time.Second)
	return child.Err()
}
`

// module writes a module of one file and returns its directory.
func module(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module leaking\n\ngo 1.26\n", "leaking.go": source} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// vetBinary builds the program itself: go vet runs it for each package.
func vetBinary(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "millrace")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

func runIn(t *testing.T, dir, name string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestVet(t *testing.T) {
	bin := vetBinary(t)
	dir := module(t, leaking)
	const want = "the cancel function of context.WithTimeout can never be called"

	out, code := runIn(t, dir, bin, "vet")
	if code != exitFailed || !strings.Contains(out, want) {
		t.Errorf("vet: exit code %d, %s", code, out)
	}
	if out, code = runIn(t, dir, "go", "vet", "-vettool="+bin, "./..."); code == 0 || !strings.Contains(out, want) {
		t.Errorf("go vet: exit code %d, %s", code, out)
	}
	if out, code = runIn(t, dir, bin, "vet", "-release=false", "./..."); code != exitOK {
		t.Errorf("left out: exit code %d, %s", code, out)
	}
	if out, code = runIn(t, dir, bin, "vet", "-fix"); code != exitOK {
		t.Errorf("fix: exit code %d, %s", code, out)
	}
	if out, code = runIn(t, dir, bin, "vet", "./..."); code != exitOK {
		t.Errorf("after the fix: exit code %d, %s", code, out)
	}
	source, err := os.ReadFile(filepath.Join(dir, "leaking.go"))
	if err != nil || !strings.Contains(string(source), "defer cancel()") {
		t.Errorf("%v: %s", err, source)
	}
	if out, code = runIn(t, dir, bin, "vet", "--help"); code != exitOK || !strings.Contains(out, "vettool") {
		t.Errorf("help: exit code %d, %s", code, out)
	}
}

func TestVetArgs(t *testing.T) {
	for line, want := range map[string]string{
		"": "vet -vettool=m ./...", "-json": "vet -vettool=m -json ./...", "-json ./a ./b": "vet -vettool=m -json ./a ./b", "./a": "vet -vettool=m ./a",
	} {
		if got := vetArgs("m", strings.Fields(line)); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%q: %q", line, got)
		}
	}
}
