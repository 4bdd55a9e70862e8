package heal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
	"unicode"
)

// maxOutput is how much of what a program says is kept: the end of it.
const maxOutput = 4096

// commandLine is one run of a program, without a shell.
type commandLine struct {
	argv    []string
	env     []string
	timeout time.Duration
}

// program is what d runs. Of the gateway's own environment it gets the PATH alone: the rest may hold passwords.
func program(d Do) *commandLine {
	return &commandLine{d.Argv, append([]string{"PATH=" + os.Getenv("PATH"), fmt.Sprintf("MILLRACE_RUN=%d", d.Run)}, d.Env...), d.Timeout}
}

// run runs it. What it has started itself ends with it, where the system can do that.
func (c *commandLine) run(ctx context.Context) Result {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	var out tail
	cmd.Env, cmd.Stdout, cmd.Stderr = c.env, &out, &out
	cmd.WaitDelay = time.Second // for what holds on to its output
	ownGroup(cmd)
	err := cmd.Run()
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // it succeeded, though it may have left something that holds on to its output
		err = nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("it did not end within %v", c.timeout)
	case ctx.Err() != nil:
		err = errors.New("the gateway ended")
	}
	return Result{Err: err, Output: out.String()}
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p[max(0, len(p)-maxOutput):]...)
	t.b = t.b[max(0, len(t.b)-maxOutput):]
	return len(p), nil
}

// String returns it as text without control characters, which would move the cursor of who reads the history.
func (t *tail) String() string {
	text := strings.ReplaceAll(string(t.b), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, strings.TrimSpace(text))
}
