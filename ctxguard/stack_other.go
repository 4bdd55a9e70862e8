//go:build !amd64 && !arm64

package ctxguard

import "runtime"

// callers fills into with the stack of the caller's caller.
func callers(into *[inlineDepth]uintptr) int { return runtime.Callers(4, into[:]) }

// callersOf is callers for a function that calls it itself.
func callersOf(into *[inlineDepth]uintptr) int { return runtime.Callers(3, into[:]) }
