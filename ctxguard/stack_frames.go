//go:build amd64 || arm64

package ctxguard

// framePCs follows the frame pointers, which Go keeps on these machines, and puts the return addresses behind the first skip of them into into. It
// returns how many there are. It takes a fraction of the time of runtime.Callers. It is assembly because the stack must not move meanwhile: nothing preempts
// assembly. A chain that does not go up the stack ends there.
//
//go:noescape
func framePCs(into *[inlineDepth]uintptr, skip int) int

// callers fills into with the stack of the caller's caller. Inlined calls share an address; runtime.CallersFrames takes them apart.
//
//go:noinline
func callers(into *[inlineDepth]uintptr) int {
	return framePCs(into, 2) // the address in the caller of callers, and the one in its caller, which is a function of this package too
}

// callersOf is callers for a function that calls it itself.
//
//go:noinline
func callersOf(into *[inlineDepth]uintptr) int { return framePCs(into, 1) }
