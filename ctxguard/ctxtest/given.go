package ctxtest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// given is the context that the function gets. It remembers who asked it for what.
type given struct {
	context.Context //nolint:containedctx // it is a context

	mu    sync.Mutex
	done  []string // where Done was called
	err   []string // where Err was called
	child []string // where a context was made from it, and with what
}

func give(parent context.Context) (*given, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	return &given{Context: ctx}, cancel
}

// Done implements context.Context.
func (g *given) Done() <-chan struct{} {
	g.note(&g.done)
	return g.Context.Done()
}

// Err implements context.Context.
func (g *given) Err() error {
	g.note(&g.err)
	return g.Context.Err()
}

// mostNoted bounds each list.
const mostNoted = 8

// note writes down the caller's caller: a user of the context, or what made a child from it.
func (g *given) note(list *[]string) {
	var pcs [24]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	made := ""
	for {
		f, more := frames.Next()
		switch {
		case strings.HasPrefix(f.Function, "context."):
			made = f.Function // the outermost one is what the user called
		case f.Function == "" || ours(f.Function) && made == "":
			return
		default:
			where := fmt.Sprintf("%s (%s:%d)", f.Function, short(f.File), f.Line)
			if made != "" {
				list, where = &g.child, made+" in "+where
			}
			g.add(list, where)
			return
		}
		if !more {
			return
		}
	}
}

func (g *given) add(list *[]string, where string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.Contains(*list, where) && len(*list) < mostNoted {
		*list = append(*list, where)
	}
}

// describe says what the function did with its context.
func (g *given) describe() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.done)+len(g.err)+len(g.child) == 0 {
		return "of its context it never asked anything: neither Done nor Err was called, and nothing was made from it"
	}
	var parts []string
	for _, x := range []struct {
		what string
		list []string
	}{{"Done was called by", g.done}, {"Err was called by", g.err}, {"made from it:", g.child}} {
		if len(x.list) > 0 {
			parts = append(parts, x.what+" "+strings.Join(x.list, ", "))
		}
	}
	s := "of its context: " + strings.Join(parts, "; ")
	if len(g.done)+len(g.child) == 0 {
		s += "; Done was never called, so no wait of it can end by the cancel"
	}
	return s
}

// short is a path's last two parts.
func short(path string) string {
	parts := strings.Split(path, "/")
	return strings.Join(parts[max(0, len(parts)-2):], "/")
}
