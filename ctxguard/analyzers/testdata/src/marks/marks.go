// Package marks has findings that somebody has looked at.
package marks

import "context"

func meant(ctx context.Context) context.Context {
	child, _ := context.WithCancel(ctx) //nolint:ctxguard // ends with its parent, which is its caller's
	return child
}

func above(ctx context.Context) context.Context {
	//nolint:govet,ctxguard // ends with its parent
	child, _ := context.WithCancel(ctx)
	return child
}

func one(ctx context.Context) context.Context {
	child, _ := context.WithCancel(ctx) //nolint:ctxguard/release // ends with its parent
	return child
}

func noReason(ctx context.Context) context.Context {
	//nolint:ctxguard
	child, _ := context.WithCancel(ctx) // want "the mark here gives no reason and does not count"
	return child
}

func other(ctx context.Context) context.Context {
	child, _ := context.WithCancel(ctx) /* want "can never be called" */ //nolint:govet // not about this
	return child
}

func behind(ctx context.Context) context.Context {
	first := ctx                          //nolint:ctxguard // about this line, not the next
	child, _ := context.WithCancel(first) // want "can never be called"
	return child
}

//nolint:ctxguard // all of its contexts end with their parent
func function(ctx context.Context) (context.Context, context.Context) {
	first, _ := context.WithCancel(ctx)
	second, _ := context.WithCancel(ctx)
	return first, second
}

func own(ctx context.Context) (context.Context, context.Context) {
	first, _ := context.WithCancel(ctx) //ctxguard:allow // ends with its parent
	//ctxguard:allow:release,retention // ends with its parent
	second, _ := context.WithCancel(ctx)
	return first, second
}

func ownWithout(ctx context.Context) (context.Context, context.Context, context.Context) {
	//ctxguard:allow
	first, _ := context.WithCancel(ctx) // want "the mark here gives no reason and does not count"
	//ctxguard:allow:retention // about another analyzer
	second, _ := context.WithCancel(ctx) // want "can never be called"
	//ctxguard:allowed // which is another word
	third, _ := context.WithCancel(ctx) // want "can never be called"
	return first, second, third
}
