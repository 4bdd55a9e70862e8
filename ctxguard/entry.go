package ctxguard

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// ErrDropped is the cause of a context made with a cause that was dropped, and that the Guard has healed.
var ErrDropped = errors.New("ctxguard: the context was dropped without being cancelled")

// guarded is what callers get: the real context, and the anchor at the same time. The context and its cancel function hold it, and so does every
// context made from it; when the collector finds that nobody does, nobody can cancel the real one any more.
//
// It embeds the real context, so package context finds its cancelCtx through Value and attaches children to that, without a goroutine.
type guarded struct {
	context.Context //nolint:containedctx // it is a context
	e               *entry
	cleanup         runtime.Cleanup
}

// entryKey is what a guarded context answers with its entry.
type entryKey struct{}

// Value implements context.Context.
func (w *guarded) Value(key any) any {
	if _, ok := key.(entryKey); ok {
		return w.e
	}
	return w.Context.Value(key)
}

// String makes children print as those of the real context do.
func (w *guarded) String() string {
	if s, ok := w.Context.(fmt.Stringer); ok {
		return s.String()
	}
	return "ctxguard.Track"
}

// end says that the context was cancelled. The caller cancels the real one.
func (w *guarded) end() {
	if w.e.state.Swap(stateEnded)&stateEnded != 0 {
		return
	}
	w.e.scope.core.forget(w.e)
	w.cleanup.Stop()
	runtime.KeepAlive(w)
}

// The states of an entry, as bits.
const (
	stateEnded   uint32 = 1 << iota // cancelled, or known to be over
	stateOverdue                    // reported for its lease
)

// entry is what a Guard knows of one context. It holds neither the context nor its parent: an entry that did would keep alive what it is to see
// dying. There is one for each context looked after, so its size counts: what few have is in rare.
type entry struct {
	scope   *scope
	born    int64           // all instants are distances from core.start in ns
	due     int64           // end of the lease, 0 for none
	parent  <-chan struct{} // closed when the parent is over; nil when it never is
	above   *entry          // of the nearest guarded ancestor
	address uintptr         // of the real context, to find it in a census; nothing is ever read through it
	rare    *rare           // may be nil
	index   int             // in the shard, -1 when it is not there; guarded by the shard's mu
	state   atomic.Uint32
	shard   uint8
	depth   uint8 // of frames
	frames  [inlineDepth]uintptr
}

// rare is what few contexts have.
type rare struct {
	expires int64     // the context's deadline
	labels  string    // pprof labels of the parent
	creator uint64    // goroutine id
	deeper  []uintptr // the frames, where the entry has no room for as many as were asked for
	// heal, or healCause, is the real cancel function where a dropped context is to be healed. Nil once the context is over or its lease is; guarded by the shard's mu.
	heal      context.CancelFunc
	healCause context.CancelCauseFunc
}

// extra returns e.rare, making it if need be. It is for the time before e is shared.
func (e *entry) extra() *rare {
	if e.rare == nil {
		e.rare = &rare{}
	}
	return e.rare
}

// stack is the creating stack.
func (e *entry) stack() []uintptr {
	if e.rare != nil && e.rare.deeper != nil {
		return e.rare.deeper
	}
	return e.frames[:e.depth]
}

func (e *entry) labels() string {
	if e.rare == nil {
		return ""
	}
	return e.rare.labels
}

func (e *entry) creator() uint64 {
	if e.rare == nil {
		return 0
	}
	return e.rare.creator
}

// here begins an entry with the stack of the caller's caller. The frames of here and of its callers are counted, so none of them may be inlined.
//
//go:noinline
func (g *Guard) here() *entry {
	e := &entry{index: -1}
	e.depth = uint8(g.callers(&e.frames))
	return e
}

// hereUntil is here for a context with a deadline of its own. That of a parent shows in the parent's end.
//
//go:noinline
func (g *Guard) hereUntil(ctx context.Context) *entry {
	e := &entry{index: -1}
	e.depth = uint8(g.callers(&e.frames))
	if d, ok := ctx.Deadline(); ok {
		e.extra().expires = int64(d.Sub(g.start))
	}
	return e
}

// wrap makes the guarded context.
func (g *Guard) wrap(parent, ctx context.Context, e *entry) *guarded {
	e.scope, e.born, e.parent, e.address = g.scope, g.now(), parent.Done(), addressOf(ctx)
	e.due = g.scope.due(e)
	e.above, _ = parent.Value(entryKey{}).(*entry)
	if l := labelsOf(parent); l != "" {
		e.extra().labels = l
	}
	switch {
	case g.cfg.StackDepth < int(e.depth):
		e.depth = uint8(g.cfg.StackDepth)
	case g.cfg.StackDepth > inlineDepth && e.depth == inlineDepth:
		deeper := make([]uintptr, g.cfg.StackDepth)
		e.extra().deeper = deeper[:runtime.Callers(4, deeper)]
	}
	if g.cfg.GoroutineID {
		e.extra().creator = goroutineID()
	}
	return &guarded{Context: ctx, e: e}
}

// keep begins to look after w.
func (g *Guard) keep(w *guarded) {
	g.remember(w.e)
	w.cleanup = runtime.AddCleanup(w, collected, w.e)
}

// due is when the lease of e is over. A context whose parent never ends has one only when its scope says so.
func (s *scope) due(e *entry) int64 {
	lease := s.Lease
	if lease == 0 && e.parent != nil {
		lease = s.core.cfg.Lease
	}
	if lease <= 0 {
		return 0
	}
	return e.born + int64(lease)
}

// over says whether the context has ended by now: by its cancel function, its deadline, or its parent.
func (e *entry) over(now int64) bool {
	if e.state.Load()&stateEnded != 0 || e.rare != nil && e.rare.expires != 0 && e.rare.expires <= now {
		return true
	}
	select {
	case <-e.parent:
		return true
	default:
		return false
	}
}

func (e *entry) age(now int64) time.Duration { return time.Duration(now - e.born) }

// labelsOf writes the pprof labels of ctx as "key=value key=value".
func labelsOf(ctx context.Context) string {
	var b strings.Builder
	pprof.ForLabels(ctx, func(k, v string) bool {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(k)
		b.WriteByte('=')
		b.WriteString(v)
		return true
	})
	return b.String()
}

// goroutineID reads the number of this goroutine from the head of its stack dump, the only place that says it.
func goroutineID() uint64 {
	var buf [40]byte
	head := string(buf[:runtime.Stack(buf[:], false)])
	id, _, _ := strings.Cut(strings.TrimPrefix(head, "goroutine "), " ")
	n, _ := strconv.ParseUint(id, 10, 64) // 0 if the form has changed: then nobody knows it
	return n
}
