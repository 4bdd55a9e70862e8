package ctxguard

import (
	"context"
	"testing"
)

// The cost of a context that is looked after, and of one that is not: what docs/ctxguard.md promises.
func TestCost(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates too")
	}
	root, end := context.WithCancel(t.Context())
	defer end()
	std := testing.AllocsPerRun(1000, func() { _, cancel := context.WithCancel(root); cancel() })
	var nobody *Guard
	all, never, sampled := newGuard(t, Config{}), newGuard(t, Config{Sample: -1}), newGuard(t, Config{Sample: 64})
	heals := newGuard(t, Config{Heal: true})
	for _, c := range []struct {
		name string
		g    *Guard
		most float64
	}{{"nil", nobody, std}, {"off", never, std}, {"each, with a stack of 8", all, 8}, {"each, with Heal", heals, 8}, {"1 in 64", sampled, std + 0.5}} {
		n := testing.AllocsPerRun(1000, func() { _, cancel := c.g.WithCancel(root); cancel() })
		t.Logf("%s: %v allocations, package context %v", c.name, n, std)
		if n > c.most {
			t.Errorf("%s: %v allocations, at most %v wanted", c.name, n, c.most)
		}
	}
}

// BenchmarkWithCancel is one context made and cancelled below a root that can be cancelled.
func BenchmarkWithCancel(b *testing.B) {
	root, end := context.WithCancel(b.Context())
	defer end()
	b.Run("context", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, cancel := context.WithCancel(root)
			cancel()
		}
	})
	var nobody *Guard
	for _, c := range []struct {
		name string
		g    *Guard
	}{
		{"nil", nobody}, {"off", newGuard(b, Config{Sample: -1})}, {"1in64", newGuard(b, Config{Sample: 64})}, {"each", newGuard(b, Config{})},
		{"each-heal", newGuard(b, Config{Heal: true})}, {"each-goroutineID", newGuard(b, Config{GoroutineID: true})},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, cancel := c.g.WithCancel(root)
				cancel()
			}
		})
	}
	b.Run("default-off", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, cancel := WithCancel(root)
			cancel()
		}
	})
}

// BenchmarkSweep looks at 100,000 contexts of which none is due.
func BenchmarkSweep(b *testing.B) {
	g := newGuard(b, Config{})
	root, end := context.WithCancel(b.Context())
	defer end()
	for range 100_000 {
		_, cancel := g.WithCancel(root)
		defer cancel()
	}
	for b.Loop() {
		if g.Sweep() != 0 {
			b.Fatal("something is due")
		}
	}
}

// BenchmarkCensus counts the children of a root that has as many: the number alone, as Watch does, and by kind.
func BenchmarkCensus(b *testing.B) {
	g := newGuard(b, Config{})
	for _, n := range []int{100, 10_000} {
		root, end := context.WithCancel(b.Context())
		for range n {
			_, cancel := context.WithCancel(root)
			defer cancel()
		}
		b.Run("number", func(b *testing.B) {
			for b.Loop() {
				if k, _ := g.census.size(root); k != n {
					b.Fatal(k)
				}
			}
		})
		b.Run("kinds", func(b *testing.B) {
			for b.Loop() {
				if k, _ := g.Census(root); k.Total() != n {
					b.Fatal(k)
				}
			}
		})
		end()
	}
}
