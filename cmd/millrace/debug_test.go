package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/ctxguard"
)

// debugServer serves g as --debug does, and returns the address.
func debugServer(t *testing.T, g *ctxguard.Guard) string {
	t.Helper()
	o := debugOptions{addr: "127.0.0.1:0"}
	ln, err := o.listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	f, err := newForcer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- serveDebug(ctx, ln, debugHandler(g, f)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return ln.Addr().String()
}

func TestDebugAddress(t *testing.T) {
	for _, c := range []struct {
		o    debugOptions
		good bool
	}{
		{debugOptions{}, true}, {debugOptions{addr: "127.0.0.1:6060"}, true}, {debugOptions{addr: "127.9.9.9:0"}, true}, {debugOptions{addr: "[::1]:1"}, true},
		{debugOptions{addr: "localhost:1"}, true}, {debugOptions{addr: ":6060"}, false}, {debugOptions{addr: "0.0.0.0:1"}, false}, {debugOptions{addr: "10.0.0.1:1"}, false},
		{debugOptions{addr: "plant.example:1"}, false}, {debugOptions{addr: ":6060", remote: true}, true}, {debugOptions{addr: "6060"}, false}, {debugOptions{addr: "6060", remote: true}, false},
	} {
		if err := c.o.check(); (err == nil) != c.good {
			t.Errorf("%+v: %v", c.o, err)
		}
	}
	if _, errs, code := millrace(t, "run", "-c", "nowhere.yaml", "--debug", ":6060"); code != exitUsage || !strings.Contains(errs, "--debug-remote") {
		t.Errorf("%d %s", code, errs)
	}
}

func TestDebugServer(t *testing.T) {
	g, err := ctxguard.New(ctxguard.Config{})
	if err != nil {
		t.Fatal(err)
	}
	addr := debugServer(t, g)
	for path, want := range map[string]string{
		"/": "/debug/ctxguard", "/debug/ctxguard": "ctxguard since", "/debug/ctxguard/tree": "0 tracked", "/debug/ctxguard/metrics": "ctxguard_sample 1",
		"/debug/pprof/": "goroutine", "/debug/pprof/goroutine?debug=2": "serveDebug", "/debug/pprof/heap?debug=1": "heap profile", "/debug/pprof/cmdline": "",
		"/debug/pprof/trace?seconds=0.01": "go 1.", "/debug/ctxguard/force": `"mode":"dry run"`, "/debug/ctxguard/force/metrics": "ctxguard_force_overdue 0", "/debug/pprof/symbol": "num_symbols",
	} {
		if body, code := httpGet(t, "http://"+addr+path, ""); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.200s", path, code, body)
		}
	}
	if body, code := httpGet(t, "http://"+addr+"/debug/pprof/goroutineleak?debug=1", ""); code != 501 && (code != 200 || !strings.Contains(body, "goroutineleak profile")) {
		t.Errorf("%d %s", code, body)
	}
	if body, code := httpGet(t, "http://"+addr+"/", "plant.example"); code != 403 {
		t.Errorf("by a name: %d %s", code, body)
	}
}

func httpGet(t *testing.T, url, host string) (string, int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), resp.StatusCode
}

// The report of a program with an overdue context, and of one without.
func TestCtxguardReport(t *testing.T) {
	g, err := ctxguard.New(ctxguard.Config{})
	if err != nil {
		t.Fatal(err)
	}
	addr := debugServer(t, g)
	root, end := context.WithCancel(t.Context())
	defer end()
	defer g.Watch(root, "sessions", nil)()
	ctx, cancel := g.In(ctxguard.Scope{Name: "session", Lease: time.Nanosecond}).WithCancel(root)
	defer cancel()
	out, errs, code := millrace(t, "ctxguard", "report", "--server", addr)
	if code != exitOK || !strings.Contains(out, "1 alive") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	g.Sweep()
	out, errs, code = millrace(t, "ctxguard", "report", "--server", "http://"+addr+"/")
	if code != exitFailed || !strings.Contains(out, "1 overdue, scope session") || !strings.Contains(out, "cmd/millrace.TestCtxguardReport ") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	out, _, code = millrace(t, "ctxguard", "report", "--server", addr, "--json")
	var s ctxguard.Summary
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != exitFailed || s.Overdue != 1 {
		t.Errorf("%d %v %+v", code, err, s)
	}
	out, errs, code = millrace(t, "ctxguard", "report", "--server", addr, "--tree")
	if code != exitOK || !strings.Contains(out, "root sessions\n  1 session millrace/cmd/millrace.TestCtxguardReport") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	out, errs, code = millrace(t, "ctxguard", "report", "--server", addr, "--over", "20ms")
	if code != exitOK || !strings.HasPrefix(out, "in 0.") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if ctx.Err() != nil {
		t.Error("the context was meant to last")
	}
}

func TestCtxguardReportMistakes(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--server", "127.0.0.1:1"}, exitFailed, "--debug"},
		{[]string{"--over", "-1s"}, exitUsage, "below 0"},
		{[]string{"--over", "1s", "--tree"}, exitUsage, "two questions"},
		{[]string{"extra"}, exitUsage, ""},
	} {
		_, errs, code := millrace(t, append([]string{"ctxguard", "report"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%v: %d %s", c.args, code, errs)
		}
	}
}

// What is cancelled by force, or would be, is a line in the data directory, also when the file is there already.
func TestForcedRecords(t *testing.T) {
	dir := t.TempDir()
	f, err := newForcer(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, why := range []string{"one", "two"} {
		if err := f.Kill(why); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, forcedFile))
	if lines := strings.Split(strings.TrimSpace(string(text)), "\n"); err != nil || len(lines) != 2 || !strings.Contains(lines[1], `"action":"kill","detail":"two"`) {
		t.Errorf("%v %s", err, text)
	}
	if f.Status().Policy.Mode != ctxguard.DryRun {
		t.Errorf("%+v", f.Status())
	}
}

// The policy of docs/operating.md is one.
func TestPolicyInTheDocs(t *testing.T) {
	n := 0
	for path, text := range documents(t) {
		for _, m := range regexp.MustCompile(`force/policy -d '(.*)'`).FindAllStringSubmatch(text, -1) {
			var p ctxguard.Policy
			if err := json.Unmarshal([]byte(m[1]), &p); err != nil || p.Mode != ctxguard.Enforce || !slices.Equal(p.Types, []string{"stream"}) || p.Rehearse != time.Minute {
				t.Errorf("%s: %v %+v", path, err, p)
			}
			n++
		}
	}
	if n == 0 {
		t.Error("no policy is left in the documents")
	}
}
