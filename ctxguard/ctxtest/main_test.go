package ctxtest_test

import (
	"flag"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write testdata anew")

// inChild says that this process is the one in which tests are meant to fail.
func inChild() bool { return os.Getenv("CTXTEST_CHILD") != "" }

func TestMain(m *testing.M) {
	if inChild() {
		os.Exit(m.Run()) // it leaves behind what it is about
	}
	goleak.VerifyTestMain(m)
}

// transcript runs the test of that name in a process of its own, where its parts are meant to fail, and compares what it prints with a file.
func transcript(t *testing.T, name, file string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^"+name+"$", "-test.v")
	cmd.Env = append(os.Environ(), "CTXTEST_CHILD=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("nothing failed:\n%s", out)
	}
	got := normal(string(out))
	want, err := os.ReadFile(file)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err != nil || got != string(want) {
		t.Errorf("%v; run with -update and read the difference. Got\n%s", err, got)
	}
}

// normal takes out what differs from run to run and from place to place.
func normal(s string) string {
	for _, x := range [][2]string{
		{`/[^ ()]*/(\w+\.go):`, "$1:"}, {`(?m)^(=== |PASS|FAIL|exit|---.*PASS).*\n`, ""}, {` \(\d+\.\d+s\)`, ""}, {`\.go:\d+`, ".go:N"}, {`([Gg])oroutine \d+`, "${1}oroutine N"},
		{`\b\w+/(\w+\.go):N`, "$1:N"}, {`0x[0-9a-f]+`, "0xN"}, {`127\.0\.0\.1:\d+`, "127.0.0.1:P"}, {`line \d+`, "line N"}, {`(?m)^ +testing\..*\n`, ""}, {`(?m)^    \w+_test\.go:N: `, "    "},
	} {
		s = regexp.MustCompile(x[0]).ReplaceAllString(s, x[1])
	}
	return strings.TrimSpace(s) + "\n"
}
