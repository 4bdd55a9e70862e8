//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"millrace/ctxguard"
)

// startIncident builds and runs the server of the story, and returns where it serves.
func startIncident(t *testing.T, variant string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "incident")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../bench/incident").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(bin, "--serve", "127.0.0.1:0", "--variant", variant)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(line)
	if addr == "" {
		t.Fatalf("it serves nowhere: %s", line)
	}
	return addr
}

var step = regexp.MustCompile("(?m)^```sh\n(.*)\n```\n```text\n((?s:.*?))^```$")

// The three commands of the story, as the document has them, find what the document says.
func TestIncidentInTheDocs(t *testing.T) {
	doc, err := os.ReadFile("../../docs/ctxguard.md")
	if err != nil {
		t.Fatal(err)
	}
	addr := startIncident(t, "lost")
	until(t, "something leaks", func() bool {
		httpGet(t, "http://"+addr+ctxguard.Path+"/snapshot?gc=1", "") // collects
		body, _ := httpGet(t, "http://"+addr+ctxguard.Path+"?format=json", "")
		var s ctxguard.Summary
		return json.Unmarshal([]byte(body), &s) == nil && s.Dropped > 100
	})
	steps := step.FindAllStringSubmatch(string(doc), -1)
	if len(steps) != 3 {
		t.Fatalf("the story has %d commands", len(steps))
	}
	for _, s := range steps {
		got := anyNumber(do(t, strings.ReplaceAll(s[1], "127.0.0.1:6061", addr)))
		rest := got
		for line := range strings.Lines(s[2]) {
			line = anyNumber(strings.TrimSpace(line))
			_, behind, ok := strings.Cut(rest, line)
			if !ok {
				t.Errorf("%s: no %q, or not in that order, in\n%s", s[1], line, got)
				break
			}
			rest = behind
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// The variant without waiters: no finding, and contexts that grow.
func TestIncidentOfAMap(t *testing.T) {
	addr := startIncident(t, "map")
	if out, _, code := millrace(t, "ctxguard", "report", "--server", addr); code != exitOK {
		t.Errorf("%d %s", code, out)
	}
	var d ctxguard.Delta
	listed := func(f ctxguard.Frame) bool { return f.Func == "main.(*server).listed" }
	until(t, "contexts grow where they are listed", func() bool { // the heap profile is a sample: a second may be too short
		out, errs, code := millrace(t, "ctxguard", "report", "--server", addr, "--over", "1s", "--json")
		if err := json.Unmarshal([]byte(out), &d); err != nil || code != exitOK {
			t.Fatal(code, err, errs)
		}
		return len(d.Contexts) > 0 && slices.ContainsFunc(d.Contexts[0].Frames, listed)
	})
	for _, g := range d.Goroutines {
		if g.Created != "" && g.Grown() > 10 {
			t.Errorf("waiters: %+v", g)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// do runs a command of the document.
func do(t *testing.T, line string) string {
	t.Helper()
	if url, ok := strings.CutPrefix(line, "curl -s '"); ok {
		body, code := httpGet(t, strings.TrimSuffix(url, "'"), "")
		if code != 200 {
			t.Errorf("%s: %d", line, code)
		}
		return body
	}
	args, ok := commandIn(line)
	if !ok {
		t.Fatalf("%q is no command", line)
	}
	out, errs, _ := millrace(t, args...)
	return out + errs
}

// anyNumber makes texts alike that differ in numbers and in where the source lies.
func anyNumber(s string) string {
	s = regexp.MustCompile(`/\S*/bench/incident/`).ReplaceAllString(s, "bench/incident/")
	return regexp.MustCompile(`\d[\d.:,ms]*`).ReplaceAllString(s, "N")
}
