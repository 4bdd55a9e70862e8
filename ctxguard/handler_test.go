package ctxguard

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime/pprof"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var goFile = regexp.MustCompile(`/[^ ,<"]*/(\w+\.go):\d+`)

// lineNumbers makes a text the same on every machine and after every edit.
func lineNumbers(s string) string { return goFile.ReplaceAllString(s, "$1:N") }

// ask returns the answer to a request.
func ask(t *testing.T, h http.Handler, method, path string) string {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, path, rec.Code, rec.Body)
	}
	return rec.Body.String()
}

// leak makes three overdue sessions and two contexts with nothing wrong, and returns the Guard with what it logs.
func leak(t *testing.T, cfg Config) (*Guard, *bytes.Buffer) {
	var log bytes.Buffer
	cfg.Lease, cfg.Log = time.Minute, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	g := newGuard(t, cfg)
	root := pprof.WithLabels(t.Context(), pprof.Labels("device", "press-1", "line", "7"))
	root, end := context.WithCancel(root)
	t.Cleanup(end)
	g.Watch(root, "root", func() int { return 1 })
	for range 3 {
		_, cancel := g.In(Scope{Name: "session"}).WithCancel(root)
		t.Cleanup(cancel)
	}
	time.Sleep(time.Minute)
	for range 2 {
		_, cancel := g.WithCancel(root)
		t.Cleanup(cancel)
	}
	for range 3 {
		g.Sweep()
	}
	return g, &log
}

func TestSummaryText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := leak(t, Config{})
		got := lineNumbers(ask(t, g.Handler(), "GET", Path))
		got = regexp.MustCompile(`(?m)^    testing.*\n`).ReplaceAllString(got, "")         // what runs a test is not ours to say
		got = regexp.MustCompile(`2000-01-01 \d\d`).ReplaceAllString(got, "2000-01-01 HH") // the fake clock in the local zone
		want := `ctxguard since 2000-01-01 HH:00:00, one context in 1 looked after: 5 in all, 5 alive, 3 of them overdue
findings: 0 dropped, 3 overdue, 1 roots with too many children, 0 left behind by handlers; 0 healed
root root: 5 children, 1 expected

3 overdue, scope session; 3 alive, oldest leak 1m0s; first 2000-01-01 HH:01:00, last 2000-01-01 HH:01:00; device=press-1 line=7
    millrace/ctxguard.leak handler_test.go:N
    millrace/ctxguard.TestSummaryText.func1 handler_test.go:N

1 too many children, scope root; 0 alive, oldest leak 0s; first 2000-01-01 HH:01:00, last 2000-01-01 HH:01:00

1 more sites have contexts alive and nothing wrong
`
		if got != want {
			t.Errorf("got\n%s", got)
		}
		if got := ask(t, g.Handler(), "GET", Path+"?n=1"); !strings.Contains(got, "and 1 more sites with findings") {
			t.Errorf("one site:\n%s", got)
		}
	})
}

func TestSummaryJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := leak(t, Config{GoroutineID: true})
		var doc struct {
			Live, Overdue int
			Sites         []struct {
				AllocStack  []string `json:"allocStack"`
				LeakAgeSec  float64  `json:"leakAgeSec"`
				GoroutineID uint64   `json:"goroutineID"`
				Live        int
				Overdue     uint64
			}
		}
		text := ask(t, g.Handler(), "GET", Path+"?format=json&leaks=1")
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		s := doc.Sites[0]
		if doc.Live != 5 || doc.Overdue != 3 || len(doc.Sites) != 2 || s.LeakAgeSec != 60 || s.GoroutineID != goroutineID() || s.Overdue != 3 ||
			!strings.HasPrefix(s.AllocStack[0], "millrace/ctxguard.leak /") {
			t.Errorf("%+v", doc)
		}
		for query, want := range map[string]int{"": 3, "&n=1": 1, "&n=5": 3} {
			json.Unmarshal([]byte(ask(t, g.Handler(), "GET", Path+"/?format=json"+query)), &doc)
			if len(doc.Sites) != want {
				t.Errorf("%s: %d sites", query, len(doc.Sites))
			}
		}
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := leak(t, Config{})
		text := lineNumbers(ask(t, g.Handler(), "GET", Path+"/metrics"))
		for _, want := range []string{
			"# TYPE ctxguard_contexts_live gauge\nctxguard_contexts_live 5\n", "\nctxguard_contexts_overdue 3\n", "\nctxguard_contexts_tracked_total 5\n", "\nctxguard_sample 1\n",
			`ctxguard_root_children{root="root"} 5`, `ctxguard_root_expected{root="root"} 1`,
			`ctxguard_site_findings_total{scope="session",site="millrace/ctxguard.leak handler_test.go:N",finding="overdue"} 3`,
			`ctxguard_site_findings_total{scope="root",site="",finding="excess"} 1`,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
		if n := strings.Count(text, "# TYPE ctxguard_site_findings_total"); n != 1 {
			t.Errorf("the type is told %d times", n)
		}
		if got := quoted("a\\b\"c\nd"); got != `"a\\b\"c\nd"` {
			t.Error(got)
		}
	})
}

func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, log := leak(t, Config{LogEvery: time.Hour})
		lines := strings.Split(strings.TrimSpace(lineNumbers(log.String())), "\n")
		if len(lines) != 2 {
			t.Fatalf("%d lines for two sites:\n%s", len(lines), log)
		}
		want := `level=WARN msg="contexts leak" scope=session overdue=3 oldest=1m0s labels="device=press-1 line=7" site="millrace/ctxguard.leak handler_test.go:N" stack="millrace/ctxguard.leak handler_test.go:N < `
		if !strings.HasPrefix(lines[0], want) || !strings.Contains(lines[1], "scope=root excess=1") {
			t.Errorf("%s", lines)
		}
		log.Reset()
		time.Sleep(time.Minute)
		g.Sweep() // the two contexts of the quiet site are overdue now: a first finding there
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("%d lines:\n%s", n, log)
		}
	})
}

func TestOperatorsSwitches(t *testing.T) {
	g := newGuard(t, Config{})
	h := g.Handler()
	if got := ask(t, h, "POST", Path+"/sample?n=64"); g.Sample() != 64 || !strings.Contains(got, "one context in 64") {
		t.Error(got)
	}
	if got := ask(t, h, "POST", Path+"/sweep"); got != "0 new findings\n" {
		t.Error(got)
	}
	for _, c := range []struct {
		method, path string
		foreign      bool
		want         int
	}{
		{"POST", "/sample?n=x", false, 400}, {"GET", "?n=-1", false, 400}, {"GET", "/sample?n=1", false, 405}, {"POST", "/sample?n=1", true, 403},
		{"GET", "/nothing", false, 404},
	} {
		r := httptest.NewRequest(c.method, Path+c.path, nil)
		if c.foreign {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}
		rec := httptest.NewRecorder()
		if h.ServeHTTP(rec, r); rec.Code != c.want {
			t.Errorf("%+v: %d", c, rec.Code)
		}
	}
}

// Beyond MaxSites everything counts for one site.
func TestMaxSites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, Config{Lease: time.Second, MaxSites: 2})
		root, end := context.WithCancel(t.Context())
		defer end()
		for i := range 5 {
			_, cancel := g.In(Scope{Name: string(rune('a' + i))}).WithCancel(root)
			defer cancel()
		}
		time.Sleep(time.Second)
		g.Sweep()
		s := g.Summary()
		with := 0
		for _, x := range s.Sites {
			if x.Leaks() > 0 {
				with++
			}
		}
		if with != 3 || s.Sites[0].Scope != "other" || s.Sites[0].Overdue != 3 {
			t.Errorf("%+v", s.Sites)
		}
	})
}

// A stack of more frames than an entry has room for, with an inlined call in it.
func TestDeepStack(t *testing.T) {
	for depth, want := range map[int]int{1: 1, 3: 3, 8: 8, 20: 20} {
		g := newGuard(t, Config{StackDepth: depth})
		deep(30, func() {
			ctx, cancel := inlined(g, t.Context())
			defer cancel()
			f := framesOf(ctx.(*guarded).e.stack())
			if f[0].Func != "millrace/ctxguard.inlined" || len(f) < want {
				t.Errorf("depth %d: %d frames, %v", depth, len(f), f)
			}
		})
	}
}

func inlined(g *Guard, ctx context.Context) (context.Context, context.CancelFunc) {
	return g.WithCancel(ctx)
}
