package ctxguard

import (
	"context"
	"net/http"
	"runtime"
	"runtime/pprof"
	"time"
)

// Middleware gives each request that g picks a context that g looks after, and the pprof label "handler" with the pattern of the route to the
// goroutine and all that it starts. When the handler returns while children of that context are neither cancelled nor over, they are reported as LeftBehind:
// somebody made a context and forgot it. They end with the request in any case. A handler that leaves any is held up for a millisecond, to see whether they go.
//
// The pattern is that of http.ServeMux; around a mux it is known only after the handler, and the label is the method.
func (g *Guard) Middleware(next http.Handler) http.Handler {
	if g == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.picksAny() {
			next.ServeHTTP(w, r)
			return
		}
		g.serve(w, r, next)
	})
}

func (g *Guard) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	name := r.Pattern
	if name == "" {
		name = r.Method
	}
	pprof.Do(r.Context(), pprof.Labels("handler", name), func(ctx context.Context) {
		real, cancel := context.WithCancel(ctx)
		ctx, end := g.plain(ctx, real, cancel, g.here())
		defer end()
		born := time.Now()
		r = r.WithContext(ctx)
		next.ServeHTTP(w, r)
		if g.leaves(ctx) {
			g.leftBehind(ctx, r, born)
		}
	})
}

// leaves says whether ctx has children still. A client of net/http that has read a body to its end has its transport cancel its own context a moment later, in
// another goroutine; those that are there get a millisecond.
func (g *Guard) leaves(ctx context.Context) bool {
	const looks, yields = 20, 10
	for i := range looks {
		if n, err := g.census.size(ctx); err != nil || n == 0 {
			return false
		}
		if i < yields {
			runtime.Gosched()
			continue
		}
		t := time.NewTimer(time.Millisecond / (looks - yields))
		select {
		case <-t.C:
		case <-ctx.Done(): // the client is gone, and the children with it
			t.Stop()
			return false
		}
	}
	return true
}

// leftBehind reports the children of ctx: those that g knows by the line that made them, the others together.
func (g *Guard) leftBehind(ctx context.Context, r *http.Request, born time.Time) {
	known := g.sometimesKnown()
	name, strangers := r.Pattern, 0
	if name == "" {
		name = r.Method
	}
	_ = g.census.each(ctx, func(child any) bool { // it has just been counted
		e := known[addressIn(child)]
		if e == nil {
			strangers++
			return true
		}
		x := g.reportOf(LeftBehind, e, g.now())
		x.Scope, x.Children = name, 1
		g.counts.left.Add(1)
		g.report(x)
		return true
	})
	if strangers > 0 {
		g.counts.left.Add(uint64(strangers))
		g.report(Report{Finding: LeftBehind, Scope: name, Labels: labelsOf(ctx), Age: time.Since(born), Born: born, Children: strangers})
	}
}

// sometimesKnown is everything that g looks after, by address, once a second: making that list takes time in proportion to its length, and a handler
// that leaks at each request must not cost more than it does. In between children have no line.
func (g *Guard) sometimesKnown() map[uintptr]*entry {
	now, last := g.now(), g.listed.Load()
	if last != 0 && now-last < int64(time.Second) || !g.listed.CompareAndSwap(last, now) {
		return nil
	}
	known := map[uintptr]*entry{}
	g.live(now, func(e *entry) { known[e.address] = e })
	return known
}
