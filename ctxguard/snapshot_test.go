package ctxguard //ctxguard:allow // these tests lose contexts for the snapshots to find

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/trace"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// session is a leak as it is made in earnest: a context below a long-lived root, its cancel lost, and a goroutine that waits.
//
//go:noinline
func session(g *Guard, root context.Context, wg *sync.WaitGroup) {
	ctx, _ := g.WithCancel(root) // what is to be found
	wg.Add(1)
	go serveSession(ctx, wg)
}

func serveSession(ctx context.Context, wg *sync.WaitGroup) {
	defer wg.Done()
	for {
		select { // it asks for Done each time, so its stack keeps the context
		case <-ctx.Done():
			return
		case <-time.After(time.Hour):
		}
	}
}

// Of 50 leaked sessions a difference says: the goroutines' stack, the contexts' creating line, and that they belong together.
func TestDiff(t *testing.T) {
	defer func(rate int) { runtime.MemProfileRate = rate }(runtime.MemProfileRate)
	runtime.MemProfileRate = 1
	g := newGuard(t, Config{Lease: time.Nanosecond})
	root, end := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer end()
	session(g, root, &wg)
	before := g.Take(t.Context(), SnapshotConfig{GC: true})
	stop := make(chan struct{})
	wg.Go(func() {
		for !trace.IsEnabled() { // the recording is to see who starts what
			runtime.Gosched()
		}
		for range 50 {
			session(g, root, &wg)
		}
		<-stop
	})
	after := g.Take(t.Context(), SnapshotConfig{GC: true, Trace: 50 * time.Millisecond})
	g.Sweep()
	again := g.Take(t.Context(), SnapshotConfig{})
	close(stop)
	if after.Trace == nil || after.TraceError != "" {
		t.Fatal(after.TraceError)
	}
	d := Diff(onTheWay(t, before), onTheWay(t, after))
	i := slices.IndexFunc(d.Goroutines, func(x Growth) bool { return userFrame(x.Frames).Func == "millrace/ctxguard.serveSession" })
	if i != 0 {
		t.Fatalf("the sessions are the growth number %d: %+v", i, d.Goroutines)
	}
	x := d.Goroutines[0]
	if x.Before != 1 || x.After != 51 || x.State != "select" || x.Blocks != 51 || x.BlockedFor <= 0 ||
		!strings.HasPrefix(x.Created, "millrace/ctxguard.session ") || !strings.HasPrefix(x.Started, "millrace/ctxguard.session ") {
		t.Errorf("%+v", x)
	}
	c := d.Contexts[0]
	if c.Kind != "cancelCtx" || c.Grown() != 50 || userFrame(c.Frames).Func != "millrace/ctxguard.session" {
		t.Errorf("%+v", c)
	}
	if d.Mem.Goroutines < 50 || d.Mem.Mallocs < 100 || d.Mem.GCs < 2 || d.Mem.Live <= 0 {
		t.Errorf("%+v", d.Mem)
	}
	var text bytes.Buffer
	if err := d.WriteText(&text, 3); err != nil || !strings.Contains(text.String(), "+50 (1, then 51) select, blocked 51 times in the recording") ||
		!strings.Contains(text.String(), "waits for a context made by millrace/ctxguard.session") {
		t.Errorf("%v\n%s", err, &text)
	}
	if f := Diff(after, again).Guard; len(f) != 2 || f[0].Grown() != 50 || f[1].Grown() != 1 || f[0].Frames[0].Func != "millrace/ctxguard.session" {
		t.Errorf("findings of the guard: %+v", f)
	}
}

// onTheWay sends a snapshot through JSON.
func onTheWay(t *testing.T, s Snapshot) (out Snapshot) {
	b, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestScaled(t *testing.T) {
	if n, b := scaled(10, 960, 1); n != 10 || b != 960 {
		t.Error(n, b)
	}
	if n, _ := scaled(10, 960, 512<<10); n < 54_000 || n > 55_500 { // one 96-byte object in 5462 is seen
		t.Error(n)
	}
}

func TestEnclosing(t *testing.T) {
	for name, want := range map[string]string{
		"main.serve": "main.serve", "main.serve.func1": "main.serve", "main.(*T).serve.func1.2": "main.(*T).serve", "a.b/c.func1/main.x.gowrap3": "a.b/c.func1/main.x",
		"main.x.functional": "main.x.functional", "main.func1": "main",
	} {
		if got := enclosing(name); got != want {
			t.Errorf("%s: %s, not %s", name, got, want)
		}
	}
}

// recorded is a trace with goroutines that come, wait and go.
func recorded(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := trace.Start(&b); err != nil {
		if flag.Lookup("test.trace").Value.String() == "" {
			t.Fatal(err)
		}
		t.Skip(err) // the test itself is traced
	}
	var wg sync.WaitGroup
	ping := make(chan int)
	for range 3 {
		wg.Go(func() {
			for range ping {
			}
		})
	}
	for i := range 100 {
		ping <- i
	}
	close(ping)
	wg.Wait()
	trace.Stop()
	return b.Bytes()
}

// What we read of a trace is what Go's own tool reads of it.
func TestTraceAgainstGo(t *testing.T) {
	data := recorded(t)
	s, err := readTrace(data)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "trace.out")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "tool", "trace", "-d=parsed", file).Output()
	if err != nil {
		if _, missing := exec.LookPath("go"); missing == nil {
			t.Fatal(err)
		}
		t.Skip("no go command here: ", err)
	}
	want, got := map[string]int{}, map[string]int{}
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "Running->Waiting") {
			continue
		}
		_, reason, _ := strings.Cut(line, `Reason="`)
		reason, _, _ = strings.Cut(reason, `"`)
		want[reason]++
	}
	for _, b := range s.Blocks {
		if b.Reason != "" {
			got[b.Reason] += b.Count
		}
	}
	if len(want) == 0 || want["chan receive"] < 3 {
		t.Fatalf("Go's tool prints another form now:\n%.2000s", out)
	}
	for reason, n := range want {
		if got[reason] != n {
			t.Errorf("%q: %d waits, Go's tool says %d", reason, got[reason], n)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v, Go's tool says %v", got, want)
	}
}

func TestTraceBlocks(t *testing.T) {
	s, err := readTrace(recorded(t))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, b := range s.Blocks {
		if b.Reason == "chan receive" && len(b.Frames) > 0 && b.Frames[0].Func == "millrace/ctxguard.recorded.func1" {
			found = true
			if b.Still != 0 || b.Total <= 0 {
				t.Errorf("%+v", b)
			}
		}
	}
	if !found {
		t.Errorf("%+v", s.Blocks)
	}
}

func TestBadTraces(t *testing.T) {
	for _, b := range []string{"", "go 1.26 trace", "go 1.21 trace\x00\x00\x00", "go 1.99 trace\x00\x00\x00", "go 1.26 trace\x00\x00\x00\x07"} {
		if _, err := readTrace([]byte(b)); !errors.Is(err, errTrace) {
			t.Errorf("%q: %v", b, err)
		}
	}
	whole := recorded(t)
	if s, err := readTrace(whole[:len(whole)*9/10]); err == nil || s == nil {
		t.Errorf("a trace without its end: %v", err)
	}
}

// smallTrace is a trace of one generation, written by hand: goroutine 1 starts goroutine 2 and waits until that has woken it.
func smallTrace() []byte {
	part := func(kind byte, at byte, events ...byte) []byte { // a batch of M 1
		return append([]byte{kind, 1, 1, at, byte(len(events))}, events...)
	}
	b := []byte("go 1.26 trace\x00\x00\x00")
	b = append(b, part(evEventBatch, 10,
		evGoStatus, 0, 1, 1, statusRunning, evGoCreate, 1, 2, 2, 1, evGoBlock, 1, 3, 1, evGoStart, 1, 2, 1, evGoUnblock, 5, 1, 2, 0, evGoDestroy, 1, evGoStart, 1, 1, 3)...)
	b = append(b, part(evEventBatch, 10, evStrings, evString, 1, 6, 'm', 'a', 'i', 'n', '.', 'a', evString, 2, 4, 'a', '.', 'g', 'o', evString, 3, 4, 'r', 'e', 'c', 'v')...)
	b = append(b, part(evEventBatch, 10, evStacks, evStack, 1, 1, 99, 1, 2, 7, evStack, 2, 1, 98, 1, 2, 9)...)
	b = append(b, part(evEventBatch, 10, evSync, evFrequency, 100)...)
	return append(b, evEndOfGeneration)
}

func TestSmallTrace(t *testing.T) {
	s, err := readTrace(smallTrace())
	if err != nil || len(s.Blocks) != 1 || len(s.Creates) != 0 {
		t.Fatalf("%v %+v", err, s)
	}
	b := s.Blocks[0]
	if b.Reason != "recv" || b.Count != 1 || b.Still != 0 || b.Total != 60*time.Millisecond || b.Frames[0] != (Frame{"main.a", "a.go", 7}) {
		t.Errorf("%+v", b)
	}
}

func FuzzTrace(f *testing.F) {
	f.Add(smallTrace())
	f.Add(smallTrace()[:60])
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := readTrace(b)
		if err == nil && s == nil {
			t.Error("neither a summary nor an error")
		}
		if s == nil {
			return
		}
		for _, x := range s.Blocks {
			if x.Count < 1 || x.Still < 0 || x.Still > x.Count || x.Total < 0 {
				t.Errorf("%+v", x)
			}
		}
	})
}

func TestTraceIsBounded(t *testing.T) {
	var b bounded
	b.Write(make([]byte, mostTraced))
	if n, err := b.Write([]byte("x")); n != 1 || err != nil || !b.cut || b.Len() != mostTraced {
		t.Error(n, err, b.cut, b.Len())
	}
}

func TestSnapshotHandler(t *testing.T) {
	g := newGuard(t, Config{})
	h := g.Handler()
	var s Snapshot
	if err := json.Unmarshal([]byte(ask(t, h, "GET", Path+"/snapshot?gc=1&trace=1ms")), &s); err != nil || len(s.Goroutines) == 0 || len(s.Heap) == 0 || s.Trace == nil || s.Guard == nil {
		t.Errorf("%v %+v", err, s)
	}
	if got := ask(t, h, "GET", Path+"/diff?seconds=0.01"); !strings.HasPrefix(got, "in 0.") {
		t.Error(got)
	}
	var d Delta
	if err := json.Unmarshal([]byte(ask(t, h, "GET", Path+"/diff?seconds=0.01&format=json")), &d); err != nil || d.Mem.GCs < 2 {
		t.Errorf("%v %+v", err, d)
	}
	for _, path := range []string{"/snapshot?trace=x", "/diff?seconds=61", "/diff?seconds=x"} {
		rec := httptest.NewRecorder()
		if h.ServeHTTP(rec, httptest.NewRequest("GET", Path+path, nil)); rec.Code != 400 {
			t.Errorf("%s: %d", path, rec.Code)
		}
	}
}

// The guards of the leak profile, with a profile that the test takes; a binary that has the real one takes that too.
func TestLeakProfile(t *testing.T) {
	g := newGuard(t, Config{})
	var refused *LeakProfileError
	if g.leaks.take == nil {
		if _, err := g.LeakProfile(1); !errors.As(err, &refused) || refused.Retryable() {
			t.Errorf("%v", err)
		}
	} else {
		block := make(chan struct{})
		go func() { <-block }()
		b, err := g.LeakProfile(1)
		if err != nil || !strings.HasPrefix(string(b), "goroutineleak profile:") {
			t.Errorf("%v %s", err, b)
		}
		close(block)
	}
	inside, goOn := make(chan struct{}), make(chan struct{})
	n, paused := 100_000, 50*time.Millisecond
	g.leaks = &leakProfiler{
		take:  func(b *bytes.Buffer, _ int) error { inside <- struct{}{}; <-goOn; b.WriteString("profile"); return nil },
		count: func() int { return n }, pause: func(uint32) time.Duration { return paused },
	}
	done := make(chan string)
	try := func() {
		b, err := g.LeakProfile(0)
		if err != nil {
			b = []byte(err.Error())
		}
		done <- string(b)
	}
	go try()
	<-inside
	if _, err := g.LeakProfile(0); !errors.As(err, &refused) || !refused.Retryable() || !strings.Contains(err.Error(), "another one") {
		t.Errorf("two at once: %v", err)
	}
	close(goOn)
	if got := <-done; got != "profile" {
		t.Error(got)
	}
	n++
	go try()
	if got := <-done; !strings.Contains(got, "100001 goroutines are too many") {
		t.Error(got)
	}
	n, paused = 1, 50*time.Millisecond+1
	go try()
	<-inside
	if got := <-done; got != "profile" {
		t.Error(got)
	}
	go try()
	if got := <-done; !strings.Contains(got, "the last one stopped the world for") {
		t.Error(got)
	}
}
