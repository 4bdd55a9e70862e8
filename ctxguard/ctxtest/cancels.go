// Package ctxtest holds functions to the promise of their context: that cancelling it ends them.
//
//	func TestRunCancels(t *testing.T) {
//		ctxtest.AssertCancels(t, client.Run)
//	}
//
// runs client.Run in a bubble of testing/synctest until nothing moves any more, cancels the very context that it was given, and wants it to return
// context.Canceled, to leave no goroutine behind and to have closed what it opened. A failure says where the function is stuck, and what it waits for
// instead.
//
// In a bubble time is free and nothing is left to chance, but goroutines that wait for a mutex, a real socket or a system call are not seen as waiting. For
// these there is Outside, with real time.
package ctxtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Option changes what AssertCancels asks of a function.
type Option func(*options)

type options struct {
	within  time.Duration
	outside bool
	nilToo  bool
	probe   *Probe
	patient time.Duration
	is      func(error) bool
}

// Within is how long the function, and what it has started, may take to end after the cancel: in a bubble 0 unless set, Outside 5 s.
func Within(d time.Duration) Option { return func(o *options) { o.within = d } }

// Outside runs the function without a bubble, for real sockets and mutexes. No other test may run at the same time: its goroutines would be taken for
// the function's.
func Outside() Option { return func(o *options) { o.outside = true } }

// ReturnsNil takes nil for an answer too: a server's Run that returns nil after its context's end.
func ReturnsNil() Option { return func(o *options) { o.nilToo = true } }

// Canceled takes an error that is says yes to for context.Canceled: some libraries have an error of their own for it. For gRPC that is
//
//	ctxtest.Canceled(func(err error) bool { return status.Code(err) == codes.Canceled })
func Canceled(is func(error) bool) Option { return func(o *options) { o.is = is } }

// Opens wants everything that p was shown closed when the function has returned.
func Opens(p *Probe) Option { return func(o *options) { o.probe = p } }

// AssertCancels runs f, cancels the context that it was given once f waits for something, and fails t unless f then returns an error that is
// context.Canceled, within its time, and leaves no goroutine behind.
func AssertCancels(t *testing.T, f func(ctx context.Context) error, opts ...Option) {
	t.Helper()
	o := options{patient: 10 * time.Second}
	for _, opt := range opts {
		opt(&o)
	}
	if failure := check(t, f, o); failure != "" {
		t.Fatal("ctxtest: " + failure)
	}
}

// check says what is wrong with f, "" if nothing is.
func check(t *testing.T, f func(context.Context) error, o options) string {
	if o.outside {
		return outside(t, f, o)
	}
	done := make(chan string, 1) // the bubble may end when nobody waits any more
	go func() { done <- inBubble(t, f, o) }()
	never := time.NewTimer(o.patient)
	defer never.Stop()
	select {
	case failure := <-done:
		return failure
	case <-never.C:
		return hung(o.patient)
	}
}

// hung describes a bubble in which something waits that synctest does not see.
func hung(after time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "after %v of real time something still waits that a bubble does not see (a mutex, a real socket, a system call): try ctxtest.Outside()", after)
	for _, g := range dump() {
		if g.bubble != 0 && !g.durable && !g.machinery() {
			b.WriteString("\n" + g.describe("one"))
		}
	}
	return b.String()
}

// inBubble runs f in a bubble. A bubble that is left with waiting goroutines panics; by then we know why.
func inBubble(t *testing.T, f func(context.Context) error, o options) (failure string) {
	defer func() {
		if r := recover(); r != nil && failure == "" {
			failure = fmt.Sprint(r)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		x := &trial{options: o, self: dump()[0], settle: synctest.Wait}
		failure = x.run(t.Context(), f)
	})
	return failure
}

// outcome is what became of f.
type outcome struct {
	returned bool
	err      error
	panicked any
}

// trial is one experiment.
type trial struct {
	options
	self   goroutine       // who runs it
	old    map[uint64]bool // goroutines that were there before, outside of a bubble
	settle func()          // returns when nothing moves any more
	given  *given
	id     uint64 // of f's goroutine
	over   chan struct{}
	out    outcome
}

// run is the experiment itself.
func (x *trial) run(ctx context.Context, f func(context.Context) error) string {
	var cancel context.CancelFunc
	x.given, cancel = give(ctx)
	defer cancel()
	x.over = make(chan struct{})
	started := make(chan uint64, 1)
	go func() {
		defer close(x.over)
		started <- selfID()
		x.out.run(f, x.given)
	}()
	x.id = <-started
	x.settle()
	if isClosed(x.over) {
		return "the function ended before its context was cancelled, with " + x.out.String() + ": nothing can be said of it"
	}
	cancel()
	x.settle()
	if x.within > 0 {
		waitAtMost(x.over, x.within)
	}
	if !isClosed(x.over) {
		return x.stuck()
	}
	if s := x.judge(); s != "" {
		return s
	}
	return x.left()
}

// run calls f.
func (out *outcome) run(f func(context.Context) error, ctx context.Context) {
	defer func() {
		if r := recover(); r != nil {
			out.returned, out.panicked = true, r
		}
	}()
	out.err = f(ctx)
	out.returned = true
}

func (out outcome) String() string {
	switch {
	case out.panicked != nil:
		return fmt.Sprintf("a panic: %v", out.panicked)
	case !out.returned:
		return "a runtime.Goexit"
	case out.err == nil:
		return "nil"
	}
	return fmt.Sprintf("the error %q", out.err)
}

// judge says what is wrong with how f ended.
func (x *trial) judge() string {
	out := x.out
	switch {
	case out.panicked != nil, !out.returned:
		return "after the cancel the function ended with " + out.String()
	case errors.Is(out.err, context.Canceled), x.nilToo && out.err == nil, out.err != nil && x.is != nil && x.is(out.err):
		return ""
	case out.err == nil:
		return "after the cancel the function returned nil: its caller takes the work for done. It should return ctx.Err(), or wrap it; ctxtest.ReturnsNil() allows it"
	}
	return fmt.Sprintf("after the cancel the function returned %q, which is not context.Canceled: wrap it with %%w, so that callers can tell a cancel from a failure; where a library has an error of its own for it, ctxtest.Canceled knows that", out.err)
}

// left says what f has started or opened and left behind, when that does not go within its time.
func (x *trial) left() string {
	x.settle()
	const looks = 50
	for range looks {
		if len(x.others()) == 0 && x.open() == nil || x.within == 0 {
			break
		}
		waitAtMost(nil, x.within/looks)
	}
	if err := x.open(); err != nil {
		return err.Error()
	}
	rest := x.others()
	if len(rest) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the function has returned, but %d of the goroutines that it started have not ended", len(rest))
	for _, g := range rest {
		b.WriteString("\n" + g.describe("one"))
	}
	return b.String()
}

// open is what is open still, nil if nothing.
func (x *trial) open() error {
	if x.probe != nil && x.probe.err() != nil {
		return x.probe.err()
	}
	var later *checkedLater
	if errors.As(x.out.err, &later) {
		return later.check()
	}
	return nil
}

// others are the goroutines that came with the trial: those of the same bubble, or, outside of one, those that were not there before and that none of those
// that were has started, as a server does.
func (x *trial) others() []goroutine {
	var out []goroutine
	for _, g := range dump()[1:] {
		switch {
		case g.machinery():
		case x.self.bubble != 0 && g.bubble == x.self.bubble,
			x.self.bubble == 0 && !x.old[g.id] && (!x.old[g.parent] || g.parent == x.self.id):
			out = append(out, g)
		}
	}
	return out
}

// stuck describes a function that did not return.
func (x *trial) stuck() string {
	var b strings.Builder
	b.WriteString("the function did not return when its context was cancelled")
	if x.within > 0 {
		fmt.Fprintf(&b, ", nor %v later", x.within)
	}
	all := x.others()
	for _, g := range all {
		if g.id == x.id {
			b.WriteString("\n" + g.describe("it"))
		}
	}
	for _, g := range all {
		if _, known := g.place(); known && g.id != x.id {
			b.WriteString("\n" + g.describe("another goroutine that it has started"))
		}
	}
	b.WriteString("\n" + x.given.describe())
	return b.String()
}

// outside runs f in real time.
func outside(t *testing.T, f func(context.Context) error, o options) string {
	if o.within == 0 {
		o.within = 5 * time.Second
	}
	x := &trial{options: o, old: map[uint64]bool{}}
	all := dump()
	x.self = all[0]
	for _, g := range all {
		x.old[g.id] = true
	}
	x.settle = func() { settleOutside(x.old) }
	return x.run(t.Context(), f)
}

// settleOutside returns when all goroutines that are not in old wait for something, in three looks in a row, or after a second.
func settleOutside(old map[uint64]bool) {
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	quiet := 0
	for range 500 {
		<-look.C
		if quiet++; busy(old) {
			quiet = 0
		}
		if quiet == 3 {
			return
		}
	}
}

func busy(old map[uint64]bool) bool {
	for _, g := range dump()[1:] {
		if !old[g.id] && (strings.HasPrefix(g.state, "run") || g.state == "syscall") {
			return true
		}
	}
	return false
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func waitAtMost(c <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c:
	case <-t.C:
	}
}
