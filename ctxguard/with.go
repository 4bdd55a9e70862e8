package ctxguard

import (
	"context"
	"time"
)

// WithCancel is context.WithCancel with g's eye on it. The cancel function may be called as often as one likes, from any goroutine.
//
//go:noinline
func (g *Guard) WithCancel(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	if !g.picks(ctx) {
		return ctx, cancel
	}
	return g.plain(parent, ctx, cancel, g.here())
}

// WithCancelCause is context.WithCancelCause with g's eye on it.
//
//go:noinline
func (g *Guard) WithCancelCause(parent context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	if !g.picks(ctx) {
		return ctx, cancel
	}
	return g.cause(parent, ctx, cancel, g.here())
}

// WithDeadline is context.WithDeadline with g's eye on it. A deadline that passes ends a context as a cancel does: it is not reported then.
//
//go:noinline
func (g *Guard) WithDeadline(parent context.Context, d time.Time) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithDeadline(parent, d)
	if !g.picks(ctx) {
		return ctx, cancel
	}
	return g.plain(parent, ctx, cancel, g.hereUntil(ctx))
}

// WithDeadlineCause is context.WithDeadlineCause with g's eye on it.
//
//go:noinline
func (g *Guard) WithDeadlineCause(parent context.Context, d time.Time, cause error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithDeadlineCause(parent, d, cause)
	if !g.picks(ctx) {
		return ctx, cancel
	}
	return g.plain(parent, ctx, cancel, g.hereUntil(ctx))
}

// WithTimeout is context.WithTimeout with g's eye on it.
//
//go:noinline
func (g *Guard) WithTimeout(parent context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(parent, timeout)
	if !g.picks(ctx) {
		return ctx, cancel
	}
	return g.plain(parent, ctx, cancel, g.hereUntil(ctx))
}

// WithTimeoutCause is context.WithTimeoutCause with g's eye on it.
//
//go:noinline
func (g *Guard) WithTimeoutCause(parent context.Context, timeout time.Duration, cause error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeoutCause(parent, timeout, cause)
	if !g.picks(ctx) {
		return ctx, cancel
	}
	return g.plain(parent, ctx, cancel, g.hereUntil(ctx))
}

// Track puts g's eye on a context that something else made: signal.NotifyContext, a library. From then on the returned context and function
// are to be used in place of ctx and cancel.
//
//go:noinline
func (g *Guard) Track(ctx context.Context, cancel context.CancelFunc) (context.Context, context.CancelFunc) {
	if !g.picksAny() {
		return ctx, cancel
	}
	return g.plain(ctx, ctx, cancel, g.here())
}

// TrackCause is Track for a context with a cause.
//
//go:noinline
func (g *Guard) TrackCause(ctx context.Context, cancel context.CancelCauseFunc) (context.Context, context.CancelCauseFunc) {
	if !g.picksAny() {
		return ctx, cancel
	}
	return g.cause(ctx, ctx, cancel, g.here())
}

// plain wraps a context and its cancel function.
func (g *Guard) plain(parent, ctx context.Context, cancel context.CancelFunc, e *entry) (context.Context, context.CancelFunc) {
	w := g.wrap(parent, ctx, e)
	if g.cfg.Heal {
		e.extra().heal = cancel
	}
	g.keep(w)
	return w, func() {
		w.end()
		cancel()
	}
}

// cause is plain for a cancel function that takes a cause.
func (g *Guard) cause(parent, ctx context.Context, cancel context.CancelCauseFunc, e *entry) (context.Context, context.CancelCauseFunc) {
	w := g.wrap(parent, ctx, e)
	if g.cfg.Heal {
		e.extra().healCause = cancel
	}
	g.keep(w)
	return w, func(cause error) {
		w.end()
		cancel(cause)
	}
}
