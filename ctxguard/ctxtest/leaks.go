package ctxtest

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace/ctxguard"
)

// AssertNoLeaks fails t if goroutines that the test has started are there at its end. It is goleak with what runs now left out, so that a test that
// failed does not fail those behind it. It cannot tell tests apart that run in parallel.
func AssertNoLeaks(t testing.TB, opts ...goleak.Option) {
	t.Helper()
	opts = append([]goleak.Option{goleak.IgnoreCurrent()}, opts...)
	t.Cleanup(func() {
		if err := goleak.Find(opts...); err != nil {
			t.Errorf("ctxtest: %v", err)
		}
	})
}

// Guard returns a Guard that looks after every context, and a root to make them from. At the test's end the contexts made with the Guard must all be
// over, none may have been dropped, and nothing may hang on the root; only then is the root cancelled. goleak and synctest do not see a context
// that was never cancelled and that no goroutine waits for.
func Guard(t testing.TB) (*ctxguard.Guard, context.Context) {
	t.Helper()
	g, err := ctxguard.New(ctxguard.Config{})
	if err != nil {
		t.Fatal(err)
	}
	root, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(func() {
		defer cancel()
		if s := leaksOf(g, root); s != "" {
			t.Error("ctxtest: " + s)
		}
	})
	return g, root
}

// leaksOf lists what g and a census of root have to say, "" if nothing.
func leaksOf(g *ctxguard.Guard, root context.Context) string {
	collect(g)
	s := g.Summary()
	var b strings.Builder
	for _, x := range s.Sites {
		if x.Live == 0 && x.Dropped == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%d contexts are not over, %d were dropped without a cancel; made by", x.Live, x.Dropped)
		for _, f := range x.AllocStack {
			b.WriteString("\n    " + f)
		}
	}
	known := b.Len() > 0
	if k, err := g.Census(root); err == nil && k.Total() > 0 && !known {
		fmt.Fprintf(&b, "\n%d contexts hang on the root: %d by WithCancel, %d with a deadline, %d by AfterFunc", k.Total(), k.Cancel, k.Timer, k.After)
	}
	return strings.TrimPrefix(b.String(), "\n")
}

// rounds bounds how often the collector is asked.
const rounds = 50

// collect gives the collector the time to find what was dropped: until it has found something that was dropped now, and a few times more, because what
// it finds together it tells of in any order. No channel: a cleanup runs outside of any bubble, and must not close one of a bubble.
func collect(g *ctxguard.Guard) {
	var found atomic.Bool
	marker := new([32]byte)
	runtime.AddCleanup(marker, func(b *atomic.Bool) { b.Store(true) }, &found)
	runtime.KeepAlive(marker)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i, after := 0, 0; i < rounds && after < 3; i++ {
		runtime.GC()
		<-tick.C
		if found.Load() {
			after++
		}
	}
	g.Sweep()
}
