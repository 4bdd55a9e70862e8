package main

import (
	"context"
	"runtime/pprof"
)

// as runs f in this goroutine, and all that it starts, under a label that profiles and stacks show: its role, and of which sink or receiver it is, if it is one's.
// Those of devices carry theirs, see internal/device.
func as(ctx context.Context, role string, f func(), of ...string) {
	pprof.Do(ctx, pprof.Labels(append([]string{"role", role}, of...)...), func(context.Context) { f() })
}
