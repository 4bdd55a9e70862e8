// Package outside runs the programs of other people's stacks that the suites hold ours to.
package outside

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Need ends the test when a peer is not installed: a failure when REQUIRE_INTEROP=1, else a skip that says so.
func Need(t testing.TB, file string) {
	t.Helper()
	if _, err := os.Stat(file); err == nil {
		return
	}
	missing(t, file)
}

// NeedTool is Need for a command on the path.
func NeedTool(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		missing(t, name)
	}
}

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("REQUIRE_INTEROP") == "1" {
		t.Fatalf("%s is not there; .ci/install makes it", what)
	}
	t.Skipf("SKIPPED: %s is not there; nothing was compared", what)
}

// Program is a foreign program: it is asked a line and answers a line that begins with "> ". What else it prints is its own business.
type Program struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Scanner
	stderr bytes.Buffer
}

// Start starts a program, which ends with the test: it is told by the end of its standard input.
func Start(t testing.TB, name string, args ...string) *Program {
	t.Helper()
	cmd := exec.Command(name, args...)
	// snap7 and node take their clocks for local ones.
	cmd.Env = append(os.Environ(), "TZ=UTC", "PYTHONPATH=peers/python", "PYTHONDONTWRITEBYTECODE=1")
	p := &Program{t: t, cmd: cmd}
	cmd.Stderr = &p.stderr
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdout = bufio.NewScanner(stdout)
	p.stdout.Buffer(nil, 1<<20)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// A program that hangs ends with the pipe that it should have written to.
	timer := time.AfterFunc(3*time.Minute, p.Kill)
	t.Cleanup(func() {
		p.stdin.Close()
		for p.stdout.Scan() { // so that it can end
		}
		cmd.Wait()
		timer.Stop()
	})
	return p
}

// Kill ends the program at once.
func (p *Program) Kill() { p.cmd.Process.Kill() }

// Wait waits for the end of a program that was killed.
func (p *Program) Wait() { p.cmd.Wait() }

// Ask writes a line and returns the answer.
func (p *Program) Ask(line string) string {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatalf("%s: %v: %s", line, err, p.stderr.Bytes())
	}
	return p.Answer()
}

// Answer returns the next answer.
func (p *Program) Answer() string {
	p.t.Helper()
	for p.stdout.Scan() {
		if answer, ok := strings.CutPrefix(p.stdout.Text(), "> "); ok {
			return answer
		}
	}
	p.t.Fatalf("the program has ended: %s", p.stderr.Bytes())
	return ""
}

// Line returns the next line of the output as it is, and whether there was one.
func (p *Program) Line() (string, bool) {
	ok := p.stdout.Scan()
	return p.stdout.Text(), ok
}

// Expect fails the test unless the next answer is want.
func (p *Program) Expect(want string) *Program {
	p.t.Helper()
	if got := p.Answer(); got != want {
		p.t.Fatalf("the program says %s, not %s: %s", got, want, p.stderr.Bytes())
	}
	return p
}

// Stderr returns what the program complained of.
func (p *Program) Stderr() string { return p.stderr.String() }
