package ctxguard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// forFigures skips a test that prints figures unless they were asked for: nothing in it can fail, and it takes its time.
func forFigures(t *testing.T) {
	t.Helper()
	if os.Getenv("CTXGUARD_FIGURES") == "" {
		t.Skip("prints figures when CTXGUARD_FIGURES is set")
	}
}

// deep calls f below frames frames of its own.
//
//go:noinline
func deep(frames int, f func()) {
	if frames == 0 {
		f()
		return
	}
	deep(frames-1, f)
	runtime.KeepAlive(&frames)
}

// TestFigureCost prints what a context costs, the variants in turn, the least of all rounds: the machine has other things to do.
func TestFigureCost(t *testing.T) {
	forFigures(t)
	root, end := context.WithCancel(t.Context())
	defer end()
	var nobody *Guard
	variants := []struct {
		name string
		with func() (context.Context, context.CancelFunc)
		best time.Duration
	}{
		{name: "package context", with: func() (context.Context, context.CancelFunc) { return context.WithCancel(root) }},
		{name: "nil Guard", with: func() (context.Context, context.CancelFunc) { return nobody.WithCancel(root) }},
		{name: "default, none set", with: func() (context.Context, context.CancelFunc) { return WithCancel(root) }},
		{name: "off (Sample -1)", with: wither(t, root, Config{Sample: -1})},
		{name: "1 in 64", with: wither(t, root, Config{Sample: 64})},
		{name: "each, stack of 8", with: wither(t, root, Config{})},
		{name: "each, Heal", with: wither(t, root, Config{Heal: true})},
		{name: "each, GoroutineID", with: wither(t, root, Config{GoroutineID: true})},
	}
	const each, rounds = 20_000, 100
	for range rounds {
		for i := range variants {
			v := &variants[i]
			deep(inlineDepth, func() {
				begin := time.Now()
				for range each {
					_, cancel := v.with()
					cancel()
				}
				if d := time.Since(begin); v.best == 0 || d < v.best {
					v.best = d
				}
			})
		}
	}
	for _, v := range variants {
		allocs := testing.AllocsPerRun(1000, func() { _, cancel := v.with(); cancel() })
		t.Logf("%-18s %5d ns, %v allocations", v.name, v.best.Nanoseconds()/each, allocs)
	}
}

func wither(t *testing.T, root context.Context, cfg Config) func() (context.Context, context.CancelFunc) {
	g := newGuard(t, cfg)
	return func() (context.Context, context.CancelFunc) { return g.WithCancel(root) }
}

// spread is the latencies of one kind of cancel.
type spread []time.Duration

func (s spread) String() string {
	slices.Sort(s)
	return fmt.Sprintf("median %8v   99 %% %8v", s[len(s)/2], s[len(s)*99/100])
}

// makerOf makes a context below another.
type makerOf func(context.Context) (context.Context, context.CancelFunc)

// TestFigureCancel prints how long it takes until those who wait below a context know that it was cancelled, and how many never do.
func TestFigureCancel(t *testing.T) {
	forFigures(t)
	g := newGuard(t, Config{})
	for _, m := range []struct {
		name string
		with makerOf
	}{{"package context", context.WithCancel}, {"each looked after", g.WithCancel}} {
		for depth := 1; depth <= 8; depth++ {
			t.Logf("%-18s depth %d, cancel()            %v", m.name, depth, depths(t, m.with, depth, 1000))
		}
		for _, n := range []int{1, 10, 100, 1000, 10_000} {
			rounds := max(20, min(1000, 20_000/n))
			t.Logf("%-18s fan-out %5d, cancel()        until the last: %v", m.name, n, fanOut(t, m.with, n, rounds, false))
			t.Logf("%-18s fan-out %5d, failing sibling until the last: %v", m.name, n, fanOut(t, m.with, n, rounds, true))
		}
		const each, rounds = 10_000, 100
		t.Logf("%-18s %d of %d waiters lost", m.name, each*rounds-woken(t, m.with, each, rounds), each*rounds)
	}
}

// depths cancels the top of a chain and measures until a goroutine at its end knows.
func depths(t *testing.T, with makerOf, depth, rounds int) (out spread) {
	for range rounds {
		top, cancel := context.WithCancel(t.Context())
		ctx := top
		for range depth {
			below, end := with(ctx)
			defer end()
			ctx = below
		}
		ready, knows := make(chan struct{}), make(chan time.Time)
		go func() {
			done := ctx.Done()
			close(ready)
			<-done
			knows <- time.Now()
		}()
		<-ready
		runtime.Gosched() // the goroutine is to wait, not to be about to
		begin := time.Now()
		cancel()
		out = append(out, (<-knows).Sub(begin))
	}
	return out
}

// fanOut cancels n children and measures until the last one knows. With sibling it is one of them that fails and has all cancelled, as an errgroup does.
func fanOut(t *testing.T, with makerOf, n, rounds int, sibling bool) (out spread) {
	for range rounds {
		parent, cancel := context.WithCancelCause(t.Context())
		var ready, over sync.WaitGroup
		var last atomic.Int64
		start := time.Now()
		for range n {
			ready.Add(1)
			over.Go(func() {
				ctx, end := with(parent)
				defer end()
				done := ctx.Done()
				ready.Done()
				<-done
				last.Store(int64(time.Since(start))) // whoever is last has the last word
			})
		}
		var fail chan error
		if sibling {
			fail = make(chan error)
			over.Go(func() { cancel(<-fail) })
		}
		ready.Wait()
		runtime.Gosched()
		begin := time.Since(start)
		if sibling {
			fail <- errors.New("one of them fails")
		} else {
			cancel(nil)
		}
		over.Wait()
		cancel(nil)
		out = append(out, time.Duration(last.Load())-begin)
	}
	return out
}

// woken counts how many of n waiters, so many times, know of a cancel.
func woken(t *testing.T, with makerOf, n, rounds int) int {
	var know atomic.Int64
	for range rounds {
		parent, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				ctx, end := with(parent)
				defer end()
				<-ctx.Done()
				if ctx.Err() != nil {
					know.Add(1)
				}
			})
		}
		cancel() // some wait already, some are about to, and some do not exist yet
		wg.Wait()
	}
	return int(know.Load())
}

// No cancel is lost among ten thousand waiters; TestFigureCancel has a million.
func TestNoCancelIsLost(t *testing.T) {
	g := newGuard(t, Config{})
	if n := woken(t, g.WithCancel, 1000, 10); n != 10_000 {
		t.Errorf("%d of 10,000 know of the cancel", n)
	}
	if g.Counts().Live != 0 {
		t.Errorf("%+v", g.Counts())
	}
}
