//go:build (amd64 || arm64) && !purego

package ctxguard

// framePCs follows the frame pointers, which Go keeps on these machines, and puts the return addresses behind the first skip of them into into. It
// returns how many there are, 0 when skip is more than the stack has. It takes a thirtieth of the time of runtime.Callers.
//
// It is assembly because the stack must not move meanwhile: nothing preempts assembly. It reads only what lies between the bounds of this goroutine's stack,
// the first two words of its g, whose place C code of the runtime relies on too; a chain that leaves them, as one does that C code called, or that does
// not go up, ends there. So a frame pointer that is none costs frames, and can not cost the process.
//
//go:noescape
func framePCs(into *[inlineDepth]uintptr, skip int) int
