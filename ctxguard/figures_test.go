package ctxguard

import (
	"context"
	"os"
	"runtime"
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
