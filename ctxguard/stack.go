package ctxguard

import "runtime"

// callers fills into with the stack of the caller's caller, which is a function of this package, and that one's is not counted either. Inlined calls share
// an address; runtime.CallersFrames takes them apart.
//
//go:noinline
func (c *core) callers(into *[inlineDepth]uintptr) int {
	if c.walks {
		return framePCs(into, 2) // the address in the caller of callers, and the one in its caller
	}
	return runtime.Callers(4, into[:])
}

// walksWell says whether the walk along the frame pointers sees what runtime.Callers sees. It is tried out for each Guard: what a compiler does with frames is its
// own business.
func walksWell() bool {
	var c core
	var into [inlineDepth]uintptr
	call := func() int { return asWith(&c, &into) }
	known := climb(inlineDepth, call)
	expected := into
	into, c.walks = [inlineDepth]uintptr{}, true
	return climb(inlineDepth, call) == known && known == inlineDepth && into == expected
}

// asWith stands where WithCancel does.
//
//go:noinline
func asWith(c *core, into *[inlineDepth]uintptr) int { return asHere(c, into) }

//go:noinline
func asHere(c *core, into *[inlineDepth]uintptr) int { return c.callers(into) }

// climb calls f below so many calls of itself.
//
//go:noinline
func climb(frames int, f func() int) int {
	if frames == 0 {
		return f()
	}
	return climb(frames-1, f)
}
