package ctxguard

import (
	"context"
	"sync/atomic"
	"time"
)

// standard is the one piece of package state, see docs/adr/061: the functions below have the signatures of package context, and a
// signature without a receiver has to find its Guard somewhere.
var standard atomic.Pointer[Guard]

// SetDefault makes g what the functions of this package use, and returns what they used before. Nil, as at the start, switches them off: they are
// then those of package context. A program calls it once, in main; libraries never do.
func SetDefault(g *Guard) (before *Guard) { return standard.Swap(g) }

// Default returns the Guard of SetDefault, nil when there is none.
func Default() *Guard { return standard.Load() }

// WithCancel is Guard.WithCancel of the default Guard.
//
//go:noinline
func WithCancel(parent context.Context) (context.Context, context.CancelFunc) {
	g := standard.Load()
	ctx, cancel := context.WithCancel(parent)
	if !g.picks(ctx) {
		return ctx, cancel
	}
	return g.plain(parent, ctx, cancel, g.here())
}

// WithCancelCause is Guard.WithCancelCause of the default Guard.
//
//go:noinline
func WithCancelCause(parent context.Context) (context.Context, context.CancelCauseFunc) {
	g := standard.Load()
	ctx, cancel := context.WithCancelCause(parent)
	if !g.picks(ctx) {
		return ctx, cancel
	}
	return g.cause(parent, ctx, cancel, g.here())
}

// WithDeadline is Guard.WithDeadline of the default Guard.
//
//go:noinline
func WithDeadline(parent context.Context, d time.Time) (context.Context, context.CancelFunc) {
	g := standard.Load()
	ctx, cancel := context.WithDeadline(parent, d)
	if !g.picks(ctx) {
		return ctx, cancel
	}
	return g.plain(parent, ctx, cancel, g.hereUntil(ctx))
}

// WithDeadlineCause is Guard.WithDeadlineCause of the default Guard.
//
//go:noinline
func WithDeadlineCause(parent context.Context, d time.Time, cause error) (context.Context, context.CancelFunc) {
	g := standard.Load()
	ctx, cancel := context.WithDeadlineCause(parent, d, cause)
	if !g.picks(ctx) {
		return ctx, cancel
	}
	return g.plain(parent, ctx, cancel, g.hereUntil(ctx))
}

// WithTimeout is Guard.WithTimeout of the default Guard.
//
//go:noinline
func WithTimeout(parent context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	g := standard.Load()
	ctx, cancel := context.WithTimeout(parent, timeout)
	if !g.picks(ctx) {
		return ctx, cancel
	}
	return g.plain(parent, ctx, cancel, g.hereUntil(ctx))
}

// WithTimeoutCause is Guard.WithTimeoutCause of the default Guard.
//
//go:noinline
func WithTimeoutCause(parent context.Context, timeout time.Duration, cause error) (context.Context, context.CancelFunc) {
	g := standard.Load()
	ctx, cancel := context.WithTimeoutCause(parent, timeout, cause)
	if !g.picks(ctx) {
		return ctx, cancel
	}
	return g.plain(parent, ctx, cancel, g.hereUntil(ctx))
}

// Track is Guard.Track of the default Guard.
//
//go:noinline
func Track(ctx context.Context, cancel context.CancelFunc) (context.Context, context.CancelFunc) {
	g := standard.Load()
	if !g.picksAny() {
		return ctx, cancel
	}
	return g.plain(ctx, ctx, cancel, g.here())
}
