package ctxguard

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A version of Go in which the census does not work must be noticed here, before users miss it.
func TestCensusWorks(t *testing.T) {
	if !newGuard(t, Config{}).CensusWorks() {
		t.Fatal("package context is not what the census expects: read its cancelCtx and mend census.go")
	}
}

func TestCensus(t *testing.T) {
	g := newGuard(t, Config{})
	root, end := context.WithCancel(t.Context())
	a, cancelA := context.WithCancel(context.WithValue(root, siteKey{}, 1))
	_, cancelB := context.WithTimeout(root, time.Hour)
	_, cancelC := g.WithTimeout(root, time.Hour)
	_, cancelD := context.WithCancel(a)
	stop := context.AfterFunc(root, func() {})
	want := func(k Kinds) {
		t.Helper()
		if have, err := g.Census(context.WithValue(root, siteKey{}, 2)); have != k || err != nil {
			t.Errorf("%+v, not %+v; %v", have, k, err)
		}
	}
	want(Kinds{Cancel: 1, Timer: 2, After: 1})
	cancelA()
	cancelC()
	stop()
	want(Kinds{Timer: 1})
	cancelB()
	cancelD()
	end()
	want(Kinds{})
	for _, c := range []context.Context{context.WithoutCancel(root), &spy{}} {
		if _, err := g.Census(c); !errors.Is(err, ErrNoCensus) {
			t.Errorf("%v: %v", c, err)
		}
	}
	off := *g
	off.core = &core{}
	if _, err := off.Census(root); !errors.Is(err, ErrNoCensus) {
		t.Error(err)
	}
}

// A census while everybody makes and cancels children.
func TestCensusAmongOthers(t *testing.T) {
	g := newGuard(t, Config{})
	root, end := context.WithCancel(t.Context())
	defer end()
	defer g.Watch(root, "root", func() int { return 0 })()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 2000 {
				ctx, cancel := g.WithCancel(root)
				_, cancel2 := context.WithTimeout(ctx, time.Hour)
				cancel2()
				cancel()
			}
		})
	}
	for range 200 {
		if _, err := g.Census(root); err != nil {
			t.Fatal(err)
		}
		g.Sweep()
		g.Tree()
		g.Summary()
	}
	wg.Wait()
	if k, _ := g.Census(root); k.Total() != 0 {
		t.Errorf("%+v left", k)
	}
	if s := g.Summary(); s.Live != 0 || s.Tracked != 8000 {
		t.Errorf("%+v", s)
	}
}

func TestWatchExpected(t *testing.T) {
	var got reports
	g := newGuard(t, Config{OnReport: got.add})
	root, end := context.WithCancel(t.Context())
	sessions := 0
	stop := g.Watch(root, "sessions", func() int { return sessions })
	open := func() context.CancelFunc {
		_, cancel := context.WithCancel(root)
		return cancel
	}
	sessions = 2
	var cancels []context.CancelFunc
	for range 3 {
		cancels = append(cancels, open())
	}
	for i, want := range []int{0, 0, 1, 0, 0} { // told at the third look, and not again
		if n := g.Sweep(); n != want {
			t.Errorf("look %d: %d reports", i, n)
		}
	}
	if r := got.all[0]; r.Finding != Excess || r.Scope != "sessions" || r.Children != 3 || r.Expected != 2 {
		t.Errorf("%+v", r)
	}
	cancels = append(cancels, open()) // twice as many too many
	if n := g.Sweep(); n != 1 || got.all[1].Children != 4 {
		t.Errorf("%d reports: %+v", n, got.all)
	}
	if s := g.Summary(); s.Excess != 2 || len(s.Roots) != 1 || s.Roots[0] != (Root{"sessions", 4, 2}) {
		t.Errorf("%+v", s)
	}
	for _, c := range cancels {
		c()
	}
	if n := g.Sweep(); n != 0 {
		t.Errorf("%d reports when all is well", n)
	}
	stop()
	if len(g.Summary().Roots) != 0 {
		t.Error("still watched")
	}
	g.Watch(root, "again", nil)
	end()
	g.Sweep()
	if len(g.Summary().Roots) != 0 {
		t.Error("watched beyond its end")
	}
}

// Without a number to compare with, a floor that rises is what tells a leak from a day's work.
func TestWatchRising(t *testing.T) {
	var got reports
	g := newGuard(t, Config{OnReport: got.add})
	root, end := context.WithCancel(t.Context())
	defer end()
	g.Watch(root, "root", nil)
	for look := range 4 * window { // up and down, never up for good
		var busy []context.CancelFunc
		for range look % window * 3 {
			_, cancel := context.WithCancel(root)
			busy = append(busy, cancel)
		}
		g.Sweep()
		for _, cancel := range busy {
			cancel()
		}
	}
	if len(got.all) != 0 {
		t.Errorf("a busy root was reported: %+v", got.all)
	}
	for look := range 4 * window {
		if look%5 == 0 {
			_, cancel := context.WithCancel(root)
			defer cancel()
		}
		g.Sweep()
	}
	if len(got.all) != 2 || got.all[0].Children != 6 || got.all[1].Children != 8 { // at the end of each window that is higher
		t.Errorf("%+v", got.all)
	}
}

func TestTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, Config{Lease: time.Minute})
		root, end := context.WithCancel(t.Context())
		defer end()
		g.Watch(root, "process", nil)
		device, cancelDevice := g.In(Scope{Name: "device", Lease: -1}).WithCancel(root)
		defer cancelDevice()
		for range 3 {
			session, cancel := g.In(Scope{Name: "session"}).WithCancel(context.WithValue(device, siteKey{}, 0))
			defer cancel()
			_, cancelRead := context.WithTimeout(session, time.Hour)
			defer cancelRead()
		}
		time.Sleep(time.Minute)
		g.Sweep()
		rec := httptest.NewRecorder()
		g.Handler().ServeHTTP(rec, httptest.NewRequest("GET", Path+"/tree", nil))
		got := lineNumbers(rec.Body.String())
		want := `1 root process
  1 device millrace/ctxguard.TestTree.func1 census_test.go:N, oldest 1m0s
    3 session millrace/ctxguard.TestTree.func1 census_test.go:N, 3 overdue, oldest 1m0s
      3 timer
4 tracked
  1 device millrace/ctxguard.TestTree.func1 census_test.go:N, oldest 1m0s
    3 session millrace/ctxguard.TestTree.func1 census_test.go:N, 3 overdue, oldest 1m0s
`
		if got != want {
			t.Errorf("got\n%s", got)
		}
	})
}

func TestMiddleware(t *testing.T) {
	var got reports
	g := newGuard(t, Config{OnReport: got.add})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /good/{x}", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := g.WithCancel(r.Context())
		defer cancel()
		_, cancel2 := context.WithTimeout(ctx, time.Hour)
		defer cancel2()
	})
	mux.HandleFunc("GET /bad/{x}", func(w http.ResponseWriter, r *http.Request) {
		_, cancel := g.WithCancel(r.Context())
		for range 2 {
			_, cancel2 := context.WithTimeout(r.Context(), time.Hour)
			t.Cleanup(cancel2)
		}
		t.Cleanup(cancel)
	})
	h := g.Middleware(mux)
	for _, path := range []string{"/good/1", "/bad/1", "/good/2", "/bad/2"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
	}
	if s := g.Summary(); s.LeftBehind != 6 || s.Sites[0].LeftBehind != 5 || s.Sites[1].LeftBehind != 1 || s.Live != 0 {
		t.Errorf("%+v", s)
	}
	if len(got.all) != 3 {
		t.Fatalf("%+v", got.all)
	}
	for i, r := range got.all {
		if r.Finding != LeftBehind || r.Scope != "GET /bad/{x}" || i > 0 && r.Labels != "handler=GET" {
			t.Errorf("%+v", r)
		}
	}
	if f := got.all[0].Frames(); len(f) == 0 || f[0].Func != "millrace/ctxguard.TestMiddleware.func2" {
		t.Errorf("the child that is known was made by %v", f)
	}
	var off *Guard
	if off.Middleware(mux) != http.Handler(mux) {
		t.Error("a nil Guard puts something in between")
	}
}

// A client of net/http ends its own context a moment after the handler has read the body: that is nobody's mistake.
func TestMiddlewareWaitsForTheTransport(t *testing.T) {
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer back.Close()
	g, tr := newGuard(t, Config{}), &http.Transport{}
	defer tr.CloseIdleConnections()
	handler := g.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, back.URL, nil)
		if err != nil {
			t.Error(err)
			return
		}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(w, resp.Body)
		resp.Body.Close()
	}))
	for range 1000 {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	}
	if c := g.Counts(); c.LeftBehind != 0 || c.Tracked != 1000 {
		t.Errorf("%+v", c)
	}
}
