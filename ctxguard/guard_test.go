package ctxguard //ctxguard:allow // these tests drop contexts for the guard to find

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newGuard(t testing.TB, cfg Config) *Guard {
	t.Helper()
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// reports collects what a Guard reports.
type reports struct{ all []Report }

func (r *reports) add(x Report) { r.all = append(r.all, x) }

// collects runs the collector until n contexts were found dropped since the last look.
func (c *core) collects(t testing.TB, n int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 5000 {
		runtime.GC()
		<-tick.C
		c.lost.mu.Lock()
		have := len(c.lost.list)
		c.lost.mu.Unlock()
		if have >= n {
			return
		}
	}
	t.Fatalf("the collector did not find %d contexts", n)
}

// churn makes garbage of another kind, so that nothing of a caller's frame stays in a register or a dead slot.
//
//go:noinline
func churn() (n int) {
	var buf [64]int
	for i := range buf {
		buf[i] = i
	}
	for _, x := range buf {
		n += x
	}
	return n
}

//go:noinline
func drop(g *Guard, parent context.Context) {
	ctx, _ := g.WithCancel(parent) // what is to be found
	_ = ctx
}

func TestDropped(t *testing.T) {
	var got reports
	g := newGuard(t, Config{OnReport: got.add})
	root, cancel := context.WithCancel(t.Context())
	defer cancel()
	drop(g, root)
	churn()
	g.collects(t, 1)
	if n := g.Sweep(); n != 1 || len(got.all) != 1 {
		t.Fatalf("%d found: %+v", n, got.all)
	}
	r := got.all[0]
	if r.Finding != Dropped || r.Healed || r.Count != 1 || r.Frames()[0].Func != "millrace/ctxguard.drop" {
		t.Errorf("%+v made by %v", r, r.Frames())
	}
	if n, _ := g.Census(root); n.Total() != 1 {
		t.Errorf("without Heal the root has %+v children, not 1", n)
	}
	if s := g.Summary(); s.Dropped != 1 || s.Live != 0 || s.Tracked != 1 || len(s.Sites) != 1 || s.Sites[0].Dropped != 1 {
		t.Errorf("%+v", s)
	}
}

// A goroutine that waits for the channel of a dropped context, which hangs on a long-lived root: no other tool sees it, and Heal wakes it.
func TestHeal(t *testing.T) {
	var got reports
	g := newGuard(t, Config{OnReport: got.add, Heal: true})
	root, cancel := context.WithCancel(t.Context())
	defer cancel()
	woken := make(chan struct{})
	waitFor(g, root, woken)
	churn()
	g.collects(t, 1)
	g.Sweep()
	<-woken
	if len(got.all) != 1 || !got.all[0].Healed || got.all[0].Finding != Dropped {
		t.Errorf("%+v", got.all)
	}
	if n, _ := g.Census(root); n.Total() != 0 {
		t.Errorf("the root still has %+v", n)
	}
}

//go:noinline
func waitFor(g *Guard, root context.Context, woken chan struct{}) {
	ctx, _ := g.WithCancel(root) // what is to be healed
	done := ctx.Done()
	go func() {
		<-done
		close(woken)
	}()
}

func TestHealGivesACause(t *testing.T) {
	g := newGuard(t, Config{Heal: true})
	causes := make(chan error, 1)
	func() {
		ctx, _ := g.WithCancelCause(t.Context()) // what is to be healed
		real := ctx.(*guarded).Context
		context.AfterFunc(real, func() { causes <- context.Cause(real) })
	}()
	churn()
	g.collects(t, 1)
	g.Sweep()
	if err := <-causes; !errors.Is(err, ErrDropped) {
		t.Errorf("cause %v", err)
	}
}

// What is no leak: a cancelled context, one whose parent has ended, one whose deadline has passed.
func TestNotDropped(t *testing.T) {
	var got reports
	g := newGuard(t, Config{OnReport: got.add})
	over, cancel := context.WithCancel(t.Context())
	func() {
		_, end := g.WithCancel(t.Context())
		end()
		end()
		drop(g, over)
		_, _ = g.WithTimeout(t.Context(), 1) // ends by itself
	}()
	cancel()
	churn()
	g.collects(t, 2)
	if n := g.Sweep(); n != 0 || len(got.all) != 0 {
		t.Errorf("found %+v", got.all)
	}
	if s := g.Summary(); s.Lapsed != 2 || s.Live != 0 {
		t.Errorf("%+v", s)
	}
}

// A child made by package context keeps its guarded parent: nothing is said of a context that somebody can still use.
func TestChildKeepsParent(t *testing.T) {
	g := newGuard(t, Config{})
	child, cancel := func() (context.Context, context.CancelFunc) {
		ctx, _ := g.WithCancel(t.Context())                                        // held by its child
		return context.WithCancel(context.WithValue(ctx, siteKey{}, "some value")) // returned
	}()
	for range 5 {
		runtime.GC()
	}
	if n := g.Sweep(); n != 0 {
		t.Errorf("%d found", n)
	}
	cancel()
	runtime.KeepAlive(child)
}

func TestOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got reports
		g := newGuard(t, Config{Lease: time.Minute, OnReport: got.add})
		root, end := context.WithCancel(t.Context())
		ctx, cancel := g.WithCancel(root)
		long, cancelLong := g.In(Scope{Name: "session", Lease: time.Hour}).WithCancel(root)
		forever, cancelForever := g.In(Scope{Lease: -1}).WithCancel(root)
		alone, cancelAlone := g.WithCancel(context.WithoutCancel(root))
		short, cancelShort := g.WithTimeout(root, 30*time.Second)
		time.Sleep(time.Minute)
		if n := g.Sweep(); n != 1 || got.all[0].Finding != Overdue || got.all[0].Age != time.Minute {
			t.Fatalf("%d found: %+v", n, got.all)
		}
		if n := g.Sweep(); n != 0 {
			t.Errorf("the same again: %+v", got.all)
		}
		if s := g.Summary(); s.Overdue != 1 || s.Live != 4 || s.Sites[0].LeakAgeSec != 60 {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Hour)
		if g.Sweep(); len(got.all) != 2 || got.all[1].Scope != "session" {
			t.Errorf("%+v", got.all)
		}
		cancel()
		if s := g.Summary(); s.Overdue != 1 || s.OverdueEver != 2 {
			t.Errorf("%+v", s)
		}
		cancelLong()
		cancelForever()
		cancelAlone()
		cancelShort()
		end()
		for _, c := range []context.Context{ctx, long, forever, alone, short} {
			if c.Err() == nil {
				t.Errorf("%v is not over", c)
			}
		}
		if s := g.Summary(); s.Live != 0 || s.Overdue != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := make(chan Report, 1)
		g := newGuard(t, Config{Lease: time.Minute, OnReport: func(r Report) { seen <- r }})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- g.Run(ctx) }()
		begin := time.Now()
		_, end := g.WithCancel(ctx)
		<-seen
		if d := time.Since(begin); d != time.Minute {
			t.Errorf("reported after %v", d)
		}
		end()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestSample(t *testing.T) {
	g := newGuard(t, Config{Sample: 8})
	make1000 := func() uint64 {
		before := g.tracked()
		for range 1000 {
			_, cancel := g.WithCancel(t.Context())
			cancel()
		}
		return g.tracked() - before
	}
	if n := make1000(); n < 50 || n > 220 { // 125 on average; further off than one run in a billion
		t.Errorf("one in 8: %d of 1000", n)
	}
	for n, want := range map[int]uint64{-1: 0, 0: 1000, 1: 1000} {
		if g.SetSample(n); make1000() != want {
			t.Errorf("sample %d", n)
		}
	}
	own := g.In(Scope{Sample: 1})
	g.SetSample(-1)
	if own.Sample() != 1 || g.Sample() != -1 || g.In(Scope{}).Sample() != -1 {
		t.Error("a scope's own sample follows the guard's, or one without does not")
	}
}

// Contexts that are always made in turn, with other things of their size in between, are each picked as often as they should be.
func TestSampleIsFair(t *testing.T) {
	g := newGuard(t, Config{Sample: 64})
	var picked [4]int
	var kept [100]context.Context
	for i := range 1 << 16 {
		for site := range picked {
			ctx, cancel := context.WithCancel(t.Context())
			if g.picks(ctx) {
				picked[site]++
			}
			if site == 1 { // lives on
				kept[i%len(kept)] = ctx
			}
			cancel()
		}
		if i%8192 == 0 {
			g.Sweep()
		}
	}
	for site, n := range picked {
		if n < 512 || n > 2048 {
			t.Errorf("the contexts of line %d: %d of 65,536 picked, 1,024 is their share", site, n)
		}
	}
}

func TestOff(t *testing.T) {
	var off *Guard
	ctx, cancel := off.In(Scope{Name: "x"}).WithCancel(t.Context())
	if _, ok := ctx.(*guarded); ok {
		t.Error("a nil Guard looks after a context")
	}
	cancel()
	off.SetSample(1)
	off.Watch(ctx, "x", nil)()
	if off.Sweep() != 0 || off.Summary().Live != 0 || off.Tree() != nil || off.Sample() != -1 || off.CensusWorks() {
		t.Error("a nil Guard does something")
	}
	if err := off.Run(ctx); err != nil {
		t.Error(err)
	}
	if _, err := off.Census(ctx); !errors.Is(err, ErrNoCensus) {
		t.Error(err)
	}
}

func TestDefault(t *testing.T) {
	g := newGuard(t, Config{})
	if before := SetDefault(g); before != nil {
		t.Error("there was a default")
	}
	defer SetDefault(nil)
	ctxs := []context.Context{}
	keep := func(ctx context.Context, cancel context.CancelFunc) { ctxs = append(ctxs, ctx); t.Cleanup(cancel) }
	keep(WithCancel(t.Context()))
	keep(WithTimeout(t.Context(), time.Hour))
	keep(WithTimeoutCause(t.Context(), time.Hour, ErrDropped))
	keep(WithDeadline(t.Context(), time.Now().Add(time.Hour)))
	keep(WithDeadlineCause(t.Context(), time.Now().Add(time.Hour), ErrDropped))
	keep(Track(context.WithCancel(t.Context())))
	ctx, cancel := WithCancelCause(t.Context())
	ctxs = append(ctxs, ctx)
	cancel(ErrDropped)
	if !errors.Is(context.Cause(ctx), ErrDropped) {
		t.Error("no cause")
	}
	for i, c := range ctxs {
		w, ok := c.(*guarded)
		if !ok {
			t.Fatalf("%d is not looked after", i)
		}
		if f := framesOf(w.e.stack())[0]; f.Func != "millrace/ctxguard.TestDefault" {
			t.Errorf("%d was made by %v", i, f)
		}
	}
	if Default() != g || g.Summary().Live != 6 {
		t.Errorf("%+v", g.Summary())
	}
}

// The methods of a Guard keep the stack of their caller, behave as package context does, and print as it does.
func TestForms(t *testing.T) {
	g := newGuard(t, Config{StackDepth: 12, GoroutineID: true})
	root, end := context.WithCancel(t.Context())
	defer end()
	cause := errors.New("why")
	for name, make := range map[string]func() (context.Context, func()){
		"cancel":   func() (context.Context, func()) { c, f := g.WithCancel(root); return c, f },
		"cause":    func() (context.Context, func()) { c, f := g.WithCancelCause(root); return c, func() { f(cause) } },
		"timeout":  func() (context.Context, func()) { c, f := g.WithTimeout(root, time.Hour); return c, f },
		"timeout2": func() (context.Context, func()) { c, f := g.WithTimeoutCause(root, time.Hour, cause); return c, f },
		"deadline": func() (context.Context, func()) { c, f := g.WithDeadline(root, time.Now().Add(time.Hour)); return c, f },
		"deadline2": func() (context.Context, func()) {
			c, f := g.WithDeadlineCause(root, time.Now().Add(time.Hour), cause)
			return c, f
		},
		"track": func() (context.Context, func()) { c, f := g.Track(context.WithCancel(root)); return c, f },
		"track2": func() (context.Context, func()) {
			c, f := g.TrackCause(context.WithCancelCause(root))
			return c, func() { f(cause) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := make()
			w := ctx.(*guarded)
			if w.e.creator() != goroutineID() || w.e.creator() == 0 {
				t.Errorf("made by goroutine %d, this is %d", w.e.creator(), goroutineID())
			}
			if f := framesOf(w.e.stack()); len(f) > 12 || len(f) < 3 {
				t.Errorf("stack %v", f)
			}
			before := runtime.NumGoroutine()
			child, cancelChild := context.WithCancel(ctx)
			defer cancelChild()
			if n := runtime.NumGoroutine(); n != before {
				t.Errorf("a child costs %d goroutines", n-before)
			}
			if child.Err() != nil {
				t.Error(child.Err())
			}
			cancel()
			if !errors.Is(child.Err(), context.Canceled) {
				t.Errorf("the child's end: %v", child.Err())
			}
			if name == "cause" || name == "track2" {
				if !errors.Is(context.Cause(child), cause) {
					t.Errorf("cause %v", context.Cause(child))
				}
			}
			real := w.Context
			got, _, _ := strings.Cut(fmt.Sprint(child), " [") // then comes the time that is left
			if want, _, _ := strings.Cut(fmt.Sprint(real)+".WithCancel", " ["); got != want {
				t.Errorf("prints %s, not %s", got, want)
			}
		})
	}
	if n, err := g.Census(root); err != nil || n.Total() != 0 {
		t.Errorf("%+v left, %v", n, err)
	}
}

func TestBadConfig(t *testing.T) {
	for _, c := range []Config{{StackDepth: 33}, {StackDepth: -1}, {Every: -1}, {LogEvery: -1}, {MaxSites: -1}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}
